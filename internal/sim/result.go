package sim

import (
	"encoding/hex"
	"slices"
	"time"

	"headworks/internal/fault"
	"headworks/internal/flow"
	"headworks/internal/latency"
	"headworks/internal/record"
)

// Result sums a run up. Runs of equal input have equal results, but for the two
// figures of the wall clock.
type Result struct {
	Requests       int            `json:"requests"`
	Served         int            `json:"served"`
	Failed         int            `json:"failed"`
	Faults         map[string]int `json:"faults"` // by the kind's name
	Steps          int64          `json:"steps"`  // calls of flow.Step
	StepsPerSecond float64        `json:"steps_per_second"`
	WallSeconds    float64        `json:"wall_seconds"` // of the loop alone
	Hash           string         `json:"hash"`         // SHA-256 over all records, in the order of their ends
	Seconds        float64        `json:"simulated_seconds"`
	Figures
	Stages   []Figures     `json:"stages,omitempty"` // of a load in stages, in order
	Phases   []Phase       `json:"phases,omitempty"` // between the events, in order
	Replicas []ReplicaLoad `json:"replicas"`
}

// Figures are what a load came to, or one of its stages.
type Figures struct {
	Throughput  float64     `json:"output_tokens_per_second"` // of answers that were served, from the first arrival to the last end; without the pauses between stages
	TTFT        Percentiles `json:"ttft_ms"`
	TPOT        Percentiles `json:"tpot_ms"`
	Within      float64     `json:"within_objective"` // share of all requests
	Hit         float64     `json:"prefix_hit_ratio"` // of the prompts' tokens, in the engines' caches
	Preemptions int         `json:"preemptions"`
	Reused      int         `json:"reused,omitempty"`    // requests that were given an earlier answer
	Joined      int         `json:"joined,omitempty"`    // requests that shared the answer to another one
	GPUHours    float64     `json:"gpu_hours,omitempty"` // of a whole run in which replicas are scaled
}

// Percentiles are of the answers that were served, in milliseconds.
type Percentiles struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
}

// ReplicaLoad is what one replica had to do.
type ReplicaLoad struct {
	Upstream     string  `json:"upstream"`
	Replica      string  `json:"replica"`
	Sent         int     `json:"sent"`
	Served       int     `json:"served"`
	Share        float64 `json:"share"` // of all that was served
	InFlight     float64 `json:"in_flight"`
	InFlightPeak int     `json:"in_flight_peak"`
}

// Phase is what became of the requests that came between two moments at which an
// event begins or ends.
type Phase struct {
	From     float64     `json:"from"` // seconds from the start
	To       float64     `json:"to"`   // 0: the end of the run
	Requests int         `json:"requests"`
	Lost     int         `json:"lost"`    // failed before the answer had begun
	Broken   int         `json:"broken"`  // began to be answered, and did not end
	Retried  int         `json:"retried"` // served, though not by the first replica that was asked
	Moved    int         `json:"moved"`   // served in another region than the caller's
	TTFT     Percentiles `json:"ttft_ms"`
	Within   float64     `json:"within_objective"`
}

// phase is a Phase that is being counted.
type phase struct {
	Phase
	within int
	ttft   []int64
}

// maxPhases bounds the phases of a run; what comes later is in the last one.
const maxPhases = 16

// phases returns the phases between moments; none where nothing happens.
func phases(all []moment) []phase {
	if len(all) == 0 {
		return nil
	}
	list := []phase{{}}
	for _, m := range all {
		last := &list[len(list)-1]
		switch at := m.at.Seconds(); {
		case at == last.From:
		case len(list) == maxPhases:
			return list
		default:
			last.To = at
			list = append(list, phase{Phase: Phase{From: at}})
		}
	}
	return list
}

// add counts a request.
func (p *phase) add(r *record.Record, within bool) {
	p.Requests++
	if within {
		p.within++
	}
	switch {
	case r.End != record.OK && r.Committed:
		p.Broken++
		return
	case r.End != record.OK:
		p.Lost++
		return
	}
	if r.Tried > 1 {
		p.Retried++
	}
	if r.Region != r.FromRegion && r.Region != "" && r.FromRegion != "" {
		p.Moved++
	}
	if r.TTFT >= 0 && r.Stream {
		p.ttft = append(p.ttft, r.TTFT)
	}
}

// tally counts while a run is under way.
type tally struct {
	steps    int64
	requests int
	served   int
	faults   [256]int // by fault.Kind
	stage    sample   // the one at hand
	begun    time.Duration
	engine   latency.Load // of all engines until then
	stages   []sample     // those that are over
	phases   []phase
}

// sample is what is measured of some requests.
type sample struct {
	requests, within int
	reused, joined   int
	output           int64   // tokens served
	ttft, tpot       []int64 // microseconds
	engine           latency.Load
	took             time.Duration
}

func (t *tally) begin(at time.Duration) { t.begun = at }

func (t *tally) add(r *record.Record, came time.Duration, o Objective) {
	t.requests++
	t.faults[r.Fault]++
	m := &t.stage
	m.requests++
	within := r.End == record.OK
	if len(t.phases) > 0 {
		defer func() { t.phase(came).add(r, within) }()
	}
	if r.End != record.OK {
		return
	}
	t.served++
	switch r.Cache {
	case flow.Hit.String():
		m.reused++
	case flow.JoinedFlight.String():
		m.joined++
	}
	m.output += r.Output
	if r.TTFT >= 0 && r.Stream {
		m.ttft = append(m.ttft, r.TTFT)
		within = o.TTFT == 0 || r.TTFT <= o.TTFT.Microseconds()
	}
	if r.TPOT >= 0 {
		m.tpot = append(m.tpot, r.TPOT)
		within = within && (o.TPOT == 0 || r.TPOT <= o.TPOT.Microseconds())
	}
	if within {
		m.within++
	}
}

