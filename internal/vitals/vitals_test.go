package vitals

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	naming "github.com/prometheus/common/model"
	"pgregory.net/rapid"
)

func page(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func counts(of ...float64) (c [counters]float64) {
	for i := range c {
		c[i] = -1
	}
	copy(c[:], of)
	return c
}

// TestEngines reads whole pages; each names its source.
func TestEngines(t *testing.T) {
	for name, want := range map[string]Report{
		"vllm.prom":          {Engine: "vllm", KVTokens: 16 * 7281, Start: 1.7181405583e+09, Counters: counts(5, 7, 0, 117)},
		"vllm-dp.prom":       {Engine: "vllm", Running: 7, Waiting: 3, KVUse: 0.5, KVTokens: 2 * 16 * 19208, Counters: counts(30, 12)},
		"vllm-escaped.prom":  {Engine: "vllm", Running: 4, Waiting: 2, KVUse: 0.25, KVTokens: 16 * 1000, Start: 1.7e9, Counters: counts(10)},
		"sglang.prom":        {Engine: "sglang", Running: 162, Waiting: 2826, KVUse: 0.28, KVTokens: 123859 * 100 / 28, Counters: counts(8.128902e+06, 7.557572e+06)},
		"sglang-ranks.prom":  {Engine: "sglang", Running: 6, Waiting: 3, KVUse: 0.5, KVTokens: 2 * 1000 * 64, Counters: counts(-1, -1, 12)},
		"tgi.prom":           {Engine: "tgi", Running: 5, Waiting: 2, KVUse: 0.25, KVTokens: 16000, Counters: counts(120, 110, 900)},
		"llamacpp.prom":      {Engine: "llamacpp", Running: 1, Waiting: 2, KVUse: -1, Counters: counts(900, 400)},
		"llamacpp-old.prom":  {Engine: "llamacpp", Running: 1, Waiting: 0, KVUse: -1, KVTokens: 4096, Counters: counts(900, 400)},
		"trtllm.prom":        {Engine: "trtllm", Running: 3, Waiting: 1, KVUse: 0.5, KVTokens: 32 * 4096, Counters: counts(7)},
		"triton-trtllm.prom": {Engine: "triton", Running: 1, Waiting: 1, KVUse: 0.4875, KVTokens: 64 * 6239, Counters: counts(0, 0)},
		"triton-vllm.prom":   {Engine: "vllm", Running: -1, Waiting: -1, KVUse: -1, Counters: counts(10, 16), Missing: "how many requests run and wait"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Read(page(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestRenames: names in every spelling tell the same, and where a page has several of
// one thing they are not summed.
func TestRenames(t *testing.T) {
	for _, tt := range []struct {
		page string
		want func(r *Report) (got, want any)
	}{
		{"vllm:num_requests_running 2\nvllm_num_requests_running 2\n", func(r *Report) (any, any) { return r.Running, 2 }},
		{"vllm:kv_cache_usage_perc 0.5\nvllm:gpu_cache_usage_perc 0.75\n", func(r *Report) (any, any) { return r.KVUse, 0.5 }},
		{"vllm:gpu_cache_usage_perc 0.75\n", func(r *Report) (any, any) { return r.KVUse, 0.75 }},
		{"vllm:prompt_tokens 5\n", func(r *Report) (any, any) { return r.Counters[0], 5. }},
		{"vllm:prompt_tokens_total 5\n", func(r *Report) (any, any) { return r.Counters[0], 5. }},
		{"vllm_prompt_tokens_total{engine=\"0\"} 5\nvllm_prompt_tokens_total{engine=\"1\"} 6\nvllm:prompt_tokens 9\n", func(r *Report) (any, any) { return r.Counters[0] == 11 || r.Counters[0] == 9, true }},
		{"vllm:num_requests_waiting 9\nvllm:num_requests_waiting_by_reason{reason=\"capacity\"} 4\nvllm:num_requests_waiting_by_reason{reason=\"deferred\"} 5\n", func(r *Report) (any, any) { return r.Waiting, 4 }},
		{"vllm:num_requests_waiting 9\nvllm:num_requests_waiting_by_reason{reason=\"deferred\"} 9\n", func(r *Report) (any, any) { return r.Waiting, 0 }},
		{"vllm:num_requests_running{engine=\"0\"} 1\nvllm:num_requests_running{engine=\"1\"} 2\n", func(r *Report) (any, any) { return r.Running, 3 }},
		{"vllm:kv_cache_usage_perc{engine=\"0\"} 0.25\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.75\n", func(r *Report) (any, any) { return r.KVUse, 0.5 }},
		{"vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"None\"} 1\n", func(r *Report) (any, any) { return r.KVTokens, 0 }},
		{"vllm:num_requests_running NaN\n", func(r *Report) (any, any) { return r.Running, -1 }},
		{"vllm:num_requests_running -3\n", func(r *Report) (any, any) { return r.Running, -1 }},
		{"vllm:num_requests_running 1e300\n", func(r *Report) (any, any) { return r.Running, most }},
		{"vllm:num_requests_running 1\n", func(r *Report) (any, any) { return r.Missing, "how many requests wait" }},
		{"vllm:num_requests_waiting 1\n", func(r *Report) (any, any) { return r.Missing, "how many requests run" }},
		{"nv_inference_pending_request_count 1\n", func(r *Report) (any, any) { return r.Missing, "" }},
		{"nv_inference_pending_request_count 1\nvllm:num_requests_waiting 3\n", func(r *Report) (any, any) { return fmt.Sprint(r.Engine, r.Waiting), "vllm3" }},
	} {
		r, err := Read([]byte(tt.page))
		if got, want := tt.want(&r); err != nil || got != want {
			t.Errorf("%q: %v, want %v (%v)", tt.page, got, want, err)
		}
	}
	if _, err := Read([]byte("<html>vllm</html>\nprocess_start_time_seconds 5\n")); err == nil {
		t.Error("a page of nobody is read")
	}
}

// TestSince: what is a beginning anew, and what is not.
func TestSince(t *testing.T) {
	base := Report{Engine: "vllm", Start: 1000, Counters: counts(10, 20)}
	for what, tt := range map[string]struct {
		change func(r *Report)
		want   bool
	}{
		"the same":             {func(*Report) {}, false},
		"went on":              {func(r *Report) { r.Counters[0] = 11 }, false},
		"a counter back":       {func(r *Report) { r.Counters[1] = 19 }, true},
		"another start":        {func(r *Report) { r.Start = 1100 }, true},
		"the clock was set":    {func(r *Report) { r.Start = 1001 }, false},
		"no start any more":    {func(r *Report) { r.Start = 0 }, false},
		"no counters any more": {func(r *Report) { r.Counters = counts() }, false},
		"another engine":       {func(r *Report) { r.Engine = "sglang" }, true},
	} {
		now := base
		tt.change(&now)
		if got := now.Since(&base); got != tt.want {
			t.Errorf("%s: %v", what, got)
		}
	}
	two, err := ReadLoaded(page(t, "ollama-ps.json"))
	if err != nil || len(two.Loaded) != 2 {
		t.Fatal(two, err)
	}
	one := two
	one.Loaded = two.Loaded[:1]
	if !one.Since(&two) || two.Since(&one) {
		t.Error("a model that is gone is a beginning anew, and one that came is not")
	}
	for _, bad := range []string{"", "[]", `{"models":3}`, `{}`} {
		if _, err := ReadLoaded([]byte(bad)); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func TestAdd(t *testing.T) {
	a, b := Report{Engine: "llamacpp", Running: 1, Waiting: -1, KVUse: -1, Counters: counts(5)}, Report{Running: 2, Waiting: 3, KVUse: 0.5, KVTokens: 10, Counters: counts(6, 7)}
	a.Add(&b)
	if d := cmp.Diff(Report{Engine: "llamacpp", Running: 3, Waiting: 3, KVUse: 0.5, KVTokens: 10, Counters: counts(11, 7)}, a); d != "" {
		t.Error(d)
	}
	if n := a.Requests(); n != 6 {
		t.Error(n)
	}
	if none := blank(); none.Requests() != -1 {
		t.Error(none.Requests())
	}
}

func TestGPUs(t *testing.T) {
	gpus, err := ReadGPUs(page(t, "dcgm.prom"), nil)
	if err != nil || len(gpus) != 2 {
		t.Fatal(gpus, err)
	}
	want := GPU{Index: 1, Utilization: 0.92, MemoryUsed: 35000 * mib, MemoryTotal: 80000 * mib, Power: 420, Clock: 990, MaxClock: -1, Throttled: true, XID: 79, ECC: 2, Heat: -1}
	gpus[1].free = 0
	if d := cmp.Diff(want, gpus[1], cmp.AllowUnexported(GPU{})); d != "" {
		t.Error(d)
	}
	if g := gpus[0]; g.XID != 0 || g.Throttled || g.Fault(nil) != "" || g.Speed(nil, 0) != 1 {
		t.Errorf("%+v", g)
	}
	if got := gpus[1].Fault(nil); got != "XID 79 on GPU 1" {
		t.Error(got)
	}
	if got := gpus[1].Fault(&gpus[1]); got != "" {
		t.Error("an old error is told again:", got)
	}
	if got := gpus[1].Speed(nil, 1980); got != 0.5 {
		t.Error(got)
	}
	if only, err := ReadGPUs(page(t, "dcgm.prom"), []int{1}); err != nil || len(only) != 1 || only[0].Index != 1 {
		t.Error(only, err)
	}
	if _, err := ReadGPUs(page(t, "dcgm.prom"), []int{7}); err == nil {
		t.Error("a GPU that is not there is read")
	}
	amd, err := ReadGPUs(page(t, "rocm.prom"), nil)
	if err != nil || len(amd) != 1 {
		t.Fatal(amd, err)
	}
	if g := amd[0]; g.Index != 2 || g.Utilization != 0.4 || g.MemoryUsed != 183265*mib || g.MemoryTotal != 196592*mib || g.Power != 642 || g.Clock != 1533 || g.ECC != 1 || !g.Throttled {
		t.Errorf("%+v", g)
	}
	before := amd[0]
	before.ECC = 0
	if got := amd[0].Fault(&before); got != "an uncorrectable memory error on GPU 2" {
		t.Error(got)
	}
	before = GPU{Heat: 10}
	if hot := (GPU{Heat: 11, Clock: -1}); hot.Speed(&before, 0) != halved || hot.Speed(nil, 0) != 1 {
		t.Error("time spent slowed down by heat")
	}
}

// TestPageAgrees: samples of any page are read as Prometheus reads them.
func TestPageAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		n := rapid.IntRange(0, 5).Draw(t, "families")
		for i := range n {
			name := fmt.Sprintf("%s_%d", rapid.SampledFrom([]string{"vllm:a", "b_c", "_d"}).Draw(t, "name"), i)
			fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n", name, rapid.SampledFrom([]string{"", "some {words} \"here\""}).Draw(t, "help"), name)
			for j := range rapid.IntRange(1, 3).Draw(t, "series") {
				b.WriteString(name)
				if labels := rapid.IntRange(0, 3).Draw(t, "labels"); labels > 0 || j > 0 {
					fmt.Fprintf(&b, `{series="%d"`, j)
					for k := range labels {
						v := rapid.StringMatching(`[a-z{}=, ]{0,5}`).Draw(t, "value") + rapid.SampledFrom([]string{"", `\"`, `\\`, `\n`}).Draw(t, "escape")
						fmt.Fprintf(&b, `,l%d="%s"`, k, v)
					}
					b.WriteString(rapid.SampledFrom([]string{"}", ",}", " }"}).Draw(t, "end"))
				}
				fmt.Fprintf(&b, " %s%s\n", rapid.SampledFrom([]string{"1", "0.5", "1e+06", "-3", "NaN", "+Inf", "-Inf", "8.128902e+06"}).Draw(t, "number"), rapid.SampledFrom([]string{"", " 1700000000000"}).Draw(t, "time"))
			}
		}
		agree(t, []byte(b.String()))
	})
}

// agree compares a page with Prometheus' own reader; the page is one that it takes.
func agree(t *rapid.T, page []byte) {
	t.Helper()
	parser := expfmt.NewTextParser(naming.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(page))
	if err != nil {
		t.Fatalf("not a page: %v\n%s", err, page)
	}
	want := map[string][]*dto.Metric{}
	total := 0
	for name, f := range families {
		want[name] = f.Metric
		total += len(f.Metric)
	}
	p := Page(page)
	for {
		s, ok := p.Next()
		if !ok {
			break
		}
		total--
		left := want[string(s.Name)]
		if len(left) == 0 {
			t.Fatalf("%q is nothing of\n%s", s.Name, page)
		}
		m := left[0]
		want[string(s.Name)] = left[1:]
		v, ok := s.Value()
		if theirs := m.GetGauge().GetValue(); !ok || v != theirs && !(math.IsNaN(v) && math.IsNaN(theirs)) {
			t.Fatalf("%q is %v, want %v", s.Name, v, theirs)
		}
		for _, l := range m.Label {
			if got := unescape(s.Label(l.GetName())); got != l.GetValue() {
				t.Fatalf("label %q is %q, want %q", l.GetName(), got, l.GetValue())
			}
		}
		if got := s.Label("elsewhere"); got != nil {
			t.Fatalf("a label that is not there is %q", got)
		}
	}
	if total != 0 {
		t.Fatalf("%d samples are missing of\n%s", total, page)
	}
}

func unescape(b []byte) string {
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n").Replace(string(b))
}

// TestPageIsLenient: what is no sample is passed over, and the rest is read.
func TestPageIsLenient(t *testing.T) {
	p := Page("...\n\n  spaced  7 \r\n{\"a.b\",c=\"d\"} 4\nno{ 3\nbroken{a=\"} 4\nnovalue\n{} 3\nlast 8")
	var got []string
	for {
		s, ok := p.Next()
		if !ok {
			break
		}
		v, _ := s.Value()
		got = append(got, fmt.Sprint(string(s.Name), v, string(s.Label("c"))))
	}
	if want := []string{"spaced7", "a.b4d", "last8"}; !cmp.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, no := range []string{"1_0", "0x1p4", "", "one", "nan(1)", strings.Repeat("1", 40)} {
		if _, ok := (&Sample{value: []byte(no)}).Value(); ok {
			t.Errorf("%q is a number", no)
		}
	}
}

// TestReadCostsNoAllocation: however many lines a page has.
func TestReadCostsNoAllocation(t *testing.T) {
	for _, name := range []string{"vllm.prom", "sglang.prom", "triton-trtllm.prom"} {
		b := page(t, name)
		if n := testing.AllocsPerRun(20, func() {
			if _, err := Read(b); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"vllm.prom", "sglang.prom", "triton-trtllm.prom", "llamacpp.prom", "dcgm.prom", "rocm.prom"} {
		f.Add(page(f, name))
	}
	f.Add([]byte(`{"quoted.name",a="b"} 1`))
	f.Add([]byte("vllm:num_requests_running{a=\"\\\"}\"} 1e999"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Read(b)
		if err == nil && (r.Running < -1 || r.Waiting < -1 || r.KVUse > 1 || r.KVUse < 0 && r.KVUse != -1 || r.KVTokens < 0 || r.Requests() < -1) {
			t.Errorf("%+v", r)
		}
		if err == nil && r.Since(&r) {
			t.Errorf("begun anew since itself: %+v", r)
		}
		gpus, _ := ReadGPUs(b, nil)
		for i := range gpus {
			if s := gpus[i].Speed(nil, 0); s < slowest || s > 1 {
				t.Errorf("%+v", gpus[i])
			}
		}
		_, _ = ReadLoaded(b)
	})
}

func BenchmarkRead(b *testing.B) {
	text := bytes.Repeat(append(page(b, "vllm.prom"), '\n'), 4)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		_, _ = Read(text)
	}
}

// TestAdapters: of the constellations that a vLLM ever had, the latest counts. The
// lines are as vllm/v1/metrics/loggers.py writes them, with the moment as the value.
func TestAdapters(t *testing.T) {
	page := "vllm:num_requests_running{model_name=\"base\"} 3\n" +
		"vllm:lora_requests_info{max_lora=\"2\",running_lora_adapters=\"\",waiting_lora_adapters=\"\"} 1.7640000e+09\n" +
		"vllm:lora_requests_info{max_lora=\"2\",running_lora_adapters=\"sql, chat\",waiting_lora_adapters=\"law\"} 1.7640009e+09\n" +
		"vllm:lora_requests_info{max_lora=\"2\",running_lora_adapters=\"law\",waiting_lora_adapters=\"\"} 1.7640005e+09\n" +
		"vllm:lora_requests_info{max_lora=\"2\",running_lora_adapters=\"none\"} NaN\n"
	r, err := Read([]byte(page))
	if err != nil || r.Slots != 2 || !slices.Equal(r.Adapters, []string{"sql", "chat"}) {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := Read([]byte("vllm:num_requests_running 3\n")); err != nil || r.Slots != 0 || r.Adapters != nil {
		t.Errorf("without adapters: %+v, %v", r, err)
	}
}
