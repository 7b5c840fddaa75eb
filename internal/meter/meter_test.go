package meter

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/journal"
	"headworks/internal/record"
)

// TestMain lets the test binary be the process that TestKill kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("HEADWORKS_METER_VICTIM"); dir != "" {
		victim(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func open(t testing.TB, dir string) *Ledger {
	t.Helper()
	l, repairs, err := Open(dir, Options{})
	if err != nil || repairs != nil {
		t.Fatalf("Open: %v, repairs %v", err, repairs)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// used returns the record of a request that used tokens.
func used(key string, at time.Time, cost int64) *record.Record {
	r := new(record.Record)
	r.Reset()
	r.ID, r.Time = inference.NewID(at, 1, uint64(cost)), at.UnixMicro()
	r.KeyID, r.Key, r.Tenant, r.Model, r.Upstream = key, "its name", "acme", "assistant", "eu-vllm"
	r.Input, r.Output, r.CacheRead, r.Reasoning, r.Cost = 100, 10, 50, 3, cost
	r.UsageSource, r.End = record.Provider, record.OK
	return r
}

func line(key string, at time.Time, cost int64) *Line {
	l := lineOf(used(key, at, cost))
	return &l
}

func charge(t testing.TB, l *Ledger, all ...*record.Record) {
	t.Helper()
	for _, r := range all {
		if err := l.Charge(r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLineOf(t *testing.T) {
	got := lineOf(used("key_1", noon, 7))
	want := Line{
		ID: inference.NewID(noon, 1, 7), Time: noon.UnixMicro(), KeyID: "key_1", Tenant: "acme",
		Model: "assistant", Upstream: "eu-vllm", Input: 100, Output: 10, CacheRead: 50, Reasoning: 3, Cost: 7,
		Source: record.Provider, End: record.OK,
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestLinesComeBack(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	all := []*record.Record{used("a", noon, 1), used("b", noon.Add(time.Second), 2), used("", noon, 3)}
	all[1].UsageSource, all[1].End = record.Estimated, record.ClientClosed
	charge(t, l, all...)
	for range 2 {
		var i int
		for got, err := range l.Lines() {
			if err != nil || i >= len(all) || got != lineOf(all[i]) {
				t.Fatalf("line %d is %+v (%v)", i, got, err)
			}
			i++
		}
		if i != len(all) {
			t.Errorf("%d lines, want %d", i, len(all))
		}
		l.Close()
		l = open(t, dir)
	}
}

func TestSpent(t *testing.T) {
	l := open(t, t.TempDir())
	day := 24 * time.Hour
	charge(t, l, used("a", noon, 1), used("a", noon.Add(-day), 10), used("a", noon.Add(-29*day), 100), used("b", noon, 1000))
	for _, c := range []struct {
		since time.Time
		want  int64
	}{
		{noon.Truncate(day), 1},
		{noon.Add(11 * time.Hour), 1}, // the whole day counts
		{noon.Add(-day), 11},
		{noon.Add(-29 * day), 111},
		{noon.Add(day), 0},
	} {
		if got := l.Spent("acme", "a", c.since); got.Cost != c.want {
			t.Errorf("since %v: spent %d, want %d", c.since, got.Cost, c.want)
		}
	}
	if got := l.Spent("other", "a", noon); got != (Total{}) {
		t.Errorf("another tenant's key spent %+v", got)
	}
	// A month later the oldest days cannot be told apart any more, the sum can.
	charge(t, l, used("a", noon.Add(20*day), 5))
	for i := range 40 {
		charge(t, l, used("b", noon.Add(time.Duration(i)*day), 1))
	}
	if n := len(l.accounts[owner{"acme", "b"}].days); n != keptDays {
		t.Errorf("%d days are kept, want %d", n, keptDays)
	}
	charge(t, l, used("b", noon.Add(-9*day), 7)) // too late for a day of its own
	got := l.Accounts(time.Time{})
	want := []int64{116, 1047}
	if len(got) != 2 || got[0].KeyID != "a" || got[0].Cost != want[0] || got[1].Cost != want[1] {
		t.Errorf("accounts are %+v, want costs %v", got, want)
	}
	if got := l.Accounts(noon.Add(38 * day))[1]; got.Cost != 2 || got.Requests != 2 {
		t.Errorf("the last two days of b are %+v, want 2 requests", got)
	}
}

// Over any sequence of charges, balances, clean ends and crashes, the sums are
// what the lines come to.
func TestSumsSurvive(t *testing.T) {
	root := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		dir := filepath.Join(root, fmt.Sprint(n))
		o := Options{Journal: journal.Options{SegmentBytes: rapid.Int64Range(100, 2000).Draw(t, "segment")}}
		reopen := func() *Ledger {
			l, repairs, err := Open(dir, o)
			if err != nil || repairs != nil {
				t.Fatalf("Open: %v, repairs %v", err, repairs)
			}
			return l
		}
		l := reopen()
		defer func() { l.log.Close() }()
		want := accounts{}
		for _, op := range rapid.SliceOf(rapid.IntRange(0, 9)).Draw(t, "ops") {
			switch op {
			case 0:
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				l = reopen()
			case 1: // a crash: no balance at the end
				l.log.Close()
				l = reopen()
			case 2:
				if err := l.settle(0); err != nil {
					t.Fatal(err)
				}
			case 3: // a balance of which half reached the disk
				l.log.Append([]byte{kindBalance, 0, 2})
			default:
				x := used(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"),
					noon.Add(time.Duration(rapid.IntRange(-50, 50).Draw(t, "hours"))*time.Hour),
					rapid.Int64Range(0, 1e9).Draw(t, "cost"))
				if err := l.Charge(x); err != nil {
					t.Fatal(err)
				}
				want.add(new(lineOf(x)))
			}
		}
		l.log.Close()
		l = reopen()
		wanted := (&Ledger{accounts: want}).Accounts(time.Time{})
		if got := l.Accounts(time.Time{}); !slices.Equal(got, wanted) {
			t.Fatalf("accounts are %+v\nwant %+v", got, wanted)
		}
		since := noon.Add(-24 * time.Hour)
		wanted = (&Ledger{accounts: want}).Accounts(since)
		if got := l.Accounts(since); !slices.Equal(got, wanted) {
			t.Fatalf("since yesterday they are %+v\nwant %+v", got, wanted)
		}
	})
}

// A balance of many keys takes many frames.
func TestLargeBalance(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	for i := range 300 {
		for d := range keptDays {
			l.accounts.add(line(strings.Repeat("k", 200)+fmt.Sprint(i), noon.Add(time.Duration(d)*24*time.Hour), 1e15))
		}
	}
	for i := range 3000 {
		l.accounts.add(line(strings.Repeat("k", 200)+fmt.Sprint(i), noon, 1))
	}
	l.since = 1
	parts := 0
	for p := range l.accounts.parts() {
		parts++
		if len(p) > journal.MaxPayload {
			t.Fatalf("a part of %d bytes", len(p))
		}
	}
	if parts < 2 {
		t.Fatalf("%d parts, want several", parts)
	}
	want := l.Accounts(time.Time{})
	l.Close()
	l = open(t, dir)
	if got := l.Accounts(time.Time{}); !slices.Equal(got, want) {
		t.Errorf("%d accounts came back, want %d", len(got), len(want))
	}
}

// Old segments go, what they came to stays.
func TestPruneKeepsTheSums(t *testing.T) {
	dir := t.TempDir()
	l, _, err := Open(dir, Options{Journal: journal.Options{SegmentBytes: 300, KeepBytes: 900}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		charge(t, l, used("a", noon, int64(i)))
	}
	if err := l.prune(noon); err != nil {
		t.Fatal(err)
	}
	if n := len(l.log.Segments()); n > 4 {
		t.Errorf("%d segments are left", n)
	}
	l.log.Close() // as a crash would
	l = open(t, dir)
	if got := l.Spent("acme", "a", noon); got.Cost != 49*50/2 || got.Requests != 50 {
		t.Errorf("spent %+v, want 50 requests, %d", got, 49*50/2)
	}
}

func TestRefusesWhatItCannotWrite(t *testing.T) {
	l := open(t, t.TempDir())
	l.log.Close()
	err := l.Charge(used("a", noon, 1))
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind != fault.BudgetUnavailable || !errors.Is(err, journal.ErrClosed) {
		t.Errorf("got %v, want budget_unavailable for the closed journal", err)
	}
	if got := l.Spent("acme", "a", noon); got.Cost != 1 {
		t.Errorf("what the engine did is not counted: %+v", got)
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, _, err := Open(dir, Options{Journal: journal.Options{KeepAge: time.Hour, SegmentAge: time.Minute}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		charge(t, l, used("a", time.Now(), 1))
		time.Sleep(2*time.Minute + time.Second)
		charge(t, l, used("a", time.Now(), 1))
		time.Sleep(4 * time.Hour)
		if s := l.log.Segments(); len(s) != 0 {
			t.Errorf("segments %v outlived their hour", s)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := l.Spent("acme", "a", time.Now()); got.Requests != 2 {
			t.Errorf("spent %+v, want 2 requests", got)
		}
		l.Close()
	})
}

// A segment that cannot be removed ends nothing: it is told, and tried again.
func TestRunOutlivesAFailedPrune(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var told bytes.Buffer
		l, _, err := Open(dir, Options{
			Journal: journal.Options{KeepAge: time.Hour, SegmentAge: time.Minute},
			Log:     slog.New(slog.NewTextHandler(&told, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		charge(t, l, used("a", time.Now(), 1))
		first := filepath.Join(dir, "00000001.wal")
		if err := errors.Join(os.Remove(first), os.MkdirAll(filepath.Join(first, "in the way"), 0o700)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		time.Sleep(4 * time.Hour)
		charge(t, l, used("a", time.Now(), 1))
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if !strings.Contains(told.String(), "cannot be removed") {
			t.Errorf("the log says %q", told.String())
		}
		l.Close()
	})
}

func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	var run, wg sync.WaitGroup
	run.Go(func() { l.Run(ctx) })
	const writers, each = 16, 50
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := l.Charge(used(fmt.Sprint("key", w%4), noon, 1)); err != nil {
					t.Error(err)
				}
				if i == each/2 {
					l.settle(0)
				}
			}
		})
	}
	wg.Wait()
	cancel()
	run.Wait()
	l.log.Close()
	l = open(t, dir)
	for _, a := range l.Accounts(time.Time{}) {
		if a.Requests != writers*each/4 {
			t.Errorf("%s has %d requests, want %d", a.KeyID, a.Requests, writers*each/4)
		}
	}
}

// victim charges as fast as it can, and says what was charged.
func victim(dir string) {
	l, _, err := Open(dir, Options{})
	if err != nil {
		panic(err)
	}
	var out sync.Mutex
	for w := range 4 {
		go func() {
			for i := int64(0); ; i++ {
				id := i*4 + int64(w)
				if err := l.Charge(used("a", noon, id)); err != nil {
					panic(err)
				}
				out.Lock()
				fmt.Println(id)
				out.Unlock()
			}
		}()
	}
	select {}
}

// What Charge returned for is in the ledger, once, also after kill -9.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "HEADWORKS_METER_VICTIM="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var told []int64
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var id int64
		if n, _ := fmt.Sscan(lines.Text(), &id); n == 1 {
			told = append(told, id)
		}
		if len(told) == 2000 {
			cmd.Process.Kill()
		}
	}
	cmd.Wait()
	l, _, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	times := map[int64]int{}
	sum := int64(0)
	for x, err := range l.Lines() {
		if err != nil {
			t.Fatal(err)
		}
		times[x.Cost]++
		sum += x.Cost
	}
	for _, id := range told {
		if times[id] != 1 {
			t.Fatalf("line %d of %d told is %d times in the ledger", id, len(told), times[id])
		}
	}
	if got := l.Spent("acme", "a", noon).Cost; got != sum {
		t.Errorf("spent %d, lines come to %d", got, sum)
	}
}

func FuzzLine(f *testing.F) {
	f.Add(line("a", noon, 1).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var l, again Line
		if l.decode(b) != nil {
			return
		}
		if err := again.decode(l.append(nil)); err != nil {
			t.Fatal(err)
		}
		l.KeyID, l.Tenant = l.KeyID[:min(len(l.KeyID), maxText)], l.Tenant[:min(len(l.Tenant), maxText)]
		l.Model, l.Upstream = l.Model[:min(len(l.Model), maxText)], l.Upstream[:min(len(l.Upstream), maxText)]
		if again != l {
			t.Fatalf("got %+v, want %+v", again, l)
		}
	})
}

func FuzzBalance(f *testing.F) {
	a := accounts{}
	a.add(line("a", noon, 1))
	for p := range a.parts() {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) == 0 {
			return
		}
		var b balances
		b.take(p)
		b.take(p)
		for _, a := range b.whole {
			if len(a.days) > keptDays {
				t.Fatalf("%d days", len(a.days))
			}
		}
	})
}

func BenchmarkCharge(b *testing.B) {
	for _, parallel := range []int{1, 64} {
		b.Run(fmt.Sprint(parallel), func(b *testing.B) {
			l := open(b, b.TempDir())
			b.ReportAllocs()
			b.SetParallelism(max(1, parallel/2))
			if parallel == 1 {
				x := used("key_7", noon, 12)
				for b.Loop() {
					l.Charge(x)
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				x := used("key_7", noon, 12)
				for pb.Next() {
					l.Charge(x)
				}
			})
		})
	}
}
