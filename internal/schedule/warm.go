package schedule

import (
	"math/rand/v2"
	"slices"

	"headworks/internal/fleet"
)

// Why a replica did not win, where prompts and caches count.
const (
	NoRoom    = "no room in its KV cache"
	Colder    = "holds less of the prompt"
	Behind    = "holds the prompt, but is too far behind"
	MoreWork  = "more prompt tokens to read first"
	MoreBusy  = "more requests in flight"
	Fuller    = "more of its KV cache in use"
	Later     = "given a new prompt more recently"
	HadTurn   = "had its turn more recently"
	DrawnLast = "equal, and not drawn"
)

// Why the winner did.
const (
	Warm      = "holds the beginning of the prompt"
	LeastWork = "fewest prompt tokens to read first"
	Cold      = "a new prompt: the longest without one"
	InTurn    = "its turn"
	Chance    = "drawn at random"
)

// The constants of the default policy. Sources and comparisons: docs/explanation/scheduling.md.
const (
	// warmShare is the share of a prompt that a replica must hold to be warm for it.
	warmShare = 0.80
	// crowdShare and crowd bound the requests in flight of the least busy warm replica
	// by those of the least busy other one: beyond, whoever can begin first gets the
	// prompt, and is warm for it from then on. So a replica that was added gets its
	// part, though it holds nothing yet.
	crowdShare, crowd = 1.5, 8
	// newTokens is how much of a prompt somebody must hold, beyond what all hold, or it is new.
	newTokens = 1024
	// workStep and newStep are how finely work is told apart, in tokens: less is noise.
	workStep, newStep = 1024, 16384
)

// Ask is what a request asks of a pool.
type Ask struct {
	Session uint64
	Input   int     // tokens of the prompt, estimated
	Output  int     // tokens reserved for the answer
	Blocks  int     // of the prompt, of which Hits tells
	Hits    []int32 // leading blocks that each replica holds, by place
	Block   int     // tokens of a block
	Full    bool    // nobody has room for more prefixes
	Slack   int     // prompt tokens that a warm replica may be further behind than a cold one
}

// hit returns the tokens of the prompt that the replica at a place holds.
func (a *Ask) hit(place int) int {
	if place >= len(a.Hits) {
		return 0
	}
	return min(int(a.Hits[place])*a.Block, a.Input)
}

// Todo returns the tokens of the prompt that the replica at a place would have to read.
func (a *Ask) Todo(place int) int { return a.Input - a.hit(place) }

// Picker picks replicas. It keeps what it knows of them from one pick to the next:
// which was last given a new prompt, or had its turn.
type Picker struct {
	turn  int64
	given []int64    // by fleet.ReplicaID: the turn of its last new prompt
	seen  []Standing // of one pick, by place
}

// Gave notes that a replica got a new prompt, or had its turn.
func (p *Picker) Gave(id fleet.ReplicaID) {
	for int(id) >= len(p.given) {
		p.given = append(p.given, 0)
	}
	p.turn++
	p.given[id] = p.turn
}

func (p *Picker) last(id fleet.ReplicaID) int64 {
	if int(id) >= len(p.given) {
		return 0
	}
	return p.given[id]
}

// Pick chooses among the pool by a policy; see the function Pick for what it
// returns. Choice.New tells that Gave is to be called once it is sent: the prompt is
// new to all, or replicas take turns.
func (p *Picker) Pick(policy fleet.Schedule, pool []fleet.Replica, board Board, ask *Ask, src *rand.PCG, found []Candidate) (Choice, int) {
	switch policy {
	case fleet.TwoChoices:
		return Pick(pool, board, 0, src, found)
	case fleet.SessionHash:
		return Pick(pool, board, ask.Session, src, found)
	case fleet.ByPrefix:
		if ask.Blocks == 0 && ask.Session != 0 { // too short to be found in a cache, but it has a home
			return Pick(pool, board, ask.Session, src, found)
		}
	default:
	}
	p.seen = slices.Grow(p.seen[:0], len(pool))[:len(pool)]
	board.Standings(pool, p.seen)
	r := race{picker: p, pool: pool, seen: p.seen, ask: ask, policy: policy, hot: warmShare * float64(ask.Input)}
	switch open := r.open(); open {
	case 0:
		return r.resort(found)
	case 1:
		r.why = Only
		r.run(src)
	default:
		r.field()
		r.run(src)
	}
	return r.tell(found)
}

