package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"headworks/internal/config"
	"headworks/internal/engine"
)

// Every secret and every piece of content of TestCanaries begins with canary. What
// a process keeps or tells anyone but the caller may not hold it.
const bird = "CANARY"

const (
	canaryProvider = bird + "provider0123456789"
	canaryPinned   = bird + "pinned0123456789"
	canaryRefused  = bird + "refused0123456789" // in files that are not taken over
)

// parrot is an upstream that gives back what it got: the prompt and its own
// credential, wherever an upstream can put them. The first part of the path says
// how it fails.
type parrot struct {
	*httptest.Server
	mu   sync.Mutex
	seen map[string]bool // how it failed, with prompt and credential
}

func newParrot(t *testing.T) *parrot {
	p := &parrot{seen: map[string]bool{}}
	p.Server = httptest.NewServer(http.HandlerFunc(p.answer))
	t.Cleanup(p.Close)
	return p
}

// The events of an answer by dialect; each holds an answer's canary.
var parrotEvents = map[string][]string{
	"openai": {
		`data: {"id":"CANARYid","object":"chat.completion.chunk","created":1,"model":"CANARYmodel","choices":[{"index":0,"delta":{"role":"assistant","content":"CANARYanswer"},"finish_reason":null}]}`,
		`data: {"id":"CANARYid","object":"chat.completion.chunk","created":1,"model":"CANARYmodel","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"CANARYcall","type":"function","function":{"name":"CANARYtool","arguments":"{\"a\":\"CANARYarguments\"}"}}]},"finish_reason":null}]}`,
		`data: {"id":"CANARYid","object":"chat.completion.chunk","created":1,"model":"CANARYmodel","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}}`,
		`data: [DONE]`,
	},
	"anthropic": {
		"event: message_start\ndata: " + `{"type":"message_start","message":{"id":"CANARYid","type":"message","role":"assistant","model":"CANARYmodel","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":1}}}`,
		"event: content_block_start\ndata: " + `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
		"event: content_block_delta\ndata: " + `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"CANARYanswer"}}`,
		"event: content_block_stop\ndata: " + `{"type":"content_block_stop","index":0}`,
		"event: message_delta\ndata: " + `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":3}}`,
		"event: message_stop\ndata: " + `{"type":"message_stop"}`,
	},
}

var parrotAnswers = map[string]string{
	"openai":    `{"id":"CANARYid","object":"chat.completion","created":1,"model":"CANARYmodel","choices":[{"index":0,"message":{"role":"assistant","content":"CANARYanswer"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}}`,
	"anthropic": `{"id":"CANARYid","type":"message","role":"assistant","model":"CANARYmodel","content":[{"type":"text","text":"CANARYanswer"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":3}}`,
}

var parrotErrors = map[string]string{
	"openai":    `{"error":{"message":%q,"type":"server_error","param":"CANARYparam","code":"CANARYcode"}}`,
	"anthropic": `{"type":"error","error":{"type":"api_error","message":%q}}`,
}

// failures are how a parrot fails. Each is given a stream's events, or nil.
var failures = map[string]func(w http.ResponseWriter, said string, dialect string, events []string){
	"whole": func(w http.ResponseWriter, _, dialect string, events []string) {
		w.Header().Set("Set-Cookie", "CANARYcookie=1")
		w.Header().Set("X-Secret", "CANARYheader")
		if events == nil {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, parrotAnswers[dialect])
			return
		}
		stream(w, events...)
	},
	"HTML":    func(w http.ResponseWriter, said, _ string, _ []string) { status(w, 200, "text/html", "<html>"+said) },
	"no JSON": func(w http.ResponseWriter, said, _ string, _ []string) { status(w, 200, "application/json", "{"+said) },
	"other": func(w http.ResponseWriter, said, _ string, _ []string) {
		status(w, 200, "application/json", `["`+bird+`"]`)
	},
	"redirect": func(w http.ResponseWriter, _, _ string, _ []string) {
		w.Header().Set("Location", "http://127.0.0.1:9/CANARYplace")
		w.WriteHeader(307)
	},
	"cut": func(w http.ResponseWriter, _, _ string, e []string) {
		stream(w, middle(e, "")...)
		panic(http.ErrAbortHandler)
	},
	"clean cut": func(w http.ResponseWriter, _, _ string, e []string) { stream(w, middle(e, "")...) },
	"malformed": func(w http.ResponseWriter, said, _ string, e []string) {
		stream(w, middle(e, "data: {\"id\":\"CANARYmalformed "+said)...)
	},
	"mixed": func(w http.ResponseWriter, _, dialect string, e []string) {
		stream(w, middle(e, strings.ReplaceAll(parrotEvents[dialect][0], "CANARYid", "CANARYother"))...)
	},
	"error": func(w http.ResponseWriter, said, dialect string, e []string) {
		stream(w, middle(e, "event: error\ndata: "+fmt.Sprintf(parrotErrors[dialect], said))...)
	},
	"error first": func(w http.ResponseWriter, said, dialect string, _ []string) {
		stream(w, "event: error\ndata: "+fmt.Sprintf(parrotErrors[dialect], said))
	},
	"stall": func(w http.ResponseWriter, _, _ string, e []string) {
		stream(w, middle(e, "")...)
		time.Sleep(300 * time.Millisecond) // longer than the test's timeouts.idle; nothing is judged by it
	},
	"garbage": func(w http.ResponseWriter, said, _ string, _ []string) {
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			fmt.Fprintf(c, "HTTP/1.1 CANARYstatus %s\r\nCANARYline\r\n\r\n", said)
			c.Close()
		}
	},
	"bad header": func(w http.ResponseWriter, said, _ string, _ []string) {
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCANARY header: x\r\nContent-Length: CANARY%d\r\n\r\n%s", len(said), said)
			c.Close()
		}
	},
	"reset": func(w http.ResponseWriter, _, _ string, _ []string) {
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	},
}

