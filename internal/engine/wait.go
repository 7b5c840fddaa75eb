package engine

import (
	"strconv"
	"time"
)

const (
	httpDate = "Mon, 02 Jan 2006 15:04:05 GMT" // RFC 9110 5.6.7
	maxWait  = 1e6 * time.Second
)

// limits are the fields in which providers say how much is left of a limit, and when
// there is more again.
var limits = [...]struct{ left, reset string }{
	{"x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"}, // OpenAI, Azure, Groq, Together, Fireworks
	{"x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"},
	{"x-ratelimit-remaining-requests-day", "x-ratelimit-reset-requests-day"}, // Cerebras
	{"x-ratelimit-remaining-tokens-minute", "x-ratelimit-reset-tokens-minute"},
	{"x-ratelimit-remaining", "x-ratelimit-reset"}, // OpenRouter
	{"anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"},
	{"anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"},
	{"anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"},
	{"anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"},
}

// wait returns how long an upstream asks to wait: as it says outright (RFC 9110
// 10.2.3, and the milliseconds that OpenAI's clients know), and else, where it
// refused for want of room, until the last of the limits is back of which nothing is
// left. 0 if it says neither.
func wait(field func(name string) ([]byte, bool), status int, now time.Time) time.Duration {
	if v, ok := field("retry-after-ms"); ok {
		if ms, err := strconv.ParseFloat(string(v), 64); err == nil && ms > 0 && ms < 1e9 {
			return time.Duration(ms * float64(time.Millisecond))
		}
	}
	if v, ok := field("retry-after"); ok {
		if seconds, err := strconv.ParseFloat(string(v), 64); err == nil {
			if seconds > 0 && seconds < maxWait.Seconds() {
				return time.Duration(seconds * float64(time.Second))
			}
			return 0
		}
		if at, err := time.Parse(httpDate, string(v)); err == nil {
			return max(at.Sub(now), 0)
		}
	}
	if status != 429 && status != 529 {
		return 0
	}
	longest := time.Duration(0)
	for _, l := range limits {
		left, ok := field(l.left)
		if n, err := strconv.ParseFloat(string(left), 64); !ok || err != nil || !(n <= 0) {
			continue
		}
		if v, ok := field(l.reset); ok {
			longest = max(longest, until(string(v), now))
		}
	}
	return longest
}

// until reads when a limit is back: a duration, as OpenAI and Groq write it
// (2m59.56s), a moment by RFC 3339, as Anthropic does, seconds, as Cerebras does, or
// a moment in seconds or milliseconds since 1970, as OpenRouter does. 0 if it is none
// of these, or over.
func until(s string, now time.Time) time.Duration {
	var d time.Duration
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		switch {
		case n > 1e11 && n < 1e14:
			d = time.UnixMilli(int64(n)).Sub(now)
		case n > 1e9 && n < 1e11:
			d = time.Unix(int64(n), 0).Sub(now)
		case n > 0 && n < maxWait.Seconds():
			d = time.Duration(n * float64(time.Second))
		}
	} else if at, err := time.Parse(time.RFC3339, s); err == nil {
		d = at.Sub(now)
	} else if span, err := time.ParseDuration(s); err == nil {
		d = span
	}
	if d < 0 || d > maxWait {
		return 0
	}
	return d
}
