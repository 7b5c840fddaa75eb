package app

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"headworks/internal/admit"
	"headworks/internal/config"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/latency"
	"headworks/internal/record"
	"headworks/internal/sim"
	"headworks/internal/tenant"
)

// Simulation says what to simulate. Its zero value is the built-in chat, once.
type Simulation struct {
	Requests int     // of the built-in chat, 10,000 unless set; of a trace, the first so many, all unless set
	Seed     uint64  // of the first run
	Seeds    int     // how many runs of each policy, with one seed after the other; 0 is one
	Config   string  // a file; empty is a built-in world
	Model    string  // of the file; empty is the first
	Rate     float64 // requests a second; 0 is about 70 % of what the model's first target can serve
	Stages   string  // in the place of requests and rate, such as 15x50s,3x20s: each once the one before has ended
	Load     string  // ChatLoad (also if empty), LadderLoad or ConversationLoad, perhaps with what is changed of it: ladder,groups=300
	Trace    string  // a file, in the place of Load
	Speed    float64 // of a trace: how many times as fast as it was; 0 is 1
	Raw      bool    // of a trace: requests of one stamp come at once

	Policies  []string      // how replicas are chosen, in the place of what the file says; empty is as it says
	Events    []string      // see sim.ParseEvent
	EventFile string        // one a line
	Gateways  int           // 0 is one
	Exchange  time.Duration // how often each of several gateways tells the others what it knows; 0 is never
	Unasked   bool          // engines are not asked for their load
	Objective sim.Objective

	Scale     string        // LEAST..MOST: replicas follow the load; empty: all are there all the time
	Target    float64       // with Scale: requests in flight a replica; 0 is the most that keeps Keep, found for each policy
	Keep      float64       // share of the requests within the objective, in percent
	ColdStart time.Duration // with Scale: until a replica that was ordered takes requests

	Progress func(done, all int) // called now and then, by several goroutines; all is how many records there will be
}

// The loads that are built in.
const (
	ChatLoad         = "chat"
	LadderLoad       = "ladder"
	ConversationLoad = "conversations"
)

// mostSeeds, mostGateways and leastExchange bound a simulation.
const (
	mostSeeds     = 100
	mostGateways  = 64
	leastExchange = time.Millisecond
)

// ErrSimulation marks what is wrong with the wish to simulate, rather than with a
// configuration.
var ErrSimulation = errors.New("cannot be simulated")

func cannot(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSimulation, fmt.Sprintf(format, args...))
}

// Simulated is what came of it. One run has its figures at the top, several have
// them by policy.
type Simulated struct {
	*sim.Result               // of the only run
	Simulated   bool          `json:"simulated"` // always
	Model       string        `json:"model"`
	Load        SimulatedLoad `json:"load"`
	Rate        float64       `json:"rate"` // requests a second, as asked for; of stages and traces the mean
	Seed        uint64        `json:"seed"` // of the first run
	Seeds       int           `json:"seeds"`
	Gateways    int           `json:"gateways"`
	ExchangeMS  float64       `json:"exchange_ms"` // 0: gateways tell each other nothing
	Objective   SimulatedGoal `json:"objective"`
	Policy      string        `json:"policy,omitempty"` // of the only run
	Engines     []Modelled    `json:"engines"`
	Events      []string      `json:"events,omitempty"`
	Policies    []sim.Summary `json:"policies,omitempty"`
	Scaling     *Scaled       `json:"scaling,omitempty"`
}

// Scaled says how replicas followed the load.
type Scaled struct {
	Least     int                `json:"least_replicas"`
	Most      int                `json:"most_replicas"`
	ColdStart float64            `json:"cold_start_seconds"`
	Keep      float64            `json:"keep_percent,omitempty"` // 0: the target was given
	Targets   map[string]float64 `json:"target_in_flight"`       // of a replica, by policy
}

