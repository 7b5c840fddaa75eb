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
}

type plan struct {
	job     Job
	at      time.Duration
	cancels time.Duration // 0: never
	done    int
	read    int // tokens of prompt, and of a preempted job's answer, computed
	blocks  int
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
				s.blocks = 0
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
	return n
}

func (o *oracle) step(start Picoseconds) (end Picoseconds) {
	for i := 0; i < len(o.running); i++ {
		s := o.running[i]
		if !s.decodes {
			continue
		}
		for want := o.p.blocks(s.read + 1); s.blocks < want; {
			if o.free() >= want-s.blocks {
				s.blocks = want
				break
			}
			last := o.running[len(o.running)-1]
			last.blocks, last.read, last.decodes = 0, 0, false
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
		want := o.p.blocks(s.known())
		if o.free() < want {
			break
		}
		s.blocks = want
		chunk[s] = min(s.known(), budget)
		budget -= chunk[s]
		took += o.p.PerPrefillToken * Picoseconds(chunk[s])
		o.running, o.waiting = append(o.running, s), o.waiting[1:]
	}
	took += o.p.PerSequence * Picoseconds(len(o.running))
	end = start + took
	at := time.Duration((end + Nanosecond - 1) / Nanosecond)
	for _, s := range o.running {
		if s.read += chunk[s]; s.read < s.known() {
			continue
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
