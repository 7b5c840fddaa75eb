package knowledge

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"headworks/internal/chunk"
	"headworks/internal/document"
	"headworks/internal/fault"
	"headworks/internal/passage"
)

// Item is a file on its way into a collection.
type Item struct {
	ID         string // of its document, and before those that the file names; empty: Name, and those alone
	Name       string // what it is called
	Named      string // ID of its document where the file names none; empty: Name
	Source     string // where it is: a path, a URL
	Media      string // empty: found out
	Title      string // empty: the document's own
	Size       int64  // -1: unknown
	Attributes passage.Attributes
	Readers    []string     // nil: those of the collection
	Cut        chunk.Limits // zero: those of the collection
	Version    string       // another one where its content may be another; empty: not known before it is opened
	Modified   time.Time    // zero: not known
	// Open opens it. It returns ErrUnchanged where it is what it was when Open told the
	// version have, and ErrGone where it is no longer there though it is listed.
	Open func(ctx context.Context, have string) (*Content, error)
}

// Content is what an Item holds.
type Content struct {
	Body    io.ReadCloser
	Name    string // a better one than the item's; empty: none
	Media   string // empty: the item's
	Version string // to be known by; empty: it has to be read each time
	Size    int64  // -1: unknown
}

var (
	// ErrUnchanged says that an item is what it was.
	ErrUnchanged = errors.New("unchanged")
	// ErrGone says that an item is no longer there.
	ErrGone = errors.New("gone")
)

// Progress is how far an ingestion is.
type Progress struct {
	Files     int   `json:"files"`
	Documents int   `json:"documents"` // read
	Unchanged int   `json:"unchanged"` // of them, that were there already
	Added     int   `json:"added"`     // of them, that are new or another version
	Removed   int   `json:"removed"`
	Passages  int   `json:"passages"` // added
	Embedded  int   `json:"embedded"` // of them, that were made into vectors; the others had theirs
	Failed    int   `json:"failed"`   // documents that could not be read
	Bytes     int64 `json:"bytes"`
}

// Failure is a file that could not be read.
type Failure struct {
	Name string `json:"name"`
	Why  string `json:"why"`
	Kind string `json:"kind,omitempty"` // of a fault
}

// Added is what an ingestion did.
type Added struct {
	Collection string `json:"collection"`
	Progress
	Failures []Failure `json:"failures,omitempty"` // the first of them
	lag      time.Duration
	Notes    []Failure `json:"notes,omitempty"` // what to know of how files were read
}

// mostFailures bounds the failures and notes that are told.
const mostFailures = 100

// A batch is written when it has so many passages, so many bytes of text, or was begun
// so long ago: what a crash can cost. The first ones are small, each next one has twice
// as many passages.
const (
	firstPassages = 256
	batchPassages = 8192
	batchBytes    = 16 << 20
	batchTime     = 5 * time.Second
)

// Adding is how items are added.
type Adding struct {
	Progress func(Progress) // called after each batch, and with each file; nil: nobody asks
	Under    string         // what the sources of all items begin with: documents of it that no item has any more go; empty: none do
}

// Add reads items into a collection. Documents that did not change stay as they are;
// others take the place of their former version. What was written is kept whenever it
// ends: adding the same again goes on.
func (k *Knowledge) Add(ctx context.Context, by Who, name string, items iter.Seq2[Item, error], how Adding) (*Added, error) {
	c, err := k.own(by, name)
	if err != nil {
		return nil, err
	}
	lock := k.lock(c.ID)
	lock.Lock()
	defer lock.Unlock()
	if c, err = k.own(by, c.ID); err != nil { // it may be gone by now
		return nil, err
	}
	a := &adder{k: k, c: c, how: how, most: firstPassages, seen: map[string]bool{}, listed: map[string]itemState{}}
	a.out.Collection = c.Name
	if how.Under != "" {
		if a.versions, err = k.recallItems(ctx, c.ID); err != nil {
			return nil, err
		}
	}
	err = a.run(ctx, items)
	if err == nil && how.Under != "" {
		if err = a.prune(ctx); err == nil {
			err = register(context.WithoutCancel(ctx), k.o.Register, itemsKind, c.ID, &a.versions)
		}
	}
	if a.changed {
		if touched := k.touch(context.WithoutCancel(ctx), c.ID); err == nil {
			err = touched
		}
	}
	return &a.out, err
}

// touch notes that a collection is in use.
func (k *Knowledge) touch(ctx context.Context, id string) error {
	k.mu.RLock()
	c := k.known[id]
	k.mu.RUnlock()
	if c == nil {
		return nil
	}
	active := *c
	active.Active = k.o.Now().UTC()
	return k.keep(ctx, &active)
}

