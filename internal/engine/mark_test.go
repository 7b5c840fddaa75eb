package engine_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headworks/internal/dialect/openai"
	"headworks/internal/engine"
	"headworks/internal/engine/anthropic"
	engineopenai "headworks/internal/engine/openai"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/scan"
	"headworks/internal/tenant"
)

// TestMarkPrompts: what a provider gets has the mark where the caller set none, the
// same one for what begins alike within a tenant, and nothing else changes.
func TestMarkPrompts(t *testing.T) {
	sent := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // the test sees what is missing
		sent <- string(body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	replicas := []fleet.Replica{{URL: server.URL}}
	kinds := map[string]func([]fleet.Replica, []string) (*engine.HTTP, error){"openai": engineopenai.New, "anthropic": anthropic.New}
	send := func(kind string, marks bool, who, model, body string) string {
		t.Helper()
		e, err := kinds[kind](replicas, nil)
		if err != nil {
			t.Fatal(err)
		}
		if marks {
			e.MarkPrompts()
			if e, err = e.With(replicas); err != nil { // others come and go
				t.Fatal(err)
			}
		}
		defer e.Close()
		c := &engine.Call{Request: &inference.Request{}, Replica: &replicas[0], Model: model, Doc: &scan.Doc{}, Body: []byte(body), Caller: &tenant.Caller{Tenant: who}}
		if err := c.Doc.Scan(c.Body, openai.Shape()); err != nil {
			t.Fatal(err)
		}
		if err := openai.ReadRequest(c.Doc, c.Request); err != nil {
			t.Fatal(err)
		}
		c.Conversation = func() (*inference.Conversation, []string, error) { return openai.Decode(c.Doc) }
		s, err := e.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		return <-sent
	}
	chat := func(system, user, more string) string {
		return `{"model":"m","messages":[{"role":"system","content":"` + system + `"},{"role":"user","content":"` + user + `"}],"max_tokens":5` + more + `}`
	}
	long := strings.Repeat("Mind the rules. ", 300)
	key := func(body string) string {
		var fields struct {
			Key string `json:"prompt_cache_key"`
		}
		if err := json.Unmarshal([]byte(body), &fields); err != nil {
			t.Fatal(err)
		}
		return fields.Key
	}

	one := key(send("openai", true, "acme", "gpt-5-mini", chat(long, "hi", "")))
	if one == "" || len(one) > 64 {
		t.Errorf("the key is %q", one)
	}
	if again := key(send("openai", true, "acme", "gpt-5-mini", chat(long, "another question", ""))); again != one {
		t.Errorf("what begins alike has the keys %s and %s", one, again)
	}
	if other := key(send("openai", true, "umbrella", "gpt-5-mini", chat(long, "hi", ""))); other == one {
		t.Error("two tenants have one key")
	}
	if other := key(send("openai", true, "acme", "gpt-5-mini", chat(long+"!", "hi", ""))); other == one {
		t.Error("two system prompts have one key")
	}
	if own := key(send("openai", true, "acme", "gpt-5-mini", chat(long, "hi", `,"prompt_cache_key":"mine"`))); own != "mine" {
		t.Errorf("the caller's own key became %q", own)
	}

	for _, test := range []struct {
		name, kind, model, body, want string
	}{
		{"the old ones have no marks", "openai", "gpt-5-mini", chat(long, "hi", `,"prompt_cache_key":"k"`), ""},
		{"the new ones have", "openai", "gpt-5.6-mini", chat(long, "hi", `,"prompt_cache_key":"k"`), `"content":[{"type":"text","text":"` + long + `","prompt_cache_breakpoint":{"mode":"explicit"}}]`},
		{"the caller decides of them", "openai", "gpt-5.6", chat(long, "hi", `,"prompt_cache_key":"k","prompt_cache_options":{"mode":"explicit"}`), ""},
		{"short ones are left alone", "openai", "gpt-6", chat("short", "hi", ""), ""},
		{"across dialects", "anthropic", "claude-sonnet-5", chat(long, "hi", ""), `"text":"` + long + `","cache_control":{"type":"ephemeral"}`},
		{"short across dialects", "anthropic", "claude-sonnet-5", chat("short", "hi", ""), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, plain := send(test.kind, true, "acme", test.model, test.body), send(test.kind, false, "acme", test.model, test.body)
			if test.want == "" {
				if diff := cmp.Diff(plain, got); diff != "" {
					t.Errorf("changed (-without +with):\n%s", diff)
				}
				return
			}
			if !strings.Contains(got, test.want) {
				t.Errorf("sent %s", got)
			}
		})
	}
}
