package responses

import (
	"strconv"
	"strings"

	"headworks/internal/dialect"
	"headworks/internal/scan"
)

// Resolved returns what Items does, with the item in the place of each reference.
func Resolved(d *scan.Doc, referred map[string][]byte) []byte {
	in := d.Root().Get("input")
	if in.Kind() != scan.Array {
		return Items(d)
	}
	var all []byte
	for v := range in.All() {
		if len(all) > 0 {
			all = append(all, ',')
		}
		if itemKind(v) == "item_reference" {
			all = append(all, referred[v.Get("id").Text()]...)
		} else {
			all = append(all, v.Raw()...)
		}
	}
	return all
}

// Page is a part of a list of input items.
type Page struct {
	Response  string // whose input it is; ids of items without one are made from it
	Ascending bool
	After     string // id of the item before the page; empty: the page is the first
	Limit     int
}

// List writes a page of the items, which are elements of an array with commas between
// them. Each is written in full: with its type, its id and its status, and with a
// content that is a list. The errors are *fault.Error.
func List(items []byte, p Page) ([]byte, error) {
	var d scan.Doc
	if err := d.ScanLax(append(append([]byte{'['}, items...), ']')); err != nil {
		return nil, err
	}
	var all [][2]string // id, item
	for v := range d.Root().All() {
		id := v.Get("id").Text()
		if id == "" {
			id = madeID(itemKind(v), p.Response, len(all))
		}
		all = append(all, [2]string{id, string(full(v, id))})
	}
	at := func(i int) [2]string {
		if p.Ascending {
			return all[i]
		}
		return all[len(all)-1-i]
	}
	from := 0
	if p.After != "" {
		for from = 0; from < len(all) && at(from)[0] != p.After; {
			from++
		}
		if from++; from > len(all) {
			return nil, dialect.Invalid("after", "after names no item of this list")
		}
	}
	to := min(from+p.Limit, len(all))
	dst := []byte(`{"object":"list","data":[`)
	for i := from; i < to; i++ {
		dst = append(scan.AppendComma(dst), at(i)[1]...)
	}
	dst = append(dst, ']')
	first, last := "", ""
	if from < to {
		first, last = at(from)[0], at(to - 1)[0]
	}
	dst = appendText(appendText(dst, "first_id", first), "last_id", last)
	return append(strconv.AppendBool(scan.AppendKey(dst, "has_more"), to < len(all)), '}'), nil
}

// madeID returns the id of an item that was sent without one, always the same.
func madeID(kind, response string, i int) string {
	prefix := map[string]string{
		"message": "msg", "function_call": "fc", "function_call_output": "fco", "custom_tool_call": "ctc",
		"custom_tool_call_output": "ctco", "reasoning": "rs",
	}[kind]
	if prefix == "" {
		prefix = "item"
	}
	return prefix + "_" + trimmed(response) + "_in" + strconv.Itoa(i)
}

// full writes an item with what may be left out of an input.
func full(v scan.Value, id string) []byte {
	kind := itemKind(v)
	dst := appendText(appendText([]byte{'{'}, "id", id), "type", kind)
	status := kind == "message" || strings.HasPrefix(kind, "function_call") || strings.HasPrefix(kind, "custom_tool_call")
	for m := range v.All() {
		switch key := string(m.Key()); {
		case key == "id" || key == "type":
			continue
		case key == "status":
			status = false
		case key == "content" && kind == "message" && m.Kind() == scan.String:
			text := "input_text"
			if v.Get("role").Is("assistant") {
				text = "output_text"
			}
			dst = append(appendText(append(scan.AppendKey(dst, key), '[', '{'), "type", text), `,"text":`...)
			if dst = append(dst, m.Raw()...); text == "output_text" {
				dst = append(dst, `,"annotations":[],"logprobs":[]`...)
			}
			dst = append(dst, "}]"...)
			continue
		}
		dst = append(append(scan.AppendString(scan.AppendComma(dst), m.Key()), ':'), m.Raw()...)
	}
	if status {
		dst = appendText(dst, "status", "completed")
	}
	return append(dst, '}')
}

// Replay appends the events that tell a whole response once more, those with numbers
// after the given one: a text comes in one piece.
func Replay(dst []byte, d *scan.Doc, after int) []byte {
	root := d.Root()
	p := &replay{after: after, dst: dst}
	open := scan.Splice(nil, d.Bytes(), unfinished(root))
	for _, kind := range []string{"response.created", "response.in_progress"} {
		p.event(kind, `,"response":`, string(open))
	}
	i := 0
	for item := range root.Get("output").All() {
		p.item(item, i)
		i++
	}
	kind := "response.completed"
	if root.Get("status").Is("incomplete") {
		kind = "response.incomplete"
	}
	p.event(kind, `,"response":`, string(root.Raw()))
	return p.dst
}

