package identity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"headworks/internal/fault"
	"headworks/internal/tenant"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func pepper() *Pepper { return NewPepper(tenant.NewSecret("pepper of the tests")) }

func newKey(t testing.TB, id string) Key {
	t.Helper()
	k, err := NewKey(id)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func entry(p *Pepper, secret string, c tenant.Caller) Entry {
	return Entry{Digest: p.Digest([]byte(secret)), Caller: c}
}

func TestKeyFormat(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		k := newKey(t, "")
		text := k.Secret.Reveal()
		id, err := ParseKey(text)
		if err != nil || id != k.ID || seen[id] || seen[text] {
			t.Fatalf("key %s: id %q, error %v", text, id, err)
		}
		seen[id], seen[text] = true, true
	}
	if id, err := ParseKey(newKey(t, "local").Secret.Reveal()); id != "local" || err != nil {
		t.Errorf("id %q (%v), want local", id, err)
	}
	for _, id := range []string{"A", "a_b", "a b", strings.Repeat("a", 33), "é"} {
		if _, err := NewKey(id); err == nil {
			t.Errorf("id %q is taken", id)
		}
	}
}

// Any one character that is wrong, missing or more is seen.
func TestTyposAreSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, err := NewKey("")
		if err != nil {
			t.Fatal(err)
		}
		text := k.Secret.Reveal()
		i := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		c := rapid.StringMatching(`[ -~]?`).Draw(t, "char")
		for _, typo := range []string{text[:i] + c + text[i+1:], text[:i] + c + text[i:]} {
			if _, err := ParseKey(typo); typo != text && err == nil {
				t.Fatalf("%s passes for %s", typo, text)
			}
		}
	})
}

func FuzzParseKey(f *testing.F) {
	k, _ := NewKey("local")
	f.Add(k.Secret.Reveal())
	f.Add("hw___")
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := ParseKey(text); err == nil && (!validID(id) || !strings.HasPrefix(text, prefix+id+"_")) {
			t.Fatalf("%q has id %q", text, id)
		}
	})
}

func TestResolve(t *testing.T) {
	p := pepper()
	r := NewResolver(p)
	made := newKey(t, "")
	const pinned = "a secret of the operator's"
	err := r.Swap([]Entry{
		entry(p, made.Secret.Reveal(), tenant.Caller{KeyID: made.ID, Key: "ci", Tenant: "acme"}),
		entry(p, pinned, tenant.Caller{KeyID: "pinned", Key: "pinned"}),
		entry(p, "expired secret 000", tenant.Caller{KeyID: "old", Expires: now}),
		entry(p, "lasting secret 000", tenant.Caller{KeyID: "new", Expires: now.Add(time.Nanosecond)}),
		entry(NewPepper(tenant.NewSecret("another pepper")), "peppered otherwise", tenant.Caller{KeyID: "other"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	for credential, want := range map[string]string{
		made.Secret.Reveal(): made.ID,
		pinned:               "pinned",
		"lasting secret 000": "new",
	} {
		if c, err := r.Resolve([]byte(credential), now); err != nil || c.KeyID != want {
			t.Errorf("%s resolves to %+v (%v), want %s", credential, c, err, want)
		}
	}
	// Everything else is told in the same words.
	for _, credential := range []string{
		"", "expired secret 000", "peppered otherwise", "no such key", made.Secret.Reveal() + "x",
		strings.ToUpper(made.Secret.Reveal()), strings.Repeat("x", maxCredential+1), "\x00",
	} {
		c, err := r.Resolve([]byte(credential), now)
		f, ok := errors.AsType[*fault.Error](err)
		if c != nil || !ok || *f != *fault.New(fault.Unauthenticated, words) {
			t.Errorf("%.30q resolves to %v, error %v", credential, c, err)
		}
	}
}

func TestSwapRefuses(t *testing.T) {
	p := pepper()
	r := NewResolver(p)
	good := []Entry{entry(p, "secret number one", tenant.Caller{KeyID: "1", Key: "one"})}
	if err := r.Swap(good); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]Entry{
		"one secret twice": {good[0], entry(p, "secret number one", tenant.Caller{KeyID: "2", Key: "two"})},
		"one id twice":     {good[0], entry(p, "secret number two", tenant.Caller{KeyID: "1"})},
		"no id":            {entry(p, "secret number two", tenant.Caller{})},
	} {
		err := r.Swap(bad)
		if err == nil {
			t.Errorf("%s is taken", name)
		} else if strings.Contains(err.Error(), "secret number") {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
		if _, err := r.Resolve([]byte("secret number one"), now); err != nil {
			t.Errorf("%s: the keys before it are gone", name)
		}
	}
}

// Whatever is swapped in, a key has one slot for as long as the process lives, no
// two keys share one, and slots stay dense.
func TestSlots(t *testing.T) {
	p := pepper()
	rapid.Check(t, func(t *rapid.T) {
		r := NewResolver(p)
		slots := map[string]int{}
		for range rapid.IntRange(1, 6).Draw(t, "swaps") {
			ids := rapid.SliceOfNDistinct(rapid.StringMatching("[a-h]"), 0, 6, rapid.ID).Draw(t, "keys")
			var entries []Entry
			for _, id := range ids {
				entries = append(entries, entry(p, "secret of "+id, tenant.Caller{KeyID: id}))
			}
			if err := r.Swap(entries); err != nil {
				t.Fatal(err)
			}
			for _, id := range ids {
				c, err := r.Resolve([]byte("secret of "+id), now)
				if err != nil {
					t.Fatal(err)
				}
				if before, ok := slots[id]; ok && before != c.Slot {
					t.Fatalf("%s moved from slot %d to %d", id, before, c.Slot)
				}
				slots[id] = c.Slot
			}
		}
		taken := map[int]string{}
		for id, slot := range slots {
			if other, ok := taken[slot]; ok || slot < 0 || slot >= r.Slots() {
				t.Fatalf("slot %d of %d: %s and %s", slot, r.Slots(), id, other)
			}
			taken[slot] = id
		}
		if len(slots) != r.Slots() {
			t.Fatalf("%d slots for %d keys", r.Slots(), len(slots))
		}
	})
}

func TestResolveWhileSwapping(t *testing.T) {
	p := pepper()
	r := NewResolver(p)
	entries := []Entry{entry(p, "always there 0000", tenant.Caller{KeyID: "a"}), entry(p, "comes and goes 00", tenant.Caller{KeyID: "b"})}
	if err := r.Swap(entries); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				if _, err := r.Resolve([]byte("always there 0000"), now); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 200 {
		r.Swap(entries[:1+i%2])
	}
	wg.Wait()
}

func root(t *testing.T) (*os.Root, string) {
	t.Helper()
	dir := t.TempDir()
	r, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, dir
}

func TestAdminToken(t *testing.T) {
	data, dir := root(t)
	a, err := OpenAdminToken(data)
	if err != nil {
		t.Fatal(err)
	}
	b, err := OpenAdminToken(data)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, AdminTokenFile)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != a.Secret.Reveal()+"\n" || b.Secret.Reveal() != a.Secret.Reveal() {
		t.Errorf("the file holds %q, the token is another one", text)
	}
	if info, _ := os.Stat(file); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode().Perm())
	}
	token := strings.TrimSpace(string(text))
	for credential, want := range map[string]bool{token: true, "": false, token[1:]: false, token + "\n": false} {
		if got := b.Check([]byte(credential)); got != want {
			t.Errorf("%.20q is the token: %v, want %v", credential, got, want)
		}
	}
	if (AdminToken{}).Check(nil) {
		t.Error("nothing opens the zero token")
	}
}

func TestSecretFiles(t *testing.T) {
	whole := newKey(t, "x").Secret.Reveal()
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"chosen":       {"chosen-by-the-operator\n", true},
		"no newline":   {"chosen-by-the-operator", true},
		"a key":        {whole + "\n", true},
		"half a key":   {whole[:40] + "\n", false},
		"short":        {"short\n", false},
		"empty":        {"", false},
		"several":      {"one-secret-text-one\ntwo-secret-text-two\n", false},
		"binary zeros": {strings.Repeat(" ", 40), false},
	} {
		data, dir := root(t)
		file := filepath.Join(dir, PepperFile)
		os.WriteFile(file, []byte(c.text), 0o644)
		s, err := OpenSecret(data, PepperFile, "pepper")
		if (err == nil) != c.ok || c.ok && s.Reveal() != strings.TrimSpace(c.text) {
			t.Errorf("%s: %q, error %v", name, s.Reveal(), err)
		}
		if err != nil && len(strings.TrimSpace(c.text)) > 4 && strings.Contains(err.Error(), strings.TrimSpace(c.text)) {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
		if info, _ := os.Stat(file); c.ok && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, want it closed to 0600", name, info.Mode().Perm())
		}
	}
}

