package anthropic

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
	if f := dialect.Once(root, "type", "error", "content", "stop_reason", "usage"); f != nil {
		return f
	}
	if e := root.Get("error"); truthy(e) || root.Get("type").Is("error") {
		return failed(e, 0)
	}
	content := root.Get("content")
	if content.Kind() != scan.Array {
		return dialect.Broken(fault.Malformed, "the answer has no content")
	}
	if reason := root.Get("stop_reason"); reason.Exists() && !reason.Given() {
		return dialect.Broken(fault.Incomplete, "a whole answer says that it has not finished")
	}
	e := inference.Event{Terminal: true, Content: true, Finishes: 1, Finish: ended(root)}
	for b := range content.All() {
		e.Text += blockText(b)
	}
	var c counts
	c.add(root.Get("usage"))
	e.Usage = c.usage()
	*into = e
	return nil
}

// ReadCount reads the facts of an answer to a request to count tokens.
func ReadCount(d *scan.Doc, into *inference.Event) error {
	root := d.Root()
	if e := root.Get("error"); truthy(e) || root.Get("type").Is("error") {
		return failed(e, 0)
	}
	if n, ok := root.Get("input_tokens").Int(); !ok || n < 0 {
		return dialect.Broken(fault.Malformed, "the answer has no input_tokens")
	}
	*into = inference.Event{Terminal: true, Content: true, Finishes: 1, Finish: inference.Stop}
	return nil
}

// EncodeCount writes an answer to a request to count tokens.
func EncodeCount(a *inference.Answer) []byte {
	return append(appendInt([]byte("{"), "input_tokens", a.Usage.Input), '}')
}

// ended returns why a whole answer ended. Its JSON is whole, so a reason that is
// left out hides no cut; one that is null says that there was none.
func ended(root scan.Value) inference.Finish {
	if f := finish(root.Get("stop_reason")); f != inference.Unfinished {
		return f
	}
	return inference.Stop
}

// blockText returns the bytes of text, thought and arguments in a block or a
// delta.
func blockText(b scan.Value) int {
	n := 0
	for m := range b.All() {
		switch string(m.Key()) {
		case "text", "thinking", "partial_json", "data":
			n += m.TextLen()
		case "input":
			if m.Len() > 0 {
				n += len(m.Raw())
			}
		}
	}
	return n
}

// DecodeAnswer reads a whole answer. Blocks of tools that ran on the upstream's
// side are left out: no other dialect has them.
func DecodeAnswer(d *scan.Doc) (*inference.Answer, error) {
	var e inference.Event
	if err := ReadAnswer(d, &e); err != nil {
		return nil, err
	}
	root := d.Root()
	r := reading{}
	return &inference.Answer{
		ID: root.Get("id").Text(), Model: root.Get("model").Text(),
		Parts:  r.content(root.Get("content")),
		Finish: e.Finish, StopSequence: root.Get("stop_sequence").Text(), Usage: e.Usage,
	}, r.Failed()
}

// EncodeAnswer writes a whole answer.
func EncodeAnswer(a *inference.Answer) []byte {
	w := writing{b: make([]byte, 0, 1024)}
	w.b = scan.AppendString(append(w.b, `{"id":`...), a.ID)
	w.b = append(w.b, `,"type":"message","role":"assistant"`...)
	w.b = scan.AppendString(scan.AppendKey(w.b, "model"), a.Model)
	w.b = append(scan.AppendKey(w.b, "content"), '[')
	for _, p := range a.Parts {
		if p.Kind == inference.Thinking && p.Signature == "" {
			// Towards a caller a thought needs no signature.
			w.b = scan.AppendString(append(scan.AppendComma(w.b), `{"type":"thinking","thinking":`...), p.Text)
			w.b = append(w.b, `,"signature":""}`...)
			continue
		}
		w.block(p)
	}
	w.b = appendReason(append(w.b, ']'), a.Finish, a.StopSequence)
	w.b = append(w.b, `,"container":null,"diagnostics":null`...)
	w.b = appendUsage(scan.AppendKey(w.b, "usage"), a.Usage)
	return append(w.b, '}')
}

func appendReason(dst []byte, f inference.Finish, sequence string) []byte {
	dst = scan.AppendString(scan.AppendKey(dst, "stop_reason"), reasons[f])
	dst = scan.AppendKey(append(dst, `,"stop_details":null`...), "stop_sequence")
	if f != inference.StopSequence {
		return append(dst, "null"...)
	}
	return scan.AppendString(dst, sequence)
}
