// Package segment keeps passages on disk so that they can be found: in segment files
// that are written once, and one SQLite file that says which of them count and which
// of their rows are live.
//
// A change is made in this order: a segment file is written under a temporary name,
// synced and renamed, its folder is synced, and then one transaction names it. Before
// that transaction nothing of a change counts, after it all of it does, whenever the
// process dies; files that no transaction named are removed at the next start. A sync
// that fails fails the change.
//
// What is removed is found no longer when Write returns. Its bytes go when segments
// are merged, see Tidy.
package segment

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"headworks/internal/passage"
)

// ErrInUse is what Open returns for a folder that another process has.
var ErrInUse = errors.New("in use by another process")

// The names of what lies in the folder.
const (
	lockFile  = "lock"
	dataFile  = "passages.db"
	suffix    = ".seg"
	temporary = ".tmp"
)

// Store is an open folder of passages. Its methods may be called at once from many
// goroutines.
type Store struct {
	dir  string
	root *os.Root
	lock *os.File
	disk folder
	db   *sql.DB
	log  *slog.Logger
	step func(name string) error // called between the steps of a change, by tests; nil

	tidying sync.Mutex // one at a time, and guards tidied; taken before writing
	tidied  time.Time
	changed atomic.Bool // something was written since
	writing sync.Mutex  // one change at a time

	mu     sync.Mutex // guards what follows
	spaces map[passage.Space]*space
}

// space is what is searched of a passage.Space.
type space struct {
	id    int64
	watch watch
	mu    sync.Mutex
	view  *view // nil: not read yet
}

// Open opens the folder at dir, and makes it. What a process that died left there
// unfinished is removed.
func Open(ctx context.Context, dir string, log *slog.Logger) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	s := &Store{dir: dir, root: root, disk: disk{root}, log: log, spaces: map[passage.Space]*space{}}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	if s.lock, err = s.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	if err := lock(s.lock); err != nil {
		return fmt.Errorf("segment: %s: %w", s.dir, err)
	}
	if s.db, err = openData(ctx, filepath.Join(s.dir, dataFile)); err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	s.changed.Store(true)
	return s.sweep(ctx)
}

// sweep removes segment files that nothing names.
func (s *Store) sweep(ctx context.Context) error {
	named := map[string]bool{}
	rows, err := s.db.QueryContext(ctx, "SELECT name FROM segments")
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return fmt.Errorf("segment: %w", err)
		}
		named[name] = true
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		if ours := strings.HasSuffix(name, suffix) || strings.HasSuffix(name, temporary); !ours || named[name] {
			continue
		}
		if err := s.disk.Remove(name); err != nil {
			return fmt.Errorf("segment: %w", err)
		}
	}
	return nil
}

// Close closes the folder. Nobody uses the store any more.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, sp := range s.spaces {
		if sp.view != nil {
			sp.view.release()
		}
	}
	s.spaces = nil
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(append(errs, s.root.Close())...)
}

func (s *Store) at(name string) error {
	if s.step == nil {
		return nil
	}
	return s.step(name)
}

// of returns the space that is searched, making it where there is none.
func (s *Store) of(ctx context.Context, of passage.Space) (*space, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spaces == nil {
		return nil, errors.New("segment: the store is closed")
	}
	if sp := s.spaces[of]; sp != nil {
		return sp, nil
	}
	sp := &space{}
	if _, err := s.db.ExecContext(ctx, "INSERT INTO spaces (collection, embedder, dimensions, language) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", of.Collection, of.Embedder, of.Dimensions, of.Language); err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	if err := s.db.QueryRowContext(ctx, "SELECT id FROM spaces WHERE collection = ? AND embedder = ? AND dimensions = ?", of.Collection, of.Embedder, of.Dimensions).Scan(&sp.id); err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	s.spaces[of] = sp
	return sp, nil
}

