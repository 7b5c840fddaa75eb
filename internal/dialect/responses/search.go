package responses

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strconv"

	"headworks/internal/dialect"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Ground says where passages have a place in a request.
func Ground() *dialect.Turn {
	return &dialect.Turn{List: "input", Says: "content", Open: `{"type":"input_text","text":`, Close: "}", Part: "input_text"}
}

// Anew reports whether the answer to a request can be written from its steps: no tool
// runs on the upstream's side, whose calls would be lost.
func Anew(d *scan.Doc) bool {
	for t := range d.Root().Get("tools").All() {
		if kind := t.Get("type"); !kind.Is("function") && !kind.Is("custom") {
			return false
		}
	}
	return true
}

const (
	fileSearch     = "file_search"
	fileSearchCall = "file_search_call"
	wantResults    = "file_search_call.results"

	// searchID is what the ids of calls begin with that we made ourselves.
	searchID = "fs_hw_"

	mostResults = 50 // as OpenAI bounds max_num_results
)

// OwnSearch reports whether an item is a search that ran here: no upstream knows it.
func OwnSearch(item scan.Value) bool {
	return item.Get("type").Is(fileSearchCall) && bytes.HasPrefix(item.Get("id").Bytes(), []byte(searchID))
}

// Search returns what the tools of type file_search of a request ask for, where they name
// a collection that is known, and the request without them. Where they do not, they are
// left as they are. Errors are *fault.Error.
func Search(d *scan.Doc, known func(collection string) bool) (*inference.Knowledge, []byte, error) {
	root := d.Root()
	asks, err := searched(root.Get("tools"), known)
	if err != nil || asks == nil {
		return nil, nil, err
	}
	others := 0
	for t := range root.Get("tools").All() {
		if !t.Get("type").Is(fileSearch) {
			others++
		}
	}
	chosen := root.Get("tool_choice").Get("type").Is(fileSearch)
	if chosen {
		asks.Mode = inference.Required
	}
	goes := func(m scan.Value) bool {
		switch string(m.Key()) {
		case "tools":
			return others == 0
		case "tool_choice":
			return chosen || others == 0
		}
		return false
	}
	edits := scan.CutAll(nil, root, goes)
	for m := range root.All() {
		if goes(m) {
			continue
		}
		switch string(m.Key()) {
		case "tools":
			edits = cut(edits, m, func(t scan.Value) bool { return t.Get("type").Is(fileSearch) })
		case "include":
			edits = cut(edits, m, func(v scan.Value) bool {
				asks.Results = asks.Results || v.Is(wantResults)
				return v.Is(wantResults)
			})
		case "input":
			edits = cut(edits, m, func(v scan.Value) bool { return v.Get("type").Is(fileSearchCall) })
		}
	}
	slices.SortFunc(edits, func(a, b scan.Edit) int { return cmp.Compare(a.Start, b.Start) })
	return asks, scan.Splice(nil, d.Bytes(), edits), nil
}

func searched(tools scan.Value, known func(string) bool) (*inference.Knowledge, error) {
	var f dialect.Fields
	var asks *inference.Knowledge
	ours, i := false, 0
	for t := range tools.All() {
		at := "tools[" + strconv.Itoa(i) + "]."
		i++
		if !t.Get("type").Is(fileSearch) {
			continue
		}
		if asks == nil {
			asks = &inference.Knowledge{Hosted: true}
		} else {
			f.Wrong(at+"type", "may be file_search once; name all stores in one")
		}
		for _, id := range f.Texts(t.Get("vector_store_ids"), at+"vector_store_ids") {
			ours = ours || known(id)
			asks.Collections = append(asks.Collections, id)
		}
		if n := t.Get("max_num_results"); n.Given() {
			asks.Passages = f.Int(n, at+"max_num_results", 1, mostResults)
		}
		if filters := t.Get("filters"); filters.Given() && f.Want(filters, scan.Object, at+"filters") {
			asks.Filter = bytes.Clone(filters.Raw())
		}
		if least := t.Get("ranking_options").Get("score_threshold"); least.Given() {
			if v, ok := least.Float(); !ok || math.Abs(v) > 0 {
				unable(&f, at+"ranking_options.score_threshold", "scores of collections kept here are not shares of 1, so no threshold is known for them; leave it out")
			}
		}
	}
	if !ours {
		return nil, nil
	}
	return asks, f.Failed()
}

