package tenant

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func TestScope(t *testing.T) {
	web := Caller{KeyID: "k1", Tenant: "acme", Project: "web"}
	shared := web
	shared.Share = Public
	guest := Caller{KeyID: "k1", Tenant: "acme", Project: "web", Cell: "eu"}
	for _, tt := range []struct {
		c     *Caller
		reach Reach
		want  string // empty: not ok
	}{
		{&web, 0, ""},
		{&web, User, "user:acme/web/k1"},
		{&web, KeyOnly, "key:acme/web/k1"},
		{&web, Project, "project:acme/web"},
		{&web, Organisation, "organisation:acme"},
		{&web, Public, ""},
		{&web, Public + 1, ""},
		{&shared, Public, "public"},
		{&shared, Public + 1, ""},
		{&guest, KeyOnly, "key:acme/web/k1@eu"},
		{&guest, Project, "project:acme/web"},
		{&Caller{Tenant: "acme"}, KeyOnly, ""},
		{&Caller{Tenant: "acme"}, Project, "project:acme/"},
		{&Caller{KeyID: "k1"}, Project, ""},
		{&Caller{KeyID: "k1"}, Organisation, ""},
		{nil, Project, ""},
	} {
		s, ok := tt.c.Scope(tt.reach)
		if ok != (tt.want != "") || ok == s.IsZero() || ok && (s.String() != tt.want || s.Reach() != tt.reach) {
			t.Errorf("%v of %+v: %q, %v; want %q", tt.reach, tt.c, s, ok, tt.want)
		}
	}
	if !(Scope{}).IsZero() || (Scope{}).String() != "none" {
		t.Errorf("the zero Scope is %q", Scope{})
	}
}

func TestReachesHaveNames(t *testing.T) {
	for r := User; r <= Public; r++ {
		if got, ok := ParseReach(r.String()); !ok || got != r {
			t.Errorf("%v is read as %v, %v", r, got, ok)
		}
	}
	for _, name := range []string{"", "none", "Project", "everybody"} {
		if r, ok := ParseReach(name); ok {
			t.Errorf("%q is %v", name, r)
		}
	}
}

// TestScopesApart: two callers have one scope only if they agree on all that its
// reach names, and scopes that are not equal have bytes of which none begins with
// the other's.
func TestScopesApart(t *testing.T) {
	name := rapid.StringMatching(`[ab/@]{0,3}`)
	caller := rapid.Custom(func(t *rapid.T) *Caller {
		return &Caller{
			KeyID: name.Draw(t, "key"), Tenant: name.Draw(t, "tenant"), Project: name.Draw(t, "project"),
			Cell: name.Draw(t, "cell"), Share: Public,
		}
	})
	reach := rapid.Map(rapid.IntRange(int(User), int(Public)), func(n int) Reach { return Reach(n) })
	rapid.Check(t, func(t *rapid.T) {
		a, b := caller.Draw(t, "a"), caller.Draw(t, "b")
		ra, rb := reach.Draw(t, "reach of a"), reach.Draw(t, "reach of b")
		sa, okA := a.Scope(ra)
		sb, okB := b.Scope(rb)
		if !okA || !okB {
			return
		}
		same := ra == rb && (ra == Public || a.Tenant == b.Tenant && (ra == Organisation || a.Project == b.Project &&
			(ra == Project || a.Cell == b.Cell && a.KeyID == b.KeyID)))
		if same != (sa == sb) {
			t.Fatalf("%+v %v and %+v %v: equal is %v", a, ra, b, rb, sa == sb)
		}
		x, y := sa.Append(nil), sb.Append(nil)
		if sa != sb && (bytes.HasPrefix(x, y) || bytes.HasPrefix(y, x)) {
			t.Fatalf("%q and %q", x, y)
		}
	})
}
