// Package pgvector keeps the passages of collections in PostgreSQL, for several
// gateways at once: vectors in pgvector, and the index of words in the very segments
// that the embedded store has, which each gateway reads once and keeps.
//
// A change is one transaction. Who may read a passage and what a filter chooses is
// looked at before either search, never after: an index that is filtered afterwards
// gives whoever may read little less than there is. So vectors are scanned exactly where
// few are chosen, and an index (HNSW over one bit for each dimension, then exact
// products) goes on until it has enough where many are.
package pgvector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"headworks/internal/bm25"
	"headworks/internal/passage"
	"headworks/internal/words"
)

// schema is made once, under a lock that gateways share. Rows of passages are numbered
// within their space: those numbers are the ids in segments of words.
const schema = `
CREATE SCHEMA IF NOT EXISTS headworks;
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE IF NOT EXISTS headworks.register (kind text, id text, value bytea NOT NULL, PRIMARY KEY (kind, id));
CREATE TABLE IF NOT EXISTS headworks.spaces (
	id serial PRIMARY KEY, collection text NOT NULL, embedder text NOT NULL, dimensions int NOT NULL,
	version bigint NOT NULL DEFAULT 0, rows bigint NOT NULL DEFAULT 0, indexed boolean NOT NULL DEFAULT false,
	UNIQUE (collection, embedder));
CREATE TABLE IF NOT EXISTS headworks.documents (
	space int NOT NULL, id text COLLATE "C" NOT NULL, version bigint NOT NULL, source text NOT NULL, title text NOT NULL,
	hash bytea NOT NULL, bytes bigint NOT NULL, passages int NOT NULL, attributes jsonb, readers text[] NOT NULL,
	added timestamptz NOT NULL, gone timestamptz, PRIMARY KEY (space, id, version));
CREATE TABLE IF NOT EXISTS headworks.passages (
	space int NOT NULL, row bigint NOT NULL, document text COLLATE "C" NOT NULL, id bytea NOT NULL, ordinal int NOT NULL,
	title text NOT NULL, path text NOT NULL, text text NOT NULL, start int NOT NULL, stop int NOT NULL, tokens int NOT NULL,
	vector vector, attributes jsonb, readers text[] NOT NULL, PRIMARY KEY (space, row));
CREATE INDEX IF NOT EXISTS passages_by_document ON headworks.passages (space, document);
CREATE TABLE IF NOT EXISTS headworks.segments (
	space int NOT NULL, id bigserial, rows int NOT NULL, body bytea NOT NULL, PRIMARY KEY (space, id));`

// schemaLock keeps two gateways from making the schema at once.
const schemaLock = 0x6865616477

// Bounds and thresholds.
const (
	keptSegments = 512 << 20 // bytes of segments that a process keeps
	keptMasks    = 256       // answers to who may read what
	mostSegments = 16        // of a space, before some are merged
	merged       = 12        // the smallest of them
	// exactUpTo is how many vectors are scanned whole; beyond that an index is made, and
	// used where at least this share of them is chosen.
	exactUpTo  = 10_000
	indexShare = 0.05
)

// Store is a knowledge.Store and a knowledge.Register.
type Store struct {
	pool *pgxpool.Pool

	mu       sync.Mutex
	segments bm25.Kept[segmentKey]
	masks    map[maskKey]*roaring.Bitmap
}

type segmentKey struct {
	space int32
	id    int64
}

type maskKey struct {
	space    int32
	version  int64
	audience string
	filter   string
}

// Open opens the store of a PostgreSQL, by its URL, and makes what it needs there. Its
// errors hold no password.
func Open(ctx context.Context, url string) (*Store, error) {
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the URL of PostgreSQL is not valid; write postgres://user:password@host:5432/database")
	}
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL: %w", err)
	}
	s := &Store{pool: pool, segments: bm25.Kept[segmentKey]{Most: keptSegments}, masks: map[maskKey]*roaring.Bitmap{}}
	if err := s.prepare(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) prepare(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(schemaLock)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, schema)
		return err
	})
	if err != nil {
		return fmt.Errorf("PostgreSQL: making the tables (the extension vector, 0.8 or later, has to be there): %w", err)
	}
	return nil
}

