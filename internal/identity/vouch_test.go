package identity

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"headworks/internal/fault"
	"headworks/internal/tenant"
)

// TestVouched: who is known here by tenant and name is who he is here, and others are
// guests; of residency both rules hold, and of models only the one that was asked for.
func TestVouched(t *testing.T) {
	r := NewResolver(pepper())
	p := pepper()
	in := func(regions ...string) tenant.Residency { return tenant.Residency{Bound: true, Regions: regions} }
	if err := r.Swap([]Entry{
		entry(p, "secret-0", tenant.Caller{KeyID: "own", Key: "app", Tenant: "acme", Tier: tenant.Tier{Name: "gold"}, Residency: in("eu", "ap"), Region: "eu"}),
		entry(p, "secret-1", tenant.Caller{KeyID: "free", Key: "free", Tenant: "acme"}),
		entry(p, "secret-2", tenant.Caller{KeyID: "few", Key: "few", Tenant: "acme", Models: []string{"m"}}),
		entry(p, "secret-3", tenant.Caller{KeyID: "old", Key: "old", Tenant: "acme", Expires: now}),
		entry(p, "secret-4", tenant.Caller{KeyID: "one", Key: "twice", Tenant: "acme"}),
		entry(p, "secret-5", tenant.Caller{KeyID: "two", Key: "twice", Tenant: "acme"}),
	}); err != nil {
		t.Fatal(err)
	}
	told := func(key string, more func(*tenant.Caller)) tenant.Caller {
		c := tenant.Caller{KeyID: "there", Key: key, Tenant: "acme", Cell: "us", Models: []string{"m"}, Tier: tenant.Tier{Name: "silver"}, Region: "us"}
		if more != nil {
			more(&c)
		}
		return c
	}
	for name, c := range map[string]struct {
		told   tenant.Caller
		id     string
		tier   string
		region string
		in     tenant.Residency
		fault  fault.Kind
	}{
		"known":             {told: told("app", nil), id: "own", tier: "gold", region: "eu", in: in("eu", "ap")},
		"two rules":         {told: told("app", func(c *tenant.Caller) { c.Residency = in("us", "ap") }), id: "own", tier: "gold", region: "eu", in: in("ap")},
		"the rule of there": {told: told("free", func(c *tenant.Caller) { c.Residency = in("us") }), id: "free", region: "us", in: in("us")},
		"rules of nothing":  {told: told("app", func(c *tenant.Caller) { c.Residency = in("us") }), id: "own", tier: "gold", region: "eu", in: in()},
		"a guest":           {told: told("unknown", func(c *tenant.Caller) { c.Residency = in("us") }), id: "cell:us:there", tier: "silver", region: "us", in: in("us")},
		"another tenant":    {told: told("app", func(c *tenant.Caller) { c.Tenant = "other" }), id: "cell:us:there", tier: "silver", region: "us"},
		"of one name":       {told: told("twice", nil), id: "cell:us:there", tier: "silver", region: "us"},
		"its model":         {told: told("few", nil), id: "few", region: "us"},
		"another model":     {told: told("few", func(c *tenant.Caller) { c.Models = []string{"x"} }), fault: fault.Forbidden},
		"expired":           {told: told("old", nil), fault: fault.Unauthenticated},
	} {
		got, err := r.Vouched(c.told, now)
		if c.fault != fault.None {
			if fault.Of(err) == nil || fault.Of(err).Kind != c.fault || got != nil {
				t.Errorf("%s: %v, %v", name, got, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.KeyID != c.id || got.Tier.Name != c.tier || got.Region != c.region || got.Cell != "us" {
			t.Errorf("%s: %+v", name, got)
		}
		if got.Residency.Bound != c.in.Bound || !slices.Equal(got.Residency.Regions, c.in.Regions) {
			t.Errorf("%s: stays in %+v, want %+v", name, got.Residency, c.in)
		}
		if got.May("another") || !got.May(c.told.Models[0]) {
			t.Errorf("%s: may ask for %v", name, got.Models)
		}
	}
	known, err := r.Resolve([]byte("secret-0"), now)
	if err != nil || known.Cell != "" || known.Models != nil || len(known.Residency.Regions) != 2 {
		t.Errorf("he who came himself is now %+v, %v", known, err)
	}
}

// TestGuests: each has a place of his own in the counts, the same each time, until
// there are too many; then those of one cell share one.
func TestGuests(t *testing.T) {
	r := NewResolver(pepper())
	seen := map[int]string{}
	ask := func(id, cell string) int {
		c, err := r.Vouched(tenant.Caller{KeyID: id, Key: id, Tenant: "t", Cell: cell, Models: []string{"m"}}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return c.Slot
	}
	for i := range maxSlots {
		slot := ask(fmt.Sprint(i), "us")
		if by, twice := seen[slot]; twice {
			t.Fatalf("guest %d has the place of %s", i, by)
		}
		seen[slot] = fmt.Sprint(i)
	}
	if seen[ask("7", "us")] != "7" {
		t.Error("a guest who comes again has another place")
	}
	a, b, c := ask("one more", "us"), ask("and one", "us"), ask("another", "ap")
	if a != b || a == c {
		t.Errorf("beyond the bound guests of a cell have the places %d and %d, and of another %d", a, b, c)
	}
}
