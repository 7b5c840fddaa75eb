package api

import (
	"strconv"
	"strings"

	"headworks/internal/dialect"
	"headworks/internal/gateway"
	"headworks/internal/inference"
	"headworks/internal/scan"
	"headworks/internal/wire"
)

// ownField is the member of a request by which a caller tells Headworks something that
// his dialect has no field for. It never goes on to an upstream.
const ownField = "headworks"

// Bounds of what a caller may name.
const (
	maxCollections = 16
	maxPassages    = 50
	maxName        = 128 // bytes of a collection's name
)

// citer is a Writer of a dialect in which a text of an answer can say what it cites: Cite
// appends that, before the text ends.
type citer interface {
	Cite(dst []byte, block int, cited []inference.Citation) []byte
}

// searcher is a Writer of a dialect in which a search for documents is a part of the
// answer. It is told of one before the first step.
type searcher interface {
	Searched(query string, passages []inference.Passage, results bool)
}

// own takes what the caller says to Headworks itself out of the body, and returns the
// body to go on with.
func (k *call) own(body []byte) ([]byte, error) {
	root := k.doc.Root()
	field := root.Get(ownField)
	if !field.Exists() {
		return body, nil
	}
	asks, err := readOwn(field)
	if err != nil {
		return nil, err
	}
	k.asks = asks
	return k.again(scan.Splice(make([]byte, 0, len(body)), body, []scan.Edit{scan.Cut(root, field)}))
}

// again reads a body that took the place of the caller's.
func (k *call) again(body []byte) ([]byte, error) {
	if err := k.doc.Scan(body, k.d.Shape); err != nil {
		return nil, unreadable(err)
	}
	return body, nil
}

// readOwn reads what a caller wants of documents:
//
//	{"knowledge": ["handbook"]}
//	{"knowledge": {"collections": ["handbook"], "mode": "optional", "passages": 5, "filters": {...}}}
//	{"knowledge": false}
func readOwn(field scan.Value) (*inference.Knowledge, error) {
	var f dialect.Fields
	var asks *inference.Knowledge
	if field.Given() && f.Want(field, scan.Object, ownField) {
		for m := range field.All() {
			if string(m.Key()) != "knowledge" {
				f.Wrong(ownField+"."+scan.Name(m.Key()), "is not known; knowledge is")
				continue
			}
			asks = readKnowledge(&f, m)
		}
	}
	return asks, f.Failed()
}

func readKnowledge(f *dialect.Fields, v scan.Value) *inference.Knowledge {
	const at = ownField + ".knowledge"
	asks := &inference.Knowledge{}
	switch v.Kind() {
	case scan.Null:
		return nil
	case scan.Array:
		asks.Collections = names(f, v, at)
		asks.None = len(asks.Collections) == 0
	case scan.Object:
		for m := range v.All() {
			switch key := string(m.Key()); key {
			case "collections":
				asks.Collections = names(f, m, at+"."+key)
				asks.None = len(asks.Collections) == 0
			case "mode":
				switch {
				case m.Is("required"):
					asks.Mode = inference.Required
				case m.Is("optional"):
					asks.Mode = inference.Optional
				default:
					f.Wrong(at+"."+key, `must be "required" or "optional"`)
				}
			case "passages":
				asks.Passages = f.Int(m, at+"."+key, 1, maxPassages)
			case "filters":
				if m.Given() && f.Want(m, scan.Object, at+"."+key) {
					asks.Filter = append([]byte(nil), m.Raw()...)
				}
			default:
				f.Wrong(at+"."+scan.Name(m.Key()), "is not known; collections, mode, passages and filters are")
			}
		}
	default:
		if yes, ok := v.Bool(); !ok || yes {
			f.Wrong(at, "must be an array of collections, an object, or false for none")
		}
		asks.None = true
	}
	return asks
}

// names reads the names of collections.
func names(f *dialect.Fields, v scan.Value, at string) []string {
	list := f.Texts(v, at)
	if len(list) > maxCollections {
		f.Wrong(at, "must name at most "+strconv.Itoa(maxCollections)+" collections")
	}
	for i, name := range list {
		if name == "" || len(name) > maxName {
			f.Wrong(at+"["+strconv.Itoa(i)+"]", "must be the name of a collection")
		}
	}
	return list
}

