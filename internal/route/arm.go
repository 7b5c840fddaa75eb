package route

import (
	"math"

	"headworks/internal/fleet"
)

// Held is why a target is first that was drawn for whoever asks, and not for the
// one request.
const Held = "held to its arm"

// Hold puts the target first that a subject is held to, and leaves the rest as it
// stands. Each subject has one number for each target, and the target wins whose
// number is the best for its weight (weighted rendezvous hashing: Thaler and
// Ravishankar 1998, with the weights of Schindelhauer and Schomaker 2005). A changed
// weight moves only subjects to or from the target that it is of; a target that is
// left out gives away its own subjects and no other.
func (o *Order) Hold(m *fleet.Model, subject uint64) {
	if o.sure < 2 {
		return
	}
	won, best := uint8(0), math.Inf(1)
	for _, place := range o.Targets[:o.sure] {
		t := &m.Targets[place]
		// An exponential variable at the rate of its weight: the least of several is
		// each one's as often as its share of the rates.
		if wait := -math.Log(Even(subject, t.Salt)) / float64(weight(t)); wait < best {
			won, best = place, wait
		}
	}
	o.Lead(won, Held)
}

// Lead puts a target first that is in the order, and says why. The rest stays as it
// stands. It reports whether the target is in it.
func (o *Order) Lead(place uint8, why string) bool {
	for i, p := range o.Targets[:o.N] {
		if p == place {
			copy(o.Targets[1:i+1], o.Targets[:i])
			o.Targets[0], o.Why = place, why
			return true
		}
	}
	return false
}

// Leave takes a target out of the order, and says why. It reports whether the target
// was in it with others: the last one stays.
func (o *Order) Leave(place uint8, why string) bool {
	for i, p := range o.Targets[:o.N] {
		if p == place && o.N > 1 {
			copy(o.Targets[i:o.N-1], o.Targets[i+1:o.N])
			o.N--
			if i < o.sure {
				o.sure--
			}
			o.Left[place] = why
			return true
		}
	}
	return false
}

// Even returns a number above 0 and below 1 for a subject and a salt, the same each
// time, and over subjects each as likely as any other (the finisher of SplitMix64,
// Steele, Lea and Flood 2014).
func Even(subject, salt uint64) float64 {
	x := subject ^ salt*0x9e3779b97f4a7c15
	for range 2 {
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
	}
	return (float64(x>>12) + 0.5) / (1 << 52)
}
