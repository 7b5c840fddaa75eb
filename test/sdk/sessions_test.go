package sdk

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// step is one request of a session, of testdata/sessions.
type step struct {
	What    string
	Method  string // POST unless said
	Path    string
	Headers map[string]string
	Body    json.RawMessage // MODEL stands for the model
	Counts  bool            // it asks how many tokens it is
	// Uncounted: it asks for a stream and not for its usage, which Headworks asks for
	// all the same and keeps to itself.
	Uncounted bool
	Dropped   map[string][]string // what upstreams of other dialects cannot be told, by kind
}

// signed is thinking with a signature, text, and two calls at once.
var signed = strings.NewReplacer("c2ln", "c2lnbmF0dXJl/+==").Replace

// TestSessions plays what tools really send, over an upstream that speaks their
// dialect and over one that does not. Over the first the bytes of each request and
// of each answer are the same on both sides; over the second nothing fails, and what
// is left out is named.
func TestSessions(t *testing.T) {
	t.Parallel()
	shapes := newShapes()
	claude := slices.Clone(messagesToolsStream)
	for i := range claude {
		claude[i] = signed(claude[i])
	}
	counted := func(other answer) answer {
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/count_tokens") {
				says(`{"input_tokens":2095}`)(w, r)
				return
			}
			if strings.HasSuffix(r.URL.Path, ":countTokens") {
				says(`{"totalTokens":2095}`)(w, r)
				return
			}
			other(w, r)
		}
	}
	upstreams := map[string]struct {
		answer answer
		whole  string
		stream []string
	}{
		"anthropic": {counted(either(says(signed(messagesTools)), streams(claude))), signed(messagesTools), claude},
		"openai":    {either(says(chatTools), streams(chatToolsStream)), chatTools, chatToolsStream},
		"gemini":    {counted(thoughts["gemini"]), "", nil},
		"ollama":    {ollamaSays, ollamaAnswer, ollamaStream},
	}
	for _, s := range []struct{ name, own string }{
		{"claude-code", "anthropic"}, {"opencode", "openai"}, {"open-webui", "openai"}, {"open-webui-ollama", "ollama"}, {"cline", "openai"}, {"aider", "openai"},
	} {
		var steps []step
		if err := json.Unmarshal(must(os.ReadFile(filepath.Join("testdata", "sessions", s.name+".json"))), &steps); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		of := map[string]*written{"openai": &writtens[0], "anthropic": &writtens[3]}[s.own]
		for kind, says := range upstreams {
			t.Run(s.name+" before "+kind, func(t *testing.T) {
				t.Parallel()
				up := play(t, says.answer)
				g := one(t, kind, up)
				for _, st := range steps {
					seen := len(up.all())
					sent := strings.ReplaceAll(string(st.Body), `"MODEL"`, `"assistant"`)
					res, got := g.plays(t, st, sent)
					if res.StatusCode != http.StatusOK {
						t.Fatalf("%s: %d: %s", st.What, res.StatusCode, got)
					}
					if st.Method == http.MethodGet {
						if s.own != "ollama" && !strings.Contains(got, `"assistant"`) || st.Path == "/api/tags" && !strings.Contains(got, `"assistant`) {
							t.Errorf("%s: %s", st.What, got)
						}
						continue
					}
					dropped := strings.FieldsFunc(res.Header.Get("x-headworks-dropped"), func(r rune) bool { return r == ',' || r == ' ' })
					asked := up.all()[seen:]
					if kind == s.own || kind == "ollama" && s.own == "openai" { // an Ollama speaks both
						through := renamed(sent)
						if st.Uncounted {
							through = strings.TrimSuffix(through, "}") + `,"stream_options":{"include_usage":true}}`
						}
						if s.own == "ollama" { // or a prompt that is too long would be cut in silence
							through = strings.TrimSuffix(through, "}") + `,"truncate":false}`
						}
						if len(asked) != 1 || asked[0].Body != through {
							t.Fatalf("%s: the upstream got\n%+v\nwant\n%s", st.What, asked, through)
						}
						for _, name := range []string{"anthropic-beta", "anthropic-version"} {
							if asked[0].Header.Get(name) != st.Headers[name] {
								t.Errorf("%s: the upstream got the %s %q", st.What, name, asked[0].Header.Get(name))
							}
						}
						says := upstreams[s.own]
						want := says.whole
						if strings.Contains(sent, `"stream":true`) {
							want = strings.Join(says.stream, "")
							if st.Uncounted {
								want = strings.Replace(want, says.stream[len(says.stream)-2], "", 1)
							}
						}
						if st.Counts {
							want = `{"input_tokens":2095}`
						}
						if got != want || len(dropped) > 0 {
							t.Errorf("%s: dropped %q, the client got\n%s\nwant\n%s", st.What, dropped, got, want)
						}
						continue
					}
					if st.Counts {
						if (res.Header.Get("x-headworks-degraded") == "estimated") == (got == `{"input_tokens":2095}`) {
							t.Errorf("%s: %s, degraded %q", st.What, got, res.Header.Get("x-headworks-degraded"))
						}
						continue
					}
					for _, a := range asked {
						if requests[kind] == nil {
							continue
						}
						for _, w := range shapes.check([]byte(a.Body), requests[kind]) {
							t.Errorf("%s: the upstream was asked: %s\n%s", st.What, w, a.Body)
						}
					}
					if of == nil { // of Ollama there is no document
						if !strings.Contains(got, `"done":true`) || strings.Contains(got, `"error"`) {
							t.Errorf("%s: the client got %s", st.What, got)
						}
					} else {
						of.judge(t, shapes, res.Header.Get("Content-Type"), []byte(got), of.whole)
					}
					if want := st.Dropped[kind]; !slices.Equal(dropped, want) && len(dropped)+len(want) > 0 {
						t.Errorf("%s: before %s dropped %q, want %q", st.What, kind, dropped, want)
					}
				}
			})
		}
	}
}

// ollamaSays answers in both of the dialects that an Ollama speaks.
func ollamaSays(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(strings.TrimPrefix(r.URL.Path, "/engine"), "/v1/") {
		either(says(chatTools), streams(chatToolsStream))(w, r)
		return
	}
	if r.Header.Get("Accept") == "application/x-ndjson" {
		lines(ollamaStream)(w, r)
		return
	}
	says(ollamaAnswer)(w, r)
}

// plays sends a step as it is.
func (g *gateway) plays(t *testing.T, st step, body string) (*http.Response, string) {
	t.Helper()
	method := st.Method
	if method == "" {
		method = http.MethodPost
	}
	fields := []string{"Authorization", "Bearer " + secret}
	for name, v := range st.Headers {
		fields = append(fields, name, v)
	}
	return g.send(t, method, st.Path, body, fields...)
}
