package app

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headworks/internal/api/admin"
	"headworks/internal/identity"
	"headworks/internal/store/sqlite"
)

// create creates a key by the admin API.
func (i *instance) create(t *testing.T, body string) admin.CreatedKey {
	t.Helper()
	r := i.ask(t, "POST", "/api/keys", body)
	if r.status != 200 {
		t.Fatalf("creating %s: %d %s", body, r.status, r.body)
	}
	var k admin.CreatedKey
	if err := json.Unmarshal([]byte(r.body), &k); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeysTakeEffectAtOnce(t *testing.T) {
	e := newLab(t, false)
	i := serve(t, file("tiers: {pro: {concurrency: 3}}", e.URL))
	k := i.create(t, `{"name":"app","tenant":"acme","project":"p","tier":"pro","models":["m"]}`)
	if id, err := identity.ParseKey(k.Secret); err != nil || id != k.ID {
		t.Errorf("key %q of id %q: %v", k.Secret, k.ID, err)
	}
	for _, header := range []string{"Authorization", "X-Api-Key"} {
		value := k.Secret
		if header == "Authorization" {
			value = "Bearer " + value
		}
		if r := i.send(t, "POST", i.BaseURL()+"/chat/completions", "", question("m", false), header, value); r.status != 200 {
			t.Errorf("%s: %d %s", header, r.status, r.body)
		}
	}
	if r := i.chat(t, k.Secret, "lab/any", false); r.status != 404 {
		t.Errorf("a model that the key may not use: %d %s", r.status, r.body)
	}
	list := i.ask(t, "GET", "/api/keys", "").body
	if strings.Contains(list, k.Secret) || strings.Contains(list, pinned) || !strings.Contains(list, k.ID) {
		t.Errorf("keys: %s", list)
	}
	if used := i.keys.used(t); used["app"] != 2 || used["tests"] != 0 {
		t.Errorf("used: %v", used)
	}
	for _, by := range []string{"app", k.ID} {
		r := i.ask(t, "DELETE", "/api/keys/"+by, "")
		if want := map[string]int{"app": 200, k.ID: 404}[by]; r.status != want {
			t.Errorf("revoking %s: %d %s, want %d", by, r.status, r.body, want)
		}
	}
	revoked := i.chat(t, k.Secret, "m", false)
	unknown := i.chat(t, "hw_never_was", "m", false)
	if revoked.status != 401 || revoked.body != unknown.body {
		t.Errorf("a revoked key gets %d %s, an unknown one %s", revoked.status, revoked.body, unknown.body)
	}
	again := i.create(t, `{"name":"app"}`) // the name is free again
	if r := i.chat(t, again.Secret, "m", false); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	i := serve(t, file("tiers: {pro: {concurrency: 3}}", newLab(t, false).URL))
	i.create(t, `{"name":"there"}`)
	for body, want := range map[string]string{
		`{"name":"there"}`: "of that name already",
		`{"name":"tests"}`: "pinned",
		`{"name":""}`:      "needs a name",
		`{"name":"` + strings.Repeat("x", 65) + `"}`:               "needs a name",
		`{"name":"x","tier":"gold"}`:                               "no such tier",
		`{"name":"a\nb"}`:                                          "printable",
		`{"name":"x","tenant":"\u001b[2J"}`:                        "printable",
		`{"name":"x","project":"` + strings.Repeat("x", 65) + `"}`: "printable",
		`{"name":"x","models":[]}`:                                 "allow nothing",
		`{"name":"x","models":["m",""]}`:                           "at its end",
		`{"name":"x","models":["a*b"]}`:                            "at its end",
		`{"nam":"x"}`:                                              "not a key",
		`{"name":1}`:                                               "not a key",
		``:                                                         "not a key",
		`{"name":"x","expires":"tomorrow"}`:                        "not a key",
		`{"name":"` + strings.Repeat("x", 2<<20) + `"}`:            "not a key",
		`{"name":"x","expires":"2001-01-01T00:00:00.00Z"}`:         "expires",
	} {
		if r := i.ask(t, "POST", "/api/keys", body); r.status != 400 || !strings.Contains(r.body, want) {
			t.Errorf("%.40s: %d %s, want %q", body, r.status, r.body, want)
		}
	}
	for _, name := range []string{"tests", "file:tests"} {
		if r := i.ask(t, "DELETE", "/api/keys/"+name, ""); r.status != 400 || !strings.Contains(r.body, "pinned") {
			t.Errorf("revoking %s: %d %s", name, r.status, r.body)
		}
	}
	if r := i.ask(t, "DELETE", "/api/keys/nobody", ""); r.status != 404 {
		t.Errorf("revoking nobody: %d %s", r.status, r.body)
	}
}

// TestKeysOfAnotherProcess changes the store behind the instance's back, as a
// second process does that has the file open.
func TestKeysOfAnotherProcess(t *testing.T) {
	e := newLab(t, false)
	i := serve(t, file("", e.URL))
	k := i.create(t, `{"name":"app"}`)
	other, err := sqlite.Open(t.Context(), filepath.Join(i.data, "headworks.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if r := i.chat(t, k.Secret, "m", false); r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	made, err := identity.NewKey("")
	if err != nil {
		t.Fatal(err)
	}
	digest := i.keys.pepper.Digest([]byte(made.Secret.Reveal()))
	err = other.CreateKey(t.Context(), sqlite.Key{
		ID: made.ID, Name: "elsewhere", Digest: digest[:], Pepper: i.keys.pepper.ID(), Tenant: "acme", Created: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.RevokeKey(t.Context(), k.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a key of another process is taken in, and one it revoked is out", func() bool {
		return i.chat(t, made.Secret.Reveal(), "m", false).status == 200 && i.chat(t, k.Secret, "m", false).status == 401
	})
}

func TestKeysOfTheFile(t *testing.T) {
	e := newLab(t, false)
	past, soon := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	keys := func(more string) string {
		return file("", e.URL) + fmt.Sprintf(`
  - {name: over, secret: secret-of-one-that-is-over, expires: %s}
  - {name: soon, secret: secret-of-one-that-is-not, expires: %s}
%s`, past, soon, more)
	}
	i := serve(t, keys("  - {name: narrow, secret: secret-of-a-narrow-one, models: [\"lab/*\"]}\n"))
	for _, tt := range []struct {
		key, model string
		want       int
	}{
		{pinned, "m", 200},
		{"secret-of-one-that-is-over", "m", 401},
		{"secret-of-one-that-is-not", "m", 200},
		{"secret-of-a-narrow-one", "m", 404},
		{"secret-of-a-narrow-one", "lab/any", 200},
		{"", "m", 401},
		{pinned + "x", "m", 401},
	} {
		if r := i.chat(t, tt.key, tt.model, false); r.status != tt.want {
			t.Errorf("%s asks %s: %d %s, want %d", tt.key, tt.model, r.status, r.body, tt.want)
		}
	}
	i.write(t, keys("  - {name: late, secret: secret-of-a-late-one}\n"))
	if _, err := i.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := i.chat(t, "secret-of-a-late-one", "m", false); r.status != 200 {
		t.Errorf("a key that the file gained: %d %s", r.status, r.body)
	}
	if r := i.chat(t, "secret-of-a-narrow-one", "lab/any", false); r.status != 401 {
		t.Errorf("a key that the file lost: %d %s", r.status, r.body)
	}
}

// TestTiersBoundKeys lets a key have two requests at once, whatever its file says
// of others, and takes a change over while requests run.
func TestTiersBoundKeys(t *testing.T) {
	e := newLab(t, true)
	source := func(n int) string {
		return strings.Replace(file(fmt.Sprintf("tiers: {few: {concurrency: %d}}", n), e.URL),
			"secret: "+pinned, "secret: "+pinned+", tier: few", 1)
	}
	i := serve(t, source(2))
	stored := i.create(t, `{"name":"app","tier":"few"}`).Secret
	for _, key := range []string{pinned, stored} {
		i.stream(t, key, "m")
		i.stream(t, key, "m")
		if r := i.chat(t, key, "m", true); r.status != 429 || !strings.Contains(r.body, `"concurrency_limit"`) {
			t.Errorf("a third: %d %s", r.status, r.body)
		}
	}
	i.write(t, source(3))
	if _, err := i.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{pinned, stored} {
		i.stream(t, key, "m")
		if r := i.chat(t, key, "m", true); r.status != 429 {
			t.Errorf("a fourth: %d %s", r.status, r.body)
		}
	}
	e.release()
	eventually(t, "places are given back", func() bool { return i.chat(t, pinned, "m", false).status == 200 })
}

func TestBodyLimit(t *testing.T) {
	e := newLab(t, false)
	i := serve(t, file("limits: {body: 2KiB}", e.URL))
	body := func(n int) string {
		return fmt.Sprintf(`{"model":"m","messages":[{"role":"user","content":%q}]}`, strings.Repeat("x", n))
	}
	ask := func(n int) reply {
		return i.send(t, "POST", i.BaseURL()+"/chat/completions", pinned, body(n))
	}
	if r := ask(1500); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := ask(3000); r.status != 413 || !strings.Contains(r.body, `"request_too_large"`) {
		t.Errorf("%d %s", r.status, r.body)
	}
	i.write(t, file("limits: {body: 8KiB}", e.URL))
	if _, err := i.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := ask(3000); r.status != 200 {
		t.Errorf("with more room: %d %s", r.status, r.body)
	}
	if e.asked() != 2 {
		t.Errorf("the engine saw %d requests", e.asked())
	}
}
