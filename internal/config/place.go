package config

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"headworks/internal/place"
)

// places checks what the file says of regions, distances, addresses and residency.
func (r *reader) places() {
	c := r.cfg
	for _, group := range slices.Sorted(maps.Keys(c.Regions)) {
		at := join("regions", group)
		if len(c.Regions[group]) == 0 {
			r.at(at, BadValue, "a group without regions; whoever has to stay in it could go nowhere")
		}
		r.known(at, c.Regions[group], false)
	}
	for from, to := range c.Distances {
		for region := range to {
			if from == region {
				r.at(join(join("distances", from), region), BadValue, "from a region to itself there is no distance")
			}
		}
	}
	ranges := map[netip.Prefix]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Places)) {
		at := join("places", name)
		if _, err := place.Parse(name); err != nil {
			r.at(at, BadValue, err.Error())
		}
		for i, s := range c.Places[name] {
			at := at + "[" + strconv.Itoa(i) + "]"
			p, ok := network(s)
			if !ok {
				r.at(at, BadValue, r.shown(at, s)+networkForm)
				continue
			}
			if other, twice := ranges[p]; twice && other != name {
				r.at(at, Duplicate, p.String()+" is in places."+other+" too; an address is in one place")
			}
			ranges[p] = name
		}
	}
	for i, s := range c.Proxies {
		at := "trusted_proxies[" + strconv.Itoa(i) + "]"
		p, ok := network(s)
		switch {
		case !ok:
			r.at(at, BadValue, r.shown(at, s)+networkForm)
		case p.Bits() == 0:
			r.warn(at, Pointless, "every address: any caller may then say where it is")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Tenants)) {
		r.stays(join("tenants", name), c.Tenants[name].Residency)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Tiers)) {
		r.stays(join("tiers", name), c.Tiers[name].Residency)
	}
}

const networkForm = " is no range of addresses; write one as 10.1.0.0/16 or 2001:db8::/32, or a single address"

// network reads a range of addresses, or one address.
func network(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err == nil
}

// stays checks the residency of a key, a tenant or a tier.
func (r *reader) stays(path string, names []string) {
	at := join(path, "residency")
	if r.given[at] && len(names) == 0 {
		r.at(at, BadValue, "an empty list would allow no region; leave residency out to allow all")
	}
	r.known(at, names, true)
}

// known checks that names are regions where something is or may be, or also groups
// of them: a misspelt one would keep everybody out.
func (r *reader) known(path string, names []string, groups bool) {
	c := r.cfg
	all := c.regions()
	what := "region"
	if groups {
		all, what = append(all, slices.Sorted(maps.Keys(c.Regions))...), "region or group of regions"
	}
	for i, name := range names {
		if at := path + "[" + strconv.Itoa(i) + "]"; name != "" && !slices.Contains(all, name) {
			r.at(at, UnknownName, "no "+what+" "+r.shown(at, name)+" is named by an upstream, a replica or distances"+meant(name, all, "there are"))
		}
	}
}

// located checks a place that is given by its name.
func (r *reader) located(path, name string) {
	at, err := place.Parse(name)
	if err != nil {
		r.at(path, BadValue, r.shown(path, name)+": "+err.Error())
		return
	}
	r.known(path, nil, false)
	if all := r.cfg.regions(); !slices.Contains(all, at.Region) {
		r.warn(path, Pointless, "no upstream is in region "+r.shown(path, at.Region)+", and distances do not name it"+meant(at.Region, all, "there are"))
	}
}

// replicas checks the replicas of an upstream and makes its URLs of them.
func (r *reader) replicas(path string, u *Upstream) {
	if r.given[join(path, "urls")] {
		r.at(join(path, "replicas"), BadValue, "urls and replicas: write all into replicas")
	}
	u.URLs = nil
	for i := range u.Replicas {
		u.URLs = append(u.URLs, u.Replicas[i].URL)
	}
}

// regions returns the regions that upstreams, replicas, distances and the process
// itself are in, in order.
func (c *Config) regions() []string {
	names := []string{c.Region}
	for _, u := range c.Upstreams {
		names = append(names, u.Region)
		for _, r := range u.Replicas {
			names = append(names, r.Region)
		}
	}
	names = slices.AppendSeq(names, maps.Keys(c.Cells))
	for from, to := range c.Distances {
		names = slices.AppendSeq(append(names, from), maps.Keys(to))
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(s string) bool { return s == "" })
}

// Atlas returns the regions of a file, and how far they are from each other.
func (c *Config) Atlas() *place.Atlas {
	names := c.regions()
	for name := range c.Places {
		if at, err := place.Parse(name); err == nil {
			names = append(names, at.Region)
		}
	}
	for _, k := range c.Keys {
		if at, err := place.Parse(k.Place); err == nil {
			names = append(names, at.Region)
		}
	}
	return place.NewAtlas(names, c.Distances)
}

// Finder returns what places callers.
func (c *Config) Finder() *place.Finder {
	f := &place.Finder{Home: place.Place{Region: c.Region, Zone: c.Zone}, Known: map[string]place.Place{}}
	know := func(at place.Place) {
		f.Known[at.Region] = place.Place{Region: at.Region}
		f.Known[at.String()] = at
	}
	for _, region := range c.Atlas().Regions() {
		know(place.Place{Region: region})
	}
	know(f.Home)
	for _, u := range c.Upstreams {
		if u.Region != "" {
			know(place.Place{Region: u.Region, Zone: u.Zone})
		}
		for i := range u.Replicas {
			if at := u.Place(i); at.Region != "" {
				know(at)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Places)) {
		at, _ := place.Parse(name) // the file was checked
		know(at)
		for _, s := range c.Places[name] {
			if p, ok := network(s); ok {
				f.Callers.Add(p, at)
			}
		}
	}
	for _, s := range c.Proxies {
		if p, ok := network(s); ok {
			f.Proxies.Add(p, place.Place{})
		}
	}
	return f
}

// At returns where a caller is; the zero Place where the file does not say.
func (k *Key) At() place.Place {
	at, _ := place.Parse(k.Place) // the file was checked
	return at
}

// Place returns where a replica is, by the place of its URL.
func (u *Upstream) Place(url int) place.Place {
	at := place.Place{Region: u.Region, Zone: u.Zone}
	if url >= len(u.Replicas) {
		return at
	}
	if r := u.Replicas[url]; r.Region != "" && r.Region != at.Region {
		at = place.Place{Region: r.Region, Zone: r.Zone} // a zone is one of its region
	} else if r.Zone != "" {
		at.Zone = r.Zone
	}
	return at
}

// Residency returns the regions that a key's requests stay in: those that its own
// rule, its tenant's and its tier's all allow. Nil is anywhere. False tells that
// there are rules, and that they leave nothing.
func (c *Config) Residency(tenant, tier string, own []string) (regions []string, ok bool) {
	for _, rule := range [][]string{own, c.Tenants[tenant].Residency, c.Tiers[tier].Residency} {
		if len(rule) == 0 {
			continue
		}
		all := []string{}
		for _, name := range rule {
			if group, ok := c.Regions[name]; ok {
				all = append(all, group...)
			} else {
				all = append(all, name)
			}
		}
		if regions != nil {
			all = slices.DeleteFunc(all, func(s string) bool { return !slices.Contains(regions, s) })
		}
		slices.Sort(all)
		regions = slices.Compact(all)
	}
	return regions, regions == nil || len(regions) > 0
}
