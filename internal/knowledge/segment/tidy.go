package segment

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"headworks/internal/passage"
)

// When segments are merged: where there are mostSegments of about one size, where a
// fifth of one is dead, and where something in one died so long ago that its bytes
// have to go, which they do within a day.
const (
	mostSegments = 8
	deadShare    = 5
	deadFor      = 12 * time.Hour
)

// tidyAgain is after how long a store is looked at though nothing was written.
const tidyAgain = 10 * time.Minute

// What a merged segment has at most.
const (
	mostRows  = 1 << 18
	mostBytes = 1 << 30
)

// state is a segment as the data file has it.
type state struct {
	id                int64
	name              string
	rows, live, bytes int64
	died              time.Time
}

// Tidy merges segments where that is due, lets the bytes of what was removed go, and
// returns whether it did anything. One Tidy runs at a time.
func (s *Store) Tidy(ctx context.Context, now time.Time) (did bool, err error) {
	s.tidying.Lock()
	defer s.tidying.Unlock()
	if !s.changed.Swap(false) && now.Sub(s.tidied) < tidyAgain && !now.Before(s.tidied) {
		return false, nil
	}
	s.tidied = now
	spaces, err := s.all(ctx)
	if err != nil {
		return false, err
	}
	for id, of := range spaces {
		states, err := s.states(ctx, id)
		if err != nil {
			return did, err
		}
		for _, some := range due(states, now) {
			if err := s.merge(ctx, of, some); err != nil {
				return did, err
			}
			did = true
			s.changed.Store(true) // what was made may be merged in its turn
		}
	}
	purged, err := s.purge(ctx, now)
	return did || purged, err
}

// due returns which segments are to be merged with each other.
func due(states []state, now time.Time) (groups [][]state) {
	classes := map[int][]state{}
	for _, g := range states {
		dead := g.rows - g.live
		if dead > 0 && (dead*deadShare >= g.rows || now.Sub(g.died) >= deadFor) {
			groups = append(groups, []state{g})
			continue
		}
		class := 0
		for n := g.rows; n >= 64; n /= mostSegments {
			class++
		}
		classes[class] = append(classes[class], g)
	}
	for _, alike := range classes {
		var group []state
		rows, bytes := int64(0), int64(0)
		end := func() {
			if len(group) >= mostSegments || len(group) > 1 && rows >= mostRows/2 {
				groups = append(groups, group)
			}
			group, rows, bytes = nil, 0, 0
		}
		for _, g := range alike {
			if rows+g.live > mostRows || bytes+g.bytes > mostBytes {
				end()
			}
			group, rows, bytes = append(group, g), rows+g.live, bytes+g.bytes
		}
		end()
	}
	return groups
}

func (s *Store) all(ctx context.Context) (map[int64]passage.Space, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT id, collection, embedder, dimensions, language FROM spaces")
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	defer rows.Close()
	all := map[int64]passage.Space{}
	for rows.Next() {
		var id int64
		var of passage.Space
		if err := rows.Scan(&id, &of.Collection, &of.Embedder, &of.Dimensions, &of.Language); err != nil {
			return nil, fmt.Errorf("segment: %w", err)
		}
		all[id] = of
	}
	return all, rows.Err()
}

func (s *Store) states(ctx context.Context, space int64) (all []state, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT id, name, rows, bytes, died, rows - dead FROM segments WHERE space = ? ORDER BY id", space)
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var g state
		var died int64
		if err := rows.Scan(&g.id, &g.name, &g.rows, &g.bytes, &died, &g.live); err != nil {
			return nil, fmt.Errorf("segment: %w", err)
		}
		g.died = moment(died)
		all = append(all, g)
	}
	return all, rows.Err()
}

// move is a document on its way from one segment into another.
type move struct {
	n     int64 // of its row in documents
	title string
	from  *piece
	first int // row there
	count int
	to    int // first row in the new segment
}

