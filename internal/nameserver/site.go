package nameserver

import (
	"net/netip"
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

// Nearest returns the addresses of the nearest site that is up, or of several that are
// as near. Where none is up it answers as if all were: who is told of no address can do
// nothing, and the word that all are down may be wrong.
func Nearest(sites []Site) []netip.Addr {
	var addrs []netip.Addr
	for _, careful := range [...]bool{true, false} {
		least := place.Far
		for i := range sites {
			s := &sites[i]
			switch {
			case careful && !s.Up || len(s.Addrs) == 0 || s.Trip > least:
				continue
			case s.Trip < least:
				least, addrs = s.Trip, nil
			}
			addrs = append(addrs, s.Addrs...)
		}
		if len(addrs) > 0 {
			break
		}
	}
	return addrs
}
