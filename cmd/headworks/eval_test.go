package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// vllmDouble answers as vLLM's chat completions do. Of 100 items its model big has 90
// right. Worse has 8 of those wrong and 3 of the others right: it is 5 points worse.
// Like has 3 of those wrong and 3 of the others right.
func vllmDouble(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req struct {
			Model    string
			Messages []struct{ Content string }
		}
		b, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/v1/chat/completions" || json.Unmarshal(b, &req) != nil {
			http.NotFound(w, r)
			return
		}
		var item int
		if _, err := fmt.Sscanf(req.Messages[len(req.Messages)-1].Content, "question %d", &item); err != nil {
			http.Error(w, "no question", http.StatusBadRequest)
			return
		}
		item %= 100
		right := item < 90
		switch req.Model {
		case "worse":
			right = item < 82 || item >= 90 && item < 93
		case "like":
			right = item >= 3 && item < 93
		}
		answer := "I would say 7."
		if right {
			answer = "The answer is 42."
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":%q,"choices":[{"index":0,"message":{"role":"assistant","content":%q,"tool_calls":[]},"logprobs":null,"finish_reason":"stop","stop_reason":null}],"usage":{"prompt_tokens":12,"total_tokens":18,"completion_tokens":6}}`, req.Model, answer)
	}))
	t.Cleanup(s.Close)
	return s
}

func evalFiles(t *testing.T, url string, n int) (config, set string) {
	t.Helper()
	dir := t.TempDir()
	config, set = filepath.Join(dir, "headworks.yaml"), filepath.Join(dir, "set.jsonl")
	file := `# ours
upstreams:
  gpu: {kind: vllm, urls: [` + url + `]}
models:
  assistant:
    targets:
      - {name: full, upstream: gpu, model: big, quality: 0.8, price: {input: 1, output: 2}}
      - {name: int4, upstream: gpu, model: worse, price: {input: 0.5, output: 1}} # compressed
      - {name: fp8, upstream: gpu, model: like}
`
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"id\":\"q%d\",\"prompt\":\"question %d\",\"answer\":42}\n", i, i)
	}
	for path, text := range map[string]string{config: file, set: b.String()} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return config, set
}

// TestEvalCompare measures a variant that is planted 5 points worse, and one that is
// as good, through the gateway, at an engine double of the real form.
func TestEvalCompare(t *testing.T) {
	config, set := evalFiles(t, vllmDouble(t).URL, 1200)
	results := filepath.Join(t.TempDir(), "results.jsonl")
	compare := func(args ...string) (compared, string) {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(append([]string{"eval", "compare", "--config", config, "--set", set, "--json", "--base", "full"}, args...), strings.NewReader(""), &out, &errs); code != exitOK {
			t.Fatalf("exit %d: %s%s", code, out.String(), errs.String())
		}
		var r compared
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		return r, errs.String()
	}
	worse, _ := compare("--variant", "int4", "--results", results)
	t.Logf("5 points worse: %.4f in %+v, p %.2g, %+v", worse.Lost, worse.Interval, worse.P, worse.Pairs)
	if !worse.Shown || worse.Interval.Low <= 0 || !worse.Interval.Has(0.05) || worse.N != 1200 {
		t.Errorf("%+v", worse.Report)
	}
	if w := worse.Write; w == nil || w.Target != "gpu/worse" || w.Scale != "file" || w.Base != 0.8 || w.Quality < 0.72 || w.Quality > 0.78 {
		t.Errorf("%+v", worse.Write)
	}
	if worse.Base.Unpriced != 0 || worse.Base.Cost < 1200*(12+2*6)/1e6*0.99 || worse.Variant.Cost > 0.51*worse.Base.Cost {
		t.Errorf("cost %v and %v", worse.Base.Cost, worse.Variant.Cost)
	}
	equal, _ := compare("--variant", "gpu/like", "--max-tokens", "64")
	t.Logf("equal: %.4f in %+v, p %.2g, %+v", equal.Lost, equal.Interval, equal.P, equal.Pairs)
	if equal.Shown || !equal.Interval.Has(0) {
		t.Errorf("%+v", equal.Report)
	}

	// Again from the results, with the figure put into the file.
	again, errs := compare("--variant", "gpu/worse", "--results", results, "--write", "--yes")
	if again.Pairs != worse.Pairs || again.Base.Millis != worse.Base.Millis {
		t.Errorf("%+v, was %+v", again.Report, worse.Report)
	}
	now, err := os.ReadFile(config)
	want := fmt.Sprintf("model: worse, quality: %g, price", again.Write.Quality)
	if err != nil || !strings.Contains(string(now), want) || !strings.HasPrefix(string(now), "# ours\n") {
		t.Errorf("%v\n%s\n%s", err, now, errs)
	}
}

func TestEvalCompareUsage(t *testing.T) {
	config, set := evalFiles(t, "http://127.0.0.1:1", 3)
	for _, c := range []struct {
		args  []string
		code  int
		words string
	}{
		{[]string{"--base", "full", "--variant", "int4"}, exitUsage, "--set"},
		{[]string{"--set", set}, exitUsage, "--base"},
		{[]string{"--set", set, "--base", "a", "--variant", "a"}, exitUsage, "same target"},
		{[]string{"--set", set, "--base", "full", "--variant", "int4", "--write"}, exitUsage, "--config"},
		{[]string{"--set", set, "--config", config, "--base", "assistant", "--variant", "int4"}, exitUsage, "3 targets"},
		{[]string{"--set", set, "--config", config, "--base", "full", "--variant", "int5"}, exitUsage, `did you mean "int4"`},
		{[]string{"--set", set + "x", "--config", config, "--base", "full", "--variant", "int4"}, exitUsage, "no such file"},
		{[]string{"--set", config, "--config", config, "--base", "full", "--variant", "int4"}, exitUsage, "line 1"},
		{[]string{"--set", set, "--config", set, "--base", "full", "--variant", "int4"}, exitConfig, "not valid"},
		{[]string{"--set", set, "--config", config, "--base", "full", "--variant", "int4", "--field", "stream=true"}, exitUsage, "not yours"},
		{[]string{"--set", set, "--config", config, "--base", "full", "--variant", "int4", "--tries", "1"}, exitFailed, "no item was answered by both"},
	} {
		var out, errs bytes.Buffer
		if code := run(append([]string{"eval", "compare"}, c.args...), strings.NewReader(""), &out, &errs); code != c.code || !strings.Contains(errs.String(), c.words) {
			t.Errorf("%v: exit %d, want %d; %q, want %q", c.args, code, c.code, errs.String(), c.words)
		}
	}
}
