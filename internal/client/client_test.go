package client

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headworks/internal/api/admin"
	"headworks/internal/identity"
)

// folder returns a data folder with these files.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFind(t *testing.T) {
	note := `{"base_url":"http://127.0.0.1:1/v1","admin":"http://127.0.0.1:2/","pid":3}`
	for name, tt := range map[string]struct {
		files  map[string]string
		admin  string
		url    string // what is found; empty for an error
		absent bool
	}{
		"nothing":            {nil, "", "", true},
		"no token":           {map[string]string{admin.InstanceFile: note}, "", "", true},
		"no note":            {map[string]string{identity.AdminTokenFile: "token\n"}, "", "", true},
		"a note":             {map[string]string{identity.AdminTokenFile: "token\n", admin.InstanceFile: note}, "", "http://127.0.0.1:2", false},
		"a damaged note":     {map[string]string{identity.AdminTokenFile: "token\n", admin.InstanceFile: "{"}, "", "", false},
		"no note, but a URL": {map[string]string{identity.AdminTokenFile: "token\n"}, "http://127.0.0.1:4", "http://127.0.0.1:4", false},
		"the URL goes first": {map[string]string{identity.AdminTokenFile: "token\n", admin.InstanceFile: note}, "http://127.0.0.1:4", "http://127.0.0.1:4", false},
		"no URL":             {map[string]string{identity.AdminTokenFile: "token\n"}, "127.0.0.1:7301", "", false},
	} {
		a, err := Find(folder(t, tt.files), tt.admin)
		switch {
		case tt.url == "" && (err == nil || errors.Is(err, ErrAbsent) != tt.absent):
			t.Errorf("%s: %+v, %v", name, a, err)
		case tt.url != "" && (err != nil || a.URL != tt.url || a.Token != "token"):
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

// TestAnswersOfStrangers talks to what is no instance, or says no.
func TestAnswersOfStrangers(t *testing.T) {
	elsewhere := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer other.Close()
	for name, tt := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"a refusal":  {400, `{"error":{"kind":"invalid_request","message":"because"}}`, "because"},
		"HTML":       {404, `<html>`, "no answer of Headworks"},
		"no words":   {500, `{"error":{}}`, "no answer of Headworks"},
		"a redirect": {307, ``, "no answer of Headworks"},
		"no JSON":    {200, `<html>`, "invalid character"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer token" {
				t.Errorf("%s: the token is %q", name, r.Header.Get("Authorization"))
			}
			w.Header().Set("Location", other.URL)
			w.WriteHeader(tt.status)
			io.WriteString(w, tt.body)
		}))
		a, err := Find(folder(t, map[string]string{identity.AdminTokenFile: "token\n"}), s.URL)
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.Status(t.Context())
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
		if e, ok := errors.AsType[*Error](err); tt.status != 200 && (!ok || e.Status != tt.status) {
			t.Errorf("%s: %v", name, err)
		}
		s.Close()
		if _, err := a.Status(t.Context()); !errors.Is(err, ErrAbsent) {
			t.Errorf("nobody there: %v", err)
		}
	}
	if elsewhere > 0 {
		t.Error("the token went elsewhere")
	}
}

// TestAsk reads answers that are whole, and some that only look so.
func TestAsk(t *testing.T) {
	event := func(text, finish string) string {
		b, err := json.Marshal(map[string]any{"choices": []any{map[string]any{"delta": map[string]string{"content": text}, "finish_reason": finish}}})
		if err != nil {
			t.Fatal(err)
		}
		return "data: " + string(b) + "\n\n"
	}
	const usage = `data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}` + "\n\n"
	const done = "data: [DONE]\n\n"
	for name, tt := range map[string]struct {
		status int
		body   string
		cut    bool   // an error of Ask's own
		code   string // of the error that was told
		answer string
	}{
		"whole":                  {200, ": alive\n\n" + event("one ", "") + event("two", "stop") + usage + done, false, "", "one two"},
		"no end":                 {200, event("one ", ""), true, "", "one "},
		"a finish, no end":       {200, event("one ", "stop"), true, "", "one "},
		"an end, no finish":      {200, event("one ", "") + done, true, "", "one "},
		"nothing":                {200, "", true, "", ""},
		"an error in the stream": {200, event("one ", "") + `data: {"error":{"message":"m","type":"t","code":"c"}}` + "\n\n", false, "c", "one "},
		"an error and an end":    {200, event("one ", "stop") + `data: {"error":{"message":"m","type":"t","code":"c"}}` + "\n\n" + done, false, "c", "one "},
		"half an event":          {200, event("one ", "") + "data: {\"choices\"\n\n" + done, true, "", "one "},
		"a status":               {503, `{"error":{"message":"m","type":"t","code":"c"}}`, false, "c", ""},
		"a status of a stranger": {502, `<html>`, false, "", ""},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/chat/completions" || r.Header.Get("Authorization") != "Bearer key" {
				t.Errorf("%s: %s with %q", name, r.URL.Path, r.Header.Get("Authorization"))
			}
			w.Header().Set("X-Request-Id", "req_1")
			w.WriteHeader(tt.status)
			io.WriteString(w, tt.body)
		}))
		said := ""
		r, err := API{BaseURL: s.URL + "/v1", Key: "key"}.Ask(t.Context(), "m", "hello", func(text string) { said += text })
		s.Close()
		failed := tt.code != "" || tt.status != 200
		if (err != nil) != tt.cut || (r.Error != nil) != failed || failed && (r.Error.Code != tt.code || r.Error.Status != tt.status) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if r.Answer != tt.answer || said != tt.answer || r.RequestID != "req_1" {
			t.Errorf("%s: %+v, said %q", name, r, said)
		}
		if name == "whole" && (r.Finish != "stop" || r.Input != 3 || r.Output != 2) {
			t.Errorf("%+v", r)
		}
	}
}

// TestOneCertificateIsTrusted asks over TLS an instance whose certificate no authority
// vouches for.
func TestOneCertificateIsTrusted(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "data: {\"choices\":[{\"delta\":{\"content\":\"yes\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	}))
	defer s.Close()
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	sum := sha256.Sum256(s.Certificate().Raw)
	own, other := hex.EncodeToString(sum[:]), strings.Repeat("0", 64)
	for certificate, trusted := range map[string]bool{own: true, other: false, "": false} {
		r, err := API{BaseURL: s.URL + "/v1", Certificate: certificate, Key: "key"}.Ask(t.Context(), "m", "hello", func(string) {})
		if trusted != (err == nil) || trusted != (r.Answer == "yes") {
			t.Errorf("%q: %+v, %v", certificate, r, err)
		}
	}
}
