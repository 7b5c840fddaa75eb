package config

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DNS is the name under which callers find the nearest cell.
type DNS struct {
	Listen  string              `json:"listen,omitzero" jsonschema:"address where this gateway answers DNS, over UDP and TCP; it does not unless given"`
	Name    string              `json:"name,omitzero" jsonschema:"the name that callers know, which is a zone of its own, such as llm.example.com"`
	Servers []string            `json:"servers,omitzero" jsonschema:"names of the servers that answer for it, as the zone above has them"`
	TTL     time.Duration       `json:"ttl,omitzero" jsonschema:"how long an answer holds"`
	Cells   map[string][]string `json:"cells,omitzero" jsonschema:"IP addresses under which callers reach each cell, by region"`
}

func (d *DNS) defaults() { d.TTL = 5 * time.Second }

// On reports whether this gateway answers DNS.
func (d *DNS) On() bool { return d.Listen != "" }

// Bounds of what is answered: it goes over UDP whole.
const (
	mostAddresses = 16
	mostServers   = 13
	leastTTL      = time.Second
	mostTTL       = time.Hour
)

// dns checks what is answered to whom asks for the name.
func (r *reader) dns() {
	c, d := r.cfg, &r.cfg.DNS
	if !d.On() {
		if d.Name != "" || len(d.Servers) > 0 || len(d.Cells) > 0 {
			r.warn("dns", Pointless, "nobody is answered: give dns.listen too")
		}
		return
	}
	r.address("dns.listen", d.Listen)
	if !zoneName(d.Name) {
		r.at("dns.name", BadValue, r.shown("dns.name", d.Name)+" is no name that could be answered for; write it as llm.example.com")
	}
	if len(d.Servers) > mostServers {
		r.at("dns.servers", BadValue, "more than "+strconv.Itoa(mostServers)+" servers")
	}
	for i, s := range d.Servers {
		if at := "dns.servers[" + strconv.Itoa(i) + "]"; !zoneName(s) {
			r.at(at, BadValue, r.shown(at, s)+" is no name of a server; write it as ns-eu.example.com")
		}
	}
	if d.TTL < leastTTL || d.TTL > mostTTL || d.TTL%time.Second != 0 {
		r.at("dns.ttl", BadValue, "an answer holds whole seconds, "+showDuration(leastTTL)+" to "+showDuration(mostTTL))
	}
	if len(d.Cells) == 0 {
		r.at("dns.cells", Missing, "there is nothing to answer: give the addresses of each cell, by region")
	}
	for _, region := range slices.Sorted(maps.Keys(d.Cells)) {
		at := join("dns.cells", region)
		if _, known := c.Cells[region]; !known && region != c.Region {
			r.at(at, UnknownName, "whether that cell is up nobody would know: "+region+" is neither this process's region nor one of cells")
		}
		if len(d.Cells[region]) > mostAddresses {
			r.at(at, BadValue, "more than "+strconv.Itoa(mostAddresses)+" addresses")
		}
		for i, s := range d.Cells[region] {
			at := at + "[" + strconv.Itoa(i) + "]"
			if a, err := netip.ParseAddr(s); err != nil || a.Zone() != "" || a.IsUnspecified() {
				r.at(at, BadValue, r.shown(at, s)+" is no IP address that callers could reach")
			}
		}
	}
}

// zoneName reports whether a text is a whole name in DNS of letters, digits and
// hyphens (RFC 1035, 2.3.1).
func zoneName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if len(s) > 253 || !strings.Contains(s, ".") {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
			return false
		}
	}
	return true
}
