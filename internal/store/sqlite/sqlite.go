// Package sqlite keeps what must survive in one SQLite file: the keys of callers, the
// responses that callers asked to have kept, the epochs of what is cached, and small
// things by kind and id.
//
// Keys are not on the way of a request: who answers requests reads them into memory,
// and again when Version tells that they changed, in this process or in another one.
// Secrets are not in the file, only digests of them. Responses are read and written
// on the way of the requests that ask for it, and hold what was said.
package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"headworks/internal/tenant"
)

// busyFor is how long a statement waits for another process.
const busyFor = 5 * time.Second

var (
	// ErrNoKey is what RevokeKey returns for a key that is not there, or revoked.
	ErrNoKey = errors.New("no such key")
	// ErrTaken is what CreateKey returns where a live key has that name, or any
	// key that id or secret.
	ErrTaken = errors.New("a key of that name, id or secret exists already")
)

// Key is a key as it is kept.
type Key struct {
	ID      string
	Name    string // no two live keys have one
	Digest  []byte // HMAC-SHA256 of the secret
	Pepper  string // id of the pepper under which Digest was made
	Tenant  string
	Project string
	Tier    string
	Models  []string // see tenant.Caller
	Budget  tenant.Budget
	Created time.Time
	Expires time.Time // zero: never
	Revoked time.Time // zero: it is live
}

// Store is an open file. Its methods may be called at once from many goroutines.
type Store struct {
	db *sql.DB

	mu      sync.Mutex // guards what follows
	waiting []pending  // responses to be kept
	writing bool       // somebody writes them
}

// migrations bring the file from version to version, the first from nothing to 1.
// One that was released is never changed.
var migrations = []string{
	`CREATE TABLE keys (
		id      TEXT PRIMARY KEY,
		name    TEXT NOT NULL,
		digest  BLOB NOT NULL UNIQUE,
		pepper  TEXT NOT NULL,
		tenant  TEXT NOT NULL,
		project TEXT NOT NULL,
		tier    TEXT NOT NULL,
		models  TEXT NOT NULL,    -- JSON array
		amount  INTEGER NOT NULL, -- of the budget, micro-USD; 0: none
		period  INTEGER NOT NULL, -- of the budget, us
		created INTEGER NOT NULL, -- us since 1970, as the next two
		expires INTEGER NOT NULL, -- 0: never
		revoked INTEGER NOT NULL  -- 0: live
	) STRICT;
	CREATE UNIQUE INDEX live_names ON keys (name) WHERE revoked = 0;
	CREATE TABLE version (n INTEGER NOT NULL) STRICT;
	INSERT INTO version VALUES (0);
	CREATE TRIGGER key_created AFTER INSERT ON keys BEGIN UPDATE version SET n = n + 1; END;
	CREATE TRIGGER key_changed AFTER UPDATE ON keys BEGIN UPDATE version SET n = n + 1; END;
	CREATE TRIGGER key_removed AFTER DELETE ON keys BEGIN UPDATE version SET n = n + 1; END;`,
	`CREATE TABLE threads (
		id   INTEGER PRIMARY KEY,
		used INTEGER NOT NULL, -- us since 1970
		size INTEGER NOT NULL  -- bytes of its responses
	) STRICT;
	CREATE INDEX threads_by_use ON threads (used);
	CREATE TABLE responses (
		key      TEXT NOT NULL, -- id of the caller's key
		id       TEXT NOT NULL,
		thread   INTEGER NOT NULL,
		previous TEXT NOT NULL,    -- id of the response before; empty: none
		created  INTEGER NOT NULL, -- us since 1970
		input    BLOB NOT NULL,    -- JSON
		answer   BLOB NOT NULL,    -- JSON
		PRIMARY KEY (key, id)
	) STRICT;
	CREATE INDEX responses_by_thread ON responses (thread);
	CREATE TABLE items (
		key      TEXT NOT NULL,
		id       TEXT NOT NULL,
		response TEXT NOT NULL,
		PRIMARY KEY (key, id)
	) STRICT, WITHOUT ROWID;
	CREATE INDEX items_by_response ON items (key, response);`,
	`CREATE TABLE entities (
		kind    TEXT NOT NULL,
		id      TEXT NOT NULL,
		changed INTEGER NOT NULL, -- us since 1970
		body    BLOB NOT NULL,
		PRIMARY KEY (kind, id)
	) STRICT, WITHOUT ROWID;`,
	`CREATE TABLE epochs (
		kind TEXT NOT NULL,
		name TEXT NOT NULL,
		n    INTEGER NOT NULL,
		PRIMARY KEY (kind, name)
	) STRICT, WITHOUT ROWID;`,
}

