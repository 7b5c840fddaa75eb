// Package schedule decides which replica of a pool serves a request. By default it
// is one that holds the beginning of the prompt in its cache, unless it is too far
// behind, and otherwise the one with the least prompt work before it (Picker). Other
// policies look at requests in flight alone.
package schedule

import (
	"math/rand/v2"

	"headworks/internal/fleet"
)

// Why a replica did not win.
const (
	Won      = ""
	NotDrawn = "not drawn"
	Busier   = "no fewer in flight"
	NotHome  = "the session lives elsewhere"
)

// Why the winner did.
const (
	Only     = "the only one"
	LessBusy = "fewer in flight of two"
	Fewest   = "fewest in flight"
	Session  = "the session's home"
	Resort   = "the last resort: all are out"
)

// Standing is what is known of a replica when a request comes.
type Standing struct {
	Load     int     // requests in flight there
	Prefill  int     // prompt tokens of theirs that are not in its cache, and not read yet
	KV       int     // tokens of its KV cache that requests in flight add to it; what they share counts once
	Capacity int     // tokens that its KV cache holds; 0: not known
	Weight   float64 // share of its usual traffic, above 0 to 1
	Why      string  // not available, and why
	Resort   bool    // may be tried all the same where all are unavailable
}

// Board knows every replica's standing.
type Board interface {
	Standing(r *fleet.Replica) Standing
	// Standings writes those of a pool, in its order.
	Standings(pool []fleet.Replica, to []Standing)
}

// Candidate is a replica that was considered. Score is what the policy compares
// first, over its weight: requests in flight, the new one included, or prompt tokens
// to read before the answer can begin; less is better.
type Candidate struct {
	Place  int // in the pool
	Score  float64
	Hit    int // tokens of the prompt in its cache
	WhyNot string
}

// Choice is the winner's place in the pool, or -1, and why it won.
type Choice struct {
	Place int
	Why   string
	Hit   int  // tokens of the prompt in its cache
	Todo  int  // tokens of the prompt that are not
	New   bool // Picker.Gave is to be called: nobody holds enough of the prompt, or it is a turn
}

// spill is how many requests a session's home may hold beyond 125 % of another
// replica's before the session is sent elsewhere.
const spill = 4

// Pick chooses among the pool and writes those it considered to found, the
// winner always among them. It returns how many it wrote. A pool larger than
// found, which has room for 3 at least, is sampled; two looks are nearly as good
// as a look at all (Mitzenmacher, "The Power of Two Choices", 2001). A session other than 0 has a home by
// rendezvous hashing (Thaler and Ravishankar, 1998), so that a replica that
// comes or goes moves only its own sessions.
func Pick(pool []fleet.Replica, board Board, session uint64, src *rand.PCG, found []Candidate) (Choice, int) {
	if len(pool) > len(found) {
		return sample(pool, board, session, src, found)
	}
	n, open, resort := 0, 0, -1
	for i := range pool {
		st := board.Standing(&pool[i])
		found[n] = Candidate{Place: i, Score: score(st), WhyNot: st.Why}
		if st.Why == "" {
			open++
		} else if st.Resort && (resort < 0 || found[n].Score < found[resort].Score) {
			resort = n
		}
		n++
	}
	switch open {
	case 0:
		if resort < 0 {
			return Choice{Place: -1}, n
		}
		found[resort].WhyNot = Won
		return Choice{Place: found[resort].Place, Why: Resort}, n
	case 1:
		for i := range found[:n] {
			if found[i].WhyNot == "" {
				return Choice{Place: found[i].Place, Why: Only}, n
			}
		}
	}
	a, b := nth(found[:n], int(below(src, uint64(open)))), nth(found[:n], int(below(src, uint64(open-1))))
	if b == a { // the draw of the second is over the others: the last stands for the first
		b = nth(found[:n], open-1)
	}
	why := LessBusy
	win := a
	if found[b].Score < found[a].Score {
		win = b
	}
	if session != 0 {
		home := -1
		var best uint64
		for i := range found[:n] {
			if found[i].WhyNot == "" {
				if h := mix(session ^ mix(uint64(pool[found[i].Place].ID)+1)); home < 0 || h > best {
					home, best = i, h
				}
			}
		}
		if found[home].Score <= 1.25*found[win].Score+spill {
			win, why = home, Session
		}
	}
	for i := range found[:n] {
		switch {
		case i == win || found[i].WhyNot != "":
		case why == Session:
			found[i].WhyNot = NotHome
		case i == a || i == b:
			found[i].WhyNot = Busier
		default:
			found[i].WhyNot = NotDrawn
		}
	}
	return Choice{Place: found[win].Place, Why: why}, n
}