// Found is a search that is a part of an answer.
type Found struct {
	Query    string
	Passages []inference.Passage
	Results  bool // the passages are told
}

// Searched notes the search that the answer begins with. It is called before the first
// step.
func (w *Writer) Searched(query string, passages []inference.Passage, results bool) {
	w.Asked.Found = &Found{query, passages, results}
}

// searchKind is the kind of an item that is a search.
const searchKind = inference.DeltaKind(math.MaxUint8)

// search appends the events of the search that the answer begins with.
func (w *Writer) search(dst []byte) []byte {
	i := w.add(item{kind: searchKind})
	dst = w.added(dst, i)
	for _, kind := range []string{"in_progress", "searching", "completed"} {
		dst = closed(w.of(w.event(dst, "response."+fileSearchCall+"."+kind), i))
	}
	return w.itemDone(dst, i)
}

// appendSearch appends what an item says that is a search.
func (w *Writer) appendSearch(dst []byte, status string) []byte {
	f := w.Asked.Found
	done := status != "in_progress"
	dst = appendText(appendText(dst, "type", fileSearchCall), "status", status)
	dst = append(scan.AppendKey(dst, "queries"), '[')
	if done && f.Query != "" {
		dst = scan.AppendString(dst, f.Query)
	}
	dst = append(scan.AppendKey(append(dst, ']'), "results"), "null"...)
	if !done || !f.Results {
		return dst
	}
	dst = append(dst[:len(dst)-len("null")], '[')
	for i := range f.Passages {
		p := &f.Passages[i]
		dst = appendText(append(scan.AppendComma(dst), '{'), "file_id", p.Document)
		dst = appendText(appendText(dst, "filename", fileName(p)), "text", p.Text)
		dst = strconv.AppendFloat(scan.AppendKey(dst, "score"), finite(p.Score), 'g', -1, 64)
		dst = append(dst, `,"attributes":{}}`...)
	}
	return append(dst, ']')
}

func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}

func fileName(p *inference.Passage) string {
	if p.Name != "" {
		return p.Name
	}
	return dialect.SourceTitle(p)
}

// appendAnnotation appends a citation: its index is of the mark in the text, in code
// points.
func appendAnnotation(dst []byte, c *inference.Citation) []byte {
	dst = appendText(append(dst, '{'), "type", "file_citation")
	dst = appendText(appendText(dst, "file_id", c.Passage.Document), "filename", fileName(c.Passage))
	return append(dialect.AppendOwn(appendInt(dst, "index", c.Characters[0]), c), '}')
}

func appendAnnotations(dst []byte, cited []inference.Citation) []byte {
	dst = append(scan.AppendKey(dst, "annotations"), '[')
	for i := range cited {
		dst = appendAnnotation(scan.AppendComma(dst), &cited[i])
	}
	return append(dst, ']')
}

// Cite appends the events that tell what the text cites that is being written.
func (w *Writer) Cite(dst []byte, block int, cited []inference.Citation) []byte {
	if w.open == 0 || w.items[w.open-1].kind != inference.TextDelta || w.items[w.open-1].block != block {
		return dst
	}
	for i := range cited {
		dst = appendInt(w.part(w.event(dst, "response.output_text.annotation.added")), "annotation_index", i)
		dst = closed(appendAnnotation(append(dst, `,"annotation":`...), &cited[i]))
	}
	w.items[w.open-1].cited = cited
	return dst
}
