package responses

import (
	"slices"
	"strconv"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Asked is what an answer repeats of its request, and what of the request decides
// on its form.
type Asked struct {
	Members []byte   // of the response object, with commas between them
	Custom  []string // names of custom tools
	Summary bool     // thoughts are wanted as a summary
	Found   *Found   // the search that the answer begins with; nil: none
}

// repeated are the members that every response has, and what stands there where the
// request says nothing.
var repeated = [...][2]string{
	{"instructions", "null"},
	{"max_output_tokens", "null"},
	{"metadata", "{}"},
	{"parallel_tool_calls", "true"},
	{"previous_response_id", "null"},
	{"reasoning", `{"effort":null,"summary":null}`},
	{"temperature", "null"},
	{"text", `{"format":{"type":"text"}}`},
	{"tool_choice", `"auto"`},
	{"tools", "[]"},
	{"top_p", "null"},
	{"truncation", `"disabled"`},
}

// Ask reads what an answer repeats of a request; stored is whether it is kept.
func Ask(d *scan.Doc, stored bool) Asked {
	root := d.Root()
	var q Asked
	member := func(key string, raw []byte) {
		if len(q.Members) > 0 {
			q.Members = append(q.Members, ',')
		}
		q.Members = append(append(append(q.Members, '"'), key...), `":`...)
		q.Members = append(q.Members, raw...)
	}
	for _, m := range repeated {
		if v := root.Get(m[0]); v.Given() {
			member(m[0], v.Raw())
		} else {
			member(m[0], []byte(m[1]))
		}
	}
	for _, key := range []string{"max_tool_calls", "prompt_cache_key", "safety_identifier", "service_tier", "top_logprobs", "user"} {
		if v := root.Get(key); v.Given() {
			member(key, v.Raw())
		}
	}
	member("store", strconv.AppendBool(nil, stored))
	for t := range root.Get("tools").All() {
		if t.Get("type").Is("custom") {
			q.Custom = append(q.Custom, t.Get("name").Text())
		}
	}
	if s := root.Get("reasoning").Get("summary"); s.TextLen() > 0 && !s.Is("none") {
		q.Summary = true
	}
	return q
}

// Writer writes a streamed answer as server-sent events. Its fields are set before
// the first Delta, or by it where they are empty.
//
// Items come in the order in which they begin. A text or a thought ends where
// another item begins, a call with the answer, since fragments of parallel calls
// may come mixed.
type Writer struct {
	ID      string
	Model   string
	Created int64 // Unix seconds
	Asked   Asked

	next  int // sequence number
	begun bool
	items []item
	open  int // number of the open text or thought, counted from 1; 0 for none
	end   inference.Delta
}

// item is one output item.
type item struct {
	kind   inference.DeltaKind // TextDelta, RefusalDelta, ThoughtDelta or ToolDelta
	block  int
	id     string
	call   string
	name   string
	custom bool
	text   []byte // or the arguments
	parted bool   // its one part has begun
	sealed string // encrypted_content
	cited  []inference.Citation
}

// Delta appends the events of one step.
func (w *Writer) Delta(dst []byte, d inference.Delta) []byte {
	switch d.Kind {
	case inference.Begin:
		if w.ID == "" {
			w.ID = d.ID
		}
		if w.Model == "" {
			w.Model = d.Model
		}
		return w.begin(dst)
	case inference.TextDelta:
		dst = w.text(dst, d)
		dst = w.part(w.event(dst, "response.output_text.delta"))
		return append(appendText(dst, "delta", d.Text), `,"logprobs":[]}`+"\n\n"...)
	case inference.RefusalDelta:
		dst = w.text(dst, d)
		return closed(appendText(w.part(w.event(dst, "response.refusal.delta")), "delta", d.Text))
	case inference.ThoughtDelta:
		dst = w.text(dst, d)
		return closed(appendText(w.part(w.event(dst, w.thought()+".delta")), "delta", d.Text))
	case inference.Signed:
		dst = w.text(dst, inference.Delta{Kind: inference.ThoughtDelta, Index: d.Index})
		w.items[w.open-1].sealed = sealedSignature + d.Text
	case inference.Sealed: // each is an item of its own
		dst = w.text(w.close(dst), inference.Delta{Kind: inference.ThoughtDelta, Index: d.Index})
		w.items[w.open-1].sealed = sealedThought + d.Text
		return w.close(dst)
	case inference.ToolBegin:
		dst = w.close(w.begin(dst))
		i := w.add(item{kind: inference.ToolDelta, block: d.Index, call: d.ID, name: d.Name})
		return w.added(dst, i)
	case inference.ToolDelta:
		return w.arguments(dst, d)
	case inference.End:
		w.end = d
		dst = w.close(w.begin(dst))
		for i := range w.items {
			if w.items[i].kind == inference.ToolDelta {
				dst = w.done(dst, i)
			}
		}
	}
	return dst
}

// End appends the terminal.
func (w *Writer) End(dst []byte) []byte {
	kind, _ := w.outcome()
	return closed(w.finished(append(w.event(dst, "response."+kind), `,"response":`...)))
}

// Fail appends an error in the place of the terminal: the event error, on which most
// clients go, and then response.failed, as OpenAI does. What was not begun yet is,
// since clients know no other first event.
//
// The error stands in the event twice: flat, as the reference has it, and as an
// object, as the service sends it.
func (w *Writer) Fail(dst []byte, f *fault.Error, _ string) []byte {
	dst = w.event(w.begin(dst), "error")
	dst = appendText(dst, "code", f.HTTPCode(true))
	dst = appendParam(appendText(dst, "message", f.Words), f)
	dst = closed(append(appendError(append(scan.AppendKey(dst, "error"), '{'), f, true), '}'))
	dst = append(w.event(dst, "response.failed"), `,"response":`...)
	dst = w.head(dst, "failed")
	dst = appendText(append(scan.AppendKey(dst, "error"), '{'), "code", reason(f))
	dst = append(appendText(dst, "message", f.Words), '}')
	return closed(w.tail(append(dst, `,"incomplete_details":null,"output":[],"usage":null`...)))
}

// KeepAlive appends a comment of one line. A blank line after it would be an empty
// event, on which openai-go before 3.43 fails.
func (w *Writer) KeepAlive(dst []byte) []byte { return append(dst, ": keep-alive\n"...) }

// Follow makes w go on where an upstream of this dialect stopped: events of the
// answer id were sent, the last of them with that number.
func (w *Writer) Follow(id string, last int) {
	w.ID, w.begun, w.next = id, true, last+1
}

// Whole returns the response object that the terminal holds. It is called after
// Delta has had the last step.
func (w *Writer) Whole() []byte { return w.finished(nil) }

func closed(dst []byte) []byte { return append(dst, "}\n\n"...) }

// event appends the beginning of an event, up to what only its kind has.
func (w *Writer) event(dst []byte, kind string) []byte {
	dst = append(append(append(dst, "event: "...), kind...), "\ndata: {"...)
	dst = appendInt(appendText(dst, "type", kind), "sequence_number", w.next)
	w.next++
	return dst
}

func (w *Writer) begin(dst []byte) []byte {
	if w.begun {
		return dst
	}
	w.begun = true
	for _, kind := range []string{"response.created", "response.in_progress"} {
		dst = w.head(append(w.event(dst, kind), `,"response":`...), "in_progress")
		dst = closed(w.tail(append(dst, `,"error":null,"incomplete_details":null,"output":[],"usage":null`...)))
	}
	if w.Asked.Found != nil {
		dst = w.search(dst)
	}
	return dst
}

// head appends the beginning of the response object.
func (w *Writer) head(dst []byte, status string) []byte {
	dst = appendText(append(dst, '{'), "id", w.ID)
	dst = appendText(dst, "object", "response")
	dst = appendInt(dst, "created_at", int(w.Created))
	return appendText(appendText(dst, "status", status), "model", w.Model)
}

// tail appends what it repeats of the request, and its end.
func (w *Writer) tail(dst []byte) []byte {
	members := w.Asked.Members
	if len(members) == 0 {
		members = Ask(&scan.Doc{}, false).Members
	}
	return append(append(append(dst, ','), members...), '}')
}

// outcome returns the status of the answer, and why it is incomplete.
func (w *Writer) outcome() (status, why string) {
	switch w.end.Finish {
	case inference.Length:
		return "incomplete", "max_output_tokens"
	case inference.ContentFilter:
		return "incomplete", "content_filter"
	}
	return "completed", ""
}

// finished appends the response object of an answer that has ended.
func (w *Writer) finished(dst []byte) []byte {
	status, why := w.outcome()
	dst = append(w.head(dst, status), `,"error":null,"incomplete_details":`...)
	if why == "" {
		dst = append(dst, "null"...)
	} else {
		dst = append(appendText(append(dst, '{'), "reason", why), '}')
	}
	dst = append(dst, `,"output":[`...)
	for i := range w.items {
		dst = w.appendItem(scan.AppendComma(dst), i, w.status(i))
	}
	dst = appendUsage(append(dst, `],"usage":`...), w.end.Usage)
	return w.tail(dst)
}

// status returns the status of an item once the answer has ended: what was cut
// short is the last.
func (w *Writer) status(i int) string {
	if status, _ := w.outcome(); i == len(w.items)-1 {
		return status
	}
	return "completed"
}

// add keeps another item, and returns its place.
func (w *Writer) add(it item) int {
	prefix := "msg_"
	switch it.kind {
	case inference.ThoughtDelta:
		prefix = "rs_"
	case searchKind:
		prefix = searchID
	case inference.ToolDelta:
		prefix = "fc_"
		if it.custom = slices.Contains(w.Asked.Custom, it.name); it.custom {
			prefix = "ctc_"
		}
	}
	it.id = prefix + trimmed(w.ID) + "_" + strconv.Itoa(len(w.items))
	w.items = append(w.items, it)
	return len(w.items) - 1
}

// trimmed returns the id of a response without its prefix, for those of its items.
func trimmed(id string) string {
	const prefix, most = "resp_", 48
	if len(id) > len(prefix) && id[:len(prefix)] == prefix {
		id = id[len(prefix):]
	}
	return id[:min(len(id), most)]
}

// of appends which item an event is about.
func (w *Writer) of(dst []byte, i int) []byte {
	return appendInt(appendText(dst, "item_id", w.items[i].id), "output_index", i)
}

// part appends which part of the open item an event is about.
func (w *Writer) part(dst []byte) []byte {
	i := w.open - 1
	index := "content_index"
	if w.items[i].kind == inference.ThoughtDelta && w.Asked.Summary {
		index = "summary_index"
	}
	return appendInt(w.of(dst, i), index, 0)
}

// thought is how the events of a thought's text are called.
func (w *Writer) thought() string {
	if w.Asked.Summary {
		return "response.reasoning_summary_text"
	}
	return "response.reasoning_text"
}

// added appends the event that begins an item.
func (w *Writer) added(dst []byte, i int) []byte {
	dst = appendInt(w.event(dst, "response.output_item.added"), "output_index", i)
	return closed(w.appendItem(append(dst, `,"item":`...), i, "in_progress"))
}

// text makes sure that the item of a text is open, keeps the text, and appends what
// has to come before it.
func (w *Writer) text(dst []byte, d inference.Delta) []byte {
	dst = w.begin(dst)
	if i := w.open - 1; i < 0 || w.items[i].kind != d.Kind || w.items[i].block != d.Index {
		dst = w.close(dst)
		i = w.add(item{kind: d.Kind, block: d.Index})
		dst = w.added(dst, i)
		w.open = i + 1
	}
	it := &w.items[w.open-1]
	if !it.parted && (d.Text != "" || d.Kind != inference.ThoughtDelta) {
		it.parted = true
		name := "response.content_part.added"
		if d.Kind == inference.ThoughtDelta && w.Asked.Summary {
			name = "response.reasoning_summary_part.added"
		}
		dst = closed(w.content(append(w.part(w.event(dst, name)), `,"part":`...), w.open-1))
	}
	it.text = append(it.text, d.Text...)
	return dst
}

// close appends the end of the open text or thought.
func (w *Writer) close(dst []byte) []byte {
	if w.open == 0 {
		return dst
	}
	i := w.open - 1
	it := &w.items[i]
	if it.parted {
		part := "response.content_part.done"
		switch it.kind {
		case inference.TextDelta:
			dst = w.part(w.event(dst, "response.output_text.done"))
			dst = append(appendText(dst, "text", it.text), `,"logprobs":[]`...)
		case inference.RefusalDelta:
			dst = appendText(w.part(w.event(dst, "response.refusal.done")), "refusal", it.text)
		case inference.ThoughtDelta:
			if w.Asked.Summary {
				part = "response.reasoning_summary_part.done"
			}
			dst = appendText(w.part(w.event(dst, w.thought()+".done")), "text", it.text)
		}
		dst = closed(dst)
		dst = closed(w.content(append(w.part(w.event(dst, part)), `,"part":`...), i))
	}
	w.open = 0
	return w.itemDone(dst, i)
}

func (w *Writer) itemDone(dst []byte, i int) []byte {
	status := "completed"
	if w.end.Kind == inference.End {
		status = w.status(i)
	}
	dst = appendInt(w.event(dst, "response.output_item.done"), "output_index", i)
	return closed(w.appendItem(append(dst, `,"item":`...), i, status))
}

// arguments appends a fragment of a call. The text of a custom tool is known when
// all its arguments are there.
func (w *Writer) arguments(dst []byte, d inference.Delta) []byte {
	for i := range w.items {
		it := &w.items[i]
		if it.kind != inference.ToolDelta || it.block != d.Index {
			continue
		}
		it.text = append(it.text, d.Text...)
		if !it.custom {
			dst = closed(appendText(w.of(w.event(dst, "response.function_call_arguments.delta"), i), "delta", d.Text))
		}
		break
	}
	return dst
}

// done appends the end of a call.
func (w *Writer) done(dst []byte, i int) []byte {
	it := &w.items[i]
	if it.custom {
		text := input(it.text)
		if len(text) > 0 {
			dst = closed(appendText(w.of(w.event(dst, "response.custom_tool_call_input.delta"), i), "delta", text))
		}
		dst = closed(appendText(w.of(w.event(dst, "response.custom_tool_call_input.done"), i), "input", text))
	} else {
		dst = appendText(w.of(w.event(dst, "response.function_call_arguments.done"), i), "name", it.name)
		dst = closed(appendText(dst, "arguments", it.text))
	}
	return w.itemDone(dst, i)
}

// appendItem appends an item as it is at a status: empty while it is in progress.
func (w *Writer) appendItem(dst []byte, i int, status string) []byte {
	it := &w.items[i]
	begun := status != "in_progress"
	dst = appendText(append(dst, '{'), "id", it.id)
	switch it.kind {
	case searchKind:
		dst = w.appendSearch(dst, status)
	case inference.ThoughtDelta:
		dst = appendText(dst, "type", "reasoning")
		said := begun && len(it.text) > 0
		dst = append(scan.AppendKey(dst, "summary"), '[')
		if said && w.Asked.Summary {
			dst = w.content(dst, i)
		}
		if dst = append(dst, ']'); !w.Asked.Summary {
			dst = append(scan.AppendKey(dst, "content"), '[')
			if said {
				dst = w.content(dst, i)
			}
			dst = append(dst, ']')
		}
		if begun && it.sealed != "" {
			dst = appendText(dst, "encrypted_content", it.sealed)
		}
	case inference.ToolDelta:
		kind, key, text := "function_call", "arguments", it.text
		if it.custom {
			kind, key, text = "custom_tool_call", "input", input(it.text)
		}
		if !begun {
			text = nil
		}
		if dst = appendText(dst, "type", kind); !it.custom {
			dst = appendText(dst, "status", status)
		}
		dst = appendText(appendText(dst, "call_id", it.call), "name", it.name)
		dst = appendText(dst, key, text)
	default:
		dst = appendText(appendText(dst, "type", "message"), "status", status)
		dst = append(appendText(dst, "role", "assistant"), `,"content":[`...)
		if begun {
			dst = w.content(dst, i)
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// content appends the one part of an item as far as its text is known.
func (w *Writer) content(dst []byte, i int) []byte {
	it := &w.items[i]
	kind, key := "output_text", "text"
	switch {
	case it.kind == inference.RefusalDelta:
		kind, key = "refusal", "refusal"
	case it.kind == inference.ThoughtDelta && w.Asked.Summary:
		kind = "summary_text"
	case it.kind == inference.ThoughtDelta:
		kind = "reasoning_text"
	}
	dst = appendText(appendText(append(dst, '{'), "type", kind), key, it.text)
	if it.kind == inference.TextDelta {
		dst = append(appendAnnotations(dst, it.cited), `,"logprobs":[]`...)
	}
	return append(dst, '}')
}
