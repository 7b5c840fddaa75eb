package reuse

import (
	"bytes"
	"math"
	"strconv"
	"time"
)

// Control is what a caller says of earlier answers: the request directives of
// Cache-Control (RFC 9111, section 5.2.1; stale-if-error of RFC 5861). The zero Control
// says nothing. Times are in seconds.
type Control struct {
	flags        uint16
	MaxAge       int32
	MinFresh     int32
	MaxStale     int32
	StaleIfError int32
}

const (
	noStore uint16 = 1 << iota
	noCache
	onlyIfCached
	maxAge
	minFresh
	maxStale
	staleIfError
	everStale // max-stale of no length
)

func (c *Control) said(flag uint16) bool { return c.flags&flag != 0 }

func (c *Control) seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

func (c *Control) anyStale() bool { return c.said(everStale) }

// Anew returns what c says, but for a new answer.
func (c *Control) Anew() Control {
	anew := *c
	anew.flags = anew.flags&^onlyIfCached | noCache
	return anew
}

// NoStore reports whether nothing of the request may be kept, read or shared.
func (c *Control) NoStore() bool { return c.said(noStore) }

// NoCache reports whether a new answer is wanted.
func (c *Control) NoCache() bool { return c.said(noCache) }

// OnlyIfCached reports whether no new answer is wanted.
func (c *Control) OnlyIfCached() bool { return c.said(onlyIfCached) }

// Read adds what a field says. Directives that are not known are passed over, as the
// RFC has it, and so are arguments that are no number of seconds: of max-age and
// min-fresh these say the most careful there is.
func (c *Control) Read(field []byte) {
	for part := range bytes.SplitSeq(field, []byte{','}) {
		name, value, given := bytes.Cut(bytes.TrimSpace(part), []byte{'='})
		name = bytes.TrimSpace(name)
		is := func(directive string) bool { return bytes.EqualFold(name, []byte(directive)) }
		n, ok := delta(value)
		switch {
		case is("no-store"):
			c.flags |= noStore
		case is("no-cache"):
			c.flags |= noCache
		case is("only-if-cached"):
			c.flags |= onlyIfCached
		case is("max-age"):
			if !ok {
				n = 0
			}
			if !c.said(maxAge) || n < c.MaxAge {
				c.MaxAge = n
			}
			c.flags |= maxAge
		case is("min-fresh"):
			if !ok {
				n = math.MaxInt32
			}
			c.MinFresh = max(c.MinFresh, n)
			c.flags |= minFresh
		case is("max-stale") && !given:
			c.flags |= everStale
		case is("max-stale") && ok:
			c.MaxStale = max(c.MaxStale, n)
			c.flags |= maxStale
		case is("stale-if-error") && ok:
			c.StaleIfError = max(c.StaleIfError, n)
			c.flags |= staleIfError
		}
	}
}

// delta reads a number of seconds, in quotes or not; too large a one is the largest
// (RFC 9111, section 1.2.2).
func delta(v []byte) (int32, bool) {
	v = bytes.TrimSpace(v)
	if n := len(v); n >= 2 && v[0] == '"' && v[n-1] == '"' {
		v = v[1 : n-1]
	}
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	if len(v) == 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(v), 10, 32)
	if err != nil {
		return math.MaxInt32, true
	}
	return int32(n), true
}
