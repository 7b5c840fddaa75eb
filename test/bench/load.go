package main

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"
)

// load is what is asked of a subject while it is measured.
type load struct {
	addr         string
	request      []byte
	conns        int
	ramp         time.Duration // over which the connections begin
	warm, window time.Duration // warm holds the ramp
	cpu          func() (time.Duration, error)
}

// outcome is what came of a load within its window; what went wrong is counted from
// beginning to end.
type outcome struct {
	answers, events int64
	took, cpu       time.Duration
	latencies       []time.Duration
	firsts          []time.Duration // until a stream's first event
	wrong           tally
}

// worker is a connection and what it saw. Only its counters are for others to see
// while it works.
type worker struct {
	*client
	latencies, firsts []time.Duration
	wrong             tally
}

func (l *load) workers() []*worker {
	all := make([]*worker, l.conns)
	for i := range all {
		all[i] = &worker{client: newClient(l.addr), wrong: tally{}}
	}
	return all
}

// span is the window in which requests count: those that begin and end in it. The
// first event of a stream counts without its end.
type span struct{ from, to time.Time }

// ask sends the request; due is when it was to be sent.
func (w *worker) ask(ctx context.Context, request []byte, due time.Time, counts span) {
	a, err := w.client.ask(ctx, request)
	ended := time.Now()
	switch {
	case ctx.Err() != nil: // the load was called off, and its subject perhaps ended
		return
	case err != nil:
		w.wrong.add(err)
		time.Sleep(10 * time.Millisecond) // a subject that fails at once is not asked in a spin
		return
	case due.Before(counts.from):
		return
	}
	if !a.first.IsZero() && a.first.Before(counts.to) {
		w.firsts = append(w.firsts, a.first.Sub(due))
	}
	if ended.Before(counts.to) {
		w.latencies = append(w.latencies, ended.Sub(due))
	}
}

// closed runs a closed loop: each connection asks anew when it has its answer.
func (l *load) closed(ctx context.Context) (outcome, error) {
	all := l.workers()
	began := time.Now()
	counts := span{began.Add(l.warm), began.Add(l.warm + l.window)}
	var running sync.WaitGroup
	for i, w := range all {
		running.Go(func() {
			defer w.close()
			if !sleepUntil(ctx, began.Add(l.ramp*time.Duration(i)/time.Duration(len(all)))) {
				return
			}
			for now := time.Now(); now.Before(counts.to) && ctx.Err() == nil; now = time.Now() {
				w.ask(ctx, l.request, now, counts)
			}
		})
	}
	o, err := l.observe(ctx, all, counts)
	running.Wait()
	o.collect(all)
	return o, err
}

// backlog bounds the requests that are due while every connection is busy.
const backlog = 4096

// open runs an open loop of rate requests a second: a request is due when the clock
// says so, whatever became of those before, and its time runs from there.
func (l *load) open(ctx context.Context, rate int) (outcome, error) {
	all := l.workers()
	began := time.Now()
	counts := span{began.Add(l.warm), began.Add(l.warm + l.window)}
	due := make(chan time.Time, backlog)
	overrun := tally{}
	var running sync.WaitGroup
	running.Go(func() {
		defer close(due)
		runtime.LockOSThread() // a nap holds the thread anyway
		defer runtime.UnlockOSThread()
		every := time.Second / time.Duration(rate)
		for at := began; at.Before(counts.to) && ctx.Err() == nil; at = at.Add(every) {
			if d := time.Until(at); d > 0 {
				nap(d)
			}
			select {
			case due <- at:
			default:
				overrun["not asked: the rate was not held"]++
			}
		}
	})
	for _, w := range all {
		running.Go(func() {
			defer w.close()
			for at := range due {
				w.ask(ctx, l.request, at, span{counts.from, counts.to.Add(patience)})
			}
		})
	}
	o, err := l.observe(ctx, all, counts)
	running.Wait()
	o.collect(all)
	o.wrong.merge(overrun)
	return o, err
}

// observe reads clock, counters and CPU at both ends of the window.
func (l *load) observe(ctx context.Context, all []*worker, counts span) (outcome, error) {
	o := outcome{wrong: tally{}}
	if !sleepUntil(ctx, counts.from) {
		return o, ctx.Err()
	}
	before, err := l.look(all)
	if err != nil {
		return o, err
	}
	if !sleepUntil(ctx, counts.to) {
		return o, ctx.Err()
	}
	after, err := l.look(all)
	o.answers, o.events = after.answers-before.answers, after.events-before.events
	o.took, o.cpu = after.at.Sub(before.at), after.cpu-before.cpu
	return o, err
}

// sight is what stands at one moment.
type sight struct {
	at              time.Time
	cpu             time.Duration
	answers, events int64
}

func (l *load) look(all []*worker) (s sight, err error) {
	if l.cpu != nil {
		s.cpu, err = l.cpu()
	}
	for _, w := range all {
		s.answers += w.answers.Load()
		s.events += w.client.events.Load()
	}
	s.at = time.Now()
	return s, err
}

func (o *outcome) collect(all []*worker) {
	for _, w := range all {
		o.latencies = append(o.latencies, w.latencies...)
		o.firsts = append(o.firsts, w.firsts...)
		o.wrong.merge(w.wrong)
	}
}

// hold opens l.conns streams over l.ramp and leaves them open until release, which
// tells how many were. It returns once each has its first event, or has failed.
func (l *load) hold(ctx context.Context) (release func() (open int, wrong tally)) {
	ctx, cancel := context.WithCancel(ctx)
	var running, opening sync.WaitGroup
	results := make([]error, l.conns)
	began := time.Now()
	for i := range results {
		opening.Add(1)
		running.Go(func() {
			opened := sync.OnceFunc(opening.Done)
			defer opened()
			if sleepUntil(ctx, began.Add(l.ramp*time.Duration(i)/time.Duration(l.conns))) {
				results[i] = holdOne(ctx, l.addr, l.request, opened)
			}
		})
	}
	opening.Wait()
	return func() (open int, wrong tally) {
		cancel()
		running.Wait()
		wrong = tally{}
		for _, err := range results {
			if err == nil {
				open++
			}
			wrong.add(err)
		}
		return open, wrong
	}
}

var errLeft = errors.New("a stream that ended before it was left")

// holdOne opens a stream and reads it until ctx ends, which is when it leaves. It
// is an error if the stream ends before that.
func holdOne(ctx context.Context, addr string, request []byte, opened func()) error {
	c := newClient(addr)
	c.opened = opened
	if err := c.open(ctx); err != nil {
		return err
	}
	nc := c.nc
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	_, err := c.ask(ctx, request)
	c.close()
	if ctx.Err() != nil {
		return nil
	}
	if err == nil {
		return errLeft
	}
	return err
}

// sleepUntil reports whether the time came before the end of ctx.
func sleepUntil(ctx context.Context, t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
