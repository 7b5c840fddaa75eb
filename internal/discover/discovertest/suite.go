// Package discovertest is the suite that every finder of replicas passes. It is for
// tests alone.
package discovertest

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"headworks/internal/discover"
	"headworks/internal/fault"
)

// Source is a finder over a source of answers that the suite can change.
type Source struct {
	Finder discover.Finder
	// Set makes these the replicas there are. Nil: the source never changes, and holds
	// Fixed.
	Set   func(replicas []discover.Replica)
	Fixed []discover.Replica
	// URL is that of a replica with a number from 1 to 250; nil is
	// http://10.0.0.N:8000.
	URL func(n int) string
	// Break makes the source fail, and Mend makes it answer again. Nil: it cannot.
	Break, Mend func()
	// Within is how long after a change it is known.
	Within time.Duration
	// Close takes the source down.
	Close func()
}

// answer is what a finder told.
type answer struct {
	found []discover.Replica
	err   error
}

// watching is a finder at work.
type watching struct {
	t    *testing.T
	last atomic.Pointer[answer]
	told atomic.Int64
	busy atomic.Bool
	stop context.CancelFunc
	done chan struct{}
}

func watch(t *testing.T, f discover.Finder) *watching {
	w := &watching{t: t, done: make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	w.stop = stop
	go func() {
		defer close(w.done)
		f.Watch(ctx, func(found []discover.Replica, err error) {
			if w.busy.Swap(true) {
				t.Error("tells twice at once")
			}
			defer w.busy.Store(false)
			if ctx.Err() != nil {
				t.Error("tells after the end")
			}
			w.last.Store(&answer{slices.Clone(found), err})
			w.told.Add(1)
		})
	}()
	return w
}

func (w *watching) end() {
	w.stop()
	<-w.done
}

// urls returns the URLs of the last answer, in order.
func (w *watching) urls() []string {
	a := w.last.Load()
	if a == nil {
		return []string{"no answer"}
	}
	if a.err != nil {
		return []string{a.err.Error()}
	}
	urls := []string{}
	for _, r := range a.found {
		urls = append(urls, r.URL)
	}
	slices.Sort(urls)
	return slices.Compact(urls)
}

func (w *watching) want(when string, replicas []discover.Replica) {
	w.t.Helper()
	want := []string{}
	for _, r := range replicas {
		want = append(want, r.URL)
	}
	slices.Sort(want)
	if got := w.urls(); !slices.Equal(got, want) {
		w.t.Errorf("%s: got %d: %.200v, want %d: %.200v", when, len(got), strings.Join(got, " "), len(want), strings.Join(want, " "))
	}
}

func (s *Source) at(numbers ...int) (all []discover.Replica) {
	for _, n := range numbers {
		u := "http://10.0.0." + strconv.Itoa(n) + ":8000"
		if s.URL != nil {
			u = s.URL(n)
		}
		all = append(all, discover.Replica{URL: u})
	}
	return all
}

// Run runs the suite, each case in a bubble of its own with a source of its own.
func Run(t *testing.T, open func(t *testing.T) Source) {
	run := func(name string, f func(t *testing.T, s Source)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t)
				defer func() {
					if s.Close != nil {
						s.Close()
					}
				}()
				f(t, s)
			})
		})
	}
	begin := func(s Source, replicas []discover.Replica) []discover.Replica {
		if s.Set == nil {
			return s.Fixed
		}
		s.Set(replicas)
		return replicas
	}

	run("tells at once, and ends", func(t *testing.T, s Source) {
		all := begin(s, s.at(1, 2))
		w := watch(t, s.Finder)
		synctest.Wait()
		w.want("at the start", all)
		w.end()
		told := w.told.Load()
		time.Sleep(time.Hour)
		if w.told.Load() != told {
			t.Error("it tells after its end")
		}
	})

	run("ends before it began", func(t *testing.T, s Source) {
		begin(s, s.at(1))
		ctx, stop := context.WithCancel(t.Context())
		stop()
		s.Finder.Watch(ctx, func([]discover.Replica, error) {}) // returns
	})

	run("two at once", func(t *testing.T, s Source) {
		all := begin(s, s.at(1))
		a, b := watch(t, s.Finder), watch(t, s.Finder)
		synctest.Wait()
		a.want("the first", all)
		b.want("the second", all)
		a.end()
		time.Sleep(2 * s.Within)
		b.want("the second, once the first ended", all)
		b.end()
	})

	run("tells what comes and goes", func(t *testing.T, s Source) {
		if s.Set == nil {
			t.Skip("it never changes")
		}
		begin(s, s.at(1))
		w := watch(t, s.Finder)
		defer w.end()
		synctest.Wait()
		for _, step := range [][]discover.Replica{s.at(1, 2), s.at(1, 2, 3), s.at(3), s.at(4, 5), s.at(1)} {
			s.Set(step)
			time.Sleep(s.Within)
			synctest.Wait()
			w.want("after a change", step)
		}
	})

	run("many", func(t *testing.T, s Source) {
		if s.Set == nil {
			t.Skip("it never changes")
		}
		var all []discover.Replica
		for i := range 250 {
			all = append(all, s.at(i+1)...)
		}
		begin(s, all)
		w := watch(t, s.Finder)
		defer w.end()
		time.Sleep(s.Within)
		synctest.Wait()
		w.want("of many", all)
	})

	run("nothing is no replica, and no failure of the finder", func(t *testing.T, s Source) {
		if s.Set == nil {
			t.Skip("it never changes")
		}
		begin(s, nil)
		w := watch(t, s.Finder)
		defer w.end()
		time.Sleep(s.Within)
		if a := w.last.Load(); a == nil || len(a.found) > 0 {
			t.Errorf("of nothing: %+v", a)
		}
		s.Set(s.at(7))
		time.Sleep(s.Within)
		synctest.Wait()
		w.want("once there is one", s.at(7))
	})

	run("a failure is told, and ends", func(t *testing.T, s Source) {
		if s.Break == nil {
			t.Skip("it cannot fail")
		}
		begin(s, s.at(1))
		w := watch(t, s.Finder)
		defer w.end()
		synctest.Wait()
		s.Break()
		time.Sleep(time.Minute)
		synctest.Wait()
		a := w.last.Load()
		f, ok := errors.AsType[*fault.Error](a.err)
		if !ok || f.Kind != fault.Connect || f.Words == "" {
			t.Errorf("a source that fails: %+v", a)
		}
		if told := w.told.Load(); told > 100 {
			t.Errorf("it was asked %d times within a minute", told)
		}
		s.Set(s.at(1, 2))
		s.Mend()
		time.Sleep(time.Minute)
		synctest.Wait()
		w.want("once it is mended", s.at(1, 2))
	})

	run("a source that is down from the start", func(t *testing.T, s Source) {
		if s.Break == nil {
			t.Skip("it cannot fail")
		}
		begin(s, s.at(1))
		s.Break()
		w := watch(t, s.Finder)
		time.Sleep(time.Minute)
		synctest.Wait()
		if a := w.last.Load(); a == nil || a.err == nil {
			t.Errorf("a source that is down: %+v", a)
		}
		w.end()
	})
}
