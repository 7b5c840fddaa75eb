package golden

import "headworks/internal/relevance"

// Reply is what an answer took, and how well what the model was given says it.
type Reply struct {
	Input, Output int      // tokens
	Cost          *float64 // USD; nil: not known
	Seconds       float64
	Support       *float64 // 0 to 1; nil: it says nothing that could be supported
}

// Both are the answers to a question: with passages that were found for it, and with the
// collection.
type Both struct{ Retrieved, Whole Reply }

// Figure is a mean over questions, and where it lies with a probability of 95 %.
type Figure struct {
	Mean float64            `json:"mean"`
	Of   relevance.Interval `json:"interval"`
	N    int                `json:"queries"` // that have it in both answers; with none the rest means nothing
}

// Figures are those of answers, or of differences between answers to the same questions.
type Figures struct {
	Input   Figure `json:"input_tokens"`
	Output  Figure `json:"output_tokens"`
	Cost    Figure `json:"cost_usd"`
	Seconds Figure `json:"seconds"`
	Support Figure `json:"support"`
}

// Beside is retrieval beside the whole collection in the context.
type Beside struct {
	Queries    int     `json:"queries"` // that have both answers
	Retrieved  Figures `json:"retrieved"`
	Whole      Figures `json:"whole"`
	Difference Figures `json:"difference"` // retrieved minus whole, question by question
}

// SetBeside compares answers. Both sides of a figure are of the same questions.
func SetBeside(pairs []Both) Beside {
	b := Beside{Queries: len(pairs)}
	for _, f := range []struct {
		of    func(*Reply) (float64, bool)
		sides [3]*Figure
	}{
		{func(r *Reply) (float64, bool) { return float64(r.Input), true }, [3]*Figure{&b.Retrieved.Input, &b.Whole.Input, &b.Difference.Input}},
		{func(r *Reply) (float64, bool) { return float64(r.Output), true }, [3]*Figure{&b.Retrieved.Output, &b.Whole.Output, &b.Difference.Output}},
		{func(r *Reply) (float64, bool) { return given(r.Cost) }, [3]*Figure{&b.Retrieved.Cost, &b.Whole.Cost, &b.Difference.Cost}},
		{func(r *Reply) (float64, bool) { return r.Seconds, true }, [3]*Figure{&b.Retrieved.Seconds, &b.Whole.Seconds, &b.Difference.Seconds}},
		{func(r *Reply) (float64, bool) { return given(r.Support) }, [3]*Figure{&b.Retrieved.Support, &b.Whole.Support, &b.Difference.Support}},
	} {
		var values [3][]float64
		for i := range pairs {
			x, known := f.of(&pairs[i].Retrieved)
			y, too := f.of(&pairs[i].Whole)
			if known && too {
				values[0], values[1], values[2] = append(values[0], x), append(values[1], y), append(values[2], x-y)
			}
		}
		for i, side := range f.sides {
			side.N = len(values[i])
			side.Mean, side.Of = relevance.Mean(values[i], seed)
		}
	}
	return b
}

func given(v *float64) (float64, bool) {
	if v == nil {
		return 0, false
	}
	return *v, true
}
