// Package dns finds replicas by DNS: every address of a name, or every target of a
// service record. It asks as the machine asks, with its files, search domains and
// caches, and again after a while: what the standard resolver answers has no time to
// live, and where engines come and go that is a few seconds anyway (CoreDNS gives
// names of Kubernetes 5 s).
package dns

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"headworks/internal/discover"
	"headworks/internal/fault"
)

// Resolver asks DNS; *net.Resolver does.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, records []*net.SRV, err error)
}

// Options are what is asked for and how.
type Options struct {
	Name  string // of the addresses, or of the service records as _http._tcp.example.com
	Port  uint16 // where each address listens; 0: Name is of service records
	Form  discover.Form
	Every time.Duration // from one look to the next, give or take a tenth; 0 is 5 s
}

// Finder looks a name up, again and again.
type Finder struct {
	options  Options
	resolver Resolver
}

// New returns the finder of what a name stands for.
func New(o Options, r Resolver) *Finder {
	if o.Every <= 0 {
		o.Every = 5 * time.Second
	}
	return &Finder{options: o, resolver: r}
}

// patience is how long one look may take.
const patience = 5 * time.Second

// Watch implements discover.Finder.
func (f *Finder) Watch(ctx context.Context, tell func([]discover.Replica, error)) {
	for {
		found, err := f.look(ctx)
		if ctx.Err() != nil {
			return
		}
		tell(found, err)
		wait := time.NewTimer(time.Duration(float64(f.options.Every) * (0.9 + 0.2*rand.Float64())))
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		}
	}
}

func (f *Finder) look(ctx context.Context) ([]discover.Replica, error) {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	if f.options.Port == 0 {
		return f.services(ctx)
	}
	addresses, err := f.resolver.LookupNetIP(ctx, "ip", f.options.Name)
	if err != nil {
		return nil, failed(err)
	}
	found := make([]discover.Replica, 0, len(addresses))
	for _, a := range addresses {
		found = append(found, discover.Replica{
			URL:  f.options.Form.At(a.Unmap().String(), f.options.Port),
			Name: strings.ToLower(strings.TrimSuffix(f.options.Name, ".")),
		})
	}
	return found, nil
}

// services returns the targets of the service records that come first: those behind
// them are there for when all of these are gone (RFC 2782), which health decides and
// not DNS. Weights do not count, load does.
func (f *Finder) services(ctx context.Context) ([]discover.Replica, error) {
	_, records, err := f.resolver.LookupSRV(ctx, "", "", f.options.Name)
	if err != nil {
		return nil, failed(err)
	}
	var found []discover.Replica
	for _, r := range records { // sorted by priority
		if r.Priority != records[0].Priority {
			break
		}
		if r.Target == "." || r.Target == "" || r.Port == 0 { // decidedly not there (RFC 2782)
			continue
		}
		found = append(found, discover.Replica{URL: f.options.Form.At(r.Target, r.Port)})
	}
	return found, nil
}

// failed says what an operator can do about a look that failed.
func failed(err error) error {
	words := "DNS did not answer; look whether the resolver of this machine can be reached"
	if d, ok := errors.AsType[*net.DNSError](err); ok {
		switch {
		case d.IsNotFound:
			words = "DNS knows no such name, or nothing of the kind that is looked for"
		case d.IsTimeout:
			words = "DNS did not answer in time"
		}
	}
	return fault.Wrap(fault.Connect, words, err)
}
