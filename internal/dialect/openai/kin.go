package openai

import (
	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Kin reads what OpenAI's other operations have in common with chat: how an
// upstream tells of an error, and how it counts.
type Kin struct {
	Shape  *scan.Shape // of a request
	Prompt string      // the field that holds the prompt
}

// ReadError returns what an upstream's error answer means: its status, and a
// body that may be of any form.
func (k Kin) ReadError(status int, body []byte, d *scan.Doc) *fault.Error {
	if d.ScanLax(body) != nil {
		return dialect.Said{Status: status}.Fault()
	}
	root := d.Root()
	for _, v := range []scan.Value{
		root.Get("error"),
		root.Get("detail"), // FastAPI
		root,               // vLLM before 0.10: the error itself
	} {
		if f := k.Failed(v, status); f != nil {
			return f
		}
	}
	return dialect.Said{Status: status}.Fault()
}

// Failed returns the fault that an error value of an upstream tells of, or nil
// if it tells of none: absent, null, false, empty.
func (k Kin) Failed(v scan.Value, status int) *fault.Error {
	if !truthy(v) {
		return nil
	}
	s := dialect.Said{Status: status, Prompt: k.Prompt}
	switch v.Kind() {
	case scan.Object:
		s.Type, s.Message = v.Get("type").Bytes(), v.Get("message").Bytes()
		s.Param = k.Shape.Known(v.Get("param").Text())
		if s.Code = v.Get("code").Bytes(); v.Get("code").Kind() == scan.Number {
			s.Code = v.Get("code").Raw()
		}
	case scan.String:
		s.Message = v.Bytes()
	}
	return s.Fault()
}

// Inside returns the fault that a whole body or an event tells of, or nil.
func (k Kin) Inside(root scan.Value) *fault.Error {
	if root.Kind() != scan.Object {
		return dialect.Broken(fault.Malformed, "not a JSON object")
	}
	if root.Get("object").Is("error") {
		return k.Failed(root, 0)
	}
	return k.Failed(root.Get("error"), 0)
}

// Usage reads a usage object; it is not Known if nothing was counted.
func (Kin) Usage(v scan.Value) inference.Usage { return usage(v) }

// ReadInput reads the usage of an operation that writes no tokens, where some say the
// total alone, as Jina does.
func ReadInput(v scan.Value) inference.Usage {
	u := usage(v)
	if total := v.Get("total_tokens"); !u.Known && total.Kind() == scan.Number {
		u = inference.Usage{Input: count(total), Known: true}
	}
	return u
}

// Finish returns what a finish_reason means; Unfinished if it is not given.
func (Kin) Finish(v scan.Value) inference.Finish { return finish(v) }

// AppendUsage appends a usage object.
func AppendUsage(dst []byte, u inference.Usage) []byte { return appendUsage(dst, u) }

// Rename appends, in order, the edits that give a request the upstream's name for
// its model and keep from it those that the request may fall back to. A model of the
// same name costs no edit.
func Rename(dst []scan.Edit, d *scan.Doc, model string) []scan.Edit {
	root := d.Root()
	first := len(dst)
	if name := root.Get("model"); !name.Is(model) {
		dst = append(dst, scan.Replace(name, scan.AppendString(make([]byte, 0, len(model)+2), model)))
	}
	if models := root.Get("models"); models.Exists() {
		dst = append(dst, scan.Cut(root, models))
	}
	return sorted(dst, first)
}

// Fallbacks reads the models to fall back to.
func Fallbacks(f *dialect.Fields, v scan.Value) []string { return fallbacks(f, v) }

// Prompts are what a model is to read, as completions and embeddings take it: a
// text, several, the tokens of one, or those of several.
type Prompts struct {
	Count   int
	Tokens  int  // of all, estimated where they are texts
	Longest int  // of one
	Encoded bool // they are tokens
}

// ReadPrompts reads them from a field.
func ReadPrompts(f *dialect.Fields, v scan.Value, param string) Prompts {
	const forms = "must be a string, or an array of strings, of tokens or of arrays of tokens"
	var p Prompts
	switch v.Kind() {
	case scan.String:
		p.text(v)
		return p
	case scan.Array:
	case scan.Absent, scan.Null:
		f.Wrong(param, "is missing; it "+forms)
		return p
	default:
		f.Wrong(param, forms)
		return p
	}
	kind := scan.Absent
	for e := range v.All() {
		switch {
		case kind == scan.Absent:
			kind = e.Kind()
		case kind != e.Kind():
			kind = scan.Null // none of the forms
		}
		switch e.Kind() {
		case scan.String:
			p.text(e)
		case scan.Array:
			p.tokens(f, e, param)
		}
	}
	switch kind {
	case scan.String, scan.Array:
	case scan.Number:
		p.tokens(f, v, param)
	case scan.Absent:
		f.Wrong(param, "must not be empty")
	default:
		f.Wrong(param, forms)
	}
	return p
}

func (p *Prompts) text(v scan.Value) {
	p.add(max(1, v.TextLen()/dialect.BytesPerToken))
}

func (p *Prompts) tokens(f *dialect.Fields, v scan.Value, param string) {
	for t := range v.All() {
		if n, ok := t.Int(); !ok || n < 0 {
			f.Wrong(param, "must hold tokens, which are whole numbers from 0")
		}
	}
	if v.Len() == 0 {
		f.Wrong(param, "must not hold empty arrays")
	}
	p.Encoded = true
	p.add(v.Len())
}

func (p *Prompts) add(tokens int) {
	p.Count++
	p.Tokens += tokens
	p.Longest = max(p.Longest, tokens)
}