// hosted takes out of a request the tool of the caller's dialect that searches documents,
// where it names collections of this instance, and returns the body to go on with.
func (k *call) hosted(f *Front, body []byte) ([]byte, error) {
	if k.d.Search == nil {
		return body, nil
	}
	own := f.gateway.World().Knowledge
	if own == nil {
		return body, nil
	}
	asks, without, err := k.d.Search(&k.doc, func(collection string) bool { return own.Knows(k.req.Caller, collection) })
	if err != nil || asks == nil {
		return body, err
	}
	if k.asks != nil {
		return nil, dialect.Invalid(ownField+".knowledge", ownField+".knowledge and a tool of type file_search both name collections; use one of them")
	}
	k.asks = asks
	if body, err = k.again(without); err != nil {
		return nil, err
	}
	session := k.req.Session
	if err := k.d.ReadRequest(&k.doc, &k.req.Request); err != nil {
		return nil, err
	}
	if k.req.Session == 0 {
		k.req.Session = session
	}
	return body, nil
}

// laid makes ready what depends on the prompt, once passages stand in it.
func (k *call) laid() {
	if r := &k.req; r.Blocks != nil {
		k.hasher.Reset(k.blocks[:0])
		k.d.Render(&k.doc, &k.hasher)
		k.blocks = k.hasher.Blocks()
		r.Blocks = k.blocks
	}
}

// grounded tells the writer of a search, once, where the caller's dialect has a place
// for that.
func (k *call) grounded(h *gateway.Head) {
	if k.searched || h.Ground == nil || k.asks == nil || !k.asks.Hosted {
		return
	}
	k.searched = true
	if w, ok := k.into().(searcher); ok {
		w.Searched(h.Ground.Query, h.Ground.Passages, k.asks.Results)
	}
}

// cited returns the events that an upstream of the caller's dialect wrote, with what they
// cite.
func (k *call) cited(h *gateway.Head, events []byte) []byte {
	if h.Ground == nil || len(events) == 0 || k.d.CiteBefore == nil {
		return events
	}
	s := wire.NewSplitter(len(events) + 1)
	s.Feed(events)
	out := make([]byte, 0, len(events)+1024)
	for {
		e, err := s.Next()
		if e == nil || err != nil {
			return out
		}
		if e.Data != nil && k.doc.ScanLax(e.Data) == nil { // what was asked is not needed any more
			out = k.d.CiteBefore(out, &k.doc, h.Ground.Cite)
		}
		out = append(out, e.Raw...)
	}
}

// citedWhole returns the body that an upstream of the caller's dialect wrote, with what it
// cites.
func (k *call) citedWhole(h *gateway.Head, body []byte) []byte {
	if h.Ground == nil || len(body) == 0 || k.d.CiteWhole == nil || k.doc.ScanLax(body) != nil {
		return body
	}
	edits := k.d.CiteWhole(&k.doc, h.Ground.Cite)
	if len(edits) == 0 {
		return body
	}
	return scan.Splice(make([]byte, 0, len(body)+1024), body, edits)
}

// citing appends what a text cites that ends with a step.
func (k *call) citing(dst []byte, h *gateway.Head, d *inference.Delta) []byte {
	if h.Ground == nil {
		return dst
	}
	in := d.Kind == inference.TextDelta
	switch {
	case k.d.Joined && d.Kind == inference.End:
		dst = k.cite(dst, h, -1)
	case k.d.Joined || d.Kind == inference.Begin:
	case k.text > 0 && (!in || d.Index != k.text-1):
		dst, k.text = k.cite(dst, h, k.text-1), 0
	}
	if in {
		k.text = d.Index + 1
	}
	return dst
}

func (k *call) cite(dst []byte, h *gateway.Head, block int) []byte {
	if k.d.CiteWhole == nil && k.d.Anew == nil {
		return dst // its writer may be another dialect's within
	}
	if w, ok := k.into().(citer); ok {
		if all := h.Ground.Cite(block); len(all) > 0 {
			return w.Cite(dst, block, all)
		}
	}
	return dst
}

// noted adds to a whole answer what its texts cite.
func (k *call) noted(h *gateway.Head, a *inference.Answer) {
	if h.Ground == nil {
		return
	}
	n := 0
	for i := range a.Parts {
		p := &a.Parts[i]
		if p.Kind != inference.Text {
			continue
		}
		if k.d.Joined {
			p.Citations = h.Ground.Cite(-1)
			return
		}
		p.Citations = h.Ground.Cite(n)
		n++
	}
}

// maxSources bounds what a header says of passages, in bytes.
const maxSources = 2 << 10

// sources says which passages the model was told, by their numbers: collection/document
// and the bytes of its text, each part percent-encoded where it is more than a name.
func sources(passages []inference.Passage) string {
	var b strings.Builder
	for i := range passages {
		p := &passages[i]
		one := strconv.Itoa(i+1) + "=" + plain(p.Collection) + "/" + plain(p.Document) + "#" + strconv.Itoa(p.Start) + "-" + strconv.Itoa(p.End)
		if b.Len()+len(one)+2 > maxSources {
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(one)
	}
	return b.String()
}

// plain returns a name as it may stand in a header.
func plain(name string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~:@/", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}