// SimulatedLoad is what requests came, and from where.
type SimulatedLoad struct {
	Name        string      `json:"name"` // of the built-in load, or of the file
	Format      string      `json:"format,omitempty"`
	Requests    int         `json:"requests"` // of conversations, the mean
	Talks       int         `json:"conversations,omitempty"`
	Skipped     int         `json:"skipped,omitempty"` // rows of the file that are no request
	Speed       float64     `json:"speed,omitempty"`
	Raw         bool        `json:"raw,omitempty"`
	TickMS      float64     `json:"tick_ms,omitempty"` // distance of two stamps of the file, over which arrivals are spread
	IdealHit    float64     `json:"ideal_prefix_hit_ratio,omitempty"`
	Stages      []sim.Stage `json:"-"`
	StagesAsked []string    `json:"stages,omitempty"`
}

// SimulatedGoal is the objective in milliseconds; 0 is none.
type SimulatedGoal struct {
	TTFT float64 `json:"ttft_ms"`
	TPOT float64 `json:"tpot_ms"`
}

// Modelled says as what an upstream's engines were modelled.
type Modelled struct {
	Upstream string `json:"upstream"`
	Replicas int    `json:"replicas"`
	As       string `json:"as"`
}

// Simulate runs a load through the decisions that serve, in virtual time: each
// policy with each seed.
func Simulate(ctx context.Context, o Simulation) (Simulated, error) {
	p, err := prepare(o)
	if err != nil {
		return Simulated{}, err
	}
	results := p.search(ctx, o.Progress)
	if ctx.Err() != nil {
		return Simulated{}, errors.New("the simulation was interrupted")
	}
	out := p.out
	if len(results) == 1 && len(results[0]) == 1 {
		out.Result, out.Policy = &results[0][0], p.policies[0]
		return out, nil
	}
	for i, runs := range results {
		out.Policies = append(out.Policies, sim.Summarise(p.policies[i], runs))
		if i > 0 {
			out.Policies[i].Compare(&out.Policies[0])
		}
	}
	return out, nil
}

// plan is a simulation that can run.
type plan struct {
	world    sim.World
	limits   config.Limits
	policies []string
	exchange time.Duration
	scrape   bool
	scaling  sim.Scaling // none where Most is 0
	keep     float64     // share within the objective for which a target is sought; 0: it was given
	load     func(seed uint64) sim.Load
	all      int // requests of a run
	out      Simulated
}

func prepare(o Simulation) (*plan, error) {
	if o.Seeds < 0 || o.Seeds > mostSeeds {
		return nil, cannot("there are 1 to %d seeds", mostSeeds)
	}
	if o.Gateways < 0 || o.Gateways > mostGateways {
		return nil, cannot("there are 1 to %d gateways", mostGateways)
	}
	if o.Exchange < 0 || o.Exchange > 0 && o.Exchange < leastExchange {
		return nil, cannot("gateways tell each other what they know every %v or less often; 0s is never", leastExchange)
	}
	p := &plan{limits: config.Default().Limits, exchange: o.Exchange, scrape: !o.Unasked}
	p.out = Simulated{
		Simulated: true, Seed: o.Seed, Seeds: max(o.Seeds, 1), Gateways: max(o.Gateways, 1), Events: o.Events,
		Objective: SimulatedGoal{TTFT: float64(o.Objective.TTFT.Microseconds()) / 1000, TPOT: float64(o.Objective.TPOT.Microseconds()) / 1000},
	}
	if p.out.Gateways > 1 {
		p.out.ExchangeMS = float64(o.Exchange.Microseconds()) / 1000
	}
	if err := p.build(o); err != nil {
		return nil, err
	}
	p.world.Objective = o.Objective
	if err := p.bring(o); err != nil {
		return nil, err
	}
	if err := p.befall(o); err != nil {
		return nil, err
	}
	if err := p.follow(o); err != nil {
		return nil, err
	}
	p.policies = o.Policies
	for i, name := range p.policies {
		if _, ok := schedules[name]; !ok {
			return nil, cannot("no policy is called %q; there are %s", name, strings.Join(Policies(), ", "))
		}
		if slices.Contains(p.policies[:i], name) {
			return nil, cannot("the policy %s is there twice", name)
		}
	}
	if len(p.policies) == 0 {
		p.policies = []string{asFile}
		u := p.world.Fleet.Upstreams[p.first()].Schedule.String()
		if o.Config == "" {
			p.policies[0] = u
		}
	}
	return p, nil
}

