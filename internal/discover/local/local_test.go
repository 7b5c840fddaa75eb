package local

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"headworks/internal/catalog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a real server and returns its port.
func serve(t *testing.T, h http.HandlerFunc) uint16 {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return netip.MustParseAddrPort(u.Host).Port()
}

func answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func models(owner string, names ...string) string {
	var items []string
	for _, n := range names {
		items = append(items, fmt.Sprintf(`{"id":%s,"object":"model","owned_by":%q}`, quote(n), owner))
	}
	return `{"object":"list","data":[` + strings.Join(items, ",") + `]}`
}

func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// find looks with patience enough for a busy machine.
func find(t *testing.T, places ...Place) []Engine {
	return Search{Places: places, Patience: time.Minute}.Find(t.Context())
}

func TestFind(t *testing.T) {
	ollama := Place{Name: "Ollama", Kind: "ollama"}
	vllm := Place{Name: "vLLM", Kind: "vllm"}
	llama := Place{Name: "llama.cpp", Kind: "llamacpp"}
	tests := []struct {
		name  string
		place Place
		serve http.HandlerFunc
		want  Engine
	}{
		{
			"Ollama", ollama, answer(200, models("library", "llama3.2", "qwen3:8b")),
			Engine{Name: "Ollama", Kind: "ollama", State: Ready, Models: []string{"llama3.2", "qwen3:8b"}},
		},
		{
			"Ollama without models", ollama, answer(200, `{"object":"list","data":null}`),
			Engine{Name: "Ollama", Kind: "ollama", State: Ready},
		},
		{
			"vLLM at its own port", vllm, answer(200, models("vllm", "qwen3-32b")),
			Engine{Name: "vLLM", Kind: "vllm", State: Ready, Models: []string{"qwen3-32b"}},
		},
		{
			"vLLM at llama.cpp's port", llama, answer(200, models("vllm", "m")),
			Engine{Name: "vLLM", Kind: "vllm", State: Ready, Models: []string{"m"}},
		},
		{
			"llama.cpp by owner", llama, answer(200, models("llamacpp", "a.gguf")),
			Engine{Name: "llama.cpp", Kind: "llamacpp", State: Ready, Models: []string{"a.gguf"}},
		},
		{
			"llama.cpp by header", vllm, answer(200, models("me", "a"), "Server", "llama.cpp"),
			Engine{Name: "llama.cpp", Kind: "llamacpp", State: Ready, Models: []string{"a"}},
		},
		{
			"SGLang",
			Place{Name: "SGLang", Kind: "sglang"},
			answer(200, models("sglang", "m")),
			Engine{Name: "SGLang", Kind: "sglang", State: Ready, Models: []string{"m"}},
		},
		{
			"Ollama at vLLM's port", vllm, answer(200, models("library", "llama3.2")),
			Engine{Name: "Ollama", Kind: "ollama", State: Ready, Models: []string{"llama3.2"}},
		},
		{
			"a model of one's own", ollama, answer(200, models("me", "me/llama3.2")),
			Engine{Name: "Ollama", Kind: "ollama", State: Ready, Models: []string{"me/llama3.2"}},
		},
		{
			"a stranger at vLLM's port", vllm, answer(200, models("acme", "m")),
			Engine{Name: "OpenAI-compatible server", Kind: "openai", State: Ready, Models: []string{"m"}},
		},
		{
			"names that cannot be shown are left out", ollama, answer(200, models("", "", "\x1b[2J", strings.Repeat("n", maxName+1), "fine")),
			Engine{Name: "Ollama", Kind: "ollama", State: Ready, Models: []string{"fine"}},
		},
		{"401", vllm, answer(401, models("vllm", "secret")), Engine{Name: "vLLM", Kind: "vllm", State: Locked}},
		{"403", vllm, answer(403, ""), Engine{Name: "vLLM", Kind: "vllm", State: Locked}},
		{"404", vllm, answer(404, models("vllm", "m")), Engine{Name: "vLLM", Kind: "vllm", State: Odd}},
		{"503 while it loads", llama, answer(503, `{"error":{}}`), Engine{Name: "llama.cpp", Kind: "llamacpp", State: Odd}},
		{"HTML", llama, answer(200, "<html>a router</html>"), Engine{Name: "llama.cpp", Kind: "llamacpp", State: Odd}},
		{"another JSON", llama, answer(200, `{"status":"ok"}`), Engine{Name: "llama.cpp", Kind: "llamacpp", State: Odd}},
		{"wrong types", llama, answer(200, `{"object":"list","data":{"id":1}}`), Engine{Name: "llama.cpp", Kind: "llamacpp", State: Odd}},
		{"empty", llama, answer(200, ""), Engine{Name: "llama.cpp", Kind: "llamacpp", State: Odd}},
		{"too long", llama, answer(200, models("llamacpp", strings.Repeat("x", maxBody))), Engine{Name: "llama.cpp", Kind: "llamacpp", State: Odd}},
		{"cut short", llama, answer(200, `{"object":"list"`, "Content-Length", "900"), Engine{Name: "llama.cpp", Kind: "llamacpp", State: Odd}},
	}
	var places []Place
	for i := range tests {
		tests[i].place.Port = serve(t, tests[i].serve)
		tests[i].want.URL = fmt.Sprintf("http://127.0.0.1:%d", tests[i].place.Port)
		places = append(places, tests[i].place)
	}
	for i, got := range find(t, places...) {
		if diff := cmp.Diff(tests[i].want, got, cmpopts.IgnoreFields(Engine{}, "Note")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tests[i].name, diff)
		}
		if (got.Note == "") != (got.State == Ready || got.State == Absent) {
			t.Errorf("%s: state %v, note %q", tests[i].name, got.State, got.Note)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got := find(t, Place{"vLLM", "vllm", port})
	if got[0].State != Absent || got[0].Note != "" {
		t.Errorf("%+v, want absent", got[0])
	}
}

func TestOneThatSpeaksNoHTTP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		fmt.Fprint(c, "SSH-2.0-OpenSSH_9.6\r\n")
		c.Close()
	}()
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	got := find(t, Place{"vLLM", "vllm", port})
	l.Close()
	<-done
	if got[0].State != Odd {
		t.Errorf("%+v, want odd", got[0])
	}
}

