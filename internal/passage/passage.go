// Package passage says what is kept of documents so that they can be found: their
// passages, who may read them, and by what they are chosen. Whoever stores passages
// and whoever searches them speak in these words.
package passage

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"headworks/internal/words"
)

// ID names a passage: the same passage of the same content has the same ID in every
// process, so that adding it again changes nothing.
type ID [16]byte

// NewID returns the ID of a passage: of its collection, the document it is of, the
// hash of that document's content, and its place among the document's passages.
func NewID(collection, document string, content Hash, ordinal int) ID {
	h := sha256.New()
	frame := func(b []byte) {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	frame([]byte(collection))
	frame([]byte(document))
	frame(content[:])
	frame(binary.LittleEndian.AppendUint64(nil, uint64(ordinal)))
	return ID(h.Sum(nil))
}

func (i ID) String() string { return hex.EncodeToString(i[:]) }

// IsZero reports whether i names nothing.
func (i ID) IsZero() bool { return i == ID{} }

// Compare orders IDs by their bytes.
func (i ID) Compare(j ID) int { return bytes.Compare(i[:], j[:]) }

// ParseID reads what String writes.
func ParseID(s string) (i ID, ok bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(i) {
		return i, false
	}
	return ID(b), true
}

// Hash is the SHA-256 of a content.
type Hash [sha256.Size]byte

// Document is what is kept of a document beside its passages.
type Document struct {
	ID         string // within its collection
	Source     string // where it came from: a path, a URL; what a synchronisation compares
	Title      string
	Version    uint64 // from 1, one more with each change of its content
	Hash       Hash   // of its content and of how that is cut; equal ones need not be read again
	Bytes      int64  // of its content
	Passages   int
	Attributes Attributes
	Readers    []string  // who may read it: principals, at most MaxReaders
	Added      time.Time // this version
	Gone       time.Time // when a later version or a removal took its place; zero: it is current
}

// MaxReaders bounds the principals that may read a document.
const MaxReaders = 64

// Passage is a piece of a document.
type Passage struct {
	ID      ID
	Ordinal int    // among the document's, from 0
	Title   string // of the document
	Path    string // the headings above it
	Text    string
	Start   int // in the document's text, in bytes
	End     int
	Tokens  int       // of Text, estimated
	Vector  []float32 // nil: it has none
}

// Heading is what stands over the passage: the title, and the headings above it.
func (p *Passage) Heading() string {
	switch {
	case p.Title == "":
		return p.Path
	case p.Path == "":
		return p.Title
	}
	return p.Title + " > " + p.Path
}

// Indexed is what an index of words reads of the passage: what stands over it and its
// text.
func (p *Passage) Indexed() string {
	if head := p.Heading(); head != "" {
		return head + "\n\n" + p.Text
	}
	return p.Text
}

// Whole is a document with its passages.
type Whole struct {
	Document
	Passages []Passage
}

// Space is where the passages of one collection lie that were made into vectors by
// one embedder. Two embedders' vectors are never in one Space.
type Space struct {
	Collection string
	Embedder   string // Embedder.Key; empty: there are no vectors
	Dimensions int    // of the vectors
	Language   string // how words are read, a name of words.Languages; empty: English
}

// Words returns how the words of the space are read.
func (s Space) Words() words.Language {
	l, _ := words.ParseLanguage(s.Language) // of another name nothing is made
	return l
}

// Change is what is done to a Space, all of it or nothing.
type Change struct {
	Put    []Whole    // documents with all their passages; they replace those of their IDs
	Set    []Document // attributes and readers of documents that are there; others are passed over
	Remove []string   // IDs of documents; those that are not there are passed over
}

// Ref names a passage of a document, or, without one, all of the document.
type Ref struct {
	Document string
	Passage  ID
}

// Found is a passage that fits a query.
type Found struct {
	Ref
	Score float64 // comparable within one leg of one query
}

// Sort puts the best first and, among equals, orders by document and passage.
func Sort(all []Found) {
	slices.SortStableFunc(all, func(a, b Found) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.Document, b.Document), a.Passage.Compare(b.Passage))
	})
}

// Legs are what two ways to search found, each the best first and, among equals, by
// document and passage. A nil leg was not searched.
type Legs struct {
	Words []Found // by BM25
	Dense []Found // by the product of vectors
}

// Query is what is searched for in a Space.
type Query struct {
	Text     string    // for Words; empty: not searched by words
	Vector   []float32 // for Dense, of length one; nil: not searched by vectors
	N        int       // passages of each leg
	Audience Audience
	Filter   *Filter // nil: every document
	Exact    bool    // scan all vectors, without a shortcut
}

// Loaded is a passage with its document.
type Loaded struct {
	Document Document
	Passage  Passage
}

// Page is which documents of a Space are listed: in order of their IDs.
type Page struct {
	IDs     []string // these alone; nil: all
	After   string   // those behind this ID
	N       int      // at most so many; 0: all
	History bool     // the versions that are gone too, a document's newest first
}
