package health

import (
	"testing"
	"time"

	"headworks/internal/fleet"
)

// TestSilent: silence counts where it is one's own: nobody is silent while all are, and
// nobody is who was heard.
func TestSilent(t *testing.T) {
	s := State{Rules: Default()}
	p := pool(3)
	at := func(sec int) time.Time { return start.Add(time.Duration(sec) * time.Second) }
	want := func(what string, id fleet.ReplicaID, since int, want bool) {
		t.Helper()
		if got := s.Silent(id, p, at(since)); got != want {
			t.Errorf("%s: silent %v", what, got)
		}
	}
	want("nobody was heard", 0, 0, false)
	s.Heard(1, at(5))
	want("a peer was", 0, 0, true)
	want("but not since", 0, 5, false)
	want("who was heard", 1, 0, false)
	s.Heard(0, at(3))
	want("it was, too", 0, 0, false)
	want("and not since, while the peer was", 0, 4, true)
	s.Heard(0, at(1))
	want("an old word that comes late", 0, 2, false)
	if s.Silent(0, p[:1], at(4)) {
		t.Error("alone, it is silent")
	}
}

// TestIsStuck: requests that were there before it was found out are told, until
// something comes from it or it is back.
func TestIsStuck(t *testing.T) {
	s := State{Rules: Default()}
	p := pool(2)
	now := start.Add(time.Minute)
	if s.IsStuck(0, start) {
		t.Error("nothing is known")
	}
	if !s.Suspect(0, p, Stuck, now, 0.5) || !s.IsStuck(0, start) || s.IsStuck(0, now.Add(time.Second)) || s.IsStuck(1, start) {
		t.Error("not those that were there before")
	}
	s.Heard(0, now.Add(time.Second))
	if s.IsStuck(0, start) {
		t.Error("something came")
	}
	if s.Suspect(1, p, Stuck, now, 0.5) {
		t.Error("the last one is out")
	}
}
