package vertex

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"headworks/internal/dialect/anthropic"
	"headworks/internal/dialect/gemini"
	"headworks/internal/dialect/openai"
	"headworks/internal/engine"
	"headworks/internal/engine/enginetest"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// TestConformance: Gemini on Vertex AI, with a token that is there already.
func TestConformance(t *testing.T) {
	enginetest.Run(t, enginetest.Kind{
		New: func(replicas []fleet.Replica, keys []string) (*engine.HTTP, error) {
			e := &Engine{}
			err := e.open(replicas, Options{Project: "p"}, func(_ context.Context, r *engine.Signed) error {
				r.Header.Add("Authorization", "Bearer "+keys[r.Key])
				return nil
			})
			return e.google, err
		},
		Dialect: inference.Gemini,
		Path:    "/v1/projects/p/locations/global/publishers/google/models/served:generateContent",
		Stream:  "/v1/projects/p/locations/global/publishers/google/models/served:streamGenerateContent?alt=sse",
		Key:     enginetest.Bearer(),
	})
}

// cloud is Google: it gives tokens, and models that answer.
type cloud struct {
	url     string
	key     *rsa.PrivateKey
	expires int
	status  int

	mu     sync.Mutex
	tokens int
	asked  []asked
}

type asked struct{ path, authorization, body string }

func newCloud(t *testing.T) *cloud {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{key: key, expires: 3600}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // what is cut short fails the checks below
	c.mu.Lock()
	defer c.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/token" {
		c.tokens++
		if c.status != 0 {
			w.WriteHeader(c.status)
			fmt.Fprint(w, `{"error":"invalid_grant","error_description":"SECRET"}`)
			return
		}
		fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":%d,"token_type":"Bearer"}`, c.tokens, c.expires)
		c.asked = append(c.asked, asked{r.URL.Path, "", string(body)})
		return
	}
	c.asked = append(c.asked, asked{r.URL.RequestURI(), r.Header.Get("Authorization"), string(body)})
	switch {
	case strings.Contains(r.URL.Path, "count-tokens"):
		fmt.Fprint(w, `{"input_tokens":5}`)
	case strings.HasSuffix(r.URL.Path, ":countTokens"):
		fmt.Fprint(w, `{"totalTokens":6}`)
	case strings.Contains(r.URL.Path, "/anthropic/"):
		fmt.Fprint(w, `{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}`)
	default:
		fmt.Fprint(w, `{"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1}}`)
	}
}

