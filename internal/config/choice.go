package config

import (
	"slices"
	"strconv"
	"time"

	"headworks/internal/complexity"
	"headworks/internal/inference"
)

// Objectives are how soon answers should come; 0 is no objective.
type Objectives struct {
	TTFT time.Duration `json:"ttft,omitzero" jsonschema:"until the first token; 0s is no objective"`
	TPOT time.Duration `json:"tpot,omitzero" jsonschema:"each token after that; 0s is no objective"`
}

// Choice is what counts under policy best. A weight is what a target loses at most
// often: for 0.2 of quality, four times the price or four times the time.
type Choice struct {
	Quality    float64    `json:"quality,omitzero" min:"0" max:"100" jsonschema:"weight of quality; the more a request is complex, the more it counts"`
	Price      float64    `json:"price,omitzero" min:"0" max:"100" jsonschema:"weight of the price; the less a request is complex, the more it counts"`
	Latency    float64    `json:"latency,omitzero" min:"0" max:"100" jsonschema:"weight of the time that an answer is thought to take"`
	Objective  float64    `json:"objective,omitzero" min:"0" max:"100" jsonschema:"weight of missing the objective: twice its time costs it once"`
	Complexity Complexity `json:"complexity,omitzero" jsonschema:"what each sign of a hard request adds to its complexity at most; 0 is nothing"`
	Rules      []Rule     `json:"rules,omitzero" jsonschema:"what counts for some requests; the first rule that holds is taken"`
}

func (c *Choice) defaults() { c.Quality, c.Price, c.Latency, c.Objective = 1, 1, 0.5, 2 }

// Complexity are the weights of package complexity.
type Complexity struct {
	Length     float64 `json:"length,omitzero" min:"0" max:"1" jsonschema:"words of the last question"`
	Clauses    float64 `json:"clauses,omitzero" min:"0" max:"1" jsonschema:"its commas, colons and sentences"`
	Logic      float64 `json:"logic,omitzero" min:"0" max:"1" jsonschema:"words that tie statements together: if, unless, each, not"`
	Code       float64 `json:"code,omitzero" min:"0" max:"1" jsonschema:"fenced code"`
	Math       float64 `json:"math,omitzero" min:"0" max:"1" jsonschema:"operators"`
	Verbs      float64 `json:"verbs,omitzero" min:"0" max:"1" jsonschema:"instructions: explain, compare, prove"`
	Questions  float64 `json:"questions,omitzero" min:"0" max:"1" jsonschema:"question marks"`
	Items      float64 `json:"items,omitzero" min:"0" max:"1" jsonschema:"items of lists"`
	Languages  float64 `json:"languages,omitzero" min:"0" max:"1" jsonschema:"writing systems beside the first"`
	Turns      float64 `json:"turns,omitzero" min:"0" max:"1" jsonschema:"turns of the conversation before this one"`
	Tools      float64 `json:"tools,omitzero" min:"0" max:"1" jsonschema:"tools that are offered"`
	Classifier float64 `json:"classifier,omitzero" min:"0" max:"1" jsonschema:"what the model's classifier says: hard adds it, easy takes it away"`
	Effort     float64 `json:"effort,omitzero" min:"0" max:"1" jsonschema:"how hard the caller asks to think: much adds it, little takes it away"`
}

// at returns where the weight of a signal is kept.
func (c *Complexity) at(s inference.Signal) *float64 {
	return [inference.Signals]*float64{
		inference.ByLength: &c.Length, inference.ByClauses: &c.Clauses, inference.ByLogic: &c.Logic, inference.ByCode: &c.Code,
		inference.ByMath: &c.Math, inference.ByVerbs: &c.Verbs, inference.ByQuestions: &c.Questions, inference.ByItems: &c.Items,
		inference.ByLanguages: &c.Languages, inference.ByTurns: &c.Turns, inference.ByTools: &c.Tools, inference.ByEffort: &c.Effort,
		inference.ByClassifier: &c.Classifier,
	}[s]
}

func (c *Complexity) defaults() {
	for s, w := range complexity.Default() {
		*c.at(inference.Signal(s)) = w
	}
}

// Weights returns c as package complexity has it.
func (c *Complexity) Weights() complexity.Weights {
	var w complexity.Weights
	for s := range w {
		w[s] = *c.at(inference.Signal(s))
	}
	return w
}

// Rule is what counts for some requests. Of conditions, all that are given must hold.
type Rule struct {
	Tier       string  `json:"tier,omitzero" jsonschema:"holds for callers of this tier"`
	Complexity float64 `json:"complexity,omitzero" min:"0" max:"1" jsonschema:"holds from this complexity on"`
	Input      int     `json:"input,omitzero" min:"0" max:"1000000000" jsonschema:"holds from so many tokens of the prompt on"`
	Tools      int     `json:"tools,omitzero" min:"0" max:"100000" jsonschema:"holds from so many tools on"`
	Budget     Share   `json:"budget,omitzero" jsonschema:"holds once less than this share of the key's budget is left"`
	Prefer     string  `json:"prefer,omitzero" enum:"quality,price,latency" jsonschema:"then: what counts most, unless the caller says"`
	Quality    float64 `json:"least_quality,omitzero" min:"0" max:"1" jsonschema:"then: targets below this quality are left out, as long as another one can serve"`
}

// choice checks what counts under policy best.
func (r *reader) choice(path string, m *Model, tiers []string) {
	if m.Policy != Best {
		if r.given[join(path, "choice")] {
			r.warn(join(path, "choice"), Pointless, "choice counts under policy: best, and the policy here is "+m.Policy)
		}
		return
	}
	measured := 0
	for _, t := range m.Targets {
		if t.Quality > 0 {
			measured++
		}
	}
	if measured > 0 && measured < len(m.Targets) {
		r.warn(join(path, "targets"), Pointless, "some targets have a quality and some have none, which is taken to be the mean of the others; give each one its own")
	}
	for i, rule := range m.Choice.Rules {
		at := join(join(path, "choice"), "rules") + "[" + strconv.Itoa(i) + "]"
		if rule.Tier != "" && !slices.Contains(tiers, rule.Tier) {
			r.at(join(at, "tier"), UnknownName, "no tier "+r.shown(join(at, "tier"), rule.Tier)+meant(rule.Tier, tiers, "there are"))
		}
		if rule.Prefer == "" && rule.Quality == 0 {
			r.at(at, Missing, "a rule that changes nothing; give it prefer or least_quality")
		}
	}
}
