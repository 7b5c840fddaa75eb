package rank

import "math"

// Depth is how far down a ranking counts when it is fused with another one.
const Depth = 300

// Alpha is the share of the dense leg until labelled questions say otherwise. On
// CACM .3 beats either leg, and a weak leg costs nothing.
const Alpha = 0.3

// Convex fuses two rankings: alpha of the first, the rest of the second, each
// stretched over 0 to 1 by the lowest and the highest score of its first Depth hits
// (Bruch, Gai, Ingber: An Analysis of Fusion Functions for Hybrid Retrieval, TOIS
// 2023). What one of them lacks has 0 there. The rankings stand best first.
func Convex(alpha float64, a, b []Hit, n int) []Hit {
	alpha = min(max(alpha, 0), 1)
	scores := make(map[uint32]float64, min(len(a), Depth)+min(len(b), Depth))
	stretch(scores, a, alpha)
	stretch(scores, b, 1-alpha)
	return best(scores, n)
}

// RRF fuses rankings by their places alone: 1/(60+place), summed (Cormack, Clarke,
// Büttcher, SIGIR 2009). It is for legs of like quality: one weak leg takes up to a
// quarter of the other's worth.
func RRF(n int, lists ...[]Hit) []Hit {
	scores := map[uint32]float64{}
	for _, list := range lists {
		for i, h := range list[:min(len(list), Depth)] {
			scores[h.ID] += 1 / float64(60+i+1)
		}
	}
	return best(scores, n)
}

func stretch(scores map[uint32]float64, list []Hit, weight float64) {
	list = list[:min(len(list), Depth)]
	if len(list) == 0 {
		return
	}
	low, high := math.Inf(1), math.Inf(-1)
	for _, h := range list {
		low, high = min(low, h.Score), max(high, h.Score)
	}
	for _, h := range list {
		share := 1.0 // all are equally good
		if high > low {
			share = (h.Score - low) / (high - low)
		}
		scores[h.ID] += weight * share
	}
}

func best(scores map[uint32]float64, n int) []Hit {
	top := NewTop(n)
	for id, score := range scores {
		top.Put(Hit{id, score})
	}
	return top.Hits()
}
