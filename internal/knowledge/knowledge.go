// Package knowledge keeps collections of documents and finds the passages that
// answer a question: for a caller, those that he may read and no others.
//
// What goes in is cut into passages, made into vectors and kept by a Store, so that
// doing it again changes nothing and going on after a crash repeats little. What is
// removed is found no longer when the call returns, and whoever keeps answers made of
// it is told by an epoch.
package knowledge

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"headworks/internal/chunk"
	"headworks/internal/document"
	"headworks/internal/fault"
	"headworks/internal/passage"
	"headworks/internal/tenant"
	"headworks/internal/words"
)

// Store keeps passages and finds them. Package knowledgetest holds what every one
// must do.
type Store interface {
	// Write makes a change, whole or not at all. When it returns without an error the
	// change is durable, and searches that begin later see it.
	Write(ctx context.Context, of passage.Space, c passage.Change) error
	// Search finds passages by words and by vectors, of those that the audience may
	// read and the filter chooses: if there are N of them, the best N.
	Search(ctx context.Context, of passage.Space, q passage.Query) (passage.Legs, error)
	// Load returns passages with their documents, in the order of their refs, those of
	// a whole document in theirs. What is gone, and what the audience may not read, is
	// left out. Vectors come along where they are asked for.
	Load(ctx context.Context, of passage.Space, who passage.Audience, refs []passage.Ref, vectors bool) ([]passage.Loaded, error)
	// Documents lists documents.
	Documents(ctx context.Context, of passage.Space, p passage.Page) ([]passage.Document, error)
	// Drop removes a space with all that is in it; one that is not there is passed over.
	Drop(ctx context.Context, of passage.Space) error
}

// Register keeps small values by kind and ID. What Set returned for is durable.
type Register interface {
	Get(ctx context.Context, kind string, yield func(id string, value []byte) error) error
	Set(ctx context.Context, kind, id string, value []byte) error // nil takes it out
}

// Embedders make texts into vectors.
type Embedders interface {
	// Identity returns the identity of an embedder by how an operator names it: lexical,
	// or upstream/model. Its errors are *fault.Error.
	Identity(ctx context.Context, name string) (passage.Identity, error)
	// Embed returns a vector of length one for each text; nil for one that has none.
	Embed(ctx context.Context, by passage.Identity, t Texts) ([][]float32, error)
}

// Texts are made into vectors together.
type Texts struct {
	Of       []string
	Question bool           // they are what is searched for, not what is found
	For      *tenant.Caller // whose question it is; nil: nobody's, or the operator's
}

// Reader makes documents of files, see format.Reader.
type Reader interface {
	Read(ctx context.Context, name, media string, in io.Reader, size int64) iter.Seq2[*document.Document, error]
}

// Reranker puts texts in order of how well they answer a question.
type Reranker interface {
	// Rerank returns a score for each text, on behalf of a caller; nil: of the operator.
	Rerank(ctx context.Context, model string, by *tenant.Caller, question string, texts []string) ([]float64, error)
}

// Options are what a Knowledge is made of.
type Options struct {
	Store     Store
	Register  Register
	Embedders Embedders
	Reader    Reader
	Sources   Sources
	Files     *os.Root                      // where files of callers are kept; nil: none are
	Reranker  Reranker                      // nil: nothing is reranked
	Bump      func(collection string) error // makes what was made of a collection's passages unreachable; nil: nobody keeps any
	// Promote is asked before a collection's vectors are replaced by those of another
	// embedder, which are there beside them: an error keeps the old ones. Nil: nobody is.
	Promote func(ctx context.Context, c *Collection, next passage.Identity) error
	Log     *slog.Logger
	Now     func() time.Time // nil: the clock
}

// Knowledge is all collections. Its methods may be called at once from many
// goroutines.
type Knowledge struct {
	o      Options
	adding sync.Map // *sync.Mutex by collection: one ingestion at a time
	mu     sync.RWMutex
	known  map[string]*Collection // by ID; each is replaced, never changed
	moves  uint64                 // how often known changed here
	desk   desk

	results Results // nil: every search is made
}

// Owner is whose a collection is. The zero Owner is the operator.
type Owner struct {
	Tenant  string `json:"tenant,omitempty"`
	Project string `json:"project,omitempty"`
}