func TestPepper(t *testing.T) {
	data, _ := root(t)
	a, err := OpenPepper(data)
	if err != nil {
		t.Fatal(err)
	}
	b, err := OpenPepper(data)
	if err != nil {
		t.Fatal(err)
	}
	if a.ID() != b.ID() || a.Digest([]byte("k")) != b.Digest([]byte("k")) {
		t.Error("the pepper is another one after a restart")
	}
	c := pepper()
	if a.ID() == c.ID() || a.Digest([]byte("k")) == c.Digest([]byte("k")) {
		t.Error("two peppers are one")
	}
}

// No secret is in what these types print.
func TestNothingPrintsASecret(t *testing.T) {
	data, _ := root(t)
	token, err := OpenAdminToken(data)
	if err != nil {
		t.Fatal(err)
	}
	k := newKey(t, "")
	text := tenant.NewSecret("canary pepper 0123456789")
	p := NewPepper(text)
	p.Digest([]byte(k.Secret.Reveal()))
	r := NewResolver(p)
	r.Swap([]Entry{entry(p, k.Secret.Reveal(), tenant.Caller{KeyID: k.ID})})
	_, refused := r.Resolve([]byte(k.Secret.Reveal()+"x"), now)

	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	for _, v := range []any{k, token, p, r, refused, &k, &token} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		log.LogAttrs(context.Background(), slog.LevelInfo, "m", slog.Any("v", v))
	}
	for _, secret := range []string{k.Secret.Reveal(), token.Secret.Reveal(), text.Reveal()} {
		for _, leak := range []string{secret, secret[len(secret)-20:], fmt.Sprintf("%x", secret)} {
			if strings.Contains(out.String(), leak) {
				t.Errorf("%q is printed", leak)
			}
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	p := pepper()
	r := NewResolver(p)
	key := []byte(newKey(b, "").Secret.Reveal())
	var entries []Entry
	for i := range 1000 {
		entries = append(entries, entry(p, fmt.Sprint("another secret ", i), tenant.Caller{KeyID: fmt.Sprint(i)}))
	}
	r.Swap(append(entries, entry(p, string(key), tenant.Caller{KeyID: "k"})))
	for name, credential := range map[string][]byte{"known": key, "stranger": bytes.ToUpper(key)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.Resolve(credential, now)
			}
		})
	}
}
