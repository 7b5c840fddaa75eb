package source

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"headworks/internal/fault"
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

// Changes is what those who follow a source make of its lists: it holds what is listed against the versions that are known of its items
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
