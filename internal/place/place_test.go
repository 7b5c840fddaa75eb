package place

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	for s, want := range map[string]Place{
		"eu-west": {Region: "eu-west"}, "eu-west/a": {Region: "eu-west", Zone: "a"},
		"": {}, "/": {}, "/a": {}, "eu-west/": {}, "eu/a/b": {},
	} {
		got, err := Parse(s)
		if got != want || (err == nil) != (want.Region != "") {
			t.Errorf("%q is %+v, %v; want %+v", s, got, err, want)
		}
		if err == nil && got.String() != s {
			t.Errorf("%q is shown as %q", s, got)
		}
	}
}

func TestDistances(t *testing.T) {
	a := NewAtlas([]string{"eu", "us", "", "eu", "moon"}, map[string]map[string]time.Duration{
		"eu": {"us": 80 * time.Millisecond, "ap": 200 * time.Millisecond},
		"ap": {"eu": 210 * time.Millisecond},
	})
	for _, tt := range []struct {
		from, to string
		want     time.Duration
	}{
		{"eu", "eu", 0},
		{"eu", "us", 80 * time.Millisecond},
		{"us", "eu", 80 * time.Millisecond},
		{"eu", "ap", 200 * time.Millisecond},
		{"ap", "eu", 210 * time.Millisecond},
		{"us", "ap", Far},
		{"eu", "moon", Far},
		{"moon", "moon", 0},
		{"eu", "nowhere", Far},
		{"", "", Far},
	} {
		if got := a.Trip(a.Region(tt.from), a.Region(tt.to)); got != tt.want {
			t.Errorf("from %q to %q it is %v, want %v", tt.from, tt.to, got, tt.want)
		}
	}
	var none *Atlas
	if none.Region("eu") != Nowhere || none.Trip(0, 0) != Far {
		t.Error("an atlas that is not there knows something")
	}
}

func finder() *Finder {
	f := &Finder{Home: Place{Region: "home"}, Known: map[string]Place{
		"eu": {Region: "eu"}, "us": {Region: "us"}, "us/b": {Region: "us", Zone: "b"},
	}}
	for p, at := range map[string]Place{
		"10.0.0.0/8": {Region: "eu"}, "10.9.0.0/16": {Region: "us"}, "10.9.7.0/24": {Region: "us", Zone: "b"},
		"2001:db8::/32": {Region: "eu"}, "::ffff:192.0.2.0/120": {Region: "us"},
	} {
		f.Callers.Add(netip.MustParsePrefix(p), at)
	}
	f.Proxies.Add(netip.MustParsePrefix("172.16.0.0/12"), Place{})
	return f
}

