package config

import (
	"slices"
	"strings"
	"testing"
)

// TestMetricsAt: where a replica is asked for its load.
func TestMetricsAt(t *testing.T) {
	for _, tt := range []struct{ kind, metrics, replica, want string }{
		{VLLM, "", "http://h:8000/v1", "http://h:8000/metrics"},
		{VLLM, "", "http://h:8000", "http://h:8000/metrics"},
		{VLLM, "on", "https://h/lab/v1", "https://h/lab/metrics"},
		{VLLM, "", "http://h/video", "http://h/video/metrics"},
		{VLLM, "off", "http://h:8000", ""},
		{Ollama, "", "http://h:11434/v1", "http://h:11434/api/ps"},
		{OpenAI, "", "http://h:8000/v1", ""},
		{OpenAI, "/prometheus/metrics", "http://h:8000/v1", "http://h:8000/prometheus/metrics"},
		{OpenAI, ":8002/metrics", "https://[::1]:8000/v1", "http://[::1]:8002/metrics"},
		{VLLM, "https://m/metrics", "http://h:8000/v1", "https://m/metrics"},
		{Simulated, "", "#0", ""},
		{Anthropic, "", "https://api.anthropic.com", ""},
	} {
		u := Upstream{Kind: tt.kind, Metrics: tt.metrics}
		if got := u.MetricsAt(tt.replica); got != tt.want {
			t.Errorf("%s %q of %s: %q, want %q", tt.kind, tt.metrics, tt.replica, got, tt.want)
		}
	}
}

func TestGPUAt(t *testing.T) {
	u := Upstream{Kind: VLLM, GPU: []string{":9400/metrics#0,1"}}
	at, gpus := u.GPUAt("http://h:8000/v1", 3)
	if at != "http://h:9400/metrics" || !slices.Equal(gpus, []int{0, 1}) {
		t.Error(at, gpus)
	}
	u.GPU = []string{":9400/metrics#0", "http://x:9400/metrics"}
	if at, gpus := u.GPUAt("http://h:8000/v1", 1); at != "http://x:9400/metrics" || gpus != nil {
		t.Error(at, gpus)
	}
	if at, _ := u.GPUAt("http://h:8000/v1", -1); at != "" {
		t.Error(at)
	}
}

// TestWatchedIsChecked: what cannot be asked is refused, with words that help.
func TestWatchedIsChecked(t *testing.T) {
	for line, want := range map[string]string{
		`{kind: vllm, urls: [http://h:1], metrics: "on"}`:                          "",
		`{kind: vllm, urls: [http://h:1], metrics: off}`:                           "",
		`{kind: openai, urls: [http://h:1], metrics: /metrics}`:                    "",
		`{kind: openai, urls: [http://h:1, http://h:2], metrics: ":8002/metrics"}`: "",
		`{kind: openai, urls: [http://h:1], metrics: "on"}`:                        "has no metrics of its own",
		`{kind: simulated, metrics: off}`:                                          "",
		`{kind: simulated, metrics: "on"}`:                                         "knows its load",
		`{kind: vllm, urls: [http://h:1], metrics: yes please}`:                    "metrics is on, off",
		`{kind: vllm, urls: [http://h:1], metrics: "http://u:p@h/metrics"}`:        "metrics is on, off",
		`{kind: vllm, urls: [http://h:1], metrics: ":x/metrics"}`:                  "metrics is on, off",
		`{kind: vllm, urls: [http://h:1], metrics: ":70000/metrics"}`:              "metrics is on, off",
		`{kind: vllm, urls: [http://h:1, http://h:2], metrics: "http://m:1/x"}`:    "cannot tell the load of 2 replicas",
		`{kind: vllm, urls: [http://h:1], gpu: [":9400/metrics#0,1"]}`:             "",
		`{kind: vllm, urls: [http://h:1, http://i:1], gpu: ["http://m:9400/x"]}`:   "",
		`{kind: vllm, urls: [http://h:1], gpu: [":9400/a", ":9401/a"]}`:            "2 for 1 urls",
		`{kind: vllm, urls: [http://h:1], gpu: ["/metrics"]}`:                      "an exporter of GPUs is",
		`{kind: vllm, urls: [http://h:1], gpu: [":9400/metrics#a"]}`:               "an exporter of GPUs is",
		`{kind: vllm, urls: [http://h:1], gpu: [":9400/metrics#1,1"]}`:             "an exporter of GPUs is",
		`{kind: simulated, gpu: [":9400/metrics"]}`:                                "has no GPU",
	} {
		_, report := Parse("f", []byte("upstreams:\n  u: "+line+"\nmodels:\n  m: {targets: [{upstream: u, model: m}]}\n"), System())
		var words strings.Builder
		for _, p := range report.Problems {
			if !p.Warning {
				words.WriteString(p.Error())
			}
		}
		said := words.String()
		if (want == "") != (said == "") || !strings.Contains(said, want) {
			t.Errorf("%s: %q, want %q", line, said, want)
		}
	}
}
