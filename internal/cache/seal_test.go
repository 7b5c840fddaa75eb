package cache

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"headworks/internal/tenant"
)

func sealers() map[string]sealer {
	return map[string]sealer{"encrypted": newSealer([]byte("secret"), true), "plain": newSealer([]byte("secret"), false)}
}

func entries(e *epochs) *rapid.Generator[Entry] {
	return rapid.Custom(func(t *rapid.T) Entry {
		moment := func(name string) (at time.Time) {
			if n := rapid.Int64Range(0, 1<<61).Draw(t, name); n > 0 {
				at = time.Unix(0, n)
			}
			return at
		}
		out := Entry{
			Value: rapid.SliceOf(rapid.Byte()).Draw(t, "value"), Stored: moment("stored"), Expires: moment("expires"), Until: moment("until"),
			Took: time.Duration(rapid.Int64().Draw(t, "took")), Cost: rapid.Int64().Draw(t, "cost"), Tokens: rapid.Int().Draw(t, "tokens"),
		}
		for range rapid.IntRange(0, 5).Draw(t, "marks") {
			name := EpochName{EpochKind(rapid.IntRange(0, int(EpochKinds)-1).Draw(t, "kind")), rapid.String().Draw(t, "name")}
			out.Marks = append(out.Marks, Mark{e.of(name), rapid.Uint64().Draw(t, "n"), rapid.Uint64().Draw(t, "all")})
		}
		return out
	})
}

// TestSealed: what is sealed comes back as it was, at its own place alone, under its own
// secret alone.
func TestSealed(t *testing.T) {
	var e epochs
	if err := e.open(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	for name, s := range sealers() {
		t.Run(name, func(t *testing.T) {
			other := newSealer([]byte("another"), s.encrypt)
			rapid.Check(t, func(t *rapid.T) {
				want := entries(&e).Draw(t, "entry")
				p := place(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "place"))
				b, err := s.seal(p, &want)
				if err != nil {
					t.Fatal(err)
				}
				got, ok := s.open(p, b, e.of)
				if !bytes.Equal(got.Value, want.Value) {
					ok = false
				}
				got.Value = want.Value // nothing and none are one
				if !ok || !reflect.DeepEqual(got, want) {
					t.Fatalf("%+v, want %+v (%v)", got, want, ok)
				}
				q := p
				q[rapid.IntRange(0, 31).Draw(t, "byte")] ^= 1
				if _, ok := s.open(q, b, e.of); ok {
					t.Fatal("opened at another place")
				}
				if _, ok := other.open(p, b, e.of); ok {
					t.Fatal("opened with another secret")
				}
			})
		})
	}
}

// TestPlaces: scopes, layers and keys each have places of their own.
func TestPlaces(t *testing.T) {
	s := newSealer([]byte("secret"), true)
	seen := map[place]bool{}
	for _, tenantName := range []string{"a", "b", "ab"} {
		for _, reach := range []tenant.Reach{tenant.KeyOnly, tenant.Project, tenant.Organisation} {
			of, _ := (&tenant.Caller{KeyID: "k", Tenant: tenantName}).Scope(reach)
			for l := range Layers {
				for _, k := range []Key{{}, {1}, {31: 1}} {
					seen[s.place(l, of, k)] = true
				}
			}
		}
	}
	if len(seen) != 3*3*int(Layers)*3 {
		t.Errorf("%d places", len(seen))
	}
}

// FuzzDecode: whatever stands behind a right MAC, nothing breaks.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add(encode(&Entry{Value: []byte("x"), Stored: time.Unix(1, 0), Marks: []Mark{{}}}))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		var e epochs
		if err := e.open(t.Context(), nil, nil); err != nil {
			t.Fatal(err)
		}
		got, ok := decode(b, e.of)
		if !ok {
			return
		}
		again, ok := decode(encode(&got), e.of)
		if !ok || !bytes.Equal(again.Value, got.Value) || len(again.Marks) != len(got.Marks) || again.Cost != got.Cost {
			t.Fatalf("%+v, and again %+v", got, again)
		}
	})
}

// FuzzOpen: nothing that was not sealed is opened.
func FuzzOpen(f *testing.F) {
	for _, s := range sealers() {
		b, err := s.seal(place{1}, &Entry{Value: []byte("x")})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, s := range sealers() {
			if _, ok := s.open(place{2}, b, nil); ok {
				t.Fatalf("%s opens %x", name, b)
			}
		}
	})
}