// phase returns the phase of a moment.
func (t *tally) phase(at time.Duration) *phase {
	i := len(t.phases) - 1
	for i > 0 && at.Seconds() < t.phases[i].From {
		i--
	}
	return &t.phases[i]
}

// close ends a stage.
func (s *run) close() {
	t := &s.tally
	var engines latency.Load // since the start
	for _, r := range s.replicas {
		if r != nil {
			l := r.engine.Load(r.clock.local(s.now))
			engines.Preemptions += r.tally.before.Preemptions + l.Preemptions
			engines.Asked += r.tally.before.Asked + l.Asked
			engines.Hit += r.tally.before.Hit + l.Hit
		}
	}
	m := &t.stage
	m.took = s.now - t.begun
	m.engine = latency.Load{
		Preemptions: engines.Preemptions - t.engine.Preemptions,
		Asked:       engines.Asked - t.engine.Asked,
		Hit:         engines.Hit - t.engine.Hit,
	}
	t.engine = engines
	t.stages, t.stage = append(t.stages, *m), sample{}
}

// whole is the sample of all stages together.
func whole(stages []sample) sample {
	if len(stages) == 1 {
		return stages[0]
	}
	var all sample
	for i := range stages {
		m := &stages[i]
		all.requests += m.requests
		all.within += m.within
		all.output += m.output
		all.reused, all.joined = all.reused+m.reused, all.joined+m.joined
		all.took += m.took
		all.ttft, all.tpot = append(all.ttft, m.ttft...), append(all.tpot, m.tpot...)
		all.engine.Preemptions += m.engine.Preemptions
		all.engine.Asked += m.engine.Asked
		all.engine.Hit += m.engine.Hit
	}
	return all
}

// figures sums a sample up.
func (m *sample) figures() Figures {
	f := Figures{TTFT: percentiles(m.ttft), TPOT: percentiles(m.tpot), Preemptions: m.engine.Preemptions, Reused: m.reused, Joined: m.joined}
	if m.took > 0 {
		f.Throughput = float64(m.output) / m.took.Seconds()
	}
	if m.requests > 0 {
		f.Within = float64(m.within) / float64(m.requests)
	}
	if m.engine.Asked > 0 {
		f.Hit = float64(m.engine.Hit) / float64(m.engine.Asked)
	}
	return f
}

// replicaTally counts what happens at a replica.
type replicaTally struct {
	sent, served   int
	inFlight, peak int
	area           float64 // requests in flight over time, in seconds
	changed        time.Duration
	before         latency.Load // of engines that crashed
}

// engine keeps what is counted of an engine that is no more.
func (t *replicaTally) engine(l latency.Load) {
	t.before.Preemptions += l.Preemptions
	t.before.Asked += l.Asked
	t.before.Hit += l.Hit
}

func (t *replicaTally) add(now time.Duration, n int) {
	t.area += float64(t.inFlight) * (now - t.changed).Seconds()
	t.changed = now
	t.inFlight += n
	t.peak = max(t.peak, t.inFlight)
}

func (s *run) result() Result {
	t := &s.tally
	all := whole(t.stages)
	r := Result{
		Requests:    t.requests,
		Served:      t.served,
		Failed:      t.requests - t.served,
		Faults:      map[string]int{},
		Steps:       t.steps,
		WallSeconds: s.wall.Seconds(),
		Hash:        hex.EncodeToString(s.digest.Sum(nil)),
		Seconds:     s.now.Seconds(),
		Figures:     all.figures(),
	}
	if s.scale != nil {
		s.pay()
		r.GPUHours = s.scale.gpus / 3600
	}
	if _, ok := s.load.(Staged); ok && len(t.stages) > 1 {
		for i := range t.stages {
			r.Stages = append(r.Stages, t.stages[i].figures())
		}
	}
	for i := range t.phases {
		p := &t.phases[i]
		p.TTFT = percentiles(p.ttft)
		p.Within = float64(p.within) / float64(max(p.Requests, 1))
		r.Phases = append(r.Phases, p.Phase)
	}
	if s.wall > 0 {
		r.StepsPerSecond = float64(t.steps) / s.wall.Seconds()
	}
	for _, k := range fault.Kinds() {
		if n := t.faults[k]; n > 0 {
			r.Faults[k.String()] = n
		}
	}
	for _, p := range s.replicas {
		if p == nil {
			continue
		}
		load := ReplicaLoad{
			Upstream: s.Fleet.Upstreams[p.of.Upstream].Name, Replica: p.of.Name,
			Sent: p.tally.sent, Served: p.tally.served, InFlightPeak: p.tally.peak,
		}
		if t.served > 0 {
			load.Share = float64(p.tally.served) / float64(t.served)
		}
		if s.now > 0 {
			load.InFlight = p.tally.area / s.now.Seconds()
		}
		r.Replicas = append(r.Replicas, load)
	}
	return r
}

// percentiles sorts what it is given.
func percentiles(us []int64) Percentiles {
	if len(us) == 0 {
		return Percentiles{}
	}
	slices.Sort(us)
	at := func(q float64) float64 { return float64(us[int(q*float64(len(us)-1))]) / 1000 }
	var sum float64
	for _, v := range us {
		sum += float64(v)
	}
	return Percentiles{sum / float64(len(us)) / 1000, at(.5), at(.9), at(.95), at(.99)}
}