// Close lets go of the connections.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

// Get implements knowledge.Register.
func (s *Store) Get(ctx context.Context, kind string, yield func(id string, value []byte) error) error {
	rows, err := s.pool.Query(ctx, `SELECT id, value FROM headworks.register WHERE kind = $1 ORDER BY id`, kind)
	if err != nil {
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	type entry struct {
		ID    string
		Value []byte
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[entry])
	if err != nil {
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	for _, e := range all {
		if err := yield(e.ID, e.Value); err != nil {
			return err
		}
	}
	return nil
}

// Set implements knowledge.Register.
func (s *Store) Set(ctx context.Context, kind, id string, value []byte) (err error) {
	if value == nil {
		_, err = s.pool.Exec(ctx, `DELETE FROM headworks.register WHERE kind = $1 AND id = $2`, kind, id)
	} else {
		_, err = s.pool.Exec(ctx, `INSERT INTO headworks.register VALUES ($1, $2, $3) ON CONFLICT (kind, id) DO UPDATE SET value = excluded.value`, kind, id, value)
	}
	if err != nil {
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	return nil
}

// room is a space as it is at one version.
type room struct {
	id      int32
	dim     int
	version int64
	rows    int64 // the number of the next one
	indexed bool
}

// at finds a space; false where nothing was ever written there.
func at(ctx context.Context, tx pgx.Tx, of passage.Space, lock string) (r room, ok bool, err error) {
	err = tx.QueryRow(ctx, `SELECT id, dimensions, version, rows, indexed FROM headworks.spaces WHERE collection = $1 AND embedder = $2`+lock, of.Collection, of.Embedder).
		Scan(&r.id, &r.dim, &r.version, &r.rows, &r.indexed)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, false, nil
	}
	return r, err == nil, err
}

// Write implements knowledge.Store. Changes of one space wait for each other.
func (s *Store) Write(ctx context.Context, of passage.Space, c passage.Change) error {
	if len(c.Put)+len(c.Set)+len(c.Remove) == 0 {
		return nil
	}
	index := false
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO headworks.spaces (collection, embedder, dimensions) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, of.Collection, of.Embedder, of.Dimensions); err != nil {
			return err
		}
		r, _, err := at(ctx, tx, of, " FOR UPDATE")
		if err != nil {
			return err
		}
		for _, id := range c.Remove {
			if err := leave(ctx, tx, r.id, id); err != nil {
				return err
			}
		}
		for i := range c.Set {
			if err := set(ctx, tx, r.id, &c.Set[i]); err != nil {
				return err
			}
		}
		first := r.rows
		for i := range c.Put {
			if err := put(ctx, tx, &r, &c.Put[i]); err != nil {
				return err
			}
		}
		if r.rows > first {
			if err := indexWords(ctx, tx, r.id, of.Words(), first, c.Put); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `UPDATE headworks.spaces SET version = version + 1, rows = $2 WHERE id = $1`, r.id, r.rows); err != nil {
			return err
		}
		index = !r.indexed && r.dim > 0 && r.rows > exactUpTo
		return s.tidy(ctx, tx, r.id)
	})
	if err == nil && index {
		err = s.indexVectors(ctx, of)
	}
	if err != nil {
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	return nil
}

// leave takes a document's passages out; what is known of its version stays.
func leave(ctx context.Context, tx pgx.Tx, space int32, id string) error {
	if _, err := tx.Exec(ctx, `DELETE FROM headworks.passages WHERE space = $1 AND document = $2`, space, id); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE headworks.documents SET gone = clock_timestamp() WHERE space = $1 AND id = $2 AND gone IS NULL`, space, id)
	return err
}

func set(ctx context.Context, tx pgx.Tx, space int32, d *passage.Document) error {
	a, err := attributes(d.Attributes)
	if err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, `UPDATE headworks.documents SET attributes = $3, readers = $4 WHERE space = $1 AND id = $2 AND gone IS NULL`, space, d.ID, a, readers(d.Readers))
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE headworks.passages SET attributes = $3, readers = $4 WHERE space = $1 AND document = $2`, space, d.ID, a, readers(d.Readers))
	return err
}

