package vitals

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// quantity is what a name tells.
type quantity uint8

const (
	running quantity = iota
	waiting
	kvUse       // share
	kvUsed      // tokens
	kvTokens    // capacity
	blocks      // capacity, in blocks
	blockTokens // tokens of a block
	start       // Unix seconds
	info        // capacity, in labels
	counter     // and the counters behind it

	quantities = counter + counters
)

// ranks is how many names of one quantity are told apart; of those on a page the
// highest counts.
const ranks = 3

// name is one name of a quantity.
type name struct {
	engine string
	what   quantity
	rank   uint8

	label, value string // only of series with this label
	a, b         string // of info: labels whose product is the capacity
}

// names are all names that are known, in their plain spelling. The sources are the
// pages in testdata and, of names without a page: vLLM's docs/design/metrics.md,
// SGLang's docs/references/production_metrics.md, the servers' own registrations in
// text-generation-inference (router/src/server.rs) and llama.cpp
// (tools/server/server-context.cpp), TensorRT-LLM's metrics/collector.py.
var names = map[string][]name{
	"process_start_time_seconds": {{what: start}},

	"vllm_num_requests_running":           {{engine: "vllm", what: running}},
	"vllm_num_requests_waiting":           {{engine: "vllm", what: waiting, rank: 1}},
	"vllm_num_requests_waiting_by_reason": {{engine: "vllm", what: waiting, rank: 2, label: "reason", value: "capacity"}},
	"vllm_kv_cache_usage_perc":            {{engine: "vllm", what: kvUse, rank: 2}},
	"vllm_gpu_cache_usage_perc":           {{engine: "vllm", what: kvUse}},
	"vllm_cache_config_info":              {{engine: "vllm", what: info, a: "block_size", b: "num_gpu_blocks"}},
	"vllm_prompt_tokens":                  {{engine: "vllm", what: counter, rank: 1}},
	"vllm_generation_tokens":              {{engine: "vllm", what: counter + 1, rank: 1}},
	"vllm_num_preemptions":                {{engine: "vllm", what: counter + 2, rank: 1}},
	"vllm_prefix_cache_queries":           {{engine: "vllm", what: counter + 3, rank: 2}},
	"vllm_gpu_prefix_cache_queries":       {{engine: "vllm", what: counter + 3}},
	"sglang_num_running_reqs":             {{engine: "sglang", what: running}},
	"sglang_num_queue_reqs":               {{engine: "sglang", what: waiting}},
	"sglang_token_usage":                  {{engine: "sglang", what: kvUse}},
	"sglang_num_used_tokens":              {{engine: "sglang", what: kvUsed}},
	"sglang_max_total_num_tokens":         {{engine: "sglang", what: kvTokens, rank: 2}},
	"sglang_page_size":                    {{engine: "sglang", what: blockTokens}},
	"sglang_num_pages":                    {{engine: "sglang", what: blocks}},
	"sglang_cache_config_info":            {{engine: "sglang", what: info, a: "page_size", b: "num_pages"}},
	"sglang_prompt_tokens":                {{engine: "sglang", what: counter}},
	"sglang_generation_tokens":            {{engine: "sglang", what: counter + 1}},
	"sglang_num_requests":                 {{engine: "sglang", what: counter + 2}},
	"tgi_queue_size":                      {{engine: "tgi", what: waiting}},
	"tgi_batch_current_size":              {{engine: "tgi", what: running}},
	"tgi_batch_current_max_tokens":        {{engine: "tgi", what: kvUsed}},
	"tgi_batch_max_total_tokens":          {{engine: "tgi", what: kvTokens}},
	"tgi_request_count":                   {{engine: "tgi", what: counter}},
	"tgi_request_success":                 {{engine: "tgi", what: counter + 1}},
	"tgi_batch_inference_count":           {{engine: "tgi", what: counter + 2}},
	"llamacpp_requests_processing":        {{engine: "llamacpp", what: running}},
	"llamacpp_requests_deferred":          {{engine: "llamacpp", what: waiting}},
	"llamacpp_kv_cache_usage_ratio":       {{engine: "llamacpp", what: kvUse}},
	"llamacpp_kv_cache_tokens":            {{engine: "llamacpp", what: kvUsed}},
	"llamacpp_prompt_tokens":              {{engine: "llamacpp", what: counter}},
	"llamacpp_tokens_predicted":           {{engine: "llamacpp", what: counter + 1}},
	"trtllm_num_requests_running":         {{engine: "trtllm", what: running}},
	"trtllm_num_requests_waiting":         {{engine: "trtllm", what: waiting}},
	"trtllm_kv_cache_utilization":         {{engine: "trtllm", what: kvUse}},
	"trtllm_kv_cache_tokens_per_block":    {{engine: "trtllm", what: blockTokens}},
	"trtllm_kv_cache_max_blocks":          {{engine: "trtllm", what: blocks}},
	"trtllm_request_success":              {{engine: "trtllm", what: counter}},
	"nv_inference_pending_request_count":  {{engine: "triton", what: waiting}},
	"nv_inference_count":                  {{engine: "triton", what: counter}},
	"nv_inference_request_success":        {{engine: "triton", what: counter + 1}},
	"nv_trt_llm_request_metrics": {
		{engine: "triton", what: waiting, rank: 2, label: "request_type", value: "waiting"},
		{engine: "triton", what: running, rank: 2, label: "request_type", value: "scheduled"},
	},
	"nv_trt_llm_kv_cache_block_metrics": {
		{engine: "triton", what: kvUse, label: "kv_cache_block_type", value: "fraction"},
		{engine: "triton", what: blockTokens, label: "kv_cache_block_type", value: "tokens_per"},
		{engine: "triton", what: blocks, label: "kv_cache_block_type", value: "max"},
	},
}

