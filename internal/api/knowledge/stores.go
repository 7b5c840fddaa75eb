package knowledge

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"headworks/internal/chunk"
	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/knowledge"
	"headworks/internal/passage"
	"headworks/internal/scan"
)

// counts are how many files of a collection are in which state.
type counts struct{ in, done, failed, cancelled, total int }

func count(all []*knowledge.Attachment) (c counts) {
	for _, a := range all {
		c.total++
		switch a.Status {
		case knowledge.InProgress:
			c.in++
		case knowledge.Completed:
			c.done++
		case knowledge.Failed:
			c.failed++
		case knowledge.Cancelled:
			c.cancelled++
		}
	}
	return c
}

func (c counts) append(b []byte) []byte {
	for i, n := range []int{c.in, c.done, c.failed, c.cancelled, c.total} {
		b = append(b, [...]string{`{"in_progress":`, `,"completed":`, `,"failed":`, `,"cancelled":`, `,"total":`}[i]...)
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return append(b, '}')
}

// appendStore writes a collection as a vector store.
func (s *surface) appendStore(b []byte, a *ask, c *knowledge.Collection) []byte {
	_, attached, err := s.k.Attached(a.by, c.ID)
	n := count(attached)
	held, counted := s.k.Count(a.x.Context(), c)
	if err == nil && counted == nil && n.total == 0 { // the operator's: its documents are no files
		n = counts{done: held.Documents, total: held.Documents}
	}
	b = scan.AppendString(append(b, `{"id":`...), c.ID)
	b = append(b, `,"object":"vector_store","created_at":`...)
	b = strconv.AppendInt(b, c.Created.Unix(), 10)
	b = scan.AppendString(append(b, `,"name":`...), c.Name)
	b = append(b, `,"usage_bytes":`...)
	b = strconv.AppendInt(b, held.Bytes, 10)
	b = n.append(append(b, `,"file_counts":`...))
	status := "completed"
	if n.in > 0 {
		status = "in_progress"
	}
	b = append(b, `,"status":"`+status+`","expires_after":`...)
	if c.Days == 0 {
		b = append(b, `null,"expires_at":null`...)
	} else {
		b = append(b, `{"anchor":"last_active_at","days":`...)
		b = strconv.AppendInt(b, int64(c.Days), 10)
		b = append(b, `},"expires_at":`...)
		b = strconv.AppendInt(b, c.Active.Add(time.Duration(c.Days)*24*time.Hour).Unix(), 10)
	}
	b = append(b, `,"last_active_at":`...)
	b = strconv.AppendInt(b, c.Active.Unix(), 10)
	b = append(b, `,"metadata":`...)
	metadata := c.Metadata
	if metadata == nil {
		metadata = map[string]string{}
	}
	return append(appendJSON(b, metadata), '}')
}

// appendJSON writes a value of ours, which always has a JSON form.
func appendJSON(b []byte, v any) []byte {
	j, err := json.Marshal(v)
	if err != nil {
		return append(b, "null"...)
	}
	return append(b, j...)
}

// metadata reads names and texts.
func (a *ask) metadata() (m map[string]string, given bool, err error) {
	v := a.body.Get("metadata")
	if !v.Given() {
		return nil, v.Exists(), nil
	}
	if v.Kind() != scan.Object {
		return nil, true, dialect.Invalid("metadata", "metadata must be an object of texts")
	}
	m = map[string]string{}
	for each := range v.All() {
		if each.Kind() != scan.String {
			return nil, true, dialect.Invalid("metadata", "metadata must be an object of texts")
		}
		m[string(each.Key())] = each.Text()
	}
	return m, true, nil
}

// days reads expires_after; 0 is never.
func (a *ask) days() (n int, given bool, err error) {
	v := a.body.Get("expires_after")
	if !v.Given() {
		return 0, v.Exists(), nil
	}
	days, ok := v.Get("days").Int()
	if !ok || !v.Get("anchor").Is("last_active_at") || days < 1 || days > 365 {
		return 0, true, dialect.Invalid("expires_after", "expires_after has the anchor last_active_at and 1 to 365 days")
	}
	return int(days), true, nil
}

// cut reads a chunking_strategy; zero limits are the collection's.
func cut(v scan.Value) (l chunk.Limits, err error) {
	v = v.Get("chunking_strategy")
	switch {
	case !v.Given() || v.Get("type").Is("auto"):
		return l, nil
	case !v.Get("type").Is("static"):
		return l, dialect.Invalid("chunking_strategy", "the type of a chunking_strategy is auto or static")
	}
	most, ok := v.Get("static").Get("max_chunk_size_tokens").Int()
	overlap, ok2 := v.Get("static").Get("chunk_overlap_tokens").Int()
	if !ok || !ok2 || most < 100 || most > 4096 || overlap < 0 || 2*overlap > most {
		return l, dialect.Invalid("chunking_strategy", "static has max_chunk_size_tokens from 100 to 4096, and chunk_overlap_tokens of at most half of them")
	}
	return chunk.Limits{Tokens: int(most), Overlap: int(overlap)}, nil
}

// attributes reads by what a file is chosen.
func attributes(v scan.Value) (passage.Attributes, error) {
	v = v.Get("attributes")
	if !v.Given() {
		return nil, nil
	}
	if v.Kind() != scan.Object {
		return nil, dialect.Invalid("attributes", "attributes must be an object of texts, numbers and truth values")
	}
	all := passage.Attributes{}
	for each := range v.All() {
		var value passage.Value
		if err := json.Unmarshal(each.Raw(), &value); err != nil {
			return nil, dialect.Invalid("attributes", "attributes must be an object of texts, numbers and truth values")
		}
		all[string(each.Key())] = value
	}
	return all, nil
}

// ids reads a list of texts.
func (a *ask) ids(name string) (all []string, err error) {
	v := a.body.Get(name)
	if !v.Given() {
		return nil, nil
	}
	if v.Kind() != scan.Array {
		return nil, dialect.Invalid(name, name+" must be a list of ids")
	}
	for each := range v.All() {
		if each.Kind() != scan.String {
			return nil, dialect.Invalid(name, name+" must be a list of ids")
		}
		all = append(all, each.Text())
	}
	return all, nil
}

func (s *surface) create(a *ask) ([]byte, error) {
	var n knowledge.New
	var err error
	if n.Name, _, err = a.text("name"); err != nil {
		return nil, err
	}
	if n.Metadata, _, err = a.metadata(); err != nil {
		return nil, err
	}
	if n.Days, _, err = a.days(); err != nil {
		return nil, err
	}
	if n.Cut, err = cut(a.body); err != nil {
		return nil, err
	}
	files, err := a.ids("file_ids")
	if err != nil {
		return nil, err
	}
	for _, id := range files {
		if _, err := s.k.File(a.by, id); err != nil {
			return nil, dialect.Invalid("file_ids", fault.Of(err).Words)
		}
	}
	c, err := s.k.Create(a.x.Context(), a.by, n)
	if err != nil {
		return nil, err
	}
	for _, id := range files {
		if _, err := s.k.Attach(a.x.Context(), a.by, c.ID, id, nil, chunk.Limits{}, ""); err != nil {
			return nil, err
		}
	}
	return s.appendStore(nil, a, c), nil
}

func (s *surface) list(a *ask) ([]byte, error) {
	p, err := a.page()
	if err != nil {
		return nil, err
	}
	return list(p, s.k.List(a.by), func(c *knowledge.Collection) string { return c.ID }, func(b []byte, c *knowledge.Collection) []byte {
		return s.appendStore(b, a, c)
	}), nil
}

func (s *surface) get(a *ask) ([]byte, error) {
	id := a.path[0]
	switch {
	case len(a.path) == 1:
		c, err := s.k.Get(a.by, id)
		if err != nil {
			return nil, err
		}
		return s.appendStore(nil, a, c), nil
	case a.path[1] == "files" && len(a.path) == 2:
		_, all, err := s.k.Attached(a.by, id)
		if err != nil {
			return nil, err
		}
		return a.attachments(all)
	case a.path[1] == "files" && len(a.path) == 3:
		_, f, err := s.k.Attachment(a.by, id, a.path[2])
		if err != nil {
			return nil, err
		}
		return appendAttachment(nil, f), nil
	case a.path[1] == "files" && len(a.path) == 4 && a.path[3] == "content":
		return s.content(a, id, a.path[2])
	case a.path[1] == "file_batches" && len(a.path) == 3:
		b, all, err := s.k.BatchOf(a.by, id, a.path[2])
		return appendBatch(b, all), err
	case a.path[1] == "file_batches" && len(a.path) == 4 && a.path[3] == "files":
		_, all, err := s.k.BatchOf(a.by, id, a.path[2])
		if err != nil {
			return nil, err
		}
		return a.attachments(all)
	}
	return nil, noPath()
}

func (s *surface) post(a *ask) ([]byte, error) {
	id := a.path[0]
	switch {
	case len(a.path) == 1:
		return s.modify(a, id)
	case a.path[1] == "search" && len(a.path) == 2:
		return s.search(a, id)
	case a.path[1] == "files" && len(a.path) == 2:
		return s.attach(a, id)
	case a.path[1] == "files" && len(a.path) == 3:
		with, err := attributes(a.body)
		if err != nil {
			return nil, err
		}
		f, err := s.k.SetAttributes(a.x.Context(), a.by, id, a.path[2], with)
		if err != nil {
			return nil, err
		}
		return appendAttachment(nil, f), nil
	case a.path[1] == "file_batches" && len(a.path) == 2:
		return s.attachBatch(a, id)
	case a.path[1] == "file_batches" && len(a.path) == 4 && a.path[3] == "cancel":
		b, all, err := s.k.CancelBatch(a.x.Context(), a.by, id, a.path[2])
		return appendBatch(b, all), err
	}
	return nil, noPath()
}

func (s *surface) modify(a *ask, id string) ([]byte, error) {
	var to knowledge.Change
	name, given, err := a.text("name")
	if err != nil {
		return nil, err
	}
	if given {
		to.Name = &name
	}
	metadata, given, err := a.metadata()
	if err != nil {
		return nil, err
	}
	if given {
		to.Metadata = &metadata
	}
	days, given, err := a.days()
	if err != nil {
		return nil, err
	}
	if given {
		to.Days = &days
	}
	c, err := s.k.Modify(a.x.Context(), a.by, id, to)
	if err != nil {
		return nil, err
	}
	return s.appendStore(nil, a, c), nil
}

func (s *surface) remove(a *ask) ([]byte, error) {
	switch {
	case len(a.path) == 1:
		if _, err := s.k.Delete(a.x.Context(), a.by, a.path[0]); err != nil {
			return nil, err
		}
		return deleted(a.path[0], "vector_store.deleted"), nil
	case len(a.path) == 3 && a.path[1] == "files":
		if err := s.k.Detach(a.x.Context(), a.by, a.path[0], a.path[2]); err != nil {
			return nil, err
		}
		return deleted(a.path[2], "vector_store.file.deleted"), nil
	}
	return nil, noPath()
}

func (s *surface) attach(a *ask, id string) ([]byte, error) {
	file, given, err := a.text("file_id")
	switch {
	case err != nil:
		return nil, err
	case !given:
		return nil, dialect.Invalid("file_id", "file_id names the file to add")
	}
	with, err := attributes(a.body)
	if err != nil {
		return nil, err
	}
	limits, err := cut(a.body)
	if err != nil {
		return nil, err
	}
	f, err := s.k.Attach(a.x.Context(), a.by, id, file, with, limits, "")
	if err != nil {
		return nil, err
	}
	return appendAttachment(nil, f), nil
}

// mostBatch bounds the files that are added together, as OpenAI does.
const mostBatch = 500

func (s *surface) attachBatch(a *ask, id string) ([]byte, error) {
	files, err := a.ids("file_ids")
	if err != nil {
		return nil, err
	}
	with, err := attributes(a.body)
	if err != nil {
		return nil, err
	}
	limits, err := cut(a.body)
	if err != nil {
		return nil, err
	}
	var all []knowledge.Attachment
	for _, file := range files {
		all = append(all, knowledge.Attachment{File: file, Attributes: with, Cut: limits})
	}
	if list := a.body.Get("files"); list.Given() {
		if list.Kind() != scan.Array || len(files) > 0 {
			return nil, dialect.Invalid("files", "files is a list of files with attributes of their own; give it or file_ids")
		}
		for each := range list.All() {
			f := knowledge.Attachment{File: each.Get("file_id").Text()}
			if f.Attributes, err = attributes(each); err != nil {
				return nil, err
			}
			if f.Cut, err = cut(each); err != nil {
				return nil, err
			}
			all = append(all, f)
		}
	}
	if len(all) == 0 || len(all) > mostBatch {
		return nil, dialect.Invalid("file_ids", "a batch has 1 to "+strconv.Itoa(mostBatch)+" files")
	}
	b, err := s.k.AttachBatch(a.x.Context(), a.by, id, all)
	if err != nil {
		return nil, err
	}
	_, attached, err := s.k.BatchOf(a.by, id, b.ID)
	return appendBatch(b, attached), err
}

func (a *ask) attachments(all []*knowledge.Attachment) ([]byte, error) {
	p, err := a.page()
	if err != nil {
		return nil, err
	}
	if want := a.q.Get("filter"); want != "" {
		all = slices.DeleteFunc(slices.Clone(all), func(f *knowledge.Attachment) bool { return string(f.Status) != want })
	}
	return list(p, all, func(f *knowledge.Attachment) string { return f.File }, appendAttachment), nil
}

func appendAttachment(b []byte, f *knowledge.Attachment) []byte {
	b = scan.AppendString(append(b, `{"id":`...), f.File)
	b = append(b, `,"object":"vector_store.file","usage_bytes":`...)
	b = strconv.AppendInt(b, f.Bytes, 10)
	b = append(b, `,"created_at":`...)
	b = strconv.AppendInt(b, f.Created.Unix(), 10)
	b = scan.AppendString(append(b, `,"vector_store_id":`...), f.Collection)
	b = append(b, `,"status":"`+string(f.Status)+`","last_error":`...)
	if f.Status == knowledge.Failed {
		code := "invalid_file"
		switch f.Kind {
		case fault.Unsupported.String():
			code = "unsupported_file"
		case fault.InvalidRequest.String(), fault.TooLarge.String():
		default:
			code = "server_error"
		}
		b = scan.AppendString(append(b, `{"code":"`+code+`","message":`...), f.Why)
		b = append(b, '}')
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"chunking_strategy":{"type":"static","static":{"max_chunk_size_tokens":`...)
	b = strconv.AppendInt(b, int64(f.Cut.Tokens), 10)
	b = append(b, `,"chunk_overlap_tokens":`...)
	b = strconv.AppendInt(b, int64(f.Cut.Overlap), 10)
	b = append(b, `}},"attributes":`...)
	return append(appendAttributes(b, f.Attributes), '}')
}

func appendAttributes(b []byte, a passage.Attributes) []byte {
	if a == nil {
		return append(b, "{}"...)
	}
	return appendJSON(b, a)
}

func appendBatch(batch *knowledge.Batch, all []*knowledge.Attachment) []byte {
	if batch == nil {
		return nil
	}
	n := count(all)
	status := "completed"
	switch {
	case batch.Cancelled:
		status = "cancelled"
	case n.in > 0:
		status = "in_progress"
	case n.total > 0 && n.failed == n.total:
		status = "failed"
	}
	b := scan.AppendString([]byte(`{"id":`), batch.ID)
	b = append(b, `,"object":"vector_store.files_batch","created_at":`...)
	b = strconv.AppendInt(b, batch.Created.Unix(), 10)
	b = scan.AppendString(append(b, `,"vector_store_id":`...), batch.Collection)
	b = append(b, `,"status":"`+status+`","file_counts":`...)
	return append(n.append(b), '}')
}

// content writes the passages of a file.
func (s *surface) content(a *ask, id, file string) ([]byte, error) {
	all, err := s.k.Passages(a.x.Context(), a.by, id, file)
	if err != nil {
		return nil, err
	}
	b := []byte(`{"object":"vector_store.file_content.page","data":[`)
	for i := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = scan.AppendString(append(b, `{"type":"text","text":`...), all[i].Passage.Text)
		b = append(b, '}')
	}
	return append(b, `],"has_more":false,"next_page":null}`...), nil
}

// Bounds of a search, as OpenAI has them.
const (
	usualResults = 10
	mostResults  = 50
)

// search finds passages. Beside what OpenAI's has, headworks tells the ranker
// ({"ranker": "bm25"}) and the bound is higher.
func (s *surface) search(a *ask, id string) ([]byte, error) {
	q := knowledge.Query{K: usualResults}
	v := a.body.Get("query")
	var asked []string
	switch v.Kind() {
	case scan.String:
		asked = []string{v.Text()}
	case scan.Array:
		for each := range v.All() {
			if each.Kind() != scan.String {
				return nil, dialect.Invalid("query", "query must be a text or a list of texts")
			}
			asked = append(asked, each.Text())
		}
	default: // so nothing is asked
	}
	if q.Text = strings.Join(asked, " "); strings.TrimSpace(q.Text) == "" {
		return nil, dialect.Invalid("query", "query must be a text or a list of texts")
	}
	if v := a.body.Get("max_num_results"); v.Given() {
		n, ok := v.Int()
		if !ok || n < 1 || n > mostResults {
			return nil, dialect.Invalid("max_num_results", "max_num_results must be from 1 to "+strconv.Itoa(mostResults))
		}
		q.K = int(n)
	}
	if v := a.body.Get("filters"); v.Given() {
		f, err := passage.ParseFilter(v.Raw())
		if err != nil {
			return nil, dialect.Invalid("filters", err.Error())
		}
		q.Filter = f
	}
	least := 0.0
	if v := a.body.Get("ranking_options"); v.Given() {
		if score := v.Get("score_threshold"); score.Given() {
			var ok bool
			if least, ok = score.Float(); !ok {
				return nil, dialect.Invalid("ranking_options", "score_threshold must be a number")
			}
		}
		if name := v.Get("ranker").Text(); name != "" {
			if r, ok := knowledge.ParseRanker(name); ok {
				q.Ranker = r
			} else if name != "auto" && name != "none" && !strings.HasPrefix(name, "default-") {
				return nil, dialect.Invalid("ranking_options", "ranker must be auto, hybrid, bm25 or dense")
			}
		}
	}
	found, err := s.k.SearchAs(a.x.Context(), a.by, a.by.Audience(), []string{id}, q)
	if err != nil {
		return nil, err
	}
	hits := slices.DeleteFunc(found.Hits, func(h knowledge.Hit) bool { return h.Score < least })
	b := append([]byte(`{"object":"vector_store.search_results.page","search_query":[`), scan.AppendString(nil, q.Text)...)
	b = append(b, `],"data":[`...)
	for i, h := range hits {
		if i > 0 {
			b = append(b, ',')
		}
		b = scan.AppendString(append(b, `{"file_id":`...), cmp.Or(knowledge.FileOf(h.Document), h.Document))
		b = scan.AppendString(append(b, `,"filename":`...), cmp.Or(h.Source, h.Document))
		b = append(b, `,"score":`...)
		b = appendJSON(b, h.Score)
		b = appendAttributes(append(b, `,"attributes":`...), h.Attributes)
		b = scan.AppendString(append(b, `,"content":[{"type":"text","text":`...), h.Text)
		b = append(b, `}],"headworks":`...)
		b = appendJSON(b, told{h.Document, h.Chunk, h.Version, h.Title, h.Path, h.Start, h.End, h.Legs})
		b = append(b, '}')
	}
	b = append(b, `],"has_more":false,"next_page":null`...)
	if found.Degraded != "" {
		b = scan.AppendString(append(b, `,"degraded":`...), found.Degraded)
	}
	return append(b, '}'), nil
}

// told is what we say of a passage beside what OpenAI says of one.
type told struct {
	Document string         `json:"document"`
	Chunk    string         `json:"chunk"`
	Version  uint64         `json:"version"`
	Title    string         `json:"title"`
	Path     string         `json:"path"`
	Start    int            `json:"start"`
	End      int            `json:"end"`
	Legs     knowledge.Legs `json:"legs"`
}