// adder is an ingestion under way.
type adder struct {
	k       *Knowledge
	c       *Collection
	how     Adding
	out     Added
	seen    map[string]bool
	batch   []passage.Whole
	set     []passage.Document
	size    int // of the batch's texts
	count   int // of its passages
	most    int // of them
	begun   time.Time
	changed bool

	versions map[string]string    // of items, by source; nil: nobody keeps them
	listed   map[string]itemState // by source
	modified time.Time            // the oldest change that the batch holds; zero: not known
}

func (a *adder) tell() {
	if a.how.Progress != nil {
		a.how.Progress(a.out.Progress)
	}
}

func (a *adder) fail(name string, err error) {
	a.out.Failed++
	if len(a.out.Failures) < mostFailures {
		a.out.Failures = append(a.out.Failures, Failure{name, fault.Of(err).Words, fault.Of(err).Kind.String()})
	}
}

func (a *adder) run(ctx context.Context, items iter.Seq2[Item, error]) error {
	for item, err := range items {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			if item.Name == "" {
				return err
			}
			a.listed[item.Source] = wasFailed
			a.fail(item.Name, err)
			continue
		}
		a.out.Files++
		if err := a.file(ctx, &item); err != nil {
			return err
		}
		a.tell()
	}
	if err := a.flush(ctx); err != nil {
		return err
	}
	a.tell()
	return nil
}

// file reads one file. What is wrong with it ends nothing else.
func (a *adder) file(ctx context.Context, item *Item) error {
	have := a.versions[item.Source]
	if have != "" && have == item.Version {
		a.listed[item.Source] = wasKept
		return nil
	}
	content, err := item.Open(ctx, have)
	if errors.Is(err, ErrUnchanged) {
		a.listed[item.Source] = wasKept
		return nil
	}
	if errors.Is(err, ErrGone) {
		return nil // as good as not listed
	}
	a.listed[item.Source] = wasFailed
	if err != nil {
		if _, ok := errors.AsType[*fault.Error](err); !ok {
			err = fault.Wrap(fault.InvalidRequest, "it could not be opened", err)
		}
		a.fail(item.Name, err)
		return nil
	}
	defer content.Body.Close()
	failed := a.out.Failed
	name, media := cmp.Or(content.Name, item.Name), cmp.Or(content.Media, item.Media)
	for d, err := range a.k.o.Reader.Read(ctx, name, media, content.Body, content.Size) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			a.fail(item.Name, err)
			continue
		}
		for _, note := range d.Notes {
			if len(a.out.Notes) < mostFailures {
				a.out.Notes = append(a.out.Notes, Failure{Name: item.Name, Why: note})
			}
		}
		if err := a.document(ctx, item, d); err != nil {
			return err
		}
	}
	if a.out.Failed > failed {
		return nil
	}
	a.listed[item.Source] = wasRead
	if a.versions != nil {
		a.versions[item.Source] = content.Version
	}
	return nil
}

// contentHash returns the hash of what a document says and of how it is cut.
func contentHash(d *document.Document, title string, cut chunk.Limits) passage.Hash {
	h := sha256.New()
	for _, s := range []string{"1", title, d.Text} { // the first is the version of how it is cut
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(s))))
		io.WriteString(h, s) //nolint:errcheck // a hash takes everything
	}
	h.Write(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(cut.Tokens)), uint64(cut.Overlap)))
	return passage.Hash(h.Sum(nil))
}

// maxDocumentID bounds the ID of a document, in bytes.
const maxDocumentID = 1024