// asFile names the policies that the configuration has, each upstream its own.
const asFile = "as configured"

// Policies returns the names of the ways to choose a replica, in order.
func Policies() []string {
	var names []string
	for name := range schedules {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// build makes the world.
func (p *plan) build(o Simulation) error {
	if o.Config == "" {
		p.world, _ = sim.BuiltIn(0, o.Seed)
		if name, _, _ := strings.Cut(o.Load, ","); name == LadderLoad {
			p.world = sim.LadderPool()
			p.limits.InFlight = 1 << 20 // the published pool has no gate before it
		}
		u := &p.world.Fleet.Upstreams[0]
		p.out.Engines = []Modelled{{u.Name, len(u.Replicas), latency.Qwen32B}}
		p.out.Model = p.world.Fleet.Models[0].Name
		if o.Model != "" && o.Model != p.out.Model {
			return cannot("the built-in world has one model, %s; name a file with --config", p.out.Model)
		}
		return nil
	}
	c, report := config.Load(o.Config)
	if !report.OK() {
		return fmt.Errorf("%w\n%s", ErrConfig, report.Text(""))
	}
	c.Cells = nil // what they would answer nobody here knows
	w, _, drop, err := assumedRoom(c).build(c)
	if err != nil {
		return err
	}
	drop()
	if len(w.Fleet.Models) == 0 {
		return errors.New("the file names no model to simulate")
	}
	p.limits = c.Limits
	p.world, _ = sim.BuiltIn(0, o.Seed)
	p.world.Fleet, p.world.Region, p.world.Zone, p.world.Engines = w.Fleet, w.Region, c.Zone, nil
	p.world.Memory = int64(c.Cache.Memory)
	p.out.Model = w.Fleet.Models[0].Name
	if o.Model != "" {
		p.out.Model = o.Model
	}
	m, ok := w.Fleet.Model(p.out.Model)
	if !ok {
		return fmt.Errorf("the file has no model %q", p.out.Model)
	}
	for i := range w.Fleet.Upstreams {
		u := &w.Fleet.Upstreams[i]
		params, _ := latency.Profile(latency.DemoSmall) // of those that no request reaches
		at := slices.IndexFunc(m.Targets, func(t fleet.Target) bool { return t.Upstream == i })
		if at >= 0 {
			var as string
			if params, as, err = modelled(u, c.Upstreams[u.Name], m.Targets[at].Model); err != nil {
				return err
			}
			p.out.Engines = append(p.out.Engines, Modelled{u.Name, len(u.Replicas), as})
		}
		p.world.Engines = append(p.world.Engines, params)
	}
	return nil
}

// modelled returns how the engines of an upstream are modelled, and in words.
func modelled(u *fleet.Upstream, c config.Upstream, model string) (latency.Params, string, error) {
	if e := c.Engine; e != nil {
		return e.Params(), "its engine in the file", nil
	}
	if name, ok := latency.Known(u.Hardware, model); ok {
		p, _ := latency.Profile(name)
		return p, name, nil
	}
	if config.BuiltIn(u.Kind) {
		return latency.Params{}, "", fmt.Errorf("upstream %s is of kind %s, which runs no model that could be simulated; name another model with --model", u.Name, u.Kind)
	}
	return latency.Params{}, "", fmt.Errorf("upstream %s: nothing says how fast its engines are. Give it engine: {profile: %s}, or the figures that headworks sim calibrate finds from your measurements; or hardware: 2xh100 where it runs Qwen3-32B", u.Name, latency.Qwen32B)
}

// first returns the upstream of the model's first target.
func (p *plan) first() int {
	m, _ := p.world.Fleet.Model(p.out.Model)
	return m.Targets[0].Upstream
}

// bring makes the load.
func (p *plan) bring(o Simulation) error {
	caller := &tenant.Caller{Key: "sim", Tenant: "sim"}
	model, start := p.out.Model, p.world.Start
	switch {
	case o.Trace != "" && (o.Load != "" || o.Rate > 0 || o.Stages != ""):
		return cannot("a trace says itself when requests come; --speed replays it faster")
	case o.Trace == "" && (o.Speed != 0 || o.Raw):
		return cannot("--speed and --raw are of a trace; name one with --trace")
	case o.Stages != "" && (o.Rate > 0 || o.Requests > 0):
		return cannot("stages have rates and numbers of requests of their own")
	}
	stages, err := parseStages(o.Stages)
	if err != nil {
		return err
	}
	name, own, err := parseLoad(o.Load)
	if err != nil {
		return err
	}
	switch {
	case o.Trace != "":
		return p.bringTrace(o)
	case name == LadderLoad:
		if o.Rate > 0 || o.Requests > 0 {
			return cannot("the ladder has rates and numbers of requests of its own; --stages changes them")
		}
		p.load = func(seed uint64) sim.Load {
			l := sim.Ladder(seed, start)
			l.Model = model
			for key, to := range map[string]*int{"groups": &l.Groups, "questions": &l.Questions, "prefix": &l.Prefix, "question": &l.Question, "output": &l.Output} {
				if v, ok := own[key]; ok {
					*to = v
				}
			}
			if stages != nil {
				l.Stages = stages
			}
			return l
		}
		if stages == nil {
			stages = sim.Ladder(0, start).Stages
		}
		p.out.Load = SimulatedLoad{Name: o.Load}
	case name == ConversationLoad:
		if stages != nil {
			return cannot("conversations come at one rate; --rate changes it")
		}
		p.converse(o, own)
	default:
		n := o.Requests
		if n == 0 {
			n = 10_000
		}
		prompt, output := cmp.Or(own["prompt"], meanPrompt), cmp.Or(own["output"], meanOutput)
		rate := o.Rate
		if rate == 0 {
			rate = 30 // as sim.BuiltIn has it
			if o.Config != "" || len(own) > 0 {
				first := p.first()
				rate = 0.7 * capacity(p.world.Engines[first], prompt, output) * float64(len(p.world.Fleet.Upstreams[first].Replicas))
			}
		}
		p.load = func(seed uint64) sim.Load {
			_, l := sim.BuiltIn(n, seed)
			l.Model, l.Rate, l.Stages, l.Pause, l.Caller = model, rate, stages, stagePause, caller
			if v, ok := own["prompt"]; ok {
				l.Prompt = l.Prompt.Scaled(float64(v) / meanPrompt)
			}
			if v, ok := own["output"]; ok {
				l.Output = l.Output.Scaled(float64(v) / meanOutput)
			}
			return l
		}
		p.all, p.out.Rate = n, rate
		p.out.Load = SimulatedLoad{Name: cmp.Or(o.Load, ChatLoad), Requests: n}
	}
	if stages != nil {
		p.all = 0
		seconds := 0.0
		for _, s := range stages {
			p.all += s.Requests()
			seconds += s.Length.Seconds()
			asked := fmt.Sprintf("%gx%v", s.Rate, s.Length)
			if s.Joined {
				asked = "+" + asked
			}
			p.out.Load.StagesAsked = append(p.out.Load.StagesAsked, asked)
		}
		p.out.Load.Stages, p.out.Load.Requests, p.out.Rate = stages, p.all, float64(p.all)/seconds
	}
	return nil
}

// converse makes a load of conversations.
func (p *plan) converse(o Simulation, own map[string]int) {
	of := func(key string, usual int) int { return cmp.Or(own[key], usual) }
	apps, system, turns, prompt, output, think := of("apps", 20), of("system", 4000), of("turns", 6), of("prompt", 800), of("output", 250), of("think", 5)
	n := max(cmp.Or(o.Requests, 10_000)/turns, 1)
	rate := o.Rate
	if rate == 0 {
		first := p.first()
		// The mean prompt of a geometric number of turns has them all before it once.
		mean := system + turns*prompt + (turns-1)*output
		rate = 0.7 * capacity(p.world.Engines[first], mean, output) * float64(len(p.world.Fleet.Upstreams[first].Replicas))
	}
	model, start, caller := p.out.Model, p.world.Start, &tenant.Caller{Key: "sim", Tenant: "sim"}
	p.load = func(seed uint64) sim.Load {
		return &sim.Conversations{
			Conversations: n, Rate: rate / float64(turns), Apps: apps, System: system, Turns: float64(turns), Prompt: prompt, Output: output,
			Think: time.Duration(think) * time.Second, Seed: seed, Start: start, Model: model, Caller: caller,
		}
	}
	p.all, p.out.Rate = n*turns, rate
	p.out.Load = SimulatedLoad{Name: o.Load, Requests: n * turns, Talks: n}
}

// parseLoad reads the name of a built-in load and what is changed of it, in tokens
// and numbers: ladder,groups=300,prefix=12000.
func parseLoad(text string) (name string, own map[string]int, err error) {
	name, rest, _ := strings.Cut(text, ",")
	keys := map[string][]string{
		ChatLoad:         {"prompt", "output"},
		LadderLoad:       {"groups", "questions", "prefix", "question", "output"},
		ConversationLoad: {"apps", "system", "turns", "prompt", "output", "think"},
	}[cmp.Or(name, ChatLoad)]
	if keys == nil {
		return "", nil, cannot("no load is called %q; there are %s, %s and %s, and traces by --trace", name, ChatLoad, LadderLoad, ConversationLoad)
	}
	own = map[string]int{}
	for rest != "" {
		var pair string
		pair, rest, _ = strings.Cut(rest, ",")
		key, value, _ := strings.Cut(pair, "=")
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > 1_000_000 || !slices.Contains(keys, key) {
			return "", nil, cannot("of the load %s can be changed: %s, each to a number from 1 to 1000000, as in %s,%s=300", name, strings.Join(keys, ", "), name, keys[0])
		}
		own[key] = n
	}
	if own["groups"]*own["questions"] > 10_000_000 {
		return "", nil, cannot("more than 10 million prompts")
	}
	return name, own, nil
}

// stagePause is between two stages, after the first has ended.
const stagePause = 30 * time.Second

// mostStages bounds a load in stages.
const mostStages = 100

// parseStages reads RATExLENGTH,...; nothing is nil. Behind a + a stage is joined to
// the one before.
func parseStages(text string) (stages []sim.Stage, err error) {
	if text == "" {
		return nil, nil
	}
	for apart := range strings.SplitSeq(text, ",") {
		joined := false
		for part := range strings.SplitSeq(apart, "+") {
			rate, length, ok := strings.Cut(strings.TrimSpace(part), "x")
			s := sim.Stage{Joined: joined}
			s.Rate, err = strconv.ParseFloat(rate, 64)
			if ok && err == nil {
				s.Length, err = time.ParseDuration(length)
			}
			if !ok || err != nil || !(s.Rate > 0 && s.Rate <= 1e6) || s.Length <= 0 || s.Length > 100*time.Hour || s.Requests() < 1 {
				return nil, cannot("a stage is RATExLENGTH, such as 15x50s for 15 requests a second during 50 s; stages are separated by commas, or by + where one follows at once")
			}
			if stages = append(stages, s); len(stages) > mostStages {
				return nil, cannot("more than %d stages", mostStages)
			}
			joined = true
		}
	}
	return stages, nil
}

func (p *plan) bringTrace(o Simulation) error {
	if !(o.Speed >= 0 && o.Speed <= 1e6) {
		return cannot("--speed is a number above 0, 1,000,000 at most")
	}
	f, err := os.Open(o.Trace)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	t, err := sim.ReadTrace(filepath.Base(o.Trace), f, o.Requests)
	if err != nil {
		return err
	}
	speed := o.Speed
	if speed == 0 {
		speed = 1
	}
	model, start, caller := p.out.Model, p.world.Start, &tenant.Caller{Key: "sim", Tenant: "sim"}
	p.load = func(seed uint64) sim.Load {
		return &sim.Replay{Trace: t, Speed: speed, Raw: o.Raw, Seed: seed, Start: start, Model: model, Caller: caller}
	}
	p.all = t.Rows()
	if s := t.Length().Seconds(); s > 0 {
		p.out.Rate = float64(t.Rows()) / s * speed
	}
	p.out.Load = SimulatedLoad{
		Name: filepath.Base(o.Trace), Format: t.Format.String(), Requests: t.Rows(), Skipped: t.Skipped,
		Speed: speed, Raw: o.Raw, TickMS: float64(t.Tick.Microseconds()) / 1000, IdealHit: t.Ideal(),
	}
	return nil
}

// befall reads the events.
func (p *plan) befall(o Simulation) error {
	add := func(where, text string) error {
		e, err := sim.ParseEvent(text, p.world.Fleet)
		if err != nil {
			return cannot("%s: %v", where, err)
		}
		p.world.Events = append(p.world.Events, e)
		return nil
	}
	for _, text := range o.Events {
		if err := add("--event", text); err != nil {
			return err
		}
	}
	if o.EventFile == "" {
		return nil
	}
	f, err := os.Open(o.EventFile)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(io.LimitReader(f, 1<<20))
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if err := add(fmt.Sprintf("%s:%d", filepath.Base(o.EventFile), n), text); err != nil {
			return err
		}
		p.out.Events = append(p.out.Events, text)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(o.EventFile), err)
	}
	return nil
}

