package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// doctor is a vLLM that classifies, and a chat that answers with a label; both say
// hard to what has the word in it.
type doctor struct {
	*httptest.Server
	asked atomic.Int32
	wait  atomic.Int64 // before each answer
	fails atomic.Bool
}

func newDoctor(t *testing.T) *doctor {
	d := &doctor{}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost { // its metrics
			http.NotFound(w, r)
			return
		}
		var req struct {
			Model, Input string
			Messages     []struct{ Content string }
		}
		b, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(b, &req); err != nil {
			t.Error(err)
		}
		d.asked.Add(1)
		select {
		case <-time.After(time.Duration(d.wait.Load())):
		case <-r.Context().Done():
			return
		}
		if d.fails.Load() {
			w.WriteHeader(http.StatusNotImplemented)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/classify":
			label, probs := "LABEL_0", "[0.9,0.1]"
			if strings.Contains(req.Input, "difficult") {
				label, probs = "LABEL_1", "[0.1,0.9]"
			}
			fmt.Fprintf(w, `{"id":"classify-1","object":"list","created":1,"model":%q,"data":[{"index":0,"label":%q,"probs":%s,"num_classes":2}],"usage":{"prompt_tokens":10,"total_tokens":10,"completion_tokens":0,"prompt_tokens_details":null}}`, req.Model, label, probs)
		case "/v1/chat/completions":
			label := "Easy."
			if strings.Contains(req.Messages[len(req.Messages)-1].Content, "difficult") {
				label = "<think>easy? no</think>\n**Hard**"
			}
			fmt.Fprintf(w, `{"id":"c","object":"chat.completion","created":1,"model":%q,"choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13}}`, req.Model, label)
		default:
			t.Errorf("asked at %s", r.URL.Path)
		}
	}))
	t.Cleanup(d.Close)
	return d
}

// TestClassifier: its word turns the choice, is kept for the same text of the same
// tenant, and no request fails of it.
func TestClassifier(t *testing.T) {
	d := newDoctor(t)
	at := speaker(t, map[string]string{"cheap": "of the cheap one", "good": "of the good one"})
	model := `  %s: {policy: best, classifier: {upstream: %s, model: judge, labels: %s, timeout: 5s, price: {input: 100, output: 100}}, choice: {complexity: {classifier: 1}}, targets: [{upstream: lab, model: cheap, quality: 0.5, price: {input: 1, output: 1}}, {upstream: lab, model: good, quality: 0.9, price: {input: 10, output: 10}}]}` + "\n"
	i := serve(t, fmt.Sprintf(`
drain_delay: 0s
upstreams:
  lab: {kind: openai, urls: [%s/v1], key: provider-secret-of-tests}
  vllm: {kind: vllm, urls: [%s]}
  chatty: {kind: openai, urls: [%[2]s/v1], key: provider-secret-of-tests}
keys:
  - {name: tests, secret: %[3]s}
  - {name: others, secret: another-secret-of-tests, tenant: others}
models:
%[4]s%[5]s`, at, d.URL, pinned,
		fmt.Sprintf(model, "by-classes", "vllm", "{LABEL_0: 0, LABEL_1: 1}"), fmt.Sprintf(model, "by-chat", "chatty", "{easy: 0, hard: 1}")))
	ask := func(key, model, text string) (string, *classifierSaid) {
		t.Helper()
		r := i.send(t, "POST", i.at("/v1/chat/completions"), key, fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]}`, model, text))
		if r.status != 200 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		x := i.explained(t, r)
		if x.Classifier == nil || x.Judged == nil {
			t.Fatalf("%+v", x)
		}
		said := &classifierSaid{label: x.Classifier.Label, whyNot: x.Classifier.WhyNot, part: x.Judged.Signals["classifier"], cost: -1}
		if x.Classifier.Cost != nil {
			said.cost = *x.Classifier.Cost
		}
		if strings.Contains(r.body, "good") {
			return "good", said
		}
		return "cheap", said
	}
	for _, c := range []struct {
		model, text, target, label string
		part                       float64
		cost                       int64
	}{
		{"by-classes", "a simple thing", "cheap", "LABEL_0", -0.8, 1000},
		{"by-classes", "a difficult thing", "good", "LABEL_1", 0.8, 1000},
		{"by-chat", "a simple thing", "cheap", "easy", -1, 1300},
		{"by-chat", "a difficult thing", "good", "hard", 1, 1300},
	} {
		target, said := ask(pinned, c.model, c.text)
		if target != c.target || said.label != c.label || said.part != c.part || said.cost != c.cost || said.whyNot != "" {
			t.Errorf("%s of %s: %s, %+v", c.text, c.model, target, said)
		}
	}
	// The same again is not asked, by another tenant it is.
	if n := d.asked.Load(); n != 4 {
		t.Errorf("asked %d times", n)
	}
	if target, said := ask(pinned, "by-classes", "a difficult thing"); target != "good" || said.label != "LABEL_1" || said.cost != 0 || d.asked.Load() != 4 {
		t.Errorf("again: %s, %+v, asked %d times", target, said, d.asked.Load())
	}
	if _, said := ask("another-secret-of-tests", "by-classes", "a difficult thing"); said.cost != 1000 || d.asked.Load() != 5 {
		t.Errorf("another tenant: %+v, asked %d times", said, d.asked.Load())
	}
	// It fails, and is left alone after a while.
	d.fails.Store(true)
	for n := range 6 {
		if _, said := ask(pinned, "by-classes", fmt.Sprint("a new thing ", n)); said.label != "" || said.whyNot == "" || said.part != 0 {
			t.Errorf("%d: %+v", n, said)
		}
	}
	if n := d.asked.Load(); n != 8 {
		t.Errorf("asked %d times more", n-5)
	}
}

type classifierSaid struct {
	label, whyNot string
	part          float64
	cost          int64
}

// TestClassifierThatHangs: its time is over long before the test's.
func TestClassifierThatHangs(t *testing.T) {
	d := newDoctor(t)
	d.wait.Store(int64(time.Hour))
	at := speaker(t, map[string]string{"cheap": "of the cheap one", "good": "of the good one"})
	i := serve(t, fmt.Sprintf(`
drain_delay: 0s
upstreams:
  lab: {kind: openai, urls: [%s/v1], key: provider-secret-of-tests}
  vllm: {kind: vllm, urls: [%s]}
keys:
  - {name: tests, secret: %s}
models:
  m: {policy: best, classifier: {upstream: vllm, model: judge, labels: {easy: 0, hard: 1}, timeout: 20ms}, targets: [{upstream: lab, model: cheap, quality: 0.5}, {upstream: lab, model: good, quality: 0.9}]}
`, at, d.URL, pinned))
	r := i.send(t, "POST", i.at("/v1/chat/completions"), pinned, `{"model":"m","messages":[{"role":"user","content":"hi"}]}`)
	if x := i.explained(t, r); r.status != 200 || x.Classifier == nil || x.Classifier.WhyNot != "it took too long" || x.Classifier.Time < 20_000 {
		t.Errorf("%d %+v", r.status, x.Classifier)
	}
}
