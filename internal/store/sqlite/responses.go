package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

var (
	// ErrNoResponse is what is returned for a response that is not kept for a key.
	ErrNoResponse = errors.New("no such response")
	// ErrLongChain is what LoadChain returns for a conversation over its bounds.
	ErrLongChain = errors.New("the conversation is longer than its bound")
)

// Response is a response as it is kept, for one key alone.
type Response struct {
	Key      string // id of the caller's key
	ID       string
	Previous string // id of the response that it goes on from; empty if it begins a conversation
	Created  time.Time
	Input    []byte   // items of its own input
	Answer   []byte   // the whole answer
	Items    []string // ids of the items in the answer
}

func (r *Response) size() int { return len(r.Input) + len(r.Answer) }

// pending is a response on its way into the file.
type pending struct {
	r    *Response
	done chan error
}

// KeepResponse keeps a response, and returns once it is in the file. Those that come
// while others are written go in together, by one transaction.
func (s *Store) KeepResponse(ctx context.Context, r *Response) error {
	p := pending{r, make(chan error, 1)}
	s.mu.Lock()
	s.waiting = append(s.waiting, p)
	lead := !s.writing
	s.writing = true
	s.mu.Unlock()
	if lead {
		s.writeResponses(context.WithoutCancel(ctx)) // others wait for it too
	}
	return <-p.done
}

// writeResponses writes what waits, until nothing does. Where a batch fails, each of
// it has a try of its own: one must not lose another.
func (s *Store) writeResponses(ctx context.Context) {
	for {
		s.mu.Lock()
		batch := s.waiting
		s.waiting = nil
		s.writing = len(batch) > 0
		s.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		if err := s.writeBatch(ctx, batch); err == nil || len(batch) == 1 {
			for _, p := range batch {
				p.done <- err
			}
			continue
		}
		for i, p := range batch {
			p.done <- s.writeBatch(ctx, batch[i:i+1])
		}
	}
}

