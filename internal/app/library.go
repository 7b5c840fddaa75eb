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

	"headworks/internal/api/admin"
	"headworks/internal/engine/lexical"
	"headworks/internal/fault"
	"headworks/internal/format"
	"headworks/internal/knowledge"
	"headworks/internal/knowledge/golden"
	"headworks/internal/knowledge/segment"
	"headworks/internal/passage"
	"headworks/internal/source"
)

// library is the collections of documents in a data folder.
type library struct {
	knowledge *knowledge.Knowledge
	store     *segment.Store
	reader    *format.Reader
	files     *os.Root
	log       *slog.Logger
}

const (
	libraryFolder  = "knowledge" // where collections lie in the data folder
	compiledFolder = "compiled"  // and what reading PDF needs, which may be thrown away
)

func openLibrary(ctx context.Context, dir string, e knowledge.Embedders, r knowledge.Reranker, bump func(string) error, log *slog.Logger) (l *library, err error) {
	l = &library{reader: format.New(format.Default()), log: log}
	l.reader.KeepIn(filepath.Join(dir, compiledFolder))
	if l.store, err = segment.Open(ctx, filepath.Join(dir, libraryFolder), log); err != nil {
		return nil, errors.Join(err, l.reader.Close())
	}
	files := filepath.Join(dir, libraryFolder, "files")
	if err = os.MkdirAll(files, 0o700); err == nil {
		l.files, err = os.OpenRoot(files)
	}
	if err == nil {
		l.knowledge, err = knowledge.Open(ctx, knowledge.Options{
			Store: l.store, Register: l.store, Embedders: e, Reader: l.reader, Files: l.files, Reranker: r, Bump: bump, Log: log,
		})
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// tidies is how often segments are looked at.
const tidies = 2 * time.Second

// run takes in files that are attached, and tidies up, until ctx ends.
func (l *library) run(ctx context.Context) {
	var taking sync.WaitGroup
	taking.Go(func() { l.knowledge.Run(ctx) })
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
		_, err := l.store.Tidy(ctx, time.Now())
		err = errors.Join(err, l.knowledge.Expired(ctx))
		if failing != (err != nil) && ctx.Err() == nil {
			failing = err != nil
			if failing {
				l.log.Error("segments of collections cannot be merged; searches go on", "cause", err.Error())
			} else {
				l.log.Info("segments of collections can be merged again")
			}
		}
	}
}

// Close lets go of the folder.
func (l *library) Close() error {
	err := errors.Join(l.store.Close(), l.reader.Close())
	if l.files != nil {
		err = errors.Join(err, l.files.Close())
	}
	return err
}

func (l *library) surface() *admin.Library {
	return &admin.Library{Knowledge: l.knowledge, Golden: &golden.Sets{Register: l.store, Knowledge: l.knowledge}, Items: items}
}

// ErrLibraryInUse says that another process has the collections of a data folder.
var ErrLibraryInUse = segment.ErrInUse

// Library answers for the collections of a data folder that no instance has. The error
// is ErrLibraryInUse where one has it.
func Library(ctx context.Context, dir string, log io.Writer) (http.Handler, io.Closer, error) {
	logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	l, err := openLibrary(ctx, dir, alone{}, nil, nil, logger)
	if err != nil {
		return nil, nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	w := &working{library: l, stop: stop}
	w.loops.Go(func() { l.run(ctx) })
	return l.surface().Handler(logger), w, nil
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

// items returns what lies at a path of this machine.
func items(ctx context.Context, from string) (iter.Seq2[knowledge.Item, error], string, error) {
	if strings.Contains(from, "://") {
		return nil, "", fault.New(fault.Unsupported, "documents are added from a file or a folder")
	}
	path, err := filepath.Abs(from)
	if err != nil {
		return nil, "", fault.Wrap(fault.InvalidRequest, "there is nothing at "+from, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", fault.Wrap(fault.NotFound, "there is nothing at "+path+" that can be read", err)
	}
	if !info.IsDir() {
		item := knowledge.Item{
			Name: filepath.Base(path), Source: path, Size: info.Size(),
			Open: func(context.Context) (io.ReadCloser, error) { return os.Open(path) },
		}
		return func(yield func(knowledge.Item, error) bool) { yield(item, nil) }, path, nil
	}
	return itemsOf(ctx, source.Folder{Path: path}, path+"/"), path + "/", nil
}

// itemsOf returns what a source lists.
func itemsOf(ctx context.Context, s source.Source, under string) iter.Seq2[knowledge.Item, error] {
	return func(yield func(knowledge.Item, error) bool) {
		for i, err := range s.List(ctx) {
			item := knowledge.Item{Name: i.ID, Source: under + i.ID, Size: i.Size}
			item.Open = func(ctx context.Context) (io.ReadCloser, error) {
				c, err := s.Open(ctx, i, "")
				if err != nil {
					return nil, err
				}
				return c.Body, nil
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
