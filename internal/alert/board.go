package alert

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
	"slices"
	"time"
)

// Alert is what deserves attention, with all that is known of it.
type Alert struct {
	ID          string            `json:"id"`
	Fingerprint string            `json:"fingerprint"` // the same whenever the same is wrong
	State       string            `json:"state"`       // firing, resolved
	Severity    Severity          `json:"-"`
	Urgency     string            `json:"severity"` // page, ticket
	Title       string            `json:"title"`
	Since       time.Time         `json:"since"`
	Until       time.Time         `json:"until,omitzero"` // it ended
	Times       int               `json:"times"`          // that it fired within the last hour, this one included
	Flapping    bool              `json:"flapping,omitempty"`
	Simulated   bool              `json:"simulated,omitempty"`
	Method      string            `json:"method"` // how it was found
	N           int64             `json:"n,omitempty"`
	Baseline    float64           `json:"baseline"`
	Current     float64           `json:"current"`
	Weekly      float64           `json:"false_alarms_a_week,omitempty"` // to be expected of the method
	Scope       map[string]string `json:"scope,omitempty"`
	Impact      string            `json:"impact,omitempty"`
	Cause       string            `json:"cause"`
	Causes      []Cause           `json:"causes,omitempty"`
	Evidence    []string          `json:"evidence"`
	Next        string            `json:"next"`                  // the command to give
	Silenced    string            `json:"silenced_by,omitempty"` // id of the silence
	Under       string            `json:"under,omitempty"`       // fingerprint of the alert that explains it
}

// Why somebody is told of an alert.
const (
	Fired    = "firing"
	Worse    = "worse"
	Again    = "still firing"
	Resolved = "resolved"
)

// Notice is a word to whoever is to know.
type Notice struct {
	Why   string `json:"why"`
	Alert Alert  `json:"alert"`
}

// Silence keeps alerts from being told; they fire all the same. Every field that is
// given has to be that of the alert's scope, or its fingerprint.
type Silence struct {
	ID     string            `json:"id"`
	Match  map[string]string `json:"match"`
	Until  time.Time         `json:"until"`
	Reason string            `json:"reason,omitempty"`
	By     string            `json:"by,omitempty"`
}

// Covers reports whether a silence is over an alert.
func (s *Silence) Covers(a *Alert, now time.Time) bool {
	if !now.Before(s.Until) || len(s.Match) == 0 {
		return false
	}
	for k, v := range s.Match {
		if k == "fingerprint" && v == a.Fingerprint {
			continue
		}
		if a.Scope[k] != v {
			return false
		}
	}
	return true
}

// Bounds of a Board, and the times by which it tells.
const (
	maxFiring  = 1000
	maxEnded   = 1000
	repeat     = 4 * time.Hour
	flapping   = 3 // times within an hour
	flapWindow = time.Hour
)

// Board holds what fires, and what did. The zero Board is empty.
type Board struct {
	Silences []Silence

	firing map[string]*entry
	ended  []Alert // the latest last
	starts map[string][]time.Time
	over   int64 // that found no room
}

type entry struct {
	Alert
	hold time.Time // it fires until then, unless it is raised again
	told time.Time // zero: not yet
	as   Severity  // as which it was told
}

// Raise says that something is wrong, and that it is until hold has passed without
// anybody saying so again.
func (b *Board) Raise(now time.Time, a Alert, hold time.Duration) {
	if b.firing == nil {
		b.firing, b.starts = map[string]*entry{}, map[string][]time.Time{}
	}
	e := b.firing[a.Fingerprint]
	if e == nil {
		if len(b.firing) >= maxFiring {
			b.over++
			return
		}
		starts := slices.DeleteFunc(b.starts[a.Fingerprint], func(t time.Time) bool { return now.Sub(t) > flapWindow })
		b.starts[a.Fingerprint] = append(starts, now)
		e = &entry{}
		e.Since, e.ID = now, id(a.Fingerprint, now)
		b.firing[a.Fingerprint] = e
	}
	since, name := e.Since, e.ID
	e.Alert = a
	e.Since, e.ID, e.State, e.Urgency = since, name, "firing", a.Severity.String()
	e.Times = len(b.starts[a.Fingerprint])
	e.Flapping = e.Times > flapping
	e.hold = now.Add(hold)
	if e.Flapping {
		e.hold = now.Add(max(hold, flapWindow))
	}
}

func id(fingerprint string, now time.Time) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(fingerprint)) // never fails
	var raw [12]byte
	binary.BigEndian.PutUint32(raw[:4], uint32(now.Unix()))
	binary.BigEndian.PutUint64(raw[4:], h.Sum64())
	return "al_" + hex.EncodeToString(raw[:])
}

// Settle ends what nobody raised again, and returns whom to tell of what: an alert that
// began, got worse or ended, and a page that goes on, every four hours. What another
// alert explains that fires too is not told, nor what is silenced, nor the beginnings
// and ends of one that fires again and again.
func (b *Board) Settle(now time.Time) []Notice {
	b.Silences = slices.DeleteFunc(b.Silences, func(s Silence) bool { return !now.Before(s.Until) })
	var notices []Notice
	for _, key := range b.keys() {
		e := b.firing[key]
		e.Silenced = b.silenced(&e.Alert, now)
		quiet := e.Silenced != "" || e.Under != "" && b.firing[e.Under] != nil
		if !now.Before(e.hold) {
			e.State, e.Until = "resolved", now
			delete(b.firing, key)
			if b.ended = append(b.ended, e.Alert); len(b.ended) > maxEnded {
				b.ended = slices.Delete(b.ended, 0, len(b.ended)-maxEnded)
			}
			if !e.told.IsZero() {
				notices = append(notices, Notice{Resolved, e.Alert})
			}
			continue
		}
		why := ""
		switch {
		case quiet:
		case e.told.IsZero():
			why = Fired
		case e.Severity > e.as:
			why = Worse
		case e.Severity == Page && now.Sub(e.told) >= repeat:
			why = Again
		}
		if why != "" {
			e.told, e.as = now, e.Severity
			notices = append(notices, Notice{why, e.Alert})
		}
	}
	for key, starts := range b.starts {
		if b.firing[key] == nil && now.Sub(starts[len(starts)-1]) > flapWindow {
			delete(b.starts, key)
		}
	}
	return notices
}

func (b *Board) silenced(a *Alert, now time.Time) string {
	for i := range b.Silences {
		if b.Silences[i].Covers(a, now) {
			return b.Silences[i].ID
		}
	}
	return ""
}

// keys returns the fingerprints of what fires, in an order that does not change.
func (b *Board) keys() []string {
	keys := make([]string, 0, len(b.firing))
	for k := range b.firing {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Firing returns what fires, the most urgent first, of equals the oldest.
func (b *Board) Firing() []Alert {
	all := make([]Alert, 0, len(b.firing))
	for _, e := range b.firing {
		all = append(all, e.Alert)
	}
	slices.SortFunc(all, func(x, y Alert) int {
		return cmp.Or(cmp.Compare(y.Severity, x.Severity), x.Since.Compare(y.Since), cmp.Compare(x.Fingerprint, y.Fingerprint))
	})
	return all
}

// Ended returns what fired before, the latest first; at most 1,000.
func (b *Board) Ended() []Alert {
	all := slices.Clone(b.ended)
	slices.Reverse(all)
	return all
}

// Over returns how many alerts found no room on the board.
func (b *Board) Over() int64 { return b.over }
