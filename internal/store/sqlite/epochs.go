package sqlite

import (
	"context"
	"fmt"
)

// LoadEpochs tells of all epochs that are kept.
func (s *Store) LoadEpochs(ctx context.Context, tell func(kind, name string, n uint64)) error {
	rows, err := s.db.QueryContext(ctx, "SELECT kind, name, n FROM epochs ORDER BY kind, name")
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var kind, name string
		var n int64
		if err := rows.Scan(&kind, &name, &n); err != nil {
			return fmt.Errorf("sqlite: %w", err)
		}
		tell(kind, name, uint64(n))
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	return nil
}

// SaveEpoch keeps that an epoch is at n, unless it is further already: two bumps may
// come in either order.
func (s *Store) SaveEpoch(ctx context.Context, kind, name string, n uint64) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO epochs (kind, name, n) VALUES (?, ?, ?)
		ON CONFLICT (kind, name) DO UPDATE SET n = max(n, excluded.n)`, kind, name, int64(n))
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	return nil
}
