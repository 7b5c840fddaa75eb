package cell

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const secret = "a secret of all cells"

var now = time.UnixMilli(1_795_600_000_000)

func drawPass(t *rapid.T) *Pass {
	text := rapid.StringN(0, 40, 200)
	p := &Pass{From: rapid.StringN(1, 20, 80).Draw(t, "from"), Sent: now.UnixMilli() + rapid.Int64Range(-lives.Milliseconds(), lives.Milliseconds()).Draw(t, "sent"), Path: text.Draw(t, "path"), For: text.Draw(t, "for"), Sum: text.Draw(t, "sum")}
	if rapid.Bool().Draw(t, "has a caller") {
		p.Caller = &Caller{
			ID: text.Draw(t, "id"), Key: text.Draw(t, "key"), Tenant: text.Draw(t, "tenant"), Project: text.Draw(t, "project"),
			Tier: text.Draw(t, "tier"), Class: rapid.Uint8().Draw(t, "class"), Concurrency: rapid.Int().Draw(t, "concurrency"),
			Model: text.Draw(t, "model"), Bound: rapid.Bool().Draw(t, "bound"), Region: text.Draw(t, "region"), Zone: text.Draw(t, "zone"),
		}
		if regions := rapid.SliceOfN(text, 1, 5); rapid.Bool().Draw(t, "has regions") {
			p.Caller.Regions = regions.Draw(t, "regions")
		}
	}
	return p
}

// TestPass: what is sealed is read back, for its path, in its time and with its secret
// alone, and with any byte changed it is none.
func TestPass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPass(t)
		field, err := Seal(secret, p)
		if err != nil {
			if len(field) != 0 || !errors.Is(err, errLong) {
				t.Fatalf("%+v: %q, %v", p, field, err)
			}
			return
		}
		if strings.ContainsAny(field, " \r\n") || len(field) > mostPass {
			t.Fatalf("%q is no field", field)
		}
		got, err := Open(secret, []byte(field), p.For, p.Path, now)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Fatalf("%+v became %+v, %v", p, got, err)
		}
		at := rapid.IntRange(0, len(field)-1).Draw(t, "at")
		changed := []byte(field)
		changed[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
		for name, open := range map[string]func() (*Pass, error){
			"changed":        func() (*Pass, error) { return Open(secret, changed, p.For, p.Path, now) },
			"another secret": func() (*Pass, error) { return Open(secret+"x", []byte(field), p.For, p.Path, now) },
			"no secret":      func() (*Pass, error) { return Open("", []byte(field), p.For, p.Path, now) },
			"another path":   func() (*Pass, error) { return Open(secret, []byte(field), p.For, p.Path+"/x", now) },
			"another cell":   func() (*Pass, error) { return Open(secret, []byte(field), p.For+"x", p.Path, now) },
			"later": func() (*Pass, error) {
				return Open(secret, []byte(field), p.For, p.Path, time.UnixMilli(p.Sent).Add(lives+time.Millisecond))
			},
			"earlier": func() (*Pass, error) {
				return Open(secret, []byte(field), p.For, p.Path, time.UnixMilli(p.Sent).Add(-lives-time.Millisecond))
			},
		} {
			if got, err := open(); err == nil {
				t.Fatalf("%s: %+v is taken", name, got)
			}
		}
	})
}

// TestSum: bodies have sums of their own, which a field can carry.
func TestSum(t *testing.T) {
	// NIST FIPS 180-2, appendix B.1.
	if got, want := Sum([]byte("abc")), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if Sum(nil) == "" || Sum(nil) == Sum([]byte{0}) {
		t.Error("an empty body has no sum of its own")
	}
}

// TestPurpose: what is signed for one purpose proves nothing for another.
func TestPurpose(t *testing.T) {
	if sign(secret, "pass", []byte("x")) == sign(secret, "report", []byte("x")) {
		t.Error("a pass is a report")
	}
}

func TestReport(t *testing.T) {
	pass := []byte("a pass")
	r := &Report{Region: "us", Process: "1", Room: 7, Models: map[string]Model{"m": {TTFT: 12.5}}}
	body, proof, err := Answer(secret, pass, r)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := read(secret, string(pass), body, proof); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%+v became %+v, %v", r, got, err)
	}
	for name, c := range map[string]struct{ secret, pass, body, proof string }{
		"another secret":     {secret + "x", string(pass), string(body), proof},
		"an answer to other": {secret, "another pass", string(body), proof},
		"changed":            {secret, string(pass), strings.Replace(string(body), "7", "8", 1), proof},
		"no proof":           {secret, string(pass), string(body), ""},
	} {
		if got, err := read(c.secret, c.pass, []byte(c.body), c.proof); err == nil {
			t.Errorf("%s: %+v is taken", name, got)
		}
	}
	for _, body := range []string{``, `{}`, `{"version":2}`, `{"version":1,"room":-1}`, `{"version":1,"models":{"m":{"ttft_ms":-1}}}`, `{"version":1,"models":{"m":{"ttft_ms":1e9}}}`, `[]`} {
		if got, err := parseReport([]byte(body)); err == nil {
			t.Errorf("%s is read as %+v", body, got)
		}
	}
}

// FuzzPass: what is no pass is none, and one that is has one form.
func FuzzPass(f *testing.F) {
	f.Add("eyJ2IjoyLCJmcm9tIjoieCIsImF0IjowLCJ0byI6IiJ9")
	f.Add("")
	f.Add("e30")
	f.Fuzz(func(t *testing.T, body string) {
		p, err := parse([]byte(body))
		if err != nil {
			return
		}
		field, err := Seal(secret, p)
		if err != nil {
			return
		}
		again, err := Open(secret, []byte(field), p.For, p.Path, time.UnixMilli(p.Sent))
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%+v became %+v, %v", p, again, err)
		}
	})
}

// FuzzReport: bytes are a report within its bounds, or none.
func FuzzReport(f *testing.F) {
	f.Add([]byte(`{"version":1,"region":"us","process":"1","draining":false,"room":3,"models":{"m":{"ttft_ms":1}}}`))
	f.Add([]byte(`{"version":1,"models":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parseReport(b); err == nil && (r.Version != version || r.Room < 0 || len(r.Models) > mostModels) {
			t.Fatalf("%s is read as %+v", b, r)
		}
	})
}
