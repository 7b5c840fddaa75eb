// Package monitor knows what is wrong before users tell: it sees the record of each
// request, counts it against objectives and gives it to detectors, and says every ten
// seconds what deserves attention, what most of the trouble has in common, and which
// command helps.
//
// What decides is package alert; here is what is watched, and by which names. All
// memory is bounded, and nothing here is on a request's way.
package monitor

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strconv"
	"sync"
	"time"

	"headworks/internal/alert"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/record"
	"headworks/internal/tenant"
)

// Every is how often what is watched is judged.
const Every = 10 * time.Second

// Objective is the share of requests that an operator wants to be good, and, of times,
// what good is.
type Objective struct {
	Goal  float64       // share, such as 0.999
	Limit time.Duration // of times; 0: by the request's own objective or its class
}

// Settings are what an operator may set. The zero value of a field takes its default.
type Settings struct {
	Period       time.Duration // of budgets: 30 days
	Availability Objective     // 99.9 % are answered
	FirstToken   Objective     // 99 % begin within 1 s where the class is critical, 3 s else
	Smoothness   Objective     // 99 % have no gap over 2 s
	Attempts     Objective     // 99 % of what an upstream is asked works

	// Spare reports whether others can serve what an upstream, or one of its replicas,
	// serves; nil: they can. Where nobody can, no alert says to drain it.
	Spare func(upstream, replica string) bool
}

func (s Settings) defaulted() Settings {
	set := func(o *Objective, goal float64, limit time.Duration) {
		if o.Goal == 0 {
			o.Goal = goal
		}
		if o.Limit == 0 {
			o.Limit = limit
		}
	}
	if s.Period == 0 {
		s.Period = alert.Month
	}
	set(&s.Availability, 0.999, 0)
	set(&s.FirstToken, 0.99, 0)
	set(&s.Smoothness, 0.99, 2*time.Second)
	set(&s.Attempts, 0.99, 0)
	return s
}

// The first token of a request without an objective of its own.
const (
	firstCritical = time.Second
	firstStandard = 3 * time.Second
)

// Bounds of what is watched. What finds no room is counted.
const (
	maxServed    = 400 // models and tiers
	maxModels    = 60  // half a megabyte each
	maxUpstreams = 200
	maxSamples   = 2048 // of good and of bad requests, each
	sampleEvery  = 20 * time.Millisecond
)

// kind is what a budget, a rate or a level is of.
type kind uint8

const (
	availability kind = iota
	firstToken
	smoothness
	attempts // of an upstream
	cuts     // answers that ended without their end
	refusals
	truncation
	failovers
	tokenTime
	answerLength
	promptLength

	kinds
)

// measure is what comes and goes with the hour.
type measure uint8

const (
	requests measure = iota
	tokens
	money

	measures
)

var measured = [...]string{requests: "requests", tokens: "output tokens", money: "USD"}

// sizes are the classes of prompts: below 512 tokens, 4,096, 32,768, or more.
const sizes = 4

// key says of what something is counted.
type key struct {
	model     string
	tier      string
	upstream  string
	simulated bool
}

// served is what is watched of a model and a tier.
type served struct {
	key     key
	budgets [smoothness + 1]*alert.Budget
	of      *modelled
}

// modelled is what is watched of a model.
type modelled struct {
	key     key
	rates   [kinds]*alert.Rate
	levels  [kinds]*alert.Level
	firsts  [sizes]*alert.Level // of first tokens, by the size of the prompt
	seasons [measures]*alert.Season
}

// asked is what is watched of an upstream.
type asked struct {
	key    key
	budget *alert.Budget
	tokens *alert.Level
}

// Monitor watches. Its methods may be called from many goroutines.
type Monitor struct {
	conditions func(now time.Time) []alert.Alert
	seed       maphash.Seed

	mu        sync.Mutex
	settings  Settings
	rules     []alert.Rule
	served    map[key]*served
	models    map[key]*modelled
	upstreams map[key]*asked
	all       *modelled // of which only the seasons are watched
	bad       samples
	good      samples
	traffic   traffic
	board     alert.Board
	over      int64
}

// New returns a Monitor. Conditions, where it is not nil, tells what else is wrong now:
// of what no record speaks.
func New(s Settings, conditions func(now time.Time) []alert.Alert) *Monitor {
	if conditions == nil {
		conditions = func(time.Time) []alert.Alert { return nil }
	}
	m := &Monitor{
		conditions: conditions, seed: maphash.MakeSeed(), all: newModelled(key{}),
		served: map[key]*served{}, models: map[key]*modelled{}, upstreams: map[key]*asked{},
	}
	m.Use(s)
	return m
}

// Use takes over what an operator set.
func (m *Monitor) Use(s Settings) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settings = s.defaulted()
	m.rules = alert.Rules(m.settings.Period)
}

// Over returns how many observations found no room.
func (m *Monitor) Over() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.over
}

