package route

import (
	"math/rand/v2"
	"testing"

	"headworks/internal/fleet"
	"headworks/internal/inference"
)

// TestCardRefusesNobody: a window of the card sends a long prompt to where it fits;
// where it fits nowhere, whoever serves has the last word. A window that the operator
// wrote down is final.
func TestCardRefusesNobody(t *testing.T) {
	small := fleet.Target{Model: "small", Window: 100, Carded: true}
	large := fleet.Target{Model: "large", Window: 1000}
	own := fleet.Target{Model: "own", Window: 100}
	for _, tt := range []struct {
		name    string
		targets []fleet.Target
		input   int
		want    []string
		left    []string
	}{
		{"it fits", []fleet.Target{small, large}, 50, []string{"small", "large"}, []string{"", ""}},
		{"it fits elsewhere", []fleet.Target{small, large}, 500, []string{"large"}, []string{TooLong, ""}},
		{"it fits nowhere", []fleet.Target{small, own, small}, 500, []string{"small", "small"}, []string{"", TooLong, ""}},
		{"nobody but the operator's", []fleet.Target{own}, 500, nil, []string{TooLong}},
	} {
		m := fleet.Model{Targets: tt.targets}
		o := Pick(&m, &Ask{Request: &inference.Request{Input: tt.input}}, rand.NewPCG(1, 2))
		var got []string
		for _, i := range o.Targets[:o.N] {
			got = append(got, m.Targets[i].Model)
		}
		if len(got) != len(tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
			continue
		}
		for i := range got {
			if got[i] != tt.want[i] {
				t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
			}
		}
		for i, why := range tt.left {
			if o.Left[i] != why {
				t.Errorf("%s: target %d left out: %q, want %q", tt.name, i, o.Left[i], why)
			}
		}
	}
}
