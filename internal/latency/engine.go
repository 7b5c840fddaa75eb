// Package latency says how long work takes on an engine: the one step model.
//
// An Engine is a value that the driver advances: live, token by token on the wall
// clock, or in virtual time, from one end of an answer to the next. Both get the
// very same times. It behaves as vLLM V1 does:
//
//  1. Each step makes one token for every sequence that decodes. What is left of
//     the token budget goes to prompts, first come first served, in chunks; a
//     prompt's last chunk shares its step with the next prompt, and yields the
//     first token.
//  2. A request reaches the queue Overhead after it is submitted, and enters with
//     the first step that starts then or later: it meets the rest of the running
//     step. Nobody overtakes the head of the queue, which waits while its prompt
//     does not fit into free KV blocks or the batch is full.
//  3. When decodes run out of KV blocks, the newest sequence is preempted: it
//     loses its blocks, goes to the head of the queue and computes prompt and
//     tokens anew.
//  4. What was read of a prompt stays in the KV cache while nobody needs its blocks
//     and is not read again by who comes with the same beginning.
//  5. Who is cancelled takes part in the running step and leaves at its end.
//
// Times are distances from an epoch of the driver's choice, exact to the
// picosecond inside and rounded up to the nanosecond where they are told.
package latency

import (
	"math"
	"time"
)

// Job is what a request asks of an engine, in tokens.
type Job struct {
	ID     uint64 // the driver's; told with all progress
	Prompt int
	Output int
	Blocks []uint64 // chained hashes of the prompt, PrefixTokens each; kept until the job ends

	// Fetched tells that another engine has read the prompt, whose blocks are here: no
	// more than its last token is computed.
	Fetched bool
}

// Handle names a submitted job to the engine that returned it.
type Handle struct {
	slot int32
	turn uint32
}

// Progress says that a job has made its Tokens-th token.
type Progress struct {
	ID     uint64
	Tokens int
	Last   bool
	At     time.Duration
}

// Telling is what an engine tells of a job.
type Telling uint8

// What can be told.
const (
	Ends   Telling = iota // the first token and the last
	Tokens                // each token
)

// Load is how busy an engine is.
type Load struct {
	Running     int     // sequences in the batch
	Waiting     int     // submitted and not in the batch
	KV          float64 // share of the KV blocks in use, 0 to 1
	Preemptions int     // since the start
	Asked, Hit  int     // prompt tokens that were looked up in the cache since the start, and found there
}

// Engine plays one engine. All times given to it only grow: an earlier one counts
// as the latest that was given. One goroutine at a time may use it.
type Engine struct {
	params Params
	tell   Telling
	now    time.Duration

	sequences []sequence
	vacant    []int32
	waiting   list
	running   list // in the order of admission: prompts stand behind decodes
	serial    uint64

	// Decodes, as sums: whatever a step does to each of them, it does to the sum.
	ends   agenda // which of them ends next
	tokens int    // that their next step reads
	phase  []int  // how many need a KV block in step s, by s modulo the block size
	free   int    // KV blocks, those that hold what nobody uses among them
	cache  cache

	// The running steps: one, or several of decodes alone.
	steps   int64   // that have ended before
	start   instant // of the first
	end     instant // of the last
	k       int64   // how many; 0: idle
	first   Picoseconds
	growth  Picoseconds // by which each takes longer than the one before
	partial int32       // the sequence whose prompt is not read to its end, or none
	read    []int32     // sequences whose prompt is read to its end by this step
	dead    []int32     // cancelled in this step

	preemptions int
	asked, hit  int
	told        []Progress
}

// maxSkip bounds the steps that are taken at once, and with them their sum.
const maxSkip = 1 << 10

type stage uint8

const (
	absent stage = iota
	queued
	reading
	decoding
)

// sequence is a job on its way.
type sequence struct {
	id             uint64
	joins          time.Duration // when it reaches the queue
	serial         uint64        // order of admission
	finish         int64         // decoding: how many steps have ended when its last token is made
	prompt, output int
	done           int           // tokens made; of a decoding one see made
	latest         time.Duration // preempted: when it made its newest token
	left           int           // reading: tokens not in a step yet
	held           int           // reading: KV blocks of its own
	blocks         []uint64      // of its prompt, that can be shared
	used           int           // of them that it uses in the cache
	prev, next     int32
	place          int32 // in the agenda
	turn           uint32
	stage          stage
	dead           bool
	fetched        bool
}

// New returns an idle engine with parameters that pass Check.
func New(p Params, t Telling) *Engine {
	return &Engine{
		params:  p,
		tell:    t,
		now:     math.MinInt64,
		waiting: list{none, none, 0},
		running: list{none, none, 0},
		phase:   make([]int, p.BlockSize),
		free:    p.KVTokens / p.BlockSize,
		partial: none,
		cache:   newCache(p),
	}
}

