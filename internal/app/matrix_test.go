package app

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"headworks/internal/catalog"
	"headworks/internal/inference"
)

var update = flag.Bool("update", false, "write the table of docs/reference/matrix.md")

// The words of the matrix of surface and kind.
const (
	native     = "native"
	translated = "translated"
	estimated  = "estimated"
	refused    = "-"
)

// speaking returns how whoever speaks a set serves a dialect. Of the ways to count tokens
// only Gemini's is one that others are translated to.
func speaking(speaks inference.Set, d inference.Dialect) string {
	switch {
	case speaks.Has(d):
		return native
	case !speaks.Serves(d):
		return refused
	case d.Operation() == inference.Count && !speaks.Has(inference.GeminiCount):
		return estimated
	}
	return translated
}

// asking is how a client asks in a dialect: MODEL is the model.
type asking struct {
	path, body string
	refusal    string // what an error says in this dialect where nothing can serve the request
}

const unsupported = `"code":"unsupported_parameter"`

// posted is a request that comes as a form.
const posted = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nMODEL\r\n--b--\r\n"

// media returns the type of a request's body.
func (a asking) media() string {
	if a.body == posted {
		return "multipart/form-data; boundary=b"
	}
	return "application/json"
}

// askings are by the names of dialects.
var askings = map[string]asking{
	"openai":           {"/v1/chat/completions", `{"model":"MODEL","messages":[{"role":"user","content":"hello"}]}`, unsupported},
	"anthropic":        {"/v1/messages", `{"model":"MODEL","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}`, `{"type":"error","error":{"type":"invalid_request_error"`},
	"responses":        {"/v1/responses", `{"model":"MODEL","input":"hello","store":false}`, unsupported},
	"completions":      {"/v1/completions", `{"model":"MODEL","prompt":"hello"}`, unsupported},
	"gemini":           {"/v1beta/models/MODEL:generateContent", `{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}`, `"reason":"UNSUPPORTED_PARAMETER"`},
	"ollama":           {"/api/chat", `{"model":"MODEL","stream":false,"messages":[{"role":"user","content":"hello"}]}`, `{"error":"`},
	"ollama-generate":  {"/api/generate", `{"model":"MODEL","stream":false,"prompt":"hello"}`, `{"error":"`},
	"embeddings":       {"/v1/embeddings", `{"model":"MODEL","input":"hello"}`, unsupported},
	"rerank":           {"/v1/rerank", `{"model":"MODEL","query":"hello","documents":["hello"]}`, unsupported},
	"moderations":      {"/v1/moderations", `{"model":"MODEL","input":"hello"}`, unsupported},
	"images":           {"/v1/images/generations", `{"model":"MODEL","prompt":"hello"}`, unsupported},
	"image-edits":      {"/v1/images/edits", `{"model":"MODEL","prompt":"hello"}`, unsupported},
	"image-variations": {"/v1/images/variations", posted, unsupported},
	"speech":           {"/v1/audio/speech", `{"model":"MODEL","input":"hello","voice":"alloy"}`, unsupported},
	"transcriptions":   {"/v1/audio/transcriptions", posted, unsupported},
	"translations":     {"/v1/audio/translations", posted, unsupported},
	"anthropic-count":  {"/v1/messages/count_tokens", `{"model":"MODEL","messages":[{"role":"user","content":"hello"}]}`, `{"type":"error","error":{"type":"invalid_request_error"`},
	"gemini-count":     {"/v1beta/models/MODEL:countTokens", `{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}`, `"reason":"UNSUPPORTED_PARAMETER"`},
}

