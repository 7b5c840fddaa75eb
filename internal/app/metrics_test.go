package app

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	naming "github.com/prometheus/common/model"
)

// pageOf reads /metrics as Prometheus does, without the token.
func pageOf(t *testing.T, i *instance) map[string]*dto.MetricFamily {
	t.Helper()
	r := i.send(t, "GET", i.AdminURL()+"/metrics", "", "")
	p := expfmt.NewTextParser(naming.LegacyValidation)
	families, err := p.TextToMetricFamilies(strings.NewReader(r.body))
	if r.status != 200 || err != nil {
		t.Fatalf("/metrics: %d, %v", r.status, err)
	}
	return families
}

// metric returns the sum of a counter's or gauge's series; 0 where there are none.
func metric(t *testing.T, i *instance, name string) (sum float64) {
	t.Helper()
	for _, m := range pageOf(t, i)[name].GetMetric() {
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return sum
}

// TestMetricsAreWhatTheDocumentationLists compares names and labels with
// docs/reference/metrics.md, in both directions, after requests that end in each
// way there is a metric for.
func TestMetricsAreWhatTheDocumentationLists(t *testing.T) {
	e, cuts := newLab(t, false), newLab(t, true)
	source := strings.Replace(file("tiers: {pro: {concurrency: 5}}", "http://127.0.0.1:9", e.URL), "secret: "+pinned, "secret: "+pinned+", tenant: canary-tenant, tier: pro", 1)
	source = strings.Replace(source, "models:", "  cuts: {kind: openai, region: elsewhere, urls: ["+cuts.URL+"]}\n  found: {kind: vllm, discover: {dns: \"localhost:9\"}}\nmodels:", 1)
	source += "\nshared: redis://127.0.0.1:1 # nobody is there\ncache: {secret: 0123456789abcdef}\n"
	source = strings.Replace(source, "targets: [{upstream: lab", "canary: {target: next, steps: [0.0001%]}, targets: [{name: next, upstream: lab, model: other}, {name: full, upstream: lab", 1)
	watched := httptest.NewServer(http.FileServer(http.Dir("../vitals/testdata")))
	defer watched.Close()
	source = strings.Replace(source, "models:", "  watched: {kind: vllm, urls: ["+watched.URL+"], metrics: /vllm-dp.prom, gpu: ["+watched.URL+"/dcgm.prom]}\nmodels:", 1)
	far := "peers: {secret: a-secret-of-all-cells}\ncells: {far-away: {urls: [http://127.0.0.1:9]}}\ndns: {listen: \"127.0.0.1:0\", name: llm.example.com, cells: {far-away: [127.0.0.1]}}\n"
	source = strings.Replace(source, "canary: {", "shadow: {model: shade, share: 100%}, canary: {", 1)
	source = strings.Replace(source, "models:\n", "models:\n  shade: {cache: {semantic: shadow}, targets: [{upstream: lab, model: other, price: {input: 1, output: 1}}]}\n", 1)
	source = strings.Replace(source, "models:\n", "  quotes: {kind: local-extract}\nmodels:\n  manual: {targets: [{upstream: quotes, model: docs}]}\n", 1)
	i := serve(t, far+source)
	key := i.create(t, `{"name":"canary-key","tenant":"canary-tenant","project":"canary-project"}`)
	for range 8 {
		i.chat(t, pinned, "m", true)
	}
	i.chat(t, key.Secret, "canary-model", false)
	i.chat(t, pinned, "manual", false)
	long := strings.Replace(question("m", false), "hello", strings.Repeat("many words ", 200), 1)
	for range 2 { // the second is thought to be in a cache
		i.send(t, "POST", i.BaseURL()+"/chat/completions", pinned, long)
	}
	for range 2 { // the second is given the answer to the first
		i.send(t, "POST", i.BaseURL()+"/chat/completions", pinned, `{"model":"shade","temperature":0,"messages":[{"role":"user","content":"`+strings.Repeat("again ", 1<<10)+`"}]}`)
	}
	i.send(t, "POST", i.BaseURL()+"/chat/completions", pinned, `{"model":"shade","messages":[{"role":"user","content":"How do I paint the door of my garage?"}]}`)
	i.send(t, "POST", i.BaseURL()+"/chat/completions", pinned, `{"model":"m","messages":[{"role":"user","content":"`+strings.Repeat("long ", 1<<18)+`"}]}`)
	cut := i.stream(t, pinned, "cuts/canary-asked")
	left := i.stream(t, pinned, "cuts/canary-asked")
	left.Body.Close()
	<-cuts.gone
	cuts.CloseClientConnections()
	if rest := cut.rest(t); !strings.Contains(rest, "upstream_stream_interrupted") {
		t.Errorf("a cut stream: %q", rest)
	}
	eventually(t, "all requests are counted", func() bool { return metric(t, i, "headworks_requests_total") == 18 })
	eventually(t, "engines and GPUs are asked", func() bool {
		return metric(t, i, "headworks_engine_requests") == 10 && metric(t, i, "headworks_gpu_errors") == 1
	})
	eventually(t, "all copies are compared", func() bool { return metric(t, i, "headworks_shadow_copies_total") == 10 })

	documented := map[string][]string{}
	page, err := Page("reference/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(page) {
		if cells := strings.Split(line, "|"); len(cells) > 4 && strings.Contains(cells[1], "`headworks_") {
			name := strings.Trim(cells[1], " `")
			documented[name] = []string{}
			for label := range strings.SplitSeq(cells[3], ",") {
				if label = strings.Trim(label, " `"); label != "" {
					documented[name] = append(documented[name], label)
				}
			}
			slices.Sort(documented[name])
		}
	}
	found := pageOf(t, i)
	for name, f := range found {
		if !strings.HasPrefix(name, "headworks_") {
			continue
		}
		want, ok := documented[name]
		if !ok {
			t.Errorf("%s is not documented", name)
		}
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName())
				if strings.Contains(l.GetValue(), "canary") {
					t.Errorf("%s: label %s is %q, which a caller wrote or a key is", name, l.GetName(), l.GetValue())
				}
			}
			if slices.Sort(labels); !slices.Equal(labels, want) {
				t.Errorf("%s has labels %v, documented are %v", name, labels, want)
			}
		}
	}
	for name := range documented {
		if found[name] == nil {
			t.Errorf("%s is documented and not there", name)
		}
	}
	for name, want := range map[string]float64{
		"headworks_abnormal_ends_total": 1, "headworks_client_closed_total": 1, "headworks_config_generation": 1, "headworks_streams_open": 0, "headworks_inflight": 0,
	} {
		if got := metric(t, i, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if metric(t, i, "headworks_failovers_total") < 1 {
		t.Error("no failover is counted")
	}
}