// Submit hands a job in; false if it is empty, or over Params.Limit.
func (e *Engine) Submit(now time.Duration, j Job) (Handle, bool) {
	if j.Output < 1 || j.Output > e.params.Limit(j.Prompt, j.Output) {
		return Handle{}, false
	}
	e.run(now)
	i := e.slot()
	s := &e.sequences[i]
	s.id, s.prompt, s.output, s.done, s.dead = j.ID, j.Prompt, j.Output, 0, false
	s.stage, s.joins, s.fetched = queued, e.now+e.params.Overhead, j.Fetched
	s.blocks, s.used = e.cache.whole(j), 0
	e.pushBack(&e.waiting, i)
	if e.waiting.head == i && e.running.n < e.params.MaxSequences {
		e.cutAt(s.joins)
	}
	return Handle{i, s.turn}, true
}

// Cancel takes a job back. What it made until now is still told, nothing later.
// A job that has ended is left alone.
func (e *Engine) Cancel(now time.Duration, h Handle) {
	e.run(now)
	if int(h.slot) >= len(e.sequences) {
		return
	}
	s := &e.sequences[h.slot]
	if s.turn != h.turn || s.stage == absent || s.dead {
		return
	}
	if s.stage != queued {
		s.dead = true
		e.dead = append(e.dead, h.slot)
		e.cutAfterNow()
		return
	}
	head := e.waiting.head == h.slot
	e.remove(&e.waiting, h.slot)
	e.vacate(h.slot)
	if head {
		e.cutAfterNow()
	}
}

// Next returns when Advance next has something to do, if ever. It may turn out to
// be nothing that is told.
func (e *Engine) Next() (time.Duration, bool) {
	switch {
	case len(e.told) > 0:
		return e.told[0].At, true
	case e.k > 0:
		return e.end.ceil(), true
	case e.waiting.head != none:
		return e.sequences[e.waiting.head].joins, true
	}
	return 0, false
}

// Advance appends to dst what was made until now, in the order of time and, within
// a step, of admission.
func (e *Engine) Advance(now time.Duration, dst []Progress) []Progress {
	e.run(now)
	dst = append(dst, e.told...)
	e.told = e.told[:0]
	return dst
}

// Latest returns the newest progress of a job under way, told or not; false if it
// has made nothing yet, or has ended.
func (e *Engine) Latest(now time.Duration, h Handle) (Progress, bool) {
	e.run(now)
	if int(h.slot) >= len(e.sequences) {
		return Progress{}, false
	}
	s := &e.sequences[h.slot]
	if s.turn != h.turn || s.stage == absent || s.dead {
		return Progress{}, false
	}
	if s.stage != decoding {
		return Progress{ID: s.id, Tokens: s.done, At: s.latest}, s.done > 0
	}
	ended := e.stepAfterNow() - 1
	at := e.start.add(e.length(ended)).ceil()
	return Progress{ID: s.id, Tokens: e.made(s) + int(ended), At: at}, true
}

// Made returns when the engine last made a token of a job that it still decodes, told
// or not; false if there is none.
func (e *Engine) Made(now time.Duration) (time.Duration, bool) {
	e.run(now)
	if len(e.ends) == 0 || e.k == 0 {
		return 0, false
	}
	return e.start.add(e.length(e.stepAfterNow() - 1)).ceil(), true
}

// Load returns how busy the engine is.
func (e *Engine) Load(now time.Duration) Load {
	e.run(now)
	free := e.free
	if e.k > 0 {
		free -= e.need(e.stepAfterNow())
	}
	total := e.params.KVTokens / e.params.BlockSize
	return Load{
		Running:     e.running.n,
		Waiting:     e.waiting.n,
		KV:          float64(total-free) / float64(total),
		Preemptions: e.preemptions,
		Asked:       e.asked,
		Hit:         e.hit,
	}
}

// run takes every step that ends by now, and forms the one that then runs. As a
// job joins after it is submitted, all who can be part of a step that starts by
// now are known, in whatever order calls of one moment come.
func (e *Engine) run(now time.Duration) {
	e.now = max(e.now, now)
	for {
		if e.k > 0 {
			if e.end.ceil() > e.now {
				return
			}
			e.settle()
		}
		if e.running.n == 0 {
			if e.waiting.head == none {
				return
			}
			joins := e.sequences[e.waiting.head].joins
			if joins > e.now {
				return
			}
			if joins > e.start.ns {
				e.start = instant{ns: joins}
			}
		}
		e.form()
	}
}

