package ground

import (
	"math"
	"strings"

	"headworks/internal/inference"
)

// Verdict is how an answer stands to the passages that it was given.
type Verdict struct {
	// Support is the share of the answer that its passages say: for each sentence the
	// better of how many of its runs of three words are copied, and how much of what
	// it says, rare words counting more, two sentences that follow each other say; the
	// mean over sentences by their length. It tells of answers that keep to the
	// passages' words, little of such as put them in others, and nothing of
	// contradiction: it is an alarm, and no rate of errors.
	Support float64
	Cited   float64 // share of the sentences that a citation stands in or behind
	Said    int     // sentences that say something; 0: the rest means nothing
}

// shortest is how many terms a sentence has that says something.
const shortest = 4

// Bounds of what is looked at, so that the work has one: a longer answer is judged by
// its beginning.
const (
	maxSaid   = 200 // sentences of an answer
	maxWindow = 4000
)

// Judge looks at an answer beside its passages.
func Judge(answer string, passages []inference.Passage) Verdict {
	answer = withoutSources(answer)
	w := newWeights(passages)
	found := marks(answer, len(passages))
	var (
		v     Verdict
		sum   float64
		total float64
		cited int
		at    int
	)
	for _, s := range sentences(answer) {
		text := answer[s.start:s.end]
		for at < len(found) && found[at].start < s.start {
			at++
		}
		has := at < len(found) && found[at].start < s.end
		all := terms(nil, unmarked(text), false)
		content := terms(nil, unmarked(text), true)
		if len(content) < shortest {
			continue
		}
		if v.Said++; v.Said > maxSaid {
			v.Said--
			break
		}
		if has {
			cited++
		}
		weight := float64(len(content))
		total += weight
		sum += weight * max(w.copied(all), w.covered(content))
	}
	if v.Said > 0 {
		v.Support, v.Cited = sum/total, float64(cited)/float64(v.Said)
	}
	return v
}

// withoutSources takes a list of sources off the end of an answer: it says nothing of the
// matter.
func withoutSources(answer string) string {
	for _, head := range [...]string{"Sources", "References"} {
		i := strings.LastIndex(answer, "\n"+head)
		if i < 0 {
			continue
		}
		if line, _, _ := strings.Cut(answer[i+1:], "\n"); strings.HasSuffix(strings.TrimSpace(line), ":") {
			return answer[:i]
		}
	}
	return answer
}

// unmarked takes the marks out of a sentence: a number of a passage is no word of it.
func unmarked(text string) string {
	if !strings.ContainsAny(text, "[【") {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		if text[i] == '[' || text[i] == "【"[0] {
			if n := markAt(text[i:]); n > 0 {
				b.WriteByte(' ')
				i += n
				continue
			}
		}
		b.WriteByte(text[i])
		i++
	}
	return b.String()
}

// weights are what is known of all passages at once.
type weights struct {
	trigrams map[string]struct{}
	df       map[string]int
	n        int
	windows  []map[string]struct{} // two sentences that follow each other
}

func newWeights(passages []inference.Passage) *weights {
	w := &weights{trigrams: map[string]struct{}{}, df: map[string]int{}}
	for i := range passages {
		all := terms(nil, passages[i].Text, false)
		for j := 0; j+3 <= len(all); j++ {
			w.trigrams[strings.Join(all[j:j+3], " ")] = struct{}{}
		}
		var before map[string]struct{}
		head := terms(nil, passages[i].Title+" "+passages[i].Path, true)
		for _, s := range sentences(passages[i].Text) {
			own := map[string]struct{}{}
			for _, t := range terms(nil, passages[i].Text[s.start:s.end], true) {
				own[t] = struct{}{}
			}
			for t := range own {
				w.df[t]++
			}
			w.n++
			if len(w.windows) == maxWindow {
				continue
			}
			window := make(map[string]struct{}, len(own)+len(before)+len(head))
			for _, set := range [...]map[string]struct{}{own, before} {
				for t := range set {
					window[t] = struct{}{}
				}
			}
			for _, t := range head {
				window[t] = struct{}{}
			}
			w.windows = append(w.windows, window)
			before = own
		}
	}
	return w
}

