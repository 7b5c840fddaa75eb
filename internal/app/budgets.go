package app

import (
	"context"
	"time"

	"headworks/internal/flow"
	"headworks/internal/meter"
	"headworks/internal/tenant"
)

// recount is how often what is spent of budgets is looked up in the ledger.
const recount = 5 * time.Second

// budgets tells the policy how much of each key's budget is spent, until ctx ends.
func (a *App) budgets(ctx context.Context) {
	tick := time.NewTicker(recount)
	defer tick.Stop()
	for {
		a.count(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// count looks up what is spent now.
func (a *App) count(now time.Time) {
	type spending struct {
		slot  int
		share float64
	}
	var all []spending
	a.keys.resolver.Each(func(c *tenant.Caller) {
		if share, ok := spent(a.ledger, c, now); ok {
			all = append(all, spending{c.Slot, share})
		}
	})
	if len(all) == 0 {
		return
	}
	a.gateway.Policy(func(p *flow.Policy) {
		for _, s := range all {
			p.Spent(s.slot, s.share)
		}
	})
}

const day = 24 * time.Hour

// spent returns which share of a caller's budget is spent, if he has one that can be
// told: the ledger counts by days of UTC, so one of a day counts from midnight, and
// one of fewer hours is not looked at.
func spent(l *meter.Ledger, c *tenant.Caller, now time.Time) (share float64, ok bool) {
	if !c.Budget.Limited() || c.Budget.Per < day {
		return 0, false
	}
	cost := l.Spent(c.Tenant, c.KeyID, now.Add(day-c.Budget.Per)).Cost
	return float64(cost) / float64(c.Budget.Amount), true
}