func (s *Store) writeBatch(ctx context.Context, batch []pending) error {
	err := s.within(ctx, func(tx *sql.Tx) error {
		for _, p := range batch {
			if err := keepResponse(ctx, tx, p.r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	return nil
}

// keepResponse writes a response into the thread of the one before it, which is
// thereby used: a conversation is let go as a whole.
func keepResponse(ctx context.Context, tx *sql.Tx, r *Response) error {
	thread, err := threadOf(ctx, tx, r.Key, r.Previous)
	if err != nil {
		return err
	}
	if thread == 0 {
		made, err := tx.ExecContext(ctx, "INSERT INTO threads (used, size) VALUES (?, 0)", micros(r.Created))
		if err != nil {
			return err
		}
		if thread, err = made.LastInsertId(); err != nil {
			return err
		}
	}
	if err := removeResponse(ctx, tx, r.Key, r.ID); err != nil && !errors.Is(err, ErrNoResponse) {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO responses (key, id, thread, previous, created, input, answer) VALUES (?, ?, ?, ?, ?, ?, ?)",
		r.Key, r.ID, thread, r.Previous, micros(r.Created), append([]byte{}, r.Input...), append([]byte{}, r.Answer...)); err != nil {
		return err
	}
	for _, id := range r.Items {
		if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO items (key, id, response) VALUES (?, ?, ?)", r.Key, id, r.ID); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, "UPDATE threads SET used = max(used, ?), size = size + ? WHERE id = ?", micros(r.Created), r.size(), thread)
	return err
}

func threadOf(ctx context.Context, tx *sql.Tx, key, id string) (thread int64, err error) {
	if id == "" {
		return 0, nil
	}
	err = tx.QueryRowContext(ctx, "SELECT thread FROM responses WHERE key = ? AND id = ?", key, id).Scan(&thread)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil // it was removed since this one began
	}
	return thread, err
}

// LoadResponse returns a response that is kept for a key, without Items.
func (s *Store) LoadResponse(ctx context.Context, key, id string) (*Response, error) {
	return scanResponse(s.db.QueryRowContext(ctx, "SELECT id, previous, created, input, answer FROM responses WHERE key = ? AND id = ?", key, id), key)
}

// LoadChain returns a response that is kept for a key and all that it goes on from,
// the first one first. The error is ErrNoResponse where one of them is not there, and
// ErrLongChain where there are more than depth, or more than that many bytes.
func (s *Store) LoadChain(ctx context.Context, key, id string, depth int, most int64) ([]*Response, error) {
	rows, err := s.db.QueryContext(ctx, `WITH RECURSIVE chain (id, previous, depth) AS (
			SELECT id, previous, 1 FROM responses WHERE key = ?1 AND id = ?2
			UNION ALL
			SELECT r.id, r.previous, depth + 1 FROM chain c JOIN responses r ON r.key = ?1 AND r.id = c.previous WHERE depth <= ?3
		)
		SELECT r.id, r.previous, r.created, r.input, r.answer FROM chain c JOIN responses r ON r.key = ?1 AND r.id = c.id ORDER BY c.depth`,
		key, id, depth)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	defer rows.Close()
	var chain []*Response
	next := id
	for rows.Next() {
		r, err := scanResponse(rows, key)
		if err != nil {
			return nil, err
		}
		if most -= int64(r.size()); len(chain) == depth || most < 0 {
			return nil, ErrLongChain
		}
		chain = append(chain, r)
		next = r.Previous
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	if next != "" {
		return nil, ErrNoResponse
	}
	slices.Reverse(chain)
	return chain, nil
}

// LoadItem returns the response whose answer holds an item of that id.
func (s *Store) LoadItem(ctx context.Context, key, item string) (*Response, error) {
	return scanResponse(s.db.QueryRowContext(ctx, `SELECT r.id, previous, created, input, answer FROM items i
		JOIN responses r ON r.key = i.key AND r.id = i.response WHERE i.key = ? AND i.id = ?`, key, item), key)
}

func scanResponse(row interface{ Scan(to ...any) error }, key string) (*Response, error) {
	r := &Response{Key: key}
	var created int64
	switch err := row.Scan(&r.ID, &r.Previous, &created, &r.Input, &r.Answer); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, ErrNoResponse
	case err != nil:
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	r.Created = moment(created)
	return r, nil
}

// RemoveResponse removes a response. What went on from it goes on no longer.
func (s *Store) RemoveResponse(ctx context.Context, key, id string) error {
	err := s.within(ctx, func(tx *sql.Tx) error { return removeResponse(ctx, tx, key, id) })
	if err != nil && !errors.Is(err, ErrNoResponse) {
		return fmt.Errorf("sqlite: %w", err)
	}
	return err
}

func removeResponse(ctx context.Context, tx *sql.Tx, key, id string) error {
	var thread, size int64
	err := tx.QueryRowContext(ctx, "DELETE FROM responses WHERE key = ? AND id = ? RETURNING thread, length(input) + length(answer)", key, id).Scan(&thread, &size)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ErrNoResponse
	case err != nil:
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM items WHERE key = ? AND response = ?", key, id); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "UPDATE threads SET size = size - ? WHERE id = ?", size, thread)
	return err
}

// fewThreads is how many threads go by one transaction, so that nobody waits long.
const fewThreads = 100

// PruneResponses removes the conversations that were not used since before, and then
// those that were not used for longest until what is kept has at most that many
// bytes. It returns what is left.
func (s *Store) PruneResponses(ctx context.Context, before time.Time, most int64) (n, size int64, err error) {
	for more := true; more; {
		err = s.within(ctx, func(tx *sql.Tx) error {
			if err := tx.QueryRowContext(ctx, "SELECT count(*), coalesce(sum(size), 0) FROM threads").Scan(&n, &size); err != nil {
				return err
			}
			gone, err := oldest(ctx, tx, before, size-most)
			if err != nil {
				return err
			}
			for _, id := range gone {
				for _, drop := range []string{
					"DELETE FROM items WHERE (key, response) IN (SELECT key, id FROM responses WHERE thread = ?)",
					"DELETE FROM responses WHERE thread = ?", "DELETE FROM threads WHERE id = ?",
				} {
					if _, err := tx.ExecContext(ctx, drop, id); err != nil {
						return err
					}
				}
			}
			more = len(gone) > 0
			return nil
		})
		if err != nil {
			return 0, 0, fmt.Errorf("sqlite: %w", err)
		}
	}
	return n, size, nil
}

// oldest returns some of the threads that have to go: those that are empty or were
// last used before, and those that make up the first over bytes.
func oldest(ctx context.Context, tx *sql.Tx, before time.Time, over int64) (gone []int64, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT id, used, size FROM threads ORDER BY used LIMIT ?", fewThreads)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, used, size int64
		if err := rows.Scan(&id, &used, &size); err != nil {
			return nil, err
		}
		if used >= micros(before) && over <= 0 && size > 0 {
			continue
		}
		over -= size
		gone = append(gone, id)
	}
	return gone, rows.Err()
}