func put(ctx context.Context, tx pgx.Tx, r *room, w *passage.Whole) error {
	if err := leave(ctx, tx, r.id, w.ID); err != nil {
		return err
	}
	a, err := attributes(w.Attributes)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO headworks.documents VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, NULL)
		ON CONFLICT (space, id, version) DO UPDATE SET source = excluded.source, title = excluded.title, hash = excluded.hash, bytes = excluded.bytes,
		passages = excluded.passages, attributes = excluded.attributes, readers = excluded.readers, added = excluded.added, gone = NULL`,
		r.id, w.ID, int64(w.Version), w.Source, w.Title, w.Hash[:], w.Bytes, len(w.Passages), a, readers(w.Readers), w.Added); err != nil {
		return err
	}
	rows := make([][]any, len(w.Passages))
	for i := range w.Passages {
		p := &w.Passages[i]
		rows[i] = []any{r.id, r.rows, w.ID, p.ID[:], p.Ordinal, p.Title, p.Path, p.Text, p.Start, p.End, p.Tokens, vector(p.Vector), a, readers(w.Readers)}
		r.rows++
	}
	batch := &pgx.Batch{}
	for _, row := range rows {
		batch.Queue(`INSERT INTO headworks.passages VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::vector, $13, $14)`, row...)
	}
	return tx.SendBatch(ctx, batch).Close()
}

// indexWords writes the segment of what was put, whose rows begin with first.
func indexWords(ctx context.Context, tx pgx.Tx, space int32, in words.Language, first int64, all []passage.Whole) error {
	n := 0
	segment, err := bm25.Build(func(yield func(uint32, bm25.Terms) bool) {
		for i := range all {
			for k := range all[i].Passages {
				p := &all[i].Passages[k]
				if !yield(uint32(first)+uint32(n), in.Text(p.Indexed())) {
					return
				}
				n++
			}
		}
	})
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO headworks.segments (space, rows, body) VALUES ($1, $2, $3)`, space, n, segment.Bytes())
	return err
}

// tidy merges the smallest segments of a space where it has many, without what is gone.
func (s *Store) tidy(ctx context.Context, tx pgx.Tx, space int32) error {
	rows, err := tx.Query(ctx, `SELECT id FROM headworks.segments WHERE space = $1 ORDER BY rows, id`, space)
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || len(ids) <= mostSegments {
		return err
	}
	ids = ids[:merged]
	slices.Sort(ids) // rows ascend with the time of writing, as far as nothing was merged before
	var old []*bm25.Segment
	for _, id := range ids {
		seg, err := s.segment(ctx, tx, segmentKey{space, id})
		if err != nil {
			return err
		}
		old = append(old, seg)
	}
	live, err := allowed(ctx, tx, space, "true", nil)
	if err != nil {
		return err
	}
	next, err := bm25.Merge(func(_ int, id uint32) (uint32, bool) { return id, live.Contains(id) }, old...)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM headworks.segments WHERE space = $1 AND id = ANY($2)`, space, ids); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO headworks.segments (space, rows, body) VALUES ($1, $2, $3)`, space, next.Len(), next.Bytes())
	return err
}

// indexVectors makes the index of a space that has become large, once. Searches go on
// meanwhile.
func (s *Store) indexVectors(ctx context.Context, of passage.Space) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		r, ok, err := at(ctx, tx, of, " FOR UPDATE")
		if err != nil || !ok || r.indexed {
			return err
		}
		// Names and numbers alone are put into the text: an index takes no parameters.
		if _, err := tx.Exec(ctx, fmt.Sprintf(`CREATE INDEX passages_vectors_%d ON headworks.passages USING hnsw ((binary_quantize(vector)::bit(%d)) bit_hamming_ops) WHERE space = %d AND vector IS NOT NULL`, r.id, r.dim, r.id)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE headworks.spaces SET indexed = true WHERE id = $1`, r.id)
		return err
	})
}

// Drop implements knowledge.Store.
func (s *Store) Drop(ctx context.Context, of passage.Space) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		r, ok, err := at(ctx, tx, of, " FOR UPDATE")
		if err != nil || !ok {
			return err
		}
		for _, q := range []string{"passages", "documents", "segments"} {
			if _, err := tx.Exec(ctx, `DELETE FROM headworks.`+q+` WHERE space = $1`, r.id); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf(`DROP INDEX IF EXISTS headworks.passages_vectors_%d`, r.id)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM headworks.spaces WHERE id = $1`, r.id)
		return err
	})
	if err != nil {
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	return nil
}

