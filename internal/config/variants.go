package config

import (
	"errors"
	"maps"
	"regexp"
	re "regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"
)

// arms checks the names of a model's targets, and whom they are drawn for.
func (r *reader) arms(path string, m Model) {
	names := map[string]int{}
	for i, t := range m.Targets {
		at := join(path, "targets") + "[" + strconv.Itoa(i) + "].name"
		if t.Name == "" {
			continue
		}
		if !entryName.MatchString(t.Name) || strings.ContainsAny(t.Name, "/:@") {
			r.at(at, BadValue, "a target's name is made of letters, digits and . _ + -, starts with a letter or digit, and has 128 characters at most")
		}
		if first, twice := names[t.Name]; twice {
			r.at(at, Duplicate, "the name of targets["+strconv.Itoa(first)+"] too; each target has a name of its own")
		} else {
			names[t.Name] = i
		}
	}
	if m.Canary != nil {
		r.canary(join(path, "canary"), m)
	}
	if m.Classifier != nil {
		r.classifier(join(path, "classifier"), m)
	}
	if m.Cascade != nil {
		r.cascade(join(path, "cascade"), m)
	}
	if m.Knowledge != nil {
		r.grounding(join(path, "knowledge"), m.Knowledge)
	}
	if m.Shadow != nil {
		r.shadow(join(path, "shadow"), path, m.Shadow)
	}
	if m.Policy != ByWeight {
		for _, name := range []string{"sticky", "salt"} {
			if r.given[join(path, name)] && m.Canary == nil {
				r.warn(join(path, name), Pointless, name+" counts where targets are drawn, under policy: weight, and the policy here is "+m.Policy)
			}
		}
	}
}

// classifier checks that there is somebody to ask, and something to learn from it.
func (r *reader) classifier(path string, m Model) {
	c := m.Classifier
	at := join(path, "upstream")
	u, known := r.cfg.Upstreams[c.Upstream]
	switch {
	case c.Upstream == "": // reported where it was read
	case !known:
		names := slices.Sorted(maps.Keys(r.cfg.Upstreams))
		r.at(at, UnknownName, "no upstream has the name "+r.shown(at, c.Upstream)+meant(c.Upstream, names, "upstreams are"))
	case c.As == AsClasses && u.Kind != VLLM && u.Kind != SGLang:
		r.at(join(path, "as"), BadValue, "upstreams of kind "+u.Kind+" have no path to classify; those of vllm and sglang have, others are asked as: chat")
	}
	if m.Policy != Best {
		r.warn(path, Pointless, "a classifier counts under policy: best, and the policy here is "+m.Policy)
	}
	low, high := 1.0, 0.0
	for name, hard := range c.Labels {
		low, high = min(low, hard), max(high, hard)
		if strings.TrimSpace(name) == "" {
			r.at(join(path, "labels"), BadValue, "a label without a name")
		}
	}
	if len(c.Labels) > 0 && (low < 0 || high > 1) {
		r.at(join(path, "labels"), BadValue, "how hard a request is stands from 0, easy, to 1")
	} else if len(c.Labels) > 0 && low >= high || len(c.Labels) > 32 {
		r.at(join(path, "labels"), BadValue, "a classifier tells between 2 and 32 labels, of which one is harder than another, as {easy: 0, hard: 1}")
	}
	if c.Timeout < time.Millisecond || c.Timeout > 10*time.Second {
		r.at(join(path, "timeout"), BadValue, "every request waits for it, so it is 1ms at least and 10s at most")
	}
}

// cascade checks that there is an order in which to go on, and something to look at.
func (r *reader) cascade(path string, m Model) {
	c := m.Cascade
	switch {
	case len(m.Targets) == 1:
		r.at(path, BadValue, "a cascade goes on from one target to the next, and there is only one")
	case m.Policy != ByOrder:
		r.at(path, BadValue, "a cascade asks the targets as they are written, and the policy here is "+m.Policy+"; leave policy out")
	case m.Canary != nil:
		r.at(path, BadValue, "a canary comes first or not at all, so it has no place in a cascade; make the canary a model of its own")
	}
	if j := c.Judge; j != nil {
		at := join(path, "judge.upstream")
		if _, known := r.cfg.Upstreams[j.Upstream]; !known && j.Upstream != "" {
			names := slices.Sorted(maps.Keys(r.cfg.Upstreams))
			r.at(at, UnknownName, "no upstream has the name "+r.shown(at, j.Upstream)+meant(j.Upstream, names, "upstreams are"))
		}
		if j.Timeout < time.Millisecond || j.Timeout > time.Minute {
			r.at(join(path, "judge.timeout"), BadValue, "answers wait for it, so it is 1ms at least and 1m at most")
		}
	}
	if len(c.Verify) == 0 && c.Match == "" && c.Reject == "" && c.Judge == nil {
		r.at(join(path, "verify"), Missing, "an empty list, so every answer passes; leave verify out for whole, refusal, json")
	}
	for _, f := range []struct{ name, text string }{{"match", c.Match}, {"reject", c.Reject}} {
		if _, err := regexp.Compile(f.text); err != nil {
			r.at(join(path, f.name), BadValue, "no regular expression in the syntax of RE2: "+expression(err))
		}
	}
}

