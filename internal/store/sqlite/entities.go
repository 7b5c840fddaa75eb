package sqlite

import (
	"context"
	"fmt"
	"time"
)

// Entity is one of the small things that outlive the process: a notice that is to be
// told, an incident, a silence. What it says is its owner's.
type Entity struct {
	ID      string
	Changed time.Time
	Body    []byte
}

// Keep writes an entity of a kind, in the place of one with its id.
func (s *Store) Keep(ctx context.Context, kind, id string, body []byte) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO entities (kind, id, changed, body) VALUES (?, ?, ?, ?)
		ON CONFLICT (kind, id) DO UPDATE SET changed = excluded.changed, body = excluded.body`, kind, id, time.Now().UnixMicro(), body)
	if err != nil {
		return fmt.Errorf("sqlite: keep a %s: %w", kind, err)
	}
	return nil
}

// Kept returns the entities of a kind, those that changed first before the others.
func (s *Store) Kept(ctx context.Context, kind string) (all []Entity, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id, changed, body FROM entities WHERE kind = ? ORDER BY changed, id`, kind)
	if err != nil {
		return nil, fmt.Errorf("sqlite: list every %s: %w", kind, err)
	}
	defer rows.Close()
	for rows.Next() {
		var e Entity
		var changed int64
		if err := rows.Scan(&e.ID, &changed, &e.Body); err != nil {
			return nil, fmt.Errorf("sqlite: list every %s: %w", kind, err)
		}
		e.Changed = time.UnixMicro(changed)
		all = append(all, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sqlite: list every %s: %w", kind, err)
	}
	return all, nil
}

// Forget removes an entity; one that is not there is gone already.
func (s *Store) Forget(ctx context.Context, kind, id string) error {
	if _, err := s.db.ExecContext(ctx, `DELETE FROM entities WHERE kind = ? AND id = ?`, kind, id); err != nil {
		return fmt.Errorf("sqlite: forget a %s: %w", kind, err)
	}
	return nil
}
