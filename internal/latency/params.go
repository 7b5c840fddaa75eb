package latency

import (
	"errors"
	"strings"
	"time"
)

// Picoseconds is a length of time fine enough for one token of KV. Sums of it are
// exact, so steps can be skipped without drifting from steps taken one by one.
type Picoseconds int64

// Units of Picoseconds.
const (
	Picosecond  Picoseconds = 1
	Nanosecond              = 1000 * Picosecond
	Microsecond             = 1000 * Nanosecond
	Millisecond             = 1000 * Microsecond
	Second                  = 1000 * Millisecond
)

// Params says how fast an engine is and how much it holds. A step takes
//
//	Base + PerKVToken*(tokens read by decodes) + PerPrefillToken*(prompt tokens) + PerSequence*(sequences)
//
// and a client sees the first token Overhead later than an engine with none.
type Params struct {
	Base            Picoseconds // reading the weights: bytes per GPU / bandwidth, and what each step costs besides
	PerKVToken      Picoseconds // reading KV: 2*layers*KV heads*head dim*bytes per value / TP / bandwidth
	PerPrefillToken Picoseconds // 1 / prefill rate
	PerSequence     Picoseconds // scheduling and sampling
	Overhead        time.Duration

	KVTokens     int // capacity of the KV cache
	BlockSize    int // tokens of a KV block, the unit of allocation
	StepTokens   int // token budget of a step (vLLM: max_num_batched_tokens)
	MaxSequences int // sequences in a step (vLLM: max_num_seqs)
}

// Bounds that keep every sum inside 64 bits.
const (
	maxBase     = 100 * Second
	maxKVToken  = 10 * Microsecond
	maxPart     = 10 * Millisecond // of a prompt token, of a sequence
	maxOverhead = 100 * time.Second
	maxTokens   = 1 << 27
	maxBatch    = 1 << 16
)

var (
	errTimes    = errors.New("latency: step base must be in (0, 100 s], a KV token in [0, 10 us], a prompt token and a sequence in [0, 10 ms]")
	errOverhead = errors.New("latency: overhead must be in (0, 100 s]: a request takes time to reach the queue")
	errSizes    = errors.New("latency: block size must be in [1, 65536], KV tokens at least one block and at most 2^27")
	errBudget   = errors.New("latency: need 1 <= max sequences <= step tokens <= 2^27 and max sequences <= 65536")
)

// Check says what makes p no engine.
func (p Params) Check() error {
	within := func(d, limit Picoseconds) bool { return 0 <= d && d <= limit }
	switch {
	case p.Base == 0, !within(p.Base, maxBase), !within(p.PerKVToken, maxKVToken),
		!within(p.PerPrefillToken, maxPart), !within(p.PerSequence, maxPart):
		return errTimes
	case p.Overhead <= 0, p.Overhead > maxOverhead:
		return errOverhead
	case p.BlockSize < 1, p.BlockSize > maxBatch, p.KVTokens < p.BlockSize, p.KVTokens > maxTokens:
		return errSizes
	case p.MaxSequences < 1, p.MaxSequences > maxBatch, p.StepTokens < p.MaxSequences, p.StepTokens > maxTokens:
		return errBudget
	}
	return nil
}

// Limit returns how many of output tokens there is room for behind a prompt: fewer
// where the two do not fit the KV cache, and none where the prompt alone does not.
func (p Params) Limit(prompt, output int) int {
	if prompt < 1 {
		return 0
	}
	// The last token's KV is never kept.
	room := p.KVTokens/p.BlockSize*p.BlockSize - prompt + 1
	return max(min(output, room), 0)
}

func (p Params) blocks(tokens int) int { return (tokens + p.BlockSize - 1) / p.BlockSize }

// Named engines.
const (
	// Qwen3-32B in bf16 on two H100 80 GB: 131,072 B of KV a token on each GPU at
	// 3.35 TB/s; prefill rate, overhead and capacity as published for vLLM by llm-d's
	// benchmarks. Reading the 32.8 GB of weights takes 9.8 ms of a step; with the 12.3
	// the throughput at the benchmark's lowest rate is met, so 2.5 go to what does not
	// depend on size: launches, the exchange between the GPUs, sampling.
	Qwen32B = "qwen3-32b-2xh100"

	// The demonstration's engines. Time per token and time to first token of
	// Llama-2-7B on one H100 (9.3 and 25 ms) and of Llama-3.1-70B on four (17.1 and
	// 52 ms), as measured on vLLM in the BLIS validation set; prefill at 45 % of the
	// peak FLOPS; KV capacity is 90 % of HBM without weights and activations.
	DemoSmall = "demo-small"
	DemoLarge = "demo-large"
)

// Known returns the name of the profile that was made of a model on a kind of
// hardware, as 2xh100; or of which hardware is the name.
func Known(hardware, model string) (profile string, ok bool) {
	hardware = strings.ToLower(strings.ReplaceAll(hardware, " ", ""))
	model = strings.ToLower(model)
	if _, ok := Profile(hardware); ok {
		return hardware, true
	}
	for _, k := range [...]struct{ hardware, model, profile string }{
		{"2xh100", "qwen3-32b", Qwen32B},
		{"h100", "llama-2-7b", DemoSmall},
		{"4xh100", "llama-3.1-70b", DemoLarge},
	} {
		if strings.TrimPrefix(hardware, "1x") == k.hardware && strings.Contains(model, k.model) {
			return k.profile, true
		}
	}
	return "", false
}

// Profile returns the parameters of a named engine.
func Profile(name string) (Params, bool) {
	p := Params{PerSequence: 5 * Microsecond, BlockSize: 16, StepTokens: 8192}
	switch name {
	case Qwen32B:
		p.Base, p.PerKVToken, p.PerPrefillToken = 12_300*Microsecond, 39_126*Picosecond, Second/18_000
		p.Overhead, p.KVTokens, p.MaxSequences = 110*time.Millisecond, 307_328, 1024
	case DemoSmall:
		p.Base, p.PerKVToken, p.PerPrefillToken = 9300*Microsecond, 156_504*Picosecond, Second/33_000
		p.Overhead, p.KVTokens, p.MaxSequences = 15*time.Millisecond, 110_592, 256
	case DemoLarge:
		p.Base, p.PerKVToken, p.PerPrefillToken = 17_100*Microsecond, 24_454*Picosecond, Second/12_600
		p.Overhead, p.KVTokens, p.MaxSequences = 33*time.Millisecond, 438_272, 256
	default:
		return Params{}, false
	}
	return p, true
}
