package route

import (
	"math"
	"slices"
	"time"

	"headworks/internal/complexity"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/tenant"
)

// Score is what a target loses against the best of those that can serve, in all and
// by term: 0 is best, and less is worse.
type Score struct {
	Total float32
	Parts [inference.Terms]float32
}

// Why a target is the best.
const (
	Complex  = "complexity: the request looks hard, so quality counts more"
	Simple   = "complexity: the request looks easy, so price counts more"
	Warm     = "cache: those that would be better otherwise would have to read what it holds of the prompt"
	Kept     = "latency objective: those that would be better otherwise are thought to miss it"
	Load     = "load: those that would be better otherwise have too much to do"
	LoadKept = "load: those that would be better otherwise have too much to do to keep the latency objective"
	Better   = "quality: the best of those that can serve"
	Cheaper  = "price: the cheapest of those that are good enough"
	Sooner   = "latency: the soonest of those that are good enough"
)

// Why it is, where a preference decides: the caller's, his tier's, or a rule's.
var preferred = [...][4]string{
	{tenant.Quality: "preference: the caller asks for quality", tenant.Price: "preference: the caller asks for a low price", tenant.Latency: "preference: the caller asks for low latency"},
	{tenant.Quality: "tier: it prefers quality", tenant.Price: "tier: it prefers a low price", tenant.Latency: "tier: it prefers low latency"},
	{tenant.Quality: "rule: it prefers quality", tenant.Price: "rule: it prefers a low price", tenant.Latency: "rule: it prefers low latency"},
	{tenant.Quality: "budget: for what is left, a rule prefers quality", tenant.Price: "budget: little is left, so a rule prefers a low price", tenant.Latency: "budget: for what is left, a rule prefers low latency"},
}

// whose preference counts.
const (
	callers = iota
	tiers
	rules
	budgets // a rule that holds for what is left of one
)

// What costs a target the whole weight of a term once.
const (
	qualityStep = 0.2 // of quality
	ratioStep   = 2   // factors of two in price or time
)

// middling is the complexity of which quality and price count alike.
const middling = 0.5

// usualOutput is how long an answer is taken to be whose length nobody knows.
const usualOutput = 256

// What a preference does to the weights: what is preferred counts that many times as
// much, what stands against it so much less, and latency has further to come.
const (
	push        = 4
	pushLatency = 8
)

// supposed is what is supposed of the targets.
type supposed uint8

const (
	asItIs supposed = iota
	ifIdle          // nothing waits for others
	ifCold          // nothing is in a cache
)

// losses are what each target loses by each term, before weights.
type losses [MaxTargets][inference.Terms]float64

// best orders by what the request needs.
func (o *Order) best(m *fleet.Model, ask *Ask) {
	c := m.Choice
	n := min(len(m.Targets), MaxTargets)
	o.Judged = true
	o.Complexity = complexity.Of(ask.Request, (*complexity.Weights)(&c.Signals))
	hard := float64(o.Complexity.Total)

	whose, least := callers, 0.0
	o.Prefer = ask.Wish.Prefer
	if !ask.Own {
		whose = tiers
	}
	if r := rule(c, ask, hard); r != nil {
		if r.Prefer != tenant.NoPreference && !ask.Own {
			o.Prefer, whose = r.Prefer, rules
			if r.Budget > 0 {
				whose = budgets
			}
		}
		least = r.Least
	}
	o.demand(m, least)

	aim := Aim(m, ask.Wish)
	var l, other losses
	o.lose(m, ask, aim, &l, asItIs)
	w := weigh(c, hard, o.Prefer)
	var all [MaxTargets]float64
	for i := range n {
		all[i] = loss(&l[i], &w)
		o.Scores[i].Total = float32(0 - all[i])
		for t := range inference.Terms {
			o.Scores[i].Parts[t] = float32(0 - w[t]*l[i][t])
		}
	}
	before := func(a, b uint8) bool { return all[a] < all[b] || all[a] == all[b] && a < b }
	// Equals stand as the operator wrote them. Few targets: insertion is the fastest
	// sort.
	sure := o.Targets[:o.sure]
	for i := 1; i < len(sure); i++ {
		for j := i; j > 0 && before(sure[j], sure[j-1]); j-- {
			sure[j], sure[j-1] = sure[j-1], sure[j]
		}
	}
	first := sure[0]

	with := func(hard float64, p tenant.Preference) uint8 {
		w := weigh(c, hard, p)
		return o.winner(&l, &w)
	}
	o.Why = o.leading(m, &l, &w)
	switch easy, tough := with(0, o.Prefer), with(1, o.Prefer); {
	case o.Prefer != tenant.NoPreference && o.turns(&l, c, hard, first):
		o.Why = preferred[whose][o.Prefer]
	case o.any(ask, func(p *Pace) bool { return p.Held > 0 }) && o.lose(m, ask, aim, &other, ifCold) && o.winner(&other, &w) != first:
		o.Why = Warm
	case o.any(ask, func(p *Pace) bool { return p.Queued > 0 }) && o.lose(m, ask, aim, &other, ifIdle) && o.winner(&other, &w) != first:
		o.Why = Load
		if o.without(&l, w, inference.ByObjective) != first {
			o.Why = LoadKept
		}
	case o.without(&l, w, inference.ByObjective) != first:
		o.Why = Kept
	case easy == tough:
	case first == tough && hard >= middling:
		o.Why = Complex
	case first == easy && hard < middling:
		o.Why = Simple
	default: // it looks harder, or easier, than that: what leads is the reason
	}
	o.instead(m, func(place int) bool { return before(uint8(place), first) })
}