// spoken are the ends of the paths at which upstreams are asked, the dialect that is
// spoken there, and an answer in it. The first that fits counts.
var spoken = []struct{ end, dialect, answer string }{
	{"/chat/completions", "openai", `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}`},
	{"/completions", "completions", `{"id":"cmpl-1","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"hi","logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}`},
	{"/embeddings", "embeddings", `{"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":[0.5,0.5]}],"usage":{"prompt_tokens":1,"total_tokens":1}}`},
	{"/rerank", "rerank", `{"model":"m","results":[{"index":0,"relevance_score":0.5}],"usage":{"prompt_tokens":2,"total_tokens":2}}`},
	{"/responses", "responses", `{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"m","output":[{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"hi","annotations":[]}]}],"usage":{"input_tokens":3,"output_tokens":1,"total_tokens":4}}`},
	{"/moderations", "moderations", `{"id":"modr-1","model":"m","results":[{"flagged":false,"categories":{},"category_scores":{}}]}`},
	{"/images/generations", "images", `{"created":1,"data":[{"b64_json":"aGk="}]}`},
	{"/images/edits", "image-edits", `{"created":1,"data":[{"b64_json":"aGk="}]}`},
	{"/images/variations", "image-variations", `{"created":1,"data":[{"b64_json":"aGk="}]}`},
	{"/audio/speech", "speech", "sound"},
	{"/audio/transcriptions", "transcriptions", `{"text":"hello"}`},
	{"/audio/translations", "translations", `{"text":"hello"}`},
	{"/messages/count_tokens", "anthropic-count", `{"input_tokens":3}`},
	{"/count-tokens:rawPredict", "anthropic-count", `{"input_tokens":3}`},
	{"/messages", "anthropic", claude},
	{":rawPredict", "anthropic", claude},
	{":generateContent", "gemini", `{"candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"hi"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":1,"totalTokenCount":4}}`},
	{":countTokens", "gemini-count", `{"totalTokens":3}`},
	{"/converse", "converse", `{"output":{"message":{"role":"assistant","content":[{"text":"hi"}]}},"stopReason":"end_turn","usage":{"inputTokens":3,"outputTokens":1,"totalTokens":4}}`},
	{"/api/chat", "ollama", `{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"hi"},"done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":1}`},
	{"/api/generate", "ollama-generate", `{"model":"m","created_at":"2026-01-01T00:00:00Z","response":"hi","done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":1}`},
}

const claude = `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":1}}`

// everyone is an upstream of every kind at once: what it answers depends on the path.
type everyone struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string // the dialects of what came
}

func newEveryone(t *testing.T) *everyone {
	e := &everyone{}
	e.Server = httptest.NewServer(e)
	t.Cleanup(e.Close)
	return e
}

// ServeHTTP implements http.Handler.
func (e *everyone) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/token" { // Google's, which vertex asks first (RFC 6749, 5.1)
		fmt.Fprint(w, `{"access_token":"t","expires_in":3600,"token_type":"Bearer"}`)
		return
	}
	if r.Method == "GET" && (r.URL.Path == "/metrics" || r.URL.Path == "/api/ps") { // no request is sent there
		http.NotFound(w, r)
		return
	}
	at, answer := "nothing known", `{}`
	for _, s := range spoken {
		if strings.HasSuffix(r.URL.Path, s.end) {
			at, answer = s.dialect, s.answer
			break
		}
	}
	if at == "speech" {
		w.Header().Set("Content-Type", "audio/mpeg")
	}
	e.mu.Lock()
	e.seen = append(e.seen, at)
	e.mu.Unlock()
	fmt.Fprint(w, answer)
}

// took returns what came since it was last asked.
func (e *everyone) took() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen := e.seen
	e.seen = nil
	return seen
}

// everyKind returns a configuration with an upstream of every kind at a URL.
func everyKind(url string) string {
	var b strings.Builder
	b.WriteString("drain_delay: 0s\nlog: {requests: off}\nupstreams:\n")
	for _, k := range catalog.Kinds() {
		more := fmt.Sprintf(", urls: [%q], key: secret-of-%s", url, k.Name)
		switch {
		case k.BuiltIn:
			more = ""
		case k.Engine == "vertex":
			more = fmt.Sprintf(`, urls: [%q], project: p, key: '{"type":"authorized_user","refresh_token":"r","client_id":"i","client_secret":"s","token_uri":"%s/token"}'`, url, url)
		case k.Engine == "bedrock":
			more += ", region: eu-central-1"
		}
		fmt.Fprintf(&b, "  %s: {kind: %s%s}\n", k.Name, k.Name, more)
		if k.Versioned != 0 {
			fmt.Fprintf(&b, "  %s-versioned: {kind: %s, api_version: \"2024-10-21\"%s}\n", k.Name, k.Name, more)
		}
	}
	fmt.Fprintf(&b, "keys:\n  - {name: ci, secret: %s}\n", pinned)
	return b.String()
}

// served is a model of an upstream, and what can be asked of it natively.
type served struct {
	model  string
	speaks inference.Set
}

// models returns what is asked of a kind at a URL. Vertex AI has models of two
// publishers, each in its own dialect. The kind openai has a cell that only OpenAI's
// own URL makes true: elsewhere it is what At says.
func models(k catalog.Kind, url string) []served {
	if k.Engine == "vertex" {
		return []served{
			{k.Name + "/claude-sonnet", inference.SetOf(inference.Anthropic, inference.AnthropicCount)},
			{k.Name + "/gemini-flash", inference.SetOf(inference.Gemini, inference.GeminiCount)},
		}
	}
	all := []served{{k.Name + "/m", k.At(url)}}
	if k.Versioned != 0 {
		all = append(all, served{k.Name + "-versioned/m", k.Speaks | k.Versioned})
	}
	return all
}

