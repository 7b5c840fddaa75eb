// Package route decides in which order a model's targets are asked: what cannot
// serve a request is left out, the rest stands by the operator's order or is drawn
// by weight.
package route

import (
	"math/rand/v2"

	"headworks/internal/fleet"
	"headworks/internal/inference"
)

// MaxTargets bounds the targets of one model.
const MaxTargets = fleet.MaxTargets

// Why a target stands where it does.
const (
	First    = "first in order"
	Drawn    = "drawn by weight"
	Asked    = "asked for by name"
	FellBack = "fell back"
)

// Why a target is left out.
const (
	TooLong = "the request does not fit its window"
	Foreign = "its upstream cannot serve this kind of request"
)

// Order is a model's targets in the order in which to ask them.
type Order struct {
	Targets [MaxTargets]uint8 // places in the model's list; the first N count
	N       int
	Left    [MaxTargets]string // by place in the model's list: why it is left out
	Why     string             // why the first is first
}

// Pick orders the targets of m for a request.
func Pick(m *fleet.Model, req *inference.Request, src *rand.PCG) Order {
	var o Order
	o.Why = First
	if m.Asked {
		o.Why = Asked
	}
	total := 0
	full := [MaxTargets]uint8{} // those too small only by what the card says
	small := 0
	for i := range m.Targets[:min(len(m.Targets), MaxTargets)] {
		t := &m.Targets[i]
		if t.Speaks != 0 && !t.Speaks.Serves(req.Dialect) {
			o.Left[i] = Foreign
			continue
		}
		if t.Window > 0 && longest(req)+req.MaxTokens > t.Window {
			o.Left[i] = TooLong
			if t.Carded {
				full[small], small = uint8(i), small+1
			}
			continue
		}
		o.Targets[o.N] = uint8(i)
		o.N++
		total += weight(t)
	}
	if o.N == 0 {
		// Our estimate and a number of the card refuse nobody: the upstream has the
		// last word.
		for _, i := range full[:small] {
			o.Left[i] = ""
			o.Targets[o.N] = i
			o.N++
			total += weight(&m.Targets[i])
		}
	}
	if m.Policy != fleet.Weighted || o.N < 2 {
		return o
	}
	o.Why = Drawn
	left := int((src.Uint64() >> 32) * uint64(total) >> 32)
	for i := range o.N {
		if left -= weight(&m.Targets[o.Targets[i]]); left < 0 {
			first := o.Targets[i]
			copy(o.Targets[1:i+1], o.Targets[:i])
			o.Targets[0] = first
			break
		}
	}
	return o
}

// longest returns the tokens of the longest prompt: of several, each has the window
// for itself.
func longest(req *inference.Request) int {
	if req.Longest > 0 {
		return req.Longest
	}
	return req.Input
}

func weight(t *fleet.Target) int { return max(t.Weight, 1) }