// race is one pick. A pool can be large, so each look at all of it does little.
type race struct {
	picker *Picker
	pool   []fleet.Replica
	seen   []Standing // by place
	ask    *Ask
	policy fleet.Schedule

	fresh  bool       // the prompt is new to all
	hot    float64    // tokens of the prompt from which on a replica is warm
	warm   bool       // only those who hold it run
	tight  bool       // some have room for it, and some do not
	by     [3]measure // what decides, the first first
	best   [3]float64 // what the winner has of it
	winner int
	why    string
}

// open returns how many replicas may be used.
func (r *race) open() int {
	n, fit := 0, 0
	for i := range r.seen {
		st := &r.seen[i]
		if st.Weight <= 0 {
			st.Weight = 1
		}
		if st.Why != "" {
			continue
		}
		n++
		if r.fits(i, st) {
			fit++
		}
	}
	r.tight = 0 < fit && fit < n
	return n
}

func (r *race) fits(i int, st *Standing) bool {
	return st.Capacity == 0 || r.blind() || st.KV+r.ask.Todo(i)+r.ask.Output <= st.Capacity
}

// blind reports whether replicas are chosen without a look at what they have to do.
func (r *race) blind() bool { return r.policy == fleet.RoundRobin || r.policy == fleet.Random }

// may reports whether a replica can serve the request; where none has room, all
// that are open can, and queue.
func (r *race) may(i int, st *Standing) bool { return st.Why == "" && (!r.tight || r.fits(i, st)) }

func (r *race) isWarm(i int) bool { return r.ask.Input > 0 && float64(r.ask.hit(i)) >= r.hot }

// field decides who runs: those who hold the prompt, unless they are too far
// behind, or all.
func (r *race) field() {
	r.fresh = r.policy == fleet.RoundRobin
	if r.policy != fleet.ByPrefix {
		return
	}
	best, common, feasible := 0, -1, 0
	warm, warmLeast, otherLeast := 0, -1, -1
	warmBusy, otherBusy := -1.0, -1.0
	for i := range r.seen {
		st := &r.seen[i]
		if !r.may(i, st) {
			continue
		}
		feasible++
		hit := r.ask.hit(i)
		best = max(best, hit)
		if common < 0 || hit < common {
			common = hit
		}
		least, busy := &otherLeast, &otherBusy
		if r.isWarm(i) {
			warm, least, busy = warm+1, &warmLeast, &warmBusy
		}
		if *least < 0 || st.Prefill < *least {
			*least = st.Prefill
		}
		if load := float64(st.Load) / st.Weight; *busy < 0 || load < *busy {
			*busy = load
		}
	}
	crowded := warmBusy >= crowdShare*otherBusy+crowd
	r.warm = warm > 0 && (warm == feasible || warmLeast-otherLeast < r.ask.Slack && !crowded)
	r.fresh = !r.warm && best-common < newTokens && r.ask.Blocks > 0
}

// run finds the winner. Who is equal to the best in all that counts is drawn.
func (r *race) run(src *rand.PCG) {
	r.by = r.measures()
	r.winner = -1
	ties := uint64(0)
	for i := range r.seen {
		if !r.runs(i, &r.seen[i]) {
			continue
		}
		if r.winner >= 0 && r.key(i, r.by[0]) > r.best[0] {
			continue // as most do
		}
		order, at := -1, 0
		if r.winner >= 0 {
			order, at = r.compare(i)
		}
		switch {
		case order < 0:
			r.winner, ties = i, 1
			for ; at < len(r.by); at++ { // what comes before is equal
				r.best[at] = r.key(i, r.by[at])
			}
		case order == 0:
			if ties++; below(src, ties) == 0 {
				r.winner = i
			}
		}
	}
	switch {
	case r.why != "":
	case r.policy == fleet.LeastRequests:
		r.why = Fewest
	case r.policy == fleet.RoundRobin:
		r.why = InTurn
	case r.policy == fleet.Random:
		r.why = Chance
	case r.policy != fleet.ByPrefix:
		r.why = LeastWork
	case r.warm:
		r.why = Warm
	case r.fresh:
		r.why = Cold
	default:
		r.why = LeastWork
	}
}

func (r *race) runs(i int, st *Standing) bool { return r.may(i, st) && (!r.warm || r.isWarm(i)) }

// measure is something that replicas are compared by: less is better.
type measure uint8

const (
	nothing  measure = iota // all are equal
	requests                // in flight, the new one among them
	turn                    // when it last had its turn
	novelty                 // when it was last given a new prompt
	work                    // prompt tokens to read before the answer can begin, in steps
	newWork                 // the same of a prompt that nobody holds, in longer ones
	product                 // prompt tokens times requests
	room                    // tokens of its KV cache in use
)

