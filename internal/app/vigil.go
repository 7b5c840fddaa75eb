package app

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"headworks/internal/alert"
	"headworks/internal/api/admin"
	"headworks/internal/drift"
	"headworks/internal/record"
)

// Bounds of what is followed.
const (
	maxVigils = 64   // sets of collections that are searched together
	recalls   = 5000 // records of before that the figures begin with
)

// vigil follows how searches for answers do, by the collections that are searched.
type vigil struct {
	mu sync.Mutex
	of map[string]*drift.Watch
}

// Observe implements facts.Observer.
func (v *vigil) Observe(r *record.Record) {
	if !grounds(r) {
		return
	}
	s := drift.Sample{Found: r.Passages > 0, Top: float64(r.TopScore) / 1000}
	if r.Support >= 0 {
		s.Judged, s.Support, s.Cited = true, float64(r.Support)/1000, float64(max(r.Cited, 0))/1000
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	w := v.of[r.Collections]
	if w == nil {
		if len(v.of) >= maxVigils {
			return
		}
		if v.of == nil {
			v.of = map[string]*drift.Watch{}
		}
		w = &drift.Watch{}
		v.of[r.Collections] = w
	}
	w.See(s, time.UnixMicro(r.Time))
}

// grounds reports whether a record tells of a search that was made.
func grounds(r *record.Record) bool {
	return r.Collections != "" && r.Ungrounded == "" && r.Passages >= 0
}

// recall begins with what records of before tell, the oldest first.
func (v *vigil) recall(all []record.Record) {
	for i := range slices.Backward(all) {
		v.Observe(&all[i])
	}
}

// Retrieval returns how searches for answers do, by the collections searched.
func (a *App) Retrieval() []admin.Retrieval {
	return a.vigil.reports(time.Now())
}

func (v *vigil) reports(now time.Time) []admin.Retrieval {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := []admin.Retrieval{}
	for _, name := range slices.Sorted(maps.Keys(v.of)) {
		all = append(all, admin.Retrieval{Collections: strings.Split(name, ","), Report: v.of[name].Report(now)})
	}
	return all
}

// retrieval tells of searches that find less than they did, or whose answers do not keep
// to what was found.
func (c *conditions) retrieval(all []admin.Retrieval) {
	for _, r := range all {
		name := strings.Join(r.Collections, ",")
		for _, alarm := range r.Alarms {
			c.raise(alert.Ticket, "retrieval:"+alarm.Signal+":"+name, "answers from "+name+": "+alarm.Words,
				"documents, how they are indexed, or what is asked changed", "headworks knowledge quality", map[string]string{"signal": alarm.Signal, "collections": name})
		}
	}
}
