// Package price says what an answer cost. Money is in micro-USD, prices are in
// USD per million tokens, so a token at price 1 costs one micro-USD.
package price

import (
	"math"

	"headworks/internal/fleet"
	"headworks/internal/inference"
)

// Cost returns what an answer cost in micro-USD, and whether its price is known.
// Tokens read from or written to the upstream's prompt cache have prices of
// their own; what is left of the input is charged as input.
func Cost(p fleet.Price, u inference.Usage) (int64, bool) {
	if !p.Known {
		return 0, false
	}
	fresh := max(u.Input-u.CacheRead-u.CacheWrite, 0)
	usd := float64(fresh)*p.Input + float64(u.CacheRead)*p.CacheRead +
		float64(u.CacheWrite)*p.CacheWrite + float64(u.Output)*p.Output
	return int64(math.Round(usd)), true
}
