package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonschema-go/jsonschema"
	"pgregory.net/rapid"

	"headworks/internal/latency"
	"headworks/internal/tenant"
)

var environment = map[string]string{
	"OPENAI_API_KEY": "sk-" + strings.Repeat("x", 48), "ANTHROPIC_API_KEY": "sk-ant-1", "HEADWORKS_CI_KEY": "0123456789abcdef",
	"/run/secrets/playground": "fedcba9876543210\n",
}

// The file of the design, as it stands there.
const whole = `listen: 127.0.0.1:7300            # API and console
admin: {listen: 127.0.0.1:7301}   # admin API and /metrics, own listener
region: eu-west                   # the cell this process is
data: ./data                      # embedded SQLite, facts, indexes
state: sqlite                     # or postgres://...
shared: none                      # or redis://...  (Redis or Valkey)
upstreams:
  eu-vllm: {kind: vllm, urls: [http://10.0.0.11:8000, http://10.0.0.12:8000], region: eu-west, zone: a, hardware: h100}
  openai:  {kind: openai, key: ${OPENAI_API_KEY}}
  lab:     {kind: openai, urls: [http://127.0.0.1:9000/v1]}
models:
  assistant:
    targets:
      - {upstream: eu-vllm, model: qwen3-32b,  quality: 0.78, price: {input: 0.10, output: 0.30}}   # USD per million tokens
      - {upstream: openai,  model: gpt-5-mini, quality: 0.82, price: {input: 0.25, output: 2.00}}
    timeouts: {idle: 30s, total: 10m}       # first_token: 10s too, if wanted
tiers:
  free: {priority: sheddable, requests: 60/m, tokens: 40000/m, concurrency: 4}
  pro:  {priority: standard,  requests: 600/m}
keys:                              # usually kept in the store; may be pinned here
  - {name: ci, secret: ${HEADWORKS_CI_KEY}, tenant: acme, tier: pro, models: ["*"], budget: 10/day}
`