// follow reads how replicas follow the load.
func (p *plan) follow(o Simulation) error {
	if o.Scale == "" {
		if o.Target != 0 || o.Keep != 0 || o.ColdStart != 0 {
			return cannot("--target, --keep and --cold-start are of --scale LEAST..MOST")
		}
		return nil
	}
	first, second, ok := strings.Cut(o.Scale, "..")
	least, err1 := strconv.Atoi(first)
	most, err2 := strconv.Atoi(second)
	if !ok || err1 != nil || err2 != nil || least < 1 || most < least || most > mostReplicas {
		return cannot("--scale is LEAST..MOST replicas, such as 2..16, from 1 to %d", mostReplicas)
	}
	switch {
	case !(o.Target >= 0 && o.Target < 1e6):
		return cannot("--target is a number of requests in flight a replica")
	case o.Target > 0 && o.Keep > 0:
		return cannot("--keep seeks the target; give one of both")
	case !(o.Keep >= 0 && o.Keep <= 100):
		return cannot("--keep is a share of the requests in percent")
	case len(p.world.Events) > 0:
		return cannot("events name replicas that may not be there; leave --event or --scale out")
	}
	u := &p.world.Fleet.Upstreams[p.first()]
	if have := len(u.Replicas); have < most {
		if o.Config != "" {
			return cannot("upstream %s has %d replicas, and --scale wants up to %d", u.Name, have, most)
		}
		sim.Grow(&p.world, most)
		p.out.Engines[0].Replicas = most
	}
	p.scaling = sim.Scaling{Least: least, Most: most, Target: o.Target, ColdStart: cmp.Or(o.ColdStart, usualColdStart)}
	if o.Target == 0 {
		p.keep = cmp.Or(o.Keep, usualKeep)
	}
	p.out.Scaling = &Scaled{Least: least, Most: most, ColdStart: p.scaling.ColdStart.Seconds(), Keep: p.keep, Targets: map[string]float64{}}
	return nil
}

