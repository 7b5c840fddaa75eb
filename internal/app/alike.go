package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"headworks/internal/alert"
	"headworks/internal/api/admin"
	"headworks/internal/fleet"
	"headworks/internal/gateway"
	"headworks/internal/similar"
	"headworks/internal/telemetry"
)

// resemblancesFile holds what is known of the quality of answers to other questions.
const resemblancesFile = "similar.json"

// resemblancesShare is which part of the cache's memory questions may take beside it.
const resemblancesShare = 8

// learned is what is kept of an index: its trial, and no question.
type learned struct {
	Scope string        `json:"scope"`
	Model string        `json:"model"`
	Trial similar.Trial `json:"trial"`
}

// openResemblances goes on from what the process before this one had learnt.
func (a *App) openResemblances() {
	var file []learned
	if err := a.recall(resemblancesFile, &file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.log.Warn("answers to similar questions are on trial anew: what was known of them cannot be read", "file", resemblancesFile, "cause", err.Error())
		file = nil
	}
	var known []gateway.Resembled
	for _, l := range file {
		known = append(known, gateway.Resembled{Scope: l.Scope, Model: l.Model, Trial: l.Trial})
	}
	a.alike = gateway.NewResemblances(int(a.config.Cache.Memory)/resemblancesShare, known, a.unlike)
	a.gateway.Resemble(a.alike)
}

// unlike tells that an index gives no answers any more.
func (a *App) unlike(r gateway.Resembled) {
	_, upper := r.Trial.Interval()
	a.log.Warn("answers to similar questions are given no more: too many were wrong",
		"scope", r.Scope, "model", r.Model, "compared", r.Trial.Compared, "false", r.Trial.False, "upper_bound", upper,
		"next", "headworks cache report; headworks cache purge --model "+r.Model+" begins anew")
	if a.alarms != nil {
		a.alarms.happened("similar answers", "no answers to similar questions of "+r.Model+" are given in "+r.Scope+" any more")
	}
}

// keepResemblances writes down what is known, until ctx ends.
func (a *App) keepResemblances(ctx context.Context) {
	tick := time.NewTicker(trialsEvery)
	defer tick.Stop()
	var told []learned
	for {
		if file := lessons(a.alike.Report()); !slices.Equal(file, told) {
			if err := a.keep(resemblancesFile, file); err != nil {
				a.log.Warn("what is known of answers to similar questions cannot be written; a restart begins anew", "cause", err.Error())
			}
			told = file
		}
		if ctx.Err() != nil {
			return
		}
		select {
		case <-ctx.Done(): // once more
		case <-tick.C:
		}
	}
}

// lessons are what is kept of indices.
func lessons(all []gateway.Resembled) []learned {
	file := []learned{}
	for _, r := range all {
		if r.Trial.Candidates > 0 || r.Trial.Exact > 0 {
			file = append(file, learned{r.Scope, r.Model, r.Trial})
		}
	}
	return file
}

// semantics shows the state of every index.
func (a *App) semantics() []admin.CacheSemantic {
	var all []admin.CacheSemantic
	for _, r := range a.alike.Report() {
		t := &r.Trial
		row := admin.CacheSemantic{
			Scope: r.Scope, Model: r.Model, Mode: r.Mode.String(), State: stateOf(&r), Questions: r.Questions,
			Hits: r.Hits, Misses: r.Misses, Tokens: r.Tokens, CostUSD: float64(r.Cost) / 1e6, Seconds: r.Saved.Seconds(),
			Candidates: t.Candidates, Compared: t.Compared, False: t.False, Exact: t.Exact, ExactFalse: t.ExactFalse, FalseRate: t.Rate(),
		}
		row.Lower, row.Upper = t.Interval()
		if t.Stopped {
			row.StoppedAt = t.StoppedAt
		}
		if asked := r.Hits + r.Misses; asked > 0 {
			row.Ratio = float64(r.Hits) / float64(asked)
		}
		for _, s := range t.Curve {
			if s.Compared > 0 {
				row.Curve = append(row.Curve, admin.CacheStep{Similarity: s.From, Compared: s.Compared, False: s.False})
			}
		}
		all = append(all, row)
	}
	return all
}

func stateOf(r *gateway.Resembled) string {
	switch {
	case r.Trial.Stopped:
		return "stopped"
	case r.Trial.Serving && r.Mode == fleet.SemanticOn:
		return "serving"
	case r.Mode == fleet.SemanticOff:
		return "idle"
	}
	return "shadow"
}

// similarities are the counts of all indices, by model.
func (a *App) similarities(yield func(string, telemetry.Similar)) {
	sum := map[string]telemetry.Similar{}
	for _, r := range a.alike.Report() {
		s := sum[r.Model]
		s.Hits += r.Hits
		s.Misses += r.Misses
		s.Compared += r.Trial.Compared
		s.False += r.Trial.False
		switch stateOf(&r) {
		case "serving":
			s.Serving++
		case "stopped":
			s.Stopped++
		case "shadow":
			s.Shadow++
		}
		sum[r.Model] = s
	}
	for model, s := range sum {
		yield(model, s)
	}
}

// similar tells of indices that stopped.
func (c *conditions) similar(all []admin.CacheSemantic) {
	for _, s := range all {
		if s.State == "stopped" {
			c.raise(alert.Ticket, "similar:"+s.Scope+" "+s.Model, "answers to similar questions of "+s.Model+" are given no more in "+s.Scope,
				fmt.Sprintf("of %d that were compared %d were wrong", s.Compared, s.False), "headworks cache report", map[string]string{"signal": "similar", "model": s.Model})
		}
	}
}
