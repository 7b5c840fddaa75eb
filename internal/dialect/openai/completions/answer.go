package completions

import (
	"strconv"

	"headworks/internal/dialect"
	"headworks/internal/dialect/openai"
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
	e := inference.Event{Terminal: true, Content: true, Usage: kin.Usage(root.Get("usage"))}
	for c := range choices.All() {
		if f := dialect.Once(c, "text", "finish_reason"); f != nil {
			return f
		}
		text, reason := c.Get("text"), c.Get("finish_reason")
		switch {
		case text.Kind() != scan.String:
			return dialect.Broken(fault.Malformed, "a choice has no text")
		case reason.Exists() && !reason.Given():
			return dialect.Broken(fault.Incomplete, "a choice of a whole answer says that it has not finished")
		}
		e.Text += text.TextLen()
		e.Finishes++
		if e.Finish = kin.Finish(reason); e.Finish == inference.Unfinished {
			e.Finish = inference.Stop
		}
	}
	*into = e
	return nil
}

// EncodeAnswer writes a whole answer: its text, and what it says where it refuses.
// A thought has no place in this dialect.
func EncodeAnswer(a *inference.Answer) []byte {
	var text []byte
	for _, p := range a.Parts {
		if p.Kind == inference.Text || p.Kind == inference.Refusal {
			text = append(text, p.Text...)
		}
	}
	dst := head(make([]byte, 0, 256+len(text)), a.ID, a.Model, a.Created)
	dst = choice(append(dst, `"choices":[`...), text, a.Finish)
	dst = append(dst, ']')
	if a.Usage.Known {
		dst = openai.AppendUsage(scan.AppendKey(dst, "usage"), a.Usage)
	}
	return append(dst, '}')
}

// head appends the beginning of an answer or of an event, up to its choices.
func head(dst []byte, id, model string, created int64) []byte {
	dst = scan.AppendString(append(dst, `{"id":`...), id)
	dst = append(dst, `,"object":"text_completion","created":`...)
	dst = strconv.AppendInt(dst, created, 10)
	dst = scan.AppendString(scan.AppendKey(dst, "model"), model)
	return append(dst, ',')
}

func choice[T string | []byte](dst []byte, text T, f inference.Finish) []byte {
	dst = scan.AppendString(append(dst, `{"text":`...), text)
	dst = append(dst, `,"index":0,"logprobs":null,"finish_reason":`...)
	switch f {
	case inference.Unfinished:
		return append(dst, "null}"...)
	case inference.Length:
		return append(dst, `"length"}`...)
	case inference.ContentFilter:
		return append(dst, `"content_filter"}`...)
	case inference.Stop, inference.ToolCalls, inference.StopSequence, inference.Pause:
	}
	return append(dst, `"stop"}`...)
}

// Writer writes a streamed answer as server-sent events. Its fields are set before
// the first Delta. Terminal, failures and signs of life are those of chat.
type Writer struct{ openai.Writer }

// Delta appends the events of one step.
func (w *Writer) Delta(dst []byte, d inference.Delta) []byte {
	switch d.Kind {
	case inference.TextDelta, inference.RefusalDelta:
		return w.event(dst, d.Text, inference.Unfinished)
	case inference.End:
		dst = w.event(dst, "", d.Finish)
		if w.Usage && d.Usage.Known {
			dst = head(append(dst, "data: "...), w.ID, w.Model, w.Created)
			dst = append(dst, `"choices":[],"usage":`...)
			dst = append(openai.AppendUsage(dst, d.Usage), "}\n\n"...)
		}
	case inference.Begin, inference.ThoughtDelta, inference.Signed, inference.Sealed, inference.ToolBegin, inference.ToolDelta:
		// have no place in this dialect
	}
	return dst
}

func (w *Writer) event(dst []byte, text string, f inference.Finish) []byte {
	dst = head(append(dst, "data: "...), w.ID, w.Model, w.Created)
	dst = append(choice(append(dst, `"choices":[`...), text, f), ']')
	if w.Usage {
		dst = append(dst, `,"usage":null`...)
	}
	return append(dst, "}\n\n"...)
}
