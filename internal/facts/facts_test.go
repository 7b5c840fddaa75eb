package facts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/journal"
	"headworks/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, repairs, err := Open(dir, o)
	if err != nil || repairs != nil {
		t.Fatalf("Open: %v, repairs %v", err, repairs)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// ended returns the record of a request that arrived at and took so long.
func ended(at time.Time, took time.Duration, n int) *record.Record {
	r := new(record.Record)
	r.Reset()
	r.ID = inference.NewID(at, uint16(n), uint64(n))
	r.Time, r.Total = at.UnixMicro(), took.Microseconds()
	r.Model, r.Upstream = "assistant", "eu-vllm"
	r.Consider(record.Candidate{Upstream: "eu-vllm", Replica: fmt.Sprint(n), Won: true})
	return r
}

// seen is an Observer that keeps a copy.
type seen struct{ records []record.Record }

func (s *seen) Observe(r *record.Record) { s.records = append(s.records, *r) }

func wantFound(t testing.TB, s *Store, r *record.Record) {
	t.Helper()
	got, ok, err := s.Find(r.ID)
	if !ok || err != nil {
		t.Fatalf("%v is not found (%v)", r.ID, err)
	}
	want := *r
	want.Seq = got.Seq
	if got != want {
		t.Errorf("found another record (-want +got):\n%s", cmp.Diff(want, got))
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{Journal: journal.Options{SegmentBytes: 2000}})
	start := time.Now().Add(-30 * time.Minute)
	var all []*record.Record
	for i := range 100 {
		// Every tenth is a long stream: its id is older than its neighbours'.
		at, took := start.Add(time.Duration(i)*time.Second), time.Second
		if i%10 == 0 {
			at, took = at.Add(-20*time.Minute), 20*time.Minute
		}
		r := ended(at, took, i)
		all = append(all, r)
		s.Put(r)
		wantFound(t, s, r) // at once
		if i%7 == 0 {
			s.drain()
		}
	}
	missing := inference.NewID(start, 999, 999)
	for range 2 {
		for _, r := range all {
			wantFound(t, s, r)
		}
		if _, ok, err := s.Find(missing); ok || err != nil {
			t.Errorf("found what was never put (%v)", err)
		}
		if n := len(s.log.Segments()); n < 5 {
			t.Fatalf("the log has %d segments, want many", n)
		}
		// Once more, out of what an earlier process wrote.
		s.Close()
		s = open(t, dir, Options{})
	}
}

// A request that ended long after its arrival is found for as long as a request
// may last, and nobody reads the whole log for an id that cannot be there.
func TestFindLooksNoFurtherThanARequestLasts(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, dir, Options{Journal: journal.Options{SegmentBytes: 300}})
		long, tooLong := ended(time.Now(), 50*time.Minute, 1), ended(time.Now(), 3*time.Hour, 2)
		s.Put(ended(time.Now(), 0, 3))
		s.drain()
		time.Sleep(50 * time.Minute)
		s.Put(long)
		wantFound(t, s, long)
		for i := range 4 {
			time.Sleep(30 * time.Minute)
			s.Put(ended(time.Now(), 0, 10+i))
			s.drain()
		}
		time.Sleep(time.Hour)
		s.Put(tooLong)
		wantFound(t, s, long)
		if _, ok, err := s.Find(tooLong.ID); ok || err != nil {
			t.Errorf("the search went on for hours (found %v, %v)", ok, err)
		}
		s.Close()
	})
}

func TestRecent(t *testing.T) {
	s := open(t, t.TempDir(), Options{Journal: journal.Options{SegmentBytes: 1500}})
	now := time.Now()
	for i := range 50 {
		r := ended(now, 0, i)
		if i%5 == 0 {
			r.Fault = fault.Stalled
		}
		s.Put(r)
		if i%8 == 7 {
			s.drain()
		}
	}
	got, err := s.Recent(3, nil)
	if err != nil || len(got) != 3 {
		t.Fatalf("got %d (%v), want 3", len(got), err)
	}
	for i, want := range []string{"49", "48", "47"} {
		if r := got[i].Candidates[0].Replica; r != want {
			t.Errorf("record %d is of replica %s, want %s", i, r, want)
		}
	}
	faulty, err := s.Recent(100, func(r *record.Record) bool { return r.Fault != fault.None })
	if err != nil || len(faulty) != 10 {
		t.Fatalf("got %d faults (%v), want 10", len(faulty), err)
	}
	if !slices.IsSortedFunc(faulty, func(a, b record.Record) int { return int(b.Seq - a.Seq) }) {
		t.Error("faults are not the newest first")
	}
}

// Whatever the order of puts and drains, the ring keeps the newest, in order, and
// counts what it gave up.
func TestRing(t *testing.T) {
	root := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		obs := &seen{}
		size := rapid.IntRange(1, 9).Draw(t, "size")
		s, _, err := Open(filepath.Join(root, fmt.Sprint(n)), Options{Ring: size, Observers: []Observer{obs}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var waiting, want []int
		drops, seq := 0, 0
		for _, put := range rapid.SliceOf(rapid.IntRange(0, 4)).Draw(t, "ops") {
			if put == 0 {
				s.drain()
				want, waiting = append(want, waiting...), nil
				continue
			}
			seq++
			s.Put(ended(time.Unix(1, 0), 0, seq))
			if waiting = append(waiting, seq); len(waiting) > size {
				waiting = waiting[1:]
				drops++
			}
		}
		s.drain()
		want = append(want, waiting...)
		var got []int
		for _, r := range obs.records {
			got = append(got, int(r.Seq))
		}
		overrun, write := s.Dropped()
		if !slices.Equal(got, want) || int(overrun) != drops || write != 0 {
			t.Fatalf("observed %v, dropped %d and %d; want %v, %d and 0", got, overrun, write, want, drops)
		}
	})
}