// merge writes what is live in some segments into one, and lets them go. Searches and
// changes go on meanwhile; what died while it ran is dead in the new one too.
func (s *Store) merge(ctx context.Context, of passage.Space, some []state) error {
	sp, v, err := s.current(ctx, of)
	if err != nil {
		return err
	}
	defer v.release()
	moves, rows, err := s.moves(ctx, v, some)
	if err != nil {
		return err
	}
	made := delta{}
	size := int64(0)
	if rows > 0 {
		if made.base, err = s.reserve(ctx, sp.id, rows); err != nil {
			return err
		}
		made.name, size, err = s.put(of, func(w *writer) error { return writeSegment(w, of, moved(ctx, moves), merged(of, made.base, moves)) })
		if err != nil {
			return err
		}
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.commitMerge(ctx, sp.id, &made, moves, rows, size, some); err != nil {
		if made.name != "" {
			_ = s.disk.Remove(made.name) // nothing names it: the next start removes it
		}
		return fmt.Errorf("segment: %w", err)
	}
	if err := s.at("committed"); err != nil {
		return err
	}
	err = s.swapMerged(context.WithoutCancel(ctx), sp, of, &made, some)
	for _, g := range some {
		err = errors.Join(err, s.disk.Remove(g.name))
	}
	return err
}

// moves returns what is live in some segments, in order.
func (s *Store) moves(ctx context.Context, v *view, some []state) (moves []move, rows int, err error) {
	for _, g := range some {
		from := v.segment(g.id)
		if from == nil {
			return nil, 0, errors.New("segment: segments changed while they were to be merged")
		}
		if err := from.file.verify(); err != nil {
			return nil, 0, err
		}
		found, err := s.db.QueryContext(ctx, "SELECT n, title, first, passages FROM documents WHERE segment = ? AND gone = 0 ORDER BY first", g.id)
		if err != nil {
			return nil, 0, fmt.Errorf("segment: %w", err)
		}
		for found.Next() {
			m := move{from: from, to: rows}
			if err := found.Scan(&m.n, &m.title, &m.first, &m.count); err != nil {
				return nil, 0, fmt.Errorf("segment: %w", errors.Join(err, found.Close())) //nolint:sqlclosecheck // it is one of several
			}
			rows += m.count
			moves = append(moves, m)
		}
		if err := errors.Join(found.Err(), found.Close()); err != nil {
			return nil, 0, fmt.Errorf("segment: %w", err)
		}
	}
	return moves, rows, nil
}

// moved reads the passages of documents out of their segments.
func moved(ctx context.Context, moves []move) iter.Seq2[*passage.Passage, error] {
	return func(yield func(*passage.Passage, error) bool) {
		for _, m := range moves {
			if ctx.Err() != nil {
				yield(nil, context.Cause(ctx))
				return
			}
			for n := m.first; n < m.first+m.count; n++ {
				p, err := m.from.file.passage(n)
				p.Title, p.Vector = m.title, m.from.vector(n)
				if !yield(&p, err) || err != nil {
					return
				}
			}
		}
	}
}

// reserve takes ids for rows, which nobody else gets.
func (s *Store) reserve(ctx context.Context, space int64, rows int) (uint32, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	base, err := s.next(ctx, space)
	if err != nil {
		return 0, err
	}
	if _, err := s.db.ExecContext(ctx, "UPDATE spaces SET next = next + ? WHERE id = ?", rows, space); err != nil {
		return 0, fmt.Errorf("segment: %w", err)
	}
	return base, nil
}

func (s *Store) commitMerge(ctx context.Context, space int64, d *delta, moves []move, rows int, size int64, some []state) error {
	now := micros(time.Now())
	return within(ctx, s.db, func(tx *sql.Tx) error {
		if d.name != "" {
			made, err := tx.ExecContext(ctx, "INSERT INTO segments (space, name, base, rows, bytes, created) VALUES (?, ?, ?, ?, ?, ?)", space, d.name, d.base, rows, size, now)
			if err != nil {
				return err
			}
			if d.segment, err = made.LastInsertId(); err != nil {
				return err
			}
			move, err := tx.PrepareContext(ctx, "UPDATE documents SET segment = ?, first = ? WHERE n = ? AND gone = 0")
			if err != nil {
				return err
			}
			defer func() { _ = move.Close() }() // the transaction ends it
			left := 0
			for _, m := range moves {
				done, err := move.ExecContext(ctx, d.segment, m.to, m.n)
				if err != nil {
					return err
				}
				if n, err := done.RowsAffected(); err != nil || n == 0 {
					left += m.count
				}
			}
			if left > 0 { // removed meanwhile
				if _, err := tx.ExecContext(ctx, "UPDATE segments SET died = ?, dead = ? WHERE id = ?", now, left, d.segment); err != nil {
					return err
				}
			}
		}
		for _, g := range some {
			if _, err := tx.ExecContext(ctx, "UPDATE documents SET segment = 0, first = 0 WHERE segment = ? AND segment != 0", g.id); err != nil {
				return err
			}
			gone, err := tx.ExecContext(ctx, "DELETE FROM segments WHERE id = ?", g.id)
			if err != nil {
				return err
			}
			if n, err := gone.RowsAffected(); err != nil || n == 0 {
				return errors.Join(err, errors.New("the space was dropped while it was merged"))
			}
		}
		return s.at("committing")
	})
}

// swapMerged lets searches see the new segment in the place of those that it was made
// of.
func (s *Store) swapMerged(ctx context.Context, sp *space, of passage.Space, d *delta, some []state) error {
	sp.mu.Lock()
	old := sp.view
	sp.mu.Unlock()
	if old == nil {
		return nil
	}
	pieces := slices.DeleteFunc(slices.Clone(old.pieces), func(p piece) bool {
		return slices.ContainsFunc(some, func(g state) bool { return g.id == p.id })
	})
	var err error
	var fresh *view
	if d.name != "" {
		var src *source
		if src, err = s.source(d.segment, d.base, d.name, of); err == nil {
			defer src.release() // the view has it by then
			var t *table
			if t, err = s.table(ctx, d.segment); err == nil {
				pieces = append(pieces, piece{src, t})
			}
		}
	}
	if err == nil {
		fresh = newView(of, pieces, &sp.watch)
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.view != nil {
		sp.view.release()
	}
	sp.view = fresh // nil where something went wrong: whoever searches next reads it
	return err
}

// purge lets go of what is known of documents that were removed long enough ago and
// of which no bytes are left.
func (s *Store) purge(ctx context.Context, now time.Time) (bool, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	gone, err := s.db.ExecContext(ctx, `DELETE FROM documents WHERE removed = 1 AND segment = 0 AND gone < ?1
		OR EXISTS (SELECT 1 FROM documents r WHERE r.space = documents.space AND r.id = documents.id AND r.removed = 1 AND r.segment = 0 AND r.gone < ?1 AND r.version >= documents.version)
			AND gone != 0 AND segment = 0`, micros(now.Add(-deadFor)))
	if err != nil {
		return false, fmt.Errorf("segment: %w", err)
	}
	n, err := gone.RowsAffected()
	if err != nil || n == 0 {
		return false, err
	}
	// What was overwritten is in the log still.
	if _, err := s.db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return true, fmt.Errorf("segment: %w", err)
	}
	return true, nil
}

// Verify reads all bytes of all segments, and returns what is wrong with them.
func (s *Store) Verify(ctx context.Context) error {
	spaces, err := s.all(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, of := range spaces {
		_, v, err := s.current(ctx, of)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, p := range v.pieces {
			errs = append(errs, p.file.verify())
		}
		v.release()
	}
	return errors.Join(errs...)
}

// Count returns what a space holds.
func (s *Store) Count(ctx context.Context, of passage.Space) (documents, passages int, bytes int64, err error) {
	sp, err := s.of(ctx, of)
	if err != nil {
		return 0, 0, 0, err
	}
	err = s.db.QueryRowContext(ctx, "SELECT count(*), coalesce(sum(passages), 0), coalesce(sum(bytes), 0) FROM documents WHERE space = ? AND gone = 0", sp.id).Scan(&documents, &passages, &bytes)
	if err != nil {
		return 0, 0, 0, fmt.Errorf("segment: %w", err)
	}
	return documents, passages, bytes, nil
}

// Recall returns the share of the ten nearest vectors that searches of a space find,
// by samples; not before there are enough of them.
func (s *Store) Recall(of passage.Space) (float64, bool) {
	s.mu.Lock()
	sp := s.spaces[of]
	s.mu.Unlock()
	if sp == nil {
		return 0, false
	}
	sp.watch.mu.Lock()
	defer sp.watch.mu.Unlock()
	return sp.watch.of.Recall()
}