func TestWholeFile(t *testing.T) {
	c := valid(t, whole, environment)
	if got, want := c.Upstreams["openai"].URLs, []string{"https://api.openai.com/v1"}; !cmp.Equal(got, want) {
		t.Errorf("a provider's URLs are %q, want %q", got, want)
	}
	if got, want := c.Tiers["free"], (tenant.Tier{Class: tenant.Sheddable, Requests: tenant.Rate{Count: 60, Per: time.Minute}, Tokens: tenant.Rate{Count: 40000, Per: time.Minute}, Concurrency: 4}); got.Priority != want.Class || got.Requests != want.Requests || got.Tokens != want.Tokens || got.Concurrency != want.Concurrency {
		t.Errorf("tier %+v, want %+v", got, want)
	}
	if got, want := c.Keys[0].Budget, (tenant.Budget{Amount: 10_000_000, Per: 24 * time.Hour}); got != want {
		t.Errorf("budget %+v, want %+v", got, want)
	}
	if got, want := *c.Models["assistant"].Targets[1].Price, (Price{Input: .25, Output: 2}); got != want {
		t.Errorf("price %+v, want %+v", got, want)
	}
	if got, want := c.Counts(), (Counts{Upstreams: 3, Replicas: 4, Models: 1, Targets: 2, Tiers: 2, Keys: 1}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	if to := c.Models["assistant"].Timeouts; to.FirstTokenSet || to.FirstToken != 5*time.Minute {
		t.Errorf("first token %+v", to)
	}
}

// Only what the file sets bounds answers that do not stream.
func TestFirstTokenSet(t *testing.T) {
	for timeouts, want := range map[string]bool{
		"{first_token: 10s}": true, "{first_token: 5m}": true, "{first_token: ${T:-}}": false, "{first_token: ${T:-1s}}": true, "{idle: 1s}": false, "": false,
	} {
		c := valid(t, "upstreams: {a: {kind: local-extract}}\nmodels: {m.1: {targets: [{upstream: a, model: x}], timeouts: "+timeouts+"}}\n", nil)
		if to := c.Models["m.1"].Timeouts; to.FirstTokenSet != want {
			t.Errorf("timeouts: %s: set is %v", timeouts, to.FirstTokenSet)
		}
	}
}

// A model may be called whatever an engine calls it.
func TestModelNames(t *testing.T) {
	for _, name := range []string{"gpt-4.1", "qwen2.5:7b", "/models/My Model (8B).gguf", `C:\models\x.gguf`, "meta-llama/Llama-3", "[a]", "ü", "4"} {
		src := must(yaml.Marshal(map[string]any{"upstreams": map[string]any{"a": map[string]string{"kind": "local-extract"}}, "models": map[string]any{name: map[string]any{"targets": []any{map[string]string{"upstream": "a", "model": name}}}}}))
		c := valid(t, string(src), nil)
		m, ok := c.Models[name]
		if !ok || m.Targets[0].Model != name {
			t.Errorf("%q: read as %+v", name, c.Models)
		}
		if got, err := Explain(c, join("models", name)); err != nil || len(got) < 9 {
			t.Errorf("%q: %v %v", name, got, err)
		}
		if err := schema(t).Validate(instance(t, string(src))); err != nil {
			t.Errorf("%q: the schema refuses it: %v", name, err)
		}
	}
	for _, src := range []string{"models: {\" a\": {targets: []}}", "models: {\"\": {targets: []}}", "models: {\"a\\x01\": {targets: []}}", "upstreams: {a b: {kind: local-extract}}", "tiers: {.: {}}"} {
		if _, r := Parse("f.yaml", []byte(src), lookup(nil)); r.OK() {
			t.Errorf("accepted: %s", src)
		}
	}
}

func TestDefaults(t *testing.T) {
	var lines []string
	for _, v := range Default().Values() {
		lines = append(lines, v.Path+" "+v.Value)
	}
	m := DefaultModel()
	lines = append(lines, fmt.Sprint(m.Policy, m.Tries, m.Timeouts.FirstToken, m.Timeouts.Idle, m.Timeouts.Total))
	want := `listen 127.0.0.1:7300
tls.cert none
tls.key none
admin.listen 127.0.0.1:7301
admin.tls.cert none
admin.tls.key none
region local
zone none
peers.listen none
peers.hosts none
peers.secret none
peers.tls.cert none
peers.tls.key none
peers.tls.ca none
peers.interval 100ms
cells none
dns.listen none
dns.name none
dns.servers none
dns.ttl 5s
dns.cells none
data ./data
state sqlite
shared none
shared_password none
cache.memory 256MiB
cache.secret none
cache.encrypt on
knowledge.postgres none
knowledge.weaviate none
knowledge.weaviate_key none
upstreams none
models none
tiers none
tenants none
keys none
regions none
distances none
places none
trusted_proxies none
limits.in_flight 10000
limits.queue 1000
limits.queue_wait 2s
limits.body 32MiB
limits.compress 16KiB
responses.store on
responses.keep 720h
responses.bytes 1GiB
cors.origins none
alerts.period 720h
alerts.availability 0.999
alerts.first_token.goal 0.99
alerts.first_token.within 0s
alerts.smoothness.goal 0.99
alerts.smoothness.within 2s
alerts.sinks none
alerts.attempts 0.99
log.requests faults
log.level info
drain_delay 5s
drain_timeout 10m
order2 5m0s 30s 10m0s`
	if d := cmp.Diff(want, strings.Join(lines, "\n")); d != "" {
		t.Errorf("defaults (-want +got):\n%s", d)
	}
}

func TestExplain(t *testing.T) {
	c := valid(t, strings.ReplaceAll(whole, "total: 10m", "total: ${CHAT_TIMEOUT:-10m}")+"  - {name: b, secret: "+strings.Repeat("s", 20)+"}\n", environment)
	tell := func(values []Value, err error) string {
		if err != nil {
			return err.Error()
		}
		var b strings.Builder
		for _, v := range values {
			fmt.Fprintln(&b, v.Path, "|", v.Value, "|", v.Origin, v.From)
		}
		return b.String()
	}
	for path, want := range map[string]string{
		"models.assistant.timeouts":          "models.assistant.timeouts.first_token | 5m | default \nmodels.assistant.timeouts.idle | 30s | headworks.yaml:16:22 \nmodels.assistant.timeouts.total | 10m | headworks.yaml:16:34 ${CHAT_TIMEOUT:-10m}\n",
		"models.assistant.targets[1].price":  "models.assistant.targets[1].price.input | 0.25 | headworks.yaml:15:78 \nmodels.assistant.targets[1].price.output | 2 | headworks.yaml:15:92 \nmodels.assistant.targets[1].price.cache_read | none | default \nmodels.assistant.targets[1].price.cache_write | none | default \nmodels.assistant.targets[1].price.cache_write_1h | none | default \nmodels.assistant.targets[1].price.long | none | default \n",
		"models.assistant.targets.0.quality": "models.assistant.targets[0].quality | 0.78 | headworks.yaml:14:57 \n",
		"upstreams.openai.key":               "upstreams.openai.key | ${OPENAI_API_KEY} (set, 51 characters) | headworks.yaml:9:32 ${OPENAI_API_KEY}\n",
		"upstreams.lab.key":                  "upstreams.lab.key | none | default \n",
		"keys[1].secret":                     "keys[1].secret | [redacted] (set, 20 characters) | headworks.yaml:22:23 \n",
		"tiers.pro.concurrency":              "tiers.pro.concurrency | 0 | default \n",
		"tiers.pro.requests":                 "tiers.pro.requests | 600/m | headworks.yaml:19:41 \n",
		"listen":                             "listen | 127.0.0.1:7300 | headworks.yaml:1:9 \n",
		"models.assistent":                   `no setting "models.assistent", did you mean "models.assistant"?`,
	} {
		if d := cmp.Diff(want, tell(Explain(c, path))); d != "" {
			t.Errorf("%s (-want +got):\n%s", path, d)
		}
	}
	if all := tell(Explain(c, "")); strings.Contains(all, "ssss") || strings.Contains(all, environment["HEADWORKS_CI_KEY"]) {
		t.Errorf("a secret is told:\n%s", all)
	}
}

func TestExplainFindsNamesWithDots(t *testing.T) {
	c := valid(t, "upstreams: {a: {kind: local-extract}}\nmodels: {gpt-4.1: {targets: [{upstream: a, model: x}]}}\n", nil)
	for _, path := range []string{"models.gpt-4.1.tries", "models[gpt-4.1].tries"} {
		got, err := Explain(c, path)
		if err != nil || len(got) != 1 || got[0].Path != "models[gpt-4.1].tries" {
			t.Errorf("%s: %v %v", path, got, err)
		}
	}
}

func TestDiff(t *testing.T) {
	a := valid(t, whole, environment)
	rotated := map[string]string{"OPENAI_API_KEY": "sk-other", "HEADWORKS_CI_KEY": environment["HEADWORKS_CI_KEY"]}
	next := strings.NewReplacer(
		"total: 10m", "first_token: 10s, total: 5m",
		"  lab: ", "  lap: ",
		"127.0.0.1:7301", "127.0.0.1:7401",
		"keys: ", "keys: \n  - {name: new, secret: 0123456789abcdeg}\n#",
		"quality: 0.82", "quality: 0.83",
	).Replace(whole)
	b := valid(t, next, rotated)
	changes := Diff(a, b)
	want := []string{
		"admin.listen changed", "keys.new added", "models.assistant.targets changed", "models.assistant.timeouts changed",
		"upstreams.lab removed", "upstreams.lap added", "upstreams.openai.key changed",
	}
	if d := cmp.Diff(want, Summary(changes)); d != "" {
		t.Errorf("summary (-want +got):\n%s", d)
	}
	if got := Restart(changes); !cmp.Equal(got, []string{"admin.listen"}) {
		t.Errorf("restart for %q", got)
	}
	if told := fmt.Sprint(changes); strings.Contains(told, "sk-") || strings.Contains(told, "0123456789") {
		t.Errorf("a secret is told: %s", told)
	}
	if again := Diff(b, valid(t, next, rotated)); len(again) > 0 {
		t.Errorf("the same file differs from itself: %v", again)
	}
}

func TestFingerprint(t *testing.T) {
	c := valid(t, whole, environment)
	got := c.Fingerprint()
	if len(got) != 12 {
		t.Errorf("fingerprint %q", got)
	}
	rotated := map[string]string{"OPENAI_API_KEY": "sk-other", "HEADWORKS_CI_KEY": "another secret of its own"[:7] + strings.Repeat("x", 16)}
	rotated["HEADWORKS_CI_KEY"] = strings.ReplaceAll(rotated["HEADWORKS_CI_KEY"], " ", "_")
	same := "# a comment\n" + strings.ReplaceAll(whole, "total: 10m", "total: ${T:-600s}")
	if again := valid(t, same, rotated).Fingerprint(); again != got {
		t.Errorf("other secrets, places and spellings: %s, want %s", again, got)
	}
	if other := valid(t, strings.ReplaceAll(whole, "quality: 0.82", "quality: 0.83"), environment).Fingerprint(); other == got {
		t.Error("another quality, the same fingerprint")
	}
}

func TestGuard(t *testing.T) {
	many := func(n int) *Config {
		c := Default()
		c.Upstreams = map[string]Upstream{}
		for i := range n {
			c.Upstreams[fmt.Sprint("u", i)] = Upstream{Kind: VLLM, URLs: []string{"http://h"}}
		}
		return c
	}
	for _, c := range []struct {
		was, is int
		refused bool
	}{{0, 0, false}, {0, 80, false}, {1, 5, false}, {40, 90, false}, {7, 0, true}, {60, 121, true}, {60, 120, false}, {500, 1001, true}, {500, 3, false}} {
		if p := Guard(many(c.was), many(c.is)); (p != nil) != c.refused {
			t.Errorf("%d to %d upstreams: %v", c.was, c.is, p)
		}
	}
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		like any
		text string
		want string // empty: refused
	}{
		{time.Second, "30s", "30s"},
		{time.Second, "1h30m", "1h30m"},
		{time.Second, "0s", "0s"},
		{time.Second, "90m", "1h30m"},
		{time.Second, "60s", "1m"},
		{time.Second, "1.5s", "1.5s"},
		{time.Second, "30", ""},
		{time.Second, "-1s", ""},
		{time.Second, "+1s", ""},
		{time.Second, "", ""},
		{time.Second, "1d", ""},
		{time.Second, "0", ""},
		{Bytes(0), "32MiB", "32MiB"},
		{Bytes(0), "1024", "1KiB"},
		{Bytes(0), "1000", "1000"},
		{Bytes(0), "1MB", "1000000"},
		{Bytes(0), "2 GiB", "2GiB"},
		{Bytes(0), "1 k", ""},
		{Bytes(0), "-1", ""},
		{Bytes(0), "MiB", ""},
		{Bytes(0), "9999999999GiB", ""},
		{Bytes(0), "1.5GiB", ""},
		{tenant.Rate{}, "60/m", "60/m"},
		{tenant.Rate{}, "1/second", "1/s"},
		{tenant.Rate{}, "5/d", "5/d"},
		{tenant.Rate{}, "5/hour", "5/h"},
		{tenant.Rate{}, "0/m", ""},
		{tenant.Rate{}, "60", ""},
		{tenant.Rate{}, "/m", ""},
		{tenant.Rate{}, "-1/m", ""},
		{tenant.Rate{}, "1/week", ""},
		{tenant.Budget{}, "10/day", "10/day"},
		{tenant.Budget{}, "0.50/month", "0.5/month"},
		{tenant.Budget{}, "0.000001/d", "0.000001/day"},
		{tenant.Budget{}, "0.0000001/d", ""},
		{tenant.Budget{}, "0/day", ""},
		{tenant.Budget{}, "-1/day", ""},
		{tenant.Budget{}, "1./day", ""},
		{tenant.Budget{}, ".5/day", ""},
		{tenant.Budget{}, "1e3/day", ""},
		{tenant.Budget{}, "10/m", ""},
		{tenant.Budget{}, "9999999999999/day", ""},
		{time.Time{}, "2030-01-31", "2030-01-31T00:00:00Z"},
		{time.Time{}, "2030-01-31T12:00:00+02:00", "2030-01-31T12:00:00+02:00"},
		{time.Time{}, "2030-02-30", ""},
		{tenant.Class(0), "batch", "batch"},
		{tenant.Class(0), "low", ""},
		{0, "5", "5"},
		{0, "05", ""},
		{0, "1_000", ""},
		{0, "1.0", ""},
		{0, "99999999999999999999", ""},
		{0.0, "0.5", "0.5"},
		{0.0, "1e2", "100"},
		{0.0, "NaN", ""},
		{0.0, "inf", ""},
		{0.0, "0x1p1", ""},
		{0.0, "1e999", ""},
		{0.0, "1_0", ""},
	} {
		form, _ := formOf(reflect.TypeOf(c.like))
		got := ""
		if v, ok := form.parse(c.text); ok {
			got = form.show(v)
		}
		if got != c.want {
			t.Errorf("%T %q: %q, want %q", c.like, c.text, got, c.want)
		}
	}
}

