// Package incident keeps what happened while something was wrong: who looked at it,
// what fired, what was changed and what helped, in the order of time, so that it can be
// written down afterwards. It decides nothing and knows no clock.
package incident

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"headworks/internal/alert"
)

// Status is how far an incident came.
type Status string

// The statuses.
const (
	Open      Status = "open"
	Mitigated Status = "mitigated" // nothing fires any more
	Closed    Status = "closed"
)

// Entry is one thing that happened.
type Entry struct {
	Time time.Time `json:"time"`
	Kind string    `json:"kind"` // alarm, config, drain, note, role, status
	Text string    `json:"text"`
	By   string    `json:"by,omitempty"`
}

// Incident is one time of trouble.
type Incident struct {
	ID        string            `json:"id"`
	Title     string            `json:"title"`
	Status    Status            `json:"status"`
	Severity  string            `json:"severity"`
	Opened    time.Time         `json:"opened"`
	Mitigated time.Time         `json:"mitigated,omitzero"`
	Closed    time.Time         `json:"closed,omitzero"`
	Roles     map[string]string `json:"roles,omitempty"` // such as lead
	Cause     string            `json:"cause,omitempty"`
	Impact    string            `json:"impact,omitempty"`
	Next      string            `json:"next,omitempty"`
	Simulated bool              `json:"simulated,omitempty"`
	Firing    []string          `json:"firing"` // fingerprints of its alerts that fire
	Timeline  []Entry           `json:"timeline"`
	Left      int               `json:"left_out,omitempty"` // entries that found no room
}

// Bounds of what is kept.
const (
	maxEntries   = 1000
	maxIncidents = 200
	maxRecent    = 200
	// before is how far back a change may have been that is told of an incident: most
	// trouble follows one.
	before = 15 * time.Minute
	// again is for how long after nothing fired any more an alert is still of the same
	// incident.
	again = 30 * time.Minute
)

// Log is the incidents of an instance, and what happened lately. The zero Log is empty.
type Log struct {
	all     []*Incident
	recent  []Entry // changes, for incidents that are not yet
	changed map[string]bool
}

// Load takes over what an earlier process kept.
func (l *Log) Load(all []Incident) {
	for i := range all {
		l.all = append(l.all, &all[i])
	}
	slices.SortFunc(l.all, func(a, b *Incident) int { return a.Opened.Compare(b.Opened) })
}

// Changed returns the incidents that changed since it was last called, and those that
// found no room any more.
func (l *Log) Changed() (changed []Incident, gone []string) {
	for id := range l.changed {
		i := slices.IndexFunc(l.all, func(x *Incident) bool { return x.ID == id })
		if i < 0 {
			gone = append(gone, id)
			continue
		}
		changed = append(changed, l.all[i].copy())
	}
	clear(l.changed)
	return changed, gone
}

func (x *Incident) copy() Incident {
	c := *x
	c.Firing, c.Timeline = slices.Clone(x.Firing), slices.Clone(x.Timeline)
	c.Roles = map[string]string{}
	maps.Copy(c.Roles, x.Roles)
	return c
}

func (l *Log) touch(x *Incident) {
	if l.changed == nil {
		l.changed = map[string]bool{}
	}
	l.changed[x.ID] = true
}

func (x *Incident) add(e Entry) {
	if len(x.Timeline) >= maxEntries {
		x.Left++
		return
	}
	x.Timeline = append(x.Timeline, e)
}

// See takes a notice of an alert. A page opens an incident, unless one is under way,
// and what fires meanwhile is of it.
func (l *Log) See(now time.Time, n alert.Notice) {
	a := &n.Alert
	x := l.of(now, a)
	if x == nil {
		if a.Severity != alert.Page || n.Why == alert.Resolved {
			return
		}
		x = l.open(now, a)
	}
	text := n.Why + ": " + a.Title
	if n.Why != alert.Resolved && a.Cause != "" {
		text += "; " + a.Cause
	}
	x.add(Entry{Time: now, Kind: "alarm", Text: text})
	x.Firing = slices.DeleteFunc(x.Firing, func(f string) bool { return f == a.Fingerprint })
	if n.Why != alert.Resolved {
		x.Firing = append(x.Firing, a.Fingerprint)
		if x.Status == Mitigated {
			x.Status, x.Mitigated = Open, time.Time{}
			x.add(Entry{Time: now, Kind: "status", Text: "open again"})
		}
		x.Cause, x.Impact, x.Next = a.Cause, a.Impact, a.Next
	} else if len(x.Firing) == 0 && x.Status == Open {
		x.Status, x.Mitigated = Mitigated, now
		x.add(Entry{Time: now, Kind: "status", Text: "mitigated: nothing fires any more"})
	}
	l.touch(x)
}

// of returns the incident that an alert belongs to.
func (l *Log) of(now time.Time, a *alert.Alert) *Incident {
	for _, x := range slices.Backward(l.all) {
		if x.Status == Closed || x.Simulated != a.Simulated {
			continue
		}
		if x.Status == Open || slices.Contains(x.Firing, a.Fingerprint) || now.Sub(x.Mitigated) < again {
			return x
		}
	}
	return nil
}

