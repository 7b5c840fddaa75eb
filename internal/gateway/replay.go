package gateway

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"headworks/internal/dialect/openai"
	"headworks/internal/engine"
	"headworks/internal/inference"
	"headworks/internal/reuse"
	"headworks/internal/scan"
)

// piece is how much text of a whole answer is in one event of a stream, in bytes.
const piece = 64

// turns reports whether answers in a dialect can be given in the other form, stream or
// whole.
func turns(d inference.Dialect) bool {
	_, ok := engine.Spoken(d)
	return ok
}

// play makes an answer of a recording, with names of its own, in the form that the
// request asks for. The recording may be used again only if it is not own. False: it
// cannot be given so.
func play(rec *reuse.Recording, own bool, r *Request) (c engine.Chunk, ok bool) {
	c = engine.Chunk{
		Type: rec.Media, Last: true,
		Event: inference.Event{Content: true, Finishes: 1, Finish: rec.Finish, Usage: rec.Usage, Terminal: true},
	}
	deltas := rec.Deltas
	switch {
	case rec.Raw != nil && rec.Stream == r.Stream:
		if !own {
			rec = new(*rec)
			rec.Raw = slices.Clone(rec.Raw)
		}
		if !rec.Rename(r.answerID(), created(r.Arrived)) {
			return c, false
		}
		switch c.Raw = rec.Raw; {
		case !r.WantUsage:
			c.Raw = rec.Raw[:len(rec.Raw)-rec.Aside]
		case rec.Aside == 0:
			c.Raw = appendUsage(rec.Raw, r.Dialect, rec.Raw, rec.Usage)
		}
		return c, true
	case rec.Raw != nil:
		if deltas, ok = stepsIn(r.Dialect, rec); !ok {
			return c, false
		}
	}
	if !r.Stream {
		c.Answer = answerOf(deltas, rec.Usage)
		return c, true
	}
	if c.Deltas = deltas; !rec.Stream {
		c.Deltas = split(deltas)
	}
	return c, true
}

func (r *Request) answerID() string { return r.AnswerID + r.ID.String() }

func created(at time.Time) []byte { return strconv.AppendInt(nil, at.Unix(), 10) }

// appendUsage appends the event that tells the usage of a stream whose upstream was not
// asked for one, in the dialects where it is, under the names that its first event has.
func appendUsage(dst []byte, d inference.Dialect, events []byte, u inference.Usage) []byte {
	object := ""
	switch d {
	case inference.OpenAI:
		object = "chat.completion.chunk"
	case inference.Completions:
		object = "text_completion"
	default:
		return dst
	}
	doc := new(scan.Doc)
	if !u.Known || doc.ScanLax(engine.FirstData(events)) != nil {
		return dst
	}
	root := doc.Root()
	made, _ := root.Get("created").Int()
	return openai.AppendUsageEvent(dst, object, root.Get("id").Text(), root.Get("model").Text(), made, u)
}

// stepsIn reads the steps of an answer in the bytes of a dialect.
func stepsIn(d inference.Dialect, rec *reuse.Recording) ([]inference.Delta, bool) {
	p, ok := engine.Spoken(d)
	if !ok {
		return nil, false
	}
	doc := new(scan.Doc)
	if !rec.Stream {
		if doc.ScanLax(rec.Raw) != nil {
			return nil, false
		}
		a, err := p.DecodeAnswer(doc)
		if err != nil {
			return nil, false
		}
		return stepsOf(a)
	}
	deltas, err := engine.Steps(&p, rec.Raw, doc)
	return deltas, err == nil
}

// stepsOf returns a whole answer as the steps that lead to it; false where it has parts
// that steps cannot tell.
func stepsOf(a *inference.Answer) ([]inference.Delta, bool) {
	deltas := []inference.Delta{{Kind: inference.Begin, ID: a.ID, Model: a.Model}}
	add := func(kind inference.DeltaKind, i int, text string) {
		if text != "" {
			deltas = append(deltas, inference.Delta{Kind: kind, Index: i, Text: text})
		}
	}
	for i := range a.Parts {
		p := &a.Parts[i]
		if len(p.Private) > 0 || len(p.Parts) > 0 {
			return nil, false
		}
		switch p.Kind {
		case inference.Text:
			add(inference.TextDelta, i, p.Text)
		case inference.Thinking:
			add(inference.ThoughtDelta, i, p.Text)
			add(inference.Signed, i, p.Signature)
		case inference.Redacted:
			add(inference.Sealed, i, p.Data)
		case inference.Refusal:
			add(inference.RefusalDelta, i, p.Text)
		case inference.ToolUse:
			add(inference.Signed, i, p.Signature)
			deltas = append(deltas, inference.Delta{Kind: inference.ToolBegin, Index: i, ID: p.ID, Name: p.Name})
			add(inference.ToolDelta, i, p.Data)
		default:
			return nil, false
		}
	}
	return append(deltas, inference.Delta{Kind: inference.End, Finish: a.Finish, StopSequence: a.StopSequence, Usage: a.Usage}), true
}