// rule returns the first of the rules that holds, nil if none does.
func rule(c *fleet.Choice, ask *Ask, hard float64) *fleet.Rule {
	for i := range c.Rules {
		r := &c.Rules[i]
		if (r.Tier == "" || r.Tier == ask.Tier) && hard >= r.Complexity && ask.Request.Input >= r.Input && ask.Request.Tools >= r.Tools && (r.Budget == 0 || 1-ask.Spent < r.Budget) {
			return r
		}
	}
	return nil
}

// demand leaves out what is worse than a rule asks for, if something better is left.
func (o *Order) demand(m *fleet.Model, least float64) {
	if least == 0 {
		return
	}
	poor := func(i uint8) bool { q := m.Targets[i].Quality; return q > 0 && q < least }
	rest := o.Targets[:o.sure]
	if !slices.ContainsFunc(rest, func(i uint8) bool { return !poor(i) }) {
		return
	}
	kept := 0
	for _, i := range o.Targets[:o.N] {
		if poor(i) {
			o.Left[i] = TooPoor
			if kept < o.sure {
				o.sure--
			}
			continue
		}
		o.Targets[kept] = i
		kept++
	}
	o.N = kept
}

// weigh returns what each term weighs.
func weigh(c *fleet.Choice, hard float64, p tenant.Preference) [inference.Terms]float64 {
	switch p { // whoever prefers one of them has no use for how the request looks
	case tenant.Quality:
		hard = max(hard, middling)
	case tenant.Price:
		hard = min(hard, middling)
	case tenant.NoPreference, tenant.Latency:
	}
	w := [inference.Terms]float64{
		inference.ByQuality:   c.Quality * (0.1 + 0.8*hard),
		inference.ByPrice:     c.Price * (0.9 - 0.8*hard),
		inference.ByLatency:   c.Latency,
		inference.ByObjective: c.Objective,
	}
	switch p {
	case tenant.Quality:
		w[inference.ByQuality] *= push
		w[inference.ByPrice] /= push
	case tenant.Price:
		w[inference.ByPrice] *= push
		w[inference.ByQuality] /= push
	case tenant.Latency:
		w[inference.ByLatency] *= pushLatency
	case tenant.NoPreference:
	}
	return w
}

// lose fills in what each target loses against the best of those that can serve. What
// is not known of one is taken to be as it is with the others on average. It returns
// true.
func (o *Order) lose(m *fleet.Model, ask *Ask, aim tenant.Objective, l *losses, how supposed) bool {
	*l = losses{}
	req := ask.Request
	output := req.MaxTokens
	if output == 0 || output > usualOutput {
		output = usualOutput
	}
	n := min(len(m.Targets), MaxTargets)
	var unknown [MaxTargets][inference.Terms]bool
	for i := range m.Targets[:n] {
		t := &m.Targets[i]
		unknown[i] = [inference.Terms]bool{true, true, true, true}
		if t.Quality > 0 {
			l[i][inference.ByQuality], unknown[i][inference.ByQuality] = -t.Quality/qualityStep, false
		}
		held := 0
		if ask.Paces != nil && how != ifCold {
			held = ask.Paces[i].Held
		}
		if cost, ok := cost(t, req.Input, held, output); ok {
			l[i][inference.ByPrice], unknown[i][inference.ByPrice] = math.Log2(cost)/ratioStep, false
		}
		if ask.Paces == nil {
			continue
		}
		p := ask.Paces[i]
		switch how {
		case ifIdle:
			p.TTFT -= p.Queued
		case ifCold:
			p.TTFT += p.Saved
		case asItIs:
		}
		if p.TTFT > 0 && p.TPOT > 0 {
			whole := p.TTFT + time.Duration(output)*p.TPOT
			l[i][inference.ByLatency], unknown[i][inference.ByLatency] = math.Log2(float64(whole))/ratioStep, false
		}
		if over, ok := over(p, aim); ok {
			l[i][inference.ByObjective], unknown[i][inference.ByObjective] = over, false
		}
	}
	for t := range inference.Terms {
		best, sum, known := math.Inf(1), 0.0, 0
		for _, i := range o.Targets[:o.N] {
			if !unknown[i][t] {
				best = min(best, l[i][t])
				sum += l[i][t]
				known++
			}
		}
		for i := range n {
			switch {
			case known == 0:
				l[i][t] = 0
			case unknown[i][t]:
				l[i][t] = sum/float64(known) - best
			case t == inference.ByObjective: // what is missed counts whole
			default:
				l[i][t] -= best
			}
		}
	}
	return true
}

