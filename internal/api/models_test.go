package api

import (
	"testing"

	"headworks/internal/fleet"
	"headworks/internal/inference"
)

// TestDescribe: of several targets, the largest window and answer, what all can do,
// the first price, and when the model came out.
func TestDescribe(t *testing.T) {
	s := &fleet.Snapshot{Since: 7}
	can := inference.AbilitiesOf(inference.Tools, inference.Vision)
	cheap := inference.Price{Known: true, Input: 1, Output: 2}
	for _, tt := range []struct {
		name    string
		targets []fleet.Target
		want    inference.Model
	}{
		{"nothing is known", []fleet.Target{{}}, inference.Model{Name: "m", Created: 7}},
		{
			"two targets",
			[]fleet.Target{
				{Window: 100, Output: 50, Can: can},
				{Window: 200, Output: 20, Can: inference.AbilitiesOf(inference.Tools, inference.Reasoning), Price: cheap, Released: 5},
				{Price: inference.Price{Known: true, Input: 9}, Released: 6},
			},
			inference.Model{Name: "m", Created: 5, Window: 200, Output: 50, Abilities: inference.AbilitiesOf(inference.Tools), Price: cheap},
		},
	} {
		if got := describe(s, &fleet.Model{Name: "m", Targets: tt.targets}); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
