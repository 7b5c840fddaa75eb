// Package discover says where the replicas of an upstream are, as that changes. A
// finder watches one source of answers (DNS, Kubernetes, a list); what its answers
// are worth is decided here, the same for all.
//
// A replica is its URL: whoever comes back under the same one is the same replica.
// An answer is all the replicas that may get requests: those that are not ready, or
// go away, are not in it. An answer that is empty or fails changes nothing: the last
// known replicas stay, since what went wrong is the source more often than every
// engine at once.
package discover

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"headworks/internal/fault"
)

// Replica is where one replica is.
type Replica struct {
	URL  string // base URL
	Name string // what it is asked for by, in TLS and in the field Host; empty: as URL has it
	Zone string // failure domain; empty where not known
}

// Finder watches where the replicas of an upstream are.
type Finder interface {
	// Watch tells all the replicas there are whenever it learned them, changed or
	// not, and why whenever it could not, until ctx ends. Errors are *fault.Error of
	// kind Connect, in words for the operator. It calls tell from one goroutine at a
	// time, the first time at once, and returns when none of its own is left.
	Watch(ctx context.Context, tell func(found []Replica, err error))
}

// List is the finder of replicas that are where somebody wrote down that they are.
type List []Replica

// Watch implements Finder: it tells once.
func (l List) Watch(ctx context.Context, tell func([]Replica, error)) {
	tell(l, nil)
	<-ctx.Done()
}

// Known is what is known of the replicas of an upstream.
type Known struct {
	Replicas []Replica   // in the order of their URLs; nobody changes the slice
	Since    []time.Time // since when each of them is known; nobody changes it
	Answered time.Time   // when the last answer came that counts; zero: never
	Failures uint64      // answers that did not count
	Why      string      // why the last answer did not count; empty: it did
	Failed   time.Time   // when an answer did not count last; zero: never
	Failure  string      // why that one did not
	Left     int         // replicas of the last answer that there was no room for
	Odd      int         // of it that have no URL that could be asked
}

// What is said of an answer without replicas.
const (
	Empty   = "the answer names no replica that is ready"
	Useless = "no replica of the answer has an address that can be asked"
)

// Learn takes an answer, of which most replicas count at most: those that are known
// already, and then the first by their URLs. It reports whether Replicas is another
// than before.
func (k *Known) Learn(found []Replica, err error, most int, now time.Time) (changed bool) {
	if err != nil {
		k.fail(words(err), now)
		return false
	}
	next := make([]Replica, 0, len(found))
	odd := 0
	for _, r := range found {
		if !askable(r) {
			odd++
			continue
		}
		next = append(next, r)
	}
	slices.SortStableFunc(next, func(a, b Replica) int { return cmp.Compare(a.URL, b.URL) })
	next = slices.CompactFunc(next, func(a, b Replica) bool { return a.URL == b.URL })
	switch {
	case len(next) == 0 && odd > 0:
		k.fail(Useless, now)
		return false
	case len(next) == 0:
		k.fail(Empty, now)
		return false
	}
	k.Left, k.Odd = max(0, len(next)-most), odd
	if k.Left > 0 {
		slices.SortStableFunc(next, func(a, b Replica) int { return cmp.Compare(k.rank(a), k.rank(b)) })
		next = next[:most]
		slices.SortFunc(next, func(a, b Replica) int { return cmp.Compare(a.URL, b.URL) })
	}
	k.Answered, k.Why = now, ""
	if slices.Equal(next, k.Replicas) {
		return false
	}
	since := make([]time.Time, len(next))
	for i, r := range next {
		since[i] = now
		if old, known := k.find(r.URL); known {
			since[i] = k.Since[old]
		}
	}
	k.Replicas, k.Since = next, since
	return true
}

func (k *Known) fail(why string, now time.Time) {
	k.Failures++
	k.Why, k.Failed, k.Failure = why, now, why
}

// FoundAt returns since when the replica with a URL is known; zero: it is not.
func (k *Known) FoundAt(url string) time.Time {
	if i, known := k.find(url); known {
		return k.Since[i]
	}
	return time.Time{}
}

// rank puts a replica that is known before one that is not.
func (k *Known) rank(r Replica) int {
	if _, known := k.find(r.URL); known {
		return 0
	}
	return 1
}

// find returns which of the replicas has a URL.
func (k *Known) find(url string) (int, bool) {
	return slices.BinarySearchFunc(k.Replicas, url, func(have Replica, url string) int { return cmp.Compare(have.URL, url) })
}

func words(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Words != "" {
		return f.Words
	}
	return "the source of replicas did not answer"
}

// askable reports whether a replica has a base URL that an engine can be reached at.
func askable(r Replica) bool {
	u, err := url.Parse(r.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	return host(u.Hostname()) && (r.Name == "" || host(r.Name)) && u.Port() != "0"
}

// host reports whether a name is an address or one that DNS could have (RFC 1123,
// and the underscore that Windows and Docker put in).
func host(name string) bool {
	if a, err := netip.ParseAddr(name); err == nil {
		return a.Zone() == "" && !a.IsUnspecified()
	}
	return name != "" && len(name) <= 253 && name[0] != '.' && !strings.Contains(name, "..") && !strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_'
	})
}

// Form is how the URL of a replica is made of where it is.
type Form struct {
	Scheme string // http or https
	Path   string // behind the address, without a slash at the end
}

// At returns the base URL of what listens at an address, which is a name or an IP
// address.
func (f Form) At(address string, port uint16) string {
	return f.Scheme + "://" + join(address, port) + f.Path
}

func join(address string, port uint16) string {
	if a, err := netip.ParseAddr(address); err == nil {
		return netip.AddrPortFrom(a.Unmap(), port).String()
	}
	return strings.ToLower(strings.TrimSuffix(address, ".")) + ":" + strconv.Itoa(int(port))
}