// reading runs f on one state of the store, whatever is written meanwhile.
func (s *Store) reading(ctx context.Context, f func(tx pgx.Tx) error) error {
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, f)
	if err != nil {
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	return nil
}

// Search implements knowledge.Store.
func (s *Store) Search(ctx context.Context, of passage.Space, q passage.Query) (legs passage.Legs, err error) {
	if q.Text != "" {
		legs.Words = []passage.Found{}
	}
	if q.Vector != nil && of.Dimensions > 0 {
		legs.Dense = []passage.Found{}
	}
	err = s.reading(ctx, func(tx pgx.Tx) error {
		r, ok, err := at(ctx, tx, of, "")
		if err != nil || !ok {
			return err
		}
		where, args := conditions(q.Audience, q.Filter)
		mask, err := s.mask(ctx, tx, &r, q, where, args)
		if err != nil || mask.IsEmpty() {
			return err
		}
		if q.Text != "" {
			if legs.Words, err = s.byWords(ctx, tx, &r, of.Words(), q, mask); err != nil {
				return err
			}
		}
		if legs.Dense != nil {
			legs.Dense, err = byVector(ctx, tx, &r, q, mask, where, args)
		}
		return err
	})
	return legs, err
}

// mask returns the rows that a query may find.
func (s *Store) mask(ctx context.Context, tx pgx.Tx, r *room, q passage.Query, where string, args []any) (*roaring.Bitmap, error) {
	filter := ""
	if q.Filter != nil {
		b, err := json.Marshal(q.Filter)
		if err != nil {
			return nil, err
		}
		filter = string(b)
	}
	k := maskKey{r.id, r.version, q.Audience.Key(), filter}
	s.mu.Lock()
	m := s.masks[k]
	s.mu.Unlock()
	if m != nil {
		return m, nil
	}
	m, err := allowed(ctx, tx, r.id, where, args)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.masks) >= keptMasks {
		clear(s.masks)
	}
	s.masks[k] = m
	return m, nil
}

