package knowledge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"headworks/internal/fault"
	"headworks/internal/passage"
)

// Moving is how far a collection is on its way to another embedder.
type Moving struct {
	Began   time.Time `json:"began"`
	Done    int       `json:"done"`              // documents
	Of      int       `json:"of"`                // that there were when it was last counted
	After   string    `json:"after,omitempty"`   // all documents up to this ID are moved
	Trouble string    `json:"trouble,omitempty"` // why it stands still
	Tried   time.Time `json:"tried,omitzero"`
}

// MoveTo begins to move a collection to another embedder. Until all its documents have
// their new vectors, searches ask those of both, and words all the time; then the new
// ones take over at once. An empty name gives it up.
func (k *Knowledge) MoveTo(ctx context.Context, by Who, name, embedder, prefix, asking string) (*Collection, error) {
	c, err := k.own(by, name)
	if err != nil {
		return nil, err
	}
	lock := k.lock(c.ID)
	lock.Lock()
	defer lock.Unlock()
	if c, err = k.own(by, c.ID); err != nil {
		return nil, err
	}
	moving := *c
	if embedder == "" {
		moving.Next, moving.Moving = nil, nil
		if err := k.keep(ctx, &moving); err != nil || c.Next == nil {
			return &moving, err
		}
		return &moving, k.o.Store.Drop(context.WithoutCancel(ctx), c.spaceBy(*c.Next))
	}
	var next passage.Identity
	if embedder != None {
		if next, err = k.identify(ctx, embedder, prefix, asking); err != nil {
			return nil, err
		}
	}
	switch {
	case next == c.Embedder:
		return nil, fault.New(fault.InvalidRequest, "this embedder makes the collection's vectors already")
	case c.Next != nil && *c.Next != next:
		return nil, fault.New(fault.InvalidRequest, "this collection is on its way to another embedder; end that first, with --off")
	}
	moving.Next, moving.Moving = &next, &Moving{Began: k.o.Now().UTC()}
	return &moving, k.keep(ctx, &moving)
}

// moveAgain is after how long a move that met trouble goes on.
const moveAgain = time.Minute

// Move goes on with moving collections to other embedders, a batch of each.
func (k *Knowledge) Move(ctx context.Context) {
	for _, c := range k.List(ByOperator()) {
		if c.Next == nil || ctx.Err() != nil || c.Moving != nil && c.Moving.Trouble != "" && k.o.Now().Sub(c.Moving.Tried) < moveAgain {
			continue
		}
		if err := k.moveSome(ctx, c.ID); err != nil && ctx.Err() == nil {
			k.o.Log.Warn("a collection stands still on its way to another embedder", "collection", c.Name, "cause", err.Error())
			k.noteMove(ctx, c.ID, func(m *Moving) { m.Trouble, m.Tried = fault.Of(err).Words, k.o.Now().UTC() })
		}
	}
}

func (k *Knowledge) noteMove(ctx context.Context, id string, note func(*Moving)) {
	k.mu.RLock()
	c := k.known[id]
	k.mu.RUnlock()
	if c == nil || c.Next == nil {
		return
	}
	noted, m := *c, Moving{}
	if c.Moving != nil {
		m = *c.Moving
	}
	note(&m)
	noted.Moving = &m
	if err := k.keep(ctx, &noted); err != nil {
		k.o.Log.Error("how far a collection has moved could not be written down", "collection", c.Name, "cause", err.Error())
	}
}

