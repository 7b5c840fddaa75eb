package route

import (
	"headworks/internal/fleet"
	"headworks/internal/inference"
)

// Why a target is left out.
const (
	Abroad  = "outside the regions that the caller's requests stay in"
	TooLong = "the request does not fit its window"
	Foreign = "its upstream cannot serve this kind of request"
	TooPoor = "its quality is below what a rule asks for"
)

// lacks says by ability why a target is left out that has not got it.
var lacks = [...]string{
	inference.Tools:      "its model cannot use tools",
	inference.Vision:     "its model reads no pictures",
	inference.Documents:  "its model reads no documents",
	inference.Hearing:    "its model hears no audio",
	inference.JSONSchema: "its model keeps to no JSON schema",
	inference.Reasoning:  "its model does not think",
}

// others says by ability why another target is first.
var others = [...]string{
	inference.Tools:      "capabilities: the request has tools, which those before it cannot use",
	inference.Vision:     "capabilities: the request has pictures, which those before it cannot read",
	inference.Documents:  "capabilities: the request has documents, which those before it cannot read",
	inference.Hearing:    "capabilities: the request has audio, which those before it cannot hear",
	inference.JSONSchema: "capabilities: the request has a JSON schema, which those before it do not keep to",
	inference.Reasoning:  "capabilities: the request asks for thinking, which those before it do not do",
}

// Why another target is first than would be if all could serve the request.
const (
	Longer   = "context: the request does not fit the window of those before it"
	Speaking = "capabilities: the upstreams of those before it do not serve this kind of request"
	Within   = "residency: those before it are outside the regions that the caller's requests stay in"
	Richer   = "rule: those before it are below the quality that it asks for"
)

// Lacks returns the ability that a target is left out for, if it is one.
func Lacks(why string) (inference.Ability, bool) {
	for a, words := range lacks {
		if words == why {
			return inference.Ability(a), true
		}
	}
	return 0, false
}

// fit leaves out what cannot serve a request. What only the model card says refuses
// nobody: it counts where another target can. Who does not think may still answer,
// and stands behind those who do.
func (o *Order) fit(m *fleet.Model, req *inference.Request, abroad Set) {
	doubted := [MaxTargets]uint8{} // those that cannot only by what the card says
	behind := [MaxTargets]uint8{}
	far := [MaxTargets]uint8{} // other cells
	doubts, idle, fars := 0, 0, 0
	defer func() { // behind all, whatever is known of the others
		for _, i := range far[:fars] {
			o.Targets[o.N] = i
			o.N++
		}
		if o.sure == 0 {
			o.sure = o.N
		}
	}()
	for i := range m.Targets[:min(len(m.Targets), MaxTargets)] {
		t := &m.Targets[i]
		missing := missing(t, req)
		switch {
		case abroad.Has(i):
			o.Left[i] = Abroad
		case t.Speaks != 0 && !t.Speaks.Serves(req.Dialect):
			o.Left[i] = Foreign
		case t.Window > 0 && longest(req)+req.MaxTokens > t.Window:
			o.Left[i] = TooLong
			if t.Carded && (missing == 0 || !t.Told) {
				doubted[doubts], doubts = uint8(i), doubts+1
			}
		case missing != 0:
			o.Left[i] = lacks[missing.First()]
			if !t.Told {
				doubted[doubts], doubts = uint8(i), doubts+1
			}
		case t.Away:
			far[fars], fars = uint8(i), fars+1
		case t.Can.Known() && t.Can.Lacks(req.Needs) != 0:
			behind[idle], idle = uint8(i), idle+1
		default:
			o.Targets[o.N] = uint8(i)
			o.N++
		}
	}
	o.sure = o.N
	for _, i := range behind[:idle] {
		o.Targets[o.N] = i
		o.N++
	}
	if o.sure == 0 {
		o.sure = o.N
	}
	if o.N > 0 {
		return
	}
	// Our estimate and what a card says refuse nobody: the upstream has the last word.
	for _, i := range doubted[:doubts] {
		o.Left[i] = ""
		o.Targets[o.N] = i
		o.N++
	}
	o.sure = o.N
}

// missing returns what a target is known not to be able to, of what a request cannot
// do without.
func missing(t *fleet.Target, req *inference.Request) inference.Abilities {
	if !t.Can.Known() {
		return 0
	}
	return t.Can.Lacks(req.Needs) &^ (1 << inference.Reasoning)
}

// instead says why the first is first, where one that was left out or put behind
// would have been before it.
func (o *Order) instead(m *fleet.Model, before func(place int) bool) {
	for i, why := range o.Left[:min(len(m.Targets), MaxTargets)] {
		if why == "" || !before(i) {
			continue
		}
		switch a, ok := Lacks(why); {
		case ok:
			o.Why = others[a]
		case why == Abroad:
			o.Why = Within
		case why == TooLong:
			o.Why = Longer
		case why == TooPoor:
			o.Why = Richer
		default:
			o.Why = Speaking
		}
		return
	}
	for _, i := range o.Targets[o.sure:o.N] {
		if !m.Targets[i].Away && before(int(i)) {
			o.Why = others[inference.Reasoning]
			return
		}
	}
}

// longest returns the tokens of the longest prompt: of several, each has the window
// for itself.
func longest(req *inference.Request) int {
	if req.Longest > 0 {
		return req.Longest
	}
	return req.Input
}
