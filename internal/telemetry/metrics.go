// Package telemetry tells what happened to whoever watches: Prometheus metrics and
// a JSON log, both derived from Records off the requests' way.
//
// Names begin with headworks_, units are seconds, tokens and USD. Labels come from
// the configuration and from closed sets, never from a caller: no tenant, no key,
// no text. At most 50 models keep their name, the rest are "other". Nothing holds
// content, and the log has a layer that takes out secrets wherever they come from.
package telemetry

import (
	"cmp"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"headworks/internal/fault"
	"headworks/internal/record"
)

const (
	namespace = "headworks"
	namedMost = 50

	// noModel stands where a request named none that exists.
	noModel = "none"
)

// Buckets is how finely histograms are cut.
type Buckets uint8

// The cuts. Native histograms, which are exact within 5 %, are there with all of
// them for a server that scrapes them.
const (
	Coarse Buckets = iota // 10 ms doubling to 82 s: a p95 is good to 19 %
	Fine                  // 5 ms by the root of 2 to 164 s: to 5 %
	None                  // native only
)

func (b Buckets) bounds() []float64 {
	switch b {
	case Fine:
		return prometheus.ExponentialBuckets(.005, 1.4142135623730951, 31)
	case None:
		return nil
	default:
		return prometheus.ExponentialBuckets(.01, 2, 14)
	}
}

// Metrics keeps the counters of this process, in a registry of its own. It is an
// observer of Records.
type Metrics struct {
	registry *prometheus.Registry

	requests  *prometheus.CounterVec
	tokens    *prometheus.CounterVec
	cost      *prometheus.CounterVec
	attempts  *prometheus.CounterVec
	failovers *prometheus.CounterVec
	abnormal  *prometheus.CounterVec
	predicted *prometheus.CounterVec
	cached    *prometheus.CounterVec
	earlier   *prometheus.CounterVec
	spared    *prometheus.CounterVec
	unpaid    *prometheus.CounterVec
	arms      *prometheus.CounterVec
	moved     *prometheus.CounterVec
	armTimes  *prometheus.HistogramVec
	shadows   shadows
	closed    prometheus.Counter
	overflow  prometheus.Counter
	times     [5]*prometheus.HistogramVec

	// mu guards what spares a look into the vectors for each Record.
	mu     sync.Mutex
	models busiest
	byName map[string]*series
}

// The histograms of Metrics.times.
const (
	duration = iota
	firstToken
	outputToken
	queueWait
	overhead
)

// series is what is counted of one model.
type series struct {
	requests map[outcome]prometheus.Counter
	spent    map[string]*spending // by upstream
	times    [5]prometheus.Observer
}

type outcome struct {
	surface, tier string
	end           record.End
	fault         fault.Kind
}

type spending struct {
	tokens [5]prometheus.Counter
	cost   prometheus.Counter
}

var tokenKinds = [5]string{"input", "output", "cache_read", "cache_write", "reasoning"}

