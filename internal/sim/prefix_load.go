package sim

import (
	"math/rand/v2"
	"time"

	"headworks/internal/inference"
	"headworks/internal/latency"
	"headworks/internal/tenant"
)

// Stage is a time in which requests come at one rate.
type Stage struct {
	Rate   float64 // a second
	Length time.Duration
}

// SharedPrefix is a load of prompts in groups that begin alike, in stages with a
// pause between them in which what is under way can end.
type SharedPrefix struct {
	Groups    int
	Questions int // of each group
	Prefix    int // tokens that the prompts of a group share
	Question  int // tokens behind it
	Output    int
	Stages    []Stage
	Pause     time.Duration
	Seed      uint64
	Start     time.Time // of the run, for the ids
	Model     string
	Caller    *tenant.Caller

	n     int
	stage int
	begun time.Duration // of the stage
	at    time.Duration
	src   *rand.Rand
	one   rand.PCG
}

// Ladder is the published workload of shared prefixes on which llm-d compares its
// router with a plain service: 150 groups of 5 questions, 6,000 and 1,200 tokens in,
// 1,000 out, with a rising rate (llm-d optimized-baseline benchmark, 8 replicas of
// Qwen3-32B on two H100 each). The first stage warms up.
func Ladder(seed uint64, start time.Time) *SharedPrefix {
	l := &SharedPrefix{
		Groups: 150, Questions: 5, Prefix: 6000, Question: 1200, Output: 1000,
		Pause: 30 * time.Second, Seed: seed, Start: start, Model: "assistant", Caller: &tenant.Caller{Key: "sim", Tenant: "sim"},
	}
	for _, s := range [...][2]int{
		{15, 50},
		{3, 20}, {10, 20}, {15, 20}, {20, 38}, {22, 34}, {25, 30}, {30, 25}, {35, 21}, {40, 38}, {43, 36},
		{46, 33}, {49, 30}, {52, 29}, {55, 27}, {57, 26}, {60, 25},
	} {
		l.Stages = append(l.Stages, Stage{float64(s[0]), time.Duration(s[1]) * time.Second})
	}
	return l
}

// Next returns the next request.
func (l *SharedPrefix) Next() (Arrival, bool) {
	if l.src == nil {
		l.src = rand.New(rand.NewPCG(l.Seed, 0))
	}
	for {
		if l.stage == len(l.Stages) {
			return Arrival{}, false
		}
		s := l.Stages[l.stage]
		l.at += time.Duration(l.src.ExpFloat64() / s.Rate * float64(time.Second))
		if l.at < l.begun+s.Length {
			break
		}
		l.stage++
		l.begun += s.Length + l.Pause
		l.at = l.begun
	}
	l.n++
	l.one.Seed(l.Seed, uint64(l.n))
	own := rand.New(&l.one)
	group, question := own.IntN(l.Groups), own.IntN(l.Questions)
	r := inference.Request{
		ID:    inference.NewID(l.Start.Add(l.at), uint16(l.one.Uint64()), l.one.Uint64()),
		Model: l.Model, Input: l.Prefix + l.Question, MaxTokens: l.Output, N: 1, Stream: true,
	}
	shared := l.Prefix / latency.PrefixTokens
	for i := range r.Input / latency.PrefixTokens {
		of := uint64(group) + 1
		if i >= shared {
			of += uint64(question+1) << 32
		}
		r.Blocks = append(r.Blocks, spread(of<<12+uint64(i)))
	}
	return Arrival{At: l.at, Request: r, Caller: l.Caller, Output: l.Output}, true
}

// Stage returns in which stage a request came that came at a time, and how long
// after its begin.
func (l *SharedPrefix) Stage(at time.Duration) (stage int, after time.Duration) {
	begun := time.Duration(0)
	for i, s := range l.Stages {
		if at < begun+s.Length {
			return i, at - begun
		}
		begun += s.Length + l.Pause
	}
	return len(l.Stages), 0
}

// spread turns a number into a hash (the finaliser of SplitMix64).
func spread(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