// Collection is a set of documents that are searched together.
type Collection struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Owner    Owner             `json:"owner,omitzero"`
	Readers  []string          `json:"readers"`                 // who may read what is added without readers of its own
	Embedder passage.Identity  `json:"embedder,omitzero"`       // zero: words alone
	Moving   *Moving           `json:"moving,omitempty"`        // to another embedder
	Next     *passage.Identity `json:"next_embedder,omitempty"` // to which it is being moved
	Cut      chunk.Limits      `json:"cut"`
	Language string            `json:"language,omitempty"` // of its words; empty: English
	Alpha    *float64          `json:"alpha,omitempty"`    // what vectors count beside words, 0 to 1; nil: as usual
	Metadata map[string]string `json:"metadata,omitempty"`
	Created  time.Time         `json:"created"`
	Active   time.Time         `json:"last_active"`
	Days     int               `json:"expires_after_days,omitempty"` // since Active; 0: never
	Sync     *Sync             `json:"sync,omitempty"`
}

// Space is where its passages are kept that are searched.
func (c *Collection) Space() passage.Space { return c.space() }

func (c *Collection) space() passage.Space { return c.spaceBy(c.Embedder) }

// spaceBy is where they are kept with the vectors of an embedder.
func (c *Collection) spaceBy(by passage.Identity) passage.Space {
	return passage.Space{Collection: c.ID, Embedder: by.Key(), Dimensions: by.Dim, Language: c.Language}
}

// expires returns when the collection ends; zero: never.
func (c *Collection) expires() time.Time {
	if c.Days == 0 {
		return time.Time{}
	}
	return c.Active.Add(time.Duration(c.Days) * 24 * time.Hour)
}

// The kinds of what is registered.
const (
	collectionKind = "collection"
	dropKind       = "drop" // a collection that is being removed
)

// Open reads which collections there are.
func Open(ctx context.Context, o Options) (*Knowledge, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Bump == nil {
		o.Bump = func(string) error { return nil }
	}
	k := &Knowledge{o: o, known: map[string]*Collection{}}
	err := o.Register.Get(ctx, collectionKind, func(id string, value []byte) error {
		c := &Collection{}
		if err := json.Unmarshal(value, c); err != nil {
			return fmt.Errorf("knowledge: the collection %s: %w", id, err)
		}
		k.known[id] = c
		return nil
	})
	if err == nil {
		err = k.openDesk(ctx)
	}
	var dropped []*Collection
	if err == nil {
		err = recall(ctx, o.Register, dropKind, func(c *Collection) { dropped = append(dropped, c) })
	}
	for _, c := range dropped { // whoever removed them did not end
		err = errors.Join(err, k.drop(ctx, c))
	}
	return k, err
}

// keep registers a collection and lets all see it.
func (k *Knowledge) keep(ctx context.Context, c *Collection) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := k.o.Register.Set(ctx, collectionKind, c.ID, b); err != nil {
		return err
	}
	k.mu.Lock()
	k.known[c.ID] = c
	k.moves++
	k.mu.Unlock()
	return nil
}

// Refresh takes over what other processes registered, where several share a Register.
// What changes here meanwhile is taken over the next time.
func (k *Knowledge) Refresh(ctx context.Context) error {
	k.mu.RLock()
	before := k.moves
	k.mu.RUnlock()
	known := map[string]*Collection{}
	if err := recall(ctx, k.o.Register, collectionKind, func(c *Collection) { known[c.ID] = c }); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.moves == before {
		k.known = known
	}
	return nil
}

// bump tells whoever keeps what was made of a collection that it changed. Both of its
// names are told: some know it by one, some by the other.
func (k *Knowledge) bump(c *Collection) error {
	if err := errors.Join(k.o.Bump(c.ID), k.o.Bump(c.Name)); err != nil {
		return fault.Wrap(fault.Internal, "the collection changed, but answers that are kept of it may be given a while longer", err)
	}
	return nil
}

// NewID returns an ID of that prefix that nobody guesses.
func NewID(prefix string) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + hex.EncodeToString(b[:])
}

// Principals returns who a caller is.
func Principals(c *tenant.Caller) []string {
	if c == nil {
		return nil
	}
	all := []string{passage.Everybody}
	if c.Tenant != "" {
		all = append(all, passage.TenantPrincipal(c.Tenant), passage.ProjectPrincipal(c.Tenant, c.Project))
	}
	if c.KeyID != "" {
		id := c.KeyID
		if c.Cell != "" { // key ids are a cell's own
			id += "@" + c.Cell
		}
		all = append(all, passage.KeyPrincipal(id))
	}
	return all
}