// New returns Metrics. What sources tell is asked for at each scrape.
func New(b Buckets, sources Sources) *Metrics {
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: name, Help: help, Buckets: b.bounds(),
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  160,
			NativeHistogramMinResetDuration: resetAfter,
		}, append([]string{"model"}, labels...))
	}
	m := &Metrics{
		registry:  prometheus.NewRegistry(),
		requests:  counters("requests_total", "Requests that ended.", "surface", "model", "tier", "end", "fault"),
		tokens:    counters("tokens_total", "Tokens; input includes what was read from and written to a cache, output includes reasoning.", "model", "upstream", "kind"),
		cost:      counters("cost_usd_total", "What answers cost, by the price of their target.", "model", "upstream"),
		attempts:  counters("attempts_total", "Tries on replicas.", "upstream", "outcome"),
		failovers: counters("failovers_total", "Times a request left a replica of an upstream for another replica.", "upstream"),
		abnormal:  counters("abnormal_ends_total", "Answers that were cut after content was sent.", "upstream"),
		predicted: counters("prefix_predicted_tokens_total", "Tokens of prompts that a replica was thought to hold in its cache when it was chosen.", "upstream"),
		cached:    counters("prefix_cached_tokens_total", "Tokens of the same prompts that it then says it had.", "upstream"),
		earlier:   counters("reuse_requests_total", "Requests that ended, by what became of earlier answers to the same.", "model", "state", "tier"),
		spared:    counters("reuse_saved_tokens_total", "Tokens that earlier answers made needless.", "model"),
		unpaid:    counters("reuse_saved_usd_total", "What they would have cost, by the price of their target.", "model"),
		arms:      counters("arm_requests_total", "Requests that ended, by the name of their target.", "model", "arm", "end"),
		moved:     counters("moved_total", "Requests that were served in another region than the caller's.", "from", "to"),
		armTimes:  histogram("arm_first_token_seconds", "From arrival to the first content sent, by the name of the target.", "arm"),
		shadows:   newShadows(counters, histogram),
		closed:    prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: "client_closed_total", Help: "Requests whose caller left."}),
		overflow: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "label_overflow_total", Help: "Requests counted under the model \"other\".",
			ConstLabels: prometheus.Labels{"label": "model"},
		}),
		times: [5]*prometheus.HistogramVec{
			duration:    histogram("request_duration_seconds", "From arrival to the end."),
			firstToken:  histogram("first_token_seconds", "From arrival to the first content sent."),
			outputToken: histogram("output_token_seconds", "Mean time of an output token after the first."),
			queueWait:   histogram("queue_wait_seconds", "Waiting to be let in."),
			overhead:    histogram("overhead_seconds", "What Headworks itself took."),
		},
		models: busiest{most: namedMost},
		byName: make(map[string]*series),
	}
	m.registry.MustRegister(
		m.requests, m.tokens, m.cost, m.attempts, m.failovers, m.abnormal, m.predicted, m.cached, m.earlier, m.spared, m.unpaid, m.arms, m.moved, m.armTimes, m.closed, m.overflow,
		m.shadows.copies, m.shadows.unsent, m.shadows.same, m.shadows.tokens, m.shadows.cost, m.shadows.first, m.shadows.whole,
		&sources,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	for _, h := range m.times {
		m.registry.MustRegister(h)
	}
	return m
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Observe counts a Record. Copies for shadows are counted apart, by Compare.
func (m *Metrics) Observe(r *record.Record) {
	if r.Origin == record.Shadow {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	name, gone := m.models.name(cmp.Or(r.Model, noModel), r.Time)
	for _, g := range gone {
		m.forget(g)
	}
	if name == other {
		m.overflow.Inc()
	}
	s := m.seriesOf(name)
	m.count(s, name, r)
	m.spend(s, name, r)
	if r.Model != "" {
		for i, us := range [...]int64{duration: r.Total, firstToken: r.TTFT, outputToken: r.TPOT, queueWait: r.Queue, overhead: r.Overhead} {
			if us >= 0 {
				s.times[i].Observe(float64(us) / 1e6)
			}
		}
	}
	m.tries(r)
	m.reuse(name, r)
	m.foresight(r)
	if r.Region != "" && r.FromRegion != "" && r.Region != r.FromRegion {
		m.moved.WithLabelValues(r.FromRegion, r.Region).Inc()
	}
	if r.Arm != "" {
		m.arms.WithLabelValues(name, r.Arm, r.End.String()).Inc()
		if r.TTFT >= 0 {
			m.armTimes.WithLabelValues(name, r.Arm).Observe(float64(r.TTFT) / 1e6)
		}
	}
	switch r.End {
	case record.AbnormalEnd:
		m.abnormal.WithLabelValues(r.Upstream).Inc()
	case record.ClientClosed:
		m.closed.Inc()
	case record.Open, record.OK, record.Failed:
	}
}

func (m *Metrics) seriesOf(name string) *series {
	s := m.byName[name]
	if s == nil {
		s = &series{requests: make(map[outcome]prometheus.Counter), spent: make(map[string]*spending)}
		for i, h := range m.times {
			s.times[i] = h.WithLabelValues(name)
		}
		m.byName[name] = s
	}
	return s
}

func (m *Metrics) count(s *series, name string, r *record.Record) {
	o := outcome{r.Surface, r.Tier, r.End, r.Fault}
	c := s.requests[o]
	if c == nil {
		c = m.requests.WithLabelValues(r.Surface, name, r.Tier, r.End.String(), r.Fault.String())
		s.requests[o] = c
	}
	c.Inc()
}

func (m *Metrics) spend(s *series, name string, r *record.Record) {
	if r.Upstream == "" {
		return
	}
	p := s.spent[r.Upstream]
	if p == nil {
		p = new(spending)
		s.spent[r.Upstream] = p
	}
	// What a model never has gets no series.
	for i, n := range [...]int64{r.Input, r.Output, r.CacheRead, r.CacheWrite, r.Reasoning} {
		if n <= 0 {
			continue
		}
		if p.tokens[i] == nil {
			p.tokens[i] = m.tokens.WithLabelValues(name, r.Upstream, tokenKinds[i])
		}
		p.tokens[i].Add(float64(n))
	}
	if r.Cost < 0 {
		return
	}
	if p.cost == nil {
		p.cost = m.cost.WithLabelValues(name, r.Upstream)
	}
	p.cost.Add(float64(r.Cost) / 1e6)
}

// foresight counts what a replica was thought to hold of a prompt beside what it held.
func (m *Metrics) foresight(r *record.Record) {
	if r.End != record.OK || r.UsageSource != record.Provider {
		return
	}
	if c, ok := r.Winner(); ok && c.Upstream == r.Upstream && c.Replica == r.Replica && (c.Hit > 0 || r.CacheRead > 0) {
		m.predicted.WithLabelValues(r.Upstream).Add(float64(c.Hit))
		m.cached.WithLabelValues(r.Upstream).Add(float64(r.CacheRead))
	}
}

// reuse counts what became of earlier answers, where anybody looked.
func (m *Metrics) reuse(name string, r *record.Record) {
	if r.Cache == "" || r.CacheWhy != "" {
		return
	}
	m.earlier.WithLabelValues(name, r.Cache, r.CacheTier).Inc()
	if r.SavedTokens > 0 {
		m.spared.WithLabelValues(name).Add(float64(r.SavedTokens))
	}
	if r.SavedCost > 0 {
		m.unpaid.WithLabelValues(name).Add(float64(r.SavedCost) / 1e6)
	}
}

func (m *Metrics) tries(r *record.Record) {
	tries := r.Tries()
	for i := range tries {
		a := &tries[i]
		result := "ok"
		switch {
		case a.Fault != fault.None:
			result = a.Fault.String()
		case a.Doubt != "":
			result = "unverified"
		}
		m.attempts.WithLabelValues(a.Upstream, result).Inc()
		if i > 0 {
			if b := &tries[i-1]; b.Fault != fault.None && (b.Upstream != a.Upstream || b.Replica != a.Replica) {
				m.failovers.WithLabelValues(b.Upstream).Inc()
			}
		}
	}
}

// forget removes the series of a model that lost its name.
func (m *Metrics) forget(name string) {
	delete(m.byName, name)
	label := prometheus.Labels{"model": name}
	for _, v := range []*prometheus.CounterVec{m.requests, m.tokens, m.cost, m.arms, m.earlier, m.spared, m.unpaid} {
		v.DeletePartialMatch(label)
	}
	m.armTimes.DeletePartialMatch(label)
	for _, h := range m.times {
		h.DeletePartialMatch(label)
	}
}