// everyWay returns the failures, and one of each status by its number.
func everyWay() map[string]func(w http.ResponseWriter, said, dialect string, events []string) {
	all := maps.Clone(failures)
	for _, code := range []int{400, 401, 403, 404, 413, 422, 429, 500, 503, 529} {
		all[fmt.Sprint(code)] = func(w http.ResponseWriter, said, dialect string, _ []string) {
			status(w, code, "application/json", fmt.Sprintf(parrotErrors[dialect], said))
		}
	}
	return all
}

func status(w http.ResponseWriter, code int, kind, body string) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(code)
	io.WriteString(w, body)
}

func stream(w http.ResponseWriter, events ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, e := range events {
		io.WriteString(w, e+"\n\n")
	}
	w.(http.Flusher).Flush()
}

// middle returns events until content was sent, and what comes instead of the rest.
func middle(events []string, then string) []string {
	if events == nil {
		return []string{then}
	}
	n := slices.IndexFunc(events, func(e string) bool { return strings.Contains(e, "CANARYanswer") })
	return append(slices.Clone(events[:n+1]), then)
}

func (p *parrot) answer(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // a caller that left is told nothing
	parts := strings.Split(r.URL.Path, "/")
	way, dialect := strings.ReplaceAll(parts[1], "-", " "), parts[2]
	credential := r.Header.Get("Authorization") + r.Header.Get("X-Api-Key")
	if strings.Contains(credential, canaryProvider) && bytes.Contains(body, []byte("CANARYprompt")) {
		p.mu.Lock()
		p.seen[way] = true
		p.mu.Unlock()
	}
	var events []string
	if bytes.Contains(body, []byte(`"stream":true`)) {
		events = parrotEvents[dialect]
	}
	everyWay()[way](w, credential+" "+string(body), dialect, events)
}