// expression says what is wrong with a regular expression, without its text.
func expression(err error) string {
	if e, ok := errors.AsType[*re.Error](err); ok {
		return e.Code.String()
	}
	return "it cannot be read"
}

// shadow checks that there is another model, and that copies are made at all.
func (r *reader) shadow(path, model string, s *Shadow) {
	at := join(path, "model")
	switch of, ok := r.cfg.Models[s.Model]; {
	case s.Model == "": // reported where it was read
	case !ok:
		names := slices.Sorted(maps.Keys(r.cfg.Models))
		r.at(at, UnknownName, "no model has the name "+r.shown(at, s.Model)+meant(s.Model, names, "models are")+"; copies go to a model of this file")
	case join("models", s.Model) == model:
		r.at(at, BadValue, "a model that is its own shadow; name another one")
	case of.Shadow != nil:
		r.warn(at, Pointless, "the model "+s.Model+" has a shadow too, which gets no copies of copies")
	}
	if s.Share <= 0 && !r.told(join(path, "share")) {
		r.at(join(path, "share"), BadValue, "a share without any requests; leave shadow out to make no copies")
	}
}

// canary checks that there is something to try, and something to compare it with.
func (r *reader) canary(path string, m Model) {
	c := m.Canary
	names := []string{}
	for _, t := range m.Targets {
		if t.Name != "" {
			names = append(names, t.Name)
		}
	}
	switch at := join(path, "target"); {
	case c.Target == "": // reported where it was read
	case !slices.Contains(names, c.Target):
		r.at(at, UnknownName, "no target of this model has the name "+r.shown(at, c.Target)+meant(c.Target, names, "names are")+"; give the target a name: "+c.Target)
	case len(m.Targets) < 2:
		r.at(at, BadValue, "the canary is the model's only target; there must be another one to compare it with")
	}
	if r.given[join(path, "steps")] && len(c.Steps) == 0 {
		r.at(join(path, "steps"), Missing, "an empty list; leave steps out for 5%, 25%, 50%, 100%")
	}
	for i, s := range c.Steps {
		at := join(path, "steps") + "[" + strconv.Itoa(i) + "]"
		switch {
		case r.told(at): // it is no share
		case s <= 0:
			r.at(at, BadValue, "a step without any requests")
		case i > 0 && s <= c.Steps[i-1]:
			r.at(at, BadValue, "a step that is not larger than the one before it")
		}
	}
	for _, f := range []struct {
		name  string
		bound Factor
	}{{"ttft", c.TTFT}, {"tpot", c.TPOT}} {
		if f.bound > 0 && f.bound < 1 {
			r.at(join(path, f.name), BadValue, "a canary that is as fast as the others would be too slow; write 1x or more, or 0x to compare nothing")
		}
	}
}

// MaxLoRAs is how many adapters an engine of a kind holds at once unless it is told
// otherwise; 0 where it has none (vLLM: max_loras, SGLang: max_loras_per_batch).
func MaxLoRAs(kind string) int {
	switch kind {
	case VLLM:
		return 1
	case SGLang:
		return 8
	}
	return 0
}

// adapter checks that the upstream of a target has adapters.
func (r *reader) adapter(path string, t Target) {
	u, ok := r.cfg.Upstreams[t.Upstream]
	if t.Adapter == "" || !ok || u.Kind == "" {
		return
	}
	if MaxLoRAs(u.Kind) == 0 {
		r.at(join(path, "adapter"), BadValue, "an adapter is asked for at an upstream of kind vllm or sglang; "+t.Upstream+" is of kind "+u.Kind)
	}
}

// loras fills in how many adapters an upstream holds.
func (r *reader) loras(path, name string, u Upstream) {
	most := MaxLoRAs(u.Kind)
	switch {
	case u.Kind == "":
	case u.MaxLoRAs > 0 && most == 0:
		r.at(join(path, "max_loras"), BadValue, "max_loras is for kind vllm and sglang; kind is "+u.Kind)
	case u.MaxLoRAs == 0:
		u.MaxLoRAs = most
		r.cfg.Upstreams[name] = u
	}
}

// prefill checks the upstream that reads prompts for another one.
func (r *reader) prefill(path, name string, u Upstream) {
	if u.Prefill == "" {
		return
	}
	at := join(path, "prefill")
	switch from, ok := r.cfg.Upstreams[u.Prefill]; {
	case u.Kind != VLLM:
		r.at(at, BadValue, "prompts are handed over between upstreams of kind vllm; kind is "+u.Kind)
	case !ok:
		r.at(at, UnknownName, "no upstream "+r.shown(at, u.Prefill)+meant(u.Prefill, slices.Sorted(maps.Keys(r.cfg.Upstreams)), "there are"))
	case u.Prefill == name:
		r.at(at, BadValue, "an upstream that reads prompts for itself; leave prefill out")
	case from.Kind != VLLM:
		r.at(at, BadValue, "prompts are handed over between upstreams of kind vllm; "+u.Prefill+" is of kind "+from.Kind)
	case from.Prefill != "":
		r.at(at, BadValue, "the prompts of "+u.Prefill+" are read by another upstream themselves; name that one")
	}
}
