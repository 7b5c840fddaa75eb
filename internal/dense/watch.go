package dense

// Recall is the share of what an exact search found that another one found too.
func Recall(got, want []Hit) float64 {
	if len(want) == 0 {
		return 1
	}
	found := 0
	for _, w := range want {
		for _, g := range got {
			if g.ID == w.ID {
				found++
				break
			}
		}
	}
	return float64(found) / float64(len(want))
}

// Bounds of recall@10 of the sampled searches.
const (
	widen = .97 // below, the pool doubles
	alarm = .95 // below, searches compare exactly and somebody is told
)

const (
	sampled  = 200 // one search in so many is also made exactly: .5 %
	judgedBy = 50  // samples that a verdict takes; half of them are forgotten with it
	mostWide = 4   // times that the pool doubles
)

// Watch follows how much of an exact search a scan finds, while it serves. It is
// for one index and one embedder; its owner serialises its use. The zero Watch is
// ready.
type Watch struct {
	searches uint64
	samples  int
	sum      float64
	last     float64 // recall at the last verdict
	known    bool
	wide     int
	exact    bool
}

// Next counts a search and reports whether it shall also be made exactly.
func (w *Watch) Next() bool {
	w.searches++
	return w.searches%sampled == 1
}

// Note takes the recall of a search that was also made exactly.
func (w *Watch) Note(recall float64) {
	w.samples++
	w.sum += recall
	if w.samples < judgedBy {
		return
	}
	w.last, w.known = w.sum/float64(w.samples), true
	if w.last < widen && w.wide < mostWide {
		w.wide++
		w.samples, w.sum = 0, 0 // what was found with the old pool says nothing of the new one
	} else {
		w.samples, w.sum = judgedBy/2, w.last*judgedBy/2
	}
	w.exact = w.last < alarm
}

// Pool returns from how many rows of the scan k hits are chosen.
func (w *Watch) Pool(k int) int { return Pool(k) << w.wide }

// Recall returns recall@10 of the sampled searches; not before there are enough.
func (w *Watch) Recall() (float64, bool) { return w.last, w.known }

// Alarm reports that recall is below .95: searches are to be made exactly until it
// is known to be better.
func (w *Watch) Alarm() bool { return w.exact }
