package inference

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func drawID(t *rapid.T, label string) (ID, time.Time) {
	at := time.UnixMilli(rapid.Int64Range(0, 1<<47).Draw(t, label+" ms"))
	at = at.Add(time.Duration(rapid.IntRange(0, 999_999).Draw(t, label+" ns")))
	return NewID(at, rapid.Uint16().Draw(t, label+" high"), rapid.Uint64().Draw(t, label+" low")), at
}

func TestAnyID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id, at := drawID(t, "id")
		if got, err := ParseID(id.String()); err != nil || got != id {
			t.Fatalf("%v became %v: %v", id, got, err)
		}
		if string(id.Append([]byte("id="))) != "id="+id.String() {
			t.Fatalf("appended: %s", id.Append(nil))
		}
		if !id.Time().Equal(at.Truncate(time.Millisecond)) {
			t.Fatalf("of %v, says %v", at, id.Time())
		}
		later, when := drawID(t, "other")
		if !at.Truncate(time.Millisecond).Equal(when.Truncate(time.Millisecond)) && (id.String() < later.String()) != at.Before(when) {
			t.Fatalf("%v of %v and %v of %v do not sort by time", id, at, later, when)
		}
	})
}

// TestSeeds: requests of one moment differ in their draws, by either part of
// their random bits.
func TestSeeds(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	seen := map[uint64]bool{}
	for i := range uint16(100) {
		seen[NewID(now, i, 7).Seed()] = true
		seen[NewID(now, 7, 1000+uint64(i)).Seed()] = true
	}
	if len(seen) != 200 {
		t.Errorf("200 requests share %d seeds", len(seen))
	}
}

func TestNoID(t *testing.T) {
	good := NewID(time.UnixMilli(1), 2, 3).String()
	for _, s := range []string{
		"", "req_", good[:len(good)-1], good + "0", strings.TrimPrefix(good, "req_"),
		"REQ_" + good[4:], good[:35] + "g", good[:34] + "é", " " + good,
	} {
		if id, err := ParseID(s); err == nil {
			t.Errorf("%q is %v", s, id)
		} else if !strings.Contains(err.Error(), "x-request-id") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add(NewID(time.UnixMilli(1), 2, 3).String())
	f.Add("req_FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err == nil && id.String() != strings.ToLower(s) {
			t.Errorf("%q is %v", s, id)
		}
	})
}

func TestNames(t *testing.T) {
	names := map[string]bool{}
	for _, d := range Dialects() {
		if d.String() == "" || names[d.String()] || d.Operation().String() == "" {
			t.Errorf("dialect %d is called %q, and asks for %q", d, d, d.Operation())
		}
		names[d.String()] = true
	}
	for f, want := range map[Finish]string{Unfinished: "", Stop: "stop", Length: "length", ToolCalls: "tool_calls", ContentFilter: "content_filter", StopSequence: "stop_sequence", Pause: "pause"} {
		if got := f.String(); got != want {
			t.Errorf("finish %d is %q, want %q", f, got, want)
		}
	}
}

func TestServes(t *testing.T) {
	for _, tt := range []struct {
		speaks Set
		asked  Dialect
		want   bool
	}{
		{SetOf(OpenAI), OpenAI, true},
		{SetOf(OpenAI), Gemini, true},
		{SetOf(Converse), Responses, true},
		{SetOf(OpenAI), AnthropicCount, true},
		{SetOf(OpenAI), Embeddings, false},
		{SetOf(OpenAI, Embeddings), Embeddings, true},
		{SetOf(Embeddings), OpenAI, false},
		{SetOf(Embeddings, AnthropicCount), GeminiCount, false},
		{0, OpenAI, false},
	} {
		if got := tt.speaks.Serves(tt.asked); got != tt.want {
			t.Errorf("%b serves %v: %v", tt.speaks, tt.asked, got)
		}
	}
}