func (w *weights) idf(term string) float64 {
	df := float64(w.df[term])
	return math.Log(1 + (float64(w.n)-df+.5)/(df+.5))
}

// copied returns the share of a sentence's runs of three words that stand in a passage.
func (w *weights) copied(all []string) float64 {
	if len(all) < 3 {
		return 0
	}
	n := 0
	for j := 0; j+3 <= len(all); j++ {
		if _, ok := w.trigrams[strings.Join(all[j:j+3], " ")]; ok {
			n++
		}
	}
	return float64(n) / float64(len(all)-2)
}

// covered returns how much of a sentence the best window says.
func (w *weights) covered(content []string) float64 {
	whole := 0.0
	worth := make([]float64, len(content))
	for i, t := range content {
		worth[i] = w.idf(t)
		whole += worth[i]
	}
	if whole == 0 {
		return 0
	}
	best := 0.0
	for _, window := range w.windows {
		sum := 0.0
		for i, t := range content {
			if _, ok := window[t]; ok {
				sum += worth[i]
			}
		}
		best = max(best, sum)
	}
	return best / whole
}

// look is a passage in which what is cited is looked for.
type look struct {
	spans []span
	terms []map[string]struct{}
	idf   map[string]float64
}

func newLook(text string) *look {
	l := &look{spans: sentences(text), idf: map[string]float64{}}
	for _, s := range l.spans {
		set := map[string]struct{}{}
		for _, t := range terms(nil, text[s.start:s.end], true) {
			set[t] = struct{}{}
		}
		for t := range set {
			l.idf[t]++
		}
		l.terms = append(l.terms, set)
	}
	n := float64(len(l.spans))
	for t, df := range l.idf {
		l.idf[t] = math.Log(1 + (n-df+.5)/(df+.5))
	}
	for i := range l.spans {
		l.spans[i].end = l.spans[i].start + len(strings.TrimRight(text[l.spans[i].start:l.spans[i].end], " \t\r\n"))
		for l.spans[i].start < l.spans[i].end && space(text[l.spans[i].start]) {
			l.spans[i].start++
		}
	}
	if len(l.spans) == 0 {
		l.spans, l.terms = []span{{0, len(text)}}, []map[string]struct{}{{}}
	}
	return l
}

// best returns the sentence that says most of a claim, or two that follow each other
// where the second one adds to it. Where none says anything of it, it is the whole.
func (l *look) best(claim string) span {
	wanted := terms(nil, unmarked(claim), true)
	worth := func(sets ...map[string]struct{}) (sum float64) {
		for _, t := range wanted {
			for _, set := range sets {
				if _, ok := set[t]; ok {
					sum += l.idf[t]
					break
				}
			}
		}
		return sum
	}
	best, most := span{l.spans[0].start, l.spans[len(l.spans)-1].end}, 0.0
	for i, s := range l.spans {
		if sum := worth(l.terms[i]); sum > most {
			best, most = s, sum
		}
		if i > 0 {
			if sum := worth(l.terms[i-1], l.terms[i]); sum > most*1.2 {
				best, most = span{l.spans[i-1].start, s.end}, sum
			}
		}
	}
	return best
}

// Covers returns which share of the different words of a question that say something
// stand in a text; 0 where none does.
func Covers(question, text string) float64 {
	asked := map[string]struct{}{}
	for _, t := range terms(nil, question, true) {
		asked[t] = struct{}{}
	}
	if len(asked) == 0 {
		return 0
	}
	n := len(asked)
	for _, t := range terms(nil, text, true) {
		delete(asked, t)
	}
	return float64(n-len(asked)) / float64(n)
}
