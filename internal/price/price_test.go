package price

import (
	"testing"

	"headworks/internal/inference"

	"pgregory.net/rapid"
)

func TestCost(t *testing.T) {
	card := inference.Price{Known: true, Input: 3, Output: 15, CacheRead: 0.3, CacheWrite: 3.75}
	hourly := inference.Price{Known: true, Input: 3, Output: 15, CacheRead: 0.3, CacheWrite: 3.75, CacheWriteHour: 6}
	long := inference.Price{Known: true, Input: 1.25, Output: 10, CacheRead: 0.125, Above: 200_000, Long: inference.Rates{Input: 2.5, Output: 15, CacheRead: 0.25}}
	tests := map[string]struct {
		price inference.Price
		usage inference.Usage
		want  int64 // micro-USD
		known bool
	}{
		"a million of each":         {card, inference.Usage{Input: 1e6, Output: 1e6}, 18_000_000, true},
		"nothing":                   {card, inference.Usage{}, 0, true},
		"cached":                    {card, inference.Usage{Input: 1000, CacheRead: 900, CacheWrite: 50, Output: 10}, 758, true}, // 150 + 270 + 187.5 + 150, rounded
		"more cached than there is": {card, inference.Usage{Input: 10, CacheRead: 20}, 6, true},
		"reasoning is output":       {card, inference.Usage{Output: 10, Reasoning: 8}, 150, true},
		"half rounds up":            {inference.Price{Known: true, Input: 0.5}, inference.Usage{Input: 1}, 1, true},
		"less than half is nothing": {inference.Price{Known: true, Input: 0.1}, inference.Usage{Input: 4}, 0, true},
		"free":                      {inference.Price{Known: true}, inference.Usage{Input: 1e6, Output: 1e6}, 0, true},
		"kept for an hour":          {hourly, inference.Usage{Input: 1000, CacheWrite: 300, CacheWriteHour: 100}, 3450, true}, // 2100 + 750 + 600
		"a prompt at the edge":      {long, inference.Usage{Input: 200_000, CacheRead: 100_000, Output: 10}, 137_600, true},   // 125000 + 12500 + 100
		"a long prompt":             {long, inference.Usage{Input: 200_001, CacheRead: 100_001, Output: 10}, 275_150, true},   // 250000 + 25000.25 + 150
		"no price":                  {inference.Price{Input: 3, Output: 15}, inference.Usage{Input: 1e6}, 0, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got, known := Cost(tt.price, tt.usage); got != tt.want || known != tt.known {
				t.Errorf("%d, %v; want %d, %v", got, known, tt.want, tt.known)
			}
		})
	}
}

// TestMoreTokensNeverCostLess holds for any card, and a card that prices the cache
// as input prices it so.
func TestMoreTokensNeverCostLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dear := rapid.Float64Range(0, 100)
		p := inference.Price{Known: true, Input: dear.Draw(t, "input"), Output: dear.Draw(t, "output")}
		p.CacheRead, p.CacheWrite = p.Input, p.Input
		tokens := rapid.IntRange(0, 1e6)
		u := inference.Usage{Input: tokens.Draw(t, "in"), Output: tokens.Draw(t, "out")}
		cost, _ := Cost(p, u)
		cached := u
		cached.CacheRead = rapid.IntRange(0, u.Input).Draw(t, "read")
		cached.CacheWrite = rapid.IntRange(0, u.Input-cached.CacheRead).Draw(t, "write")
		if got, _ := Cost(p, cached); got < cost-1 || got > cost+1 { // the order of addition may round otherwise
			t.Fatalf("%d with a cache of the same price, %d without", got, cost)
		}
		more := u
		more.Input += tokens.Draw(t, "more in")
		more.Output += tokens.Draw(t, "more out")
		if got, _ := Cost(p, more); got < cost {
			t.Fatalf("%+v cost %d, %+v %d", u, cost, more, got)
		}
	})
}

// What an upstream's cache of prompts saved is what reading was cheaper by, less what
// writing cost more.
func TestSaved(t *testing.T) {
	p := inference.Price{Known: true, Input: 4, Output: 10, CacheRead: 0.4, CacheWrite: 5, CacheWriteHour: 8}
	for name, tt := range map[string]struct {
		u    inference.Usage
		want int64
	}{
		"nothing":             {inference.Usage{Input: 1000, Output: 50}, 0},
		"read":                {inference.Usage{Input: 1000, CacheRead: 800, Output: 50}, 2880},
		"written":             {inference.Usage{Input: 1000, CacheWrite: 800}, -800},
		"written for an hour": {inference.Usage{Input: 1000, CacheWrite: 800, CacheWriteHour: 800}, -3200},
		"both":                {inference.Usage{Input: 2000, CacheRead: 1000, CacheWrite: 800}, 2800},
	} {
		if got, known := Saved(p, tt.u); got != tt.want || !known {
			t.Errorf("%s: %d, %v, want %d", name, got, known, tt.want)
		}
	}
	if _, known := Saved(inference.Price{}, inference.Usage{CacheRead: 5}); known {
		t.Error("known without a price")
	}
}
