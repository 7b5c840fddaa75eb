package openai

import (
	"strings"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// ReadAnswer reads the facts of a whole answer that was scanned: content, finish,
// usage. An error inside it, and a body that is no answer, are *fault.Error.
func ReadAnswer(d *scan.Doc, into *inference.Event) error {
	root := d.Root()
	if f := kin.Inside(root); f != nil {
		return f
	}
	if f := dialect.Once(root, "choices", "error", "usage", "object"); f != nil {
		return f
	}
	choices := root.Get("choices")
	if choices.Kind() != scan.Array || choices.Len() == 0 {
		return dialect.Broken(fault.Malformed, "the answer has no choices")
	}
	e := inference.Event{Terminal: true, Content: true, Usage: usage(root.Get("usage"))}
	for c := range choices.All() {
		if f := dialect.Once(c, "message", "finish_reason"); f != nil {
			return f
		}
		if f := kin.Broke(c); f != nil {
			return f
		}
		message := c.Get("message")
		if message.Kind() != scan.Object {
			return dialect.Broken(fault.Malformed, "a choice has no message")
		}
		if reason := c.Get("finish_reason"); reason.Exists() && !reason.Given() {
			return dialect.Broken(fault.Incomplete, "a choice of a whole answer says that it has not finished")
		}
		_, text := content(message)
		e.Text += text
		e.Finishes++
		e.Finish = ended(c, message.Get("tool_calls").Len() > 0)
	}
	*into = e
	return nil
}

// ended returns why a whole choice ended. Its JSON is whole, so a reason that is
// left out hides no cut; one that is null says that there was none. Some servers say stop where the model asked for tools.
func ended(choice scan.Value, tools bool) inference.Finish {
	f := finish(choice.Get("finish_reason"))
	switch {
	case tools && (f == inference.Unfinished || f == inference.Stop):
		return inference.ToolCalls
	case f == inference.Unfinished:
		return inference.Stop
	}
	return f
}

// content looks at a message or a delta. There is content where anything was
// said; text counts its bytes.
func content(message scan.Value) (there bool, text int) {
	for m := range message.All() {
		switch string(m.Key()) {
		case "content", "reasoning_content", "reasoning", "refusal", "reasoning_details":
			switch m.Kind() {
			case scan.String:
				text += m.TextLen()
			case scan.Array: // Mistral's and OpenRouter's parts
				if m.Len() > 0 {
					text += len(m.Raw())
				}
			}
		case "tool_calls":
			for call := range m.All() {
				there = true
				text += argued(call.Get("function"))
			}
		case "function_call", "audio":
			if m.Len() > 0 {
				there = true
				text += m.Get("arguments").TextLen()
			}
		}
	}
	return there || text > 0, text
}

// DecodeAnswer reads a whole answer: its first choice.
func DecodeAnswer(d *scan.Doc) (*inference.Answer, error) {
	var e inference.Event
	if err := ReadAnswer(d, &e); err != nil {
		return nil, err
	}
	root := d.Root()
	a := &inference.Answer{ID: root.Get("id").Text(), Model: root.Get("model").Text(), Usage: e.Usage}
	a.Created, _ = root.Get("created").Int()
	for c := range root.Get("choices").All() {
		message := c.Get("message")
		a.Finish = ended(c, message.Get("tool_calls").Len() > 0)
		a.Parts = answerParts(message)
		break
	}
	return a, nil
}

func answerParts(message scan.Value) []inference.Part {
	var parts []inference.Part
	add := func(kind inference.PartKind, v scan.Value) {
		if v.TextLen() > 0 {
			parts = append(parts, inference.Part{Kind: kind, Text: v.Text()})
		}
	}
	var thought strings.Builder
	for t := range thoughts(message) {
		thought.WriteString(t.Text())
	}
	if thought.String() != "" {
		parts = append(parts, inference.Part{Kind: inference.Thinking, Text: thought.String()})
	}
	text := message.Get("content")
	add(inference.Text, text)
	if text.Kind() == scan.Array {
		for p := range text.All() {
			add(inference.Text, p.Get("text"))
		}
	}
	add(inference.Refusal, message.Get("refusal"))
	for call := range message.Get("tool_calls").All() {
		function := call.Get("function")
		parts = append(parts, inference.Part{
			Kind: inference.ToolUse, ID: call.Get("id").Text(),
			Name: function.Get("name").Text(), Data: arguments(function),
		})
	}
	return parts
}

// arguments returns those of a call: JSON in a string, or, of servers that keep to
// their own template (older TGI among them), the JSON itself.
func arguments(function scan.Value) string {
	v := function.Get("arguments")
	if v.Kind() == scan.Object {
		return string(v.Raw())
	}
	return v.Text()
}

// argued returns how much that is.
func argued(function scan.Value) int {
	v := function.Get("arguments")
	if v.Kind() == scan.Object {
		return len(v.Raw())
	}
	return v.TextLen()
}

// EncodeAnswer writes a whole answer.
func EncodeAnswer(a *inference.Answer) []byte {
	var text, thought, refusal []byte
	var calls []inference.Part
	var cited []inference.Citation
	for _, p := range a.Parts {
		switch p.Kind {
		case inference.Text:
			text, cited = append(text, p.Text...), append(cited, p.Citations...)
		case inference.Thinking:
			thought = append(thought, p.Text...)
		case inference.Refusal:
			refusal = append(refusal, p.Text...)
		case inference.ToolUse:
			calls = append(calls, p)
		}
	}
	dst := make([]byte, 0, 512+len(text)+len(thought))
	dst = scan.AppendString(append(dst, `{"id":`...), a.ID)
	dst = append(dst, `,"object":"chat.completion"`...)
	dst = appendInt(dst, "created", int(a.Created))
	dst = scan.AppendString(scan.AppendKey(dst, "model"), a.Model)
	dst = append(dst, `,"choices":[{"index":0,"message":{"role":"assistant"`...)
	dst = scan.AppendKey(dst, "content")
	if text == nil && (calls != nil || refusal != nil) {
		dst = append(dst, "null"...)
	} else {
		dst = scan.AppendString(dst, text)
	}
	if thought != nil {
		dst = scan.AppendString(scan.AppendKey(dst, "reasoning_content"), thought)
	}
	dst = scan.AppendKey(dst, "refusal")
	if refusal == nil {
		dst = append(dst, "null"...)
	} else {
		dst = scan.AppendString(dst, refusal)
	}
	if calls != nil {
		dst = appendCalls(dst, calls)
	}
	if cited != nil {
		dst = appendAnnotations(dst, cited)
	}
	dst = append(dst, `},"logprobs":null,"finish_reason":`...)
	dst = scan.AppendString(dst, finishes[a.Finish])
	dst = append(dst, "}]"...)
	if a.Usage.Known {
		dst = appendUsage(scan.AppendKey(dst, "usage"), a.Usage)
	}
	return append(dst, '}')
}
