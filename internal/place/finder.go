package place

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// How a caller's place is known.
const (
	ByKey     = "its key"
	ByHeader  = "x-headworks-place"
	ByAddress = "its address"
	ByCell    = "the cell it asked" // nothing better is known
)

// Networks is a set of address ranges, some of which have a place. The zero value
// is empty.
type Networks struct {
	of   map[netip.Prefix]Place
	bits [2][]int // lengths of prefixes that there are, the longest first: of IPv4, of IPv6
}

// Add adds a range and its place. Of one range that is added twice the first place
// counts.
func (n *Networks) Add(p netip.Prefix, at Place) {
	p = unmap(p).Masked()
	if n.of == nil {
		n.of = map[netip.Prefix]Place{}
	}
	if _, twice := n.of[p]; twice {
		return
	}
	n.of[p] = at
	bits := &n.bits[family(p.Addr())]
	if !slices.Contains(*bits, p.Bits()) {
		*bits = append(*bits, p.Bits())
		slices.SortFunc(*bits, func(a, b int) int { return cmp.Compare(b, a) })
	}
}

// unmap returns a range of IPv4 addresses written as IPv6 (RFC 4291, 2.5.5.2) as
// what it is.
func unmap(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// Empty reports whether there are no ranges.
func (n *Networks) Empty() bool { return len(n.of) == 0 }

// Find returns the place of the smallest range that holds an address.
func (n *Networks) Find(a netip.Addr) (Place, bool) {
	if n.of == nil || !a.IsValid() {
		return Place{}, false
	}
	a = a.Unmap().WithZone("")
	for _, bits := range n.bits[family(a)] {
		p, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		if at, ok := n.of[p]; ok {
			return at, true
		}
	}
	return Place{}, false
}

// Has reports whether an address is in one of the ranges.
func (n *Networks) Has(a netip.Addr) bool {
	_, ok := n.Find(a)
	return ok
}

// Finder places callers. Nobody changes it once it is in use.
type Finder struct {
	Home    Place            // of the cell
	Known   map[string]Place // by how headers name them
	Callers Networks         // where callers of an address are
	Proxies Networks         // whose word counts
}

// Header is what a proxy says of a caller.
type Header struct {
	Place     string // x-headworks-place
	Named     int    // how many fields of that name there are
	Forwarded string // x-forwarded-for, of several fields one behind the other
}

// Find returns where a caller is, and how that is known. Own is the place of its
// key, remote who connected. A header counts if a proxy sent it that is trusted, and
// is read for nobody else.
func (f *Finder) Find(own Place, remote netip.Addr, header func() Header) (at Place, by string) {
	if own.Region != "" {
		return own, ByKey
	}
	if f.Proxies.Has(remote) {
		h := header()
		if at, ok := f.Named(h.Place); ok && h.Named == 1 {
			return at, ByHeader
		}
		remote = f.client(remote, h.Forwarded)
	}
	if at, ok := f.Callers.Find(remote); ok {
		return at, ByAddress
	}
	return f.Home, ByCell
}

// Named returns the place of that name; of a zone that is not known its region.
func (f *Finder) Named(name string) (Place, bool) {
	if at, ok := f.Known[name]; ok {
		return at, true
	}
	region, _, zone := strings.Cut(name, "/")
	if !zone {
		return Place{}, false
	}
	at, ok := f.Known[region]
	return at, ok
}

// client returns whom the proxies forwarded for: each adds to the end of the list who
// connected to it, so the last one that is no trusted proxy is the first whose word
// does not count.
func (f *Finder) client(remote netip.Addr, forwarded string) netip.Addr {
	for forwarded != "" {
		last := forwarded
		if i := strings.LastIndexByte(forwarded, ','); i >= 0 {
			forwarded, last = forwarded[:i], forwarded[i+1:]
		} else {
			forwarded = ""
		}
		a, ok := address(strings.TrimSpace(last))
		if !ok {
			return remote
		}
		if remote = a; !f.Proxies.Has(a) {
			return a
		}
	}
	return remote
}

// address reads an address, some proxies write the port behind it.
func address(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return a, true
	}
	p, err := netip.ParseAddrPort(s)
	return p.Addr(), err == nil
}