// answerOf returns the whole answer that steps lead to.
func answerOf(deltas []inference.Delta, usage inference.Usage) *inference.Answer {
	a := &inference.Answer{Usage: usage}
	var text []strings.Builder // of Parts
	last, signed := -1, ""
	part := func(d *inference.Delta, kind inference.PartKind) int {
		i := len(a.Parts) - 1
		if i < 0 || d.Index != last || a.Parts[i].Kind != kind {
			a.Parts, text = append(a.Parts, inference.Part{Kind: kind}), append(text, strings.Builder{})
			last, i = d.Index, i+1
		}
		return i
	}
	for i := range deltas {
		switch d := &deltas[i]; d.Kind {
		case inference.Begin:
			a.ID, a.Model = d.ID, d.Model
		case inference.TextDelta:
			text[part(d, inference.Text)].WriteString(d.Text)
		case inference.ThoughtDelta:
			text[part(d, inference.Thinking)].WriteString(d.Text)
		case inference.RefusalDelta:
			text[part(d, inference.Refusal)].WriteString(d.Text)
		case inference.Signed:
			if n := len(a.Parts); n > 0 && a.Parts[n-1].Kind == inference.Thinking && d.Index == last {
				a.Parts[n-1].Signature += d.Text
			} else {
				signed = d.Text
			}
		case inference.Sealed:
			a.Parts, text = append(a.Parts, inference.Part{Kind: inference.Redacted, Data: d.Text}), append(text, strings.Builder{})
			last = -1
		case inference.ToolBegin:
			a.Parts = append(a.Parts, inference.Part{Kind: inference.ToolUse, ID: d.ID, Name: d.Name, Signature: signed})
			text = append(text, strings.Builder{})
			last, signed = d.Index, ""
		case inference.ToolDelta:
			for n, p := range slices.Backward(a.Parts) {
				if p.Kind == inference.ToolUse {
					text[n].WriteString(d.Text)
					break
				}
			}
		case inference.End:
			a.Finish, a.StopSequence = d.Finish, d.StopSequence
		}
	}
	for i := range a.Parts {
		switch p := &a.Parts[i]; p.Kind {
		case inference.ToolUse:
			p.Data = text[i].String()
		case inference.Redacted:
		default:
			p.Text = text[i].String()
		}
	}
	return a
}

// split cuts texts that came whole into pieces, as a stream has them: between words, and
// never within a character.
func split(deltas []inference.Delta) []inference.Delta {
	var all []inference.Delta
	for _, d := range deltas {
		if d.Kind != inference.TextDelta && d.Kind != inference.ThoughtDelta {
			all = append(all, d)
			continue
		}
		for rest := d.Text; rest != ""; {
			n := len(rest)
			if n > piece {
				n = piece
				if i := strings.LastIndexByte(rest[:n], ' '); i > 0 {
					n = i
				}
				for n > 1 && !utf8.RuneStart(rest[n]) {
					n--
				}
			}
			d.Text, rest = rest[:n], rest[n:]
			all = append(all, d)
		}
	}
	return all
}

// names returns how the bytes of an answer write its id and when it was made; nil where
// they say neither.
func names(d inference.Dialect, stream bool, raw []byte) (id, made []byte) {
	doc := new(scan.Doc)
	if stream {
		raw = engine.FirstData(raw)
	}
	if doc.ScanLax(raw) != nil {
		return nil, nil
	}
	root := doc.Root()
	member := func(v scan.Value, key string) []byte {
		m := v.Get(key)
		if m.Kind() != scan.Number {
			return nil
		}
		_, end := m.Span()
		// Between the key and its number stand a colon and perhaps space.
		if start := bytes.LastIndex(raw[:end], []byte(`"`+key+`"`)); start >= 0 {
			return raw[start:end]
		}
		return nil
	}
	switch d {
	case inference.OpenAI, inference.Completions:
		return written(root.Get("id")), member(root, "created")
	case inference.Anthropic:
		if m := root.Get("message"); m.Exists() {
			root = m
		}
		return written(root.Get("id")), nil
	case inference.Responses:
		if m := root.Get("response"); m.Exists() {
			root = m
		}
		return written(root.Get("id")), member(root, "created_at")
	case inference.Gemini:
		return written(root.Get("responseId")), nil
	default: // no answer has a name in the others
	}
	return nil, nil
}

func written(v scan.Value) []byte {
	if v.Kind() != scan.String {
		return nil
	}
	return v.Raw()
}

// declines reports whether the bytes of an answer say that the model refused. Within a
// text, quotes are escaped, and none of these stands there.
func declines(raw []byte) bool {
	if bytes.Contains(raw, []byte(`"type":"refusal"`)) || bytes.Contains(raw, []byte(`"type":"response.refusal`)) {
		return true
	}
	key := []byte(`"refusal"`)
	for {
		i := bytes.Index(raw, key)
		if i < 0 {
			return false
		}
		raw = bytes.TrimLeft(raw[i+len(key):], " \t\r\n:")
		if len(raw) > 1 && raw[0] == '"' && raw[1] != '"' {
			return true
		}
	}
}
