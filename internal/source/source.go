// Package source says where documents come from: a folder, URLs, a sitemap, a store
// that speaks S3. A source lists what it has now and opens one item at a time, unless
// that is what it was.
//
// What is no longer listed is gone, but only where the list is whole: a list that is
// not says so, and takes nothing away.
package source

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
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
