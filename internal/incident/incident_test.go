package incident

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"headworks/internal/alert"
)

var start = time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)

func notice(why, fingerprint string, s alert.Severity) alert.Notice {
	return alert.Notice{Why: why, Alert: alert.Alert{ID: "al_" + fingerprint, Fingerprint: fingerprint, Severity: s, Urgency: s.String(), Title: "title of " + fingerprint, Cause: "cause of " + fingerprint, Next: "headworks status"}}
}

// TestIncident: a page opens one; what changed shortly before, what fires meanwhile and
// what people say is in it; it is mitigated when nothing fires, and closed by people.
func TestIncident(t *testing.T) {
	var l Log
	l.Happened(Entry{Time: start.Add(-time.Hour), Kind: "config", Text: "long ago"})
	l.Happened(Entry{Time: start.Add(-5 * time.Minute), Kind: "config", Text: "generation 12"})
	l.See(start, notice(alert.Fired, "t", alert.Ticket))
	if len(l.All()) != 0 {
		t.Error("a ticket opens an incident")
	}
	l.See(start, notice(alert.Fired, "a", alert.Page))
	l.See(start.Add(time.Minute), notice(alert.Fired, "b", alert.Ticket))
	l.Happened(Entry{Time: start.Add(2 * time.Minute), Kind: "drain", Text: "eu/r2 is drained"})
	x, ok := l.Do(start.Add(3*time.Minute), "latest", Edit{Note: "it is the new\ndriver", Role: "lead", Who: "Ada", By: "Ada"})
	if !ok || x.Status != Open || x.Roles["lead"] != "Ada" || len(x.Firing) != 2 {
		t.Fatalf("%+v", x)
	}
	l.See(start.Add(4*time.Minute), notice(alert.Resolved, "b", alert.Ticket))
	l.See(start.Add(5*time.Minute), notice(alert.Resolved, "a", alert.Page))
	if x, _ = l.Find(x.ID); x.Status != Mitigated || x.Mitigated != start.Add(5*time.Minute) {
		t.Errorf("%+v", x)
	}
	l.See(start.Add(10*time.Minute), notice(alert.Fired, "a", alert.Page))
	if x, _ = l.Find(x.ID); x.Status != Open || len(l.All()) != 1 {
		t.Errorf("it fires again: %+v", x)
	}
	l.See(start.Add(11*time.Minute), notice(alert.Resolved, "a", alert.Page))
	x, _ = l.Do(start.Add(time.Hour), x.ID, Edit{Status: Closed})
	text := x.Markdown()
	for _, want := range []string{"# title of a", "generation 12", "eu/r2 is drained", "it is the new driver (Ada)", "| lead | Ada |", "cause of a", "lasted | 11m0s", "14:03:00 UTC"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "long ago") {
		t.Error("what was long ago is in it")
	}
	l.See(start.Add(2*time.Hour), notice(alert.Fired, "a", alert.Page))
	if len(l.All()) != 2 {
		t.Error("a closed one takes more")
	}
	if _, ok := l.Do(start, "nobody", Edit{Note: "x"}); ok {
		t.Error("one that is not there")
	}

	changed, _ := l.Changed()
	var next Log
	next.Load(changed)
	if a, b := l.All(), next.All(); fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("after a restart:\n%v\n%v", a, b)
	}
	if again, gone := l.Changed(); len(again)+len(gone) != 0 {
		t.Errorf("changed again: %v %v", again, gone)
	}
}

// TestBounds: so many incidents and entries are kept, and what goes is told.
func TestBounds(t *testing.T) {
	var l Log
	now := start
	for i := range maxIncidents + 20 {
		now = now.Add(24 * time.Hour)
		l.See(now, notice(alert.Fired, fmt.Sprint(i), alert.Page))
		if _, ok := l.Do(now, "latest", Edit{Status: Closed}); !ok {
			t.Fatal("none")
		}
	}
	if _, gone := l.Changed(); len(l.All()) != maxIncidents || len(gone) != 20 {
		t.Errorf("%d are kept, %d are gone", len(l.All()), len(gone))
	}
	l.See(now, notice(alert.Fired, "x", alert.Page))
	for range maxEntries + 5 {
		l.Happened(Entry{Time: now, Kind: "config"})
	}
	x, _ := l.Find("latest")
	if len(x.Timeline) != maxEntries || x.Left == 0 {
		t.Errorf("%d entries, %d left out", len(x.Timeline), x.Left)
	}
}