// current returns what is to be searched now. The caller releases it.
func (s *Store) current(ctx context.Context, of passage.Space) (*space, *view, error) {
	sp, err := s.of(ctx, of)
	if err != nil {
		return nil, nil, err
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.view == nil {
		if sp.view, err = s.load(ctx, sp.id, of, nil, &sp.watch); err != nil {
			return nil, nil, err
		}
	}
	sp.view.hold()
	return sp, sp.view, nil
}

// swap lets searches see a change, which counts already. A nil delta stands for one
// that is read from the data file.
func (s *Store) swap(ctx context.Context, sp *space, of passage.Space, old *view, d *delta) error {
	var fresh *view
	var err error
	if d == nil {
		fresh, err = s.load(ctx, sp.id, of, old, &sp.watch)
	} else if fresh, err = s.after(of, old, d); err != nil {
		s.log.Warn("a collection is read again", "cause", err.Error())
		fresh, err = s.load(ctx, sp.id, of, old, &sp.watch)
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if err != nil {
		fresh = nil // whoever searches next reads it again
	}
	if sp.view != nil {
		sp.view.release()
	}
	sp.view = fresh
	return err
}

// after returns a view after a change.
func (s *Store) after(of passage.Space, old *view, d *delta) (*view, error) {
	if d.name != "" {
		src, err := s.source(d.segment, d.base, d.name, of)
		if err != nil {
			return nil, err
		}
		defer src.release() // the view has it by then
		d.added = &piece{src, d.table}
	}
	return old.with(d), nil
}

// segmentName returns a name for a new segment file: of its collection, its embedder,
// and nothing that was there before.
func segmentName(of passage.Space) string {
	var unique [8]byte
	_, _ = rand.Read(unique[:]) // never fails
	embedder := cmp.Or(of.Embedder, "words")
	safe := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '-'
	}, strings.ToLower(of.Collection))
	return safe[:min(len(safe), 40)] + "." + embedder + "." + hex.EncodeToString(unique[:])
}

// entry is a document on its way into a segment.
type entry struct {
	doc   *passage.Document
	first int // row
}

// Write makes a change, whole or not at all. When it returns without an error the
// change is durable, and searches that begin later see it.
func (s *Store) Write(ctx context.Context, of passage.Space, c passage.Change) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	sp, old, err := s.current(ctx, of)
	if err != nil {
		return err
	}
	defer old.release()
	base, err := s.next(ctx, sp.id)
	if err != nil {
		return err
	}
	name, size, entries, rows, err := s.make(of, base, c.Put)
	if err != nil {
		return err
	}
	d, err := s.commit(ctx, sp, &c, base, name, size, rows, entries)
	if err != nil {
		if name != "" {
			_ = s.disk.Remove(name) // nothing names it: the next start removes it
		}
		return fmt.Errorf("segment: %w", err)
	}
	s.changed.Store(true)
	if err := s.at("committed"); err != nil {
		return err
	}
	return s.swap(context.WithoutCancel(ctx), sp, of, old, d)
}

// make writes documents into a segment file of its final name; none where there is
// no passage.
func (s *Store) make(of passage.Space, base uint32, put []passage.Whole) (name string, size int64, entries []entry, rows int, err error) {
	for i := range put {
		put[i].Document.Passages = len(put[i].Passages)
		entries = append(entries, entry{&put[i].Document, rows})
		rows += len(put[i].Passages)
	}
	if rows == 0 {
		return "", 0, entries, 0, nil
	}
	all := func(yield func(*passage.Passage, error) bool) {
		for i := range put {
			for j := range put[i].Passages {
				p := put[i].Passages[j]
				p.Title = put[i].Title
				if !yield(&p, nil) {
					return
				}
			}
		}
	}
	name, size, err = s.put(of, func(w *writer) error { return writeSegment(w, of, all, built(of, base, all)) })
	return name, size, entries, rows, err
}