// form decides what the step that begins at e.start does, and how often it can be
// repeated.
func (e *Engine) form() {
	for e.need(1) > e.free {
		e.preempt()
	}
	decodes := len(e.ends)
	budget := e.params.StepTokens - decodes
	sequences := decodes
	if i := e.partial; i != none {
		e.partial = none
		budget -= e.chunk(i, budget)
		sequences++
	}
	for budget > 0 && e.admits() {
		budget -= e.chunk(e.admit(), budget)
		sequences++
	}
	tokens := e.params.StepTokens - decodes - budget
	p := &e.params
	e.k = 1
	e.growth = p.PerKVToken * Picoseconds(decodes)
	e.first = p.Base + p.PerKVToken*Picoseconds(e.tokens) +
		p.PerPrefillToken*Picoseconds(tokens) + p.PerSequence*Picoseconds(sequences)
	if tokens == 0 && e.tell == Ends {
		e.k = e.affordable(min(e.ends[0].finish-e.steps, maxSkip))
	}
	e.end = e.start.add(e.length(e.k))
	if i := e.waiting.head; i != none && e.sequences[i].joins > e.start.ns {
		e.cutAt(e.sequences[i].joins)
	}
}

// chunk puts what the budget allows of a prompt into the step, and returns how
// many tokens that is.
func (e *Engine) chunk(i int32, budget int) int {
	s := &e.sequences[i]
	n := min(s.left, budget)
	s.left -= n
	if s.left > 0 {
		e.partial = i
	} else {
		e.read = append(e.read, i)
	}
	return n
}

// admits reports whether the head of the queue may enter the step that begins at
// e.start.
func (e *Engine) admits() bool {
	if e.waiting.head == none || e.running.n >= e.params.MaxSequences {
		return false
	}
	s := &e.sequences[e.waiting.head]
	if s.joins > e.start.ns {
		return false
	}
	hits, idle := e.cache.held(s.blocks)
	return e.params.blocks(s.prompt+s.done)-(hits-idle)*e.cache.per <= e.free-e.need(1)
}

// admit moves the head of the queue into the batch.
func (e *Engine) admit() int32 {
	i := e.waiting.head
	s := &e.sequences[i]
	e.remove(&e.waiting, i)
	e.pushBack(&e.running, i)
	s.stage, s.left = reading, s.prompt+s.done
	e.serial++
	s.serial = e.serial
	hits, idle := e.cache.held(s.blocks)
	for _, b := range s.blocks[:hits] {
		e.cache.use(b)
	}
	s.used = hits
	e.asked += s.left
	e.hit += hits * PrefixTokens
	s.held = e.params.blocks(s.left) - hits*e.cache.per
	s.left -= hits * PrefixTokens
	if s.fetched { // once: who is preempted reads anew
		s.left, s.fetched = min(s.left, 1), false
	}
	e.free -= s.held + idle*e.cache.per
	e.cache.fit(e.free)
	return i
}

// preempt moves the newest of the batch to the head of the queue. The oldest never
// moves: alone it fits. Nor does the newest return at once: it needs at least the
// blocks it gave, and one of them at least is taken.
func (e *Engine) preempt() {
	i := e.running.tail
	s := &e.sequences[i]
	if s.stage == decoding { // one that reads anew made nothing since it was last preempted
		s.latest = e.start.ceil()
	}
	e.leave(i)
	s.stage = queued
	e.pushFront(&e.waiting, i)
	e.preemptions++
}

// settle ends the running steps.
func (e *Engine) settle() {
	e.free -= e.need(e.k)
	e.cache.fit(e.free)
	e.steps += e.k
	e.tokens += int(e.k) * len(e.ends)
	e.start, e.k = e.end, 0

	for _, i := range e.dead {
		if s := &e.sequences[i]; s.stage == decoding || s.left > 0 {
			e.leave(i)
			e.vacate(i)
		}
	}
	e.dead = e.dead[:0]
	if e.tell == Tokens {
		for i := e.running.head; i != none && e.sequences[i].stage == decoding; i = e.sequences[i].next {
			e.report(i, e.made(&e.sequences[i]))
		}
	}
	for len(e.ends) > 0 && e.ends[0].finish == e.steps {
		i := e.ends[0].slot
		if e.tell == Ends {
			e.report(i, e.sequences[i].output)
		}
		e.leave(i)
		e.vacate(i)
	}
	for _, i := range e.read {
		e.begin(i)
	}
	e.read = e.read[:0]
}

// begin makes the token that a prompt yields, and starts to decode.
func (e *Engine) begin(i int32) {
	s := &e.sequences[i]
	if s.dead {
		e.leave(i)
		e.vacate(i)
		return
	}
	for ; s.used < len(s.blocks); s.used++ { // what it read others can use from now on
		s.held -= e.cache.per
		if e.cache.use(s.blocks[s.used]) {
			e.free += e.cache.per // somebody else read the same meanwhile
		}
	}
	s.done++
	if s.done == 1 || s.done == s.output || e.tell == Tokens {
		e.report(i, s.done)
	}
	if s.done == s.output {
		e.leave(i)
		e.vacate(i)
		return
	}
	s.stage, s.finish = decoding, e.steps+int64(s.output-s.done)
	e.tokens += s.prompt + s.done
	e.phase[e.due(s)]++
	e.enter(i)
}

