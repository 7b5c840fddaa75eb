package app

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"headworks/internal/config"
	"headworks/internal/discover"
	"headworks/internal/scrape"
)

// TestWatched: each replica is asked where the file says, with its upstream's key where
// that is its own address and nowhere else; replicas on one machine share an exporter.
func TestWatched(t *testing.T) {
	source := `
upstreams:
  own: {kind: vllm, key: sk-secret, urls: [http://10.0.0.1:8000/v1, http://10.0.0.2:8000]}
  beside: {kind: openai, key: sk-secret, urls: [http://10.0.0.3:8000], metrics: ":8002/metrics"}
  home: {kind: ollama, urls: [http://10.0.0.4:11434]}
  cpp: {kind: llamacpp, urls: [http://10.0.0.5:8080], gpu: ["http://10.0.0.9:9400/metrics"]}
  two: {kind: sglang, urls: [http://10.0.0.6:8000, http://10.0.0.6:8001], gpu: [":9400/metrics#0,1", ":9400/metrics#2"], metrics: off}
  far: {kind: openai, key: sk-far, urls: [https://api.example.com/v1]}
models:
  m: {targets: [{upstream: cpp, model: b}, {upstream: cpp, model: a}, {upstream: own, model: x}]}
`
	c, report := config.Parse("test", []byte(source), config.System())
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	w, _, drop, err := newFleetRoom(nil).build(c)
	if err != nil {
		t.Fatal(err)
	}
	defer drop()
	engines, exporters := watched(c, w.Fleet)
	var got []string
	for _, e := range engines {
		line := e.Upstream + " " + e.URL
		if len(e.Header) > 0 {
			line += " " + e.Header[0][1]
		}
		got = append(got, line)
		if e.Speech != map[string]scrape.Speech{"cpp": scrape.LlamaCpp, "home": scrape.Ollama}[e.Upstream] {
			t.Errorf("%s speaks %d", e.Upstream, e.Speech)
		}
		if e.Own != (e.Upstream != "beside") {
			t.Errorf("%s: own %v", e.Upstream, e.Own)
		}
		if e.Upstream == "cpp" && !slices.Equal(e.Models, []string{"a", "b"}) {
			t.Errorf("models %q", e.Models)
		}
	}
	want := []string{
		"beside http://10.0.0.3:8002/metrics",
		"cpp http://10.0.0.5:8080/metrics",
		"home http://10.0.0.4:11434/api/ps",
		"own http://10.0.0.1:8000/metrics Bearer sk-secret",
		"own http://10.0.0.2:8000/metrics Bearer sk-secret",
	}
	if !slices.Equal(got, want) {
		t.Errorf("asked are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(exporters) != 2 || exporters[0].URL != "http://10.0.0.9:9400/metrics" || exporters[1].URL != "http://10.0.0.6:9400/metrics" {
		t.Fatalf("exporters %+v", exporters)
	}
	if r := exporters[1].Runs; len(r) != 2 || !slices.Equal(r[0].GPUs, []int{0, 1}) || !slices.Equal(r[1].GPUs, []int{2}) || len(r[0].Pool) != 2 {
		t.Errorf("runs %+v", r)
	}
}

// TestFoundReplicasAreWatched: replicas that come are asked for their load, and those
// that went no longer are.
func TestFoundReplicasAreWatched(t *testing.T) {
	first := httptest.NewServer(http.FileServer(http.Dir("../vitals/testdata")))
	defer first.Close()
	second := httptest.NewServer(http.FileServer(http.Dir("../vitals/testdata")))
	defer second.Close()
	o := &oracle{found: []discover.Replica{{URL: first.URL}}}
	i := serveFound(t, o, strings.Replace(found(""), "discover:", "metrics: /vllm-dp.prom, discover:", 1))
	told := func(urls ...string) func() bool {
		return func() bool {
			var have []string
			for _, u := range i.Status().Upstreams {
				for _, r := range u.Replicas {
					if r.Engine != nil && r.Engine.Running != nil && *r.Engine.Running == 7 {
						have = append(have, r.URL)
					}
				}
			}
			slices.Sort(have)
			slices.Sort(urls)
			return slices.Equal(have, urls)
		}
	}
	eventually(t, "the first is asked", told(first.URL))
	o.answer(nil, first.URL, second.URL)
	eventually(t, "the second is asked", told(first.URL, second.URL))
	o.answer(nil, second.URL)
	eventually(t, "the first is gone", told(second.URL))
}
