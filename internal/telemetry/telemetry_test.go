package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/record"
	"headworks/internal/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const start = int64(1_790_000_000_000_000)

// answered returns the record of a request that went well.
func answered(model string) *record.Record {
	r := new(record.Record)
	r.Reset()
	r.ID, r.Trace = inference.ID{1, 2, 3}, [16]byte{0xab}
	r.Time, r.Total, r.TTFT, r.TPOT, r.Queue, r.Overhead = start, 2_100_000, 180_000, 20_000, 0, 90
	r.Surface, r.Tier, r.Tenant, r.Key, r.Model, r.Upstream, r.Replica = "openai", "pro", "acme", "ci", model, "eu-vllm", "2"
	r.Input, r.Output, r.CacheRead, r.Cost = 240, 90, 40, 1_500_000
	r.Status, r.End, r.Finish = 200, record.OK, inference.Stop
	r.Try(record.Attempt{Upstream: "eu-vllm", Replica: "2"})
	return r
}

// scrape returns the metrics by their line up to the value.
func scrape(t testing.TB, m *Metrics) map[string]string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	lines := map[string]string{}
	for line := range strings.SplitSeq(w.Body.String(), "\n") {
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			lines[line[:i]] = line[i+1:]
		}
	}
	return lines
}

func want(t testing.TB, got map[string]string, wanted map[string]string) {
	t.Helper()
	for name, value := range wanted {
		if got[name] != value {
			t.Errorf("%s = %q, want %q", name, got[name], value)
		}
	}
}

func TestObserve(t *testing.T) {
	m := New(Coarse, Sources{})
	m.Observe(answered("assistant"))
	m.Observe(answered("assistant"))

	moved := answered("assistant")
	moved.Tried = 0
	moved.Try(record.Attempt{Upstream: "eu-vllm", Replica: "1", Fault: fault.Connect, Free: true})
	moved.Try(record.Attempt{Upstream: "eu-vllm", Replica: "2", Fault: fault.UpstreamError})
	moved.Try(record.Attempt{Upstream: "eu-vllm", Replica: "2", Fault: fault.UpstreamError})
	moved.Try(record.Attempt{Upstream: "openai", Replica: "o", Fault: fault.Interrupted})
	moved.Upstream, moved.End, moved.Fault = "openai", record.AbnormalEnd, fault.Interrupted
	m.Observe(moved)

	left := answered("assistant")
	left.End, left.Fault = record.ClientClosed, fault.ClientClosed
	m.Observe(left)

	refused := new(record.Record)
	refused.Reset()
	refused.Time, refused.Total = start, 80
	refused.Surface, refused.End, refused.Fault, refused.Status = "anthropic", record.Failed, fault.ModelNotFound, 404
	m.Observe(refused)

	got := scrape(t, m)
	want(t, got, map[string]string{
		`headworks_requests_total{end="ok",fault="none",model="assistant",surface="openai",tier="pro"}`:                   "2",
		`headworks_requests_total{end="abnormal_end",fault="abnormal_end",model="assistant",surface="openai",tier="pro"}`: "1",
		`headworks_requests_total{end="error",fault="model_not_found",model="none",surface="anthropic",tier=""}`:          "1",
		`headworks_tokens_total{kind="input",model="assistant",upstream="eu-vllm"}`:                                       "720",
		`headworks_tokens_total{kind="reasoning",model="assistant",upstream="eu-vllm"}`:                                   "",
		`headworks_cost_usd_total{model="assistant",upstream="openai"}`:                                                   "1.5",
		`headworks_attempts_total{outcome="ok",upstream="eu-vllm"}`:                                                       "3",
		`headworks_attempts_total{outcome="connect",upstream="eu-vllm"}`:                                                  "1",
		`headworks_failovers_total{upstream="eu-vllm"}`:                                                                   "2",
		`headworks_abnormal_ends_total{upstream="openai"}`:                                                                "1",
		`headworks_client_closed_total`:                                                                                   "1",
		`headworks_request_duration_seconds_count{model="assistant"}`:                                                     "4",
		`headworks_request_duration_seconds_bucket{model="assistant",le="2.56"}`:                                          "4",
		`headworks_request_duration_seconds_bucket{model="assistant",le="1.28"}`:                                          "0",
		`headworks_first_token_seconds_bucket{model="assistant",le="0.32"}`:                                               "4",
		`headworks_queue_wait_seconds_bucket{model="assistant",le="0.01"}`:                                                "4",
		`headworks_overhead_seconds_count{model="assistant"}`:                                                             "4",
		`headworks_output_token_seconds_count{model="assistant"}`:                                                         "4",
		`headworks_request_duration_seconds_count{model="none"}`:                                                          "0",
	})
	for _, name := range []string{"go_goroutines", "process_cpu_seconds_total"} {
		if got[name] == "" {
			t.Errorf("%s is not there", name)
		}
	}
	for line := range got {
		for _, private := range []string{"acme", `"ci"`, "req_"} {
			if strings.Contains(line, private) {
				t.Errorf("%s tells who asked", line)
			}
		}
	}
}

