package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, dir string, o Options) *Log {
	t.Helper()
	l, repairs, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range repairs {
		t.Errorf("unexpected repair: %v", r)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func add(t testing.TB, l *Log, payloads ...string) (last Position) {
	t.Helper()
	for _, p := range payloads {
		var err error
		if last, err = l.Append([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	return last
}

// all returns every payload and every damage.
func all(l *Log) (payloads []string, damage []error) {
	for f, err := range l.Frames(Position{}) {
		if err != nil {
			damage = append(damage, err)
			continue
		}
		payloads = append(payloads, string(f.Payload))
	}
	return payloads, damage
}

func wantAll(t testing.TB, l *Log, want ...string) {
	t.Helper()
	got, damage := all(l)
	if !slices.Equal(got, want) || damage != nil {
		t.Errorf("read %q, damage %v; want %q", got, damage, want)
	}
}

func TestAppendThenRead(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	if l.Segments() != nil {
		t.Errorf("an empty log has segments %v", l.Segments())
	}
	add(t, l, "one", "", "three")
	wantAll(t, l, "one", "", "three")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, Options{})
	at := add(t, l, "four")
	wantAll(t, l, "one", "", "three", "four")
	got, err := l.ReadAt(at)
	if string(got) != "four" || err != nil {
		t.Errorf("ReadAt = %q %v, want four", got, err)
	}
	if _, err := l.ReadAt(Position{Segment: at.Segment, Offset: at.Offset + 1}); err == nil {
		t.Error("ReadAt between two frames is no error")
	}
	if _, err := l.ReadAt(Position{Segment: 99}); !errors.Is(err, ErrGone) {
		t.Errorf("ReadAt of no segment = %v, want ErrGone", err)
	}
}

func TestFramesFromAPosition(t *testing.T) {
	l := open(t, t.TempDir(), Options{SegmentBytes: 64})
	var at []Position
	for i := range 20 {
		at = append(at, add(t, l, fmt.Sprintf("frame %d", i)))
	}
	if n := len(l.Segments()); n < 4 {
		t.Fatalf("20 frames in segments of 64 bytes made %d segments", n)
	}
	for i, from := range at {
		n := i
		for f, err := range l.Frames(from) {
			if want := fmt.Sprintf("frame %d", n); err != nil || string(f.Payload) != want || f.At != at[n] {
				t.Fatalf("from frame %d: got %q at %v (%v), want %s at %v", i, f.Payload, f.At, err, want, at[n])
			}
			n++
		}
		if n != len(at) {
			t.Errorf("from frame %d the log ends before frame %d", i, n)
		}
	}
}

func TestOneSegment(t *testing.T) {
	l := open(t, t.TempDir(), Options{SegmentBytes: 30})
	add(t, l, "in the first", "in the second")
	for segment, want := range map[uint64][]string{1: {"in the first"}, 2: {"in the second"}, 3: nil} {
		var got []string
		for f, err := range l.In(segment) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(f.Payload))
		}
		if !slices.Equal(got, want) {
			t.Errorf("segment %d holds %q, want %q", segment, got, want)
		}
	}
}

func TestTooLarge(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	if _, err := l.Append(make([]byte, MaxPayload+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	add(t, l, strings.Repeat("x", MaxPayload))
	if got, _ := all(l); len(got) != 1 || len(got[0]) != MaxPayload {
		t.Errorf("the largest frame is not read back")
	}
}

// Wherever a dying process or a lost page leaves the last write, the frames
// before it are read, and the log goes on behind them.
func TestEveryCutOfTheTail(t *testing.T) {
	src := t.TempDir()
	l := open(t, src, Options{})
	kept := []string{"first", "second"}
	add(t, l, kept...)
	end := add(t, l, "torn away") // where it begins is the end of what survives
	l.Close()
	whole, err := os.ReadFile(filepath.Join(src, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	for cut := int(end.Offset); cut < len(whole); cut++ {
		for _, fill := range []string{"", strings.Repeat("\x00", 40), "garbage garbage"} {
			if cut == int(end.Offset) && fill == "" {
				continue // nothing is torn
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, segmentName(1)), append(slices.Clone(whole[:cut]), fill...), 0o600); err != nil {
				t.Fatal(err)
			}
			l, repairs, err := Open(dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(repairs) != 1 || repairs[0].Bytes != int64(cut+len(fill))-end.Offset {
				t.Fatalf("cut at %d with %q behind: repairs %v", cut, fill, repairs)
			}
			tail, err := os.ReadFile(filepath.Join(dir, repairs[0].Moved))
			if err != nil || int64(len(tail)) != repairs[0].Bytes {
				t.Errorf("quarantine holds %d bytes (%v), want %d", len(tail), err, repairs[0].Bytes)
			}
			add(t, l, "next")
			wantAll(t, l, append(slices.Clone(kept), "next")...)
			l.Close()
		}
	}
}

// A header that was never finished leaves an empty log, not a quarantine.
func TestEveryCutOfTheHeader(t *testing.T) {
	for n := range len(magic) {
		dir := t.TempDir()
		os.WriteFile(filepath.Join(dir, segmentName(3)), []byte(magic[:n]), 0o600)
		l, repairs, err := Open(dir, Options{})
		if err != nil || len(repairs) != 1 || repairs[0].Moved != "" {
			t.Fatalf("%d bytes of header: repairs %v, error %v", n, repairs, err)
		}
		if at := add(t, l, "x"); at.Segment != 4 {
			t.Errorf("after segment 3 comes %d", at.Segment)
		}
		wantAll(t, l, "x")
		l.Close()
	}
}

func TestForeignFileGoesToQuarantine(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	add(t, l, "ours")
	l.Close()
	os.WriteFile(filepath.Join(dir, segmentName(2)), []byte("not a segment at all"), 0o600)
	os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("left alone"), 0o600)
	l, repairs, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if len(repairs) != 1 || repairs[0].Moved != quarantine+"/"+segmentName(2) {
		t.Errorf("repairs %v, want segment 2 in quarantine", repairs)
	}
	if b, err := os.ReadFile(filepath.Join(dir, repairs[0].Moved)); err != nil || string(b) != "not a segment at all" {
		t.Errorf("quarantine holds %q (%v)", b, err)
	}
	if at := add(t, l, "more"); at.Segment != 3 {
		t.Errorf("the next segment is %d, want 3: 2 was in use", at.Segment)
	}
	wantAll(t, l, "ours", "more")
}

// Damage in an old segment costs what is behind it there and nothing else.
func TestDamageInTheMiddle(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{SegmentBytes: 40})
	for i := range 9 {
		add(t, l, fmt.Sprintf("payload %d", i))
	}
	l.Close()
	name := filepath.Join(dir, segmentName(1))
	b, _ := os.ReadFile(name)
	b[len(b)-1] ^= 1
	os.WriteFile(name, b, 0o600)
	l = open(t, dir, Options{})
	got, damage := all(l)
	if len(got) != 8 || len(damage) != 1 {
		t.Fatalf("read %q, damage %v; want all but one frame, and one damage", got, damage)
	}
	if d, ok := errors.AsType[*Damage](damage[0]); !ok || d.At.Segment != 1 {
		t.Errorf("damage is %v, want one in segment 1", damage[0])
	}
}

// Random appends, syncs, deaths of the process and torn tails: what was appended
// is there, in order, once.
func TestCrashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "journal")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		o := Options{SegmentBytes: rapid.Int64Range(32, 400).Draw(t, "segment")}
		var want []string
		for life := range rapid.IntRange(1, 5).Draw(t, "lives") {
			l, _, err := Open(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			for i := range rapid.IntRange(0, 12).Draw(t, "appends") {
				p := fmt.Sprintf("%d.%d.%s", life, i, rapid.StringN(0, 30, 60).Draw(t, "p"))
				if _, err := l.Append([]byte(p)); err != nil {
					t.Fatal(err)
				}
				want = append(want, p)
			}
			if rapid.Bool().Draw(t, "sync") {
				if err := l.Sync(); err != nil {
					t.Fatal(err)
				}
			}
			last := l.Segments()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if tail := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "tail"); len(last) > 0 && len(tail) > 0 {
				f, err := os.OpenFile(filepath.Join(dir, segmentName(last[len(last)-1].Number)), os.O_APPEND|os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				// A length that goes far beyond the file, then anything.
				f.Write(append(binary.LittleEndian.AppendUint32(nil, 1000), tail...))
				f.Close()
			}
			l, _, err = Open(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			if got, damage := all(l); !slices.Equal(got, want) || damage != nil {
				t.Fatalf("got %q, damage %v\nwant %q", got, damage, want)
			}
			l.Close()
		}
	})
}

func TestManyWriters(t *testing.T) {
	l := open(t, t.TempDir(), Options{SegmentBytes: 4 << 10})
	const writers, each = 32, 60
	places := make([][each]Position, writers)
	stop := make(chan struct{})
	var syncer, wg sync.WaitGroup
	syncer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if err := l.Sync(); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				var err error
				if places[w][i], err = l.Append(fmt.Appendf(nil, "%d %d", w, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	syncer.Wait()
	var next [writers]int
	for f, err := range l.Frames(Position{}) {
		if err != nil {
			t.Fatal(err)
		}
		var w, i int
		fmt.Sscan(string(f.Payload), &w, &i)
		if i != next[w] || places[w][i] != f.At {
			t.Fatalf("writer %d: frame %d at %v, want %d at %v", w, i, f.At, next[w], places[w][i])
		}
		next[w]++
	}
	for w, n := range next {
		if n != each {
			t.Errorf("writer %d: %d frames read, want %d", w, n, each)
		}
	}
}

// What is staged keeps its place in the order, whoever commits first.
func TestStagedOrder(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	a, _ := l.Stage([]byte("a"))
	b, _ := l.Stage([]byte("b"))
	bAt, err := l.Commit(b)
	if err != nil {
		t.Fatal(err)
	}
	aAt, err := l.Commit(a)
	if err != nil || aAt.Offset >= bAt.Offset {
		t.Errorf("a is at %v, b at %v (%v)", aAt, bAt, err)
	}
	if _, err := l.Stage([]byte("c")); err != nil {
		t.Fatal(err)
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	wantAll(t, l, "a", "b", "c")
}

// A write that fails half way leaves nothing behind, and the next one works.
func TestFailedWriteIsUndone(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	add(t, l, "before")
	l.put = func(f *os.File, b []byte) (int, error) {
		n, _ := f.Write(b[:len(b)/2])
		return n, syscall.ENOSPC
	}
	if _, err := l.Append([]byte("no room")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want ENOSPC", err)
	}
	l.put = (*os.File).Write
	add(t, l, "after")
	wantAll(t, l, "before", "after")
}

// What Sync could not write is lost, and Sync says so; the log goes on.
func TestSyncTellsWhatItLost(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	add(t, l, "before")
	if _, err := l.Stage([]byte("no room")); err != nil {
		t.Fatal(err)
	}
	l.put = func(*os.File, []byte) (int, error) { return 0, syscall.ENOSPC }
	if err := l.Sync(); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrStopped) {
		t.Errorf("Sync = %v, want ENOSPC, and a log that goes on", err)
	}
	l.put = (*os.File).Write
	if err := l.Sync(); err != nil {
		t.Errorf("the error is told twice: %v", err)
	}
	add(t, l, "after")
	wantAll(t, l, "before", "after")
}

func TestFailedUndoStopsTheWriter(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	add(t, l, "before")
	l.put = func(f *os.File, b []byte) (int, error) { return 0, errors.Join(io.ErrShortWrite, f.Close()) }
	for range 2 {
		if _, err := l.Append([]byte("x")); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("got %v, want the failed write", err)
		}
		l.put = (*os.File).Write
	}
	if err := l.Sync(); err == nil {
		t.Error("Sync of a stopped log is no error")
	}
}

func TestFailedSyncStopsTheWriter(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	add(t, l, "before")
	calls := 0
	l.fsync = func(*os.File) error { calls++; return syscall.EIO }
	for range 3 {
		if err := l.Sync(); !errors.Is(err, syscall.EIO) || !errors.Is(err, ErrStopped) {
			t.Errorf("Sync = %v, want EIO", err)
		}
		if _, err := l.Append([]byte("x")); !errors.Is(err, syscall.EIO) {
			t.Errorf("Append = %v, want EIO", err)
		}
	}
	if calls != 1 {
		t.Errorf("synced %d times, want once: no retry", calls)
	}
	wantAll(t, l, "before")
}

// Sync reaches the segments that ended since the last one, and the folder.
func TestSyncReachesEverything(t *testing.T) {
	l := open(t, t.TempDir(), Options{SegmentBytes: 32})
	synced := map[string]int{}
	l.fsync = func(f *os.File) error { synced[filepath.Base(f.Name())]++; return nil }
	for i := range 5 {
		add(t, l, fmt.Sprintf("frame number %d", i))
	}
	for range 2 {
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	segments := l.Segments()
	for _, s := range segments {
		if n := synced[segmentName(s.Number)]; n != 1 {
			t.Errorf("segment %d of %d was synced %d times, want once", s.Number, len(segments), n)
		}
	}
	if len(synced) != len(segments)+1 {
		t.Errorf("synced %v, want each segment and the folder", synced)
	}
}

func TestSegmentsEndByAge(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, dir, Options{SegmentAge: time.Minute})
		first := add(t, l, "a")
		time.Sleep(59 * time.Second)
		l.Sync()
		if at := add(t, l, "b"); at.Segment != first.Segment {
			t.Error("a new segment before its time")
		}
		time.Sleep(2 * time.Second)
		l.Sync()
		if at := add(t, l, "c"); at.Segment != first.Segment+1 {
			t.Errorf("after a minute the segment is %d, want the next", at.Segment)
		}
		wantAll(t, l, "a", "b", "c")
		l.Close()
	})
}

func TestPrune(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, dir, Options{SegmentBytes: 30, KeepBytes: 80, KeepAge: time.Hour})
		for i := range 6 {
			add(t, l, fmt.Sprintf("segment %d..", i)) // 8 + 8 + 11 bytes each
		}
		n, size, err := l.Prune(time.Now())
		if n != 4 || size != 4*27 || err != nil {
			t.Errorf("pruned %d, %d bytes, %v; want 4 segments of 27 over 80 bytes", n, size, err)
		}
		wantAll(t, l, "segment 4..", "segment 5..")
		time.Sleep(2 * time.Hour)
		if n, _, err := l.Prune(time.Now()); n != 1 || err != nil {
			t.Errorf("pruned %d (%v), want the old one; the open one stays", n, err)
		}
		wantAll(t, l, "segment 5..")
		l.Close()
		left, _ := filepath.Glob(filepath.Join(dir, "*.wal"))
		if len(left) != 1 {
			t.Errorf("files left: %v", left)
		}
	})
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	if _, _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second Open = %v, want in use", err)
	}
	l.Close()
	open(t, dir, Options{})
}

func TestClosed(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	add(t, l, "x")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Append = %v, want ErrClosed", err)
	}
	if err := l.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("second Close = %v, want ErrClosed", err)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{3, 0, 0, 0, 1, 2, 3, 4, 'a', 'b', 'c'})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		var buf []byte
		for {
			before := r.Len()
			p, err := readFrame(r, &buf)
			if err != nil {
				return
			}
			if before-r.Len() != headerSize+len(p) {
				t.Fatalf("a frame of %d took %d bytes", len(p), before-r.Len())
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	payload := make([]byte, 160)
	rand.NewChaCha8([32]byte{}).Read(payload)
	for _, parallel := range []int{1, 64} {
		b.Run(fmt.Sprint(parallel), func(b *testing.B) {
			l := open(b, b.TempDir(), Options{})
			b.ReportAllocs()
			b.SetParallelism(max(1, parallel/2))
			if parallel == 1 {
				for b.Loop() {
					l.Append(payload)
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					l.Append(payload)
				}
			})
		})
	}
}
