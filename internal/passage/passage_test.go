package passage

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The zero Audience reads nothing, an operator everything, and others what one of their
// principals may.
func TestAudience(t *testing.T) {
	if (Audience{}).May([]string{Everybody, "tenant:a"}) || !Operator().May(nil) || Readers("tenant:a").May(nil) {
		t.Error("somebody may read what is not his, or may not what is")
	}
	name := rapid.SampledFrom([]string{"*", "tenant:a", "tenant:b", "project:a/x", "key:1", "key:2"})
	rapid.Check(t, func(t *rapid.T) {
		is, may := rapid.SliceOfN(name, 0, 4).Draw(t, "is"), rapid.SliceOfN(name, 0, 4).Draw(t, "may")
		want := slices.ContainsFunc(is, func(p string) bool { return slices.Contains(may, p) })
		if got := Readers(is...).May(may); got != want {
			t.Fatalf("%q may read what %q may: %v", is, may, got)
		}
		again := slices.Clone(is)
		slices.Reverse(again)
		if Readers(is...).Key() != Readers(again...).Key() {
			t.Fatalf("the order of %q counts", is)
		}
	})
}

// Two audiences have one key only if they may read the same.
func TestKeysOfAudiences(t *testing.T) {
	seen := map[string]string{}
	for _, is := range [][]string{nil, {"*"}, {"tenant:a"}, {"tenant:a", "*"}, {"tenant:a\x00tenant:b"}, {"tenant:a", "tenant:b"}, {""}, {"operator"}} {
		key := Readers(is...).Key()
		if other, twice := seen[key]; twice {
			t.Errorf("%q and %q have one key", is, other)
		}
		seen[key] = strings.Join(is, "|")
	}
	if Operator().Key() == (Audience{}).Key() {
		t.Error("nobody is the operator")
	}
	for _, bad := range []string{"", "tenant:", "acme", "user:x", "project:x", "tenant:a\x00b", "tenant:a\n", "key:" + strings.Repeat("x", 300)} {
		if ValidPrincipal(bad) {
			t.Errorf("%q is a principal", bad)
		}
	}
}

// IDs are equal for equal things and differ where anything does.
func TestIDs(t *testing.T) {
	h := Hash{1}
	a := NewID("c", "d", h, 0)
	for i, b := range []ID{NewID("c2", "d", h, 0), NewID("c", "d2", h, 0), NewID("c", "d", Hash{2}, 0), NewID("c", "d", h, 1), NewID("cd", "", h, 0), NewID("", "cd", h, 0)} {
		if a == b {
			t.Errorf("%d is the same", i)
		}
	}
	if a != NewID("c", "d", h, 0) {
		t.Error("the same is another one")
	}
	if got, ok := ParseID(a.String()); !ok || got != a {
		t.Errorf("%v, %v", got, ok)
	}
	if _, ok := ParseID("xyz"); ok {
		t.Error("no ID is one")
	}
}

func TestIdentity(t *testing.T) {
	if (Identity{}).Key() != "" {
		t.Error("no embedder has a key")
	}
	a := Identity{Provider: "p", Model: "m", Dim: 3}
	seen := map[string]bool{}
	for _, i := range []Identity{a, {Provider: "p", Model: "m", Dim: 4}, {Provider: "q", Model: "m", Dim: 3}, {Provider: "p", Model: "m", Dim: 3, Prefix: "x"}, {Provider: "p", Model: "m", Dim: 3, Revision: "2"}, {Provider: "p", Model: "m", Dim: 3, Query: "x"}, {Provider: "p", Model: "m", Dim: 3, Normalise: true}} {
		if seen[i.Key()] {
			t.Errorf("%+v has the key of another one", i)
		}
		seen[i.Key()] = true
	}
}

func TestParseFilter(t *testing.T) {
	deep := strings.Repeat(`{"type":"and","filters":[`, 9) + `{"type":"eq","key":"a","value":1}` + strings.Repeat("]}", 9)
	wide := `{"type":"or","filters":[` + strings.Repeat(`{"type":"eq","key":"a","value":1},`, 300) + `{"type":"eq","key":"a","value":1}]}`
	for _, bad := range []string{
		"", "[]", "{}", `{"type":"like","key":"a","value":1}`, `{"type":"eq","value":1}`, `{"type":"eq","key":"a"}`, `{"type":"eq","key":"a","value":[1]}`,
		`{"type":"in","key":"a","value":1}`, `{"type":"and"}`, `{"type":"and","filters":[]}`, `{"type":"eq","key":"a","value":null}`, deep, wide,
	} {
		if _, err := ParseFilter([]byte(bad)); err == nil {
			t.Errorf("%.60s is read", bad)
		}
	}
}

func TestAttributes(t *testing.T) {
	many := Attributes{}
	for i := range 17 {
		many[strings.Repeat("a", i+1)] = Num(1)
	}
	for _, bad := range []Attributes{many, {"": Num(1)}, {strings.Repeat("a", 65): Num(1)}, {"a": Text(strings.Repeat("x", 513))}} {
		if bad.Check() == nil {
			t.Errorf("%d attributes pass", len(bad))
		}
	}
	a := Attributes{"t": Text("x"), "n": Num(1.5), "b": Truth(false)}
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var c Attributes
	if err := json.Unmarshal(b, &c); err != nil || len(c) != 3 || c["t"] != a["t"] || c["n"] != a["n"] || c["b"] != a["b"] {
		t.Errorf("%s is %+v, %v", b, c, err)
	}
}

// FuzzFilter: whatever is read as a filter matches or does not, and does not panic.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{`{"type":"eq","key":"a","value":"x"}`, `{"type":"and","filters":[{"type":"gt","key":"n","value":1},{"type":"nin","key":"a","value":["x",true]}]}`, `{"type":"lte","key":"n","value":-1e309}`} {
		f.Add(seed)
	}
	of := Attributes{"a": Text("x"), "n": Num(2), "b": Truth(true)}
	f.Fuzz(func(t *testing.T, source string) {
		g, err := ParseFilter([]byte(source))
		if err != nil {
			return
		}
		if g.Match(of) && g.Op == Eq && of[g.Name] != g.Values[0] {
			t.Errorf("%s matches", source)
		}
		g.Match(nil)
	})
}