func TestBuckets(t *testing.T) {
	for b, n := range map[Buckets]int{Coarse: 14, Fine: 31, None: 0} {
		m := New(b, Sources{})
		m.Observe(answered("a"))
		buckets := 0
		for line := range scrape(t, m) {
			if strings.HasPrefix(line, "headworks_first_token_seconds_bucket") && !strings.Contains(line, "Inf") {
				buckets++
			}
		}
		if buckets != n {
			t.Errorf("cut %d has %d buckets, want %d", b, buckets, n)
		}
	}
}

func TestSources(t *testing.T) {
	m := New(Coarse, Sources{
		InFlight:   func(yield func(string, int)) { yield("eu", 3); yield("us", 0) },
		QueueDepth: func(yield func(string, int)) { yield("standard", 7) },
		ReplicaUp: func(yield func(string, string, bool)) {
			yield("eu", "1", true)
			yield("eu", "2", false)
		},
		StreamsOpen:    func() int { return 12 },
		Dropped:        func(yield func(string, uint64)) { yield("ring", 4) },
		Generation:     func() uint64 { return 5 },
		ReloadFailures: func() uint64 { return 2 },
	})
	want(t, scrape(t, m), map[string]string{
		`headworks_inflight{upstream="eu"}`:               "3",
		`headworks_inflight{upstream="us"}`:               "0",
		`headworks_queue_depth{class="standard"}`:         "7",
		`headworks_replica_up{replica="1",upstream="eu"}`: "1",
		`headworks_replica_up{replica="2",upstream="eu"}`: "0",
		`headworks_streams_open`:                          "12",
		`headworks_records_dropped_total{stage="ring"}`:   "4",
		`headworks_config_generation`:                     "5",
		`headworks_config_reload_failures_total`:          "2",
	})
	for line := range scrape(t, New(Coarse, Sources{})) {
		if strings.HasPrefix(line, "headworks_inflight") {
			t.Errorf("%s without a source", line)
		}
	}
}

// Two hundred models make no more series than fifty and the rest.
func TestManyModels(t *testing.T) {
	m := New(Coarse, Sources{})
	for i := range 200 {
		for u := range 20 {
			r := answered(fmt.Sprint("model-", i))
			r.Upstream = fmt.Sprint("upstream-", u)
			m.Observe(r)
		}
	}
	got := scrape(t, m)
	ours, others := 0, 0
	for line := range got {
		if strings.HasPrefix(line, "headworks_") {
			ours++
		}
		if strings.Contains(line, `model="other"`) {
			others++
		}
	}
	if ours > 10_000 || others == 0 {
		t.Errorf("%d series, %d of them other", ours, others)
	}
	want(t, got, map[string]string{`headworks_label_overflow_total{label="model"}`: "3000"})
}

