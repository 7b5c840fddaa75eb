package health

import (
	"testing"
	"time"

	"headworks/internal/fault"
)

// TestIdleHalfOpenMakesRoom: a replica that nobody asks does not keep others in for ever;
// and where its pool cannot spare it any more, it stays half open however it fails.
func TestIdleHalfOpenMakesRoom(t *testing.T) {
	s := State{Rules: Default()}
	p := pool(3)
	now := start
	if !s.Suspect(1, p, Hardware, now, 0.5) || s.Suspect(0, p, Hardware, now, 0.5) {
		t.Fatal("one of three is spared")
	}
	now = now.Add(s.Rules.Base + s.Rules.Max - 1)
	if s.Suspect(0, p, Hardware, now, 0.5) {
		t.Error("half open for less than a minute, it made room")
	}
	if now = now.Add(1); !s.Suspect(0, p, Hardware, now, 0.5) {
		t.Error("it keeps the others in for ever")
	}
	s.Sent(1, now)
	s.Failed(1, "", p, fault.New(fault.UpstreamError, ""), now, now.Add(time.Second), 0.5)
	if st := s.Of(1, "", now.Add(time.Second)); !st.Probe {
		t.Errorf("two of three are out: %+v", st)
	}
}
