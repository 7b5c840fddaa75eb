package gemini

import (
	"strconv"
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
	if f := inside(root); f != nil {
		return f
	}
	candidates := root.Get("candidates")
	refused := blocked(root)
	if (candidates.Kind() != scan.Array || candidates.Len() == 0) && !refused {
		return dialect.Broken(fault.Malformed, "the answer has no candidates")
	}
	e := inference.Event{Terminal: true, Content: true}
	if refused && candidates.Len() == 0 {
		e.Finishes, e.Finish = 1, inference.ContentFilter
	}
	for c := range candidates.All() {
		if f := dialect.Once(c, "content", "finishReason"); f != nil {
			return f
		}
		said := look(c.Get("content"))
		e.Text += said.text
		e.Finishes++
		f, _ := finish(c.Get("finishReason"))
		switch {
		case f == inference.Unfinished && said.nothing:
			return dialect.Broken(fault.Incomplete, "a candidate of a whole answer has neither content nor a finishReason")
		case said.calls > 0 && (f == inference.Unfinished || f == inference.Stop):
			f = inference.ToolCalls
		case f == inference.Unfinished: // its JSON is whole, so a reason that is missing hides no cut
			f = inference.Stop
		}
		e.Finish = f
	}
	var n counts
	n.add(root.Get("usageMetadata"))
	e.Usage = n.usage()
	*into = e
	return nil
}

// inside returns the fault that a whole body or an event tells of, or nil. Google
// sends some errors as an array of one.
func inside(root scan.Value) *fault.Error {
	if root.Kind() == scan.Array && root.Len() == 1 {
		for only := range root.All() {
			if e := only.Get("error"); truthy(e) {
				return failed(e, 0)
			}
		}
	}
	if root.Kind() != scan.Object {
		return dialect.Broken(fault.Malformed, "not a JSON object")
	}
	if e := root.Get("error"); truthy(e) {
		return failed(e, 0)
	}
	if f := dialect.Once(root, "candidates", "error", "usageMetadata", "promptFeedback", "responseId"); f != nil {
		return f
	}
	return nil
}

// said is what a content holds.
type said struct {
	text    int // bytes of text, thought and arguments
	calls   int
	nothing bool // but empty texts
}

func look(content scan.Value) said {
	s := said{nothing: true}
	for p := range content.Get("parts").All() {
		for m := range p.All() {
			switch string(m.Key()) {
			case "text":
				s.text += m.TextLen()
				s.nothing = s.nothing && m.TextLen() == 0
			case "functionCall":
				s.text += len(m.Get("args").Raw())
				s.calls++
				s.nothing = false
			case "inlineData", "fileData", "executableCode", "codeExecutionResult", "toolCall", "toolResponse":
				s.text += len(m.Get("code").Raw()) + len(m.Get("output").Raw())
				s.nothing = false
			}
		}
	}
	return s
}

// DecodeAnswer reads a whole answer; only its first candidate goes to another
// dialect. What ran on the upstream's side is left out: no other dialect has it.
// An answer that came to no proper end, or holds what no other dialect can, is a
// *fault.Error.
func DecodeAnswer(d *scan.Doc) (*inference.Answer, error) {
	var e inference.Event
	if err := ReadAnswer(d, &e); err != nil {
		return nil, err
	}
	root := d.Root()
	a := &inference.Answer{
		ID: root.Get("responseId").Text(), Model: root.Get("modelVersion").Text(), Finish: e.Finish, Usage: e.Usage,
	}
	calls := 0
	for c := range root.Get("candidates").All() {
		f, bad := finish(c.Get("finishReason"))
		if bad {
			return nil, unfit()
		}
		for p := range c.Get("content").Get("parts").All() {
			if p.Get("inlineData").Exists() || p.Get("fileData").Exists() {
				return nil, picture()
			}
			a.Parts = appendPart(a.Parts, p, a.ID, calls)
			if p.Get("functionCall").Exists() {
				calls++
			}
		}
		a.Finish = f
		switch {
		case calls > 0 && (f == inference.Unfinished || f == inference.Stop):
			a.Finish = inference.ToolCalls
		case f == inference.Unfinished:
			a.Finish = inference.Stop
		}
		break
	}
	return a, nil
}

// picture is the fault of an answer with a medium in it.
func picture() *fault.Error {
	return fault.New(fault.Unsupported, "the model answered with a picture or another medium, which cannot be told in the dialect of this request; ask at /v1beta, in Gemini's own")
}