// Over any traffic at most so many models have a name at once, nobody loses it
// within a day, and whoever is far busier than a named one gets it in the end.
func TestBusiest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := busiest{most: 3}
		live := map[string]int64{} // named since
		now := start
		for range rapid.IntRange(1, 300).Draw(t, "uses") {
			now += rapid.Int64Range(0, 3*time.Hour.Microseconds()).Draw(t, "step")
			model := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "model")
			label, gone := b.name(model, now)
			for _, g := range gone {
				since, ok := live[g]
				if !ok || now-since < namedFor.Microseconds() {
					t.Fatalf("%s lost a name it had for %d us", g, now-since)
				}
				delete(live, g)
			}
			if label != other && label != model {
				t.Fatalf("%s is named %s", model, label)
			}
			for m, u := range b.uses {
				if _, ok := live[m]; !ok && u.named {
					live[m] = now
				}
			}
			if _, ok := live[model]; ok != (label == model) {
				t.Fatalf("%s: label %s, named %v", model, label, live)
			}
			if len(live) > 3 || b.named > 3 {
				t.Fatalf("%v have names", live)
			}
		}
	})
	m := New(Coarse, Sources{})
	m.models.most = 1
	m.Observe(answered("old"))
	for i := range 60 {
		r := answered("new")
		r.Time += int64(i) * time.Hour.Microseconds()
		m.Observe(r)
	}
	got := scrape(t, m)
	if _, ok := got[`headworks_request_duration_seconds_count{model="old"}`]; ok {
		t.Error("a model that lost its name keeps its series")
	}
	if got[`headworks_request_duration_seconds_count{model="new"}`] == "" {
		t.Error("the busiest model has no name after a day")
	}
}

func TestModelsThatComeAndGoAreForgotten(t *testing.T) {
	b := busiest{most: 2}
	for i := range 5000 {
		b.name(fmt.Sprint("m", i), start)
	}
	if len(b.uses) > 2+watched {
		t.Errorf("%d models are watched", len(b.uses))
	}
	b.name("m0", start+rankEvery.Microseconds())
	if len(b.uses) > 3 {
		t.Errorf("%d models are watched after an hour of silence", len(b.uses))
	}
}

func TestRedactor(t *testing.T) {
	secret := `sk-"quoted"\<&é` + "\t" + `0123456789`
	var out bytes.Buffer
	var r Redactor
	log := NewLog(&out, slog.LevelDebug, &r)
	log.Info("before it is known", "key", "sk-first")
	r.Hide(tenant.NewSecret("sk-first"), tenant.NewSecret("sk-first-and-longer"), tenant.NewSecret(secret), tenant.NewSecret("x"), tenant.Secret{})
	out.Reset()

	inner, _ := json.Marshal(map[string]string{"key": secret})
	log.Info("the message "+secret, "text", secret, "first", "sk-first-and-longer sk-first",
		"error", fmt.Errorf("dial %s: %w", secret, errors.New(secret)),
		"any", map[string]any{"deep": []string{secret}}, "bytes", json.RawMessage(inner), "quoted", string(inner))
	log.With("with", secret).WithGroup("g").Warn("m", slog.Group("h", "k", secret), "x", "x")
	if strings.Contains(out.String(), "0123456789") || strings.Contains(out.String(), "first") && strings.Contains(out.String(), "sk-first") {
		t.Errorf("a secret is in the log:\n%s", out.String())
	}
	if strings.Contains(out.String(), "and-longer") {
		t.Errorf("the end of a secret is in the log:\n%s", out.String())
	}
	for line := range strings.SplitSeq(strings.TrimSpace(out.String()), "\n") {
		if !json.Valid([]byte(line)) {
			t.Errorf("not a line of JSON: %s", line)
		}
	}
	if !strings.Contains(out.String(), `"x":"x"`) {
		t.Error("a text of one letter was taken out")
	}
}

