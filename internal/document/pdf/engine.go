// Package pdf reads the text of PDF files with PDFium, Chrome's engine, compiled to
// WebAssembly: it sees no file, no network and no memory but its own. It is started
// when the first file is read.
//
// Its errors are *fault.Error whose words go on from the name of a file.
package pdf

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/webassembly"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"headworks/internal/fault"
)

const (
	// atOnce is how many files are read at a time; each has an instance of its own.
	atOnce = 2
	// memoryPages bounds the memory of an instance, in pages of 64 KiB: 1 GiB.
	memoryPages = 16 << 10
)

// Engine reads PDF files. The zero Engine is ready; any number of goroutines may use
// one. Close it.
type Engine struct {
	Cache string // folder where the compiled engine is kept between starts; empty: nowhere

	mu       sync.Mutex
	pool     pdfium.Pool
	compiled wazero.CompilationCache
	closed   bool
}

// Close ends the engine, if it was started.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	return e.stop()
}

func (e *Engine) stop() error {
	var errs []error
	if e.pool != nil {
		errs = append(errs, e.pool.Close())
	}
	if e.compiled != nil {
		errs = append(errs, e.compiled.Close(context.Background()))
	}
	e.pool, e.compiled = nil, nil
	return errors.Join(errs...)
}

// Start starts the engine, which takes seconds where nothing compiled is kept. Who does
// not call it has that time taken from the first file's.
func (e *Engine) Start() error {
	_, err := e.started()
	return err
}

// started returns the running engine.
func (e *Engine) started() (pdfium.Pool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, fault.New(fault.Draining, "came too late: this process ends")
	}
	if e.pool != nil {
		return e.pool, nil
	}
	// The module jumps by exceptions; the end of a context ends what runs.
	config := wazero.NewRuntimeConfig().
		WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesExceptionHandling).
		WithMemoryLimitPages(memoryPages).
		WithCloseOnContextDone(true)
	if e.Cache != "" {
		if kept, err := wazero.NewCompilationCacheWithDir(e.Cache); err == nil {
			e.compiled = kept // a folder that cannot be written costs time, nothing else
			config = config.WithCompilationCache(kept)
		}
	}
	pool, err := webassembly.Init(webassembly.Config{
		MaxTotal: atOnce, MaxIdle: 1,
		FSConfig: wazero.NewFSConfig(), // no file at all
		Stdout:   io.Discard, Stderr: io.Discard,
		RuntimeConfig: config,
	})
	if err != nil {
		_ = e.stop()
		return nil, fault.Wrap(fault.Internal, "could not be read, since the engine for PDF did not start", err)
	}
	e.pool = pool
	return pool, nil
}

// with calls do with an instance of its own, and ends the instance when ctx ends.
func (e *Engine) with(ctx context.Context, do func(pdfium.Pdfium) error) error {
	pool, err := e.started()
	if err != nil {
		return err
	}
	instance, err := pool.GetInstanceWithContext(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fault.Wrap(fault.Internal, "could not be read, since the engine for PDF did not start", err)
	}
	over := make(chan struct{})
	watched := make(chan struct{})
	killed := false
	go func() {
		defer close(watched)
		select {
		case <-ctx.Done():
			killed = true
			_ = instance.Kill()
		case <-over:
		}
	}()
	err = do(instance)
	close(over)
	<-watched
	if killed {
		return ctx.Err()
	}
	_ = instance.Close()
	return err
}
