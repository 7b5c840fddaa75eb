package segment

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver

	"headworks/internal/passage"
)

// migrations bring the data file from version to version, the first from nothing to
// 1. One that was released is never changed.
var migrations = []string{
	`CREATE TABLE spaces (
		id         INTEGER PRIMARY KEY AUTOINCREMENT,
		collection TEXT NOT NULL,
		embedder   TEXT NOT NULL,
		dimensions INTEGER NOT NULL,
		epoch      INTEGER NOT NULL DEFAULT 0, -- one more with each change
		next       INTEGER NOT NULL DEFAULT 0, -- id of the next row in the indices
		UNIQUE (collection, embedder, dimensions)
	) STRICT;
	CREATE TABLE segments (
		id      INTEGER PRIMARY KEY AUTOINCREMENT,
		space   INTEGER NOT NULL,
		name    TEXT NOT NULL UNIQUE,
		base    INTEGER NOT NULL,           -- id of its first row in the indices
		rows    INTEGER NOT NULL,
		dead    INTEGER NOT NULL DEFAULT 0, -- of them
		bytes   INTEGER NOT NULL,
		created INTEGER NOT NULL,           -- us since 1970
		died    INTEGER NOT NULL DEFAULT 0  -- when the first of its rows did; 0: none
	) STRICT;
	CREATE INDEX segments_by_space ON segments (space);
	CREATE TABLE documents (
		n          INTEGER PRIMARY KEY,
		space      INTEGER NOT NULL,
		id         TEXT NOT NULL,
		version    INTEGER NOT NULL,
		hash       BLOB NOT NULL,
		source     TEXT NOT NULL,
		title      TEXT NOT NULL,
		bytes      INTEGER NOT NULL,
		passages   INTEGER NOT NULL,
		attributes TEXT NOT NULL,              -- JSON object
		readers    TEXT NOT NULL,              -- JSON array
		added      INTEGER NOT NULL,           -- us since 1970
		gone       INTEGER NOT NULL DEFAULT 0, -- 0: it is current
		removed    INTEGER NOT NULL DEFAULT 0, -- 1: not followed by another version
		segment    INTEGER NOT NULL,           -- that holds it; 0: none
		first      INTEGER NOT NULL            -- of its rows there
	) STRICT;
	CREATE UNIQUE INDEX current_documents ON documents (space, id) WHERE gone = 0;
	CREATE INDEX documents_by_id ON documents (space, id, version);
	CREATE INDEX documents_by_segment ON documents (segment, first) WHERE segment != 0;
	CREATE TABLE register (
		kind  TEXT NOT NULL,
		id    TEXT NOT NULL,
		value BLOB NOT NULL,
		PRIMARY KEY (kind, id)
	) STRICT, WITHOUT ROWID;`,
	`ALTER TABLE spaces ADD COLUMN language TEXT NOT NULL DEFAULT ''`,
}

// busyFor is how long a statement waits for another connection.
const busyFor = 5 * time.Second

func openData(ctx context.Context, path string) (*sql.DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// SQLite would take the umask's word for the mode; its other files follow this one.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	f.Close()
	options := url.Values{
		"_pragma": {fmt.Sprintf("busy_timeout(%d)", busyFor.Milliseconds()), "journal_mode(WAL)", "synchronous(FULL)", "trusted_schema(OFF)", "secure_delete(ON)"},
		"_txlock": {"immediate"},
	}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: options.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(8)
	if err := migrate(ctx, db); err != nil {
		return nil, fmt.Errorf("%s: %w", path, errors.Join(err, db.Close()))
	}
	return db, nil
}

