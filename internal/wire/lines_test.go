package wire

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"headworks/internal/fault"
)

// linesNaively reads a whole stream of lines: the data of each, and whether it has any.
func linesNaively(s string) (lines []told) {
	parts := strings.SplitAfter(s, "\n")
	for _, line := range parts[:len(parts)-1] {
		data := strings.Trim(line, " \t\r\n")
		lines = append(lines, told{data: data, hasData: data != ""})
	}
	return lines
}

// splitLines feeds the pieces and returns the lines, and the bytes they came in.
func splitLines(t testing.TB, pieces [][]byte) (lines []told, raw []byte, rest int) {
	t.Helper()
	l := NewLines(0)
	var shared []byte
	for _, p := range pieces {
		shared = append(shared[:0], p...)
		l.Feed(shared)
		var run []byte
		for {
			e, err := l.Next()
			if err != nil {
				t.Fatal(err)
			}
			if e == nil {
				break
			}
			lines = append(lines, told{string(e.Name), string(e.Data), e.Data != nil, e.Other})
			var ok bool
			if run, ok = Extend(run, e.Raw); !ok {
				t.Fatal("the lines of one read do not lie behind each other")
			}
		}
		raw = append(raw, run...)
		clear(shared) // whoever fed them has them back
	}
	return lines, raw, l.rest()
}

func checkLines(t testing.TB, stream string, rnd *rand.Rand) {
	t.Helper()
	pieces := cut([]byte(stream), rnd)
	got, raw, rest := splitLines(t, pieces)
	if want := linesNaively(stream); !slices.Equal(got, want) {
		t.Fatalf("%q in %q: got %+v, want %+v", stream, pieces, got, want)
	}
	if !strings.HasPrefix(stream, string(raw)) || rest != len(stream)-len(raw) {
		t.Fatalf("%q: the lines are made of %q, and %d bytes are told to be left", stream, raw, rest)
	}
}

func TestLines(t *testing.T) {
	for _, stream := range []string{
		"", "{}\n", "{}\n{}\n", "{}\r\n{\"a\":1}\r\n", "\n\n{}\n", "   {}\n \n\t{}\n", "{}", "{}\n{", " ", "\r\n\r", "a\rb\n",
	} {
		for seed := range uint64(50) {
			checkLines(t, stream, rand.New(rand.NewPCG(seed, 1)))
		}
	}
	piece := rapid.SampledFrom([]string{"{}", "a", " ", "\t", "\n", "\n", "\r", "\r\n", "\n\n", "\x00"})
	rapid.Check(t, func(rt *rapid.T) {
		stream := strings.Join(rapid.SliceOfN(piece, 0, 40).Draw(rt, "stream"), "")
		checkLines(t, stream, rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1)))
	})
}

func FuzzLines(f *testing.F) {
	f.Add("{\"done\":false}\r\n\n {\"done\":true}\n", uint64(1))
	f.Add(" \n{", uint64(2))
	f.Fuzz(func(t *testing.T, stream string, seed uint64) {
		checkLines(t, stream, rand.New(rand.NewPCG(seed, 1)))
	})
}

func TestLinesAreBounded(t *testing.T) {
	line := []byte(strings.Repeat("a", 1<<20))
	for name, c := range map[string]struct {
		feed  [][]byte
		fault bool
	}{
		"fits":         {[][]byte{line, line, line, []byte("\n")}, false},
		"fits twice":   {[][]byte{line, line, line, []byte("\n"), line, line, line, []byte("\n")}, false},
		"too long":     {[][]byte{line, line, line, line, []byte("a")}, true},
		"in one piece": {[][]byte{bytes.Repeat([]byte("a"), MostEvent+1)}, true},
		"with its end": {[][]byte{append(bytes.Repeat([]byte("a"), MostEvent), '\n')}, true},
	} {
		l := NewLines(0)
		var err error
		for _, p := range c.feed {
			l.Feed(p)
			for e := new(Event); e != nil && err == nil; {
				e, err = l.Next()
			}
		}
		f, ok := errors.AsType[*fault.Error](err)
		if ok != c.fault || ok && f.Kind != fault.Oversized {
			t.Errorf("%s: got %v", name, err)
		}
		if l.Reset(); cap(l.held) > 0 || l.rest() > 0 {
			t.Errorf("%s: memory is held after Reset", name)
		}
	}
}

func TestLinesLetGoOfLargeOnes(t *testing.T) {
	l := NewLines(0)
	l.Feed([]byte(strings.Repeat("a", 1<<20)))
	_, _ = l.Next()
	l.Feed([]byte("\n"))
	for e := new(Event); e != nil; {
		e, _ = l.Next()
	}
	if cap(l.held) > 0 {
		t.Errorf("%d bytes are held for nothing", cap(l.held))
	}
}

func TestLinesAllocateNothing(t *testing.T) {
	stream := bytes.Repeat([]byte(`{"model":"m","message":{"role":"assistant","content":" the"},"done":false}`+"\n"), 10)
	l := NewLines(0)
	if n := testing.AllocsPerRun(100, func() {
		for _, p := range [][]byte{stream[:100], stream[100:]} {
			l.Feed(p)
			for e, _ := l.Next(); e != nil; e, _ = l.Next() {
			}
		}
	}); n > 0 {
		t.Errorf("%v allocations for 10 lines", n)
	}
}
