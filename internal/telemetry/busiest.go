package telemetry

import (
	"cmp"
	"slices"
	"time"
)

const (
	// other is the name of all models that have none.
	other = "other"

	rankEvery  = time.Hour
	namedFor   = 24 * time.Hour // at least
	resetAfter = time.Hour      // of native histograms that grew too wide
	watched    = 1000           // models without a name whose use is counted
)

// busiest decides which models keep their name as a label: the first ones, until
// others are busier. Moments are microseconds.
type busiest struct {
	most   int
	uses   map[string]*use
	named  int
	ranked int64
}

type use struct {
	count int64 // halved each hour
	named bool
	since int64 // named
}

// name counts one use of a model and returns its label, and the models that lost
// theirs.
func (b *busiest) name(model string, now int64) (label string, gone []string) {
	if b.uses == nil {
		b.uses, b.ranked = make(map[string]*use), now
	}
	if now-b.ranked >= rankEvery.Microseconds() {
		b.ranked = now
		gone = b.rank(now)
	}
	u := b.uses[model]
	if u == nil {
		if len(b.uses) >= b.most+watched {
			return other, gone
		}
		u = new(use)
		b.uses[model] = u
	}
	u.count++
	if !u.named && b.named < b.most {
		u.named, u.since = true, now
		b.named++
	}
	if u.named {
		return model, gone
	}
	return other, gone
}

// rank gives names to the busiest, takes them from those who had them for a day
// and are less busy, and forgets who is not used at all.
func (b *busiest) rank(now int64) (gone []string) {
	type entry struct {
		model string
		*use
	}
	var named, waiting []entry
	for model, u := range b.uses {
		switch {
		case !u.named:
			waiting = append(waiting, entry{model, u})
		case now-u.since >= namedFor.Microseconds():
			named = append(named, entry{model, u})
		}
	}
	byUse := func(x, y entry) int { return cmp.Or(cmp.Compare(x.count, y.count), cmp.Compare(x.model, y.model)) }
	slices.SortFunc(named, byUse)
	slices.SortFunc(waiting, byUse)
	for len(waiting) > 0 && len(named) > 0 {
		w, n := waiting[len(waiting)-1], named[0]
		if w.count <= n.count {
			break
		}
		w.named, w.since, n.named = true, now, false
		gone = append(gone, n.model)
		waiting, named = waiting[:len(waiting)-1], named[1:]
	}
	for model, u := range b.uses {
		if u.count /= 2; u.count == 0 && !u.named {
			delete(b.uses, model)
		}
	}
	return gone
}
