// Package source says where documents come from and what changed there since: a
// folder, URLs, a sitemap, a store that speaks S3. A source lists what it has now and
// opens one item at a time; Changes holds the list against what is known.
//
// What is no longer listed is gone, but only where the list is whole: one that failed
// or is empty takes nothing away, since what went wrong is the source more often than
// every document at once.
package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"time"

	"headworks/internal/fault"
)

// Source is where documents come from.
type Source interface {
	// List yields what there is now, in any order, or why something could not be
	// listed, a *fault.Error in words for people. An error with an ID is about that
	// item, which counts as there; one without ends the list.
	List(ctx context.Context) iter.Seq2[Item, error]
	// Open opens an item. It returns ErrUnchanged where the item is what it was when
	// Open said the version have, and ErrGone where it is no longer there. Whoever
	// opened it closes it.
	Open(ctx context.Context, item Item, have string) (*Content, error)
}

// Item is a file at a source.
type Item struct {
	ID       string    // the same as long as it is the same file: a path, a URL, a key
	Name     string    // what a person calls it; its end may tell its format
	Version  string    // another one where the content may be another; empty: not known before it is opened
	Size     int64     // in bytes; -1 where not known
	Modified time.Time // zero where not known
}

// Content is what an item holds. Its error at the end of reading counts: a body that
// was cut is none.
type Content struct {
	Body    io.ReadCloser
	Version string // of what Body holds, to be known by; empty: the item has to be read each time
	Media   string // media type, where the source says one
	Name    string // where the source knows a better one than the item's; else empty
	Size    int64  // -1 where not known
}

var (
	// ErrUnchanged says that an item is what it was.
	ErrUnchanged = errors.New("source: unchanged")
	// ErrGone says that an item is no longer there.
	ErrGone = errors.New("source: gone")
)

// What is the matter with an item.
type What uint8

// What can be the matter.
const (
	Changed What = iota // it is new, or may have changed: open it
	Same                // its version is the known one
	Gone                // the whole list does not have it
)

// Change is what became of an item. Of one that is gone there is the ID alone.
type Change struct {
	What What
	Item Item
}

// Changes holds what a source lists against the versions that are known of its items
// by ID, as Open said them. It yields each item as it is listed, and after a whole
// list those that are gone. An error about an item goes with it and does not end the
// list; one without an item ends it, and then nothing is gone.
func Changes(ctx context.Context, s Source, known map[string]string) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		missing := maps.Clone(known)
		listed := false
		for item, err := range s.List(ctx) {
			if err != nil && item.ID == "" {
				yield(Change{}, err)
				return
			}
			listed = true
			delete(missing, item.ID)
			c := Change{Item: item}
			if version, ok := known[item.ID]; ok && version != "" && version == item.Version {
				c.What = Same
			}
			if !yield(c, err) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Change{}, fault.Wrap(fault.ClientClosed, "listing the source was given up", err))
			return
		}
		if !listed && len(missing) > 0 {
			yield(Change{}, fault.New(fault.NotFound, fmt.Sprintf(
				"the source lists nothing where it had %d documents; they are kept: look at the source, and delete them yourself if that is meant", len(missing))))
			return
		}
		for _, id := range slices.Sorted(maps.Keys(missing)) {
			if !yield(Change{What: Gone, Item: Item{ID: id}}, nil) {
				return
			}
		}
	}
}
