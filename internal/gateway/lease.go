package gateway

import (
	"context"
	"encoding/hex"
	"math/rand/v2"
	"strconv"
	"time"

	"headworks/internal/cache"
	"headworks/internal/tenant"
)

// Leases let gateways agree which of them has an answer made that several want at the
// time. A lease that cannot be asked for is none: each gateway then has its own made.
type Leases interface {
	// Lease takes a lease for a holder, and reports whether it has it: nobody else has
	// until the time is over or it is released.
	Lease(ctx context.Context, name, holder string, life time.Duration) (bool, error)
	// Release gives a lease back, and reports whether the holder still had it.
	Release(ctx context.Context, name, holder string) (bool, error)
}

// How long a lease is asked for and had, and how often one is asked for that another
// gateway has.
const (
	leaseWait  = 20 * time.Millisecond
	leaseLife  = time.Minute
	leaseEvery = 100 * time.Millisecond
	// leaseLooks is how often it is looked for what another gateway made: it writes
	// that down behind its answer's end.
	leaseLooks = 3
)

// Agree lets g make nothing that another gateway is making. It is called before the
// first request.
func (g *Gateway) Agree(l Leases) {
	g.leases, g.holder = l, strconv.FormatUint(rand.Uint64(), 36)
}

func leaseName(k cache.Key) string { return "answer:" + hex.EncodeToString(k[:]) }

// agrees takes the lease for the answer that the exchange is about to have made. False:
// another gateway has it made, and this one waits for that as others do here.
func (x *exchange) agrees() bool {
	g, r := x.g, x.reuse
	if g.leases == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(x.ctx, leaseWait)
	defer cancel()
	f := r.flight
	held, err := g.leases.Lease(ctx, leaseName(r.key), g.holder, leaseLife)
	if held || err != nil {
		f.leased = held
		return true
	}
	r.stop()
	x.ctx, r.leads = r.client, false
	f.locked(func() { f.leader = nil })
	scope := x.ticket.Scope
	go g.await(f, scope)
	return false
}

// await waits for an answer that another gateway has made, for as long as anybody here
// wants it. If the other one comes to no answer, somebody here is to have one made.
func (g *Gateway) await(f *flight, s tenant.Scope) {
	tick := time.NewTicker(leaseEvery)
	defer tick.Stop()
	for looks := 0; ; {
		select {
		case <-f.ctx.Done():
			g.free(f)
			return
		case <-tick.C:
		}
		if looks == 0 {
			held, err := g.leases.Lease(f.ctx, leaseName(f.key), g.holder, leaseLife)
			if err == nil && !held {
				continue
			}
			f.leased = held
		}
		if _, ok := g.answers.Fetch(f.ctx, cache.Answers, s, f.key, time.Now()); ok {
			g.free(f)
			f.locked(func() {
				f.unlink()
				f.over = true
				f.turn()
			})
			return
		}
		if looks++; looks == leaseLooks || !f.leased {
			wanted := false
			f.locked(func() {
				if wanted = f.count > 0; wanted {
					f.choose()
				}
			})
			if !wanted {
				g.free(f)
			}
			return
		}
	}
}

// free gives a flight's lease back.
func (g *Gateway) free(f *flight) {
	if !f.leased {
		return
	}
	f.leased = false
	ctx, cancel := context.WithTimeout(context.Background(), leaseWait)
	defer cancel()
	_, _ = g.leases.Release(ctx, leaseName(f.key), g.holder) // else it ends by itself
}
