package ollama

import (
	"strconv"
	"time"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// ReadAnswer reads the facts of a whole answer that was scanned, of either path:
// content, finish, usage. An error inside it, and a body that is no answer, are
// *fault.Error.
func ReadAnswer(d *scan.Doc, into *inference.Event) error {
	e, err := read(d.Root())
	switch {
	case err != nil:
		return err
	case !e.said.Exists():
		return dialect.Broken(fault.Malformed, "the answer has no message and no response")
	case !e.done:
		return dialect.Broken(fault.Incomplete, "a whole answer says that it is not done")
	}
	*into = e.Event
	return nil
}

// line is what a line of a stream tells, or a whole answer.
type line struct {
	inference.Event
	said     scan.Value // the message, or the response
	thinking scan.Value
	calls    scan.Value
	text     scan.Value
	done     bool
}

// read reads a line. A message is of /api/chat, a response of /api/generate.
func read(root scan.Value) (line, error) {
	var l line
	if root.Kind() != scan.Object {
		return l, dialect.Broken(fault.Malformed, "not a JSON object")
	}
	// An error decides, whatever stands beside it.
	if f := failed(root.Get("error"), 0); f != nil {
		return l, f
	}
	if f := dialect.Once(root, "error", "message", "response", "done", "done_reason", "prompt_eval_count", "eval_count"); f != nil {
		return l, f
	}
	message, response, done := root.Get("message"), root.Get("response"), root.Get("done")
	switch {
	case message.Given() && response.Given():
		return l, dialect.Broken(fault.Malformed, "a message and a response in one")
	case message.Given():
		if message.Kind() != scan.Object {
			return l, dialect.Broken(fault.Malformed, "a message that is not an object")
		}
		if f := dialect.Once(message, "content", "thinking", "tool_calls"); f != nil {
			return l, f
		}
		l.said, l.text = message, message.Get("content")
		l.thinking, l.calls = message.Get("thinking"), message.Get("tool_calls")
	case response.Given():
		l.said, l.text = response, response
		l.thinking, l.calls = root.Get("thinking"), root.Get("tool_calls")
	}
	if done.Given() && done.Kind() != scan.Bool || l.text.Given() && l.text.Kind() != scan.String {
		return l, dialect.Broken(fault.Malformed, "a field of another type than the dialect has")
	}
	l.done, _ = done.Bool()
	if !l.said.Exists() && !l.done {
		return l, dialect.Broken(fault.Malformed, "a line that says nothing")
	}
	l.Text = l.text.TextLen() + l.thinking.TextLen()
	l.Content = l.Text > 0 || l.calls.Len() > 0
	for c := range l.calls.All() {
		l.Text += len(c.Get("function").Get("arguments").Raw())
	}
	if l.done {
		l.Terminal, l.Content, l.Finishes = true, true, 1
		l.Finish = finish(root.Get("done_reason"), l.calls.Len() > 0)
		l.Usage = usage(root)
	}
	return l, nil
}

// DecodeAnswer reads a whole answer.
func DecodeAnswer(d *scan.Doc) (*inference.Answer, error) {
	var e inference.Event
	if err := ReadAnswer(d, &e); err != nil {
		return nil, err
	}
	root := d.Root()
	l, err := read(root)
	if err != nil {
		return nil, err
	}
	a := &inference.Answer{Model: root.Get("model").Text(), Finish: e.Finish, Usage: e.Usage}
	if at, err := time.Parse(time.RFC3339, root.Get("created_at").Text()); err == nil {
		a.Created = at.Unix()
	}
	for _, p := range []inference.Part{{Kind: inference.Thinking, Text: l.thinking.Text()}, {Kind: inference.Text, Text: l.text.Text()}} {
		if p.Text != "" {
			a.Parts = append(a.Parts, p)
		}
	}
	i := 0
	for c := range l.calls.All() {
		a.Parts = append(a.Parts, called(c, root, i))
		i++
	}
	return a, nil
}

// called reads a call. Older versions give it no id, and other dialects need one that
// no other answer of a conversation has: it is made of the moment of the answer, which
// stands in every line to the nanosecond, and of its place.
func called(c, root scan.Value, i int) inference.Part {
	f := c.Get("function")
	p := inference.Part{Kind: inference.ToolUse, ID: c.Get("id").Text(), Name: f.Get("name").Text(), Data: "{}"}
	if arguments := f.Get("arguments"); arguments.Kind() == scan.Object {
		p.Data = string(arguments.Raw())
	}
	if p.ID == "" {
		p.ID = "call_" + strconv.FormatUint(dialect.Session(root.Get("created_at").Bytes()), 36) + "_" + strconv.Itoa(i)
	}
	return p
}

// EncodeAnswer writes a whole answer to /api/chat. One whose call has no object for
// arguments cannot be told here: what is written then is an error.
func EncodeAnswer(a *inference.Answer) []byte {
	var text, thought []byte
	var calls calling
	for _, p := range a.Parts {
		switch p.Kind {
		case inference.Text, inference.Refusal:
			text = append(text, p.Text...)
		case inference.Thinking:
			thought = append(thought, p.Text...)
		case inference.ToolUse:
			calls.add(p.ID, p.Name, p.Data)
		default:
		}
	}
	if calls.broken {
		return AppendError(nil, errArguments, "")
	}
	dst := head(make([]byte, 0, 512+len(text)+len(thought)), a.Model, time.Unix(a.Created, 0))
	dst = calls.message(dst, text, thought)
	return append(end(dst, a.Finish, a.Usage), '}')
}

// EncodeGenerated writes a whole answer to /api/generate, where calls have no place.
func EncodeGenerated(a *inference.Answer) []byte {
	var text, thought []byte
	for _, p := range a.Parts {
		switch p.Kind {
		case inference.Text, inference.Refusal:
			text = append(text, p.Text...)
		case inference.Thinking:
			thought = append(thought, p.Text...)
		default:
		}
	}
	dst := head(make([]byte, 0, 512+len(text)+len(thought)), a.Model, time.Unix(a.Created, 0))
	dst = response(dst, text, thought)
	return append(end(dst, a.Finish, a.Usage), '}')
}

// Idle returns the answer to a request that asks nothing of a model: with it Ollama's
// clients have one loaded before they need it, or unloaded. It is nil for any other.
// Nothing is loaded or unloaded by it: which models run is the operator's to say.
func Idle(d *scan.Doc, r *inference.Request, now time.Time) []byte {
	root := d.Root()
	dst := head(nil, r.Model, now)
	switch {
	case r.Dialect == inference.Ollama && root.Get("messages").Len() == 0:
		dst = (&calling{}).message(dst, nil, nil)
	case r.Dialect == inference.OllamaGenerate && root.Get("prompt").TextLen() == 0 && root.Get("images").Len() == 0:
		dst = response(dst, "", "")
	default:
		return nil
	}
	why := "load"
	switch string(root.Get("keep_alive").Raw()) {
	case "0", `"0"`, `"0s"`, `"0m"`:
		why = "unload"
	}
	dst = append(scan.AppendKey(dst, "done"), "true"...)
	return append(scan.AppendString(scan.AppendKey(dst, "done_reason"), why), '}')
}

// head appends the beginning of an answer or of a line.
func head(dst []byte, model string, at time.Time) []byte {
	dst = scan.AppendString(append(dst, `{"model":`...), model)
	dst = at.UTC().AppendFormat(append(scan.AppendKey(dst, "created_at"), '"'), time.RFC3339Nano)
	return append(dst, '"')
}

// response appends what a line of /api/generate says.
func response[T string | []byte](dst []byte, text, thought T) []byte {
	dst = scan.AppendString(scan.AppendKey(dst, "response"), text)
	if len(thought) > 0 {
		dst = scan.AppendString(scan.AppendKey(dst, "thinking"), thought)
	}
	return dst
}

// end appends what the last line says. How long an upstream took for what is not
// known.
func end(dst []byte, f inference.Finish, u inference.Usage) []byte {
	dst = append(scan.AppendKey(dst, "done"), "true"...)
	dst = scan.AppendString(scan.AppendKey(dst, "done_reason"), reason(f))
	if u.Known {
		dst = strconv.AppendInt(scan.AppendKey(dst, "prompt_eval_count"), int64(u.Input), 10)
		dst = strconv.AppendInt(scan.AppendKey(dst, "eval_count"), int64(u.Output), 10)
	}
	return dst
}

// errArguments is what becomes of a call whose arguments are no object.
var errArguments = dialect.Broken(fault.Malformed, "the arguments of a tool call are not a JSON object")

// calling writes tool calls, whose arguments are objects here and text elsewhere.
type calling struct {
	list   []byte // of those that are whole
	n      int
	broken bool
}

func (c *calling) add(id, name, arguments string) {
	if arguments == "" {
		arguments = "{}"
	}
	if !dialect.IsObject(arguments) {
		c.broken = true
		return
	}
	if len(c.list) > 0 {
		c.list = append(c.list, ',')
	}
	c.list = append(c.list, '{')
	if id != "" {
		c.list = append(scan.AppendString(append(c.list, `"id":`...), id), ',')
	}
	c.list = strconv.AppendInt(append(c.list, `"function":{"index":`...), int64(c.n), 10)
	c.list = scan.AppendString(scan.AppendKey(c.list, "name"), name)
	c.list = append(append(c.list, `,"arguments":`...), arguments...)
	c.list = append(c.list, "}}"...)
	c.n++
}

// message appends what a line of /api/chat says, the calls with it.
func (c *calling) message(dst, text, thought []byte) []byte {
	dst = append(scan.AppendKey(dst, "message"), `{"role":"assistant","content":`...)
	dst = scan.AppendString(dst, text)
	if len(thought) > 0 {
		dst = scan.AppendString(scan.AppendKey(dst, "thinking"), thought)
	}
	if len(c.list) > 0 {
		dst = append(append(append(dst, `,"tool_calls":[`...), c.list...), ']')
	}
	c.list = c.list[:0]
	return append(dst, '}')
}