// TestCanaries sends secrets and content through every path there is, and looks
// for them wherever a process tells or keeps something.
func TestCanaries(t *testing.T) {
	p := newParrot(t)
	ways := everyWay()
	var upstreams, models strings.Builder
	names := slices.Sorted(maps.Keys(ways))
	for n, way := range names {
		limits := ""
		if way == "stall" { // the others are as slow as the machine
			limits = ", timeouts: {idle: 100ms}"
		}
		for _, dialect := range []string{"openai", "anthropic"} {
			name := fmt.Sprintf("%s%d", dialect, n)
			fmt.Fprintf(&upstreams, "  %s: {kind: %s, key: %s, urls: [%s/%s/%s]}\n", name, dialect, canaryProvider, p.URL, strings.ReplaceAll(way, " ", "-"), dialect)
			fmt.Fprintf(&models, "  %s: {targets: [{upstream: %s, model: any}], tries: 1%s}\n", name, name, limits)
		}
	}
	source := func(more string) string { // more stands behind the keys
		return "drain_delay: 0s\nlog: {level: debug, requests: all}\nupstreams:\n" + upstreams.String() + "models:\n" + models.String() +
			"keys:\n  - {name: pinned, secret: " + canaryPinned + "}\n" + more
	}
	i := &instance{log: &lines{}, file: filepath.Join(t.TempDir(), "headworks.yaml"), data: filepath.Join(t.TempDir(), "data")}
	i.write(t, source(""))
	read := func() (*config.Config, *config.Report) {
		c, report := config.Load(i.file)
		if c != nil {
			c.Override("127.0.0.1:0", "127.0.0.1:0", i.data)
		}
		return c, report
	}
	c, report := read()
	if !report.OK() {
		t.Fatal(report)
	}
	var err error
	if i.App, err = New(Options{Config: c, Read: read, File: i.file, LocalKey: true, Log: i.log}); err != nil {
		t.Fatal(err)
	}
	i.run(t)
	created := i.create(t, `{"name":"app"}`).Secret
	pepper, err := os.ReadFile(filepath.Join(i.data, "pepper"))
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{
		"content or a secret of the test": bird, "the admin token": i.admin.Token, "the local key": i.LocalKey(),
		"a created key": created, "the pepper": strings.TrimSpace(string(pepper)),
	}
	look := func(where, text string, but ...string) {
		t.Helper()
		for what, secret := range secrets {
			if slices.Contains(but, what) {
				continue
			}
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s: %s: ...%s...", where, what, text[max(at-120, 0):min(at+len(secret)+60, len(text))])
			}
		}
	}
	const content = "content or a secret of the test"

	// What callers are told: their answer, and no secrets; of a failure no content.
	told := func(where string, r reply) {
		t.Helper()
		header := r.header.Clone()
		header.Del("x-headworks-dropped") // names fields of the caller's own request
		look(where+" (headers)", fmt.Sprint(header))
		if r.status != 200 {
			look(where, r.body)
			return
		}
		for _, secret := range []string{canaryProvider, canaryPinned, "CANARYheader", "CANARYcookie"} {
			if strings.Contains(r.body, secret) {
				t.Errorf("%s: a secret in %q", where, r.body)
			}
		}
		look(where, r.body, content)
		if strings.Contains(r.body, `"object":"response"`) { // it repeats its request, by its dialect
			_, failure, _ := strings.Cut(r.body, "event: error\n")
			failure, _, _ = strings.Cut(failure, "\n\n")
			look(where+" (in the stream)", failure)
		} else if at := strings.Index(r.body, `"error"`); at >= 0 {
			look(where+" (in the stream)", r.body[at:])
		}
	}
	keys := []string{canaryPinned, i.LocalKey(), created}
	bodies := map[string]string{
		"/chat/completions": `{"model":%q,"stream":%v,"user":"CANARYuser","metadata":{"CANARYname":"CANARYvalue"},"CANARYfield":1,"tools":[{"type":"function","function":{"name":"CANARYtool","description":"CANARYdescription","parameters":{"type":"object"}}}],
			"messages":[{"role":"system","content":"CANARYsystem"},{"role":"user","content":[{"type":"text","text":"CANARYprompt"},{"type":"image_url","image_url":{"url":"data:image/png;base64,CANARYimage="}}]},
			{"role":"assistant","content":null,"tool_calls":[{"id":"CANARYcall","type":"function","function":{"name":"CANARYtool","arguments":"{\"a\":\"CANARYarguments\"}"}}]},{"role":"tool","tool_call_id":"CANARYcall","content":"CANARYresult"}]}`,
		"/messages": `{"model":%q,"stream":%v,"max_tokens":9,"system":"CANARYsystem","metadata":{"user_id":"CANARYuser"},"tools":[{"name":"CANARYtool","description":"CANARYdescription","input_schema":{"type":"object"}}],
			"messages":[{"role":"user","content":"CANARYprompt"},{"role":"assistant","content":[{"type":"tool_use","id":"CANARYcall","name":"CANARYtool","input":{"a":"CANARYarguments"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"CANARYcall","content":"CANARYresult"}]}]}`,
	}
	bodies["/responses"] = `{"model":%q,"stream":%v,"user":"CANARYuser","metadata":{"CANARYname":"CANARYvalue"},"CANARYfield":1,"instructions":"CANARYsystem","prompt_cache_key":"CANARYsession","store":false,
		"tools":[{"type":"function","name":"CANARYtool","description":"CANARYdescription","parameters":{"type":"object"}},{"type":"custom","name":"CANARYcustom"}],
		"input":[{"role":"user","content":[{"type":"input_text","text":"CANARYprompt"},{"type":"input_image","image_url":"data:image/png;base64,CANARYimage="}]},{"type":"reasoning","summary":[],"encrypted_content":"CANARYthought"},
		{"type":"function_call","call_id":"CANARYcall","name":"CANARYtool","arguments":"{\"a\":\"CANARYarguments\"}"},{"type":"function_call_output","call_id":"CANARYcall","output":"CANARYresult"}]}`
	sent := 0
	ask := func(path, model string, stream bool) reply {
		sent++
		r := i.try(t, "POST", i.BaseURL()+path, keys[sent%len(keys)], fmt.Sprintf(bodies[path], model, stream),
			"X-Custom", "CANARYheader", "User-Agent", "CANARYagent", "Cookie", "CANARYcookie", "OpenAI-Organization", "CANARYorganisation")
		if r.err != nil {
			t.Errorf("%s of %s: %v", path, model, r.err)
		}
		return r
	}
	for n, way := range names {
		for _, dialect := range []string{"openai", "anthropic"} {
			for path := range bodies {
				for _, stream := range []bool{false, true} {
					where := fmt.Sprintf("%q by %s of %s, stream %v", way, path, dialect, stream)
					r := ask(path, fmt.Sprintf("%s%d", dialect, n), stream)
					if way == "whole" && (r.status != 200 || !strings.Contains(r.body, "CANARYanswer")) {
						t.Errorf("%s: %d %s", where, r.status, r.body)
					}
					told(where, r)
				}
			}
		}
		p.mu.Lock()
		seen := p.seen[way]
		p.mu.Unlock()
		if !seen {
			t.Errorf("%q never got prompt and credential", way)
		}
	}

	// Requests that are refused before an engine sees them.
	for path := range bodies {
		told("an unknown model", ask(path, "CANARYunknown", true))
		for name, body := range map[string]string{
			"a field twice": `{"model":"CANARYmodel","user":"CANARY","user":"CANARY"}`, "no JSON": `CANARYbody`, "no fields": `{"CANARYfield":{}}`,
			"a wrong type": `{"model":"openai0","messages":"CANARYprompt"}`, "a wrong role": `{"model":"openai0","max_tokens":1,"messages":[{"role":"CANARYrole","content":"CANARYprompt"}]}`,
			"a number too large": `{"model":"openai0","max_tokens":1e400,"messages":[{"role":"user","content":"CANARYprompt"}]}`,
		} {
			r := i.try(t, "POST", i.BaseURL()+path, created, body)
			if r.status < 400 && name != "a wrong role" {
				t.Errorf("%s %s: %d", path, name, r.status)
			}
			told(path+" "+name, r)
		}
	}
	told("no key", i.try(t, "POST", i.BaseURL()+"/chat/completions", "CANARYkeyofnobody", `CANARYbody`))
	told("no path", i.try(t, "POST", i.BaseURL()+"/CANARYpath?CANARYquery", created, `CANARYbody`))
	told("no admin", i.try(t, "GET", i.AdminURL()+"/api/CANARYpath?CANARYquery", "CANARYtoken", ``))
	raw(t, i, "POST /v1/chat/completions HTTP/1.1\r\nHost: CANARYhost\r\nAuthorization: Bearer "+canaryPinned+"\r\nCANARY header: x\r\n\r\n")
	raw(t, i, "CANARYmethod\r\n\r\n")

	// A defect, whose words quote the request.
	w := i.gateway.World()
	for n, e := range []engine.Engine{faulty{"open"}, faulty{"read"}} {
		broken := *w
		broken.Engines = slices.Clone(w.Engines)
		for k := range broken.Engines {
			broken.Engines[k] = e
		}
		i.gateway.Publish(&broken)
		for path := range bodies {
			told(fmt.Sprint("a defect ", n), i.try(t, "POST", i.BaseURL()+path, created, fmt.Sprintf(bodies[path], "openai0", n == 1)))
		}
	}
	i.gateway.Publish(w)

	// Files that are refused, with secrets where the mistake is.
	for _, more := range []string{
		"  - {name: x, secret: " + canaryRefused + ", tir: y}\n", "  - {name: x, secret: [" + canaryRefused + "]}\n", "  - {name: x, secret: " + canaryRefused + "\n",
		"  - {name: x, scret: " + canaryRefused + "}\n", "  - name: x\n    secret: " + canaryRefused + "\n   bad: y\n", "  - " + canaryRefused + "\n",
		"  - {name: x, secret: " + canaryPinned + "}\n", "secret: " + canaryRefused + "\n", "  - {name: x, secret: \"${CANARYnosuchvariable}\"}\n",
	} {
		i.write(t, source(more))
		r := i.ask(t, "POST", "/api/reload", "")
		if r.status == 200 {
			t.Errorf("the configuration is taken over: %s", more)
		}
		for _, secret := range []string{canaryRefused, canaryPinned, canaryProvider} {
			if strings.Contains(r.body, secret) {
				t.Errorf("a reload tells a secret: %s", r.body)
			}
		}
	}
	i.write(t, source("log: {level: debug, requests: all}\n"))
	i.ask(t, "POST", "/api/reload", "")
	i.write(t, source("region: eu\n"))
	if r := i.ask(t, "POST", "/api/reload", ""); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}

	// What operators see.
	eventually(t, "all records are there", func() bool { return metric(t, i, "headworks_requests_total") >= float64(sent) })
	look("/metrics", i.send(t, "GET", i.AdminURL()+"/metrics", "", "").body)
	look("status", i.ask(t, "GET", "/api/status", "").body)
	look("keys", i.ask(t, "GET", "/api/keys", "").body)
	list := i.ask(t, "GET", "/api/requests?limit=1000", "").body
	look("requests", list)
	for _, part := range strings.Split(list, `"request_id":"`)[1:] {
		id, _, _ := strings.Cut(part, `"`)
		look("request "+id, i.ask(t, "GET", "/api/requests/"+id, "").body)
		look("explanation of "+id, i.ask(t, "GET", "/api/requests/"+id+"/explanation", "").body)
	}
	c, _ = read()
	values, err := ExplainConfig(c, "")
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.yaml")
	if err := os.WriteFile(other, []byte(strings.NewReplacer(canaryProvider, canaryRefused, canaryPinned, canaryRefused+"too").Replace(source(""))), 0o600); err != nil {
		t.Fatal(err)
	}
	d, report := CheckConfig(other)
	if !report.OK() {
		t.Fatal(report)
	}
	changes, inWords, _ := CompareConfigs(c, d)
	if len(changes) == 0 {
		t.Error("other secrets are no change")
	}
	explained := fmt.Sprintf("%v %+v %#v %v %+v %v", values, c, c.Keys, c.Upstreams, changes, inWords)
	for _, secret := range []string{canaryProvider, canaryPinned, canaryRefused} {
		if strings.Contains(explained, secret) {
			t.Errorf("a configuration that is explained or compared tells %s", secret)
		}
	}
	if log := i.log.String(); strings.Count(log, `"msg":"request"`) < sent/2 || !strings.Contains(log, "panicked") {
		t.Error("the log is not what this test thinks it is")
	}

	for _, fault := range []string{"credential", "upstream_403", "internal"} { // told with their cause
		if !strings.Contains(i.log.String(), `"fault":"`+fault+`","cause":"`) {
			t.Errorf("the log has no cause of a fault %s", fault)
		}
	}

	// What stays.
	i.Drain()
	if err := i.wait(t); err != nil {
		t.Fatal(err)
	}
	logged := i.log.String()
	for line := range strings.SplitSeq(logged, "\n") {
		// A refused file may be told apart by what it names, but not by its secrets.
		if strings.Contains(line, "is not taken over") {
			for _, secret := range []string{canaryRefused, canaryPinned, canaryProvider} {
				if strings.Contains(line, secret) {
					t.Errorf("the log tells a secret: %s", line)
				}
			}
			continue
		}
		look("log", line)
	}
	files := 0
	err = filepath.WalkDir(i.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		own := map[string]string{"admin.token": "the admin token", "local.key": "the local key", "pepper": "the pepper"}
		look(path, string(b), own[filepath.Base(path)])
		if info, err := d.Info(); err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil || files < 6 {
		t.Errorf("%d files in the data folder, %v", files, err)
	}
}

// raw sends what no HTTP client would.
func raw(t *testing.T, i *instance, request string) {
	t.Helper()
	c, err := net.Dial("tcp", i.front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil || !bytes.Contains(answer, []byte("400 ")) || bytes.Contains(answer, []byte(bird)) {
		t.Errorf("%q is answered with %q, %v", request, answer, err)
	}
}

// faulty is an engine that panics with what it was sent, when it is opened or when
// it is read.
type faulty struct{ when string }

func (d faulty) Open(_ context.Context, c *engine.Call) (engine.Stream, error) {
	if d.when == "open" {
		panic("a defect meets " + string(c.Body))
	}
	return broken{c}, nil
}

type broken struct{ call *engine.Call }

func (b broken) Next(time.Time) (engine.Chunk, error) { panic("a defect meets " + string(b.call.Body)) }
func (broken) Dropped() []string                      { return nil }
func (broken) Close() error                           { return nil }