// put writes a segment file: whole, synced and under its name, or not there.
func (s *Store) put(of passage.Space, write func(*writer) error) (name string, size int64, err error) {
	name = segmentName(of)
	f, err := s.disk.Create(name + temporary)
	if err != nil {
		return "", 0, fmt.Errorf("segment: %w", err)
	}
	undo := func(err error) (string, int64, error) {
		return "", 0, fmt.Errorf("segment: %w", errors.Join(err, s.disk.Remove(name+temporary)))
	}
	w := newWriter(f)
	if err := write(w); err != nil {
		return undo(errors.Join(err, f.Close()))
	}
	if size, err = w.finish(); err != nil {
		return undo(errors.Join(err, f.Close()))
	}
	if err := errors.Join(s.at("written"), f.Sync(), f.Close(), s.at("synced")); err != nil {
		return undo(err)
	}
	final := name + suffix
	if err := s.disk.Rename(name+temporary, final); err != nil {
		return undo(err)
	}
	if err := errors.Join(s.at("renamed"), s.disk.Sync(), s.at("named")); err != nil {
		return "", 0, fmt.Errorf("segment: %w", errors.Join(err, s.disk.Remove(final)))
	}
	return final, size, nil
}

// commit makes a change count, and returns what it does to a view.
func (s *Store) commit(ctx context.Context, sp *space, c *passage.Change, base uint32, name string, size int64, rows int, entries []entry) (d *delta, err error) {
	now := micros(time.Now())
	d = &delta{name: name, base: base, table: newTable()}
	err = within(ctx, s.db, func(tx *sql.Tx) error {
		if name != "" {
			if err := d.segmentIn(ctx, tx, sp.id, rows, size, now); err != nil {
				return err
			}
		}
		retire, err := newRetirement(ctx, tx, sp.id, now)
		if err != nil {
			return err
		}
		defer retire.close()
		for _, e := range entries {
			if err := retire.one(ctx, e.doc.ID, false, d); err != nil {
				return err
			}
			in := d.segment
			if e.doc.Passages == 0 {
				in = 0
			} else {
				d.table.add(e.doc.ID, e.first, e.doc.Passages, e.doc.Readers, e.doc.Attributes)
			}
			if err := insertDocument(ctx, retire.insert, sp.id, e.doc, in, e.first); err != nil {
				return err
			}
		}
		for i := range c.Set {
			if err := setDocument(ctx, tx, sp.id, &c.Set[i], d); err != nil {
				return err
			}
		}
		for _, id := range c.Remove {
			if err := retire.one(ctx, id, true, d); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, "UPDATE spaces SET epoch = epoch + 1 WHERE id = ?", sp.id); err != nil {
			return err
		}
		return s.at("committing")
	})
	return d, err
}

