package complexity

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"slices"

	"headworks/internal/inference"
)

// Label is a prompt, and what a weak and a strong model made of it, each from 0 to 1.
type Label struct {
	Prompt       string
	Weak, Strong float64
}

// Worth is what a way to tell hard prompts is worth where there are a weak and a strong
// model: the share of the gap between them that is recovered, on average over all
// shares of prompts that go to the strong one, and the share that has to go there for
// half of the gap (APGR and CPT(50 %) of RouteLLM, arXiv 2406.18665). A coin has 0.5 of
// both.
type Worth struct {
	APGR  float64 `json:"apgr"`
	CPT50 float64 `json:"cpt50"`
}

// Worths compares the score with the length of prompts, in bytes.
type Worths struct {
	Prompts    int     `json:"prompts"`
	Weak       float64 `json:"weak"`   // on average
	Strong     float64 `json:"strong"` // on average
	Complexity Worth   `json:"complexity"`
	Length     Worth   `json:"length"`

	// By how much the score's APGR is higher, and the 95 % interval of that.
	More float64 `json:"more"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// redraws is how often prompts are drawn anew for the interval.
const redraws = 400

// Compare finds out what the score is worth on labels. Each is a question of its own.
func Compare(labels []Label, w *Weights) Worths {
	r := Worths{Prompts: len(labels)}
	if len(labels) == 0 {
		return r
	}
	all := make([]judged, len(labels))
	for i, l := range labels {
		s := Of(&inference.Request{Features: alone(l.Prompt)}, w)
		all[i] = judged{score: float64(s.Total), length: float64(len(l.Prompt)), gain: l.Strong - l.Weak}
		r.Weak += l.Weak
		r.Strong += l.Strong
	}
	r.Weak /= float64(len(labels))
	r.Strong /= float64(len(labels))
	r.Complexity, r.Length = worth(all, byScore), worth(all, byLength)
	r.More = r.Complexity.APGR - r.Length.APGR
	src := rand.New(rand.NewPCG(1, 2))
	drawn, more := make([]judged, len(all)), make([]float64, redraws)
	for k := range more {
		for i := range drawn {
			drawn[i] = all[src.IntN(len(all))]
		}
		more[k] = worth(drawn, byScore).APGR - worth(drawn, byLength).APGR
	}
	slices.Sort(more)
	r.Low, r.High = more[redraws/40], more[redraws-1-redraws/40]
	return r
}

// alone returns the features of a question that stands alone.
func alone(question string) inference.Features {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(question) // no string fails
	var m Meter
	m.Write([]byte(`"user"`))
	m.Write(bytes.TrimSpace(b.Bytes()))
	return m.Features()
}

// judged is a prompt once it was looked at.
type judged struct{ score, length, gain float64 }

func byScore(j *judged) float64  { return j.score }
func byLength(j *judged) float64 { return j.length }

// worth sorts prompts, the hardest first. Equals go to the strong model in one step.
func worth(of []judged, hard func(*judged) float64) (w Worth) {
	sorted, whole := slices.Clone(of), 0.0
	for i := range sorted {
		whole += sorted[i].gain
	}
	if whole <= 0 { // there is no gap
		return Worth{0.5, 0.5}
	}
	slices.SortFunc(sorted, func(a, b judged) int { return cmp.Compare(hard(&b), hard(&a)) })
	share, gap, sum := 0.0, 0.0, 0.0
	w.CPT50 = 1
	for i := range sorted {
		sum += sorted[i].gain
		if i+1 < len(sorted) && hard(&sorted[i+1]) == hard(&sorted[i]) {
			continue
		}
		s, g := float64(i+1)/float64(len(sorted)), sum/whole
		if w.CPT50 == 1 && gap < 0.5 && g >= 0.5 {
			w.CPT50 = share + (s-share)*(0.5-gap)/(g-gap)
		}
		w.APGR += (s - share) * (g + gap) / 2
		share, gap = s, g
	}
	return w
}
