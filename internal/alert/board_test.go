package alert

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func why(notices []Notice) (s string) {
	for _, n := range notices {
		s += n.Why + ":" + n.Alert.Fingerprint + " "
	}
	return s
}

// TestBoard: an alert is told once, again where it gets worse, every four hours while it
// pages, and when it ends.
func TestBoard(t *testing.T) {
	var b Board
	now := start
	say := func(severity Severity, want string) {
		t.Helper()
		if severity > 0 {
			b.Raise(now, Alert{Fingerprint: "a", Severity: severity, Title: "x"}, time.Minute)
		}
		if got := why(b.Settle(now)); got != want {
			t.Errorf("%v: told %q, want %q", now.Sub(start), got, want)
		}
	}
	say(Ticket, "firing:a ")
	now = now.Add(10 * time.Second)
	say(Ticket, "")
	say(Page, "worse:a ")
	for range 4*60 - 1 {
		now = now.Add(time.Minute / 2)
		say(Page, "")
		now = now.Add(time.Minute / 2)
		say(Page, "")
	}
	now = now.Add(time.Minute)
	b.Raise(now.Add(-time.Second), Alert{Fingerprint: "a", Severity: Page}, time.Minute)
	say(Page, "still firing:a ")
	id := b.Firing()[0].ID
	now = now.Add(59 * time.Second)
	say(0, "")
	now = now.Add(time.Second)
	say(0, "resolved:a ")
	if ended := b.Ended(); len(ended) != 1 || ended[0].ID != id || ended[0].Until != now || len(b.Firing()) != 0 {
		t.Errorf("ended: %+v", ended)
	}
}

// TestBoardIsQuiet: silences, alerts that another one explains, and those that fire
// again and again do not wake anybody twice.
func TestBoardIsQuiet(t *testing.T) {
	var b Board
	now := start
	b.Silences = []Silence{{ID: "s", Match: map[string]string{"upstream": "u"}, Until: now.Add(time.Hour)}, {ID: "none", Until: now.Add(time.Hour)}}
	b.Raise(now, Alert{Fingerprint: "silent", Severity: Page, Scope: map[string]string{"upstream": "u", "model": "m"}}, 2*time.Hour)
	b.Raise(now, Alert{Fingerprint: "region", Severity: Page}, 2*time.Hour)
	b.Raise(now, Alert{Fingerprint: "replica", Severity: Page, Under: "region"}, 2*time.Hour)
	if got := why(b.Settle(now)); got != "firing:region " {
		t.Errorf("told %q", got)
	}
	now = now.Add(time.Hour)
	if got := why(b.Settle(now)); got != "firing:silent " {
		t.Errorf("after the silence: told %q", got)
	}
	told := 0
	count := func(notices []Notice) {
		for _, n := range notices {
			if n.Alert.Fingerprint == "flap" {
				told++
			}
		}
	}
	for range 20 {
		now = now.Add(2 * time.Minute)
		b.Raise(now, Alert{Fingerprint: "flap", Severity: Page}, time.Minute)
		count(b.Settle(now))
		now = now.Add(2 * time.Minute)
		count(b.Settle(now))
	}
	if told > 7 {
		t.Errorf("one that flaps is told %d times", told)
	}
	if f := b.Firing(); !f[len(f)-1].Flapping {
		t.Errorf("flaps: %+v", f)
	}
}

// TestBoardIsBounded: whatever is raised, the board keeps so much, and what is told as
// ended was told before.
func TestBoardIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Board
		now := start
		known := map[string]bool{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			for i := range rapid.IntRange(0, 300).Draw(t, "raised") {
				b.Raise(now, Alert{Fingerprint: fmt.Sprint(i), Severity: Page}, time.Duration(i)*time.Second)
			}
			for _, n := range b.Settle(now) {
				if n.Why == Resolved && !known[n.Alert.ID] {
					t.Fatalf("%s ended, of which nobody heard", n.Alert.Fingerprint)
				}
				known[n.Alert.ID] = true
			}
			now = now.Add(time.Duration(rapid.IntRange(1, 600).Draw(t, "gap")) * time.Second)
		}
		if len(b.firing) > maxFiring || len(b.ended) > maxEnded {
			t.Fatalf("%d fire, %d ended", len(b.firing), len(b.ended))
		}
	})
}