// Observe implements facts.Observer: a record counts when its request ended.
func (m *Monitor) Observe(r *record.Record) {
	if r.Origin == record.Shadow || r.Model == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.UnixMicro(r.Time + max(r.Total, 0))
	trouble := m.tried(r, now)
	if s := m.at(r); s != nil {
		bad := s.answered(r, now)
		late := m.timely(s, r, now)
		trouble = trouble || bad || late
		m.changes(s.of, r, now, maphash.String(m.seed, r.KeyID))
	}
	m.seasons(m.all, r, now)
	m.traffic.see(r, now)
	m.sample(r, now, trouble)
}

// at returns what is watched of a record's model and tier; nil where there is no room.
func (m *Monitor) at(r *record.Record) *served {
	k := key{model: r.Model, tier: r.Tier, simulated: r.Simulated}
	s := m.served[k]
	if s == nil {
		of := key{model: r.Model, simulated: r.Simulated}
		d := m.models[of]
		if len(m.served) >= maxServed || d == nil && len(m.models) >= maxModels {
			m.over++
			return nil
		}
		if d == nil {
			d = newModelled(of)
			m.models[of] = d
		}
		s = &served{key: k, of: d}
		for i := range s.budgets {
			s.budgets[i] = &alert.Budget{}
		}
		m.served[k] = s
	}
	return s
}

func newModelled(k key) *modelled {
	d := &modelled{key: k}
	for i := range d.seasons {
		d.seasons[i] = &alert.Season{}
	}
	if k == (key{}) {
		return d
	}
	for _, k := range []kind{cuts, refusals, truncation, failovers} {
		d.rates[k] = &alert.Rate{}
	}
	for _, k := range []kind{answerLength, promptLength} {
		d.levels[k] = &alert.Level{}
	}
	for i := range d.firsts {
		d.firsts[i] = &alert.Level{}
	}
	return d
}

// verdict is how the end of a request counts for availability.
func verdict(r *record.Record) (bad, counts bool) {
	switch r.End {
	case record.OK:
		return false, true
	case record.AbnormalEnd:
		return true, true
	case record.Failed:
		return true, r.Fault.Info().Owner != fault.Caller
	default:
		return false, false
	}
}

func (s *served) answered(r *record.Record, now time.Time) bool {
	bad, counts := verdict(r)
	if !counts {
		return false
	}
	s.budgets[availability].See(now, one(bad))
	return bad
}

func one(bad bool) alert.Count {
	if bad {
		return alert.Count{Bad: 1, All: 1}
	}
	return alert.Count{All: 1}
}

// timely counts how soon an answer began, and whether it came without gaps.
func (m *Monitor) timely(s *served, r *record.Record, now time.Time) (late bool) {
	if r.End != record.OK || !r.Stream {
		return false
	}
	if r.TTFT >= 0 {
		limit := m.settings.FirstToken.Limit
		switch {
		case r.ObjectiveTTFT > 0:
			limit = time.Duration(r.ObjectiveTTFT) * time.Microsecond
		case limit > 0:
		case r.Class == tenant.Critical:
			limit = firstCritical
		default:
			limit = firstStandard
		}
		late = time.Duration(r.TTFT)*time.Microsecond > limit
		s.budgets[firstToken].See(now, one(late))
	}
	if r.GapMax >= 0 {
		gap := time.Duration(r.GapMax)*time.Microsecond > m.settings.Smoothness.Limit
		s.budgets[smoothness].See(now, one(gap))
		late = late || gap
	}
	return late
}

// tried counts what upstreams made of what they were asked: a try that failed is no
// failure of the request where another one did better.
func (m *Monitor) tried(r *record.Record, now time.Time) (failed bool) {
	tries := r.Tries()
	for i := range tries {
		a := &tries[i]
		bad := a.Fault != fault.None
		if bad && a.Fault.Info().Owner == fault.Caller {
			continue
		}
		failed = failed || bad
		k := key{upstream: a.Upstream, simulated: r.Simulated}
		u := m.upstreams[k]
		if u == nil {
			if len(m.upstreams) >= maxUpstreams {
				m.over++
				continue
			}
			u = &asked{key: k, budget: &alert.Budget{}, tokens: &alert.Level{}}
			m.upstreams[k] = u
		}
		u.budget.See(now, one(bad))
		if !bad && i == len(tries)-1 && r.End == record.OK && r.TPOT > 0 && r.Output > 8 {
			if c, ok := u.tokens.See(now, float64(r.TPOT), 1); ok {
				m.changed(k, tokenTime, 0, c, now)
			}
		}
	}
	return failed
}

