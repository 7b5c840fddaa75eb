// Package alert says what deserves attention, and why: how fast the budgets of
// objectives burn, what changed, and what most of the trouble has in common.
//
// All of it is a function of what was seen and of the moment it is asked for, so that
// the false alarms of a year are found in seconds, on a clock that nobody waits for.
package alert

import (
	"time"
)

// Severity is how soon somebody has to look.
type Severity uint8

// The severities.
const (
	Ticket Severity = iota + 1 // within days
	Page                       // now
)

func (s Severity) String() string { return [...]string{"", "ticket", "page"}[s] }

// Rule is one way in which a budget burns too fast: both the long and the short window
// burn more than Factor times as fast as would use it up in its period.
type Rule struct {
	Severity    Severity
	Factor      float64
	Long, Short time.Duration
}

// Rules returns the rules for a period, the most urgent first; those of 30 days are of
// the Site Reliability Workbook, "Alerting on SLOs", and other periods scale the
// windows.
func Rules(period time.Duration) []Rule {
	scale := float64(period) / float64(Month)
	at := func(d time.Duration) time.Duration { return time.Duration(float64(d) * scale).Round(time.Minute) }
	const day = 24 * time.Hour
	return []Rule{
		{Page, 14.4, at(time.Hour), max(at(5*time.Minute), time.Minute)},
		{Page, 6, at(6 * time.Hour), at(30 * time.Minute)},
		{Ticket, 3, at(day), at(2 * time.Hour)},
		{Ticket, 1, at(3 * day), at(6 * time.Hour)},
	}
}

// Month is the period of budgets, 30 days.
const Month = 30 * 24 * time.Hour

// Where there is little traffic, one failure burns an hour's budget. A rule holds only
// where so many were bad in the long window, or so few that are half of all.
const (
	guardBad  = 20
	guardHalf = 5
)

// Burn is how fast a budget burns.
type Burn struct {
	Rule
	Rate     float64 // of the long window; 1 uses up the budget in its period
	Bad, All int64   // in the long window
}

// Count is how many were bad of all.
type Count struct{ Bad, All int64 }

func (c Count) share() float64 {
	if c.All == 0 {
		return 0
	}
	return float64(c.Bad) / float64(c.All)
}

// Budget counts the good and the bad of one objective for its period, in 12 KB. The
// zero Budget has seen nothing. It counts by the minute for the last six hours, by ten
// minutes for three days, and by the hour for thirty days.
type Budget struct {
	minutes [6*60 + 1]slot
	tens    [3*24*6 + 1]slot
	hours   [30*24 + 1]slot
	at      int64 // the minute since 1970 that was last written
}

type slot struct{ bad, all uint32 }

// See counts what ended at a moment. What is older than the last minute counted is
// counted there.
func (b *Budget) See(now time.Time, c Count) {
	b.turn(now)
	for _, s := range []*slot{&b.minutes[b.at%int64(len(b.minutes))], &b.tens[b.at/10%int64(len(b.tens))], &b.hours[b.at/60%int64(len(b.hours))]} {
		s.bad += uint32(c.Bad)
		s.all += uint32(c.All)
	}
}

// turn forgets what is too old at a moment.
func (b *Budget) turn(now time.Time) {
	to := now.Unix() / 60
	if b.at == 0 {
		b.at = to
	}
	if to <= b.at {
		return
	}
	forget(b.minutes[:], b.at, to)
	forget(b.tens[:], b.at/10, to/10)
	forget(b.hours[:], b.at/60, to/60)
	b.at = to
}

// forget empties the slots behind one place up to another.
func forget(ring []slot, from, to int64) {
	for i := max(from+1, to-int64(len(ring))+1); i <= to; i++ {
		ring[i%int64(len(ring))] = slot{}
	}
}

// Within returns what ended in the time before a moment, as exactly as it is kept. It
// is counted whole slots, so a little more than was asked for.
func (b *Budget) Within(now time.Time, span time.Duration) Count {
	b.turn(now)
	minutes := int64(span / time.Minute)
	switch {
	case minutes < int64(len(b.minutes)):
		return sum(b.minutes[:], b.at, minutes)
	case minutes/10 < int64(len(b.tens)):
		return sum(b.tens[:], b.at/10, minutes/10)
	default:
		return sum(b.hours[:], b.at/60, min(minutes/60, int64(len(b.hours))-1))
	}
}

func sum(ring []slot, last, n int64) (c Count) {
	for i := last - n; i <= last; i++ {
		if i < 0 {
			continue
		}
		s := ring[i%int64(len(ring))]
		c.Bad += int64(s.bad)
		c.All += int64(s.all)
	}
	return c
}

// Burning returns the most urgent rule by which the budget of an objective burns too
// fast, where one does. The objective is the share that has to be good.
func (b *Budget) Burning(now time.Time, objective float64, rules []Rule) (Burn, bool) {
	for _, r := range rules {
		long, short := b.Within(now, r.Long), b.Within(now, r.Short)
		limit := r.Factor * (1 - objective)
		if long.share() <= limit || short.share() <= limit || !enough(long) {
			continue
		}
		return Burn{Rule: r, Rate: long.share() / (1 - objective), Bad: long.Bad, All: long.All}, true
	}
	return Burn{}, false
}

func enough(c Count) bool {
	return c.Bad >= guardBad || c.Bad >= guardHalf && 2*c.Bad >= c.All
}

// Left returns the share of the period's budget that is left, of what was asked in the
// period so far; below 0 where more was bad than may be. Where nothing was asked all of
// it is left.
func (b *Budget) Left(now time.Time, objective float64, period time.Duration) float64 {
	c := b.Within(now, period)
	if c.All == 0 {
		return 1
	}
	return 1 - c.share()/(1-objective)
}
