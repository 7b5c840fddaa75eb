package monitor

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"headworks/internal/record"
)

// traffic is who asked how much in the last hour, in slots of five minutes. Of more
// names than there is room for the later ones are not told apart.
type traffic struct {
	slots [trafficSlots]share
	at    int64 // of five minutes since 1970, that is being counted
}

type share struct {
	n  float64
	by map[who]float64
}

type who struct{ column, value string }

const (
	trafficSlots = 13
	maxNames     = 500
)

func (t *traffic) see(r *record.Record, now time.Time) {
	at := now.Unix() / 300
	for i := max(t.at+1, at-trafficSlots+1); i <= at; i++ {
		t.slots[i%trafficSlots] = share{by: map[who]float64{}}
	}
	t.at = max(t.at, at)
	s := &t.slots[t.at%trafficSlots]
	s.n++
	for _, w := range [...]who{{"tenant", r.Tenant}, {"key", r.Key}, {"model", r.Model}} {
		if w.value == "" {
			continue
		}
		if _, known := s.by[w]; known || len(s.by) < maxNames {
			s.by[w]++
		}
	}
}

// grew returns who is most of what is more in the last quarter of an hour than in the
// time before that, and by what share: of those who are, the one whose part of the
// traffic grew most. Nobody where none stands out.
func (t *traffic) grew(model string) (found who, part float64) {
	const last, first = 3, trafficSlots - 3 - 1
	type change struct{ now, before float64 } // a slot
	var all change
	names := map[who]change{}
	for i := range int64(trafficSlots - 1) { // the one that is being counted is not whole
		s := &t.slots[((t.at-1-i)%trafficSlots+trafficSlots)%trafficSlots]
		add := func(c change, n float64) change {
			if i < last {
				c.now += n / last
			} else {
				c.before += n / first
			}
			return c
		}
		all = add(all, s.n)
		for name, n := range s.by {
			if name.column != "model" || model == "" {
				names[name] = add(names[name], n)
			}
		}
	}
	best := 1.5 // times as large a part as before
	for _, name := range slices.SortedFunc(maps.Keys(names), func(a, b who) int {
		return cmp.Or(cmp.Compare(a.column, b.column), cmp.Compare(a.value, b.value))
	}) {
		c := names[name]
		share := (c.now - c.before) / max(all.now-all.before, 1)
		grown := (c.now / max(all.now, 1)) / max(c.before/max(all.before, 1), 0.001)
		if share >= 0.6 && grown > best {
			found, part, best = name, min(share, 1), grown
		}
	}
	return found, part
}