// Places that take the connection and say nothing cost one patience together.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := make(chan net.Conn, len(Places()))
		dial := func(context.Context, string, string) (net.Conn, error) {
			near, end := net.Pipe()
			far <- end
			return near, nil
		}
		start := time.Now()
		for _, got := range (Search{Dial: dial}).Find(t.Context()) {
			if got.State != Silent {
				t.Errorf("%+v, want silent", got)
			}
		}
		if took := time.Since(start); took != 300*time.Millisecond {
			t.Errorf("looked for %v", took)
		}
		for range Places() {
			(<-far).Close()
		}
	})
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	target := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
	port := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, fmt.Sprintf("http://127.0.0.1:%d/", target), http.StatusFound)
	})
	if got := find(t, Place{"vLLM", "vllm", port}); got[0].State != Odd {
		t.Errorf("%+v, want odd", got[0])
	}
}

func TestOnlyLoopbackIsDialed(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://192.0.2.1:3128")
	t.Setenv("http_proxy", "http://192.0.2.1:3128")
	var dialed []string
	dial := func(_ context.Context, _, address string) (net.Conn, error) {
		dialed = append(dialed, address)
		return nil, &net.OpError{Op: "dial", Err: net.ErrClosed}
	}
	Search{Places: []Place{{"vLLM", "vllm", 8000}}, Dial: dial}.Find(t.Context())
	if diff := cmp.Diff([]string{"127.0.0.1:8000"}, dialed); diff != "" {
		t.Errorf("dialed (-want +got):\n%s", diff)
	}
	for _, address := range []string{"192.0.2.1:80", "localhost:80", "0.0.0.0:80", "[::]:80", "10.0.0.1:8000", "[::ffff:10.0.0.1]:80"} {
		if _, err := loopback(dial)(t.Context(), "tcp", address); err == nil || !strings.Contains(err.Error(), "loopback") {
			t.Errorf("dial %s: %v, want a refusal", address, err)
		}
	}
}

func TestNothingIsSentButTheQuestion(t *testing.T) {
	port := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" || r.URL.Path != "/v1/models" || r.Header.Get("Authorization") != "" || r.ContentLength > 0 {
			t.Errorf("request %s %s %v", r.Method, r.URL, r.Header)
		}
		fmt.Fprint(w, models("vllm", "m"))
	})
	find(t, Place{"vLLM", "vllm", port})
}

func TestPlacesAreThePromisedOnes(t *testing.T) {
	want := map[uint16]string{11434: "Ollama", 8000: "vLLM", 8080: "llama.cpp", 9931: "llama.cpp", 1234: "LM Studio", 30000: "SGLang"}
	got := map[uint16]string{}
	for _, p := range Places() {
		got[p.Port] = p.Name
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestKeys(t *testing.T) {
	environment := map[string]string{
		"OPENAI_API_KEY": "sk-canary", "GEMINI_API_KEY": " \n", "GOOGLE_API_KEY": "g", "GROQ_API_KEY": "", "CEREBRAS_API_KEY": "c", "OTHER_API_KEY": "x",
	}
	got := Keys(func(name string) (string, bool) {
		value, ok := environment[name]
		return value, ok
	})
	var names []string
	for _, p := range got {
		names = append(names, p.Name)
	}
	if diff := cmp.Diff([]string{"openai", "gemini", "cerebras"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if strings.Contains(fmt.Sprintf("%+v", got), "canary") {
		t.Error("the key's value is in what was found")
	}
}

func TestProvidersAreComplete(t *testing.T) {
	seen, last := map[string]bool{}, ""
	for _, p := range Providers() {
		if seen[p.Name] && p.Name != last || seen[p.Env] {
			t.Errorf("%s or %s is there twice", p.Name, p.Env)
		}
		last = p.Name
		seen[p.Name], seen[p.Env] = true, true
		u, err := url.Parse(p.URL)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.HasSuffix(p.URL, "/") {
			t.Errorf("%s: URL %q", p.Name, p.URL)
		}
		if k, ok := catalog.Find(p.Kind); !ok || k.BuiltIn || k.URL != p.URL {
			t.Errorf("%s: kind %q", p.Name, p.Kind)
		}
	}
	for _, env := range []string{
		"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "GROQ_API_KEY", "OPENROUTER_API_KEY", "MISTRAL_API_KEY",
		"DEEPSEEK_API_KEY", "TOGETHER_API_KEY", "XAI_API_KEY", "FIREWORKS_API_KEY", "CEREBRAS_API_KEY",
	} {
		if !seen[env] {
			t.Errorf("%s is not known", env)
		}
	}
}

func FuzzListed(f *testing.F) {
	f.Add([]byte(models("vllm", "m")), "")
	f.Add([]byte(`{"data":null}`), "llama.cpp")
	f.Fuzz(func(t *testing.T, body []byte, server string) {
		e := Engine{Name: "Ollama", Kind: "ollama"}.listed(body, server)
		if e.State != Ready && (e.State != Odd || len(e.Models) > 0) {
			t.Fatalf("state %v with %d models", e.State, len(e.Models))
		}
		for _, m := range e.Models {
			if !name(m) {
				t.Fatalf("model %q", m)
			}
		}
	})
}
