// Package notify tells people and their tools of alerts, at least once: a letter is
// written down before it is sent, sent again until it is taken or a day has passed, and
// each has an id by which the other side may know it again.
package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"headworks/internal/alert"
)

// Sink takes letters to one place.
type Sink interface {
	// Send returns once the place has taken the letter. Its errors say what an operator
	// may read: no secret.
	Send(ctx context.Context, l *Letter) error
	Close()
}

// Letter is one notice on its way to one sink.
type Letter struct {
	ID      string       `json:"id"` // the same however often it is sent
	Sink    string       `json:"sink"`
	Notice  alert.Notice `json:"notice"`
	Written time.Time    `json:"written"`
	Seq     uint64       `json:"seq"` // order among those written at one moment
	Tries   int          `json:"tries"`
	Next    time.Time    `json:"next"` // when it is sent again
}

// Outbox keeps letters until they are taken.
type Outbox interface {
	Keep(ctx context.Context, kind, id string, body []byte) error
	Forget(ctx context.Context, kind, id string) error
}

// Kind is what letters are kept as in an Outbox.
const Kind = "letter"

// The bounds of patience.
const (
	firstPause = time.Second
	mostPause  = 5 * time.Minute
	giveUp     = 24 * time.Hour
	sendWithin = 20 * time.Second
	// maxWaiting bounds the letters of a sink that takes none; the oldest are given up.
	maxWaiting = 1000
	every      = time.Second
)

// Post sends letters.
type Post struct {
	outbox Outbox
	log    *slog.Logger

	mu      sync.Mutex
	sinks   map[string]Place
	waiting map[string]*Letter
	failing map[string]string // by sink: why the last letter was not taken
	counts  map[string]*Counts
	seq     uint64
	wake    chan struct{}
}

// Place is a sink and what it is told.
type Place struct {
	Sink
	Least alert.Severity // of alerts that it is told of
}

// Counts are those of a sink.
type Counts struct{ Sent, Failed, GivenUp uint64 }

// New returns a Post that goes on with the letters that were left over by an earlier
// process, as the outbox had them.
func New(outbox Outbox, left [][]byte, log *slog.Logger) *Post {
	p := &Post{
		outbox: outbox, log: log, wake: make(chan struct{}, 1),
		sinks: map[string]Place{}, waiting: map[string]*Letter{}, failing: map[string]string{}, counts: map[string]*Counts{},
	}
	for _, body := range left {
		var l Letter
		if err := json.Unmarshal(body, &l); err != nil {
			log.Warn("a letter of an alert cannot be read and is not sent", "cause", err.Error())
			continue
		}
		p.waiting[l.ID] = &l
	}
	return p
}

// Use replaces the sinks, by name. Letters to one that is no more are given up.
func (p *Post) Use(sinks map[string]Place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sinks {
		s.Close()
	}
	p.sinks = sinks
	for name := range p.failing {
		if _, ok := sinks[name]; !ok {
			delete(p.failing, name)
		}
	}
}

// Tell writes letters to all sinks that are to know of a notice. Of simulated alerts
// nobody is told. What cannot be written down is sent all the same, once the process
// lives on.
func (p *Post) Tell(ctx context.Context, n alert.Notice, now time.Time) {
	if n.Alert.Simulated {
		return
	}
	p.mu.Lock()
	var letters []*Letter
	for name, s := range p.sinks {
		if n.Alert.Severity < s.Least {
			continue
		}
		p.seq++
		l := &Letter{ID: fmt.Sprintf("%s/%s/%s/%d", n.Alert.ID, n.Why, name, now.UnixMilli()), Sink: name, Notice: n, Written: now, Seq: p.seq, Next: now}
		letters = append(letters, l)
	}
	p.mu.Unlock()
	for _, l := range letters {
		p.keep(ctx, l)
	}
	p.mu.Lock()
	for _, l := range letters {
		p.waiting[l.ID] = l
	}
	over := p.tooMany()
	p.mu.Unlock()
	for _, l := range over {
		p.drop(ctx, l, "too many letters wait")
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// tooMany takes out the oldest letters of sinks that have too many.
func (p *Post) tooMany() (over []*Letter) {
	by := map[string][]*Letter{}
	for _, l := range p.waiting {
		by[l.Sink] = append(by[l.Sink], l)
	}
	for _, letters := range by {
		if n := len(letters) - maxWaiting; n > 0 {
			slices.SortFunc(letters, older)
			over = append(over, letters[:n]...)
		}
	}
	for _, l := range over {
		delete(p.waiting, l.ID)
	}
	return over
}

func older(a, b *Letter) int {
	return cmp.Or(a.Written.Compare(b.Written), cmp.Compare(a.Seq, b.Seq))
}

func (p *Post) keep(ctx context.Context, l *Letter) {
	body, err := json.Marshal(l)
	if err == nil {
		err = p.outbox.Keep(ctx, Kind, l.ID, body)
	}
	if err != nil {
		p.log.Warn("a letter of an alert cannot be written down; it is lost if this process ends", "sink", l.Sink, "cause", err.Error())
	}
}

func (p *Post) forget(ctx context.Context, l *Letter) {
	if err := p.outbox.Forget(ctx, Kind, l.ID); err != nil {
		p.log.Warn("a letter of an alert may be sent again by the next process", "sink", l.Sink, "cause", err.Error())
	}
}

// Run sends what waits, until ctx ends.
func (p *Post) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			p.Use(nil)
			return
		case <-tick.C:
		case <-p.wake:
		}
		p.send(ctx, time.Now())
	}
}