// migrate brings the file to the newest version, whole or not at all.
func migrate(ctx context.Context, db *sql.DB) error {
	return within(ctx, db, func(tx *sql.Tx) error {
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

func within(ctx context.Context, db *sql.DB, do func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
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

// told returns the attributes and readers of a document as they are kept.
func told(d *passage.Document) (attributes, readers string, err error) {
	a, err := json.Marshal(d.Attributes)
	if err != nil {
		return "", "", err
	}
	if d.Attributes == nil {
		a = []byte("{}")
	}
	r, err := json.Marshal(d.Readers)
	if err != nil {
		return "", "", err
	}
	if d.Readers == nil {
		r = []byte("[]")
	}
	return string(a), string(r), nil
}

const documentColumns = "id, version, hash, source, title, bytes, passages, attributes, readers, added, gone"

func scanDocument(row interface{ Scan(to ...any) error }, also ...any) (d passage.Document, err error) {
	var hash []byte
	var attributes, readers string
	var added, gone int64
	to := []any{&d.ID, &d.Version, &hash, &d.Source, &d.Title, &d.Bytes, &d.Passages, &attributes, &readers, &added, &gone}
	if err := row.Scan(append(to, also...)...); err != nil {
		return d, err
	}
	copy(d.Hash[:], hash)
	d.Added, d.Gone = moment(added), moment(gone)
	if err := json.Unmarshal([]byte(attributes), &d.Attributes); err != nil {
		return d, err
	}
	if len(d.Attributes) == 0 {
		d.Attributes = nil
	}
	return d, json.Unmarshal([]byte(readers), &d.Readers)
}

func documents(ctx context.Context, db *sql.DB, query string, args ...any) (all []passage.Document, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		d, err := scanDocument(rows)
		if err != nil {
			return nil, fmt.Errorf("segment: %w", err)
		}
		all = append(all, d)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	return all, nil
}

// placed is a document, and where its rows are.
type placed struct {
	doc     passage.Document
	segment int64
	first   int
}

// place returns the current version of a document; nil where there is none.
func (s *Store) place(ctx context.Context, space int64, id string) (*placed, error) {
	p := &placed{}
	var err error
	p.doc, err = scanDocument(s.db.QueryRowContext(ctx, "SELECT "+documentColumns+", segment, first FROM documents WHERE space = ? AND id = ? AND gone = 0", space, id), &p.segment, &p.first)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("segment: %w", err)
	}
	return p, nil
}

// next returns the id of the next row in the indices of a space: no row had it before.
func (s *Store) next(ctx context.Context, space int64) (uint32, error) {
	var next int64
	if err := s.db.QueryRowContext(ctx, "SELECT next FROM spaces WHERE id = ?", space).Scan(&next); err != nil {
		return 0, fmt.Errorf("segment: %w", err)
	}
	if next > math.MaxUint32/2 {
		return 0, errors.New("segment: the collection has used up its row numbers; make it anew")
	}
	return uint32(next), nil
}

// segmentIn names the segment that is new.
func (d *delta) segmentIn(ctx context.Context, tx *sql.Tx, space int64, rows int, size, now int64) error {
	if _, err := tx.ExecContext(ctx, "UPDATE spaces SET next = ? WHERE id = ?", int64(d.base)+int64(rows), space); err != nil {
		return err
	}
	made, err := tx.ExecContext(ctx, "INSERT INTO segments (space, name, base, rows, bytes, created) VALUES (?, ?, ?, ?, ?, ?)", space, d.name, d.base, rows, size, now)
	if err != nil {
		return err
	}
	d.segment, err = made.LastInsertId()
	return err
}

// retirement ends the current versions of documents, and puts others in their place.
type retirement struct {
	space, now        int64
	end, note, insert *sql.Stmt
}

func newRetirement(ctx context.Context, tx *sql.Tx, space, now int64) (r *retirement, err error) {
	r = &retirement{space: space, now: now}
	for to, query := range map[**sql.Stmt]string{
		// What a removed document was called is nobody's business any more.
		&r.end: `UPDATE documents SET gone = ?1, removed = ?2,
			title = iif(?2, '', title), attributes = iif(?2, '{}', attributes) WHERE space = ?3 AND id = ?4 AND gone = 0 RETURNING segment, first, passages`,
		&r.note: "UPDATE segments SET died = iif(died = 0, ?, died), dead = dead + ? WHERE id = ?",
		&r.insert: `INSERT INTO documents
			(space, id, version, hash, source, title, bytes, passages, attributes, readers, added, segment, first)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
	} {
		if *to, err = tx.PrepareContext(ctx, query); err != nil { //nolint:sqlclosecheck // close does
			r.close()
			return nil, err
		}
	}
	return r, nil
}

func (r *retirement) one(ctx context.Context, id string, removed bool, d *delta) error {
	var at spot
	var rows int
	err := r.end.QueryRowContext(ctx, r.now, removed, r.space, id).Scan(&at.segment, &at.first, &rows)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil && at.segment != 0 {
		d.ended = append(d.ended, at)
		_, err = r.note.ExecContext(ctx, r.now, rows, at.segment)
	}
	return err
}

func (r *retirement) close() {
	for _, s := range []*sql.Stmt{r.end, r.note, r.insert} {
		if s != nil {
			_ = s.Close() // the transaction ends all of them
		}
	}
}

func insertDocument(ctx context.Context, insert *sql.Stmt, space int64, d *passage.Document, segment int64, first int) error {
	attributes, readers, err := told(d)
	if err != nil {
		return err
	}
	_, err = insert.ExecContext(ctx, space, d.ID, d.Version, d.Hash[:], d.Source, d.Title, d.Bytes, d.Passages, attributes, readers, micros(d.Added), segment, first)
	return err
}

// setDocument changes attributes and readers of a document that is there.
func setDocument(ctx context.Context, tx *sql.Tx, space int64, doc *passage.Document, d *delta) error {
	attributes, readers, err := told(doc)
	if err != nil {
		return err
	}
	c := change{readers: doc.Readers, attributes: doc.Attributes}
	err = tx.QueryRowContext(ctx, "UPDATE documents SET attributes = ?, readers = ? WHERE space = ? AND id = ? AND gone = 0 RETURNING segment, first", attributes, readers, space, doc.ID).Scan(&c.segment, &c.first)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err == nil && c.segment != 0:
		d.set = append(d.set, c)
	}
	return err
}

// Get calls yield with what is registered of a kind, in order of the IDs.
func (s *Store) Get(ctx context.Context, kind string, yield func(id string, value []byte) error) error {
	rows, err := s.db.QueryContext(ctx, "SELECT id, value FROM register WHERE kind = ? ORDER BY id", kind)
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var value []byte
		if err := rows.Scan(&id, &value); err != nil {
			return fmt.Errorf("segment: %w", err)
		}
		if err := yield(id, value); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	return nil
}

// Set registers a value of a kind; nil takes it out.
func (s *Store) Set(ctx context.Context, kind, id string, value []byte) error {
	query, args := "INSERT OR REPLACE INTO register (kind, id, value) VALUES (?, ?, ?)", []any{kind, id, value}
	if value == nil {
		query, args = "DELETE FROM register WHERE kind = ? AND id = ?", args[:2]
	}
	if _, err := s.db.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	return nil
}