// Of scaling, where nothing is said. Engines take minutes to start: 240 s is what
// BLIS's study of vLLM measured, with 30 s of spread.
const (
	usualColdStart = 4 * time.Minute
	usualKeep      = 95
	mostReplicas   = 1024
)

// targets are the requests in flight a replica that are tried.
var targets = [...]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 33, 36, 40, 44, 48, 52, 56, 60, 66, 72, 80, 88, 96, 108, 120, 136, 152, 176, 200, 240, 288}

// search plays every policy, each with the highest target that keeps the share within
// the objective: fewer replicas at the same quality. Where none keeps it, the lowest.
func (p *plan) search(ctx context.Context, progress func(done, all int)) [][]sim.Result {
	if p.keep == 0 {
		if p.scaling.Most > 0 {
			for _, name := range p.policies {
				p.out.Scaling.Targets[name] = p.scaling.Target
			}
		}
		return p.run(ctx, p.policies, progress)
	}
	var results [][]sim.Result
	for _, name := range p.policies {
		at := func(i int) ([]sim.Result, bool) {
			p.scaling.Target = targets[i]
			runs := p.run(ctx, []string{name}, nil)[0]
			return runs, 100*sim.Summarise(name, runs).Within.Mean >= p.keep
		}
		best, _ := at(0)
		low, high := 0, len(targets) // low keeps it, or is the lowest; high does not
		for high-low > 1 && ctx.Err() == nil {
			middle := (low + high) / 2
			if runs, ok := at(middle); ok {
				low, best = middle, runs
			} else {
				high = middle
			}
		}
		p.out.Scaling.Targets[name] = targets[low]
		results = append(results, best)
	}
	return results
}