func (c *cloud) file(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "of-the-key", "client_email": "a@b", "private_key_id": "k1", "token_uri": c.url + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (c *cloud) engine(t *testing.T) *Engine {
	t.Helper()
	e, err := New([]fleet.Replica{{ID: 1, URL: c.url}}, []string{c.file(t)}, Options{Location: "europe-west4"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// speech is how a caller of a dialect asks.
type speech struct {
	shape  *scan.Shape
	read   func(*scan.Doc, *inference.Request) error
	decode func(*scan.Doc) (*inference.Conversation, []string, error)
	body   string
}

var (
	asGemini   = speech{gemini.Shape(), gemini.ReadRequest, gemini.Decode, `{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}`}
	asCount    = speech{gemini.Shape(), gemini.ReadCountRequest, gemini.Decode, `{"generateContentRequest":{"model":"models/x","contents":[{"parts":[{"text":"hello"}]}]}}`}
	asMessages = speech{anthropic.Shape(), anthropic.ReadRequest, anthropic.Decode, `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}`}
	asTokens   = speech{anthropic.Shape(), anthropic.ReadCountRequest, anthropic.Decode, `{"model":"m","messages":[{"role":"user","content":"hello"}]}`}
	asChat     = speech{openai.Shape(), openai.ReadRequest, openai.Decode, `{"model":"m","messages":[{"role":"user","content":"hello"}]}`}
)

func (e *Engine) ask(ctx context.Context, s speech, model string) error {
	var d scan.Doc
	var r inference.Request
	if err := d.Scan([]byte(s.body), s.shape); err != nil {
		return err
	}
	if err := s.read(&d, &r); err != nil {
		return err
	}
	stream, err := e.Open(ctx, &engine.Call{
		Request: &r, Replica: &fleet.Replica{ID: 1}, Model: model, Body: []byte(s.body), Doc: &d,
		Conversation: func() (*inference.Conversation, []string, error) { return s.decode(&d) },
	})
	if err != nil {
		return err
	}
	for {
		c, err := stream.Next(time.Time{})
		if err != nil || c.Last {
			return errors.Join(err, stream.Close())
		}
	}
}

// TestModels: each publisher has its own paths and bodies, whichever dialect asks.
func TestModels(t *testing.T) {
	const at = "/v1/projects/of-the-key/locations/europe-west4/publishers/"
	for _, tt := range []struct {
		name  string
		asks  speech
		model string
		path  string
		body  string
	}{
		{"Gemini", asGemini, "gemini-2.5-pro", "google/models/gemini-2.5-pro:generateContent", asGemini.body},
		{"Gemini by its publisher", asGemini, "google/gemini-2.5-pro", "google/models/gemini-2.5-pro:generateContent", asGemini.body},
		{"Gemini for OpenAI's clients", asChat, "gemini-2.5-pro", "google/models/gemini-2.5-pro:generateContent", asGemini.body},
		{"Gemini's tokens", asCount, "gemini-2.5-pro", "google/models/gemini-2.5-pro:countTokens", `{"contents":[{"parts":[{"text":"hello"}]}]}`},
		{"Claude's tokens asked of Gemini", asTokens, "gemini-2.5-pro", "google/models/gemini-2.5-pro:countTokens", asGemini.body},
		{"Claude", asMessages, "claude-sonnet-4@20250514", "anthropic/models/claude-sonnet-4@20250514:rawPredict", `{"max_tokens":9,"messages":[{"role":"user","content":"hello"}],"anthropic_version":"vertex-2023-10-16"}`},
		{"Claude for OpenAI's clients", asChat, "anthropic/claude-opus-4", "anthropic/models/claude-opus-4:rawPredict", `{"anthropic_version":"vertex-2023-10-16","max_tokens":4096,"messages":[{"role":"user","content":"hello"}]}`},
		{"Claude's tokens", asTokens, "claude-opus-4", "anthropic/models/count-tokens:rawPredict", `{"model":"claude-opus-4","messages":[{"role":"user","content":"hello"}]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			if err := c.engine(t).ask(t.Context(), tt.asks, tt.model); err != nil {
				t.Fatal(err)
			}
			got := c.asked[len(c.asked)-1]
			if want := (asked{at + tt.path, "Bearer token-1", tt.body}); got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// TestToken: none is fetched before a call, one serves many, and the assertion that
// asks for it is signed by the key.
func TestToken(t *testing.T) {
	c := newCloud(t)
	e := c.engine(t)
	if c.tokens != 0 {
		t.Fatalf("%d tokens before any call", c.tokens)
	}
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			if err := e.ask(t.Context(), asGemini, "m"); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if c.tokens != 1 {
		t.Errorf("%d tokens for 20 calls at once", c.tokens)
	}
	_, assertion, _ := strings.Cut(c.asked[0].body, "assertion=")
	assertion, _, _ = strings.Cut(assertion, "&")
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		t.Fatalf("the assertion is %q", c.asked[0].body)
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(&c.key.PublicKey, crypto.SHA256, sum[:], signature); err != nil {
		t.Error(err)
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !strings.Contains(string(claims), `"iss":"a@b"`) || !strings.Contains(string(claims), `"aud":"`+c.url+`/token"`) {
		t.Errorf("claims %s, %v", claims, err)
	}
}

// TestTokenAhead: a token that ends soon still serves while another one is fetched,
// and one that has ended does not.
func TestTokenAhead(t *testing.T) {
	c := newCloud(t)
	e := c.engine(t)
	a := e.accounts[0]
	a.now, a.until = "old", time.Now().Add(ahead-time.Second)
	if token, err := a.token(t.Context()); token != "old" || err != nil {
		t.Errorf("%q, %v", token, err)
	}
	a.mu.Lock()
	going := a.going
	a.mu.Unlock()
	if going != nil { // else it has come already
		<-going.done
	}
	if token, err := a.token(t.Context()); token != "token-1" || err != nil || c.tokens != 1 {
		t.Errorf("%q, %v after %d tokens", token, err, c.tokens)
	}
	a.until = time.Now().Add(spare - time.Second)
	if token, err := a.token(t.Context()); token != "token-2" || err != nil {
		t.Errorf("%q, %v", token, err)
	}
}

// TestNoToken: what is wrong with a key is told as such, and a call that is canceled
// waits no longer.
func TestNoToken(t *testing.T) {
	c := newCloud(t)
	e := c.engine(t)
	for status, want := range map[int]fault.Kind{400: fault.UpstreamAuth, 401: fault.UpstreamAuth, 503: fault.UpstreamError} {
		c.mu.Lock()
		c.status = status
		c.mu.Unlock()
		err := e.ask(t.Context(), asGemini, "m")
		if f := fault.Of(err); f.Kind != want || strings.Contains(f.Error(), "SECRET") {
			t.Errorf("%d: %v", status, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.ask(ctx, asGemini, "m"); err == nil {
		t.Error("a canceled call is answered")
	}
}

// TestKeys: what is no key says so, and is not repeated.
func TestKeys(t *testing.T) {
	for _, key := range []string{
		"", "sk-canary", `{"type":"service_account","client_email":"canary","private_key":"canary"}`, `{"type":"canary"}`, `["canary"]`,
		`{"type":"authorized_user","refresh_token":"canary","token_uri":"canary"}`,
	} {
		_, err := New([]fleet.Replica{{ID: 1, URL: "http://127.0.0.1:1"}}, []string{key}, Options{Project: "p"})
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", key, err)
		}
	}
	user := `{"type":"authorized_user","client_id":"a","client_secret":"b","refresh_token":"c","quota_project_id":"q"}`
	if _, err := New([]fleet.Replica{{ID: 1, URL: "http://127.0.0.1:1"}}, []string{user}, Options{}); err != nil {
		t.Error(err)
	}
	nowhere := `{"type":"authorized_user","client_id":"a","client_secret":"b","refresh_token":"c"}`
	if _, err := New([]fleet.Replica{{ID: 1, URL: "http://127.0.0.1:1"}}, []string{nowhere}, Options{}); err == nil {
		t.Error("no project, and no error")
	}
	within := "http://127.0.0.1:1/v1/projects/p/locations/l"
	if _, err := New([]fleet.Replica{{ID: 1, URL: within}}, []string{nowhere}, Options{}); err != nil {
		t.Error(err)
	}
}