// send sends what is due, each sink for itself: a slow one holds up no other.
func (p *Post) send(ctx context.Context, now time.Time) {
	p.mu.Lock()
	queues := map[string][]*Letter{}
	for _, l := range p.waiting {
		queues[l.Sink] = append(queues[l.Sink], l)
	}
	for name, letters := range queues {
		slices.SortFunc(letters, older)
		if now.Before(letters[0].Next) {
			delete(queues, name) // those behind the first keep their order
		}
	}
	sinks := p.sinks
	p.mu.Unlock()
	var sending sync.WaitGroup
	for name, letters := range queues {
		s, ok := sinks[name]
		sending.Go(func() {
			for _, l := range letters {
				if !ok {
					p.done(l)
					p.drop(ctx, l, "the sink is no more")
					continue
				}
				if !p.try(ctx, s, l, now) {
					break
				}
			}
		})
	}
	sending.Wait()
}

// try sends one letter, and reports whether the next one may follow.
func (p *Post) try(ctx context.Context, s Sink, l *Letter, now time.Time) bool {
	within, cancel := context.WithTimeout(ctx, sendWithin)
	err := s.Send(within, l)
	cancel()
	if ctx.Err() != nil && err != nil {
		return false
	}
	p.mu.Lock()
	c := p.count(l.Sink)
	if err == nil {
		c.Sent++
		delete(p.failing, l.Sink)
		delete(p.waiting, l.ID)
		p.mu.Unlock()
		p.forget(ctx, l)
		return true
	}
	c.Failed++
	l.Tries++
	p.failing[l.Sink] = err.Error()
	var refused *refusal
	old := now.Sub(l.Written) > giveUp || errors.As(err, &refused)
	if old {
		delete(p.waiting, l.ID)
	}
	pause := min(firstPause<<min(l.Tries-1, 16), mostPause)
	l.Next = now.Add(pause + rand.N(pause/4+1))
	p.mu.Unlock()
	if old {
		p.drop(ctx, l, err.Error())
		return true
	}
	p.keep(ctx, l)
	return false
}

func (p *Post) done(l *Letter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, l.ID)
}

func (p *Post) drop(ctx context.Context, l *Letter, why string) {
	p.mu.Lock()
	p.count(l.Sink).GivenUp++
	p.mu.Unlock()
	p.log.Warn("a letter of an alert is given up", "sink", l.Sink, "alert", l.Notice.Alert.ID, "title", l.Notice.Alert.Title, "tries", l.Tries, "cause", why)
	p.forget(ctx, l)
}

func (p *Post) count(sink string) *Counts {
	c := p.counts[sink]
	if c == nil {
		c = &Counts{}
		p.counts[sink] = c
	}
	return c
}

// Test sends every sink a notice at once, and returns why it was not taken; empty where
// it was.
func (p *Post) Test(ctx context.Context, n alert.Notice, now time.Time) map[string]string {
	p.mu.Lock()
	sinks := p.sinks
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, sendWithin)
	defer cancel()
	tried := make(map[string]string, len(sinks))
	for name, s := range sinks {
		tried[name] = ""
		l := &Letter{ID: fmt.Sprintf("test/%s/%d", name, now.UnixMilli()), Sink: name, Notice: n, Written: now}
		if err := s.Send(ctx, l); err != nil {
			tried[name] = err.Error()
		}
	}
	return tried
}

// Failing returns the sinks that did not take their last letter, and why.
func (p *Post) Failing() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[string]string, len(p.failing))
	maps.Copy(all, p.failing)
	return all
}

// Waiting returns how many letters wait, and what came of the others by sink.
func (p *Post) Waiting() (n int, counts map[string]Counts) {
	p.mu.Lock()
	defer p.mu.Unlock()
	counts = make(map[string]Counts, len(p.counts))
	for name, c := range p.counts {
		counts[name] = *c
	}
	return len(p.waiting), counts
}

// refusal is an error that another try does not mend.
type refusal struct{ words string }

func (r *refusal) Error() string { return r.words }