// moveSome gives documents of a collection their new vectors: those that have none of
// their version. With the last of them it switches over.
func (k *Knowledge) moveSome(ctx context.Context, id string) error {
	lock := k.lock(id)
	lock.Lock()
	defer lock.Unlock()
	k.mu.RLock()
	c := k.known[id]
	k.mu.RUnlock()
	if c == nil || c.Next == nil {
		return nil
	}
	after, size := "", 0
	if c.Moving != nil {
		after = c.Moving.After
	}
	page, err := k.o.Store.Documents(ctx, c.space(), passage.Page{After: after, N: pageSize})
	if err != nil {
		return err
	}
	var refs []passage.Ref
	for _, d := range page {
		if refs = append(refs, passage.Ref{Document: d.ID}); size >= firstPassages {
			break
		}
		size += max(d.Passages, 1)
	}
	next := c.spaceBy(*c.Next)
	if len(refs) == 0 {
		missing, err := k.unmoved(ctx, c, next)
		if err != nil {
			return err
		}
		if len(missing) == 0 {
			return k.switchOver(ctx, c, next)
		}
		refs = missing
	} else {
		after = refs[len(refs)-1].Document
	}
	if err := k.moveDocuments(ctx, c, refs); err != nil {
		return err
	}
	n, err := k.Count(ctx, c)
	if err != nil {
		return err
	}
	k.noteMove(ctx, id, func(m *Moving) {
		m.Done, m.Of, m.After, m.Trouble = min(m.Done+len(refs), n.Documents), n.Documents, after, ""
	})
	return nil
}

// unmoved returns some of the documents that have no vectors of their version in the
// space to which a collection is being moved.
func (k *Knowledge) unmoved(ctx context.Context, c *Collection, next passage.Space) (refs []passage.Ref, err error) {
	err = k.each(ctx, c.space(), func(d *passage.Document) error {
		if len(refs) >= firstPassages {
			return nil
		}
		moved, err := k.o.Store.Documents(ctx, next, passage.Page{IDs: []string{d.ID}})
		if err == nil && (len(moved) != 1 || moved[0].Hash != d.Hash || moved[0].Version != d.Version) {
			refs = append(refs, passage.Ref{Document: d.ID})
		}
		return err
	})
	return refs, err
}

// moveDocuments writes documents with their new vectors beside the old ones.
func (k *Knowledge) moveDocuments(ctx context.Context, c *Collection, refs []passage.Ref) error {
	loaded, err := k.o.Store.Load(ctx, c.space(), passage.Operator(), refs, false)
	if err != nil {
		return err
	}
	whole := map[string]*passage.Whole{}
	var ids []string
	for _, ref := range refs { // those without passages are moved too
		ids = append(ids, ref.Document)
	}
	docs, err := k.o.Store.Documents(ctx, c.space(), passage.Page{IDs: ids})
	if err != nil {
		return err
	}
	var put []passage.Whole
	for _, d := range docs {
		put = append(put, passage.Whole{Document: d})
	}
	for i := range put {
		whole[put[i].ID] = &put[i]
	}
	for i := range loaded {
		if w := whole[loaded[i].Document.ID]; w != nil {
			w.Passages = append(w.Passages, loaded[i].Passage)
		}
	}
	if _, err := k.embedAll(ctx, *c.Next, put); err != nil {
		return err
	}
	return k.o.Store.Write(context.WithoutCancel(ctx), c.spaceBy(*c.Next), passage.Change{Put: put})
}

// switchOver lets the new vectors take over, if what has the new ones is what there is.
func (k *Knowledge) switchOver(ctx context.Context, c *Collection, next passage.Space) error {
	ctx = context.WithoutCancel(ctx)
	var gone []string // removed since they were moved
	err := k.each(ctx, next, func(d *passage.Document) error {
		there, err := k.o.Store.Documents(ctx, c.space(), passage.Page{IDs: []string{d.ID}})
		if err == nil && len(there) == 0 {
			gone = append(gone, d.ID)
		}
		return err
	})
	if err != nil {
		return err
	}
	for part := range slices.Chunk(gone, batchPassages) {
		if err := k.o.Store.Write(ctx, next, passage.Change{Remove: part}); err != nil {
			return err
		}
	}
	if k.o.Promote != nil {
		if err := k.o.Promote(ctx, c, *c.Next); err != nil {
			return fault.Wrap(fault.Forbidden, fmt.Sprintf("the new vectors do not take over: %s", fault.Of(err).Words), err)
		}
	}
	moved := *c
	moved.Embedder, moved.Next, moved.Moving, moved.Alpha = *c.Next, nil, nil, nil
	if err := k.keep(ctx, &moved); err != nil {
		return err
	}
	k.o.Log.Info("a collection has moved to another embedder", "collection", c.Name, "embedder", moved.Embedder.Provider+"/"+moved.Embedder.Model)
	return errors.Join(k.bump(c), k.o.Store.Drop(ctx, c.space()))
}