// surfaces returns the dialects that clients can ask in: those whose path is there.
func (i *instance) surfaces(t *testing.T) []inference.Dialect {
	t.Helper()
	var all []inference.Dialect
	for _, d := range inference.Dialects() {
		if d == inference.Converse {
			continue // no client speaks it
		}
		how, ok := askings[d.String()]
		if !ok {
			t.Errorf("nothing here asks in the dialect %v: add it to askings, and an answer to spoken", d)
			continue
		}
		switch r := i.send(t, "POST", i.at(how.path), "", how.body); r.status {
		case 401:
			all = append(all, d)
		case 404, 405:
		default:
			t.Errorf("%v without a key: %d %s", d, r.status, r.body)
		}
	}
	return all
}

// at returns where a path of the API is.
func (i *instance) at(path string) string { return strings.TrimSuffix(i.BaseURL(), "/v1") + path }

// table renders the matrix.
func table(surfaces []inference.Dialect) string {
	var b strings.Builder
	b.WriteString("| kind |")
	for _, d := range surfaces {
		fmt.Fprintf(&b, " %v |", d)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(surfaces)) + "\n")
	for _, k := range catalog.Kinds() {
		fmt.Fprintf(&b, "| `%s` |", k.Name)
		for _, d := range surfaces {
			mark := ""
			switch {
			case k.Own.Has(d):
				mark = " ¹"
			case k.Versioned.Has(d):
				mark = " ²"
			}
			fmt.Fprintf(&b, " %s%s |", speaking(k.Speaks|k.Own|k.Versioned, d), mark)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// The page of the matrix is what the catalog says, and what the catalog says is what
// happens: each cell is asked for, once.
func TestMatrix(t *testing.T) {
	e := newEveryone(t)
	i := serve(t, everyKind(e.URL))
	surfaces := i.surfaces(t)

	const file, begin, end = "../../docs/reference/matrix.md", "<!-- the matrix begins -->\n", "<!-- the matrix ends -->\n"
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(page), begin)
	was, tail, ends := strings.Cut(rest, end)
	if !ok || !ends {
		t.Fatalf("%s has no place for the matrix", file)
	}
	is := "\n" + table(surfaces) + "\n"
	if *update && was != is {
		if err := os.WriteFile(file, []byte(head+begin+is+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if was != is {
		t.Errorf("%s is out of date; write it with go test ./internal/app -run TestMatrix -update. It should have\n%s", file, is)
	}

	for _, k := range catalog.Kinds() {
		for _, m := range models(k, e.URL) {
			for _, d := range surfaces {
				t.Run(m.model+"/"+d.String(), func(t *testing.T) { i.play(t, e, k, m, d) })
			}
		}
	}
}

// play asks a model in a dialect, and holds what happens against the cell. The
// built-in kinds have no path to look at.
func (i *instance) play(t *testing.T, e *everyone, k catalog.Kind, m served, d inference.Dialect) {
	how := askings[d.String()]
	model := strings.NewReplacer("MODEL", m.model)
	e.took()
	r := i.send(t, "POST", i.at(model.Replace(how.path)), pinned, model.Replace(how.body), "Content-Type", how.media())
	seen := e.took()
	is := speaking(m.speaks, d)
	status := 200
	if is == refused {
		status = 400
	}
	if r.status != status {
		t.Fatalf("%s: status %d, want %d: %s", is, r.status, status, r.body)
	}
	if got := r.header.Get("X-Headworks-Degraded"); (got == estimated) != (is == estimated) {
		t.Errorf("%s: x-headworks-degraded is %q", is, got)
	}
	if is == refused && !strings.Contains(r.body, how.refusal) {
		t.Errorf("%s: the error says %s, and not %s", is, r.body, how.refusal)
	}
	switch {
	case k.BuiltIn || is == refused || is == estimated:
		if len(seen) != 0 {
			t.Errorf("%s: the upstream was asked in %q", is, seen)
		}
	case len(seen) != 1 || seen[0] == "nothing known":
		t.Errorf("%s: the upstream was asked in %q", is, seen)
	case (seen[0] == d.String()) != (is == native):
		t.Errorf("%s: the upstream was asked in the dialect %s", is, seen[0])
	}
}
