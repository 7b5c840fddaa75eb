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
	given []int64 // by fleet.ReplicaID: the turn of its last new prompt
	seen  []look
}

// look is a replica as it stands during one pick.
type look struct {
	Standing
	hit, todo int // tokens held, and to read before the answer begins
	keys      [3]float64
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
	p.look(pool, board, ask)
	r := race{picker: p, pool: pool, ask: ask, policy: policy}
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

func (p *Picker) look(pool []fleet.Replica, board Board, ask *Ask) {
	p.seen = slices.Grow(p.seen[:0], len(pool))[:len(pool)]
	for i := range pool {
		l := &p.seen[i]
		l.Standing, l.hit = board.Standing(&pool[i]), ask.hit(i)
		l.todo = ask.Input - l.hit
		if l.Weight <= 0 {
			l.Weight = 1
		}
	}
}

// race is one pick.
type race struct {
	picker *Picker
	pool   []fleet.Replica
	ask    *Ask
	policy fleet.Schedule

	fresh   bool      // the prompt is new to all
	lost    [3]string // what it means to have the greater of two keys
	warm    bool      // only those who hold it run
	anyRoom bool
	winner  int
	why     string
}

// open returns how many replicas may be used.
func (r *race) open() int {
	n := 0
	for i := range r.picker.seen {
		if l := &r.picker.seen[i]; l.Why == "" {
			n++
			r.anyRoom = r.anyRoom || r.fits(l)
		}
	}
	return n
}

func (r *race) fits(l *look) bool {
	return r.blind() || l.Capacity == 0 || l.KV+l.todo+r.ask.Output <= l.Capacity
}

// blind reports whether replicas are chosen without a look at what they have to do.
func (r *race) blind() bool { return r.policy == fleet.RoundRobin || r.policy == fleet.Random }

// may reports whether a replica can serve the request; where none has room, all
// that are open can, and queue.
func (r *race) may(l *look) bool { return l.Why == "" && (!r.anyRoom || r.fits(l)) }

func (r *race) isWarm(l *look) bool {
	return r.ask.Input > 0 && float64(l.hit) >= warmShare*float64(r.ask.Input)
}

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
	for i := range r.picker.seen {
		l := &r.picker.seen[i]
		if !r.may(l) {
			continue
		}
		feasible++
		best = max(best, l.hit)
		if common < 0 || l.hit < common {
			common = l.hit
		}
		least, busy := &otherLeast, &otherBusy
		if r.isWarm(l) {
			warm, least, busy = warm+1, &warmLeast, &warmBusy
		}
		if *least < 0 || l.Prefill < *least {
			*least = l.Prefill
		}
		if load := float64(l.Load) / l.Weight; *busy < 0 || load < *busy {
			*busy = load
		}
	}
	crowded := warmBusy >= crowdShare*otherBusy+crowd
	r.warm = warm > 0 && (warm == feasible || warmLeast-otherLeast < r.ask.Slack && !crowded)
	r.fresh = !r.warm && best-common < newTokens && r.ask.Blocks > 0
}

// run finds the winner. Who is equal to the best in all that counts is drawn.
func (r *race) run(src *rand.PCG) {
	r.rank()
	r.winner = -1
	ties := uint64(0)
	for i := range r.picker.seen {
		l := &r.picker.seen[i]
		if !r.runs(l) {
			continue
		}
		if r.winner < 0 {
			r.winner, ties = i, 1
			continue
		}
		switch order, _ := compare(l, &r.picker.seen[r.winner]); {
		case order < 0:
			r.winner, ties = i, 1
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

func (r *race) runs(l *look) bool { return r.may(l) && (!r.warm || r.isWarm(l)) }

// rank writes down what counts of each replica, the first first: less is better.
func (r *race) rank() {
	switch {
	case r.policy == fleet.LeastRequests:
		r.lost = [3]string{MoreBusy}
	case r.policy == fleet.RoundRobin:
		r.lost = [3]string{HadTurn}
	case r.policy == fleet.Random: // all are equal, so one is drawn
	case r.policy == fleet.LMetric:
		r.lost = [3]string{MoreWork}
	case r.fresh && r.ask.Full: // nothing can be protected any more: an even spread counts
		r.lost = [3]string{MoreWork, MoreBusy, Later}
	case r.fresh:
		r.lost = [3]string{MoreWork, Later, MoreBusy}
	default:
		r.lost = [3]string{MoreWork, MoreBusy, Fuller}
	}
	for i := range r.picker.seen {
		l := &r.picker.seen[i]
		load := float64(l.Load+1) / l.Weight
		switch {
		case r.policy == fleet.LeastRequests:
			l.keys = [3]float64{load}
		case r.policy == fleet.RoundRobin:
			l.keys = [3]float64{r.last(i)}
		case r.policy == fleet.Random:
			l.keys = [3]float64{}
		case r.policy == fleet.LMetric:
			l.keys = [3]float64{float64(l.Prefill+l.todo) * load}
		case r.fresh && r.ask.Full:
			l.keys = [3]float64{l.work(r.ask.Input, newStep), load, r.last(i)}
		case r.fresh:
			l.keys = [3]float64{l.work(r.ask.Input, newStep), r.last(i), load}
		default:
			l.keys = [3]float64{l.work(l.todo, workStep), load, float64(l.KV)}
		}
	}
}

// work is the prompt work before an answer could begin, in steps.
func (l *look) work(tokens, step int) float64 {
	return float64(int(float64(l.Prefill+tokens)/l.Weight) / step)
}

func (r *race) last(place int) float64 { return float64(r.picker.last(r.pool[place].ID)) }

// compare orders two replicas, the better first, and says by which key.
func compare(a, b *look) (order, key int) {
	for k := range a.keys {
		switch {
		case a.keys[k] < b.keys[k]:
			return -1, k
		case a.keys[k] > b.keys[k]:
			return 1, k
		}
	}
	return 0, 0
}

// score is what a replica shows for itself: the tokens to read before the answer
// could begin, or the requests.
func (r *race) score(l *look) float64 {
	if r.policy == fleet.LeastRequests {
		return float64(l.Load+1) / l.Weight
	}
	return float64(l.Prefill+l.todo) / l.Weight
}

// resort is for a pool of which all are out.
func (r *race) resort(found []Candidate) (Choice, int) {
	best := -1
	for i := range r.picker.seen {
		if l := &r.picker.seen[i]; l.Resort && (best < 0 || r.score(l) < r.score(&r.picker.seen[best])) {
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
	for i := range r.picker.seen {
		score := r.score(&r.picker.seen[i])
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
		l := &r.picker.seen[c.Place]
		c.Hit, c.WhyNot = l.hit, r.whyNot(c.Place, l)
	}
	if r.winner < 0 {
		return Choice{Place: -1}, n
	}
	l := &r.picker.seen[r.winner]
	return Choice{Place: r.winner, Why: r.why, Hit: l.hit, Todo: max(l.todo, 0), New: r.fresh}, n
}

func (r *race) whyNot(i int, l *look) string {
	switch {
	case i == r.winner:
		return Won
	case l.Why != "":
		return l.Why
	case r.winner < 0:
		return Resort
	case !r.may(l):
		return NoRoom
	case r.warm && !r.isWarm(l):
		return Colder
	case r.policy == fleet.ByPrefix && !r.warm && r.isWarm(l):
		return Behind
	}
	if order, by := compare(l, &r.picker.seen[r.winner]); order > 0 {
		return r.lost[by]
	}
	return DrawnLast
}