// tally is what was found of the names of one quantity, by rank and spelling.
type tally [ranks][spellings]struct {
	sum float64
	n   int
}

// total returns the sum over the series of one name: that of the highest rank, in
// one of its spellings.
func (t *tally) total() (sum float64, n int) {
	for rank := ranks - 1; rank >= 0; rank-- {
		for spelled := range spellings {
			if at := &t[rank][spelled]; at.n > 0 {
				return at.sum, at.n
			}
		}
	}
	return 0, 0
}

func (t *tally) mean() (float64, bool) {
	sum, n := t.total()
	return sum / float64(max(n, 1)), n > 0
}

// adapters is vLLM's name for who runs with which LoRA adapter, one series for each
// constellation that ever was. Its value is the moment at which it was so.
const adapters = "vllm_lora_requests_info"

// mostAdapters bounds the adapters that are believed.
const mostAdapters = 256

// adapters reads who runs, if no later constellation was read. It returns the moment
// of the latest.
func (r *Report) adapters(s *Sample, seen float64) float64 {
	v, ok := s.Value()
	if !ok || !(v >= seen) {
		return seen
	}
	r.Adapters, r.Slots = nil, 0
	if n, err := strconv.Atoi(string(s.Label("max_lora"))); err == nil && n > 0 && n < most {
		r.Slots = n
	}
	for name := range strings.SplitSeq(string(s.Label("running_lora_adapters")), ",") {
		if name = strings.TrimSpace(name); name != "" && len(r.Adapters) < mostAdapters {
			r.Adapters = append(r.Adapters, name)
		}
	}
	return v
}

// errUnknown says that a page is not of an engine.
var errUnknown = errors.New("the page has no name of an engine that is known here")

// Read reads an engine's page. The error says that it has none of the names.
func Read(page []byte) (Report, error) {
	var found [quantities]tally
	var room [longest]byte
	r := blank()
	p := Page(page)
	seen := 0. // the moment of the adapters that were told last
	for {
		s, ok := p.Next()
		if !ok {
			break
		}
		key, spelled := plain(&room, s.Name)
		if string(key) == adapters {
			seen = r.adapters(&s, seen)
			continue
		}
		for i := range names[string(key)] {
			n := &names[string(key)][i]
			if n.engine != "" && (r.Engine == "" || r.Engine == "triton") { // Triton is around others
				r.Engine = n.engine
			}
			n.add(&found[n.what][n.rank][spelled].sum, &found[n.what][n.rank][spelled].n, &s)
		}
	}
	if r.Engine == "" {
		return r, errUnknown
	}
	r.fill(&found)
	return r, nil
}

// add adds a series of a name.
func (n *name) add(sum *float64, count *int, s *Sample) {
	if twice(s) {
		return
	}
	v, ok := s.Value()
	if !ok || math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
		return
	}
	switch {
	case n.label != "" && string(s.Label(n.label)) != n.value:
		if n.what == waiting && n.engine == "vllm" { // none for want of capacity, perhaps
			*count = max(*count, 1)
		}
		return
	case n.what == info:
		size, err1 := strconv.ParseFloat(string(s.Label(n.a)), 64)
		number, err2 := strconv.ParseFloat(string(s.Label(n.b)), 64)
		if v = size * number; err1 != nil || err2 != nil || !(v > 0) {
			return
		}
	}
	*sum += v
	*count++
}

// twice reports whether a series tells what another one tells as well: SGLang has one
// for each rank that works on the same requests, and one for each priority beside that
// of all.
func twice(s *Sample) bool {
	for _, rank := range [...]string{"tp_rank", "pp_rank"} {
		if v := s.Label(rank); len(v) > 0 && string(v) != "0" {
			return true
		}
	}
	return len(s.Label("priority")) > 0
}

// most bounds what is believed, so that no sum leaves the range of int.
const most = 1 << 40

func (r *Report) fill(found *[quantities]tally) {
	count := func(q quantity, to *int) {
		if v, n := found[q].total(); n > 0 {
			*to = int(min(v, most))
		}
	}
	count(running, &r.Running)
	count(waiting, &r.Waiting)
	if v, ok := found[start].mean(); ok {
		r.Start = v
	}
	for i := range r.Counters {
		if v, n := found[int(counter)+i].total(); n > 0 {
			r.Counters[i] = v
		}
	}
	count(kvTokens, &r.KVTokens)
	if n, _ := found[blocks].total(); r.KVTokens == 0 {
		size, _ := found[blockTokens].mean()
		r.KVTokens = int(min(n*size, most))
	}
	if r.KVTokens == 0 {
		count(info, &r.KVTokens)
	}
	used, n := found[kvUsed].total()
	if v, ok := found[kvUse].mean(); ok {
		r.KVUse = min(v, 1)
		if r.KVTokens == 0 && n > 0 && v > 0.01 { // below that the share says too little
			r.KVTokens = int(min(used/v, most))
		}
	} else if n > 0 && r.KVTokens > 0 {
		r.KVUse = min(used/float64(r.KVTokens), 1)
	}
	if r.Engine == "llamacpp" { // which counts what it keeps, whoever needs it: full is its usual state
		r.KVUse = -1
	}
	switch {
	case r.Running < 0 && r.Waiting < 0:
		r.Missing = "how many requests run and wait"
	case r.Running < 0 && r.Engine != "triton": // which tells it of TensorRT-LLM alone
		r.Missing = "how many requests run"
	case r.Waiting < 0:
		r.Missing = "how many requests wait"
	}
}