// sample is Pick for a pool too large to look at whole: a session's home is still
// found, and where a few draws meet fewer than two available, all are looked at.
func sample(pool []fleet.Replica, board Board, session uint64, src *rand.PCG, found []Candidate) (Choice, int) {
	n, open := 0, 0
	look := func(i int) {
		for k := range found[:n] {
			if found[k].Place == i {
				return
			}
		}
		if n == len(found) {
			n-- // those found unavailable make room
		}
		st := board.Standing(&pool[i])
		found[n] = Candidate{Place: i, Score: score(st), WhyNot: st.Why}
		if st.Why == "" {
			open++
			// The available stand first.
			found[n], found[open-1] = found[open-1], found[n]
		}
		n++
	}
	for tries := 0; open < 2 && tries < len(found)-1; tries++ {
		look(int(below(src, uint64(len(pool)))))
	}
	resort, least := -1, 0.0
	if open < 2 { // from anywhere on, or the first of the pool would serve all
		for k, first := 0, int(below(src, uint64(len(pool)))); k < len(pool) && open < 2; k++ {
			i := (first + k) % len(pool)
			switch st := board.Standing(&pool[i]); {
			case st.Why == "":
				look(i)
			case st.Resort && (resort < 0 || score(st) < least):
				resort, least = i, score(st)
			}
		}
	}
	if open == 0 {
		if resort < 0 {
			return Choice{Place: -1}, n
		}
		look(resort)
		for i := range found[:n] {
			if found[i].Place == resort {
				found[i].WhyNot = Won
			}
		}
		return Choice{Place: resort, Why: Resort}, n
	}
	home := -1
	if session != 0 {
		var best uint64
		for i := range pool {
			if h := mix(session ^ mix(uint64(pool[i].ID)+1)); home < 0 || h > best {
				if board.Standing(&pool[i]).Why == "" {
					home, best = i, h
				}
			}
		}
		look(home)
	}
	win, why := 0, LessBusy
	if open == 1 {
		why = Only
	}
	for i := 1; i < open; i++ {
		if found[i].Score < found[win].Score {
			win = i
		}
	}
	for i := range found[:open] {
		if found[i].Place == home && found[i].Score <= 1.25*found[win].Score+spill {
			win, why = i, Session
			break
		}
	}
	for i := range found[:open] {
		switch {
		case i == win:
		case why == Session:
			found[i].WhyNot = NotHome
		default:
			found[i].WhyNot = Busier
		}
	}
	return Choice{Place: found[win].Place, Why: why}, n
}

func score(st Standing) float64 {
	if st.Weight <= 0 {
		return float64(st.Load + 1)
	}
	return float64(st.Load+1) / st.Weight
}

// nth returns the place of the k-th candidate that is available.
func nth(found []Candidate, k int) int {
	for i := range found {
		if found[i].WhyNot == "" {
			if k == 0 {
				return i
			}
			k--
		}
	}
	return -1
}

// below returns a number uniform in [0, n), by multiplication (Lemire 2019); the
// bias of at most n / 2^32 does not matter for a draw among replicas.
func below(src *rand.PCG, n uint64) uint64 {
	return (src.Uint64() >> 32) * n >> 32
}

// mix spreads the bits of x (the finaliser of SplitMix64, Steele et al. 2014).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
