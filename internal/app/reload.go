package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"headworks/internal/api/admin"
	"headworks/internal/config"
	"headworks/internal/engine"
	"headworks/internal/fault"
)

// Reload reads the configuration again and takes it into use, whole; a file with
// a problem changes nothing, and the last good one stays.
func (a *App) Reload(context.Context) (admin.Reloaded, error) {
	a.reload.Lock()
	defer a.reload.Unlock()
	if a.options.Read == nil {
		return admin.Reloaded{}, fault.New(fault.InvalidRequest, "this instance runs without a configuration file; start one with headworks serve --config")
	}
	a.seen = stamp(a.options.File)
	next, report := a.options.Read()
	if err := report.Err(); err != nil {
		return a.refuse(report.Text(fmt.Sprint("still serving generation ", a.generation())), err, report.Problems)
	}
	if p := config.Guard(a.config, next); p != nil {
		return a.refuse(p.Error(), p, []config.Problem{*p})
	}
	changes := config.Diff(a.config, next)
	r := admin.Reloaded{Changes: append([]string{}, config.Summary(changes)...), Restart: config.Restart(config.Diff(a.options.Config, next))}
	for _, p := range report.Problems {
		r.Warnings = append(r.Warnings, p.Error())
	}
	if len(changes) > 0 {
		if err := a.use(next); err != nil {
			return a.refuse(err.Error(), err, nil)
		}
		a.alarms.happened("config", fmt.Sprintf("generation %d is taken over: %s", a.generation(), strings.Join(r.Changes, "; ")))
		a.log.Info("the configuration is taken over", "generation", a.generation(), "changes", r.Changes)
	}
	if len(r.Restart) > 0 && !slices.Equal(r.Restart, a.restart) {
		a.log.Warn("only a restart takes these over", "fields", r.Restart)
	}
	a.notTaken.Store(nil)
	a.restart = r.Restart
	r.Generation, r.Config = a.generation(), a.gateway.World().Config
	return r, nil
}

// refuse keeps the configuration that is in use, and says why.
func (a *App) refuse(words string, cause error, problems []config.Problem) (admin.Reloaded, error) {
	a.refused.Add(1)
	a.notTaken.Store(new(cause.Error()))
	a.alarms.happened("config", "a configuration is not taken over")
	args := []any{"generation", a.generation(), "cause", cause.Error()}
	if len(problems) > 0 {
		args = append(args, "problems", problems)
	}
	a.log.Error("the configuration is not taken over; the last good one stays", args...)
	return admin.Reloaded{}, fault.Wrap(fault.InvalidRequest, words, cause)
}

func (a *App) generation() uint64 { return a.gateway.World().Fleet.Generation }

// settled is how long a file is left alone before it counts as written.
const settled = 200 * time.Millisecond

// watch reloads when the file changes, until ctx ends. The folder is watched,
// since editors and Kubernetes replace files. Where that cannot be, the log says so
// and nothing ends.
func (a *App) watch(ctx context.Context) {
	const unwatched = "changes of the configuration are not noticed; SIGHUP and headworks reload take them over"
	w, err := fsnotify.NewWatcher()
	if err != nil { // the user's inotify instances are spent, say
		a.log.Warn(unwatched, "cause", err.Error())
		return
	}
	defer w.Close()
	if err := w.Add(filepath.Dir(a.options.File)); err != nil {
		a.log.Warn(unwatched, "cause", err.Error())
		return
	}
	calm := time.NewTimer(settled) // the file may have changed before anybody watched
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-w.Events:
			if !ok {
				return
			}
			if a.changed() {
				calm.Reset(settled)
			}
		case err, ok := <-w.Errors:
			if !ok {
				return
			}
			a.log.Warn("changes of the configuration may be missed; SIGHUP reloads it", "cause", err.Error())
		case <-calm.C:
			if a.changed() {
				_, _ = a.Reload(ctx) // says in the log what is wrong
			}
		}
	}
}

// stamp returns what tells one content of a file from another, as far as that is
// cheap; nil where there is no file.
func stamp(file string) os.FileInfo {
	i, err := os.Stat(file) // through links: Kubernetes swaps those
	if err != nil {
		return nil
	}
	return i
}

// changed reports whether the file is there, and not as it was when it was last
// read.
func (a *App) changed() bool {
	a.reload.Lock()
	was := a.seen
	a.reload.Unlock()
	is := stamp(a.options.File)
	return is != nil && !same(was, is)
}

// sweeps is how often idle connections to upstreams are looked at.
const sweeps = 15 * time.Second

// upkeep closes what nobody used for a while, until ctx ends.
func (a *App) upkeep(ctx context.Context) {
	tick := time.NewTicker(sweeps)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, e := range a.gateway.World().Engines {
				if h, ok := e.(*engine.HTTP); ok {
					h.Sweep(now)
				}
			}
		}
	}
}
