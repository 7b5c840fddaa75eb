package converse

import (
	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// ReadAnswer reads the facts of a whole answer that was scanned.
func ReadAnswer(d *scan.Doc, into *inference.Event) error {
	root := d.Root()
	message := root.Get("output").Get("message")
	if message.Kind() != scan.Object || message.Get("content").Kind() != scan.Array {
		return dialect.Broken(fault.Malformed, "the answer has no message")
	}
	if f := dialect.Once(root, "output", "stopReason", "usage"); f != nil {
		return f
	}
	f, broke := finish(root.Get("stopReason"))
	switch {
	case broke != nil:
		return broke
	case f == inference.Unfinished:
		return dialect.Broken(fault.Incomplete, "a whole answer without a stopReason")
	}
	e := inference.Event{Terminal: true, Content: true, Finishes: 1, Finish: f, Usage: usage(root.Get("usage"))}
	for block := range message.Get("content").All() {
		e.Text += block.Get("text").TextLen() + block.Get("reasoningContent").Get("reasoningText").Get("text").TextLen()
		if input := block.Get("toolUse").Get("input"); input.Exists() {
			e.Text += len(input.Raw())
		}
	}
	*into = e
	return nil
}

// DecodeAnswer reads a whole answer.
func DecodeAnswer(d *scan.Doc) (*inference.Answer, error) {
	var e inference.Event
	if err := ReadAnswer(d, &e); err != nil {
		return nil, err
	}
	a := &inference.Answer{Finish: e.Finish, Usage: e.Usage}
	a.StopSequence = d.Root().Get("additionalModelResponseFields").Get("stop_sequence").Text()
	for block := range d.Root().Get("output").Get("message").Get("content").All() {
		for m := range block.All() {
			if p, ok := decodeBlock(m); ok {
				a.Parts = append(a.Parts, p)
			}
		}
	}
	return a, nil
}

func decodeBlock(m scan.Value) (inference.Part, bool) {
	switch string(m.Key()) {
	case "text":
		return inference.Part{Kind: inference.Text, Text: m.Text()}, m.TextLen() > 0
	case "reasoningContent":
		if redacted := m.Get("redactedContent"); redacted.Exists() {
			return inference.Part{Kind: inference.Redacted, Data: redacted.Text()}, true
		}
		t := m.Get("reasoningText")
		return inference.Part{Kind: inference.Thinking, Text: t.Get("text").Text(), Signature: t.Get("signature").Text()}, t.Exists()
	case "toolUse":
		input := "{}"
		if v := m.Get("input"); v.Kind() == scan.Object {
			input = string(v.Raw())
		}
		return inference.Part{Kind: inference.ToolUse, ID: m.Get("toolUseId").Text(), Name: m.Get("name").Text(), Data: input}, true
	}
	return inference.Part{}, false
}
