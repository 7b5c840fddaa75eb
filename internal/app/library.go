package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"headworks/internal/alert"
	"headworks/internal/api/admin"
	"headworks/internal/cache"
	"headworks/internal/config"
	"headworks/internal/engine/lexical"
	"headworks/internal/fault"
	"headworks/internal/format"
	"headworks/internal/knowledge"
	"headworks/internal/knowledge/golden"
	"headworks/internal/knowledge/segment"
	"headworks/internal/passage"
	"headworks/internal/relevance"
	"headworks/internal/source"
	"headworks/internal/store/pgvector"
	"headworks/internal/store/sqlite"
	"headworks/internal/store/weaviate"
)

// library is the collections of documents in a data folder.
type library struct {
	knowledge *knowledge.Knowledge
	register  knowledge.Register
	segments  *segment.Store // nil: the passages are with a server
	shelf     io.Closer      // where they are
	reader    *format.Reader
	files     *os.Root
	follows   bool // collections follow their sources here
	log       *slog.Logger
}

const (
	libraryFolder  = "knowledge" // where collections lie in the data folder
	compiledFolder = "compiled"  // and what reading PDF needs, which may be thrown away
)

// openLibrary opens the collections of a data folder, or of the server that keeps them.
func openLibrary(ctx context.Context, dir string, at config.Knowledge, e knowledge.Embedders, r knowledge.Reranker, bump func(string) error, log *slog.Logger) (l *library, err error) {
	l = &library{reader: format.New(format.Default()), log: log}
	l.reader.KeepIn(filepath.Join(dir, compiledFolder))
	var store knowledge.Store
	switch {
	case !at.Postgres.Empty():
		far, err := pgvector.Open(ctx, at.Postgres.Reveal())
		if err != nil {
			return nil, errors.Join(err, l.reader.Close())
		}
		store, l.register, l.shelf = far, far, far
	case at.Weaviate != "":
		far, err := weaviate.Open(ctx, at.Weaviate, at.WeaviateKey)
		if err != nil {
			return nil, errors.Join(err, l.reader.Close())
		}
		store, l.register, l.shelf = far, far, far
	default:
		if l.segments, err = segment.Open(ctx, filepath.Join(dir, libraryFolder), log); err != nil {
			return nil, errors.Join(err, l.reader.Close())
		}
		store, l.register, l.shelf = l.segments, l.segments, l.segments
	}
	files := filepath.Join(dir, libraryFolder, "files")
	if err = os.MkdirAll(files, 0o700); err == nil {
		l.files, err = os.OpenRoot(files)
	}
	if err == nil {
		l.knowledge, err = knowledge.Open(ctx, knowledge.Options{
			Store: store, Register: l.register, Embedders: e, Reader: l.reader, Sources: places{}, Files: l.files, Reranker: r, Bump: bump, Promote: l.promote, Log: log,
		})
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// promote keeps a collection's vectors where those of another embedder lose too much of
// what its golden set asks for. One without a set is moved as it is.
func (l *library) promote(ctx context.Context, c *knowledge.Collection, _ passage.Identity) error {
	set, err := l.golden().Load(ctx, c.ID)
	if err != nil {
		if fault.Of(err).Kind == fault.NotFound {
			return nil
		}
		return err
	}
	measure := func(next bool) (*golden.Report, error) {
		return golden.Evaluate(ctx, set, func(ctx context.Context, question string) (knowledge.Answer, error) {
			return l.knowledge.SearchAs(ctx, knowledge.ByOperator(), passage.Operator(), []string{c.ID}, knowledge.Query{Text: question, K: relevance.Depth, Fold: true, Next: next})
		})
	}
	is, err := measure(false)
	if err != nil {
		return err
	}
	next, err := measure(true)
	if err != nil {
		return err
	}
	if v := golden.Judge(is, next); !v.Promoted {
		return fault.New(fault.InvalidRequest, v.Why)
	}
	return nil
}

// tidies is how often segments are looked at.
const tidies = 2 * time.Second

// run takes in files that are attached, and tidies up, until ctx ends.
func (l *library) run(ctx context.Context) {
	var taking sync.WaitGroup
	taking.Go(func() { l.knowledge.Run(ctx) })
	if l.follows {
		taking.Go(func() { l.follow(ctx) })
	}
	defer taking.Wait()
	tick := time.NewTicker(tidies)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var err error
		if l.segments != nil {
			_, err = l.segments.Tidy(ctx, time.Now())
		} else {
			err = l.knowledge.Refresh(ctx)
		}
		err = errors.Join(err, l.knowledge.Expired(ctx))
		if failing != (err != nil) && ctx.Err() == nil {
			failing = err != nil
			if failing {
				l.log.Error("collections cannot be looked after; searches go on", "cause", err.Error())
			} else {
				l.log.Info("collections are looked after again")
			}
		}
	}
}

// watched returns how far behind its source the collection is that is furthest behind,
// and the least recall.
func (l *library) watched(now time.Time) (behind time.Duration, recall float64) {
	recall = 1
	for _, c := range l.knowledge.List(knowledge.ByOperator()) {
		b, _ := c.Late(now)
		behind = max(behind, b)
		if r, known := l.recall(c.Space()); known {
			recall = min(recall, r)
		}
	}
	return behind, recall
}

// recall returns what share of the nearest vectors searches of a space find, where that
// is measured.
func (l *library) recall(of passage.Space) (r float64, known bool) {
	if l.segments == nil {
		return 0, false
	}
	return l.segments.Recall(of)
}

// leastRecall is below which an operator is told: searches compare exactly by then.
const leastRecall = 0.95

// library says what is wrong with collections.
func (c *conditions) library(l *library) {
	for _, of := range l.knowledge.List(knowledge.ByOperator()) {
		scope := map[string]string{"signal": "knowledge", "collection": cmp.Or(of.Name, of.ID)}
		if behind, late := of.Late(c.now); late {
			c.raise(alert.Ticket, "knowledge:behind:"+of.ID, fmt.Sprintf("the collection %s is %s behind its source", scope["collection"], behind.Round(time.Second)),
				cmp.Or(of.Sync.Trouble, "its synchronisation takes longer than the time between two"), "headworks knowledge sync "+of.ID, scope)
		}
		if r, known := l.recall(of.Space()); known && r < leastRecall {
			c.raise(alert.Ticket, "knowledge:recall:"+of.ID, fmt.Sprintf("searches of the collection %s find %.0f %% of the nearest vectors", scope["collection"], 100*r),
				"its vectors lie so that a bit a dimension does not tell them apart; all are compared now, which takes longer", "headworks knowledge list --json", scope)
		}
	}
}

// follows is how often it is asked which collections are to be synchronised.
const follows = time.Second

// follow synchronises collections and moves them to other embedders until ctx ends.
func (l *library) follow(ctx context.Context) {
	tick := time.NewTicker(follows)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.knowledge.Due(ctx)
		l.knowledge.Move(ctx)
	}
}