// Who is on whose behalf something is done to collections: a caller, or the operator.
type Who struct {
	caller   *tenant.Caller
	operator bool
}

// By returns a caller.
func By(c *tenant.Caller) Who { return Who{caller: c} }

// ByOperator returns whoever runs this.
func ByOperator() Who { return Who{operator: true} }

// Audience returns what he may read.
func (w Who) Audience() passage.Audience {
	if w.operator {
		return passage.Operator()
	}
	return passage.Readers(Principals(w.caller)...)
}

// owner returns whose is what he makes.
func (w Who) owner() Owner {
	if w.caller == nil {
		return Owner{}
	}
	return Owner{w.caller.Tenant, w.caller.Project}
}

// owns reports whether a collection is his to change.
func (w Who) owns(c *Collection) bool {
	return w.operator || w.caller != nil && c.Owner != Owner{} && c.Owner == w.owner()
}

// sees reports whether he may know that a collection is there: it is his, or he may
// read what is added to it.
func (w Who) sees(c *Collection) bool {
	return w.owns(c) || w.Audience().May(c.Readers)
}

// New is what a collection is made of.
type New struct {
	Name     string            `json:"name"`
	Readers  []string          `json:"readers,omitempty"`      // nil: of the operator everybody, of a caller his project
	Embedder string            `json:"embedder,omitempty"`     // lexical, none, or upstream/model; empty: lexical
	Prefix   string            `json:"prefix,omitempty"`       // that the embedder wants before each text of a document
	Asking   string            `json:"query_prefix,omitempty"` // and before each question
	Cut      chunk.Limits      `json:"cut,omitzero"`
	Language string            `json:"language,omitempty"` // one of words.Languages; empty: English
	Metadata map[string]string `json:"metadata,omitempty"`
	Days     int               `json:"expires_after_days,omitempty"`
}

// Lexical is the embedder that is built in, and None is none.
const (
	Lexical = "lexical"
	None    = "none"
)

const maxName = 256

// Create makes a collection. One of the operator has a name that no other of his has.
func (k *Knowledge) Create(ctx context.Context, by Who, n New) (*Collection, error) {
	if by.operator && n.Name == "" {
		return nil, fault.New(fault.InvalidRequest, "a collection needs a name")
	}
	if n.Readers == nil {
		n.Readers = []string{passage.Everybody}
		if !by.operator {
			o := by.owner()
			n.Readers = []string{passage.ProjectPrincipal(o.Tenant, o.Project)}
		}
	}
	readers, err := checkReaders(n.Readers)
	if err != nil {
		return nil, err
	}
	c := &Collection{
		ID: NewID("vs_"), Name: n.Name, Owner: by.owner(), Readers: readers, Cut: n.Cut, Metadata: n.Metadata,
		Created: k.o.Now().UTC(), Days: n.Days,
	}
	if c.Cut == (chunk.Limits{}) {
		c.Cut = chunk.Default()
	}
	language, ok := words.ParseLanguage(n.Language)
	if !ok {
		return nil, fault.New(fault.InvalidRequest, "words can be read in these languages: "+strings.Join(words.Languages(), ", "))
	}
	if language != words.English {
		c.Language = language.String()
	}
	c.Active = c.Created
	if err := c.check(); err != nil {
		return nil, err
	}
	if name := cmp.Or(n.Embedder, Lexical); name != None {
		if c.Embedder, err = k.identify(ctx, name, n.Prefix, n.Asking); err != nil {
			return nil, err
		}
	}
	if by.operator {
		if _, err := k.find(by, n.Name); err == nil {
			return nil, fault.New(fault.InvalidRequest, "there is a collection of that name already")
		}
	}
	return c, k.keep(ctx, c)
}

// identify returns the identity of an embedder.
func (k *Knowledge) identify(ctx context.Context, name, prefix, asking string) (passage.Identity, error) {
	id, err := k.o.Embedders.Identity(ctx, name)
	id.Prefix, id.Query = prefix, asking
	return id, err
}