// What is shown can be written into a file again, and means the same.
func TestShownValuesReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, v := range []any{
			time.Duration(rapid.Int64Range(0, 1e18).Draw(t, "duration")),
			Bytes(rapid.Int64Range(0, 1<<62).Draw(t, "bytes")),
			tenant.Rate{Count: rapid.Int64Range(1, 1<<60).Draw(t, "count"), Per: rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour, day}).Draw(t, "per")},
			tenant.Budget{Amount: rapid.Int64Range(1, 1e15).Draw(t, "micro"), Per: rapid.SampledFrom([]time.Duration{day, month}).Draw(t, "window")},
			rapid.Int().Draw(t, "int"),
		} {
			form, _ := formOf(reflect.TypeOf(v))
			if back, ok := form.parse(form.show(v)); !ok || back != v {
				t.Errorf("%T %v is shown as %q and read back as %v", v, v, form.show(v), back)
			}
		}
	})
}

func TestEngineParams(t *testing.T) {
	c := valid(t, `
upstreams:
  plain: {kind: simulated}
  own: {kind: simulated, engine: {profile: qwen3-32b-2xh100, prefill: 20000, step_base: 10ms, kappa: 39.5, per_sequence: 6us, overhead: 20ms, kv_tokens: 4096, step_tokens: 512, max_batch: 8, replicas: 4}}
`, nil)
	plain, _ := latency.Profile(latency.DemoSmall)
	if got := c.Upstreams["plain"].Engine.Params(); got != plain {
		t.Errorf("without engine: %+v, want %+v", got, plain)
	}
	own, _ := latency.Profile(latency.Qwen32B)
	own.PerPrefillToken, own.Base, own.PerKVToken = 50*latency.Microsecond, 10*latency.Millisecond, 39_500*latency.Picosecond
	own.PerSequence, own.Overhead, own.KVTokens, own.StepTokens, own.MaxSequences = 6*latency.Microsecond, 20*time.Millisecond, 4096, 512, 8
	if got := c.Upstreams["own"].Engine.Params(); got != own {
		t.Errorf("with engine: %+v, want %+v", got, own)
	}
	if got := c.Counts().Replicas; got != 5 {
		t.Errorf("%d replicas, want 5", got)
	}
	if _, r := Parse("f.yaml", []byte("upstreams: {a: {kind: simulated, engine: {max_batch: 9000}}}"), lookup(nil)); r.OK() {
		t.Error("a batch that no step has room for is accepted")
	}
	// Of other kinds it says how the simulator models them, and that has to be said.
	c = valid(t, `
upstreams:
  pool: {kind: vllm, urls: ["http://10.0.0.1:8000", "http://10.0.0.2:8000"], engine: {profile: qwen3-32b-2xh100, prefill: 20000}}
`, nil)
	own, _ = latency.Profile(latency.Qwen32B)
	own.PerPrefillToken = 50 * latency.Microsecond
	if got := c.Upstreams["pool"].Engine.Params(); got != own || c.Counts().Replicas != 2 {
		t.Errorf("of a vllm: %+v, want %+v; %d replicas", got, own, c.Counts().Replicas)
	}
	for engine, kind := range map[string]string{
		"{prefill: 20000}": "vllm", "{}": "vllm", "{profile: demo-small, replicas: 2}": "vllm", "{profile: demo-small, min_output_tokens: 3}": "vllm",
		"{profile: demo-small, max_batch: 9000}": "vllm", "{profile: demo-small}": "local-extract",
	} {
		text := "upstreams: {a: {kind: " + kind + ", urls: [\"http://10.0.0.1:8000\"], engine: " + engine + "}}"
		if kind == "local-extract" {
			text = "upstreams: {a: {kind: local-extract, engine: " + engine + "}}"
		}
		if _, r := Parse("f.yaml", []byte(text), lookup(nil)); r.OK() || !strings.Contains(r.Text(""), "engine") {
			t.Errorf("%s of a %s is accepted: %s", engine, kind, r.Text(""))
		}
	}
	for _, f := range fieldsOf(reflect.TypeFor[Engine]()) {
		for _, name := range f.enum {
			if _, ok := latency.Profile(name); !ok {
				t.Errorf("profile %s does not exist", name)
			}
		}
	}
}

