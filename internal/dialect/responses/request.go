package responses

import (
	"bytes"
	"math"
	"strconv"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// ReadRequest reads the facts of a request that was scanned with Shape. The fields
// on which decisions rest must have exact types; its errors are *fault.Error. ID
// is left alone, and Model keeps its string if it is the right one already.
func ReadRequest(d *scan.Doc, into *inference.Request) error {
	root := d.Root()
	if root.Kind() != scan.Object {
		return dialect.Invalid("", "the body must be a JSON object")
	}
	r := inference.Request{
		ID: into.ID, Dialect: inference.Responses, Model: into.Model, N: 1, Bytes: len(d.Bytes()),
	}
	var f dialect.Fields
	w := weight{r: &r}
	var hint, input scan.Value
	model, template, chained, toolless := false, false, false, false
	for m := range root.All() {
		switch key := string(m.Key()); key {
		case "model":
			if model = f.Want(m, scan.String, key); model && !m.Is(r.Model) {
				r.Model = m.Text()
			}
		case "input":
			input = m
		case "instructions":
			f.Want(m, scan.String, key)
			w.bytes += m.TextLen()
		case "stream":
			r.Stream = f.Bool(m, key)
		case "store":
			r.NoStore = m.Given() && !f.Bool(m, key)
		case "temperature":
			r.Cold = dialect.Zero(m)
		case "top_logprobs":
			n, _ := m.Int()
			r.Detailed = n > 0
		case "max_output_tokens":
			r.MaxTokens = f.Int(m, key, 1, math.MaxInt32)
		case "tools":
			r.Tools = checkTools(&f, &r, m)
			w.bytes += len(m.Raw())
		case "tool_choice":
			if m.Given() && m.Kind() != scan.String {
				f.Want(m, scan.Object, key)
			}
			toolless = m.Is("none")
		case "text", "reasoning", "prompt":
			template = f.Want(m, scan.Object, key) && key == "prompt" || template
			w.demand(key, m)
		case "service_tier":
			r.Service = inference.ParseService(m.Bytes())
		case "include":
			f.Texts(m, key)
		case "previous_response_id":
			chained = f.Text(m, key) != ""
		case "prompt_cache_key":
			if f.Want(m, scan.String, key) {
				hint = m
			}
		case "user", "safety_identifier":
			if f.Want(m, scan.String, key) {
				r.User = dialect.Session(m.Bytes())
				if !hint.Exists() {
					hint = m
				}
			}
		case "background":
			if f.Bool(m, key) {
				unable(&f, key, "answers in the background are not kept running here; leave background out and stream the answer")
			}
		case "conversation":
			if m.Given() {
				unable(&f, key, "conversations are not kept here; name the response before with previous_response_id")
			}
		}
	}
	if !model || r.Model == "" {
		f.Wrong("model", "is missing; name one of those that GET /v1/models lists")
	}
	switch {
	case input.Kind() == scan.String:
		w.bytes += input.TextLen()
	case input.Kind() == scan.Array:
		i := 0
		for v := range input.All() {
			w.item(&f, v, i)
			i++
		}
	case input.Given() || !template && !chained:
		f.Wrong("input", "must be a string or an array of items")
	}
	if r.Session = dialect.Session(hint.Bytes()); !r.NoStore || chained || template {
		r.Apart |= inference.Kept // unless the caller says otherwise, answers are kept
	}
	if r.Tools > 0 && !toolless {
		r.Need(inference.Tools)
	}
	r.Input = max(1, w.tokens+w.bytes/dialect.BytesPerToken)
	r.WantUsage = r.Stream
	if err := f.Failed(); err != nil {
		return err
	}
	*into = r
	return nil
}

// unable notes what Headworks cannot do truthfully.
func unable(f *dialect.Fields, param, words string) {
	if f.Err == nil {
		f.Err = &fault.Error{Kind: fault.Unsupported, Param: param, Words: words}
	}
}

func checkTools(f *dialect.Fields, r *inference.Request, v scan.Value) int {
	if !f.Want(v, scan.Array, "tools") {
		return 0
	}
	i := 0
	for t := range v.All() {
		switch kind := t.Get("type"); {
		case t.Kind() != scan.Object:
			f.Wrong(at("tools", i, ""), "must be an object")
		case kind.TextLen() == 0:
			f.Wrong(at("tools", i, "type"), "must be a string")
		case (kind.Is("function") || kind.Is("custom")) && t.Get("name").TextLen() == 0:
			f.Wrong(at("tools", i, "name"), "must be a string; a function's name stands beside its type in this dialect")
		case !kind.Is("function") && !kind.Is("custom") && !kind.Is("local_shell"):
			r.Apart |= inference.HostedUse
		}
		i++
	}
	return i
}

// weight is how much a prompt weighs: its text in bytes, the rest in tokens.
type weight struct {
	bytes, tokens int
	r             *inference.Request // needs what its parts need
}

// demand notes what a field asks of a model.
func (w *weight) demand(key string, v scan.Value) {
	switch key {
	case "text":
		if v.Get("format").Get("type").Is("json_schema") {
			w.r.Need(inference.JSONSchema)
		}
	case "reasoning":
		effort := v.Get("effort")
		w.r.Effort = inference.ParseEffort(effort.Bytes())
		if effort.Given() && !effort.Is("none") {
			w.r.Need(inference.Reasoning)
		}
	}
}

func (w *weight) item(f *dialect.Fields, v scan.Value, i int) {
	if v.Kind() != scan.Object {
		f.Wrong(at("input", i, ""), "must be an object")
		return
	}
	text := func(keys ...string) {
		for _, key := range keys {
			if m := v.Get(key); m.Kind() != scan.String {
				f.Wrong(at("input", i, key), "must be a string")
			} else {
				w.bytes += m.TextLen()
			}
		}
	}
	switch kind := v.Get("type"); {
	case kind.Given() && kind.TextLen() == 0:
		f.Wrong(at("input", i, "type"), "must be a string")
		return
	}
	switch itemKind(v) {
	case "":
		f.Wrong(at("input", i, "type"), "is missing")
	case "message":
		switch string(v.Get("role").Bytes()) {
		case "user", "assistant", "system", "developer":
		default:
			f.Wrong(at("input", i, "role"), "must be one of user, assistant, system, developer")
		}
		w.content(f, v.Get("content"), at("input", i, "content"))
	case "function_call":
		text("call_id", "name", "arguments")
	case "custom_tool_call":
		text("call_id", "name", "input")
	case "function_call_output", "custom_tool_call_output":
		f.Want(v.Get("call_id"), scan.String, at("input", i, "call_id"))
		w.content(f, v.Get("output"), at("input", i, "output"))
	case "item_reference":
		w.r.Apart |= inference.Kept
		text("id")
	default:
		w.bytes += len(v.Raw())
	}
}

// content weighs a text, or an array of parts.
func (w *weight) content(f *dialect.Fields, v scan.Value, param string) {
	switch v.Kind() {
	case scan.String:
		w.bytes += v.TextLen()
		return
	case scan.Array:
	default:
		f.Wrong(param, "must be a string or an array of parts")
	}
	for p := range v.All() {
		kind := p.Get("type")
		if p.Kind() != scan.Object || kind.TextLen() == 0 {
			f.Wrong(param, "must hold objects with a type")
			return
		}
		switch string(kind.Bytes()) {
		case "input_image":
			w.source(p)
			w.tokens += dialect.ImageTokens
			w.r.Need(inference.Vision)
		case "input_file":
			w.source(p)
			w.tokens += dialect.DocumentTokens
			w.r.Need(inference.Documents)
		case "input_audio":
			w.tokens += dialect.AudioTokens
			w.r.Need(inference.Hearing)
		default:
			w.bytes += p.Get("text").TextLen() + p.Get("refusal").TextLen()
		}
	}
}

// source notes whether a part's content lies elsewhere.
func (w *weight) source(p scan.Value) {
	if p.Get("file_id").Given() || p.Get("file_url").Given() || dialect.Lies(p.Get("image_url")) {
		w.r.Apart |= inference.Elsewhere
	}
}

// at returns the path of a field of an element of an array.
func at(array string, i int, field string) string {
	path := array + "[" + strconv.Itoa(i) + "]"
	if field != "" {
		path += "." + field
	}
	return path
}

const encrypted = "reasoning.encrypted_content"

var (
	no            = []byte("false")
	notStored     = []byte(`,"store":false`)
	withEncrypted = []byte(`,"include":["` + encrypted + `"]`)
	oneEncrypted  = []byte(`["` + encrypted + `"]`)
	moreEncrypted = []byte(`,"` + encrypted + `"`)
)

// Edits appends, in order, the edits of a request for an upstream of this dialect:
// its own name for the model; store false, since what is kept is kept here and for
// its caller alone, while an upstream would keep it for whoever uses the same
// credential; reasoning in the answer, so that it survives without being kept
// there; and without the thoughts that this upstream could not read. A request
// that says store false itself asks for the reasoning itself.
func Edits(dst []scan.Edit, d *scan.Doc, model string) []scan.Edit {
	root := d.Root()
	keeps := true
	if stored, ok := root.Get("store").Bool(); ok {
		keeps = stored
	}
	ask := keeps && (root.Get("reasoning").Given() || reasons(model))
	for m := range root.All() {
		switch string(m.Key()) {
		case "model":
			if !m.Is(model) {
				dst = append(dst, scan.Replace(m, scan.AppendString(make([]byte, 0, len(model)+2), model)))
			}
		case "store":
			if keeps {
				dst = append(dst, scan.Replace(m, no))
			}
		case "include":
			if ask {
				dst = include(dst, m)
			}
		case "input":
			dst = cut(dst, m, unreadable)
		}
	}
	if !root.Get("store").Exists() {
		dst = append(dst, scan.Insert(root, notStored))
	}
	if ask && !root.Get("include").Exists() {
		dst = append(dst, scan.Insert(root, withEncrypted))
	}
	return dst
}

// include appends the edit that asks for encrypted reasoning as well.
func include(dst []scan.Edit, list scan.Value) []scan.Edit {
	if list.Kind() != scan.Array {
		return append(dst, scan.Replace(list, oneEncrypted))
	}
	for v := range list.All() {
		if v.Is(encrypted) {
			return dst
		}
	}
	with := moreEncrypted
	if list.Len() == 0 {
		with = with[1:]
	}
	_, end := list.Span()
	return append(dst, scan.Edit{Start: end - 1, End: end - 1, With: with})
}

// reasons reports whether a model of OpenAI's reasons unless told otherwise: those
// that do not refuse to be asked for their reasoning.
func reasons(model string) bool {
	switch {
	case len(model) > 1 && model[0] == 'o':
		return model[1] >= '1' && model[1] <= '9'
	case len(model) > 4 && model[:4] == "gpt-":
		return model[4] >= '5' && model[4] <= '9' && !bytes.Contains([]byte(model), []byte("chat"))
	}
	return false
}

// unreadable reports whether an item is a thought that an upstream which keeps
// nothing has no use for: one without its encrypted form, or in the form of
// another dialect's maker.
func unreadable(v scan.Value) bool {
	if !v.Get("type").Is("reasoning") {
		return false
	}
	form := v.Get("encrypted_content").Bytes()
	return len(form) == 0 || bytes.HasPrefix(form, []byte("headworks:"))
}

// cut appends the edits that take elements out of an array, with their commas.
func cut(dst []scan.Edit, array scan.Value, gone func(scan.Value) bool) []scan.Edit {
	kept, from, to := -1, -1, -1 // the end of the last that stays; a run that goes
	flush := func(next int) {
		switch {
		case from < 0:
		case kept >= 0:
			dst = append(dst, scan.Edit{Start: kept, End: to})
		case next >= 0:
			dst = append(dst, scan.Edit{Start: from, End: next})
		default:
			dst = append(dst, scan.Edit{Start: from, End: to})
		}
		from = -1
	}
	for v := range array.All() {
		start, end := v.Span()
		if gone(v) {
			if from < 0 {
				from = start
			}
			to = end
			continue
		}
		flush(start)
		kept = end
	}
	flush(-1)
	return dst
}

// Items returns the items of a request's input as elements of an array, with
// commas between them. A string is a message of the user.
func Items(d *scan.Doc) []byte {
	switch in := d.Root().Get("input"); in.Kind() {
	case scan.String:
		dst := append([]byte(nil), `{"type":"message","role":"user","content":[{"type":"input_text","text":`...)
		return append(append(dst, in.Raw()...), "}]}"...)
	case scan.Array:
		raw := in.Raw()
		return append([]byte(nil), bytes.TrimSpace(raw[1:len(raw)-1])...)
	}
	return nil
}

// References returns the ids of the items that a request refers to.
func References(d *scan.Doc) []string {
	var ids []string
	if in := d.Root().Get("input"); in.Kind() == scan.Array {
		for v := range in.All() {
			if itemKind(v) == "item_reference" {
				ids = append(ids, v.Get("id").Text())
			}
		}
	}
	return ids
}

// Expand returns a request that says by itself what it says with the help of what
// is kept: the items before its own, which are elements of an array with commas
// between them, and in the place of each reference the item.
func Expand(d *scan.Doc, before []byte, referred map[string][]byte) []byte {
	root := d.Root()
	var edits []scan.Edit
	found := false
	for m := range root.All() {
		switch string(m.Key()) {
		case "previous_response_id":
			edits = append(edits, scan.Replace(m, []byte("null")))
		case "input":
			found = true
			edits = append(edits, expand(m, before, referred)...)
		}
	}
	if !found {
		edits = append(edits, scan.Insert(root, append(append([]byte(`,"input":[`), before...), ']')))
	}
	return scan.Splice(nil, d.Bytes(), edits)
}

func expand(in scan.Value, before []byte, referred map[string][]byte) (edits []scan.Edit) {
	if in.Kind() != scan.Array {
		all := append([]byte{'['}, before...)
		if in.Kind() == scan.String {
			all = append(scan.AppendComma(all), `{"type":"message","role":"user","content":[{"type":"input_text","text":`...)
			all = append(append(all, in.Raw()...), "}]}"...)
		}
		return []scan.Edit{scan.Replace(in, append(all, ']'))}
	}
	if len(before) > 0 {
		start, _ := in.Span()
		if in.Len() > 0 {
			before = append(before[:len(before):len(before)], ',')
		}
		edits = append(edits, scan.Edit{Start: start + 1, End: start + 1, With: before})
	}
	for v := range in.All() {
		if itemKind(v) == "item_reference" {
			edits = append(edits, scan.Replace(v, referred[v.Get("id").Text()]))
		}
	}
	return edits
}
