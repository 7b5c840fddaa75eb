package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// suite is a vendor's own tests of its client: those cases of them that want a
// server, which the vendor runs before a mock of its OpenAPI document.
type suite struct {
	name   string // of testdata/suites/NAME.txt, which says what is not asked of it
	module string
	base   string // path below which the client's paths begin
	rounds []round
}

// round is one run of a suite before one upstream.
type round struct {
	name string
	kind string // of the upstream
}

var suites = []suite{
	{"openai-go", "github.com/openai/openai-go/v3", "/v1", []round{{"native", "openai"}, {"translated", "anthropic"}}},
	{"anthropic-sdk-go", "github.com/anthropics/anthropic-sdk-go", "", []round{{"native", "anthropic"}, {"translated", "openai"}}},
}

// waived is why a case is not asked to pass. Rounds that it does not name ask for
// it all the same.
type waived struct {
	round   string // empty is all
	without string // fields that a request of the case may not have to pass
	why     string
}

// TestSuites: each case of the vendors' own suites passes, or is listed with the
// reason. A listed case that passes is on the list for nothing, and an unlisted one
// that fails is a defect.
func TestSuites(t *testing.T) {
	t.Parallel()
	for _, s := range suites {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			cases := s.cases(t)
			list := s.list(t, cases)
			programs := s.build(t, cases, list)
			for _, r := range s.rounds {
				t.Run(r.name, func(t *testing.T) {
					t.Parallel()
					s.judge(t, r, cases, list, programs)
				})
			}
		})
	}
}

// TestNodeSuites: OpenAI's and Anthropic's clients for Node ask what the cases for Go
// ask. The vendors make the cases of all their clients from one document, and the
// packages for Node hold none.
func TestNodeSuites(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	asked := map[string]int{}
	for _, s := range suites {
		cases := s.cases(t)
		g := serve(t, "upstreams:\n  lab: {kind: "+s.rounds[0].kind+", key: "+lent+", urls: [\""+play(t, knowsAll).url+"\"]}\nmodels:"+modelsOfSuites("lab"))
		list := s.list(t, cases)
		for in, program := range s.build(t, cases, list) {
			runs := map[string][]string{}
			for _, names := range cases[in] {
				for _, name := range names {
					if w, listed := of(list[name], "native"); !listed || w.without != "" {
						runs[w.without] = append(runs[w.without], name)
					}
				}
			}
			for without, names := range runs {
				_, served := s.run(t, g, program, names, without)
				for _, sent := range served {
					q := question{How: "whole"}
					switch sent.Path {
					case "/v1/chat/completions":
						q.Client = "openai"
					case "/v1/responses":
						q.Client = "responses"
					case "/v1/messages":
						q.Client = "anthropic"
					case "/v1/embeddings":
						q.Client, q.How = "openai", "embeddings"
					case "/v1/completions":
						q.Client, q.How = "openai", "completions"
					default:
						continue
					}
					q.Body = fields(t, sent.Body) // the others may be forms
					saw := n.must(t, g, q)
					if saw.Error != "" || saw.Attempts != 1 {
						t.Errorf("%s for Node: %s, %d attempts, with %s", q.Client, saw.Error, saw.Attempts, sent.Body)
					}
					asked[q.Client+" "+q.How]++
				}
			}
		}
	}
	for _, client := range []string{"openai whole", "openai embeddings", "openai completions", "responses whole", "anthropic whole"} {
		if asked[client] == 0 {
			t.Errorf("%s was asked nothing", client)
		}
	}
}

