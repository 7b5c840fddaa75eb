// Package meter counts tokens and money exactly once, in a ledger on disk.
//
// Charge returns once the line of a request is with the operating system, before
// the terminal of its answer leaves: what a caller was told is in the ledger, also
// if the process dies the moment after. Each second the ledger is made durable
// against a loss of power. Money is in micro-USD, moments are microseconds since
// 1970 UTC, a day is a UTC day.
package meter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/journal"
	"headworks/internal/record"
)

const (
	syncEvery  = time.Second
	pruneEvery = time.Hour

	// balanceEvery is how many bytes of lines may follow a balance, or four times
	// its own size where there are many keys: it bounds what Open has to read.
	balanceEvery = 4 << 20

	// keptDays is how many days can be told apart: a month of 30 days, and one.
	keptDays = 31
)

// Line is what one request used.
type Line struct {
	ID       inference.ID
	Time     int64 // of arrival
	KeyID    string
	Tenant   string
	Model    string
	Upstream string

	Input      int64 // includes CacheRead and CacheWrite
	Output     int64 // includes Reasoning
	CacheRead  int64
	CacheWrite int64
	Reasoning  int64
	Cost       int64

	Source record.UsageSource
	End    record.End
}

// lineOf returns the line of a request. What was not measured was not used.
func lineOf(r *record.Record) Line {
	return Line{
		ID: r.ID, Time: r.Time, KeyID: r.KeyID, Tenant: r.Tenant, Model: r.Model, Upstream: r.Upstream,
		Input: max(r.Input, 0), Output: max(r.Output, 0),
		CacheRead: max(r.CacheRead, 0), CacheWrite: max(r.CacheWrite, 0), Reasoning: max(r.Reasoning, 0),
		Cost: max(r.Cost, 0), Source: r.UsageSource, End: r.End,
	}
}

// Total is a sum over lines.
type Total struct {
	Requests   int64
	Input      int64
	Output     int64
	CacheRead  int64
	CacheWrite int64
	Reasoning  int64
	Cost       int64
}

func (t *Total) add(o Total) {
	t.Requests += o.Requests
	t.Input += o.Input
	t.Output += o.Output
	t.CacheRead += o.CacheRead
	t.CacheWrite += o.CacheWrite
	t.Reasoning += o.Reasoning
	t.Cost += o.Cost
}

func (l *Line) total() Total {
	return Total{1, l.Input, l.Output, l.CacheRead, l.CacheWrite, l.Reasoning, l.Cost}
}

// Account is what a key used.
type Account struct {
	Tenant string
	KeyID  string
	Total
}

// Options bound a ledger. The zero value of a field takes its default.
type Options struct {
	Journal journal.Options // 16 MiB or a day a segment, kept for 400 days
	Log     *slog.Logger    // of what goes wrong beside requests; none
}

// Ledger is an open ledger. Its methods may be called at once from many
// goroutines.
type Ledger struct {
	log  *journal.Log
	told *slog.Logger

	// mu guards the sums, and the order in which lines and balances are staged: a
	// balance says what all lines before it come to.
	mu       sync.Mutex
	accounts accounts
	since    int // bytes of lines behind the last balance
	size     int // bytes of the last balance
	scratch  []byte
}

// Open opens the ledger in dir and reads what its keys have used. It tells what
// it had to repair, and what cannot be read any more.
func Open(dir string, o Options) (*Ledger, []journal.Repair, error) {
	o.Journal.SegmentBytes = cmp.Or(o.Journal.SegmentBytes, 16<<20)
	o.Journal.SegmentAge = cmp.Or(o.Journal.SegmentAge, 24*time.Hour)
	o.Journal.KeepAge = cmp.Or(o.Journal.KeepAge, 400*24*time.Hour)
	log, repairs, err := journal.Open(dir, o.Journal)
	if err != nil {
		return nil, nil, fmt.Errorf("meter: %w", err)
	}
	l := &Ledger{log: log, told: o.Log, accounts: accounts{}}
	if l.told == nil {
		l.told = slog.New(slog.DiscardHandler)
	}
	damage, err := l.restore()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("meter: %w", err), log.Close())
	}
	return l, append(repairs, damage...), nil
}

// Charge writes the line of a request that used tokens. It returns once the line
// is written; a *fault.Error tells that it is not. What was used counts against
// the key either way.
func (l *Ledger) Charge(r *record.Record) error {
	line := lineOf(r)
	l.mu.Lock()
	l.scratch = line.append(l.scratch[:0])
	staged, err := l.log.Stage(l.scratch)
	l.accounts.add(&line)
	l.since += len(l.scratch)
	l.mu.Unlock()
	if err == nil {
		_, err = l.log.Commit(staged)
	}
	if err != nil {
		l.unbalanced()
		return fault.Wrap(fault.BudgetUnavailable,
			"the ledger cannot be written, so nothing can be spent; the operator finds the reason in the log", err)
	}
	return nil
}

