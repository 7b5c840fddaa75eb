// Package route decides in which order a model's targets are asked, in stages:
//
//  1. What cannot serve the request is left out (fit).
//  2. The rest is ordered by the model's policy: as the operator wrote it, drawn by
//     weight, or the best for this request (best).
//
// Each stage says why, and what would have been first without it.
package route

import (
	"math/rand/v2"
	"time"

	"headworks/internal/complexity"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/tenant"
)

// MaxTargets bounds the targets of one model.
const MaxTargets = fleet.MaxTargets

// Why a target stands where it does.
const (
	First    = "first in order"
	Drawn    = "drawn by weight"
	Asked    = "asked for by name"
	FellBack = "fell back"
	Stands   = "availability: those before it are out"
	Last     = "availability: all are out, and it is the last resort"
)

// Ask is what an order is made for.
type Ask struct {
	Request *inference.Request
	Tier    string      // of the caller
	Abroad  Set         // targets that may not see the request
	Wish    tenant.Wish // of the caller, within what his tier allows
	Own     bool        // the preference in Wish is the caller's own
	Spent   float64     // of the caller's budget, 0 to 1

	Paces *[MaxTargets]Pace // by place in the model's list; nil: nothing is foreseen
}

// Pace is how soon a target is thought to answer this request now.
type Pace struct {
	TTFT, TPOT time.Duration // 0 is not known
	Queued     time.Duration // of TTFT, what is waiting for others
	Held       int           // tokens of the prompt that are thought to be in a cache there
	Saved      time.Duration // by them: how much later TTFT would be without
}

// Set is a set of targets, by their place in the model's list.
type Set uint16

// Has reports whether the target at a place is in s.
func (s Set) Has(place int) bool { return s>>place&1 != 0 }

// With returns s with the target at a place in it.
func (s Set) With(place int) Set { return s | 1<<place }

// Order is a model's targets in the order in which to ask them.
type Order struct {
	Targets [MaxTargets]uint8 // places in the model's list; the first N count
	N       int
	Left    [MaxTargets]string // by place in the model's list: why it is left out
	Why     string             // why the first is first

	sure int // of N; those behind are asked where no other is left

	Judged     bool // the rest counts: the policy is Best
	Complexity complexity.Score
	Prefer     tenant.Preference
	Scores     [MaxTargets]Score // by place in the model's list
}

// Aim returns the objective of a request for m: the caller's, else his tier's, else
// the model's.
func Aim(m *fleet.Model, w tenant.Wish) tenant.Objective { return w.Objective.Or(m.Aim) }

// Pick orders the targets of m.
func Pick(m *fleet.Model, ask *Ask, src *rand.PCG) Order {
	var o Order
	o.fit(m, ask.Request, ask.Abroad)
	switch {
	case m.Policy == fleet.Best && m.Choice != nil && o.N > 0:
		o.best(m, ask)
	case m.Policy == fleet.Weighted && o.sure > 1:
		o.draw(m, src)
	default:
		o.Why = First
		if m.Asked {
			o.Why = Asked
		}
		if o.N > 0 {
			o.instead(m, func(place int) bool { return place < int(o.Targets[0]) })
		}
	}
	return o
}

// draw draws the first by weight.
func (o *Order) draw(m *fleet.Model, src *rand.PCG) {
	total := 0
	for _, i := range o.Targets[:o.sure] {
		total += weight(&m.Targets[i])
	}
	o.Why = Drawn
	left := int((src.Uint64() >> 32) * uint64(total) >> 32)
	for i := range o.sure {
		if left -= weight(&m.Targets[o.Targets[i]]); left < 0 {
			first := o.Targets[i]
			copy(o.Targets[1:i+1], o.Targets[:i])
			o.Targets[0] = first
			break
		}
	}
}

// Gather brings the targets that are equal to the one at a place of the order, but
// for where they are, right behind it. It returns how many they are, with it.
func (o *Order) Gather(m *fleet.Model, at int) int {
	of := &m.Targets[o.Targets[at]]
	if of.Kin == 0 {
		return 1
	}
	end := o.N // those that are sure, and those that are not, stay apart
	if at < o.sure {
		end = o.sure
	}
	n := 1
	for i := at + 1; i < end; i++ {
		place := o.Targets[i]
		if t := &m.Targets[place]; t.Kin != of.Kin || t.Of != of.Of {
			continue
		}
		copy(o.Targets[at+n+1:i+1], o.Targets[at+n:i])
		o.Targets[at+n] = place
		n++
	}
	return n
}

func weight(t *fleet.Target) int { return max(t.Weight, 1) }