// lostBy is what it means to have more than the winner.
var lostBy = [...]string{
	nothing: DrawnLast, requests: MoreBusy, turn: HadTurn, novelty: Later,
	work: MoreWork, newWork: MoreWork, product: MoreWork, room: Fuller,
}

// measures returns what counts, the first first.
func (r *race) measures() [3]measure {
	switch {
	case r.policy == fleet.LeastRequests:
		return [...]measure{requests, nothing, nothing}
	case r.policy == fleet.RoundRobin:
		return [...]measure{turn, nothing, nothing}
	case r.policy == fleet.Random: // all are equal, so one is drawn
		return [...]measure{nothing, nothing, nothing}
	case r.policy == fleet.LMetric:
		return [...]measure{product, nothing, nothing}
	case r.fresh && r.ask.Full: // nothing can be protected any more: an even spread counts
		return [...]measure{newWork, requests, novelty}
	case r.fresh:
		return [...]measure{newWork, novelty, requests}
	default:
		return [...]measure{work, requests, room}
	}
}

// key is what the replica at a place has of something.
func (r *race) key(i int, by measure) float64 {
	st := &r.seen[i]
	switch by {
	case requests:
		return st.requests()
	case turn, novelty:
		return float64(r.picker.last(r.pool[i].ID))
	case work:
		return float64(int(st.work(r.ask.Todo(i))) / workStep)
	case newWork:
		return float64(int(st.work(r.ask.Input)) / newStep)
	case product:
		return float64(st.Prefill+r.ask.Todo(i)) * st.requests()
	case room:
		return float64(st.KV)
	case nothing:
	}
	return 0
}

// requests is how many a replica would have, over its weight.
func (st *Standing) requests() float64 { return float64(st.Load+1) / st.Weight }

// work is how many prompt tokens would be read before an answer could begin that
// needs so many, over the weight.
func (st *Standing) work(tokens int) float64 { return float64(st.Prefill+tokens) / st.Weight }

// compare orders the replica at a place beside the best so far, the better first, and
// says by which measure.
func (r *race) compare(i int) (order, at int) {
	for at, by := range r.by {
		if by == nothing {
			break
		}
		switch key := r.key(i, by); {
		case key < r.best[at]:
			return -1, at
		case key > r.best[at]:
			return 1, at
		}
	}
	return 0, 0
}

// score is what a replica shows for itself: the tokens to read before the answer
// could begin, or the requests.
func (r *race) score(i int) float64 {
	if r.policy == fleet.LeastRequests {
		return r.seen[i].requests()
	}
	return r.seen[i].work(r.ask.Todo(i))
}

// resort is for a pool of which all are out.
func (r *race) resort(found []Candidate) (Choice, int) {
	best := -1
	for i := range r.seen {
		if r.seen[i].Resort && (best < 0 || r.score(i) < r.score(best)) {
			best = i
		}
	}
	r.winner, r.why = best, Resort
	return r.tell(found)
}

// tell writes down the winner and those who come nearest to it by their score, and
// what they lost by.
func (r *race) tell(found []Candidate) (Choice, int) {
	n, worst := 0, -1
	for i := range r.seen {
		score := r.score(i)
		switch {
		case n < len(found):
			found[n] = Candidate{Place: i, Score: score}
			if n++; n < len(found) {
				continue
			}
		case len(found) == 0, worst >= 0 && score >= found[worst].Score && i != r.winner:
			continue
		case worst >= 0:
			found[worst] = Candidate{Place: i, Score: score}
		}
		worst = -1
		for k := range found[:n] {
			if found[k].Place != r.winner && (worst < 0 || found[k].Score > found[worst].Score) {
				worst = k
			}
		}
	}
	for k := range found[:n] {
		c := &found[k]
		c.Hit, c.WhyNot = r.ask.hit(c.Place), r.whyNot(c.Place)
	}
	if r.winner < 0 {
		return Choice{Place: -1}, n
	}
	return Choice{Place: r.winner, Why: r.why, Hit: r.ask.hit(r.winner), Todo: max(r.ask.Todo(r.winner), 0), New: r.fresh}, n
}

func (r *race) whyNot(i int) string {
	st := &r.seen[i]
	switch {
	case i == r.winner:
		return Won
	case st.Why != "":
		return st.Why
	case r.winner < 0:
		return Resort
	case !r.may(i, st):
		return NoRoom
	case r.warm && !r.isWarm(i):
		return Colder
	case r.policy == fleet.ByPrefix && !r.warm && r.isWarm(i):
		return Behind
	}
	if order, at := r.compare(i); order > 0 {
		return lostBy[r.by[at]]
	}
	return DrawnLast
}