// unfinished returns the edits that make a response one that has only begun.
func unfinished(root scan.Value) (edits []scan.Edit) {
	for m := range root.All() {
		switch string(m.Key()) {
		case "status":
			edits = append(edits, scan.Replace(m, []byte(`"in_progress"`)))
		case "output":
			edits = append(edits, scan.Replace(m, []byte("[]")))
		case "usage", "incomplete_details", "completed_at":
			edits = append(edits, scan.Replace(m, []byte("null")))
		}
	}
	return edits
}

type replay struct {
	dst   []byte
	next  int
	after int
}

// event appends an event with these pieces of JSON behind its number.
func (p *replay) event(kind string, rest ...string) {
	n := p.next
	if p.next++; n <= p.after {
		return
	}
	p.dst = append(append(append(p.dst, "event: "...), kind...), "\ndata: {"...)
	p.dst = appendInt(appendText(p.dst, "type", kind), "sequence_number", n)
	for _, r := range rest {
		p.dst = append(p.dst, r...)
	}
	p.dst = closed(p.dst)
}

func (p *replay) item(v scan.Value, i int) {
	of := string(appendInt(appendText(nil, "item_id", v.Get("id").Text()), "output_index", i))
	index := `,"output_index":` + strconv.Itoa(i)
	var edits []scan.Edit
	for m := range v.All() {
		switch key := string(m.Key()); key {
		case "status":
			edits = append(edits, scan.Replace(m, []byte(`"in_progress"`)))
		case "content", "summary":
			edits = append(edits, scan.Replace(m, []byte("[]")))
		case "arguments", "input":
			edits = append(edits, scan.Replace(m, []byte(`""`)))
		}
	}
	d := spliced(v, edits)
	p.event("response.output_item.added", index, `,"item":`, d)
	switch itemKind(v) {
	case "message", "reasoning":
		n := 0
		for part := range v.Get("content").All() {
			p.part(part, of+`,"content_index":`+strconv.Itoa(n))
			n++
		}
		n = 0
		for part := range v.Get("summary").All() {
			p.part(part, of+`,"summary_index":`+strconv.Itoa(n))
			n++
		}
	case "function_call":
		p.text("response.function_call_arguments", of, v.Get("arguments"), `,"arguments":`, `,"name":`+string(v.Get("name").Raw()))
	case "custom_tool_call":
		p.text("response.custom_tool_call_input", of, v.Get("input"), `,"input":`, "")
	}
	p.event("response.output_item.done", index, `,"item":`, string(v.Raw()))
}

// spliced returns the bytes of a value with edits that are of its document.
func spliced(v scan.Value, edits []scan.Edit) string {
	start, _ := v.Span()
	for i := range edits {
		edits[i].Start -= start
		edits[i].End -= start
	}
	return string(scan.Splice(nil, v.Raw(), edits))
}

func (p *replay) part(v scan.Value, of string) {
	name, kind, key, more := "response.content_part", "", "text", ""
	switch string(v.Get("type").Bytes()) {
	case "output_text":
		kind, more = "response.output_text", `,"logprobs":[]`
	case "refusal":
		kind, key = "response.refusal", "refusal"
	case "reasoning_text":
		kind = "response.reasoning_text"
	case "summary_text":
		name, kind = "response.reasoning_summary_part", "response.reasoning_summary_text"
	}
	text := v.Get(key)
	empty := string(v.Raw())
	if text.Kind() == scan.String {
		empty = spliced(v, []scan.Edit{scan.Replace(text, []byte(`""`))})
	}
	p.event(name+".added", of, `,"part":`, empty)
	if kind != "" {
		p.text(kind, of, text, `,"`+key+`":`, more)
	}
	p.event(name+".done", of, `,"part":`, string(v.Raw()))
}

// text appends the events of a text in one piece.
func (p *replay) text(kind, of string, v scan.Value, key, more string) {
	raw := string(v.Raw())
	if v.Kind() != scan.String {
		return
	}
	logprobs := ""
	if kind == "response.output_text" {
		logprobs = more
	}
	if v.TextLen() > 0 {
		p.event(kind+".delta", of, `,"delta":`, raw, logprobs)
	}
	p.event(kind+".done", of, key, raw, more)
}
