package nameserver

import (
	"net/netip"
	"slices"
	"time"

	"headworks/internal/place"
)

// Far is a distance that nobody knows.
const Far = place.Far

// Site is a cell as callers reach it.
type Site struct {
	Region string
	Trip   time.Duration // from the asker and back; Far is not known
	Up     bool
	Addrs  []netip.Addr
}

// Family is whose addresses are asked for.
type Family uint8

const (
	IPv4 Family = iota
	IPv6
)

func (f Family) has(addr netip.Addr) bool { return addr.Unmap().Is4() == (f == IPv4) }

// Nearest returns the addresses of a family of the nearest site that is up and has any,
// or of several that are as near. Where none is up that has addresses at all it answers
// as if all were: who is told of no address can do nothing, and the word that all are
// down may be wrong.
func Nearest(sites []Site, of Family) []netip.Addr {
	var addrs []netip.Addr
	least, careful := place.Far, slices.ContainsFunc(sites, func(s Site) bool { return s.Up && len(s.Addrs) > 0 })
	for i := range sites {
		s := &sites[i]
		if careful && !s.Up || s.Trip > least || !slices.ContainsFunc(s.Addrs, of.has) {
			continue
		}
		if s.Trip < least {
			least, addrs = s.Trip, nil
		}
		for _, addr := range s.Addrs {
			if of.has(addr) {
				addrs = append(addrs, addr.Unmap())
			}
		}
	}
	return addrs
}