// Open opens the file at path, and creates it, for the owner's eyes alone.
func Open(ctx context.Context, path string) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	// SQLite would take the umask's word for the mode; its other files follow
	// this one.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	f.Close()
	options := url.Values{
		"_pragma": {fmt.Sprintf("busy_timeout(%d)", busyFor.Milliseconds()), "synchronous(FULL)", "trusted_schema(OFF)", "secure_delete(ON)"},
		"_txlock": {"immediate"},
	}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: options.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	db.SetMaxOpenConns(4)
	s := &Store{db: db}
	if err := s.prepare(ctx); err != nil {
		return nil, fmt.Errorf("sqlite: %s: %w", path, errors.Join(err, db.Close()))
	}
	return s, nil
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

// prepare makes the file ready for this version. The change to a write-ahead log
// is refused at once while another process makes it too, whatever busy_timeout
// says, so it is tried again for as long.
func (s *Store) prepare(ctx context.Context) error {
	for wait, waited := 5*time.Millisecond, time.Duration(0); ; waited += wait {
		_, err := s.db.ExecContext(ctx, "PRAGMA journal_mode = WAL")
		if err == nil {
			err = s.migrate(ctx)
		}
		if e, ok := errors.AsType[*sqlite.Error](err); !ok || e.Code()&0xff != lib.SQLITE_BUSY || waited > busyFor {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// migrate brings the file to the newest version, whole or not at all.
func (s *Store) migrate(ctx context.Context) error {
	return s.within(ctx, func(tx *sql.Tx) error {
		var version int
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
		if version > len(migrations) {
			return fmt.Errorf("made by a newer Headworks: version %d, this one knows %d", version, len(migrations))
		}
		for i, m := range migrations[version:] {
			if _, err := tx.ExecContext(ctx, m); err != nil {
				return fmt.Errorf("to version %d: %w", version+i+1, err)
			}
		}
		if version == len(migrations) {
			return nil
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(migrations)))
		return err
	})
}

func (s *Store) within(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// CreateKey keeps a new key.
func (s *Store) CreateKey(ctx context.Context, k Key) error {
	models, err := json.Marshal(k.Models)
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	_, err = s.db.ExecContext(ctx, `INSERT INTO keys
		(id, name, digest, pepper, tenant, project, tier, models, amount, period, created, expires, revoked)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		k.ID, k.Name, k.Digest, k.Pepper, k.Tenant, k.Project, k.Tier, string(models),
		k.Budget.Amount, k.Budget.Per.Microseconds(), micros(k.Created), micros(k.Expires), micros(k.Revoked))
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() {
		case lib.SQLITE_CONSTRAINT_UNIQUE, lib.SQLITE_CONSTRAINT_PRIMARYKEY:
			return ErrTaken
		}
	}
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	return nil
}

// ListKeys returns all keys in the order in which they were created, the revoked
// ones too.
func (s *Store) ListKeys(ctx context.Context) ([]Key, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT
		id, name, digest, pepper, tenant, project, tier, models, amount, period, created, expires, revoked
		FROM keys ORDER BY created, id`)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	defer rows.Close()
	var keys []Key
	for rows.Next() {
		var k Key
		var models string
		var period, created, expires, revoked int64
		if err := rows.Scan(&k.ID, &k.Name, &k.Digest, &k.Pepper, &k.Tenant, &k.Project, &k.Tier, &models,
			&k.Budget.Amount, &period, &created, &expires, &revoked); err != nil {
			return nil, fmt.Errorf("sqlite: %w", err)
		}
		if err := json.Unmarshal([]byte(models), &k.Models); err != nil {
			return nil, fmt.Errorf("sqlite: models of key %s: %w", k.ID, err)
		}
		k.Budget.Per = time.Duration(period) * time.Microsecond
		k.Created, k.Expires, k.Revoked = moment(created), moment(expires), moment(revoked)
		keys = append(keys, k)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	return keys, nil
}

// RevokeKey ends a key's life. Its row stays, so that what it did has a name.
func (s *Store) RevokeKey(ctx context.Context, id string, at time.Time) error {
	done, err := s.db.ExecContext(ctx, "UPDATE keys SET revoked = ? WHERE id = ? AND revoked = 0", micros(at), id)
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	if n, err := done.RowsAffected(); err != nil {
		return fmt.Errorf("sqlite: %w", err)
	} else if n == 0 {
		return ErrNoKey
	}
	return nil
}

// Version returns a number that grows with every change of the keys, whichever
// process makes it.
func (s *Store) Version(ctx context.Context) (int64, error) {
	var n int64
	if err := s.db.QueryRowContext(ctx, "SELECT n FROM version").Scan(&n); err != nil {
		return 0, fmt.Errorf("sqlite: %w", err)
	}
	return n, nil
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func moment(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
