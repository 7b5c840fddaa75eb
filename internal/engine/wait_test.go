package engine

import (
	"testing"
	"time"
)

// TestWait reads the fields of providers as their documentation has them: OpenAI's
// and Groq's guides to rate limits, Anthropic's, Cerebras', OpenRouter's.
func TestWait(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		name   string
		status int
		fields map[string]string
		want   time.Duration
	}{
		{"Groq", 429, map[string]string{
			"x-ratelimit-remaining-requests": "14370", "x-ratelimit-reset-requests": "2m59.56s",
			"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "7.66s",
		}, 7660 * time.Millisecond},
		{"OpenAI", 429, map[string]string{
			"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1s",
			"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s",
		}, 6 * time.Minute},
		{"what it says outright goes first", 429, map[string]string{
			"retry-after": "2", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m",
		}, 2 * time.Second},
		{"Anthropic", 429, map[string]string{
			"anthropic-ratelimit-requests-remaining": "3", "anthropic-ratelimit-requests-reset": "2026-01-02T04:04:05Z",
			"anthropic-ratelimit-output-tokens-remaining": "0", "anthropic-ratelimit-output-tokens-reset": "2026-01-02T03:04:25Z",
		}, 20 * time.Second},
		{"Cerebras", 429, map[string]string{
			"x-ratelimit-remaining-requests-day": "100", "x-ratelimit-reset-requests-day": "33011.382867",
			"x-ratelimit-remaining-tokens-minute": "0", "x-ratelimit-reset-tokens-minute": "11.5",
		}, 11500 * time.Millisecond},
		{"OpenRouter", 429, map[string]string{"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1767323105000"}, time.Minute},
		{"seconds since 1970", 429, map[string]string{"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1767323105"}, time.Minute},
		{"all is left", 429, map[string]string{"x-ratelimit-remaining": "9", "x-ratelimit-reset": "60"}, 0},
		{"over", 429, map[string]string{"x-ratelimit-remaining": "0", "x-ratelimit-reset": "2025-01-02T04:04:05Z"}, 0},
		{"nonsense", 429, map[string]string{"x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon"}, 0},
		{"nonsense is left", 429, map[string]string{"x-ratelimit-remaining": "NaN", "x-ratelimit-reset": "60"}, 0},
		{"for ever", 429, map[string]string{"x-ratelimit-remaining": "0", "x-ratelimit-reset": "9999h"}, 0},
		{"no refusal for want of room", 500, map[string]string{"x-ratelimit-remaining": "0", "x-ratelimit-reset": "60"}, 0},
	} {
		got := wait(func(name string) ([]byte, bool) {
			v, ok := tt.fields[name]
			return []byte(v), ok
		}, tt.status, now)
		if got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func FuzzUntil(f *testing.F) {
	for _, s := range []string{"2m59.56s", "7.66", "2026-01-02T03:04:25Z", "1767323105000", "-1", "1e308", "NaN", ""} {
		f.Add(s)
	}
	now := time.Unix(1767323045, 0)
	f.Fuzz(func(t *testing.T, s string) {
		if d := until(s, now); d < 0 || d > maxWait {
			t.Errorf("%q: %v", s, d)
		}
	})
}