// cheapest keeps the logarithm of a price finite: USD for a million requests.
const cheapest = 0.01

// cost returns what a request costs at a target that holds a part of the prompt, in USD
// for a million of them.
func cost(t *fleet.Target, input, held, output int) (float64, bool) {
	p := &t.Price
	if !p.Known {
		return 0, false
	}
	r := inference.Rates{Input: p.Input, Output: p.Output, CacheRead: p.CacheRead}
	if p.Above > 0 && input > p.Above {
		r = p.Long
	}
	return max(r.Input*float64(input-held)+r.CacheRead*float64(held)+r.Output*float64(output), cheapest), true
}

// over returns by how many factors of two a pace misses an objective: 0 if it does
// not, and false if there is no objective or the pace is not known.
func over(p Pace, aim tenant.Objective) (float64, bool) {
	known, miss := false, 0.0
	for _, x := range [...]struct{ is, want time.Duration }{{p.TTFT, aim.TTFT}, {p.TPOT, aim.TPOT}} {
		if x.is > 0 && x.want > 0 {
			known = true
			miss = max(miss, math.Log2(float64(x.is)/float64(x.want)))
		}
	}
	return miss, known
}

// winner returns which of those that can serve loses least under some weights.
func (o *Order) winner(l *losses, w *[inference.Terms]float64) uint8 {
	first, least := o.Targets[0], math.Inf(1)
	for _, i := range o.Targets[:o.sure] {
		if lost := loss(&l[i], w); lost < least || lost == least && i < first {
			first, least = i, lost
		}
	}
	return first
}

// loss returns what a target loses in all.
func loss(l, w *[inference.Terms]float64) float64 {
	return w[inference.ByQuality]*l[inference.ByQuality] + w[inference.ByPrice]*l[inference.ByPrice] + w[inference.ByLatency]*l[inference.ByLatency] + w[inference.ByObjective]*l[inference.ByObjective]
}

// turns reports whether another preference, or none, would make another target the
// first.
func (o *Order) turns(l *losses, c *fleet.Choice, hard float64, first uint8) bool {
	for p := tenant.NoPreference; p <= tenant.Latency; p++ {
		if w := weigh(c, hard, p); o.winner(l, &w) != first {
			return true
		}
	}
	return false
}

// without returns which target would be first if a term did not count.
func (o *Order) without(l *losses, w [inference.Terms]float64, t inference.Term) uint8 {
	w[t] = 0
	return o.winner(l, &w)
}

// any reports whether something holds of some target.
func (o *Order) any(ask *Ask, holds func(*Pace) bool) bool {
	if ask.Paces == nil {
		return false
	}
	for _, i := range o.Targets[:o.N] {
		if holds(&ask.Paces[i]) {
			return true
		}
	}
	return false
}

// leading returns by what the first is furthest before the second.
func (o *Order) leading(m *fleet.Model, l *losses, w *[inference.Terms]float64) string {
	if o.sure < 2 {
		return First
	}
	a, b := o.Targets[0], o.Targets[1]
	for _, i := range o.Targets[1:o.sure] { // its equals elsewhere lead to nothing
		if k := m.Targets[i].Kin; k == 0 || k != m.Targets[a].Kin {
			b = i
			break
		}
	}
	why, most := First, 0.0
	for t, words := range [inference.Terms]string{Better, Cheaper, Sooner, Kept} {
		if lead := w[t] * (l[b][t] - l[a][t]); lead > most {
			why, most = words, lead
		}
	}
	return why
}

// Weighs reports whether the order of a model's targets depends on how hard a request
// is, and a classifier may say so.
func Weighs(m *fleet.Model, req *inference.Request) bool {
	return m.Policy == fleet.Best && m.Choice != nil && len(m.Targets) > 1 &&
		m.Choice.Signals[inference.ByClassifier] > 0 && req.Dialect.Operation() == inference.Chat
}