// run plays every policy with every seed, several at once, and returns the results
// by policy and seed.
func (p *plan) run(ctx context.Context, policies []string, progress func(done, all int)) [][]sim.Result {
	results := make([][]sim.Result, len(policies))
	type job struct{ policy, seed int }
	jobs := make(chan job)
	var wg sync.WaitGroup
	var done atomic.Int64
	all := p.all * len(policies) * p.out.Seeds
	keep := func(*record.Record) {
		if n := done.Add(1); progress != nil && n%4096 == 0 {
			progress(int(n), all)
		}
	}
	for range min(runtime.GOMAXPROCS(0), len(policies)*p.out.Seeds) {
		wg.Go(func() {
			for j := range jobs {
				results[j.policy][j.seed] = p.play(ctx, policies[j.policy], p.out.Seed+uint64(j.seed), keep)
			}
		})
	}
	for i := range policies {
		results[i] = make([]sim.Result, p.out.Seeds)
		for seed := range p.out.Seeds {
			jobs <- job{i, seed}
		}
	}
	close(jobs)
	wg.Wait()
	return results
}

func (p *plan) play(ctx context.Context, policy string, seed uint64, keep func(*record.Record)) sim.Result {
	w := p.world
	w.Exchange, w.Scrape = p.exchange, p.scrape
	if p.scaling.Most > 0 {
		w.Scaling = &p.scaling
	}
	if schedule, ok := schedules[policy]; ok {
		f := *w.Fleet
		f.Upstreams = slices.Clone(f.Upstreams)
		for i := range f.Upstreams {
			f.Upstreams[i].Schedule = schedule
		}
		w.Fleet = &f
	}
	var gateways []*flow.Policy
	for range p.out.Gateways {
		g := flow.NewPolicy(admit.Limits{InFlight: p.limits.InFlight, Queue: p.limits.Queue})
		g.Rules.QueueWait, g.Rules.Seed = p.limits.QueueWait, seed
		gateways = append(gateways, g)
	}
	return sim.RunGateways(w, gateways, &until{Load: p.load(seed), ctx: ctx}, keep)
}

// until is a load that ends when a context does.
type until struct {
	sim.Load
	ctx context.Context
	n   int
}

// Next implements sim.Load.
func (u *until) Next() (sim.Arrival, bool) {
	if u.n++; u.n%256 == 0 && u.ctx.Err() != nil {
		return sim.Arrival{}, false
	}
	return u.Load.Next()
}

// Drained implements sim.Staged.
func (u *until) Drained(at time.Duration) bool {
	staged, ok := u.Load.(sim.Staged)
	return ok && u.ctx.Err() == nil && staged.Drained(at)
}

// The mean lengths of the load that sim.BuiltIn draws, in tokens.
const (
	meanPrompt = 1155
	meanOutput = 211
)

// capacity estimates how many requests of such lengths an engine serves in a second:
// what one takes of its steps where a batch is as full as memory allows, or 64.
func capacity(p latency.Params, prompt, output int) float64 {
	context := prompt + output/2
	batch := max(min(64, p.MaxSequences, p.KVTokens/context), 1)
	token := float64(p.Base)/float64(batch) + float64(p.PerSequence) + float64(p.PerKVToken)*float64(context)
	return float64(latency.Second) / (float64(prompt)*float64(p.PerPrefillToken) + float64(output)*token)
}
