package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"headworks/internal/record"
)

// shadows counts the copies of requests that were asked of other models.
type shadows struct {
	copies, unsent, same, tokens, cost *prometheus.CounterVec
	first, whole                       *prometheus.HistogramVec
}

func newShadows(counters func(name, help string, labels ...string) *prometheus.CounterVec, histogram func(name, help string, labels ...string) *prometheus.HistogramVec) shadows {
	return shadows{
		copies: counters("shadow_copies_total", "Copies of requests whose answer is at its end.", "model", "shadow", "end"),
		unsent: counters("shadow_unsent_total", "Copies of requests that were not sent.", "model", "shadow", "why"),
		same:   counters("shadow_finish_total", "Whole answers of callers and copies, by whether both ended for the same reason.", "model", "shadow", "same"),
		tokens: counters("shadow_output_tokens_total", "Tokens of those answers.", "model", "shadow", "of"),
		cost:   counters("shadow_cost_usd_total", "What answers to copies cost, by the price of their target; no caller pays it.", "model", "shadow"),
		first:  histogram("shadow_first_token_seconds", "From the send to the first content, of callers and copies.", "shadow", "of"),
		whole:  histogram("shadow_answer_seconds", "From the send to the end, of callers and copies.", "shadow", "of"),
	}
}

// Answer is what is compared of an answer. Times are seconds, below 0 where they were
// not measured.
type Answer struct {
	Of          string // caller, copy
	First, Took float64
	Output      int // tokens
}

// Unsent counts a copy that was not sent.
func (m *Metrics) Unsent(model, shadow, why string) {
	m.shadows.unsent.WithLabelValues(model, shadow, why).Inc()
}

// Copied counts a copy, and what it cost; below 0 is not known.
func (m *Metrics) Copied(model, shadow string, end record.End, cost int64) {
	m.shadows.copies.WithLabelValues(model, shadow, end.String()).Inc()
	if cost > 0 {
		m.shadows.cost.WithLabelValues(model, shadow).Add(float64(cost) / 1e6)
	}
}

// Compared counts a pair of whole answers.
func (m *Metrics) Compared(model, shadow string, same bool, answers ...Answer) {
	word := "no"
	if same {
		word = "yes"
	}
	m.shadows.same.WithLabelValues(model, shadow, word).Inc()
	for _, a := range answers {
		m.shadows.tokens.WithLabelValues(model, shadow, a.Of).Add(float64(a.Output))
		if a.First >= 0 {
			m.shadows.first.WithLabelValues(model, shadow, a.Of).Observe(a.First)
		}
		if a.Took >= 0 {
			m.shadows.whole.WithLabelValues(model, shadow, a.Of).Observe(a.Took)
		}
	}
}
