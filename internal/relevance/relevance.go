// Package relevance says how good rankings are: the usual measures over judged
// questions, how sure they are, and how two rankings compare.
//
// Questions without judgements are skipped, what is not judged is not relevant, and
// a ranking counts down to its thousandth document. A judged question to which a
// ranking has no answer counts as 0. Equal scores stand in the order of their
// documents' ids, so a figure does not depend on how a search breaks ties.
package relevance

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// Depth is how many documents of a ranking count.
const Depth = 1000

// Query is a question of a collection.
type Query struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// Judgements are the grades of documents by question: 0 and below is not relevant.
type Judgements map[string]map[string]int

// Ranked is a document of a ranking.
type Ranked struct {
	Document string
	Score    float64
}

// Run is a ranking for each question.
type Run map[string][]Ranked

func sortRanked(list []Ranked) {
	slices.SortFunc(list, func(a, b Ranked) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Document, b.Document))
	})
}

// Measures are what one ranking is worth, each from 0 to 1, as trec_eval counts
// them.
type Measures struct {
	AP     float64 `json:"map"`          // average precision; over questions, MAP
	NDCG10 float64 `json:"ndcg_at_10"`   // gain is the grade, discount log2(1+place)
	Recall float64 `json:"recall_at_20"` // share of the relevant in the first 20
	RR     float64 `json:"mrr"`          // 1/place of the first relevant
	P30    float64 `json:"p_at_30"`      // share of the first 30 that is relevant
}

// values lists the measures, so that all are treated alike.
func (m *Measures) values() []*float64 {
	return []*float64{&m.AP, &m.NDCG10, &m.Recall, &m.RR, &m.P30}
}

// Measure returns what a ranking is worth by the grades of one question.
func Measure(grades map[string]int, ranking []Ranked) Measures {
	ranking = slices.Clone(ranking)
	sortRanked(ranking)
	var ideal []int
	for _, grade := range grades {
		if grade > 0 {
			ideal = append(ideal, grade)
		}
	}
	if len(ideal) == 0 {
		return Measures{}
	}
	slices.SortFunc(ideal, func(a, b int) int { return cmp.Compare(b, a) })
	var (
		m               Measures
		found, at20     int
		place           int
		gain, idealGain float64
		seen            = make(map[string]bool, len(ranking))
	)
	for _, r := range ranking {
		if seen[r.Document] {
			continue
		}
		seen[r.Document] = true
		if place++; place > Depth {
			break
		}
		grade := grades[r.Document]
		if grade <= 0 {
			continue
		}
		found++
		m.AP += float64(found) / float64(place)
		if m.RR == 0 {
			m.RR = 1 / float64(place)
		}
		if place <= 10 {
			gain += float64(grade) / math.Log2(float64(place+1))
		}
		if place <= 20 {
			at20++
		}
		if place <= 30 {
			m.P30 += 1.0 / 30
		}
	}
	for i, grade := range ideal[:min(10, len(ideal))] {
		idealGain += float64(grade) / math.Log2(float64(i+2))
	}
	m.AP /= float64(len(ideal))
	m.NDCG10 = gain / idealGain
	m.Recall = float64(at20) / float64(len(ideal))
	return m
}

// Scores are what a run is worth, by question.
type Scores map[string]Measures

// Evaluate measures a run by judgements. Questions of which no document is judged
// relevant tell nothing and are skipped, like those without judgements.
func Evaluate(j Judgements, run Run) Scores {
	scores := Scores{}
	for query, grades := range j {
		if slices.ContainsFunc(slices.Collect(maps.Values(grades)), func(grade int) bool { return grade > 0 }) {
			scores[query] = Measure(grades, run[query])
		}
	}
	return scores
}

// Queries returns the measured questions in order.
func (s Scores) Queries() []string { return slices.Sorted(maps.Keys(s)) }

// Mean returns the means over the questions.
func (s Scores) Mean() Measures {
	var mean Measures
	for _, query := range s.Queries() {
		m := s[query]
		for i, v := range mean.values() {
			*v += *m.values()[i]
		}
	}
	for _, v := range mean.values() {
		*v /= float64(max(len(s), 1))
	}
	return mean
}