// leave takes a sequence out of the batch, with all it holds.
func (e *Engine) leave(i int32) {
	s := &e.sequences[i]
	if s.stage == decoding {
		e.phase[e.due(s)]--
		s.done = e.made(s)
		e.tokens -= s.prompt + s.done
		s.held = e.params.blocks(s.prompt+s.done-1) - s.used*e.cache.per
		e.drop(i)
	}
	if e.partial == i {
		e.partial = none
	}
	e.free += s.held
	for ; s.used > 0; s.used-- { // the deepest first: it is the first to go
		if e.cache.release(s.blocks[s.used-1]) {
			e.free += e.cache.per
		}
	}
	e.remove(&e.running, i)
}

// made returns how many tokens a decoding sequence has made.
func (e *Engine) made(s *sequence) int { return s.output - int(s.finish-e.steps) }

// due returns in which steps, modulo the block size, a decoding sequence needs
// another block: where the tokens it holds fill theirs. It stays the same while it
// decodes.
func (e *Engine) due(s *sequence) int {
	held := int64(s.prompt + s.output - 1)
	size := int64(len(e.phase))
	return int(((s.finish-held)%size + size) % size)
}

// need returns how many KV blocks the next k steps of the decodes take.
func (e *Engine) need(k int64) int {
	size := int64(len(e.phase))
	n := int(k/size) * len(e.ends)
	at := e.steps % size
	for range k % size {
		n += e.phase[at]
		if at++; at == size {
			at = 0
		}
	}
	return n
}

// affordable returns how many of the next k steps the free blocks allow, one at
// least.
func (e *Engine) affordable(k int64) int64 {
	n, size := len(e.ends), len(e.phase)
	if n*(int(k)/size+1) <= e.free {
		return k
	}
	rounds := e.free / n
	steps := min(k, int64(rounds)*int64(size))
	used := rounds * n
	for steps < k {
		if used += e.phase[(e.steps+steps)%int64(size)]; used > e.free {
			break
		}
		steps++
	}
	return max(steps, 1)
}

// length returns how long the first k of the running steps take.
func (e *Engine) length(k int64) Picoseconds {
	return e.first*Picoseconds(k) + e.growth*Picoseconds(k*(k-1)/2)
}

// reach returns the fewest of the running steps that take at least d, which all
// of them do.
func (e *Engine) reach(d Picoseconds) int64 {
	// The positive root of length(k) = d, then to the integer by exact sums.
	h := float64(e.first) - float64(e.growth)/2
	k := int64(2 * float64(d) / (h + math.Sqrt(h*h+2*float64(e.growth)*float64(d))))
	k = min(max(k, 1), e.k)
	for k > 1 && e.length(k-1) >= d {
		k--
	}
	for k < e.k && e.length(k) < d {
		k++
	}
	return k
}

// cutAt ends the running steps with the first that ends at t or later.
func (e *Engine) cutAt(t time.Duration) {
	if e.k > 1 && t < e.end.ceil() {
		e.cut(e.reach(e.start.until(t)))
	}
}

// cutAfterNow ends the running steps with the one that runs now.
func (e *Engine) cutAfterNow() {
	if e.k > 1 {
		e.cut(e.stepAfterNow())
	}
}

func (e *Engine) cut(k int64) {
	e.k = k
	e.end = e.start.add(e.length(k))
}

// stepAfterNow returns which of the running steps, from 1, runs now.
func (e *Engine) stepAfterNow() int64 { return e.reach(e.start.until(e.now) + Picosecond) }

func (e *Engine) report(i int32, tokens int) {
	s := &e.sequences[i]
	e.told = append(e.told, Progress{ID: s.id, Tokens: tokens, Last: tokens == s.output, At: e.start.ceil()})
}

// instant is a moment in whole nanoseconds and the picoseconds beyond, below 1000.
type instant struct {
	ns time.Duration
	ps Picoseconds
}

func (t instant) add(d Picoseconds) instant {
	d += t.ps
	return instant{t.ns + time.Duration(d/Nanosecond), d % Nanosecond}
}

// until returns the distance to u, which is less than 100 days.
func (t instant) until(u time.Duration) Picoseconds {
	return Picoseconds(u-t.ns)*Nanosecond - t.ps
}

// ceil returns the first whole nanosecond that is not before t.
func (t instant) ceil() time.Duration {
	if t.ps > 0 {
		return t.ns + 1
	}
	return t.ns
}
