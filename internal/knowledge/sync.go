package knowledge

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"headworks/internal/fault"
	"headworks/internal/passage"
)

// Span is a time that JSON has in words, such as 15m0s.
type Span time.Duration

// MarshalText implements encoding.TextMarshaler.
func (s Span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	*s = Span(d)
	return err
}

// Place says where documents are and how that is reached. It holds no secret.
type Place struct {
	From     string   `json:"from"`               // a path, a URL, s3://bucket/prefix
	Hosts    []string `json:"hosts,omitempty"`    // that pages may lead to, beside that of From
	Endpoint string   `json:"endpoint,omitempty"` // of a store that speaks S3 and is not AWS'
	Region   string   `json:"region,omitempty"`
	Ignore   []string `json:"ignore,omitempty"` // names in a folder that are left out
}

// Sync is where a collection's documents come from again and again, and how it went.
type Sync struct {
	Place
	Every   Span      `json:"every"`
	Began   time.Time `json:"began,omitzero"` // the last time
	Done    time.Time `json:"done,omitzero"`  // the last time that went well: what was there then is found
	Lag     Span      `json:"lag,omitempty"`  // between a change at the source and that it was found, the longest of the last time
	Trouble string    `json:"trouble,omitempty"`
	Last    *Progress `json:"last,omitempty"`
}

// overdue is after how many times Every a collection is told to be behind.
const overdue = 2

// Late reports whether what a collection knows of its source is older than it should
// be, and how old it is.
func (c *Collection) Late(now time.Time) (behind time.Duration, late bool) {
	if c.Sync == nil {
		return 0, false
	}
	since := c.Sync.Done
	if since.IsZero() {
		since = c.Sync.Began
	}
	if since.IsZero() {
		return 0, false
	}
	behind = max(now.Sub(since), 0)
	return behind, behind > overdue*time.Duration(c.Sync.Every)
}

// Sources makes items of what is at a place.
type Sources interface {
	// Items lists what is at a place; the sources of its documents begin with under.
	// Whoever is done calls end.
	Items(ctx context.Context, p Place) (items iter.Seq2[Item, error], under string, end func(), err error)
}

// Bounds of how often a collection is synchronised.
const (
	leastEvery = 10 * time.Second
	mostEvery  = 30 * 24 * time.Hour
)

// Follow lets a collection follow a place, or, of none, no longer.
func (k *Knowledge) Follow(ctx context.Context, by Who, name string, s *Sync) (*Collection, error) {
	c, err := k.own(by, name)
	if err != nil {
		return nil, err
	}
	followed := *c
	if s == nil {
		followed.Sync = nil
		return &followed, errors.Join(k.keep(ctx, &followed), k.o.Register.Set(ctx, itemsKind, c.ID, nil))
	}
	if every := time.Duration(s.Every); every < leastEvery || every > mostEvery {
		return nil, fault.New(fault.InvalidRequest, fmt.Sprintf("a collection is synchronised every %s to %s", leastEvery, mostEvery))
	}
	if s.From == "" {
		return nil, fault.New(fault.InvalidRequest, "say where the documents are: a folder, a URL, or s3://bucket/prefix")
	}
	_, _, end, err := k.o.Sources.Items(ctx, s.Place) // is there such a place
	if err != nil {
		return nil, err
	}
	end()
	fresh := &Sync{Place: s.Place, Every: s.Every}
	if old := c.Sync; old != nil && old.From == s.From {
		fresh.Began, fresh.Done, fresh.Lag, fresh.Last = old.Began, old.Done, old.Lag, old.Last
	} else if err := k.o.Register.Set(ctx, itemsKind, c.ID, nil); err != nil {
		return nil, err // another place takes nothing of the former one away
	}
	followed.Sync = fresh
	return &followed, k.keep(ctx, &followed)
}

// Due synchronises the collections whose time has come, one after the other.
func (k *Knowledge) Due(ctx context.Context) {
	for _, c := range k.List(ByOperator()) {
		now := k.o.Now()
		if c.Sync == nil || ctx.Err() != nil || now.Sub(c.Sync.Began) < time.Duration(c.Sync.Every) {
			continue
		}
		before := c.Sync.Trouble
		if _, err := k.SyncNow(ctx, ByOperator(), c.ID, nil); err != nil && ctx.Err() == nil && before == "" {
			k.o.Log.Warn("a collection could not be synchronised; what it has is found as before", "collection", c.Name, "cause", err.Error())
		}
		if behind, late := c.Late(k.o.Now()); late && before == "" {
			k.o.Log.Warn("a collection is behind its source", "collection", c.Name, "behind", behind.Round(time.Second).String(), "every", time.Duration(c.Sync.Every).String())
		}
	}
}

