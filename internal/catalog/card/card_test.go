package card

import (
	"slices"
	"strings"
	"testing"

	"headworks/internal/catalog"
	"headworks/internal/inference"
)

func all(t *testing.T) Cards {
	t.Helper()
	c, err := All()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestTable: every card is of a kind that exists, stands there once, and says only
// what can be; the date of the table is the one that is told.
func TestTable(t *testing.T) {
	if !strings.Contains(table, "\n# Date: "+Date+"\n") {
		t.Errorf("the table is not of %s", Date)
	}
	cards := all(t)
	if len(cards) < 100 {
		t.Errorf("%d cards", len(cards))
	}
	for i, c := range cards {
		at := c.Kind + " " + c.Model
		if k, ok := catalog.Find(c.Kind); !ok || k.BuiltIn {
			t.Errorf("%s: no kind of a provider", at)
		}
		if i > 0 && compare(cards[i-1], c) >= 0 {
			t.Errorf("%s is there twice", at)
		}
		p := c.Price
		if !p.Known || p.Input <= 0 || p.Input > 1000 || p.Output < 0 || p.Output > 2000 || p.CacheRead > p.Input || p.CacheWriteHour < p.CacheWrite {
			t.Errorf("%s: %+v", at, p)
		}
		if (p.Above > 0) != (p.Long.Input > 0) || p.Above > 0 && (p.Long.Input < p.Input || p.Long.Output < p.Output) {
			t.Errorf("%s: long %+v above %d", at, p.Long, p.Above)
		}
		if c.Window < 0 || c.Window > 20e6 || c.Output < 0 || c.Released < 1.5e9 {
			t.Errorf("%s: %+v", at, c)
		}
	}
}

// TestFind compares some cards with the providers' own pages.
func TestFind(t *testing.T) {
	cards := all(t)
	for _, tt := range []struct {
		kind, model   string
		input, output float64
		window        int
	}{
		{"openai", "gpt-4o-mini", 0.15, 0.6, 128_000},
		{"openai", "gpt-5", 1.25, 10, 400_000},
		{"openai", "gpt-5-2025-08-07", 1.25, 10, 400_000},
		{"openai", "gpt-4o-2024-05-13", 5, 15, 128_000}, // a price of its own
		{"anthropic", "claude-sonnet-4-5", 3, 15, 200_000},
		{"anthropic", "claude-sonnet-4-5-20250929", 3, 15, 200_000},
		{"gemini", "gemini-2.5-pro", 1.25, 10, 1_048_576},
	} {
		c, ok := cards.Find(tt.kind, tt.model)
		if !ok || c.Price.Input != tt.input || c.Price.Output != tt.output || c.Window != tt.window {
			t.Errorf("%s %s: %+v, %v", tt.kind, tt.model, c, ok)
		}
	}
	for _, name := range []string{"", "gpt-5-", "gpt-5-2025-13-07", "gpt-5-2025", "-2025-08-07", "gpt-5-x", "GPT-5"} {
		if c, ok := cards.Find("openai", name); ok {
			t.Errorf("%q is %+v", name, c)
		}
	}
	if _, ok := cards.Find("vllm", "gpt-5"); ok {
		t.Error("whoever runs vLLM pays no price of OpenAI's")
	}
	sonnet, _ := cards.Find("anthropic", "claude-sonnet-4-5")
	if p := sonnet.Price; p.CacheRead != 0.3 || p.CacheWrite != 3.75 || p.CacheWriteHour != 6 {
		t.Errorf("cache: %+v", p)
	}
	if !slices.Contains(sonnet.Abilities.Names(), "thinking") || !sonnet.Abilities.Has(inference.Tools) {
		t.Errorf("%v", sonnet.Abilities.Names())
	}
}

func TestLines(t *testing.T) {
	good := "openai\tm\t1\t2\t-\t-\t-\t-\t-\t-\t-\t10\t-\ttools\t2026-01-02"
	if _, err := parse(good); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{
		"", "openai\tm", strings.Replace(good, "tools", "magic", 1), strings.Replace(good, "2026-01-02", "today", 1),
		strings.Replace(good, "\t1\t", "\tx\t", 1), strings.Replace(good, "\t10\t", "\tx\t", 1), good + "\t",
	} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