// Drop removes a space with all that is in it.
func (s *Store) Drop(ctx context.Context, of passage.Space) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	sp, err := s.of(ctx, of)
	if err != nil {
		return err
	}
	names, err := s.names(ctx, sp.id)
	if err != nil {
		return err
	}
	err = within(ctx, s.db, func(tx *sql.Tx) error {
		for _, drop := range []string{"DELETE FROM documents WHERE space = ?", "DELETE FROM segments WHERE space = ?", "DELETE FROM spaces WHERE id = ?"} {
			if _, err := tx.ExecContext(ctx, drop, sp.id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	s.mu.Lock()
	delete(s.spaces, of)
	s.mu.Unlock()
	sp.mu.Lock()
	if sp.view != nil {
		sp.view.release()
		sp.view = newView(of, nil, &sp.watch) // who has it still finds nothing
	}
	sp.mu.Unlock()
	for _, name := range names {
		if err := s.disk.Remove(name); err != nil {
			s.log.Warn("a segment that is gone is left behind", "file", name, "cause", err.Error())
		}
	}
	return nil
}

func (s *Store) names(ctx context.Context, space int64) (names []string, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT name FROM segments WHERE space = ?", space)
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("segment: %w", err)
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// Search finds passages by words and by vectors.
func (s *Store) Search(ctx context.Context, of passage.Space, q passage.Query) (passage.Legs, error) {
	_, v, err := s.current(ctx, of)
	if err != nil {
		return passage.Legs{}, err
	}
	defer v.release()
	return v.search(ctx, &q)
}

// tries bounds how often Load begins again because segments were merged meanwhile.
const tries = 5

// Load returns passages with their documents, in the order of their refs, those of a
// whole document in theirs. What is gone, and what the audience may not read, is left
// out. Vectors are loaded where vectors is true.
func (s *Store) Load(ctx context.Context, of passage.Space, who passage.Audience, refs []passage.Ref, vectors bool) ([]passage.Loaded, error) {
	for try := 1; ; try++ {
		sp, v, err := s.current(ctx, of)
		if err != nil {
			return nil, err
		}
		all, moved, err := s.loadFrom(ctx, sp, v, who, refs, vectors)
		v.release()
		if moved && err == nil { // a merge counts, and is about to be seen
			s.writing.Lock()
			s.writing.Unlock() //nolint:staticcheck // its end is waited for
		}
		if !moved || err != nil || try == tries {
			if moved && err == nil {
				err = errors.New("segment: segments are merged faster than they can be read")
			}
			return all, err
		}
	}
}

func (s *Store) loadFrom(ctx context.Context, sp *space, v *view, who passage.Audience, refs []passage.Ref, vectors bool) (all []passage.Loaded, moved bool, err error) {
	known := map[string]*placed{}
	for _, ref := range refs {
		d, ok := known[ref.Document]
		if !ok {
			if d, err = s.place(ctx, sp.id, ref.Document); err != nil {
				return nil, false, err
			}
			known[ref.Document] = d
		}
		if d == nil || !who.May(d.doc.Readers) || d.doc.Passages == 0 {
			continue
		}
		seg := v.segment(d.segment)
		if seg == nil {
			return nil, true, nil
		}
		for n := d.first; n < d.first+d.doc.Passages; n++ {
			if !ref.Passage.IsZero() && seg.file.id(n) != ref.Passage {
				continue
			}
			p, err := seg.file.passage(n)
			if err != nil {
				return nil, false, err
			}
			p.Title = d.doc.Title
			if vectors {
				p.Vector = seg.vector(n)
			}
			all = append(all, passage.Loaded{Document: d.doc, Passage: p})
		}
	}
	return all, false, nil
}

// Documents lists documents.
func (s *Store) Documents(ctx context.Context, of passage.Space, page passage.Page) ([]passage.Document, error) {
	sp, err := s.of(ctx, of)
	if err != nil {
		return nil, err
	}
	const columns = "SELECT " + documentColumns + " FROM documents WHERE space = ? AND gone = 0"
	var all []passage.Document
	if page.IDs != nil {
		ids := slices.Compact(slices.Sorted(slices.Values(page.IDs)))
		query := columns + " AND id = ?"
		if page.History {
			query = "SELECT " + documentColumns + " FROM documents WHERE space = ? AND id = ? ORDER BY version DESC"
		}
		for _, id := range ids {
			if id <= page.After {
				continue
			}
			found, err := documents(ctx, s.db, query, sp.id, id)
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
	} else {
		query := columns + " AND id > ? ORDER BY id LIMIT ?"
		if page.History {
			query = "SELECT " + documentColumns + " FROM documents WHERE space = ? AND id > ? ORDER BY id, version DESC LIMIT ?"
		}
		n := page.N
		if n == 0 {
			n = -1
		}
		if all, err = documents(ctx, s.db, query, sp.id, page.After, n); err != nil {
			return nil, err
		}
	}
	if page.N > 0 && len(all) > page.N {
		all = all[:page.N]
	}
	return all, nil
}
