// Package complexity tells from the looks of a request how hard it may be, from 0 to
// 1, and what each sign of it contributes. It is not trained and knows no content:
// lengths, marks and a few words that stand in every language course.
//
// It is a weak judge. On prompts with known answers of a weak and a strong model it
// finds the hard ones somewhat better than their length does, and far worse than a
// look at the answers; docs/explanation/measured.md has the figures. So it shifts what
// counts, quality or price, and decides nothing by itself.
package complexity

import (
	"math"

	"headworks/internal/inference"
)

// Weights are what each signal contributes at most.
type Weights [inference.Signals]float64

// Default returns the weights that hold where the configuration says nothing. They
// are set by hand: length, clauses and logic for what a question looks like, the
// others for work that questions of tests have not.
func Default() Weights {
	return Weights{
		inference.ByLength:    0.30,
		inference.ByClauses:   0.20,
		inference.ByLogic:     0.25,
		inference.ByCode:      0.20,
		inference.ByMath:      0.05,
		inference.ByVerbs:     0.10,
		inference.ByQuestions: 0.05,
		inference.ByItems:     0.05,
		inference.ByLanguages: 0.05,
		inference.ByTurns:     0.10,
		inference.ByTools:     0.10,
		inference.ByEffort:    0.30,

		inference.ByClassifier: 0.50,
	}
}

// Score is how hard a request looks: Total from 0 to 1, and what each signal
// contributed to it. Effort and a classifier may take away.
type Score struct {
	Total float32
	Parts [inference.Signals]float32
}

// full is how much of a signal counts as all there can be. All but effort and
// languages count by their logarithm.
var full = [inference.Signals]float64{
	inference.ByLength:    4096, // words
	inference.ByClauses:   64,
	inference.ByLogic:     32,
	inference.ByCode:      3,
	inference.ByMath:      32,
	inference.ByVerbs:     7,
	inference.ByQuestions: 7,
	inference.ByItems:     15,
	inference.ByLanguages: 2,
	inference.ByTurns:     31,
	inference.ByTools:     15,
}

// wordsPerToken turns an estimate of tokens into words where nobody looked at the
// prompt.
const wordsPerToken = 0.75

// Of returns how hard a request looks. Where nobody looked at its prompt it goes by
// length, tools and effort alone.
func Of(r *inference.Request, w *Weights) Score {
	f := &r.Features
	counts := [inference.Signals]float64{
		inference.ByLength:    float64(f.Words),
		inference.ByClauses:   float64(f.Clauses),
		inference.ByLogic:     float64(f.Logic),
		inference.ByCode:      float64(f.Code),
		inference.ByMath:      float64(f.Math),
		inference.ByVerbs:     float64(f.Verbs),
		inference.ByQuestions: float64(f.Questions),
		inference.ByItems:     float64(f.Items),
		inference.ByLanguages: float64(f.Scripts - 1),
		inference.ByTurns:     float64(f.Turns - 1),
		inference.ByTools:     float64(r.Tools),
	}
	if !f.Known {
		counts[inference.ByLength] = wordsPerToken * float64(r.Input)
	}
	var s Score
	total := 0.0
	for i := range inference.ByEffort {
		if counts[i] <= 0 || w[i] == 0 {
			continue
		}
		part := w[i] * min(1, math.Log2(1+counts[i])/math.Log2(1+full[i]))
		s.Parts[i] = float32(part)
		total += part
	}
	effort := 0.0
	switch r.Effort {
	case inference.LittleEffort:
		effort = -w[inference.ByEffort]
	case inference.MuchEffort:
		effort = w[inference.ByEffort]
	case inference.NoEffort, inference.MediumEffort:
	}
	s.Parts[inference.ByEffort] = float32(effort)
	verdict := 0.0
	if r.Verdict.Known {
		verdict = w[inference.ByClassifier] * (2*float64(r.Verdict.Hard) - 1)
		s.Parts[inference.ByClassifier] = float32(verdict)
	}
	s.Total = float32(max(0, min(1, total+effort+verdict)))
	return s
}