// SyncNow takes over what changed at the place that a collection follows: what is new,
// what is another version, and what is gone.
func (k *Knowledge) SyncNow(ctx context.Context, by Who, name string, progress func(Progress)) (*Added, error) {
	c, err := k.own(by, name)
	if err != nil {
		return nil, err
	}
	if c.Sync == nil {
		return nil, fault.New(fault.InvalidRequest, "this collection follows no place; headworks knowledge sync NAME --from PLACE --every 15m lets it")
	}
	began := k.o.Now().UTC()
	added, err := k.synchronise(ctx, by, c, progress)
	if ctx.Err() != nil {
		return added, context.Cause(ctx)
	}
	kept := k.noteSync(context.WithoutCancel(ctx), c.ID, func(s *Sync) {
		s.Began, s.Trouble = began, ""
		if added != nil {
			p := added.Progress
			s.Last = &p
		}
		switch {
		case err != nil:
			s.Trouble = fault.Of(err).Words
		case added.Failed > 0:
			s.Trouble = fmt.Sprintf("%d could not be read, such as %s: %s", added.Failed, added.Failures[0].Name, added.Failures[0].Why)
		}
		if err == nil { // what could not be read is told, and is no reason to ask for all again
			s.Done, s.Lag = began, Span(added.lag)
		}
	})
	return added, cmp.Or(err, kept)
}

// noteSync notes how a synchronisation went, if the collection follows anything still.
func (k *Knowledge) noteSync(ctx context.Context, id string, note func(*Sync)) error {
	k.mu.RLock()
	c := k.known[id]
	k.mu.RUnlock()
	if c == nil || c.Sync == nil {
		return nil
	}
	noted := *c
	s := *c.Sync
	note(&s)
	noted.Sync = &s
	return k.keep(ctx, &noted)
}

func (k *Knowledge) synchronise(ctx context.Context, by Who, c *Collection, progress func(Progress)) (*Added, error) {
	items, under, end, err := k.o.Sources.Items(ctx, c.Sync.Place)
	if err != nil {
		return nil, err
	}
	defer end()
	return k.Add(ctx, by, c.ID, items, Adding{Progress: progress, Under: under})
}

// itemsKind is what is known of the items that a collection follows: their versions.
const itemsKind = "items"

// recallItems reads which versions of items a collection has.
func (k *Knowledge) recallItems(ctx context.Context, id string) (map[string]string, error) {
	known := map[string]string{}
	err := k.o.Register.Get(ctx, itemsKind, func(of string, value []byte) error {
		if of != id {
			return nil
		}
		return json.Unmarshal(value, &known)
	})
	return known, err
}

// prune removes what the place that was added has no longer: documents of items that
// are not listed, and those that an item that was read does not hold any more.
func (a *adder) prune(ctx context.Context) error {
	if len(a.listed) == 0 {
		n := 0
		err := a.k.each(ctx, a.c.space(), func(d *passage.Document) error {
			if a.ofPlace(d) {
				n++
			}
			return nil
		})
		if err == nil && n > 0 {
			err = fault.New(fault.NotFound, fmt.Sprintf("the place lists nothing where it had %d documents; they are kept: look at the place, and delete them yourself if that is meant", n))
		}
		return err
	}
	var gone []string
	err := a.k.each(ctx, a.c.space(), func(d *passage.Document) error {
		if !a.ofPlace(d) {
			return nil
		}
		state, listed := a.listed[d.Source]
		if !listed || state == wasRead && !a.seen[d.ID] {
			gone = append(gone, d.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	for part := range slices.Chunk(gone, batchPassages) {
		if err := a.k.removeIDs(ctx, a.c, part); err != nil {
			return err
		}
		a.out.Removed += len(part)
		a.changed = true
		a.tell()
	}
	maps.DeleteFunc(a.versions, func(source, _ string) bool { _, listed := a.listed[source]; return !listed })
	return nil
}

// ofPlace reports whether a document came from the place that was added: it lies below
// it, or an item that the place listed before had it, as a sitemap lists pages that
// lie anywhere.
func (a *adder) ofPlace(d *passage.Document) bool {
	_, listed := a.versions[d.Source]
	return listed || strings.HasPrefix(d.Source, a.how.Under)
}

// What became of an item that was listed.
type itemState uint8

const (
	wasRead   itemState = iota // its documents are those that were seen
	wasKept                    // it is what it was
	wasFailed                  // it could not be read: what is there of it stays
)
