package route

import (
	"headworks/internal/fleet"
	"headworks/internal/inference"
)

// Why a target of a cascade is asked.
const (
	Escalated = "cascade: the answer of the one before it did not pass"
	Unread    = "cascade: an answer of this kind cannot be looked at, so the last target is asked at once"
	Spared    = "cascade: answers of those before it pass too seldom to save anything"
)

// Leap puts the last target first, of those that surely can serve here: another cell
// has a cascade of its own.
func (o *Order) Leap(m *fleet.Model, why string) {
	for i := o.sure - 1; i > 0; i-- {
		if place := o.Targets[i]; !m.Targets[place].Away {
			o.Lead(place, why)
			return
		}
	}
}

// Spare puts a target behind the next one where asking it first saves nothing: its
// answers pass with a smaller probability than its share of the next one's price
// (small + P(fail) x large against large). Without both prices it stays.
func (o *Order) Spare(m *fleet.Model, req *inference.Request, passes *[MaxTargets]float64) {
	output := req.MaxTokens
	if output == 0 || output > usualOutput {
		output = usualOutput
	}
	at := 0
	for at+1 < o.sure && !m.Targets[o.Targets[at+1]].Away {
		small, known := cost(&m.Targets[o.Targets[at]], req.Input, 0, output)
		large, also := cost(&m.Targets[o.Targets[at+1]], req.Input, 0, output)
		if !known || !also || passes[o.Targets[at]] >= small/large {
			break
		}
		at++
	}
	if at > 0 {
		o.Lead(o.Targets[at], Spared)
	}
}
