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

// told is an event as a test writes it.
type told struct {
	name, data string
	hasData    bool
	other      bool
}

// readNaively reads a whole stream as WHATWG HTML 9.2.6 says it, line by line.
func readNaively(s string) (events []told) {
	s = strings.TrimPrefix(s, "\xef\xbb\xbf")
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.ReplaceAll(s, "\r", "\n")
	lines := strings.Split(s, "\n")
	var e told
	var data []string
	for _, line := range lines[:len(lines)-1] {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			e.data, e.hasData = strings.Join(data, "\n"), data != nil
			events = append(events, e)
			e, data = told{}, nil
		case name == "data":
			data = append(data, value)
		case name == "event":
			e.name = value
		case name != "" && name != "id" && name != "retry":
			e.other = true
		}
	}
	return events
}

// split feeds the pieces and returns the events, and the bytes they came in.
func split(t testing.TB, pieces [][]byte) (events []told, raw []byte, rest int) {
	t.Helper()
	s := NewSplitter(0)
	var shared []byte
	for _, p := range pieces {
		shared = append(shared[:0], p...)
		s.Feed(shared)
		var run []byte
		for {
			e, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			if e == nil {
				break
			}
			events = append(events, told{string(e.Name), string(e.Data), e.Data != nil, e.Other})
			var ok bool
			if run, ok = Extend(run, e.Raw); !ok {
				t.Fatal("the events of one read do not lie behind each other")
			}
		}
		raw = append(raw, run...)
		clear(shared) // whoever fed them has them back
	}
	return events, raw, s.rest()
}

// cut cuts b at random.
func cut(b []byte, rnd *rand.Rand) (pieces [][]byte) {
	for len(b) > 0 {
		n := 1 + rnd.IntN(len(b))
		if rnd.IntN(2) == 0 {
			n = min(n, 1+rnd.IntN(4))
		}
		pieces = append(pieces, b[:n])
		b = b[n:]
	}
	return pieces
}

func checkSplit(t testing.TB, stream string, rnd *rand.Rand) {
	t.Helper()
	pieces := cut([]byte(stream), rnd)
	got, raw, rest := split(t, pieces)
	want := readNaively(stream)
	if !slices.Equal(got, want) {
		t.Fatalf("%q in %q: got %+v, want %+v", stream, pieces, got, want)
	}
	if !strings.HasPrefix(stream, string(raw)) {
		t.Fatalf("%q: the events are made of %q", stream, raw)
	}
	left := stream[len(raw):]
	if len(raw) > 0 && raw[len(raw)-1] == '\r' {
		left = strings.TrimPrefix(left, "\n")
	}
	if rest != len(left) {
		t.Fatalf("%q: %d bytes are told to be left, want %q", stream, rest, left)
	}
}

func TestSplitter(t *testing.T) {
	for _, stream := range []string{
		"",
		"data: a\n\n",
		"data:a\n\ndata: b\n\n",
		"data: a\r\n\r\ndata: b\r\n\r\n",
		"data: a\r\rdata: b\r\r",
		"data: a\r\n\rdata: b\n\r\n",
		"data: a\r\n\r\n\ndata: b\n\n",
		"data: a\ndata: b\ndata\ndata:\ndata:  c\n\n",
		"\xef\xbb\xbfdata: a\n\ndata: \xef\xbb\xbfb\n\n",
		"\xef\xbb\xbf\n\n",
		"\xef\xbbdata: a\n\n",
		": comment\n\n: another\ndata: a\n\n",
		"event: ping\ndata: {}\n\nevent: a\nevent: b\n\n",
		"id: 1\nretry: 3\ndata: a\n\n",
		"error: {\"code\":500}\n\n",
		"\n\n\n",
		"data: a\n",
		"data: a",
		"data: a\n\ndata: b",
		"data: a\r\n\r",
		"data: a\r\n\r\n\n",
		"DATA: a\n\n",
		"dat\n\n",
		"data : a\n\n",
	} {
		for seed := range uint64(50) {
			checkSplit(t, stream, rand.New(rand.NewPCG(seed, 1)))
		}
	}
}

func TestSplitterReadsAsTheSpecificationSays(t *testing.T) {
	piece := rapid.SampledFrom([]string{"data", "event", "id", "error", ":", ": ", " ", "a", "bc", "\n", "\n", "\r", "\r\n", "\n\n", "\xef\xbb\xbf"})
	rapid.Check(t, func(rt *rapid.T) {
		stream := strings.Join(rapid.SliceOfN(piece, 0, 40).Draw(rt, "stream"), "")
		checkSplit(t, stream, rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1)))
	})
}

func FuzzSplitter(f *testing.F) {
	f.Add("data: a\r\n\r\nevent: x\ndata: b\ndata: c\r\r: d\n\n", uint64(1))
	f.Add("\xef\xbb\xbf: a\n\nerror: b\n\ndata", uint64(2))
	f.Fuzz(func(t *testing.T, stream string, seed uint64) {
		checkSplit(t, stream, rand.New(rand.NewPCG(seed, 1)))
	})
}