// cases are those that ask for a server, by package and then by file.
func (s suite) cases(t *testing.T) map[string]map[string][]string {
	t.Helper()
	root := s.dir(t)
	all := map[string]map[string][]string{}
	err := filepath.WalkDir(root, func(file string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range tree.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") || !asksServer(f) {
				continue
			}
			in, err := filepath.Rel(root, filepath.Dir(file))
			if err != nil {
				return err
			}
			if all[in] == nil {
				all[in] = map[string][]string{}
			}
			all[in][file] = append(all[in][file], path.Join(in, f.Name.Name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all["."]) < 50 {
		t.Fatalf("only %d files of %s ask for a server: it is not the suite that it was", len(all["."]), s.module)
	}
	return all
}

// asksServer: the vendors' cases begin with testutil.CheckTestServer.
func asksServer(f *ast.FuncDecl) (asks bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.SelectorExpr); ok && call.Sel.Name == "CheckTestServer" {
			asks = true
		}
		return !asks
	})
	return asks
}

func (s suite) dir(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", s.module).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

var heading = regexp.MustCompile(`^\[(?:(native|translated): )?(?:without ([a-z_ ]+): )?(.+)\]$`)

// list reads what is not asked to pass: headings that say why, and the names.
func (s suite) list(t *testing.T, cases map[string]map[string][]string) map[string][]waived {
	t.Helper()
	known := map[string]bool{}
	for _, files := range cases {
		for _, names := range files {
			for _, name := range names {
				known[name] = true
			}
		}
	}
	text, err := os.ReadFile(filepath.Join("testdata", "suites", s.name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	list := map[string][]waived{}
	var now waived
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch m := heading.FindStringSubmatch(line); {
		case line == "" || line[0] == '#':
		case m != nil:
			now = waived{m[1], m[2], m[3]}
		case now.why == "":
			t.Fatalf("%s is listed without a reason", line)
		case !known[line]:
			t.Errorf("%s is listed and not in the suite", line)
		default:
			list[line] = append(list[line], now)
		}
	}
	return list
}

// of returns why a case is not asked to pass in a round, and without what it must.
func of(all []waived, round string) (w waived, listed bool) {
	for _, w := range all {
		if w.round == "" || w.round == round {
			return w, true
		}
	}
	return waived{}, false
}

// build compiles the cases as they are, but for the import of a package that is the
// vendor's alone. A package of which nothing is asked is left out.
func (s suite) build(t *testing.T, cases map[string]map[string][]string, list map[string][]waived) map[string]string {
	t.Helper()
	dir, here := t.TempDir(), must(os.Getwd())
	at := func(parts ...string) string {
		return filepath.Join(append([]string{here, "suites", s.name}, parts...)...)
	}
	replace := map[string]string{at("testutil", "testutil.go"): filepath.Join(s.dir(t), "internal", "testutil", "testutil.go")}
	own := "headworks/test/sdk/suites/" + s.name + "/testutil"
	programs := map[string]string{}
	for in, files := range cases {
		asked := false
		for file, names := range files {
			for _, name := range names {
				for _, r := range s.rounds {
					w, listed := of(list[name], r.name)
					asked = asked || !listed || w.without != ""
				}
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text = bytes.Replace(text, []byte(s.module+"/internal/testutil"), []byte(own), 1)
			mine := filepath.Join(dir, strings.ReplaceAll(in, "/", "-")+"-"+filepath.Base(file))
			if err := os.WriteFile(mine, text, 0o600); err != nil {
				t.Fatal(err)
			}
			replace[at(in, filepath.Base(file))] = mine
		}
		if asked {
			programs[in] = filepath.Join(dir, "cases-"+strings.ReplaceAll(in, "/", "-"))
		}
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, must(json.Marshal(map[string]any{"Replace": replace})), 0o600); err != nil {
		t.Fatal(err)
	}
	for in, program := range programs {
		cmd := exec.Command("go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", program, "./"+path.Join("suites", s.name, in))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building the cases of %s: %v\n%s", in, err, out)
		}
	}
	return programs
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// judge runs the cases before one upstream.
func (s suite) judge(t *testing.T, r round, cases map[string]map[string][]string, list map[string][]waived, programs map[string]string) {
	up := play(t, knowsAll)
	g := serve(t, `
upstreams:
  lab: {kind: `+r.kind+`, key: `+lent+`, urls: ["`+up.url+`"]}
models:`+modelsOfSuites("lab"))
	passed, listed := 0, 0
	for in, program := range programs {
		var plain []string
		less := map[string][]string{} // by the fields that they may not have
		for _, names := range cases[in] {
			for _, name := range names {
				plain = append(plain, name)
				if w, _ := of(list[name], r.name); w.without != "" {
					less[w.without] = append(less[w.without], name)
				}
			}
		}
		saw, _ := s.run(t, g, program, plain, "")
		for _, name := range plain {
			w, waive := of(list[name], r.name)
			switch {
			case waive && saw[name] == "PASS":
				t.Errorf("%s passes and is listed: %s", name, w.why)
			case waive:
				listed++
			case saw[name] != "PASS":
				t.Errorf("%s does not pass and is not listed: %s", name, saw[name])
			default:
				passed++
			}
		}
		for _, without := range slices.Sorted(maps.Keys(less)) {
			saw, _ := s.run(t, g, program, less[without], without)
			for _, name := range less[without] {
				if saw[name] != "PASS" {
					t.Errorf("%s does not pass without %s: %s", name, without, saw[name])
				}
			}
		}
	}
	t.Logf("%d cases pass, %d are listed", passed, listed)
	if passed == 0 {
		t.Error("nothing passed")
	}
}

// run runs cases of one program, one after the other, and returns how each ended,
// and what they asked and got.
// All that comes back and is no success must be an error that says what happened.
func (s suite) run(t *testing.T, g *gateway, program string, names []string, without string) (saw map[string]string, served []got) {
	t.Helper()
	if len(names) == 0 {
		return nil, nil
	}
	short := make([]string, len(names))
	for i, name := range names {
		short[i] = path.Base(name)
	}
	p := newProxy(t, g, strings.Fields(without))
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-test.v", "-test.run", "^("+strings.Join(short, "|")+")$")
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "TEST_API_BASE_URL="+p.url+s.base)
	out, err := cmd.CombinedOutput() // that cases fail is judged below
	if ctx.Err() != nil {
		t.Fatalf("the cases did not end: %v\n%s", err, out)
	}
	saw = map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^--- (PASS|FAIL|SKIP): (\w+)`).FindAllSubmatch(out, -1) {
		for i := range short {
			if short[i] == string(m[2]) {
				saw[names[i]] = string(m[1])
				if string(m[1]) == "FAIL" {
					saw[names[i]] = failure(out, short[i])
				}
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, wrong := range p.wrong {
		t.Error(wrong)
	}
	t.Logf("refused without %q:\n%s", without, strings.Join(p.refused, "\n"))
	return saw, p.served
}

// failure is the reason that a case gave.
func failure(out []byte, name string) string {
	_, text, _ := bytes.Cut(out, []byte("=== RUN   "+name+"\n"))
	text, _, _ = bytes.Cut(text, []byte("--- FAIL"))
	if _, after, ok := bytes.Cut(text, []byte("err should be nil: ")); ok {
		text = after
	}
	return "FAIL: " + string(text[:min(len(text), 500)])
}

// proxy stands between a vendor's cases and the gateway: their key is fixed, and
// ours goes in its place.
type proxy struct {
	url     string
	mu      sync.Mutex
	wrong   []string // answers that are no errors and no successes
	refused []string // what was refused but for paths that do not exist
	served  []got    // what was not
}

// sentBody is the key of a request's body among its context's values.
type sentBody struct{}

func newProxy(t *testing.T, g *gateway, without []string) *proxy {
	t.Helper()
	to := must(url.Parse(g.url))
	p := &proxy{}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			if r.Out.Header.Get("X-Api-Key") != "" {
				r.Out.Header.Set("X-Api-Key", secret)
			}
			if r.Out.Header.Get("Authorization") != "" {
				r.Out.Header.Set("Authorization", "Bearer "+secret)
			}
			if r.Out.Body == nil {
				return
			}
			text, err := io.ReadAll(r.Out.Body)
			var body map[string]json.RawMessage
			if err == nil && len(without) > 0 && json.Unmarshal(text, &body) == nil {
				for _, name := range without {
					delete(body, name)
				}
				text = must(json.Marshal(body))
			}
			r.Out.Body, r.Out.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
			r.Out = r.Out.WithContext(context.WithValue(r.Out.Context(), sentBody{}, string(text)))
		},
		ModifyResponse: func(res *http.Response) error {
			if sent, ok := res.Request.Context().Value(sentBody{}).(string); ok && res.StatusCode == http.StatusOK {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.served = append(p.served, got{Path: res.Request.URL.Path, Body: sent})
			}
			if res.StatusCode < 300 || res.Request.Method == http.MethodGet && (res.Request.URL.Path == "/v1" || res.Request.URL.Path == "/") {
				return nil
			}
			text, err := io.ReadAll(res.Body)
			res.Body = io.NopCloser(bytes.NewReader(text))
			p.mu.Lock()
			defer p.mu.Unlock()
			if res.StatusCode != http.StatusNotFound {
				p.refused = append(p.refused, res.Request.URL.Path+": "+string(text))
			}
			var said struct {
				Error struct{ Message, Type string }
			}
			if err != nil || json.Unmarshal(text, &said) != nil || said.Error.Message == "" || said.Error.Type == "" || res.StatusCode >= 500 {
				p.wrong = append(p.wrong, fmt.Sprintf("%s %s: %d is no error that says what happened: %v, %s", res.Request.Method, res.Request.URL.Path, res.StatusCode, err, text))
			}
			return nil
		},
	})
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

// modelsOfSuites are the models that the suites ask for, all on one upstream.
func modelsOfSuites(upstream string) (text string) {
	for _, name := range []string{
		"gpt-6-astra", "gpt-4o", "gpt-3.5-turbo-instruct", "text-embedding-3-small", "model",
		"gpt-image-1.5", "gpt-image-2.5-flare", "omni-moderation-2024-09-26", "tts-1", "gpt-4o-transcribe", "whisper-1", "dall-e-2",
		"claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "model_id", "test-model",
	} {
		text += fmt.Sprintf("\n  %q: {card: off, targets: [{upstream: %s, model: engine-1}]}", name, upstream)
	}
	return text
}

const imagesAnswer = `{"created":1790000000,"data":[{"b64_json":"iVBORw0KGgo="}],"usage":{"input_tokens":9,"output_tokens":2,"total_tokens":11}}`

// knowsAll answers as an upstream does that serves all that is asked for.
func knowsAll(w http.ResponseWriter, r *http.Request) {
	said := map[string]answer{
		"/chat/completions":      says(chatAnswer),
		"/completions":           says(completionAnswer),
		"/embeddings":            says(oneVectorAnswer),
		"/messages":              says(messagesAnswer),
		"/messages/count_tokens": says(`{"input_tokens":9}`),
		"/images/generations":    says(imagesAnswer),
		"/images/edits":          says(imagesAnswer),
		"/images/variations":     says(imagesAnswer),
		"/audio/transcriptions":  says(`{"text":"Hello world","usage":{"type":"tokens","input_tokens":9,"output_tokens":2,"total_tokens":11}}`),
		"/audio/translations":    says(`{"text":"Hello world"}`),
		"/moderations":           says(`{"id":"modr-up","model":"engine-1","results":[{"flagged":false,"categories":{},"category_scores":{},"category_applied_input_types":{}}]}`),
	}
	_, name, _ := strings.Cut(r.URL.Path, "/v1")
	if a, ok := said[name]; ok {
		if r.Header.Get("Accept") == "text/event-stream" {
			a = map[string]answer{"/chat/completions": streams(chatStream), "/completions": streams(completionStream), "/messages": streams(messagesStream)}[name]
		}
		a(w, r)
		return
	}
	refuses(http.StatusNotFound, `{"error":{"message":"no","type":"invalid_request_error"}}`)(w, r)
}
