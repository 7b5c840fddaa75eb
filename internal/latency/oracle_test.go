package latency

import (
	"slices"
	"time"
)

// oracle is the step model said as plainly as possible: one step after the other,
// every sequence looked at in each. Submissions and cancellations are known ahead.
type oracle struct {
	p    Params
	jobs []*plan // in the order of submission

	waiting, running []*plan
	told             []Progress
	preemptions      int

	kept  map[uint64]*keep
	moved int // how many entries went idle
}

// keep is a block that was read once.
type keep struct{ refs, idle int } // idle: when nobody used it any more

type plan struct {
	job     Job
	at      time.Duration
	cancels time.Duration // 0: never
	done    int
	read    int  // tokens of prompt, and of a preempted job's answer, computed
	blocks  int  // of its own
	used    int  // of what is kept
	decodes bool // all but the newest token is computed
	gone    bool
}

func (s *plan) known() int { return s.job.Prompt + s.done }

func (o *oracle) run() []Progress {
	var clock Picoseconds
	pending := o.jobs
	for {
		joined := func(s *plan) bool { return Picoseconds(s.at+o.p.Overhead)*Nanosecond <= clock }
		for len(pending) > 0 && joined(pending[0]) {
			o.waiting = append(o.waiting, pending[0])
			pending = pending[1:]
		}
		left := func(s *plan) bool {
			return s.gone || s.cancels > 0 && Picoseconds(s.cancels)*Nanosecond < clock
		}
		o.waiting = slices.DeleteFunc(o.waiting, left)
		for _, s := range o.running {
			if left(s) {
				o.let(s)
			}
		}
		o.running = slices.DeleteFunc(o.running, left)
		if len(o.running)+len(o.waiting) == 0 {
			if len(pending) == 0 {
				return o.told
			}
			clock = Picoseconds(pending[0].at+o.p.Overhead) * Nanosecond
			continue
		}
		clock = o.step(clock)
	}
}

func (o *oracle) free() int {
	n := o.p.KVTokens / o.p.BlockSize
	for _, s := range o.running {
		n -= s.blocks
	}
	for _, k := range o.kept {
		if k.refs > 0 {
			n -= o.per()
		}
	}
	return n
}

func (o *oracle) per() int { return PrefixTokens / o.p.BlockSize }

// whole are the blocks of a prompt that can be kept and found.
func (s *plan) whole() []uint64 {
	return s.job.Blocks[:min(len(s.job.Blocks), max(s.job.Prompt-1, 0)/PrefixTokens)]
}

// let takes a sequence's blocks away.
func (o *oracle) let(s *plan) {
	s.blocks = 0
	for ; s.used > 0; s.used-- {
		k := o.kept[s.job.Blocks[s.used-1]]
		if k.refs--; k.refs == 0 {
			o.moved++
			k.idle = o.moved
		}
	}
}

// fit drops what is idle the longest until the rest fits.
func (o *oracle) fit(free int) {
	for {
		idle, oldest := 0, uint64(0)
		for b, k := range o.kept {
			if k.refs == 0 {
				if idle++; oldest == 0 || k.idle < o.kept[oldest].idle {
					oldest = b
				}
			}
		}
		if idle*o.per() <= free {
			return
		}
		delete(o.kept, oldest)
	}
}

func (o *oracle) step(start Picoseconds) (end Picoseconds) {
	grown := 0 // blocks that decodes take with this step
	for i := 0; i < len(o.running); i++ {
		s := o.running[i]
		if !s.decodes {
			continue
		}
		for want := o.p.blocks(s.read+1) - s.used*o.per(); s.blocks < want; {
			if o.free() >= want-s.blocks {
				grown += want - s.blocks
				s.blocks = want
				break
			}
			last := o.running[len(o.running)-1]
			o.let(last)
			last.read, last.decodes = 0, false
			o.running = o.running[:len(o.running)-1]
			o.waiting = slices.Insert(o.waiting, 0, last)
			o.preemptions++
			if last == s {
				break
			}
		}
	}
	took, budget := o.p.Base, o.p.StepTokens
	chunk := map[*plan]int{}
	for _, s := range o.running {
		n := min(s.known()-s.read, budget)
		if s.decodes {
			took += o.p.PerKVToken * Picoseconds(s.known())
		} else {
			took += o.p.PerPrefillToken * Picoseconds(n)
		}
		chunk[s] = n
		budget -= n
	}
	for len(o.waiting) > 0 && budget > 0 && len(o.running) < o.p.MaxSequences {
		s := o.waiting[0]
		hits, idle := 0, 0
		for _, b := range s.whole() {
			k := o.kept[b]
			if k == nil {
				break
			}
			if hits++; k.refs == 0 {
				idle++
			}
		}
		if o.free() < o.p.blocks(s.known())-(hits-idle)*o.per() {
			break
		}
		for _, b := range s.whole()[:hits] {
			o.kept[b].refs++
		}
		s.used, s.read = hits, hits*PrefixTokens
		s.blocks = o.p.blocks(s.known()) - hits*o.per()
		chunk[s] = min(s.known()-s.read, budget)
		budget -= chunk[s]
		took += o.p.PerPrefillToken * Picoseconds(chunk[s])
		o.running, o.waiting = append(o.running, s), o.waiting[1:]
		o.fit(o.free() + grown)
	}
	took += o.p.PerSequence * Picoseconds(len(o.running))
	end = start + took
	at := time.Duration((end + Nanosecond - 1) / Nanosecond)
	o.fit(o.free())
	for _, s := range o.running {
		if s.read += chunk[s]; s.read < s.known() {
			continue
		}
		for all := s.whole(); !s.decodes && s.used < len(all); s.used++ {
			s.blocks -= o.per()
			if k := o.kept[all[s.used]]; k != nil {
				k.refs++
			} else {
				o.kept[all[s.used]] = &keep{refs: 1}
			}
		}
		s.done++
		s.decodes = true
		if s.cancels > 0 && s.cancels < at {
			continue
		}
		s.gone = s.done == s.job.Output
		o.told = append(o.told, Progress{ID: s.job.ID, Tokens: s.done, Last: s.gone, At: at})
	}
	return end
}