func checkReaders(readers []string) ([]string, error) {
	readers = slices.Clone(readers)
	slices.Sort(readers)
	readers = slices.Compact(readers)
	if len(readers) > passage.MaxReaders {
		return nil, fault.New(fault.InvalidRequest, fmt.Sprintf("a document has at most %d readers; give them a tenant or a project in common", passage.MaxReaders))
	}
	for _, r := range readers {
		if !passage.ValidPrincipal(r) {
			return nil, fault.New(fault.InvalidRequest, "a reader is *, tenant:NAME, project:TENANT/NAME or key:ID")
		}
	}
	if readers == nil {
		readers = []string{}
	}
	return readers, nil
}

// find returns the collection of an ID or a name that somebody may know of. Of equal
// names his own comes first, then the operator's, then the oldest.
func (k *Knowledge) find(by Who, name string) (*Collection, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	now := k.o.Now()
	gone := func(c *Collection) bool { e := c.expires(); return !e.IsZero() && !now.Before(e) }
	if c := k.known[name]; c != nil && by.sees(c) && !gone(c) {
		return c, nil
	}
	var best *Collection
	rank := func(c *Collection) int {
		switch {
		case c.Owner == Owner{}: // a name of the operator's is nobody else's to take
			return 0
		case c.Owner == by.owner():
			return 1
		}
		return 2
	}
	for _, c := range k.known {
		if c.Name != name || !by.sees(c) || gone(c) {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(rank(c), rank(best)), c.Created.Compare(best.Created), strings.Compare(c.ID, best.ID)) < 0 {
			best = c
		}
	}
	if best == nil {
		return nil, fault.New(fault.NotFound, "no such collection, or not for this key; headworks knowledge list shows those that there are")
	}
	return best, nil
}

// own returns a collection that somebody may change.
func (k *Knowledge) own(by Who, name string) (*Collection, error) {
	c, err := k.find(by, name)
	if err != nil {
		return nil, err
	}
	if !by.owns(c) {
		return nil, fault.New(fault.Forbidden, "this collection is not this key's to change")
	}
	return c, nil
}

// Get returns the collection of an ID or a name.
func (k *Knowledge) Get(by Who, name string) (*Collection, error) { return k.find(by, name) }

