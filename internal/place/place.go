// Package place says where callers and engines are: in which region, in which zone
// of it, and how far regions are from each other. Distances are round trips.
package place

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"
)

// Place is a region and, where it is known, a zone of it: the failure domain
// inside the region. The zero Place is not known.
type Place struct{ Region, Zone string }

// Parse reads region or region/zone.
func Parse(s string) (Place, error) {
	region, zone, more := strings.Cut(s, "/")
	if region == "" || more && zone == "" || strings.Contains(zone, "/") {
		return Place{}, errors.New("a place is a region, such as eu-west, or a region and a zone of it, such as eu-west/a")
	}
	return Place{region, zone}, nil
}

func (p Place) String() string {
	if p.Zone == "" {
		return p.Region
	}
	return p.Region + "/" + p.Zone
}

// Far is a distance that nobody knows: farther than any other.
const Far = time.Duration(1<<63 - 1)

// Nowhere is the number of a region that an Atlas does not have.
const Nowhere = -1

// Atlas numbers regions and knows how far they are from each other. Nobody changes
// it once it is made. A nil Atlas has no regions.
type Atlas struct {
	numbers map[string]int
	trips   []time.Duration // of all pairs
}

// NewAtlas returns the Atlas of regions, of which one may be named twice. A
// distance holds both ways, unless both are given.
func NewAtlas(regions []string, distances map[string]map[string]time.Duration) *Atlas {
	a := &Atlas{numbers: map[string]int{}}
	names := slices.Clone(regions)
	for from, to := range distances {
		names = append(names, from)
		for name := range to {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if name != "" {
			a.numbers[name] = len(a.numbers)
		}
	}
	n := len(a.numbers)
	a.trips = make([]time.Duration, n*n)
	for i := range a.trips {
		a.trips[i] = Far
	}
	for i := range n {
		a.trips[i*n+i] = 0
	}
	for from, to := range distances {
		for name, d := range to {
			i, j := a.numbers[from], a.numbers[name]
			if i == j {
				continue
			}
			a.trips[i*n+j] = d
			if _, both := distances[name][from]; !both {
				a.trips[j*n+i] = d
			}
		}
	}
	return a
}

// Region returns the number of a region, or Nowhere.
func (a *Atlas) Region(name string) int {
	if a == nil {
		return Nowhere
	}
	if i, ok := a.numbers[name]; ok {
		return i
	}
	return Nowhere
}

// Trip returns how long it takes from one region to another and back, by their
// numbers; Far if nobody knows.
func (a *Atlas) Trip(from, to int) time.Duration {
	if a == nil || from < 0 || to < 0 {
		return Far
	}
	return a.trips[from*len(a.numbers)+to]
}

// Regions returns the names of the regions, in order.
func (a *Atlas) Regions() []string {
	if a == nil {
		return nil
	}
	names := make([]string, len(a.numbers))
	for name, i := range a.numbers {
		names[i] = name
	}
	return names
}

// Compare orders places by name.
func Compare(a, b Place) int {
	return cmp.Or(strings.Compare(a.Region, b.Region), strings.Compare(a.Zone, b.Zone))
}
