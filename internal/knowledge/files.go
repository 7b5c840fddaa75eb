package knowledge

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"headworks/internal/chunk"
	"headworks/internal/fault"
	"headworks/internal/passage"
)

// File is one that a caller handed over, as it came.
type File struct {
	ID      string    `json:"id"`
	Owner   Owner     `json:"owner"`
	Name    string    `json:"name"`
	Purpose string    `json:"purpose"`
	Media   string    `json:"media,omitempty"`
	Bytes   int64     `json:"bytes"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
}

// Bounds of files.
const (
	MaxFile    = 512 << 20 // bytes of one
	mostFiles  = 10 << 30  // bytes of all of one owner
	mostNames  = 10_000    // files of one owner
	maxPurpose = 64        // bytes
)

// Status is how it stands with a file that a collection is to take in.
type Status string

// The statuses.
const (
	InProgress Status = "in_progress"
	Completed  Status = "completed"
	Failed     Status = "failed"
	Cancelled  Status = "cancelled"
)

// Attachment is a file that a collection is to take in, or has.
type Attachment struct {
	Collection string             `json:"collection"`
	File       string             `json:"file"`
	Status     Status             `json:"status"`
	Kind       string             `json:"kind,omitempty"` // of what went wrong: a fault's name
	Why        string             `json:"why,omitempty"`
	Attributes passage.Attributes `json:"attributes,omitempty"`
	Cut        chunk.Limits       `json:"cut"`
	Batch      string             `json:"batch,omitempty"`
	Bytes      int64              `json:"bytes"` // of the text that was taken in
	Created    time.Time          `json:"created"`
}

// Batch is several files that were to be taken in together.
type Batch struct {
	ID         string    `json:"id"`
	Collection string    `json:"collection"`
	Files      []string  `json:"files"`
	Created    time.Time `json:"created"`
	Cancelled  bool      `json:"cancelled,omitempty"`
}

// The kinds of what is registered of files.
const (
	fileKind       = "file"
	attachmentKind = "attachment"
	batchKind      = "batch"
)

// desk is what is known of files, in memory and in the register.
type desk struct {
	mu       sync.Mutex
	files    map[string]*File
	attached map[string]map[string]*Attachment // by collection and file; each is replaced, never changed
	batches  map[string]*Batch
	wake     chan struct{} // there is something to take in
}

func (k *Knowledge) openDesk(ctx context.Context) error {
	d := &k.desk
	d.files, d.attached, d.batches, d.wake = map[string]*File{}, map[string]map[string]*Attachment{}, map[string]*Batch{}, make(chan struct{}, 1)
	return errors.Join(
		recall(ctx, k.o.Register, fileKind, func(f *File) { d.files[f.ID] = f }),
		recall(ctx, k.o.Register, attachmentKind, func(a *Attachment) { d.put(a) }),
		recall(ctx, k.o.Register, batchKind, func(b *Batch) { d.batches[b.ID] = b }),
		k.sweepFiles(),
	)
}

func recall[T any](ctx context.Context, r Register, kind string, take func(*T)) error {
	return r.Get(ctx, kind, func(id string, value []byte) error {
		v := new(T)
		if err := json.Unmarshal(value, v); err != nil {
			return fmt.Errorf("knowledge: the %s %s: %w", kind, id, err)
		}
		take(v)
		return nil
	})
}

func register[T any](ctx context.Context, r Register, kind, id string, v *T) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return r.Set(ctx, kind, id, b)
}

// sweepFiles removes what a process that died left of files that were not whole.
func (k *Knowledge) sweepFiles() error {
	if k.o.Files == nil {
		return nil
	}
	dir, err := k.o.Files.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if k.desk.files[name] == nil {
			if err := k.o.Files.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *desk) put(a *Attachment) {
	if d.attached[a.Collection] == nil {
		d.attached[a.Collection] = map[string]*Attachment{}
	}
	d.attached[a.Collection][a.File] = a
}

// PutFile keeps a file.
func (k *Knowledge) PutFile(ctx context.Context, by Who, f File, in io.Reader) (*File, error) {
	switch {
	case k.o.Files == nil:
		return nil, fault.New(fault.Unsupported, "no files are kept here")
	case f.Name == "" || len(f.Name) > maxName || strings.ContainsFunc(f.Name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return nil, &fault.Error{Kind: fault.InvalidRequest, Param: "file", Words: fmt.Sprintf("a file has a name of 1 to %d bytes, all of them printable", maxName)}
	case f.Purpose == "" || len(f.Purpose) > maxPurpose:
		return nil, &fault.Error{Kind: fault.InvalidRequest, Param: "purpose", Words: "purpose says what the file is for, such as assistants or user_data"}
	}
	f.ID, f.Owner, f.Created = NewID("file-"), by.owner(), k.o.Now().UTC()
	room, err := k.fileRoom(f.Owner)
	if err != nil {
		return nil, err
	}
	if f.Bytes, err = k.writeFile(f.ID, in, min(room, MaxFile)); err != nil {
		return nil, err
	}
	if err := register(context.WithoutCancel(ctx), k.o.Register, fileKind, f.ID, &f); err != nil {
		return nil, errors.Join(err, k.o.Files.Remove(f.ID))
	}
	k.desk.mu.Lock()
	defer k.desk.mu.Unlock()
	k.desk.files[f.ID] = &f
	return &f, nil
}

// ChangeFile changes what is known of a file that is kept.
func (k *Knowledge) ChangeFile(ctx context.Context, f *File) error {
	if f.Purpose == "" || len(f.Purpose) > maxPurpose {
		return &fault.Error{Kind: fault.InvalidRequest, Param: "purpose", Words: "purpose says what the file is for, such as assistants or user_data"}
	}
	if err := register(context.WithoutCancel(ctx), k.o.Register, fileKind, f.ID, f); err != nil {
		return err
	}
	k.desk.mu.Lock()
	defer k.desk.mu.Unlock()
	k.desk.files[f.ID] = f
	return nil
}

// fileRoom returns how many more bytes an owner may keep.
func (k *Knowledge) fileRoom(o Owner) (int64, error) {
	k.desk.mu.Lock()
	defer k.desk.mu.Unlock()
	room, n := int64(mostFiles), 0
	for _, f := range k.desk.files {
		if f.Owner == o {
			room -= f.Bytes
			n++
		}
	}
	if room <= 0 || n >= mostNames {
		return 0, fault.New(fault.TooLarge, fmt.Sprintf("this project keeps %d files or %d GiB already, which is the most: delete some", mostNames, mostFiles>>30))
	}
	return room, nil
}

// writeFile writes a file, whole and synced, or not at all.
func (k *Knowledge) writeFile(id string, in io.Reader, most int64) (n int64, err error) {
	f, err := k.o.Files.OpenFile(id, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(f, io.LimitReader(in, most+1))
	if err == nil && n > most {
		err = fault.New(fault.TooLarge, fmt.Sprintf("the file has more than the %d MiB that there is room for", most>>20))
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return 0, errors.Join(err, k.o.Files.Remove(id))
	}
	if dir, err := k.o.Files.Open("."); err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
		if err != nil {
			return 0, errors.Join(err, k.o.Files.Remove(id))
		}
	}
	return n, nil
}

func noFile() error {
	return fault.New(fault.NotFound, "no file of this id is kept for this key's project")
}

// File returns a file of an ID.
func (k *Knowledge) File(by Who, id string) (*File, error) {
	k.desk.mu.Lock()
	defer k.desk.mu.Unlock()
	f := k.desk.files[id]
	if f == nil || !by.operator && f.Owner != by.owner() || !f.Expires.IsZero() && !k.o.Now().Before(f.Expires) {
		return nil, noFile()
	}
	return f, nil
}

// Files returns somebody's files, the oldest first.
func (k *Knowledge) Files(by Who) []*File {
	k.desk.mu.Lock()
	all := slices.Collect(maps.Values(k.desk.files))
	k.desk.mu.Unlock()
	now := k.o.Now()
	all = slices.DeleteFunc(all, func(f *File) bool {
		return !by.operator && f.Owner != by.owner() || !f.Expires.IsZero() && !now.Before(f.Expires)
	})
	slices.SortFunc(all, func(a, b *File) int { return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID)) })
	return all
}

// OpenFile returns a file and its bytes.
func (k *Knowledge) OpenFile(by Who, id string) (*File, io.ReadCloser, error) {
	f, err := k.File(by, id)
	if err != nil {
		return nil, nil, err
	}
	in, err := k.o.Files.Open(id)
	return f, in, err
}

// RemoveFile removes a file, and what collections took in of it.
func (k *Knowledge) RemoveFile(ctx context.Context, by Who, id string) error {
	if _, err := k.File(by, id); err != nil {
		return err
	}
	k.desk.mu.Lock()
	var in []string
	for collection, files := range k.desk.attached {
		if files[id] != nil {
			in = append(in, collection)
		}
	}
	k.desk.mu.Unlock()
	for _, collection := range in {
		if err := k.Detach(ctx, by, collection, id); err != nil && fault.Of(err).Kind != fault.NotFound {
			return err
		}
	}
	ctx = context.WithoutCancel(ctx)
	if err := k.o.Register.Set(ctx, fileKind, id, nil); err != nil {
		return err
	}
	k.desk.mu.Lock()
	delete(k.desk.files, id)
	k.desk.mu.Unlock()
	return k.o.Files.Remove(id)
}

// Attach lets a collection take in a file. It is done behind, see Run.
func (k *Knowledge) Attach(ctx context.Context, by Who, name, file string, attributes passage.Attributes, cut chunk.Limits, batch string) (*Attachment, error) {
	c, err := k.own(by, name)
	if err != nil {
		return nil, err
	}
	if _, err := k.File(by, file); err != nil {
		return nil, &fault.Error{Kind: fault.InvalidRequest, Param: "file_id", Words: fault.Of(err).Words}
	}
	if err := attributes.Check(); err != nil {
		return nil, &fault.Error{Kind: fault.InvalidRequest, Param: "attributes", Words: err.Error()}
	}
	if cut == (chunk.Limits{}) {
		cut = c.Cut
	}
	a := &Attachment{Collection: c.ID, File: file, Status: InProgress, Attributes: attributes, Cut: cut, Batch: batch, Created: k.o.Now().UTC()}
	if err := k.note(ctx, a); err != nil {
		return nil, err
	}
	select {
	case k.desk.wake <- struct{}{}:
	default:
	}
	return a, nil
}

// note registers an attachment.
func (k *Knowledge) note(ctx context.Context, a *Attachment) error {
	if err := register(ctx, k.o.Register, attachmentKind, a.Collection+"/"+a.File, a); err != nil {
		return err
	}
	k.desk.mu.Lock()
	defer k.desk.mu.Unlock()
	k.desk.put(a)
	return nil
}

// Attached returns the files of a collection, the oldest first.
func (k *Knowledge) Attached(by Who, name string) (*Collection, []*Attachment, error) {
	c, err := k.find(by, name)
	if err != nil {
		return nil, nil, err
	}
	k.desk.mu.Lock()
	all := slices.Collect(maps.Values(k.desk.attached[c.ID]))
	k.desk.mu.Unlock()
	slices.SortFunc(all, func(a, b *Attachment) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.File, b.File))
	})
	return c, all, nil
}

// Attachment returns a file of a collection.
func (k *Knowledge) Attachment(by Who, name, file string) (*Collection, *Attachment, error) {
	c, err := k.find(by, name)
	if err != nil {
		return nil, nil, err
	}
	k.desk.mu.Lock()
	defer k.desk.mu.Unlock()
	a := k.desk.attached[c.ID][file]
	if a == nil {
		return nil, nil, fault.New(fault.NotFound, "this collection has no file of this id")
	}
	return c, a, nil
}

// Detach removes a file from a collection. When it returns nobody finds it there.
func (k *Knowledge) Detach(ctx context.Context, by Who, name, file string) error {
	c, err := k.own(by, name)
	if err != nil {
		return err
	}
	if _, _, err := k.Attachment(by, c.ID, file); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	lock := k.lock(c.ID)
	lock.Lock()
	defer lock.Unlock()
	if err := k.o.Register.Set(ctx, attachmentKind, c.ID+"/"+file, nil); err != nil {
		return err
	}
	k.desk.mu.Lock()
	delete(k.desk.attached[c.ID], file)
	k.desk.mu.Unlock()
	ids, err := k.ofFile(ctx, c, file)
	if err != nil {
		return err
	}
	return k.removeIDs(ctx, c, ids)
}

// removeIDs removes documents of a collection whose lock is held.
func (k *Knowledge) removeIDs(ctx context.Context, c *Collection, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	for _, of := range k.spaces(c) {
		if err := k.o.Store.Write(ctx, of, passage.Change{Remove: ids}); err != nil {
			return err
		}
	}
	return k.bump(c)
}

// within is between the ID of a file and that of a document in it.
const within = "#"

// ofFile returns the documents that a collection has of a file.
func (k *Knowledge) ofFile(ctx context.Context, c *Collection, file string) (ids []string, err error) {
	one, err := k.o.Store.Documents(ctx, c.space(), passage.Page{IDs: []string{file}})
	if err != nil {
		return nil, err
	}
	for _, d := range one {
		ids = append(ids, d.ID)
	}
	for after := file + within; ; {
		page, err := k.o.Store.Documents(ctx, c.space(), passage.Page{After: after, N: pageSize})
		if err != nil {
			return nil, err
		}
		for _, d := range page {
			if !strings.HasPrefix(d.ID, file+within) {
				return ids, nil
			}
			ids = append(ids, d.ID)
		}
		if len(page) < pageSize {
			return ids, nil
		}
		after = page[len(page)-1].ID
	}
}

// FileOf returns the ID of the file that a document is of; empty where it is of none.
func FileOf(document string) string {
	id, _, _ := strings.Cut(document, within)
	if strings.HasPrefix(id, "file-") {
		return id
	}
	return ""
}

// Passages returns the passages of a file of a collection.
func (k *Knowledge) Passages(ctx context.Context, by Who, name, file string) ([]passage.Loaded, error) {
	c, _, err := k.Attachment(by, name, file)
	if err != nil {
		return nil, err
	}
	ids, err := k.ofFile(ctx, c, file)
	if err != nil {
		return nil, err
	}
	who := by.Audience()
	if by.owns(c) {
		who = passage.Operator()
	}
	refs := make([]passage.Ref, len(ids))
	for i, id := range ids {
		refs[i].Document = id
	}
	return k.o.Store.Load(ctx, c.space(), who, refs, false)
}

// SetAttributes says by what a file of a collection is chosen.
func (k *Knowledge) SetAttributes(ctx context.Context, by Who, name, file string, attributes passage.Attributes) (*Attachment, error) {
	c, err := k.own(by, name)
	if err != nil {
		return nil, err
	}
	_, a, err := k.Attachment(by, c.ID, file)
	if err != nil {
		return nil, err
	}
	if err := attributes.Check(); err != nil {
		return nil, &fault.Error{Kind: fault.InvalidRequest, Param: "attributes", Words: err.Error()}
	}
	lock := k.lock(c.ID)
	lock.Lock()
	defer lock.Unlock()
	ctx = context.WithoutCancel(ctx)
	changed := *a
	changed.Attributes = attributes
	if err := k.note(ctx, &changed); err != nil {
		return nil, err
	}
	ids, err := k.ofFile(ctx, c, file)
	if err != nil || len(ids) == 0 {
		return &changed, err
	}
	set, err := k.o.Store.Documents(ctx, c.space(), passage.Page{IDs: ids})
	if err != nil {
		return nil, err
	}
	for i := range set {
		set[i].Attributes = attributes
	}
	for _, of := range k.spaces(c) {
		if err := k.o.Store.Write(ctx, of, passage.Change{Set: set}); err != nil {
			return nil, err
		}
	}
	return &changed, k.bump(c)
}

// AttachBatch lets a collection take in several files.
func (k *Knowledge) AttachBatch(ctx context.Context, by Who, name string, files []Attachment) (*Batch, error) {
	c, err := k.own(by, name)
	if err != nil {
		return nil, err
	}
	b := &Batch{ID: NewID("vsfb_"), Collection: c.ID, Created: k.o.Now().UTC()}
	for _, f := range files {
		if _, err := k.File(by, f.File); err != nil {
			return nil, &fault.Error{Kind: fault.InvalidRequest, Param: "file_ids", Words: fault.Of(err).Words}
		}
		b.Files = append(b.Files, f.File)
	}
	if err := register(ctx, k.o.Register, batchKind, b.ID, b); err != nil {
		return nil, err
	}
	k.desk.mu.Lock()
	k.desk.batches[b.ID] = b
	k.desk.mu.Unlock()
	for _, f := range files {
		if _, err := k.Attach(ctx, by, c.ID, f.File, f.Attributes, f.Cut, b.ID); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// BatchOf returns a batch of a collection, and how it stands with its files.
func (k *Knowledge) BatchOf(by Who, name, id string) (*Batch, []*Attachment, error) {
	c, err := k.find(by, name)
	if err != nil {
		return nil, nil, err
	}
	k.desk.mu.Lock()
	defer k.desk.mu.Unlock()
	b := k.desk.batches[id]
	if b == nil || b.Collection != c.ID {
		return nil, nil, fault.New(fault.NotFound, "this collection has no batch of this id")
	}
	var all []*Attachment
	for _, file := range b.Files {
		if a := k.desk.attached[c.ID][file]; a != nil && a.Batch == id {
			all = append(all, a)
		}
	}
	return b, all, nil
}

// CancelBatch gives up the files of a batch that were not taken in yet.
func (k *Knowledge) CancelBatch(ctx context.Context, by Who, name, id string) (*Batch, []*Attachment, error) {
	if _, err := k.own(by, name); err != nil {
		return nil, nil, err
	}
	b, all, err := k.BatchOf(by, name, id)
	if err != nil {
		return nil, nil, err
	}
	cancelled := *b
	cancelled.Cancelled = true
	if err := register(ctx, k.o.Register, batchKind, b.ID, &cancelled); err != nil {
		return nil, nil, err
	}
	k.desk.mu.Lock()
	k.desk.batches[id] = &cancelled
	k.desk.mu.Unlock()
	for _, a := range all {
		if a.Status == InProgress {
			given := *a
			given.Status = Cancelled
			if err := k.note(ctx, &given); err != nil {
				return nil, nil, err
			}
		}
	}
	return k.BatchOf(by, name, id)
}

// Run takes in what is attached, one file after the other, until ctx ends. What is
// under way then is taken in after the next start.
func (k *Knowledge) Run(ctx context.Context) {
	for {
		for {
			a := k.desk.next()
			if a == nil || ctx.Err() != nil {
				break
			}
			k.take(ctx, a)
		}
		select {
		case <-ctx.Done():
			return
		case <-k.desk.wake:
		}
	}
}

// next returns the attachment that waits for longest; nil where none does.
func (d *desk) next() (first *Attachment) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, files := range d.attached {
		for _, a := range files {
			if a.Status == InProgress && (first == nil || cmp.Or(a.Created.Compare(first.Created), strings.Compare(a.File, first.File)) < 0) {
				first = a
			}
		}
	}
	return first
}

// take takes in one file.
func (k *Knowledge) take(ctx context.Context, a *Attachment) {
	by := ByOperator()
	done := *a
	added, err := k.takeIn(ctx, by, a)
	if ctx.Err() != nil {
		return // it is gone on with after the next start
	}
	switch {
	case err == nil && added.Failed > 0 && added.Added+added.Unchanged == 0:
		done.Status, done.Kind, done.Why = Failed, added.Failures[0].Kind, added.Failures[0].Why
	case err != nil:
		f := fault.Of(err)
		done.Status, done.Kind, done.Why = Failed, f.Kind.String(), f.Words
		k.o.Log.Warn("a file could not be taken in", "collection", a.Collection, "file", a.File, "cause", err.Error())
	default:
		done.Status, done.Bytes = Completed, added.Bytes
	}
	k.desk.mu.Lock()
	now := k.desk.attached[a.Collection][a.File]
	k.desk.mu.Unlock()
	if now != a { // it was detached, cancelled or attached again meanwhile
		return
	}
	if err := k.note(ctx, &done); err != nil {
		k.o.Log.Error("what became of a file could not be written down", "file", a.File, "cause", err.Error())
		k.desk.mu.Lock()
		k.desk.put(&done) // it is not tried again before the next start
		k.desk.mu.Unlock()
	}
}

func (k *Knowledge) takeIn(ctx context.Context, by Who, a *Attachment) (*Added, error) {
	f, err := k.File(by, a.File)
	if err != nil {
		return nil, err
	}
	item := Item{
		ID: f.ID, Name: f.Name, Source: f.Name, Media: f.Media, Size: f.Bytes, Attributes: a.Attributes, Cut: a.Cut,
		Open: func(context.Context, string) (*Content, error) {
			in, err := k.o.Files.Open(f.ID)
			return &Content{Body: in, Size: f.Bytes}, err
		},
	}
	items := iter.Seq2[Item, error](func(yield func(Item, error) bool) { yield(item, nil) })
	return k.Add(ctx, by, a.Collection, items, Adding{})
}

// forgetFiles forgets which files a collection had.
func (k *Knowledge) forgetFiles(ctx context.Context, collection string) error {
	k.desk.mu.Lock()
	attached := slices.Collect(maps.Keys(k.desk.attached[collection]))
	delete(k.desk.attached, collection)
	var batches []string
	for id, b := range k.desk.batches {
		if b.Collection == collection {
			batches = append(batches, id)
			delete(k.desk.batches, id)
		}
	}
	k.desk.mu.Unlock()
	for _, file := range attached {
		if err := k.o.Register.Set(ctx, attachmentKind, collection+"/"+file, nil); err != nil {
			return err
		}
	}
	for _, id := range batches {
		if err := k.o.Register.Set(ctx, batchKind, id, nil); err != nil {
			return err
		}
	}
	return nil
}