func (a *adder) document(ctx context.Context, item *Item, d *document.Document) error {
	a.out.Documents++
	id := cmp.Or(d.ID, item.Named, item.Name)
	if item.ID != "" {
		if id = item.ID; d.ID != "" {
			id += within + d.ID
		}
	}
	cut := a.c.Cut
	if item.Cut != (chunk.Limits{}) {
		cut = item.Cut
	}
	if len(id) > maxDocumentID {
		a.fail(item.Name, fault.New(fault.InvalidRequest, fmt.Sprintf("the id of a document has more than %d bytes", maxDocumentID)))
		return nil
	}
	doc := passage.Document{
		ID: id, Source: item.Source, Title: cmp.Or(item.Title, d.Title), Version: 1, Bytes: int64(len(d.Text)),
		Attributes: attributesOf(item, d), Readers: item.Readers, Added: a.k.o.Now().UTC(),
	}
	if doc.Readers == nil {
		doc.Readers = a.c.Readers
	}
	if a.seen[id] { // twice in one go: the first one counts, as for whoever adds it again
		if i := slices.IndexFunc(a.batch, func(w passage.Whole) bool { return w.ID == id }); i >= 0 {
			if err := a.flush(ctx); err != nil {
				return err
			}
		}
	}
	a.seen[id] = true
	doc.Hash = contentHash(d, doc.Title, cut)
	history, err := a.k.o.Store.Documents(ctx, a.c.space(), passage.Page{IDs: []string{id}, History: true, N: 1})
	if err != nil {
		return err
	}
	current := false
	if len(history) > 0 {
		last := &history[0]
		doc.Version = last.Version + 1
		current = last.Gone.IsZero()
		if item.Readers == nil { // they may have been set since: a new version is no way round them
			doc.Readers = last.Readers
		}
		if item.Attributes == nil && current {
			doc.Attributes = kept(last.Attributes, doc.Attributes)
		}
		if current && last.Hash == doc.Hash {
			a.out.Unchanged++
			doc.Version, doc.Passages = last.Version, last.Passages
			if !sameAside(last, &doc) {
				a.set = append(a.set, doc)
				return a.room(ctx)
			}
			return nil
		}
	}
	w := passage.Whole{Document: doc}
	for i, ch := range chunk.Cut(d, cut) {
		w.Passages = append(w.Passages, passage.Passage{
			ID: passage.NewID(a.c.ID, id, doc.Hash, i), Ordinal: i, Title: doc.Title, Path: ch.Path, Text: ch.Text,
			Start: ch.Start, End: ch.End, Tokens: ch.Tokens,
		})
		a.size += len(ch.Text)
	}
	if title := strings.TrimSpace(doc.Title); len(w.Passages) == 0 && title != "" { // nothing but a title is found by it
		w.Passages = append(w.Passages, passage.Passage{ID: passage.NewID(a.c.ID, id, doc.Hash, 0), Text: title, Tokens: len(strings.Fields(title))})
	}
	if current && a.c.Embedder != (passage.Identity{}) {
		if err := a.recall(ctx, &w); err != nil {
			return err
		}
	}
	if len(a.batch) == 0 {
		a.begun = time.Now()
	}
	a.count += len(w.Passages)
	if m := item.Modified; !m.IsZero() && (a.modified.IsZero() || m.Before(a.modified)) {
		a.modified = m
	}
	a.batch = append(a.batch, w)
	return a.room(ctx)
}

// room writes the batch where it is large or old enough.
func (a *adder) room(ctx context.Context) error {
	if a.count >= a.most || a.size >= batchBytes || len(a.set) >= batchPassages || len(a.batch) > 0 && time.Since(a.begun) > batchTime {
		return a.flush(ctx)
	}
	return nil
}

func sameAside(a, b *passage.Document) bool {
	if !slices.Equal(a.Readers, b.Readers) || len(a.Attributes) != len(b.Attributes) {
		return false
	}
	for name, v := range a.Attributes {
		if w, ok := b.Attributes[name]; !ok || v != w {
			return false
		}
	}
	return true
}

// kept returns attributes that were set before with those that a file has.
func kept(before, own passage.Attributes) passage.Attributes {
	if len(before) == 0 {
		return own
	}
	all := maps.Clone(before)
	maps.Copy(all, own)
	if all.Check() != nil { // more than there may be
		return own
	}
	return all
}

// attributesOf returns what a document is chosen by: what its file says, and what
// whoever adds it says, which counts more.
func attributesOf(item *Item, d *document.Document) passage.Attributes {
	all := passage.Attributes{}
	for name, v := range d.Meta {
		all[name] = passage.Text(v)
		if len(all) == passage.MaxAttributes || (passage.Attributes{name: all[name]}).Check() != nil {
			delete(all, name)
		}
	}
	maps.Copy(all, item.Attributes)
	if len(all) == 0 {
		return nil
	}
	return all
}

// embedded returns the text that is made into a vector for a passage.
func embedded(p *passage.Passage) string {
	head := p.Title
	if p.Path != "" {
		if head != "" {
			head += " > "
		}
		head += p.Path
	}
	if head == "" {
		return p.Text
	}
	return head + "\n" + p.Text
}

// recall takes over the vectors of passages that the former version had as well.
func (a *adder) recall(ctx context.Context, w *passage.Whole) error {
	before, err := a.k.o.Store.Load(ctx, a.c.space(), passage.Operator(), []passage.Ref{{Document: w.ID}}, true)
	if err != nil {
		return err
	}
	known := map[string][]float32{}
	for i := range before {
		known[embedded(&before[i].Passage)] = before[i].Passage.Vector
	}
	for i := range w.Passages {
		w.Passages[i].Vector = known[embedded(&w.Passages[i])]
	}
	return nil
}