// appendPart appends a part of an answer. The signature of a call stands in a
// thought before it too, for dialects whose calls have none.
func appendPart(parts []inference.Part, p scan.Value, answer string, calls int) []inference.Part {
	signature := p.Get("thoughtSignature").Text()
	if signature != "" {
		signature = dialect.ByGoogle + signature
	}
	text := p.Get("text")
	thought, _ := p.Get("thought").Bool()
	call := p.Get("functionCall")
	switch n := len(parts) - 1; {
	case call.Exists():
		if signature != "" {
			parts = append(parts, inference.Part{Kind: inference.Thinking, Signature: signature})
		}
		return append(parts, inference.Part{
			Kind: inference.ToolUse, ID: callID(call, answer, calls), Name: call.Get("name").Text(), Data: arguments(call), Signature: signature,
		})
	case thought && n >= 0 && parts[n].Kind == inference.Thinking && parts[n].Signature == "":
		parts[n].Text += text.Text()
		parts[n].Signature = signature
	case thought:
		parts = append(parts, inference.Part{Kind: inference.Thinking, Text: text.Text(), Signature: signature})
	default:
		if text.TextLen() > 0 {
			parts = append(parts, inference.Part{Kind: inference.Text, Text: text.Text()})
		}
		if signature != "" {
			parts = append(parts, inference.Part{Kind: inference.Thinking, Signature: signature})
		}
	}
	return parts
}

// callID returns the id of a call, or one that no other call has: models before
// Gemini 3 give none, and other dialects want one. Its answer's id has the
// characters that all of them allow.
func callID(call scan.Value, answer string, n int) string {
	if id := call.Get("id").Text(); id != "" {
		return id
	}
	if len(answer) > 28 {
		answer = answer[len(answer)-28:] // OpenAI takes ids of 40 characters at most
	}
	return "call_" + answer + "_" + strconv.Itoa(n)
}

func arguments(call scan.Value) string {
	if args := call.Get("args"); args.Kind() == scan.Object {
		return string(args.Raw())
	}
	return "{}"
}

// EncodeAnswer writes a whole answer.
func EncodeAnswer(a *inference.Answer) []byte {
	w := Writer{ID: a.ID, Model: a.Model}
	var parts []byte
	f := a.Finish
	for _, p := range a.Parts {
		w.cited = append(w.cited, p.Citations...)
		switch p.Kind {
		case inference.Text, inference.Refusal:
			parts = appendText(parts, p.Text, false, "")
		case inference.Thinking:
			parts = appendText(parts, p.Text, true, p.Signature)
		case inference.Redacted:
			parts = appendText(parts, "", true, redacted+p.Data)
		case inference.ToolUse:
			if p.Data != "" && !dialect.IsObject(p.Data) {
				return w.tail(w.head(nil, nil), malformed, a.Usage)
			}
			parts = appendCall(parts, p.ID, p.Name, p.Data)
		default:
		}
	}
	return w.tail(w.head(nil, parts), reasons[f], a.Usage)
}

// malformed is how this dialect says that a model asked for a tool in a form that
// cannot be read.
const malformed = "MALFORMED_FUNCTION_CALL"

func appendText(dst []byte, text string, thought bool, signature string) []byte {
	dst = scan.AppendString(append(comma(dst), `{"text":`...), text)
	if thought {
		dst = append(dst, `,"thought":true`...)
	}
	if signature != "" {
		if s, ours := strings.CutPrefix(signature, dialect.ByGoogle); ours {
			signature = s
		} else {
			signature = wrap(signature)
		}
		dst = scan.AppendString(scan.AppendKey(dst, "thoughtSignature"), signature)
	}
	return append(dst, '}')
}

func appendCall(dst []byte, id, name, arguments string) []byte {
	dst = scan.AppendString(append(comma(dst), `{"functionCall":{"id":`...), id)
	dst = scan.AppendString(scan.AppendKey(dst, "name"), name)
	dst = scan.AppendKey(dst, "args")
	if arguments == "" {
		arguments = "{}"
	}
	return append(append(dst, arguments...), "}}"...)
}

// comma appends the comma between two parts.
func comma(dst []byte) []byte {
	if len(dst) > 0 {
		return append(dst, ',')
	}
	return dst
}

// ReadCount reads the facts of an answer to a request to count tokens.
func ReadCount(d *scan.Doc, into *inference.Event) error {
	root := d.Root()
	if f := inside(root); f != nil {
		return f
	}
	if n, ok := root.Get("totalTokens").Int(); !ok || n < 0 {
		return dialect.Broken(fault.Malformed, "the answer has no totalTokens")
	}
	*into = inference.Event{Terminal: true, Content: true, Finishes: 1, Finish: inference.Stop}
	return nil
}

// DecodeCount reads an answer to a request to count tokens.
func DecodeCount(d *scan.Doc) (*inference.Answer, error) {
	var e inference.Event
	if err := ReadCount(d, &e); err != nil {
		return nil, err
	}
	n, _ := d.Root().Get("totalTokens").Int()
	return &inference.Answer{Finish: inference.Stop, Usage: inference.Usage{Input: int(n)}}, nil
}

// AppendCount writes an answer to a request to count tokens.
func AppendCount(a *inference.Answer) []byte {
	return append(appendInt([]byte("{"), "totalTokens", a.Usage.Input), '}')
}
