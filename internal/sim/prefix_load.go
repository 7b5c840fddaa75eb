package sim

import (
	"math/rand/v2"
	"time"

	"headworks/internal/inference"
	"headworks/internal/latency"
	"headworks/internal/tenant"
)

// SharedPrefix is a load of prompts in groups that begin alike, in stages. Each
// stage asks them in one order, from the first on, as often as it has to. The
// next one begins once all of the one before have ended, and a pause later.
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

	n      int
	order  []int // in which prompts are asked, anew in each stage
	stairs stairs
	one    rand.PCG
}

// Ladder is the published workload of shared prefixes on which llm-d compares its
// router with a plain service: 150 groups of 5 questions, 6,000 and 1,200 tokens in,
// 1,000 out, with a rising rate (llm-d optimized-baseline benchmark, 8 replicas of
// Qwen3-32B on two H100 each). The first stage warms up: it asks each prompt once. The
// harness (kubernetes-sigs/inference-perf) shuffles the prompts once, begins each stage
// with the first of them, and sends an exact number.
func Ladder(seed uint64, start time.Time) *SharedPrefix {
	l := &SharedPrefix{
		Groups: 150, Questions: 5, Prefix: 6000, Question: 1200, Output: 1000,
		Pause: 30 * time.Second, Seed: seed, Start: start, Model: "assistant", Caller: &tenant.Caller{Key: "sim", Tenant: "sim"},
	}
	for _, s := range [...][2]int{
		{15, 50},
		{3, 20},
		{10, 20},
		{15, 20},
		{20, 38},
		{22, 34},
		{25, 30},
		{30, 25},
		{35, 21},
		{40, 38},
		{43, 36},
		{46, 33},
		{49, 30},
		{52, 29},
		{55, 27},
		{57, 26},
		{60, 25},
	} {
		l.Stages = append(l.Stages, Stage{Rate: float64(s[0]), Length: time.Duration(s[1]) * time.Second})
	}
	return l
}

// Next returns the next request.
func (l *SharedPrefix) Next() (Arrival, bool) {
	at, ok := l.stairs.next(l.Stages, l.Seed)
	if !ok {
		return Arrival{}, false
	}
	if l.order == nil {
		l.order = rand.New(rand.NewPCG(l.Seed, 1<<63)).Perm(l.Groups * l.Questions)
	}
	prompt := l.order[(l.stairs.since-1)%len(l.order)]
	group, question := prompt/l.Questions, prompt%l.Questions
	l.n++
	l.one.Seed(l.Seed, uint64(l.n))
	r := inference.Request{
		ID:    inference.NewID(l.Start.Add(at), uint16(l.one.Uint64()), l.one.Uint64()),
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
	return Arrival{At: at, Request: r, Caller: l.Caller, Output: l.Output, Same: uint64(prompt) + 1}, true
}

// Drained implements Staged.
func (l *SharedPrefix) Drained(at time.Duration) bool {
	return l.stairs.drained(l.Stages, l.Pause, at)
}

// spread turns a number into a hash (the finaliser of SplitMix64).
func spread(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