// flush writes the batch: all of it, or nothing.
func (a *adder) flush(ctx context.Context) error {
	if len(a.batch) == 0 && len(a.set) == 0 {
		return nil
	}
	embedded, err := a.k.embedAll(ctx, a.c.Embedder, a.batch)
	if err != nil {
		return err
	}
	change := passage.Change{Put: a.batch, Set: a.set}
	ctx = context.WithoutCancel(ctx)
	if err := a.k.o.Store.Write(ctx, a.c.space(), change); err != nil {
		return err
	}
	if err := a.k.follow(ctx, a.c, change); err != nil {
		return err
	}
	a.out.Added += len(a.batch)
	a.out.Passages += a.count
	a.out.Embedded += embedded
	for i := range a.batch {
		a.out.Bytes += a.batch[i].Bytes
	}
	a.changed = true
	if !a.modified.IsZero() {
		a.out.lag = max(a.out.lag, a.k.o.Now().Sub(a.modified))
	}
	a.modified = time.Time{}
	a.batch, a.set, a.size, a.count, a.most = nil, nil, 0, 0, min(2*a.most, batchPassages)
	a.tell()
	return a.k.bump(a.c)
}

// embedBatch is how many texts are embedded by one call.
const embedBatch = 64

// embedAll makes the passages that have no vector into vectors, several calls at once,
// and returns how many it did.
func (k *Knowledge) embedAll(ctx context.Context, by passage.Identity, docs []passage.Whole) (n int, err error) {
	if by == (passage.Identity{}) {
		return 0, nil
	}
	var todo []*passage.Passage
	first := map[string]*passage.Passage{} // of a text, so that equal ones are embedded once
	var again []*passage.Passage
	for i := range docs {
		for j := range docs[i].Passages {
			p := &docs[i].Passages[j]
			if p.Vector != nil {
				continue
			}
			if first[embedded(p)] != nil {
				again = append(again, p)
				continue
			}
			first[embedded(p)] = p
			todo = append(todo, p)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	parts := make(chan []*passage.Passage)
	var wg sync.WaitGroup
	for range min(max(runtime.GOMAXPROCS(0), 4), 8) {
		wg.Go(func() {
			for part := range parts {
				if err := k.embedPart(ctx, by, part); err != nil {
					cancel(err)
				}
			}
		})
	}
	for part := range slices.Chunk(todo, embedBatch) {
		if ctx.Err() != nil {
			break
		}
		parts <- part
	}
	close(parts)
	wg.Wait()
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	for _, p := range again {
		p.Vector = first[embedded(p)].Vector
	}
	return len(todo), nil
}

func (k *Knowledge) embedPart(ctx context.Context, by passage.Identity, part []*passage.Passage) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	texts := make([]string, len(part))
	for i, p := range part {
		texts[i] = embedded(p)
	}
	vectors, err := k.embedPatiently(ctx, by, Texts{Of: texts})
	if err != nil {
		return err
	}
	if len(vectors) != len(part) {
		return errors.New("knowledge: an embedder returned another number of vectors than it was asked for")
	}
	for i, v := range vectors {
		if v != nil && len(v) != by.Dim {
			return fault.New(fault.Mismatch, fmt.Sprintf("the embedder returned vectors of %d numbers, where this collection has %d: it is another one than it was; move the collection to it", len(v), by.Dim))
		}
		part[i].Vector = v
	}
	return nil
}

// embedTries is how often texts are sent to an embedder that has no room just now.
const embedTries = 6

// embedPatiently waits for an embedder that is busy.
func (k *Knowledge) embedPatiently(ctx context.Context, by passage.Identity, t Texts) (vectors [][]float32, err error) {
	for try := range embedTries {
		if vectors, err = k.o.Embedders.Embed(ctx, by, t); err == nil || ctx.Err() != nil {
			return vectors, err
		}
		f := fault.Of(err)
		if info := f.Kind.Info(); !info.Another && !info.Retry || try == embedTries-1 {
			break
		}
		wait := time.NewTimer(max(f.After, time.Second<<try))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil, context.Cause(ctx)
		}
	}
	return nil, err
}

// follow makes a change in the space to which the collection is being moved as well.
func (k *Knowledge) follow(ctx context.Context, c *Collection, change passage.Change) error {
	if c.Next == nil {
		return nil
	}
	next := passage.Change{Set: change.Set, Remove: change.Remove}
	for _, w := range change.Put {
		w.Passages = slices.Clone(w.Passages)
		for i := range w.Passages {
			w.Passages[i].Vector = nil
		}
		next.Put = append(next.Put, w)
	}
	if _, err := k.embedAll(ctx, *c.Next, next.Put); err != nil {
		return err
	}
	return k.o.Store.Write(ctx, c.spaceBy(*c.Next), next)
}