func TestEventFields(t *testing.T) {
	s := NewSplitter(0)
	s.Feed([]byte("\xef\xbb\xbferror: {\"a\":1}\nerror: 2\nid: 7\n:c\n\n: just words\n\n"))
	e, err := s.Next()
	if err != nil || e == nil {
		t.Fatal(e, err)
	}
	v, ok := e.Field("error")
	id, ok2 := e.Field("id")
	_, ok3 := e.Field("data")
	_, ok4 := e.Field("")
	if string(v) != `{"a":1}` || !ok || string(id) != "7" || !ok2 || ok3 || ok4 || e.Comment() || !e.Other {
		t.Errorf("got %q %v, %q %v, %v, %v of %+v", v, ok, id, ok2, ok3, ok4, e)
	}
	if e, err = s.Next(); err != nil || e == nil || !e.Comment() {
		t.Errorf("got %+v %v, want a comment", e, err)
	}
}

func TestEventsAreBounded(t *testing.T) {
	line := []byte("data: " + strings.Repeat("a", 1<<20) + "\n")
	for name, c := range map[string]struct {
		feed  [][]byte
		fault bool
	}{
		"fits":          {[][]byte{line, line, line, []byte("\n")}, false},
		"fits twice":    {[][]byte{line, line, line, []byte("\n"), line, line, line, []byte("\n")}, false},
		"too many":      {[][]byte{line, line, line, line}, true},
		"without lines": {[][]byte{bytes.Repeat([]byte("a"), MostEvent+1)}, true},
		"in one piece":  {[][]byte{[]byte(strings.Repeat(string(line), 5) + "\n")}, true},
	} {
		s := NewSplitter(0)
		var err error
		for _, p := range c.feed {
			s.Feed(p)
			for e := new(Event); e != nil && err == nil; {
				e, err = s.Next()
			}
		}
		f, ok := errors.AsType[*fault.Error](err)
		if ok != c.fault || ok && f.Kind != fault.Oversized {
			t.Errorf("%s: got %v", name, err)
		}
		if s.Reset(); cap(s.held) > 0 {
			t.Errorf("%s: memory is held after Reset", name)
		}
	}
}

func TestSplitterLetsGoOfLargeEvents(t *testing.T) {
	s := NewSplitter(0)
	s.Feed([]byte("data: " + strings.Repeat("a", 1<<20)))
	_, _ = s.Next()
	s.Feed([]byte("\n\n"))
	for e := new(Event); e != nil; {
		e, _ = s.Next()
	}
	if cap(s.held) > 0 {
		t.Errorf("%d bytes are held for nothing", cap(s.held))
	}
}

func TestAppendedEventsAreReadBack(t *testing.T) {
	for _, c := range []struct{ name, data, want string }{
		{"", "a", "data: a\n\n"},
		{"message_stop", `{}`, "event: message_stop\ndata: {}\n\n"},
		{"", "", "data: \n\n"},
		{"", "a\nb\r\nc\rd", "data: a\ndata: b\ndata: c\ndata: d\n\n"},
		{"", " a", "data:  a\n\n"},
	} {
		got := AppendEvent([]byte("x"), c.name, []byte(c.data))[1:]
		events := readNaively(string(got))
		data := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(c.data)
		if string(got) != c.want || len(events) != 1 || events[0].data != data || events[0].name != c.name {
			t.Errorf("got %q, read as %+v, want %q", got, events, c.want)
		}
	}
	if got := string(AppendComment(nil, "keep-alive")); got != ": keep-alive\n" || len(readNaively(got)) > 0 {
		t.Errorf("got %q", got)
	}
}

func TestSplittingAllocatesNothing(t *testing.T) {
	stream := bytes.Repeat(event240(), 10)
	s := NewSplitter(0)
	if n := testing.AllocsPerRun(100, func() {
		for _, p := range [][]byte{stream[:1000], stream[1000:]} {
			s.Feed(p)
			for e, _ := s.Next(); e != nil; e, _ = s.Next() {
			}
		}
	}); n > 0 {
		t.Errorf("%v allocations for 10 events", n)
	}
}

func event240() []byte {
	return []byte(`data: {"id":"chatcmpl-000000000000000000000001","object":"chat.completion.chunk","created":1700000000,"model":"m","system_fingerprint":"fp","choices":[{"index":0,"delta":{"content":" the"},"logprobs":null,"finish_reason":null}]}` + "\n\n")
}

func BenchmarkSplitter(b *testing.B) {
	e := event240()
	s := NewSplitter(0)
	b.SetBytes(int64(len(e)))
	b.ReportAllocs()
	for b.Loop() {
		s.Feed(e)
		for e, _ := s.Next(); e != nil; e, _ = s.Next() {
		}
	}
}