// List returns the collections that somebody may know of, the oldest first.
func (k *Knowledge) List(by Who) []*Collection {
	k.mu.RLock()
	defer k.mu.RUnlock()
	all := slices.DeleteFunc(slices.Collect(maps.Values(k.known)), func(c *Collection) bool { return !by.sees(c) })
	slices.SortFunc(all, func(a, b *Collection) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
	return all
}

// Weigh says what vectors count beside words in a collection, from 0 to 1; nil is as
// usual.
func (k *Knowledge) Weigh(ctx context.Context, by Who, name string, alpha *float64) error {
	c, err := k.own(by, name)
	if err != nil {
		return err
	}
	if alpha != nil && !(*alpha >= 0 && *alpha <= 1) {
		return fault.New(fault.InvalidRequest, "what vectors count beside words is a number from 0 to 1")
	}
	weighed := *c
	weighed.Alpha = alpha
	if err := k.keep(ctx, &weighed); err != nil {
		return err
	}
	return k.bump(c)
}

// Count is what a collection holds.
type Count struct {
	Documents int   `json:"documents"`
	Passages  int   `json:"passages"`
	Bytes     int64 `json:"bytes"`
}

// Counter is a Store that counts without listing.
type Counter interface {
	Count(ctx context.Context, of passage.Space) (documents, passages int, bytes int64, err error)
}

// Count returns what a collection holds.
func (k *Knowledge) Count(ctx context.Context, c *Collection) (n Count, err error) {
	if s, ok := k.o.Store.(Counter); ok {
		n.Documents, n.Passages, n.Bytes, err = s.Count(ctx, c.space())
		return n, err
	}
	err = k.each(ctx, c.space(), func(d *passage.Document) error {
		n.Documents++
		n.Passages += d.Passages
		n.Bytes += d.Bytes
		return nil
	})
	return n, err
}

// pageSize is how many documents are listed at a time.
const pageSize = 1000

// each calls do with all documents of a space.
func (k *Knowledge) each(ctx context.Context, of passage.Space, do func(*passage.Document) error) error {
	for after := ""; ; {
		page, err := k.o.Store.Documents(ctx, of, passage.Page{After: after, N: pageSize})
		if err != nil {
			return err
		}
		for i := range page {
			if err := do(&page[i]); err != nil {
				return err
			}
		}
		if len(page) < pageSize {
			return nil
		}
		after = page[len(page)-1].ID
	}
}

// Documents lists the documents of a collection that somebody may read.
func (k *Knowledge) Documents(ctx context.Context, by Who, name string, p passage.Page) ([]passage.Document, error) {
	c, err := k.find(by, name)
	if err != nil {
		return nil, err
	}
	all, err := k.o.Store.Documents(ctx, c.space(), p)
	if err != nil {
		return nil, err
	}
	who := by.Audience()
	return slices.DeleteFunc(all, func(d passage.Document) bool { return !by.owns(c) && !who.May(d.Readers) }), nil
}

// Read returns the passages of a document.
func (k *Knowledge) Read(ctx context.Context, by Who, name, id string) ([]passage.Loaded, error) {
	c, err := k.find(by, name)
	if err != nil {
		return nil, err
	}
	who := by.Audience()
	if by.owns(c) {
		who = passage.Operator()
	}
	found, err := k.o.Store.Load(ctx, c.space(), who, []passage.Ref{{Document: id}}, false)
	if err == nil && len(found) == 0 {
		return nil, fault.New(fault.NotFound, "no such document in this collection")
	}
	return found, err
}

// Remove removes documents. When it returns none of them is found any more.
func (k *Knowledge) Remove(ctx context.Context, by Who, name string, ids []string) (n int, err error) {
	c, err := k.own(by, name)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	lock := k.lock(c.ID)
	lock.Lock()
	defer lock.Unlock()
	there, err := k.o.Store.Documents(ctx, c.space(), passage.Page{IDs: ids})
	if err != nil {
		return 0, err
	}
	if len(there) == 0 {
		return 0, fault.New(fault.NotFound, "no such document in this collection; headworks knowledge list NAME shows them")
	}
	ctx = context.WithoutCancel(ctx) // what is begun is not half done
	for _, of := range k.spaces(c) {
		if err := k.o.Store.Write(ctx, of, passage.Change{Remove: ids}); err != nil {
			return 0, err
		}
	}
	return len(there), k.bump(c)
}

// spaces returns all in which a collection's passages are.
func (k *Knowledge) spaces(c *Collection) []passage.Space {
	all := []passage.Space{c.space()}
	if c.Next != nil {
		all = append(all, c.spaceBy(*c.Next))
	}
	return all
}

// Delete removes a collection with all that is in it.
func (k *Knowledge) Delete(ctx context.Context, by Who, name string) (*Collection, error) {
	c, err := k.own(by, name)
	if err != nil {
		return nil, err
	}
	return c, k.drop(ctx, c)
}

func (k *Knowledge) drop(ctx context.Context, c *Collection) error {
	lock := k.lock(c.ID)
	lock.Lock()
	defer lock.Unlock()
	ctx = context.WithoutCancel(ctx)
	if err := register(ctx, k.o.Register, dropKind, c.ID, c); err != nil {
		return err
	}
	if err := k.o.Register.Set(ctx, collectionKind, c.ID, nil); err != nil {
		return err
	}
	k.mu.Lock()
	delete(k.known, c.ID)
	k.moves++
	k.mu.Unlock()
	if err := errors.Join(k.forgetFiles(ctx, c.ID), k.o.Register.Set(ctx, itemsKind, c.ID, nil)); err != nil {
		return err
	}
	for _, of := range k.spaces(c) {
		if err := k.o.Store.Drop(ctx, of); err != nil {
			return err
		}
	}
	return errors.Join(k.bump(c), k.o.Register.Set(ctx, dropKind, c.ID, nil))
}

// lock returns what lets one change of a collection's documents run at a time.
func (k *Knowledge) lock(id string) *sync.Mutex {
	m, _ := k.adding.LoadOrStore(id, &sync.Mutex{})
	return m.(*sync.Mutex) //nolint:forcetypeassert // nothing else is in there
}

// Change is what of a collection can be changed later. What is nil stays.
type Change struct {
	Name     *string
	Metadata *map[string]string
	Days     *int
}

// Modify changes a collection.
func (k *Knowledge) Modify(ctx context.Context, by Who, name string, to Change) (*Collection, error) {
	c, err := k.own(by, name)
	if err != nil {
		return nil, err
	}
	changed := *c
	if to.Name != nil {
		if changed.Name = *to.Name; by.operator && c.Owner == (Owner{}) && changed.Name != c.Name {
			if _, err := k.find(by, changed.Name); err == nil || changed.Name == "" {
				return nil, fault.New(fault.InvalidRequest, "a collection has a name that no other one has")
			}
		}
	}
	if to.Metadata != nil {
		changed.Metadata = *to.Metadata
	}
	if to.Days != nil {
		changed.Days = *to.Days
	}
	if err := changed.check(); err != nil {
		return nil, err
	}
	changed.Active = k.o.Now().UTC()
	if err := k.keep(ctx, &changed); err != nil {
		return nil, err
	}
	if changed.Name != c.Name { // who knew it by its former name, does no longer
		return &changed, errors.Join(k.bump(c), k.bump(&changed))
	}
	return &changed, nil
}

// check says what is wrong with a collection.
func (c *Collection) check() error {
	switch {
	case len(c.Name) > maxName || strings.ContainsFunc(c.Name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return &fault.Error{Kind: fault.InvalidRequest, Param: "name", Words: fmt.Sprintf("the name of a collection has at most %d bytes, all of them printable", maxName)}
	case len(c.Metadata) > maxMetadata:
		return &fault.Error{Kind: fault.InvalidRequest, Param: "metadata", Words: fmt.Sprintf("metadata has at most %d entries", maxMetadata)}
	case c.Days < 0 || c.Days > maxDays:
		return &fault.Error{Kind: fault.InvalidRequest, Param: "expires_after", Words: fmt.Sprintf("a collection ends after 1 to %d days", maxDays)}
	case c.Cut.Tokens < minCut || c.Cut.Tokens > maxCut || c.Cut.Overlap < 0 || 2*c.Cut.Overlap > c.Cut.Tokens:
		return &fault.Error{Kind: fault.InvalidRequest, Param: "chunking_strategy", Words: fmt.Sprintf("a passage has %d to %d tokens, of which at most half overlap", minCut, maxCut)}
	}
	for name, value := range c.Metadata {
		if len(name) > 64*4 || len(value) > 512*4 {
			return &fault.Error{Kind: fault.InvalidRequest, Param: "metadata", Words: "an entry of metadata has a name of at most 64 and a value of at most 512 characters"}
		}
	}
	return nil
}

// Bounds of a collection.
const (
	maxMetadata    = 16
	maxDays        = 365
	minCut, maxCut = 100, 4096 // as of OpenAI's vector stores
)

// Expired removes collections that have come to their end.
func (k *Knowledge) Expired(ctx context.Context) error {
	now := k.o.Now()
	k.mu.RLock()
	var over []*Collection
	for _, c := range k.known {
		if e := c.expires(); !e.IsZero() && !now.Before(e) {
			over = append(over, c)
		}
	}
	k.mu.RUnlock()
	var errs []error
	for _, c := range over {
		errs = append(errs, k.drop(ctx, c))
	}
	return errors.Join(errs...)
}

// Allow says who may read documents of a collection: those whose IDs are given, or,
// of no IDs, all that are there and all that come without readers of their own.
func (k *Knowledge) Allow(ctx context.Context, by Who, name string, ids, readers []string) (n int, err error) {
	c, err := k.own(by, name)
	if err != nil {
		return 0, err
	}
	if readers, err = checkReaders(readers); err != nil {
		return 0, err
	}
	lock := k.lock(c.ID)
	lock.Lock()
	defer lock.Unlock()
	var set []passage.Document
	note := func(d *passage.Document) error {
		d.Readers = readers
		set = append(set, *d)
		return nil
	}
	if ids == nil {
		changed := *c
		changed.Readers = readers
		if err := k.keep(ctx, &changed); err != nil {
			return 0, err
		}
		err = k.each(ctx, c.space(), note)
	} else {
		var there []passage.Document
		if there, err = k.o.Store.Documents(ctx, c.space(), passage.Page{IDs: ids}); err == nil && len(there) == 0 {
			err = fault.New(fault.NotFound, "no such document in this collection; headworks knowledge list NAME shows them")
		}
		for i := range there {
			_ = note(&there[i]) // always nil
		}
	}
	if err != nil {
		return 0, err
	}
	ctx = context.WithoutCancel(ctx)
	for _, of := range k.spaces(c) {
		if err := k.o.Store.Write(ctx, of, passage.Change{Set: set}); err != nil {
			return 0, err
		}
	}
	return len(set), k.bump(c)
}