func TestCodesHavePages(t *testing.T) {
	for _, c := range Codes() {
		if title, mend, ok := Page(strings.ToLower(c.String())); title == "" || mend == "" || !ok {
			t.Errorf("%s says nothing", c)
		}
	}
	if _, _, ok := Page("HW-9999"); ok {
		t.Error("a code that does not exist has a page")
	}
}

func schema(t *testing.T) *jsonschema.Resolved {
	t.Helper()
	var s jsonschema.Schema
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	r, err := s.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// instance is a file as a schema sees it.
func instance(t *testing.T, src string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(shield(src)), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(unshield(string(b))), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSchemaHasEveryField(t *testing.T) {
	var s jsonschema.Schema
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	var walk func(path string, t reflect.Type, s *jsonschema.Schema)
	walk = func(path string, of reflect.Type, s *jsonschema.Schema) {
		if s == nil {
			t.Errorf("%s: not in the schema", path)
			return
		}
		if _, scalar := formOf(of); scalar {
			return
		}
		switch of.Kind() {
		case reflect.Pointer:
			walk(path, of.Elem(), s)
		case reflect.Map:
			walk(path+".*", of.Elem(), s.AdditionalProperties)
		case reflect.Slice:
			walk(path+"[]", of.Elem(), s.Items)
		case reflect.Struct:
			fields := fieldsOf(of)
			if len(fields) != len(s.Properties) {
				t.Errorf("%s: %d fields, %d properties", path, len(fields), len(s.Properties))
			}
			for _, f := range fields {
				p := s.Properties[f.name]
				if p != nil && p.Description == "" {
					t.Errorf("%s.%s: no description", path, f.name)
				}
				walk(path+"."+f.name, f.typ, p)
			}
		default:
			t.Errorf("%s: of type %s", path, of)
		}
	}
	walk("", reflect.TypeFor[Config](), &s)
}

func TestExamplesAreValid(t *testing.T) {
	resolved := schema(t)
	files := map[string]string{"init": string(Init()), "whole": whole}
	for _, path := range must(filepath.Glob("../../examples/*.yaml")) {
		files[path] = string(must(os.ReadFile(path)))
	}
	if len(files) < 6 {
		t.Fatalf("only %d files", len(files))
	}
	for name, src := range files {
		_, r := Parse(name, []byte(src), lookup(environment))
		if name != "whole" && len(r.Problems) > 0 || !r.OK() {
			t.Errorf("%s", r.Text(""))
		}
		if err := resolved.Validate(instance(t, src)); err != nil {
			t.Errorf("%s: the schema refuses it: %v", name, err)
		}
		if name != "whole" && !strings.HasPrefix(src, "# yaml-language-server: $schema=./"+SchemaName+"\n") {
			t.Errorf("%s does not name its schema", name)
		}
	}
}

// The schema refuses what a schema can see.
func TestSchemaRefuses(t *testing.T) {
	resolved := schema(t)
	for _, src := range []string{
		"listn: x", "listen: 7", "upstreams: {a: {}}", "upstreams: {a: {kind: vlm}}", "upstreams: {\"a b\": {kind: vllm}}",
		"models: {a: {}}", "models: {a: {targets: [{upstream: a}]}}", "models: {a: {targets: [], timeouts: {idle: 30}}}", "models: {a: {targets: [], timeouts: {idle: 30x}}}",
		"models: {a: {targets: [], tries: 4}}", "models: {a: {targets: [], tries: \"3\"}}", "tiers: {a: {requests: 60}}", "tiers: {a: {priority: low}}",
		"keys: [{name: a}]", "keys: [{name: a, secret: b, budget: 10}]", "limits: {body: 5 potatoes}", "log: {requests: none}", "state: postgres",
	} {
		if err := resolved.Validate(instance(t, src)); err == nil {
			t.Errorf("accepts %s", src)
		}
		if _, r := Parse("f.yaml", []byte(src), lookup(nil)); r.OK() {
			t.Errorf("Parse accepts %s", src)
		}
	}
	for _, src := range []string{"models: {a: {targets: [], tries: \"${T}\"}}", "upstreams:\nlimits:\n", "limits: {body: 1048576, queue: \"${Q:-5}\"}", "upstreams: {a: {kind: \"${KIND}\"}}"} {
		if err := resolved.Validate(instance(t, src)); err != nil {
			t.Errorf("refuses %s: %v", src, err)
		}
	}
}

// TestDiscover: replicas are found in one way, and what could not be asked is told
// before anybody asks.
func TestDiscover(t *testing.T) {
	for _, tt := range []struct{ discover, by, words string }{
		{`{dns: "vllm.example.com:8000"}`, "dns", ""},
		{`{srv: _http._tcp.vllm.example.com}`, "srv", ""},
		{`{kubernetes: {service: vllm}}`, "kubernetes", ""},
		{`{kubernetes: {service: vllm, namespace: llm, port: 8000}}`, "kubernetes", ""},
		{`{kubernetes: {service: vllm, port: http, kubeconfig: /etc/kubeconfig}}`, "kubernetes", ""},
		{`{local: 8000-8007}`, "local", ""},
		{`{local: "8000, 8080-8081"}`, "local", ""},
		{`{}`, "", "discover takes one of"},
		{`{dns: "a:1", local: "8000"}`, "", "discover takes one of"},
		{`{kubernetes: {}}`, "", "has no service"},
		{`{kubernetes: {service: VLLM}}`, "", "a service of Kubernetes is called by"},
		{`{kubernetes: {service: vllm, namespace: a b}}`, "", "a namespace of Kubernetes is called by"},
		{`{kubernetes: {service: vllm, port: 70000}}`, "", "a port is a number from 1 to 65535"},
		{`{kubernetes: {service: vllm, port: "no port"}}`, "", "a port's name or number"},
		{`{kubernetes: {service: vllm}, every: 7s}`, "kubernetes", "says by itself what changes"},
		{`{local: 8007-8000}`, "", "is no list of ports"},
		{`{local: 8000-9000}`, "", "is no list of ports"},
		{`{local: "0"}`, "", "is no list of ports"},
		{`{local: "8000", scheme: https}`, "", "over http"},
	} {
		c, report := Parse("test", []byte("upstreams: {u: {kind: vllm, discover: "+tt.discover+"}}\nmodels: {m: {targets: [{upstream: u, model: m}]}}\n"), System())
		err := report.Err()
		if bad := err != nil; bad != (tt.by == "") {
			t.Errorf("%s: %v", tt.discover, err)
			continue
		}
		said := report.Text("")
		if !strings.Contains(said, tt.words) {
			t.Errorf("%s: says %q", tt.discover, said)
		}
		if tt.by != "" && c.Upstreams["u"].Discover.By() != tt.by {
			t.Errorf("%s: by %s", tt.discover, c.Upstreams["u"].Discover.By())
		}
	}
}
