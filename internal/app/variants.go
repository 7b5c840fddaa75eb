package app

import (
	"fmt"
	"hash/fnv"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"headworks/internal/config"
	"headworks/internal/fleet"
)

// sticks are the ways to stick, as the configuration names them.
var sticks = map[string]fleet.Sticky{
	config.ByRequest: fleet.Loose, config.BySession: fleet.BySession, config.ByUser: fleet.ByUser, config.ByKey: fleet.ByKey,
}

// salt sets a target apart from the model's others for those who are held to one. It
// is of the target's name, or else of what it is, so that a list in another order
// moves nobody.
func salt(model string, m config.Model, place int) uint64 {
	t := m.Targets[place]
	arm := "=" + t.Name
	if t.Name == "" {
		same := 0
		for _, before := range m.Targets[:place] {
			if before.Name == "" && before.Upstream == t.Upstream && before.Model == t.Model {
				same++
			}
		}
		arm = t.Upstream + "/" + t.Model + "\x00" + strconv.Itoa(same)
	}
	return hashed(model, m.Salt, arm)
}

// hashed returns a number for texts, the same in every process, and never 0.
func hashed(texts ...string) uint64 {
	h := fnv.New64a()
	for _, t := range texts {
		_, _ = h.Write([]byte(t + "\x00")) // never fails
	}
	return max(h.Sum64(), 1)
}

// trial returns the canary of a model; nil if it has none. Another one is another
// definition: of the section, or of the target that it names.
func trial(model string, m config.Model) *fleet.Canary {
	c := m.Canary
	if c == nil {
		return nil
	}
	f := &fleet.Canary{
		Target: slices.IndexFunc(m.Targets, func(t config.Target) bool { return t.Name == c.Target }),
		Every:  c.Every, Min: c.Min, Errors: float64(c.Errors), TTFT: float64(c.TTFT), TPOT: float64(c.TPOT),
		Quality: float64(c.Quality), Salt: hashed(model, m.Salt, "canary", c.Target),
	}
	if len(c.Verify) > 0 && c.Quality > 0 {
		f.Verify = cascade(&config.Cascade{Verify: c.Verify}, nil)
	}
	for _, s := range c.Steps {
		f.Steps = append(f.Steps, float64(s))
	}
	t := m.Targets[f.Target]
	f.Definition = hashed(model, t.Upstream, t.Model, fmt.Sprintf("%+v", *c))
	return f
}

// adapt names a target as its upstream calls an adapter: vLLM has it among its models,
// SGLang behind the base model (its docs/basic_usage/openai_api_completions).
func adapt(t *fleet.Target, kind, adapter string) {
	if adapter == "" {
		return
	}
	t.Adapter, t.Base = adapter, t.Model
	if t.Model = adapter; kind == config.SGLang {
		t.Model = t.Base + ":" + adapter
	}
}

// classifier returns who says how hard a request is; nil where nobody does.
func classifier(c *config.Config, of *config.Classifier, upstreams map[string]int) *fleet.Classifier {
	if of == nil {
		return nil
	}
	f := &fleet.Classifier{
		Upstream: upstreams[of.Upstream], Model: of.Model, Timeout: of.Timeout,
		Chat: !of.Classes(c.Upstreams[of.Upstream].Kind),
	}
	for _, name := range slices.Sorted(maps.Keys(of.Labels)) {
		f.Labels = append(f.Labels, fleet.Label{Name: name, Hard: of.Labels[name]})
	}
	if of.Price != nil {
		f.Price = price(of.Price)
	}
	return f
}

// cascade returns what answers have to pass; nil where nobody looks at them.
func cascade(c *config.Cascade, upstreams map[string]int) *fleet.Cascade {
	if c == nil {
		return nil
	}
	f := &fleet.Cascade{
		Whole: slices.Contains(c.Verify, config.VerifyWhole), Refusal: slices.Contains(c.Verify, config.VerifyRefusal),
		JSON: slices.Contains(c.Verify, config.VerifyJSON),
	}
	if c.Match != "" {
		f.Match = regexp.MustCompile(c.Match) // config has read it
	}
	if c.Reject != "" {
		f.Reject = regexp.MustCompile(c.Reject)
	}
	if j := c.Judge; j != nil {
		f.Judge = &fleet.Judge{Upstream: upstreams[j.Upstream], Model: j.Model, Timeout: j.Timeout}
		if j.Price != nil {
			f.Judge.Price = price(j.Price)
		}
	}
	return f
}