func allowed(ctx context.Context, tx pgx.Tx, space int32, where string, args []any) (*roaring.Bitmap, error) {
	rows, err := tx.Query(ctx, `SELECT row FROM headworks.passages WHERE space = $1 AND `+where, append([]any{space}, args...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	m := roaring.New()
	for rows.Next() {
		var row int64
		if err := rows.Scan(&row); err != nil {
			return nil, err
		}
		m.Add(uint32(row))
	}
	m.RunOptimize()
	return m, rows.Err()
}

// segment returns a segment of words, from memory where it was read before: one that
// was written never changes.
func (s *Store) segment(ctx context.Context, tx pgx.Tx, k segmentKey) (*bm25.Segment, error) {
	s.mu.Lock()
	seg := s.segments.Get(k)
	s.mu.Unlock()
	if seg != nil {
		return seg, nil
	}
	var body []byte
	if err := tx.QueryRow(ctx, `SELECT body FROM headworks.segments WHERE space = $1 AND id = $2`, k.space, k.id).Scan(&body); err != nil {
		return nil, err
	}
	seg, err := bm25.Open(body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments.Put(k, seg)
	return seg, nil
}

func (s *Store) byWords(ctx context.Context, tx pgx.Tx, r *room, in words.Language, q passage.Query, mask *roaring.Bitmap) ([]passage.Found, error) {
	rows, err := tx.Query(ctx, `SELECT id FROM headworks.segments WHERE space = $1 ORDER BY id`, r.id)
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, err
	}
	var all []*bm25.Segment
	for _, id := range ids {
		seg, err := s.segment(ctx, tx, segmentKey{r.id, id})
		if err != nil {
			return nil, err
		}
		all = append(all, seg)
	}
	hits := bm25.NewIndex(all...).Search(in.Question(q.Text), bm25.View{Allowed: mask}, q.N)
	if len(hits) == 0 {
		return []passage.Found{}, nil
	}
	numbers := make([]int64, len(hits))
	for i, h := range hits {
		numbers[i] = int64(h.ID)
	}
	named, err := tx.Query(ctx, `SELECT row, document, id FROM headworks.passages WHERE space = $1 AND row = ANY($2)`, r.id, numbers)
	if err != nil {
		return nil, err
	}
	refs := map[int64]passage.Ref{}
	for named.Next() {
		var row int64
		var ref passage.Ref
		var id []byte
		if err := named.Scan(&row, &ref.Document, &id); err != nil {
			return nil, err
		}
		ref.Passage = passage.ID(id)
		refs[row] = ref
	}
	if err := named.Err(); err != nil {
		return nil, err
	}
	found := make([]passage.Found, 0, len(hits))
	for _, h := range hits {
		found = append(found, passage.Found{Ref: refs[int64(h.ID)], Score: h.Score})
	}
	passage.Sort(found)
	return found, nil
}

func byVector(ctx context.Context, tx pgx.Tx, r *room, q passage.Query, mask *roaring.Bitmap, where string, args []any) ([]passage.Found, error) {
	given := append([]any{r.id}, args...)
	v := "$" + strconv.Itoa(len(given)+1)
	limit := "$" + strconv.Itoa(len(given)+2)
	base := `SELECT document, id, -(vector <#> ` + v + `::vector) AS score FROM headworks.passages WHERE space = $1 AND vector IS NOT NULL AND ` + where
	query := base + ` ORDER BY score DESC, document, id LIMIT ` + limit
	given = append(given, vector(q.Vector), q.N)
	if r.indexed && !q.Exact && float64(mask.GetCardinality()) >= indexShare*float64(r.rows) {
		// Options of the scan hold for this transaction. A plan that knows the space's
		// number can use the index, which is of that space alone.
		pool := max(200, 20*q.N)
		for _, o := range []string{"SET LOCAL hnsw.iterative_scan = strict_order", "SET LOCAL hnsw.max_scan_tuples = 100000", "SET LOCAL hnsw.scan_mem_multiplier = 4", fmt.Sprintf("SET LOCAL hnsw.ef_search = %d", min(pool, 1000))} {
			if _, err := tx.Exec(ctx, o); err != nil {
				return nil, err
			}
		}
		inner := fmt.Sprintf(`SELECT document, id, vector FROM headworks.passages WHERE space = %d AND $1::int IS NOT NULL AND vector IS NOT NULL AND %s
			ORDER BY binary_quantize(vector)::bit(%d) <~> binary_quantize(%s::vector)::bit(%d) LIMIT %d`, r.id, where, r.dim, v, r.dim, pool)
		query = `SELECT document, id, -(vector <#> ` + v + `::vector) AS score FROM (` + inner + `) AS pool ORDER BY score DESC, document, id LIMIT ` + limit
	}
	rows, err := tx.Query(ctx, query, given...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := []passage.Found{}
	for rows.Next() {
		var f passage.Found
		var id []byte
		if err := rows.Scan(&f.Document, &id, &f.Score); err != nil {
			return nil, err
		}
		f.Passage = passage.ID(id)
		found = append(found, f)
	}
	passage.Sort(found)
	return found, rows.Err()
}

// Load implements knowledge.Store.
func (s *Store) Load(ctx context.Context, of passage.Space, who passage.Audience, refs []passage.Ref, vectors bool) (all []passage.Loaded, err error) {
	var ids []string
	for _, r := range refs {
		ids = append(ids, r.Document)
	}
	err = s.reading(ctx, func(tx pgx.Tx) error {
		r, ok, err := at(ctx, tx, of, "")
		if err != nil || !ok || len(refs) == 0 {
			return err
		}
		docs, err := documents(ctx, tx, r.id, `gone IS NULL AND id = ANY($2)`, ids)
		if err != nil {
			return err
		}
		by := map[string]*passage.Document{}
		for i := range docs {
			if who.May(docs[i].Readers) {
				by[docs[i].ID] = &docs[i]
			}
		}
		column := "NULL::text"
		if vectors {
			column = "vector::text"
		}
		rows, err := tx.Query(ctx, `SELECT document, id, ordinal, title, path, text, start, stop, tokens, `+column+` FROM headworks.passages WHERE space = $1 AND document = ANY($2) ORDER BY document, ordinal`, r.id, ids)
		if err != nil {
			return err
		}
		defer rows.Close()
		passages := map[string][]passage.Passage{}
		for rows.Next() {
			var p passage.Passage
			var document string
			var id []byte
			var v *string
			if err := rows.Scan(&document, &id, &p.Ordinal, &p.Title, &p.Path, &p.Text, &p.Start, &p.End, &p.Tokens, &v); err != nil {
				return err
			}
			p.ID = passage.ID(id)
			if v != nil {
				if err := json.Unmarshal([]byte(*v), &p.Vector); err != nil {
					return err
				}
			}
			passages[document] = append(passages[document], p)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for _, ref := range refs {
			d := by[ref.Document]
			if d == nil {
				continue
			}
			for _, p := range passages[ref.Document] {
				if ref.Passage == (passage.ID{}) || ref.Passage == p.ID {
					all = append(all, passage.Loaded{Document: *d, Passage: p})
				}
			}
		}
		return nil
	})
	return all, err
}

// Documents implements knowledge.Store.
func (s *Store) Documents(ctx context.Context, of passage.Space, p passage.Page) (all []passage.Document, err error) {
	if p.IDs != nil && len(p.IDs) == 0 {
		return nil, nil
	}
	err = s.reading(ctx, func(tx pgx.Tx) error {
		r, ok, err := at(ctx, tx, of, "")
		if err != nil || !ok {
			return err
		}
		where, args := `id > $2`, []any{p.After}
		if p.IDs != nil {
			where += ` AND id = ANY($3)`
			args = append(args, p.IDs)
		}
		if !p.History {
			where += ` AND gone IS NULL`
		}
		where += ` ORDER BY id, version DESC`
		if p.N > 0 {
			where += ` LIMIT ` + strconv.Itoa(p.N)
		}
		all, err = documents(ctx, tx, r.id, where, args...)
		return err
	})
	return all, err
}

func documents(ctx context.Context, tx pgx.Tx, space int32, where string, args ...any) (all []passage.Document, err error) {
	rows, err := tx.Query(ctx, `SELECT id, version, source, title, hash, bytes, passages, attributes, readers, added, gone FROM headworks.documents WHERE space = $1 AND `+where, append([]any{space}, args...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var d passage.Document
		var version int64
		var hash, a []byte
		var gone *time.Time
		if err := rows.Scan(&d.ID, &version, &d.Source, &d.Title, &hash, &d.Bytes, &d.Passages, &a, &d.Readers, &d.Added, &gone); err != nil {
			return nil, err
		}
		d.Version, d.Hash, d.Added = uint64(version), passage.Hash(hash), d.Added.UTC()
		if gone != nil {
			d.Gone = gone.UTC()
		}
		if a != nil {
			if err := json.Unmarshal(a, &d.Attributes); err != nil {
				return nil, err
			}
		}
		all = append(all, d)
	}
	return all, rows.Err()
}

func attributes(a passage.Attributes) (any, error) {
	if a == nil {
		return nil, nil
	}
	b, err := json.Marshal(a)
	return b, err
}

// readers is never NULL: nobody is an empty list.
func readers(all []string) []string {
	if all == nil {
		return []string{}
	}
	return all
}

// vector writes a vector as pgvector reads it; NULL for none.
func vector(v []float32) any {
	if v == nil {
		return nil
	}
	b := []byte{'['}
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(x), 'g', -1, 32)
	}
	return string(append(b, ']'))
}
