// Package vitals reads what an engine and its GPUs say of their own state: how many
// requests run and wait, how full the KV cache is, what slows the hardware down. It
// reads Prometheus' text format by the names of vLLM, SGLang, TGI, llama.cpp, Triton
// and TensorRT-LLM, old and new, and Ollama's list of running models.
//
// Names are compared without regard to : or _, to a _total at the end and to case:
// SGLang negotiates underscores, routers rewrite colons, ROCm's exporter has both
// cases. Where a page has two names of one thing, as in the overlap of a rename, one
// counts and they are never summed. Several series of one name are the engines of a
// data-parallel group: their counts are summed, their shares averaged.
package vitals

// Report is what an engine says of itself.
type Report struct {
	Engine   string  // whose names the page has: vllm, sglang, tgi, llamacpp, triton, trtllm, ollama
	Running  int     // requests being worked on; -1: not told
	Waiting  int     // requests that wait for room; -1: not told
	KVUse    float64 // share of the KV cache that running requests hold, 0 to 1; -1: not told
	KVTokens int     // what the KV cache holds; 0: not told
	Start    float64 // when its process began, Unix seconds; 0: not told

	// Counters only ever rise while an engine lives; -1: not told.
	Counters [counters]float64

	// Adapters are those of the requests that a vLLM runs, and Slots how many it holds
	// at once; 0: not told.
	Adapters []string
	Slots    int

	// Loaded are the models that an Ollama holds in memory.
	Loaded []Loaded

	// Missing is what a page of this engine should have had and did not.
	Missing string
}

// counters is how many counters of an engine are kept.
const counters = 6

func blank() Report {
	r := Report{Running: -1, Waiting: -1, KVUse: -1}
	for i := range r.Counters {
		r.Counters[i] = -1
	}
	return r
}

// Requests returns how many requests the engine has; -1 where it tells neither who
// runs nor who waits.
func (r *Report) Requests() int {
	if r.Running < 0 && r.Waiting < 0 {
		return -1
	}
	return max(r.Running, 0) + max(r.Waiting, 0)
}

// Since reports whether the engine began anew after it said before: its process
// started at another time, a counter went back, or a model that was loaded is not.
// What its caches held is gone then.
func (r *Report) Since(before *Report) bool {
	if r.Engine != before.Engine {
		return true
	}
	if d := r.Start - before.Start; r.Start > 0 && before.Start > 0 && (d > clockStep || d < -clockStep) {
		return true
	}
	for i, n := range r.Counters {
		if n >= 0 && n < before.Counters[i] {
			return true
		}
	}
	for _, was := range before.Loaded {
		if !holds(r.Loaded, was) {
			return true
		}
	}
	return false
}

// clockStep is how far the start of a process may seem to move, in seconds: it is
// counted from the boot, whose time follows a clock that is set.
const clockStep = 2

// Add adds what another engine behind the same address says, as each model of
// llama.cpp's router is an engine of its own.
func (r *Report) Add(other *Report) {
	sum := func(a, b int) int {
		if a < 0 || b < 0 {
			return max(a, b)
		}
		return a + b
	}
	r.Running, r.Waiting = sum(r.Running, other.Running), sum(r.Waiting, other.Waiting)
	r.KVUse = max(r.KVUse, other.KVUse)
	r.KVTokens += other.KVTokens
	for i, n := range other.Counters {
		if n >= 0 {
			r.Counters[i] = max(r.Counters[i], 0) + n
		}
	}
}
