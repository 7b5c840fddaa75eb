package responses

import (
	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// ReadAnswer reads the facts of a whole answer that was scanned: content, finish,
// usage. An error inside it, and a body that is no answer, are *fault.Error.
func ReadAnswer(d *scan.Doc, into *inference.Event) error {
	root := d.Root()
	if root.Kind() != scan.Object {
		return dialect.Broken(fault.Malformed, "not a JSON object")
	}
	if f := dialect.Once(root, "status", "error", "output", "usage"); f != nil {
		return f
	}
	if f := failed(root.Get("error"), 0); f != nil {
		return f
	}
	output := root.Get("output")
	if output.Kind() != scan.Array {
		return dialect.Broken(fault.Malformed, "the answer has no output")
	}
	finish, err := ended(root)
	if err != nil {
		return err
	}
	e := inference.Event{Terminal: true, Content: true, Finishes: 1, Finish: finish, Usage: usage(root.Get("usage"))}
	for item := range output.All() {
		e.Text += item.Get("arguments").TextLen() + item.Get("input").TextLen()
		for _, list := range []string{"content", "summary"} {
			for p := range item.Get(list).All() {
				e.Text += p.Get("text").TextLen() + p.Get("refusal").TextLen()
			}
		}
	}
	*into = e
	return nil
}

// DecodeAnswer reads a whole answer. Items of tools that ran on the upstream's side
// are left out: no other dialect has them.
func DecodeAnswer(d *scan.Doc) (*inference.Answer, error) {
	var e inference.Event
	if err := ReadAnswer(d, &e); err != nil {
		return nil, err
	}
	root := d.Root()
	a := &inference.Answer{ID: root.Get("id").Text(), Model: root.Get("model").Text(), Finish: e.Finish, Usage: e.Usage}
	a.Created, _ = root.Get("created_at").Int()
	for item := range root.Get("output").All() {
		call := inference.Part{Kind: inference.ToolUse, ID: item.Get("call_id").Text(), Name: item.Get("name").Text()}
		switch itemKind(item) {
		case "message":
			for p := range item.Get("content").All() {
				if refusal := p.Get("refusal"); refusal.Given() {
					a.Parts = append(a.Parts, inference.Part{Kind: inference.Refusal, Text: refusal.Text()})
				} else if p.Get("text").TextLen() > 0 {
					a.Parts = append(a.Parts, inference.Part{Text: p.Get("text").Text()})
				}
			}
		case "function_call":
			call.Data = item.Get("arguments").Text()
			a.Parts = append(a.Parts, call)
		case "custom_tool_call":
			call.Data = string(append(scan.AppendString([]byte(`{"input":`), item.Get("input").Text()), '}'))
			a.Parts = append(a.Parts, call)
		case "reasoning":
			if text := thoughtText(item); text != "" {
				a.Parts = append(a.Parts, inference.Part{Kind: inference.Thinking, Text: text})
			}
		}
	}
	return a, nil
}

// EncodeAnswer writes a whole answer, without what it would repeat of its request.
func EncodeAnswer(a *inference.Answer) []byte { return Asked{}.Answer(a) }

// Answer writes a whole answer to a request.
func (q Asked) Answer(a *inference.Answer) []byte {
	w := Writer{ID: a.ID, Model: a.Model, Created: a.Created, Asked: q}
	if q.Found != nil {
		w.add(item{kind: searchKind})
	}
	for i, p := range a.Parts {
		it := item{block: i, kind: inference.TextDelta, text: []byte(p.Text), cited: p.Citations}
		switch p.Kind {
		case inference.Text:
		case inference.Refusal:
			it.kind = inference.RefusalDelta
		case inference.Thinking:
			it.kind, it.sealed = inference.ThoughtDelta, seal(sealedSignature, p.Signature)
		case inference.Redacted:
			it.kind, it.text, it.sealed = inference.ThoughtDelta, nil, seal(sealedThought, p.Data)
		case inference.ToolUse:
			it.kind, it.call, it.name, it.text = inference.ToolDelta, p.ID, p.Name, []byte(p.Data)
		default:
			continue
		}
		w.add(it)
	}
	w.end = inference.Delta{Finish: a.Finish, Usage: a.Usage}
	return w.finished(nil)
}

func seal(how, what string) string {
	if what == "" {
		return ""
	}
	return how + what
}
