package config

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"headworks/internal/place"
)

const placed = `region: eu-west
zone: a
upstreams:
  eu: {kind: vllm, replicas: [{url: http://10.0.0.1:8000/, zone: a}, {url: http://10.0.0.2:8000, zone: b}, {url: http://10.0.0.3:8000, region: eu-central}], region: eu-west}
  us: {kind: vllm, urls: [http://10.9.0.1:8000], region: us-east}
models:
  m: {policy: nearest, targets: [{upstream: eu, model: x}, {upstream: us, model: x, weight: 2}]}
regions: {eu: [eu-west, eu-central]}
distances: {eu-west: {us-east: 80ms}}
places: {us-east: [10.9.0.0/16], eu-west/b: [10.1.0.0/16, 10.2.0.7]}
trusted_proxies: [10.0.0.0/24]
tenants: {acme: {residency: [eu]}}
tiers: {gov: {residency: [eu-central]}}
keys:
  - {name: k, secret: 0123456789abcdefg, tenant: acme, tier: gov, place: eu-west/a}
`

func TestPlacesOfAFile(t *testing.T) {
	c := valid(t, placed, nil)
	u := c.Upstreams["eu"]
	if want := []string{"http://10.0.0.1:8000", "http://10.0.0.2:8000", "http://10.0.0.3:8000"}; !slices.Equal(u.URLs, want) {
		t.Errorf("URLs %q, want %q", u.URLs, want)
	}
	for i, want := range []string{"eu-west/a", "eu-west/b", "eu-central"} {
		if got := u.Place(i).String(); got != want {
			t.Errorf("replica %d is at %s, want %s", i, got, want)
		}
	}
	if n := c.Counts().Replicas; n != 4 {
		t.Errorf("%d replicas", n)
	}
	a := c.Atlas()
	if d := a.Trip(a.Region("us-east"), a.Region("eu-west")); showDuration(d) != "80ms" {
		t.Errorf("the trip takes %v", d)
	}
	f := c.Finder()
	for addr, want := range map[string]string{"10.9.3.4": "us-east", "10.1.0.9": "eu-west/b", "10.2.0.7": "eu-west/b", "10.2.0.8": "eu-west/a"} {
		if got, _ := f.Find(place.Place{}, netip.MustParseAddr(addr), nil); got.String() != want {
			t.Errorf("%s is at %s, want %s", addr, got, want)
		}
	}
	if at := c.Keys[0].At(); at.String() != "eu-west/a" {
		t.Errorf("the key is at %s", at)
	}
}

func TestResidencyOfKeys(t *testing.T) {
	c := valid(t, placed, nil)
	for name, tt := range map[string]struct {
		tenant, tier string
		own          []string
		want         string
		ok           bool
	}{
		"no rule":            {"", "", nil, "anywhere", true},
		"of the tenant":      {"acme", "", nil, "eu-central eu-west", true},
		"of tenant and tier": {"acme", "gov", nil, "eu-central", true},
		"of its own":         {"", "", []string{"us-east", "eu"}, "eu-central eu-west us-east", true},
		"within the tenant":  {"acme", "", []string{"eu-west", "us-east"}, "eu-west", true},
		"nothing in common":  {"acme", "", []string{"us-east"}, "", false},
		"nothing that is":    {"", "", []string{"atlantis"}, "atlantis", true},
	} {
		got, ok := c.Residency(tt.tenant, tt.tier, tt.own)
		shown := strings.Join(got, " ")
		if got == nil {
			shown = "anywhere"
		}
		if shown != tt.want || ok != tt.ok {
			t.Errorf("%s: %q, %v; want %q, %v", name, shown, ok, tt.want, tt.ok)
		}
	}
}
