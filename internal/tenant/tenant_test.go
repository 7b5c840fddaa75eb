package tenant

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestMay(t *testing.T) {
	for _, tt := range []struct {
		models []string
		model  string
		want   bool
	}{
		{nil, "anything", true},
		{[]string{"*"}, "lab/anything", true},
		{[]string{"assistant"}, "assistant", true},
		{[]string{"assistant"}, "assistant-2", false},
		{[]string{"assistant"}, "Assistant", false},
		{[]string{"a", "b"}, "b", true},
		{[]string{"a", "b"}, "c", false},
		{[]string{"lab/*"}, "lab/x", true},
		{[]string{"lab/*"}, "lab/", true},
		{[]string{"lab/*"}, "lab", false},
		{[]string{"lab/*"}, "lab2/x", false},
		{[]string{"gpt-*", "assistant"}, "gpt-5", true},
		{[]string{"*-mini"}, "gpt-mini", false}, // a star counts at the end alone
		{[]string{"*-mini"}, "*-mini", true},
		{[]string{""}, "assistant", false},
	} {
		if got := (&Caller{Models: tt.models}).May(tt.model); got != tt.want {
			t.Errorf("with %q, %q: %v", tt.models, tt.model, got)
		}
	}
}

// TestMoreNamesNeverForbid: whatever a caller may, it still may with one more
// name, unless that is its first.
func TestMoreNamesNeverForbid(t *testing.T) {
	name := rapid.StringMatching(`[ab/]{0,3}\*?`)
	rapid.Check(t, func(t *rapid.T) {
		c := &Caller{Models: rapid.SliceOfN(name, 1, 4).Draw(t, "models")}
		model := rapid.StringMatching(`[ab/]{1,4}`).Draw(t, "model")
		before := c.May(model)
		c.Models = append(c.Models, name.Draw(t, "another"))
		if before && !c.May(model) {
			t.Fatalf("%q forbids %q", c.Models, model)
		}
		c.Models = append(c.Models, model)
		if !c.May(model) {
			t.Fatalf("%q forbids %q", c.Models, model)
		}
	})
}

func TestLimited(t *testing.T) {
	for _, tt := range []struct {
		rate Rate
		want bool
	}{{Rate{}, false}, {Rate{Count: 60}, false}, {Rate{Per: time.Minute}, false}, {Rate{-1, time.Minute}, false}, {Rate{60, time.Minute}, true}} {
		if got := tt.rate.Limited(); got != tt.want {
			t.Errorf("%+v: %v", tt.rate, got)
		}
		b := Budget{Amount: tt.rate.Count, Per: tt.rate.Per}
		if got := b.Limited(); got != tt.want {
			t.Errorf("%+v: %v", b, got)
		}
	}
}

func TestClassesHaveNames(t *testing.T) {
	var got []string
	for c := Critical; c <= Batch; c++ {
		got = append(got, c.String())
	}
	if len(got) != 4 || got[0] != "critical" || got[3] != "batch" {
		t.Errorf("%q", got)
	}
}