// Close lets go of the folder.
func (l *library) Close() error {
	err := errors.Join(l.shelf.Close(), l.reader.Close())
	if l.files != nil {
		err = errors.Join(err, l.files.Close())
	}
	return err
}

func (l *library) golden() *golden.Sets {
	return &golden.Sets{Register: l.register, Knowledge: l.knowledge}
}

func (l *library) surface() *admin.Library {
	return &admin.Library{Knowledge: l.knowledge, Golden: l.golden(), Sources: places{}}
}

// ErrLibraryInUse says that another process has the collections of a data folder.
var ErrLibraryInUse = segment.ErrInUse

// Library answers for the collections of a data folder that no instance has. The error
// is ErrLibraryInUse where one has it.
func Library(ctx context.Context, dir string, log io.Writer) (http.Handler, io.Closer, error) {
	logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	l, err := openLibrary(ctx, dir, config.Knowledge{}, alone{}, nil, epochs{filepath.Join(dir, storeFile)}.bump, logger)
	if err != nil {
		return nil, nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	w := &working{library: l, stop: stop}
	w.loops.Go(func() { l.run(ctx) })
	return l.surface().Handler(logger), w, nil
}

// epochs are those of a data folder that no instance has: what is kept elsewhere of a
// collection, in a store that gateways share, is out of reach for the next instance.
type epochs struct{ file string }

func (e epochs) bump(collection string) error {
	s, err := sqlite.Open(context.Background(), e.file)
	if err != nil {
		return err
	}
	is := uint64(0)
	kind := cache.Knowledge.String()
	err = s.LoadEpochs(context.Background(), func(k, name string, n uint64) {
		if k == kind && name == collection {
			is = n
		}
	})
	if err == nil {
		err = s.SaveEpoch(context.Background(), kind, collection, is+1)
	}
	return errors.Join(err, s.Close())
}

// working is a library whose loops run.
type working struct {
	*library
	stop  context.CancelFunc
	loops sync.WaitGroup
}

// Close ends the loops and lets go of the folder.
func (w *working) Close() error {
	w.stop()
	w.loops.Wait()
	return w.library.Close()
}

// alone are the embedders of a process that has no upstreams.
type alone struct{}

// Identity implements knowledge.Embedders.
func (alone) Identity(_ context.Context, name string) (passage.Identity, error) {
	if name == knowledge.Lexical {
		return passage.Identity{Provider: knowledge.Lexical, Model: lexical.Model, Dim: lexical.Dimensions, Normalise: true}, nil
	}
	return passage.Identity{}, needsInstance()
}

func needsInstance() error {
	return fault.New(fault.InvalidRequest, "an upstream makes the vectors of this collection, so an instance has to run: start it with headworks serve, and the command asks it")
}

// Embed implements knowledge.Embedders.
func (alone) Embed(ctx context.Context, by passage.Identity, t knowledge.Texts) ([][]float32, error) {
	if by.Provider != knowledge.Lexical {
		return nil, needsInstance()
	}
	if by.Model != lexical.Model {
		return nil, fault.New(fault.InvalidRequest, "the vectors of this collection were made by "+by.Model+", which this version does not have; make it anew")
	}
	all := make([][]float32, len(t.Of))
	for i, text := range t.Of {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		all[i] = lexical.Vector(text, by.Dim)
	}
	return all, nil
}

// places makes items of what is at a place, see source.Named. The keys of stores that
// speak S3 are taken from the environment, as others do.
type places struct{}

// Items implements knowledge.Sources.
func (places) Items(ctx context.Context, p knowledge.Place) (iter.Seq2[knowledge.Item, error], string, func(), error) {
	from := p.From
	if !strings.Contains(from, "://") {
		path, err := filepath.Abs(from)
		if err != nil {
			return nil, "", nil, fault.Wrap(fault.InvalidRequest, "there is nothing at "+from, err)
		}
		from = path
	}
	key := os.Getenv("AWS_ACCESS_KEY_ID")
	if key != "" {
		key += ":" + os.Getenv("AWS_SECRET_ACCESS_KEY")
		if session := os.Getenv("AWS_SESSION_TOKEN"); session != "" {
			key += ":" + session
		}
	}
	s, end, err := source.Named(from, source.Options{
		Ignore: p.Ignore, Hosts: p.Hosts, Endpoint: p.Endpoint, Region: cmp.Or(p.Region, os.Getenv("AWS_REGION")), Key: key,
	})
	if err != nil {
		return nil, "", nil, err
	}
	under := from
	switch s.(type) {
	case source.Folder:
		under = strings.TrimRight(from, "/") + "/"
	case *source.S3:
		bucket, _, _ := strings.Cut(strings.TrimPrefix(from, "s3://"), "/")
		under = "s3://" + bucket + "/"
	}
	return itemsOf(ctx, s, under), under, end, nil
}

// itemsOf returns what a source lists. What it lists by a URL has that as its source.
func itemsOf(ctx context.Context, s source.Source, under string) iter.Seq2[knowledge.Item, error] {
	return func(yield func(knowledge.Item, error) bool) {
		for i, err := range s.List(ctx) {
			item := knowledge.Item{Name: i.Name, ID: "", Source: under + i.ID, Size: i.Size, Version: i.Version, Modified: i.Modified}
			switch s.(type) {
			case source.File:
				item.Source = under
			case source.Sitemap, source.Pages:
				item.Source = i.ID
			}
			if i.Name != i.ID {
				item.Named = i.ID
			}
			item.Open = func(ctx context.Context, have string) (*knowledge.Content, error) {
				c, err := s.Open(ctx, i, have)
				switch {
				case errors.Is(err, source.ErrUnchanged):
					return nil, knowledge.ErrUnchanged
				case errors.Is(err, source.ErrGone):
					return nil, knowledge.ErrGone
				case err != nil:
					return nil, err
				}
				return &knowledge.Content{Body: c.Body, Name: c.Name, Media: c.Media, Version: c.Version, Size: c.Size}, nil
			}
			if !yield(item, err) {
				return
			}
		}
	}
}

// inUse says who has the collections of a data folder.
func inUse(dir string, err error) error {
	if errors.Is(err, segment.ErrInUse) {
		return fmt.Errorf("the collections in %s are in use by another process: an instance, or a headworks knowledge command; wait for its end, or choose another folder with --data", cmp.Or(dir, "the data folder"))
	}
	return err
}