func (l *Log) open(now time.Time, a *alert.Alert) *Incident {
	h := fnv.New64a()
	_, _ = h.Write([]byte(a.ID + now.String())) // never fails
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], h.Sum64())
	x := &Incident{
		ID: "in_" + now.UTC().Format("20060102") + "_" + hex.EncodeToString(raw[:3]), Title: a.Title, Status: Open, Severity: a.Urgency,
		Opened: now, Roles: map[string]string{}, Simulated: a.Simulated,
	}
	for _, e := range l.recent {
		if now.Sub(e.Time) <= before {
			x.add(e)
		}
	}
	l.all = append(l.all, x)
	for i := 0; len(l.all) > maxIncidents && i < len(l.all)-1; {
		if l.all[i].Status == Open {
			i++
			continue
		}
		l.touch(l.all[i])
		l.all = slices.Delete(l.all, i, i+1)
	}
	return x
}

// Happened notes a change, of the configuration or the fleet: in the incidents that are
// open, and for those that may follow.
func (l *Log) Happened(e Entry) {
	if l.recent = append(l.recent, e); len(l.recent) > maxRecent {
		l.recent = slices.Delete(l.recent, 0, len(l.recent)-maxRecent)
	}
	for _, x := range l.all {
		if x.Status == Open {
			x.add(e)
			l.touch(x)
		}
	}
}

// Find returns an incident by its id, or by the word latest.
func (l *Log) Find(id string) (Incident, bool) {
	if x := l.find(id); x != nil {
		return x.copy(), true
	}
	return Incident{}, false
}

func (l *Log) find(id string) *Incident {
	if id == "latest" && len(l.all) > 0 {
		return l.all[len(l.all)-1]
	}
	if i := slices.IndexFunc(l.all, func(x *Incident) bool { return x.ID == id }); i >= 0 {
		return l.all[i]
	}
	return nil
}

// All returns the incidents, the latest first.
func (l *Log) All() []Incident {
	all := make([]Incident, 0, len(l.all))
	for _, x := range slices.Backward(l.all) {
		all = append(all, x.copy())
	}
	return all
}

// Edit is what an operator does with an incident; what is empty stays as it is.
type Edit struct {
	Note   string `json:"note,omitempty"`
	Role   string `json:"role,omitempty"` // such as lead, with Who
	Who    string `json:"who,omitempty"`
	Status Status `json:"status,omitempty"`
	By     string `json:"by,omitempty"`
}

// Do carries an edit out, and returns the incident; false where there is none.
func (l *Log) Do(now time.Time, id string, e Edit) (Incident, bool) {
	x := l.find(id)
	if x == nil {
		return Incident{}, false
	}
	if e.Note != "" {
		x.add(Entry{Time: now, Kind: "note", Text: e.Note, By: e.By})
	}
	if e.Role != "" {
		x.Roles[e.Role] = e.Who
		x.add(Entry{Time: now, Kind: "role", Text: e.Role + ": " + e.Who, By: e.By})
	}
	if e.Status != "" && e.Status != x.Status {
		switch x.Status = e.Status; e.Status {
		case Closed:
			x.Closed = now
		case Mitigated:
			x.Mitigated = now
		default:
			x.Mitigated, x.Closed = time.Time{}, time.Time{}
		}
		x.add(Entry{Time: now, Kind: "status", Text: string(e.Status), By: e.By})
	}
	l.touch(x)
	return x.copy(), true
}

// Markdown writes a draft of what is written after an incident: what is known stands
// there, what only people know is asked for.
func (x *Incident) Markdown() string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	at := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
	say("# %s\n", x.Title)
	if x.Simulated {
		say("**Simulated.**\n")
	}
	say("| | |\n|---|---|")
	say("| id | %s |\n| status | %s |\n| severity | %s |\n| opened | %s |", x.ID, x.Status, x.Severity, at(x.Opened))
	end := x.Closed
	if !x.Mitigated.IsZero() {
		end = x.Mitigated
		say("| mitigated | %s |", at(x.Mitigated))
	}
	if !x.Closed.IsZero() {
		say("| closed | %s |", at(x.Closed))
	}
	if !end.IsZero() {
		say("| lasted | %s |", end.Sub(x.Opened).Round(time.Second))
	}
	roles := make([]string, 0, len(x.Roles))
	for role := range x.Roles {
		roles = append(roles, role)
	}
	slices.Sort(roles)
	for _, role := range roles {
		say("| %s | %s |", role, x.Roles[role])
	}
	say("\n## Summary\n\n_What happened, in three sentences for somebody who was not there._")
	say("\n## Impact\n\n%s", orAsk(x.Impact, "_Who saw what, for how long, and what it cost._"))
	say("\n## Cause\n\nFound by the alert: %s.\n\n_Why that could happen._", orAsk(x.Cause, "nothing"))
	say("\n## Timeline\n")
	for _, e := range x.Timeline {
		by := ""
		if e.By != "" {
			by = " (" + e.By + ")"
		}
		say("- %s **%s** %s%s", at(e.Time), e.Kind, strings.ReplaceAll(e.Text, "\n", " "), by)
	}
	if x.Left > 0 {
		say("- %d entries more found no room", x.Left)
	}
	say("\n## What helped\n\n_What was done, and what told that it worked._ The alert's advice was `%s`.", orAsk(x.Next, "none"))
	say("\n## What follows\n\n- [ ] _What is done so that this does not happen again, by whom, until when._")
	return b.String()
}

func orAsk(text, ask string) string {
	if text == "" {
		return ask
	}
	return text
}
