package rank

import "math"

// Depth is how far down a ranking counts when it is fused with another one.
const Depth = 300

// Alpha is the share of vectors beside words until labelled questions say otherwise. On
// CACM .3 beats either alone, where the vectors are worth something.
const Alpha = 0.3

// Stretch returns what the hits of a ranking, which stand best first, count in a
// convex fusion: their scores, stretched over 0 to 1 by the lowest and the highest of
// the first Depth (Bruch, Gai, Ingber: An Analysis of Fusion Functions for Hybrid
// Retrieval, TOIS 2023). The hits beyond count 0. Fusing by places alone (RRF) loses
// up to a quarter where one ranking is much worse than the other; this does not.
func Stretch(scores []float64) []float64 {
	shares := make([]float64, len(scores))
	low, high := math.Inf(1), math.Inf(-1)
	best := scores[:min(len(scores), Depth)]
	for _, score := range best {
		low, high = min(low, score), max(high, score)
	}
	for i, score := range best {
		shares[i] = 1 // all are equally good
		if high > low {
			shares[i] = (score - low) / (high - low)
		}
	}
	return shares
}