// A tenth of a second after its end a record is on disk, whether or not anybody
// asks, and a full ring does not wait for the clock.
func TestRunDrains(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		obs := &seen{}
		s := open(t, dir, Options{Ring: 8, Observers: []Observer{obs}})
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { s.Run(ctx) })

		s.Put(ended(time.Now(), 0, 1))
		time.Sleep(drainEvery + time.Millisecond)
		if segments := s.log.Segments(); len(segments) != 1 || len(obs.records) != 1 {
			t.Errorf("after %v: segments %v, %d observed", drainEvery, segments, len(obs.records))
		}
		for i := range 4 {
			s.Put(ended(time.Now(), 0, 2+i))
		}
		synctest.Wait() // no time passes
		if len(obs.records) != 5 {
			t.Errorf("a ring half full was not drained: %d observed, want 5", len(obs.records))
		}
		s.Put(ended(time.Now(), 0, 9))
		cancel()
		run.Wait()
		if len(obs.records) != 6 {
			t.Errorf("at the end %d observed, want 6", len(obs.records))
		}
		s.Close()
	})
}

// Where the disk takes nothing, requests and observers do not notice, the loss is
// counted and the log says so once.
func TestDiskFails(t *testing.T) {
	var log strings.Builder
	obs := &seen{}
	s := open(t, t.TempDir(), Options{Observers: []Observer{obs}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	s.log.Close()
	for i := range 3 {
		s.Put(ended(time.Now(), 0, i))
		s.drain()
	}
	if overrun, write := s.Dropped(); overrun != 0 || write != 3 {
		t.Errorf("dropped %d and %d, want 0 and 3", overrun, write)
	}
	if len(obs.records) != 3 {
		t.Errorf("%d observed, want 3", len(obs.records))
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, log.String())
	}
}

// Damage costs the records behind it in one segment, and is told.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{Journal: journal.Options{SegmentBytes: 400}})
	now := time.Now()
	var all []*record.Record
	for i := range 12 {
		all = append(all, ended(now, 0, i))
		s.Put(all[i])
		s.drain()
	}
	s.Close()
	name := filepath.Join(dir, "00000001.wal")
	b, _ := os.ReadFile(name)
	b[len(b)-3] ^= 0x40
	os.WriteFile(name, b, 0o600)
	s = open(t, dir, Options{})
	wantFound(t, s, all[11])
	got, err := s.Recent(100, nil)
	if _, ok := errors.AsType[*journal.Damage](err); !ok || len(got) == 0 || len(got) == len(all) {
		t.Errorf("Recent returned %d of %d and %v, want most and the damage", len(got), len(all), err)
	}
}

// The index forgets old segments and reads them again.
func TestIndexIsBounded(t *testing.T) {
	s := open(t, t.TempDir(), Options{Journal: journal.Options{SegmentBytes: 200}})
	now := time.Now()
	var all []*record.Record
	for i := range 3 * indexes {
		all = append(all, ended(now, 0, i))
		s.Put(all[i])
		s.drain()
	}
	for range 2 {
		for _, r := range all {
			wantFound(t, s, r)
		}
		if n := len(s.index.segments); n > indexes {
			t.Fatalf("%d indexes in memory, at most %d", n, indexes)
		}
	}
}

func TestManyRequests(t *testing.T) {
	obs := &seen{}
	s := open(t, t.TempDir(), Options{Observers: []Observer{obs}})
	ctx, cancel := context.WithCancel(t.Context())
	var run, wg sync.WaitGroup
	run.Go(func() { s.Run(ctx) })
	const writers, each = 8, 100
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				r := ended(time.Now(), 0, w*each+i)
				s.Put(r)
				if i%25 == 0 {
					if _, ok, err := s.Find(r.ID); !ok || err != nil {
						t.Errorf("%v is not found (%v)", r.ID, err)
					}
				}
			}
		})
	}
	wg.Wait()
	cancel()
	run.Wait()
	overrun, write := s.Dropped()
	if len(obs.records)+int(overrun) != writers*each || write != 0 {
		t.Errorf("observed %d, dropped %d and %d, want %d in all", len(obs.records), overrun, write, writers*each)
	}
}

func FuzzBlock(f *testing.F) {
	var b block
	b.add(ended(time.Unix(1, 0), 0, 1))
	f.Add(slices.Clone(b.seal()))
	f.Fuzz(func(t *testing.T, b []byte) {
		size := blockHeader
		for form, err := range records(b) {
			if err != nil {
				return
			}
			size += len(form) + 1
			var r record.Record
			r.Decode(form)
		}
		if size > len(b) {
			t.Fatalf("records of %d bytes out of %d", size, len(b))
		}
	})
}

func TestPutDoesNotAllocate(t *testing.T) {
	s := open(t, t.TempDir(), Options{Ring: 64})
	r := ended(time.Now(), 0, 1)
	if n := testing.AllocsPerRun(200, func() { s.Put(r) }); n != 0 {
		t.Errorf("Put allocates %v times, want 0", n)
	}
}

// The hand-over alone: nobody drains, each put goes to the next place of the ring.
func BenchmarkPut(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	r := ended(time.Now(), 0, 1)
	b.ReportAllocs()
	for b.Loop() {
		s.Put(r)
	}
}

// What a record costs off the request's way, disk included.
func BenchmarkDrain(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	r := ended(time.Now(), 0, 1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Put(r)
		if i%512 == 511 {
			s.drain()
		}
	}
}