// balance stages what all lines come to, for the next Commit or Sync to write,
// unless fewer bytes of lines than that came since the last one.
func (l *Ledger) balance(unless int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since == 0 || unless > 0 && l.since < max(unless, 4*l.size) {
		return nil
	}
	l.size = 0
	for part := range l.accounts.parts() {
		if _, err := l.log.Stage(part); err != nil {
			return err
		}
		l.size += len(part)
	}
	l.since = 0
	return nil
}

// Spent returns what a key has used since the beginning of the day of that moment,
// at most 30 days back.
func (l *Ledger) Spent(tenant, keyID string, since time.Time) Total {
	l.mu.Lock()
	defer l.mu.Unlock()
	var sum Total
	if a := l.accounts[owner{tenant, keyID}]; a != nil {
		sum = a.since(dayOf(since.UnixMicro()))
	}
	return sum
}

// Accounts returns what each key has used, sorted by tenant and key: since the
// beginning of the day of that moment, at most 30 days back, or since ever if it
// is zero.
func (l *Ledger) Accounts(since time.Time) []Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Account, 0, len(l.accounts))
	for who, a := range l.accounts {
		sum := a.ever
		if !since.IsZero() {
			sum = a.since(dayOf(since.UnixMicro()))
		}
		all = append(all, Account{who.tenant, who.key, sum})
	}
	slices.SortFunc(all, func(a, b Account) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.KeyID, b.KeyID))
	})
	return all
}

// Lines returns the lines that are kept, in the order in which they were charged.
// What cannot be read is told as an error between them.
func (l *Ledger) Lines() iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		for f, err := range l.log.Frames(journal.Position{}) {
			if err == nil && isBalance(f.Payload) {
				continue
			}
			var line Line
			if err == nil {
				err = line.decode(f.Payload)
			}
			if !yield(line, err) {
				return
			}
		}
	}
}

// Run makes the ledger durable each second until ctx ends, then once more. It
// returns early where nothing can be charged any more; what else goes wrong is
// tried again, and in the log.
func (l *Ledger) Run(ctx context.Context) error {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	pruned := time.Now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return l.log.Sync()
		}
		if err := l.settle(balanceEvery); errors.Is(err, journal.ErrStopped) {
			return fmt.Errorf("meter: %w", err)
		} else if err != nil {
			l.told.Warn("the balance of the ledger cannot be written", "cause", err.Error())
		}
		now := time.Now()
		if now.Sub(pruned) < pruneEvery {
			continue
		}
		pruned = now
		if err := l.prune(now); errors.Is(err, journal.ErrStopped) {
			return fmt.Errorf("meter: %w", err)
		} else if err != nil {
			l.told.Warn("old segments of the ledger cannot be removed", "cause", err.Error())
		}
	}
}

// prune removes old segments. What their lines came to is in a balance behind
// them first.
func (l *Ledger) prune(now time.Time) error {
	if err := l.settle(0); err != nil {
		return err
	}
	_, _, err := l.log.Prune(now)
	return err
}

// settle makes the ledger durable, with a balance unless fewer bytes than that
// came since the last one.
func (l *Ledger) settle(unless int) error {
	err := errors.Join(l.balance(unless), l.log.Sync())
	if err != nil {
		l.unbalanced()
	}
	return err
}

// unbalanced notes that the last balance may be lost, so that the next one is
// written before anything is removed.
func (l *Ledger) unbalanced() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since = max(l.since, 1)
}

// Close flushes and closes the ledger. Run has ended before.
func (l *Ledger) Close() error {
	err := l.settle(0)
	return errors.Join(err, l.log.Close())
}

// restore reads the sums back: from the newest segment that holds a whole balance
// on, or everything.
func (l *Ledger) restore() (damage []journal.Repair, err error) {
	segments := l.log.Segments()
	first := len(segments)
	for first > 0 {
		first--
		b := balances{}
		for f, err := range l.log.In(segments[first].Number) {
			if err == nil && isBalance(f.Payload) {
				b.take(f.Payload)
			}
		}
		if b.whole != nil {
			break
		}
	}
	if first == len(segments) {
		return nil, nil
	}
	b := balances{}
	for f, err := range l.log.Frames(journal.Position{Segment: segments[first].Number}) {
		var line Line
		switch {
		case err != nil:
		case isBalance(f.Payload):
			if b.take(f.Payload); b.whole != nil {
				l.accounts, b.whole, l.since = b.whole, nil, 0
			}
		default:
			if err = line.decode(f.Payload); err == nil {
				l.accounts.add(&line)
				l.since += len(f.Payload)
			}
		}
		if err == nil {
			continue
		}
		d, ok := errors.AsType[*journal.Damage](err)
		if !ok && !errors.Is(err, errLine) {
			return damage, err
		}
		r := journal.Repair{File: "ledger", Reason: err.Error()}
		if ok {
			r.File = fmt.Sprintf("segment %d", d.At.Segment)
		}
		damage = append(damage, r)
	}
	return damage, nil
}
