// Package price says what an answer cost. Money is in micro-USD, prices are in
// USD per million tokens, so a token at price 1 costs one micro-USD.
package price

import (
	"math"

	"headworks/internal/inference"
)

// Saved returns what the upstream's prompt cache made cheaper, in micro-USD: what the
// answer would have cost without it, less what it did cost. It is below 0 where writing
// cost more than reading saved.
func Saved(p inference.Price, u inference.Usage) (int64, bool) {
	with, known := Cost(p, u)
	u.CacheRead, u.CacheWrite, u.CacheWriteHour = 0, 0, 0
	without, _ := Cost(p, u)
	return without - with, known
}

// Cost returns what an answer cost in micro-USD, and whether its price is known.
// Tokens read from or written to the upstream's prompt cache have prices of
// their own; what is left of the input is charged as input.
func Cost(p inference.Price, u inference.Usage) (int64, bool) {
	if !p.Known {
		return 0, false
	}
	hour := min(u.CacheWriteHour, u.CacheWrite)
	write, writeHour := p.CacheWrite, p.CacheWriteHour
	if p.Above > 0 && u.Input > p.Above {
		more := 1.0
		if p.Input > 0 {
			more = p.Long.Input / p.Input
		}
		write, writeHour = write*more, writeHour*more
		p.Input, p.Output, p.CacheRead = p.Long.Input, p.Long.Output, p.Long.CacheRead
	}
	fresh := max(u.Input-u.CacheRead-u.CacheWrite, 0)
	usd := float64(fresh)*p.Input + float64(u.CacheRead)*p.CacheRead + float64(u.CacheWrite-hour)*write +
		float64(hour)*writeHour + float64(u.Output)*p.Output
	return int64(math.Round(usd)), true
}