func TestWhereCallersAre(t *testing.T) {
	f := finder()
	for name, tt := range map[string]struct {
		own    Place
		remote string
		said   Header
		want   string
		by     string
	}{
		"the key before all":              {Place{Region: "ap"}, "172.16.0.1", Header{Place: "us", Named: 1}, "ap", ByKey},
		"the header of a proxy":           {Place{}, "172.16.0.1", Header{Place: "us", Named: 1}, "us", ByHeader},
		"with a zone":                     {Place{}, "172.16.0.1", Header{Place: "us/b", Named: 1}, "us/b", ByHeader},
		"with a zone nobody knows":        {Place{}, "172.16.0.1", Header{Place: "us/z", Named: 1}, "us", ByHeader},
		"a region nobody knows":           {Place{}, "172.16.0.1", Header{Place: "mars", Named: 1}, "home", ByCell},
		"named twice":                     {Place{}, "172.16.0.1", Header{Place: "us", Named: 2}, "home", ByCell},
		"the header of anybody":           {Place{}, "203.0.113.1", Header{Place: "us", Named: 1, Forwarded: "10.9.7.1"}, "home", ByCell},
		"an address":                      {Place{}, "10.1.2.3", Header{}, "eu", ByAddress},
		"the smaller range":               {Place{}, "10.9.2.3", Header{}, "us", ByAddress},
		"the smallest range":              {Place{}, "10.9.7.3", Header{}, "us/b", ByAddress},
		"IPv6":                            {Place{}, "2001:db8::1", Header{}, "eu", ByAddress},
		"IPv4 in IPv6":                    {Place{}, "::ffff:10.9.7.3", Header{}, "us/b", ByAddress},
		"a range of IPv4 in IPv6":         {Place{}, "192.0.2.1", Header{}, "us", ByAddress},
		"forwarded":                       {Place{}, "172.16.0.1", Header{Forwarded: "10.9.7.1"}, "us/b", ByAddress},
		"what the client wrote before":    {Place{}, "172.16.0.1", Header{Forwarded: "10.9.7.1, 10.1.1.1"}, "eu", ByAddress},
		"through two proxies":             {Place{}, "172.16.0.1", Header{Forwarded: "10.1.1.1, 10.9.7.1,172.17.0.9"}, "us/b", ByAddress},
		"with a port":                     {Place{}, "172.16.0.1", Header{Forwarded: "10.9.7.1:4711"}, "us/b", ByAddress},
		"IPv6 with a port":                {Place{}, "172.16.0.1", Header{Forwarded: "[2001:db8::7]:80"}, "eu", ByAddress},
		"IPv6 in brackets":                {Place{}, "172.16.0.1", Header{Forwarded: "[2001:db8::7]"}, "eu", ByAddress},
		"no address":                      {Place{}, "172.16.0.1", Header{Forwarded: "10.9.7.1, unknown"}, "home", ByCell},
		"nothing but commas":              {Place{}, "172.16.0.1", Header{Forwarded: ",,"}, "home", ByCell},
		"proxies alone":                   {Place{}, "172.16.0.1", Header{Forwarded: "172.16.0.2"}, "home", ByCell},
		"a wrong header, a right address": {Place{}, "172.16.0.1", Header{Place: "mars", Named: 1, Forwarded: "10.9.7.1"}, "us/b", ByAddress},
		"nobody knows who connected":      {Place{}, "", Header{}, "home", ByCell},
	} {
		remote, _ := netip.ParseAddr(tt.remote)
		got, by := f.Find(tt.own, remote, func() Header { return tt.said })
		if got.String() != tt.want || by != tt.by {
			t.Errorf("%s: at %s by %s, want %s by %s", name, got, by, tt.want, tt.by)
		}
	}
}

// Whoever is no trusted proxy is not even listened to.
func TestHeadersOfStrangersAreNotRead(t *testing.T) {
	finder().Find(Place{}, netip.MustParseAddr("203.0.113.1"), func() Header {
		t.Error("a stranger's header was read")
		return Header{}
	})
}

// The smallest range that holds an address is found, as a look at all of them finds it.
func TestSmallestRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var n Networks
		var all []netip.Prefix
		address := func(label string) netip.Addr {
			return netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(0, 3).Draw(t, label)), byte(rapid.IntRange(0, 3).Draw(t, label)), byte(rapid.IntRange(0, 3).Draw(t, label))})
		}
		for range rapid.IntRange(0, 12).Draw(t, "ranges") {
			p := netip.PrefixFrom(address("range"), rapid.IntRange(0, 32).Draw(t, "bits")).Masked()
			n.Add(p, Place{Region: p.String()})
			all = append(all, p)
		}
		a := address("address")
		want := ""
		best := -1
		for _, p := range all {
			if p.Contains(a) && p.Bits() > best {
				want, best = p.String(), p.Bits()
			}
		}
		if got, ok := n.Find(a); ok != (best >= 0) || got.Region != want {
			t.Fatalf("%s is in %q, want %q", a, got.Region, want)
		}
	})
}

func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"", "10.9.7.1", "a, b, 172.16.0.1", "[::1]:80,", "fe80::1%eth0"} {
		f.Add(s)
	}
	of := finder()
	f.Fuzz(func(t *testing.T, s string) {
		got := of.client(netip.MustParseAddr("172.16.0.1"), s)
		if got.IsValid() && !of.Proxies.Has(got) && !strings.Contains(s, ".") && !strings.Contains(s, ":") {
			t.Errorf("%q names %s", s, got)
		}
	})
}