// changes gives the detectors of a model what they look at. Each has a false alarm a
// week of its own, so that another model does not make it less watchful. An answer that
// was made for another request is traffic and counts for the objectives, but it says
// nothing new of the model.
func (m *Monitor) changes(d *modelled, r *record.Record, now time.Time, caller uint64) {
	m.seasons(d, r, now)
	if r.Given() {
		return
	}
	rate := func(k kind, bad bool) {
		if c, ok := d.rates[k].See(now, caller, bad, 1); ok {
			m.changed(d.key, k, 0, c, now)
		}
	}
	if bad, counts := verdict(r); counts {
		rate(cuts, bad && r.End == record.AbnormalEnd)
	}
	if r.End != record.OK {
		return
	}
	rate(refusals, r.Finish == inference.ContentFilter)
	rate(truncation, r.Finish == inference.Length)
	rate(failovers, r.FailoverFrom != "")
	level := func(l *alert.Level, k kind, size int, x int64) {
		if c, ok := l.See(now, float64(x), 1); ok {
			m.changed(d.key, k, size, c, now)
		}
	}
	if r.Stream && r.TTFT > 0 {
		size := sized(r.Input)
		level(d.firsts[size], firstToken, size, r.TTFT)
	}
	if r.Output > 0 {
		level(d.levels[answerLength], answerLength, 0, r.Output)
	}
	if r.Input > 0 {
		level(d.levels[promptLength], promptLength, 0, r.Input)
	}
}

// sized returns the class of a prompt by its tokens.
func sized(input int64) (n int) {
	for limit := int64(512); input >= limit && n < sizes-1; limit *= 8 {
		n++
	}
	return n
}

// seasons counts what comes and goes with the hour. Money is counted in thousandths of
// a dollar.
func (m *Monitor) seasons(d *modelled, r *record.Record, now time.Time) {
	if r.Simulated && d == m.all {
		return
	}
	for i, n := range [measures]float64{requests: 1, tokens: float64(max(r.Output, 0)), money: float64(max(r.Cost, 0)) / 1e3} {
		if c, ok := d.seasons[i].See(now, n); ok {
			m.unusual(d.key, measure(i), c, now)
		}
	}
}

// columns are what bad requests may have in common, the general before the special. By
// the places of three of them they are found again.
var columns = []string{"surface", "operation", "tenant", "key", "tier", "cell", "config generation", "model", "hardware", "region", "zone", "upstream", "upstream model", "replica"}

const (
	tierColumn     = 4
	modelColumn    = 7
	zoneColumn     = 10
	upstreamColumn = 11
)

// owners are those of them that fail by themselves.
var owners = []string{"upstream", "replica"}

// sampled is a request that went well or did not.
type sampled struct {
	at    time.Time
	id    string
	of    alert.Sample
	fault string
}

// samples keeps the latest, at most one in a while.
type samples struct {
	ring []sampled
	next int
	last time.Time
}

// due reports whether it is time for another sample.
func (s *samples) due(now time.Time) bool {
	if d := now.Sub(s.last); d >= 0 && d < sampleEvery {
		return false
	}
	s.last = now
	return true
}

func (s *samples) put(x sampled) {
	if len(s.ring) < maxSamples {
		s.ring = append(s.ring, x)
		return
	}
	s.ring[s.next] = x
	s.next = (s.next + 1) % maxSamples
}

// within returns the samples since a moment that match.
func (s *samples) within(since time.Time, match func(*sampled) bool) []sampled {
	var found []sampled
	for i := range s.ring {
		if x := &s.ring[i]; !x.at.Before(since) && match(x) {
			found = append(found, *x)
		}
	}
	slices.SortFunc(found, func(a, b sampled) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id)) })
	return found
}

func (m *Monitor) sample(r *record.Record, now time.Time, bad bool) {
	if !bad {
		if r.End == record.OK && m.good.due(now) {
			m.good.put(sampleOf(r, r.Upstream, r.Replica, "", now))
		}
		return
	}
	if !m.bad.due(now) {
		return
	}
	tried := false
	for _, a := range r.Tries() {
		if a.Fault != fault.None && a.Fault.Info().Owner != fault.Caller {
			tried = true // also one that another try made good
			m.bad.put(sampleOf(r, a.Upstream, a.Replica, a.Fault.String(), now))
		}
	}
	if !tried {
		why := ""
		if r.Fault != fault.None {
			why = r.Fault.String()
		}
		m.bad.put(sampleOf(r, r.Upstream, r.Replica, why, now))
	}
}

func sampleOf(r *record.Record, upstream, replica, why string, now time.Time) sampled {
	if replica != "" {
		replica = upstream + "/" + replica
	}
	of := alert.Sample{r.Surface, r.Operation, r.Tenant, r.Key, r.Tier, r.Cell, strconv.FormatInt(r.Generation, 10), r.Model, r.Hardware, r.Region, "", upstream, r.UpstreamModel, replica}
	if r.Zone != "" {
		of[zoneColumn] = r.Region + "/" + r.Zone
	}
	return sampled{at: now, id: r.ID.String(), of: of, fault: why}
}
