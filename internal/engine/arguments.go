package engine

import (
	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
)

const errArguments = "the arguments of a tool call are no JSON object"

// objects reports whether the arguments of a call are an object in a dialect, where in
// others they are whatever text the model wrote.
func objects(d inference.Dialect) bool {
	return d == inference.Anthropic || d == inference.Gemini || d == inference.Ollama
}

// tellable returns the fault of an answer that the caller's dialect has no way to
// tell: arguments of a call are an object there, and what the model wrote is none. An
// answer that ended at the limit of its length may well hold the beginning of one.
func tellable(a *inference.Answer, in inference.Dialect) error {
	if !objects(in) || a.Finish == inference.Length {
		return nil
	}
	for i := range a.Parts {
		if p := &a.Parts[i]; p.Kind == inference.ToolUse && p.Data != "" && !dialect.IsObject(p.Data) {
			return dialect.Broken(fault.Malformed, errArguments)
		}
	}
	return nil
}

// arguments follows the arguments of a stream's tool calls: whether each is one object
// from the first brace to the last. What stands between is not looked at more closely;
// that would need all of it at once.
type arguments struct{ calls []braces }

// braces is how far the arguments of one call have come.
type braces struct {
	index    int
	depth    int
	text     bool // inside of a string ...
	escaped  bool // ... behind a backslash
	over, no bool // the object has ended; it is none
}

// follow takes in what a step says, and reports whether the answer ends there though a
// call has no object.
func (a *arguments) follow(d *inference.Delta) (broken bool) {
	switch d.Kind {
	case inference.ToolBegin:
		a.calls = append(a.calls, braces{index: d.Index})
	case inference.ToolDelta:
		for i := range a.calls {
			if a.calls[i].index == d.Index {
				a.calls[i].read(d.Text)
			}
		}
	case inference.End:
		if d.Finish == inference.Length {
			return false
		}
		for i := range a.calls {
			if c := &a.calls[i]; c.no || c.depth > 0 {
				return true
			}
		}
	default:
	}
	return false
}

func (b *braces) read(text string) {
	for i := range len(text) {
		c := text[i]
		switch {
		case b.text:
			switch {
			case b.escaped:
				b.escaped = false
			case c == '\\':
				b.escaped = true
			case c == '"':
				b.text = false
			}
		case c == ' ' || c == '\n' || c == '\r' || c == '\t':
		case b.over, b.depth == 0 && c != '{':
			b.no = true
			return
		case c == '"':
			b.text = true
		case c == '{' || c == '[':
			b.depth++
		case c == '}' || c == ']':
			b.depth--
			b.over = b.depth == 0
		}
	}
}
