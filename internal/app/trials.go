package app

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"headworks/internal/api/admin"
	"headworks/internal/canary"
	"headworks/internal/fault"
	"headworks/internal/flow"
	"headworks/internal/record"
)

// trials are the canaries of this process, for operators. How they stand is written
// into the data folder when one moves, so that a restart goes on where it was.
type trials struct {
	app  *App
	told []flow.Canary // by which the log and the file are
}

const (
	trialsFile  = "canaries.json"
	trialsEvery = time.Second
)

// kept is how a canary stands, in the file.
type kept struct {
	Model      string       `json:"model"`
	Definition uint64       `json:"definition"`
	Phase      canary.Phase `json:"phase"`
	Step       int          `json:"step"`
	Since      time.Time    `json:"since"`
	Why        string       `json:"why,omitempty"`
}

func (t *trials) list() (all []flow.Canary) {
	w := t.app.gateway.World()
	t.app.gateway.Policy(func(p *flow.Policy) { all = p.Canaries(w.Fleet) })
	return all
}

// Canaries implements admin.Canaries.
func (t *trials) Canaries() []admin.Canary {
	all := []admin.Canary{}
	for _, c := range t.list() {
		all = append(all, shownCanary(&c))
	}
	return all
}

func shownCanary(c *flow.Canary) admin.Canary {
	a := admin.Canary{
		Model: c.Model, Target: c.Arm, Phase: c.Phase.String(), Step: c.Step, Steps: c.Steps, Share: c.Share, Since: c.Since, Why: c.Why,
	}
	for g := range canary.Signals {
		r := &c.Rows[g]
		a.Signal = append(a.Signal, admin.Signal{Name: g.String(), Answers: r.N, Worse: r.Yes, Others: r.Others, Evidence: r.Evidence})
	}
	return a
}

// Move implements admin.Canaries.
func (t *trials) Move(m admin.Move) (admin.Canary, error) {
	orders := map[string]flow.Order{"promote": flow.Promote, "rollback": flow.RollBack, "restart": flow.Restart}
	order, ok := orders[m.To]
	if !ok {
		return admin.Canary{}, fault.New(fault.InvalidRequest, "to is promote, rollback or restart")
	}
	w, found := t.app.gateway.World(), false
	t.app.gateway.Policy(func(p *flow.Policy) { found = p.Move(w.Fleet, m.Model, order, time.Now()) })
	for _, c := range t.list() {
		if found && c.Model == m.Model {
			return shownCanary(&c), nil
		}
	}
	return admin.Canary{}, fault.New(fault.NotFound, "no model of that name has a canary; headworks canary list shows those that do")
}

// Judge implements admin.Canaries.
func (t *trials) Judge(r *record.Record, good bool) admin.Judged {
	j := admin.Judged{Model: r.Model, Target: r.Arm, Good: good}
	if r.Origin != record.Shadow {
		t.app.gateway.Policy(func(p *flow.Policy) { j.Counts = p.Judge(r.Model, r.Arm, good, time.Now()) })
	}
	return j
}

// restore takes over how the canaries stood when the process before this one ended.
func (t *trials) restore() {
	var all []kept
	switch err := t.app.recall(trialsFile, &all); {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		t.app.log.Warn("the canaries begin anew: how they stood cannot be read", "file", trialsFile, "cause", err.Error())
		return
	}
	w := t.app.gateway.World()
	t.app.gateway.Policy(func(p *flow.Policy) {
		for _, k := range all {
			p.Resume(w.Fleet, k.Model, k.Definition, canary.State{Phase: k.Phase, Step: k.Step, Since: k.Since, Why: k.Why})
		}
	})
	t.told = t.list()
}

// run tells the log and the file of what moved, until ctx ends.
func (t *trials) run(ctx context.Context) {
	tick := time.NewTicker(trialsEvery)
	defer tick.Stop()
	for {
		t.look()
		select {
		case <-ctx.Done():
			t.look()
			return
		case <-tick.C:
		}
	}
}

func (t *trials) look() {
	all := t.list()
	stands := func(a, b flow.Canary) bool {
		return a.Model == b.Model && a.Definition == b.Definition && a.Phase == b.Phase && a.Step == b.Step && a.Why == b.Why
	}
	if slices.EqualFunc(all, t.told, stands) {
		return
	}
	file := []kept{}
	for _, c := range all {
		file = append(file, kept{c.Model, c.Definition, c.Phase, c.Step, c.Since, c.Why})
		if slices.ContainsFunc(t.told, func(b flow.Canary) bool { return stands(c, b) }) {
			continue
		}
		args := []any{"model", c.Model, "target", c.Arm, "phase", c.Phase.String(), "share", c.Share}
		if c.Phase == canary.RolledBack {
			t.app.alarms.happened("canary", "the canary "+c.Arm+" of "+c.Model+" went back: "+c.Why)
			t.app.log.Warn("a canary went back", append(args, "why", c.Why)...)
		} else {
			t.app.log.Info("a canary goes on", args...)
		}
	}
	t.told = all
	if err := t.app.keep(trialsFile, file); err != nil {
		t.app.log.Warn("how the canaries stand cannot be written; a restart begins them anew", "cause", err.Error())
	}
}
