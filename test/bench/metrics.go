package main

import (
	"fmt"
	"strings"
)

// What the engines that are watched say of themselves.
const (
	resting = "idle"
	working = "busy"
)

// metricsPage is a page as a vLLM server has it that has served for a while: its gauges,
// counters and histograms (its docs/design/metrics.md), those of its HTTP server and of
// Python; 590 lines, 50 KB.
func metricsPage(running int) string {
	var b strings.Builder
	family := func(kind, name, help string) {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
	}
	const labels = `engine="0",model_name="Qwen/Qwen3-32B"`
	for i, name := range []string{"python_gc_objects_collected_total", "python_gc_objects_uncollectable_total", "python_gc_collections_total"} {
		family("counter", name, "Objects of the garbage collector")
		for generation := range 3 {
			fmt.Fprintf(&b, "%s{generation=\"%d\"} %d.0\n", name, generation, 1000*i+generation)
		}
	}
	for _, name := range []string{"process_virtual_memory_bytes", "process_resident_memory_bytes", "process_start_time_seconds", "process_cpu_seconds_total", "process_open_fds", "process_max_fds"} {
		family("gauge", name, "Of the process")
		fmt.Fprintf(&b, "%s 1.7e+09\n", name)
	}
	for _, g := range []struct {
		name  string
		value float64
	}{{"num_requests_running", float64(running)}, {"num_requests_waiting", 0}, {"kv_cache_usage_perc", float64(running) / 20}, {"engine_sleep_state", 0}} {
		family("gauge", "vllm:"+g.name, "Of the scheduler, at its last step.")
		fmt.Fprintf(&b, "vllm:%s{%s} %g\n", g.name, labels, g.value)
	}
	family("gauge", "vllm:cache_config_info", "Information of the LLMEngine CacheConfig")
	b.WriteString(`vllm:cache_config_info{block_size="16",cache_dtype="auto",calculate_kv_scales="False",cpu_offload_gb="0",enable_prefix_caching="True",engine="0",gpu_memory_utilization="0.9",is_attention_free="False",num_cpu_blocks="None",num_gpu_blocks="19208",num_gpu_blocks_override="None",prefix_caching_hash_algo="sha256",sliding_window="None",swap_space="4"} 1.0` + "\n")
	for _, name := range []string{"prefix_cache_queries", "prefix_cache_hits", "mm_cache_queries", "mm_cache_hits", "num_preemptions", "prompt_tokens", "generation_tokens"} {
		family("counter", "vllm:"+name+"_total", "Number of them since the engine began.")
		fmt.Fprintf(&b, "vllm:%s_total{%s} 8.128902e+06\n", name, labels)
		family("gauge", "vllm:"+name+"_created", "When it began.")
		fmt.Fprintf(&b, "vllm:%s_created{%s} 1.7000000001234567e+09\n", name, labels)
	}
	family("counter", "vllm:request_success_total", "Count of successfully processed requests.")
	for _, reason := range []string{"stop", "length", "abort", "error"} {
		fmt.Fprintf(&b, "vllm:request_success_total{engine=\"0\",finished_reason=%q,model_name=\"Qwen/Qwen3-32B\"} 12345.0\n", reason)
	}
	histogram := func(name, labels string, buckets int) {
		family("histogram", name, "Histogram of it.")
		for i := range buckets {
			fmt.Fprintf(&b, "%s_bucket{%s,le=\"%g\"} %d.0\n", name, labels, 0.001*float64(i*i+1), 1000*i)
		}
		fmt.Fprintf(&b, "%s_bucket{%s,le=\"+Inf\"} 50000.0\n%s_count{%s} 50000.0\n%s_sum{%s} 8.128902e+06\n", name, labels, name, labels, name, labels)
		family("gauge", name+"_created", "Histogram of it.")
		fmt.Fprintf(&b, "%s_created{%s} 1.7000000001234567e+09\n", name, labels)
	}
	for _, name := range []string{
		"time_to_first_token_seconds", "inter_token_latency_seconds", "request_time_per_output_token_seconds", "e2e_request_latency_seconds",
		"request_queue_time_seconds", "request_inference_time_seconds", "request_prefill_time_seconds", "request_decode_time_seconds",
		"request_prompt_tokens", "request_generation_tokens", "request_max_num_generation_tokens", "request_params_max_tokens",
		"request_params_n", "iteration_tokens_total",
	} {
		histogram("vllm:"+name, labels, 21)
	}
	for _, handler := range []string{"/v1/chat/completions", "/v1/completions", "/v1/models", "/health", "/metrics"} {
		histogram("http_request_duration_seconds", fmt.Sprintf("handler=%q,method=\"POST\"", handler), 4)
	}
	histogram("http_request_duration_highr_seconds", `method="POST"`, 21)
	return b.String()
}