func TestHideWhileWriting(t *testing.T) {
	var r Redactor
	var wg sync.WaitGroup
	for w := range 4 {
		var out bytes.Buffer
		log := NewLog(&out, slog.LevelInfo, &r)
		wg.Go(func() {
			for i := range 50 {
				s := tenant.NewSecret(fmt.Sprintf("secret-%d-%d", w, i))
				r.Hide(s)
				log.Info("m", "s", s.Reveal())
			}
			if strings.Contains(out.String(), "secret-") {
				t.Error("a secret is in the log")
			}
		})
	}
	wg.Wait()
}

func TestRequestLog(t *testing.T) {
	var out bytes.Buffer
	l := NewRequestLog(NewLog(&out, slog.LevelInfo, new(Redactor)), Faults)
	failed := answered("assistant")
	failed.Fault, failed.End, failed.Status = fault.Interrupted, record.AbnormalEnd, 200
	gone := answered("assistant")
	gone.Fault, gone.End, gone.Status = fault.ClientClosed, record.ClientClosed, -1
	lines := func() int {
		defer out.Reset()
		l.Observe(answered("assistant"))
		l.Observe(failed)
		l.Observe(gone)
		return strings.Count(out.String(), "\n")
	}
	for which, n := range map[Requests]int{Faults: 2, All: 3, Off: 0} {
		l.Choose(which)
		if got := lines(); got != n {
			t.Errorf("choice %d wrote %d lines, want %d", which, got, n)
		}
	}
	l.Choose(Faults)
	l.Observe(failed)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]any{
		"level": "WARN", "msg": "request", "request_id": failed.ID.String(), "trace_id": "ab000000000000000000000000000000",
		"fault": "abnormal_end", "owner": "upstream", "end": "abnormal_end", "status": 200., "total_ms": 2100., "attempts": 1.,
		"time": time.UnixMicro(start + failed.Total).Format(time.RFC3339Nano),
	} {
		if line[name] != value {
			t.Errorf("%s = %v, want %v", name, line[name], value)
		}
	}
	out.Reset()
	l.Observe(gone)
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["level"] != "INFO" {
		t.Errorf("a caller who left is logged as %s", out.Bytes())
	}
}

func BenchmarkObserve(b *testing.B) {
	m, r := New(Coarse, Sources{}), answered("assistant")
	b.ReportAllocs()
	for b.Loop() {
		m.Observe(r)
	}
}

func BenchmarkRequestLine(b *testing.B) {
	var r Redactor
	r.Hide(tenant.NewSecret("sk-0123456789abcdef"))
	l := NewRequestLog(NewLog(discard{}, slog.LevelInfo, &r), All)
	rec := answered("assistant")
	b.ReportAllocs()
	for b.Loop() {
		l.Observe(rec)
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// TestReadIsNoFailover: a prompt that one pool read for another was served as meant.
func TestReadIsNoFailover(t *testing.T) {
	m := New(Coarse, Sources{})
	r := answered("assistant")
	r.Tried = 0
	r.Try(record.Attempt{Upstream: "readers", Replica: "1"})
	r.Try(record.Attempt{Upstream: "eu-vllm", Replica: "1"})
	m.Observe(r)
	want(t, scrape(t, m), map[string]string{
		`headworks_attempts_total{outcome="ok",upstream="readers"}`: "1",
		`headworks_failovers_total{upstream="readers"}`:             "",
	})
}

// TestUnverified: an answer that a cascade went on from is no success, and no failure
// of its replica.
func TestUnverified(t *testing.T) {
	m := New(Coarse, Sources{})
	r := answered("assistant")
	r.Tried = 0
	r.Try(record.Attempt{Upstream: "small", Replica: "1", Doubt: "it is empty"})
	r.Try(record.Attempt{Upstream: "eu-vllm", Replica: "1"})
	m.Observe(r)
	want(t, scrape(t, m), map[string]string{
		`headworks_attempts_total{outcome="unverified",upstream="small"}`: "1",
		`headworks_attempts_total{outcome="ok",upstream="eu-vllm"}`:       "1",
		`headworks_failovers_total{upstream="small"}`:                     "",
	})
}
