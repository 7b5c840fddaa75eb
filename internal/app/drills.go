package app

import (
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"headworks/internal/api/admin"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/gateway"
	where "headworks/internal/place"
)

// drills are the parts of the fleet that an operator drained. They are written into
// the data folder, so that a restart in the middle of some maintenance sends nothing
// there, and hold for replicas that come later.
type drills struct {
	app  *App
	list atomic.Pointer[[]drill] // replaced whole, under App.reload
}

const drillsFile = "drains.json"

// drill is a part that is drained.
type drill struct {
	Part  fleet.Part `json:"part"`
	Since time.Time  `json:"since"`
	Until time.Time  `json:"until,omitzero"` // zero: until it is undrained
}

func (d *drill) over(now time.Time) bool { return !d.Until.IsZero() && !now.Before(d.Until) }

// current returns the drills that are not over.
func (d *drills) current(now time.Time) (all []drill) {
	if list := d.list.Load(); list != nil {
		all = slices.DeleteFunc(slices.Clone(*list), func(x drill) bool { return x.over(now) })
	}
	return all
}

// set replaces the drills, lets the replicas of a world know, and writes them down.
func (d *drills) set(all []drill, now time.Time) {
	d.list.Store(&all)
	w := d.app.gateway.World()
	d.app.gateway.Policy(func(p *flow.Policy) { d.apply(w, p, now) })
	if err := d.app.keep(drillsFile, all); err != nil {
		d.app.log.Warn("what is drained cannot be written down; a restart sends requests there again", "cause", err.Error())
	}
}

// restore takes over what was drained when the process before this one ended.
func (d *drills) restore() {
	var all []drill
	switch err := d.app.recall(drillsFile, &all); {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		d.app.log.Warn("nothing is drained any more: what was cannot be read", "file", drillsFile, "cause", err.Error())
		return
	}
	d.list.Store(&all)
	for _, x := range d.current(time.Now()) {
		d.app.log.Warn("it is still drained", "what", x.Part.String(), "since", x.Since)
	}
}

// apply tells the policy which replicas of a world are drained, and until when.
func (d *drills) apply(w *gateway.World, p *flow.Policy, now time.Time) {
	all := d.current(now)
	for i := range w.Fleet.Upstreams {
		u := &w.Fleet.Upstreams[i]
		for k := range u.Replicas {
			r := &u.Replicas[k]
			drained, until := false, time.Time{}
			for _, x := range all {
				if !x.Part.Has(u, r) {
					continue
				}
				switch {
				case !drained, x.Until.IsZero(), !until.IsZero() && x.Until.After(until):
					until = x.Until
				}
				drained = true
			}
			if drained {
				p.Health.Drain(r.ID, until)
			} else {
				p.Health.Undrain(r.ID, now)
			}
		}
	}
}

// part reads which part of the fleet is meant, as the fleet has it now.
func (d *drills) part(p admin.Part, s *fleet.Snapshot) (part fleet.Part, f *fault.Error) {
	named := 0
	for _, v := range []string{p.Upstream, p.Region, p.Zone} {
		if v != "" {
			named++
		}
	}
	switch {
	case named != 1:
		return part, fault.New(fault.InvalidRequest, "name one of upstream, zone and region; a zone of one region is region/zone")
	case p.Replica != "" && p.Upstream == "":
		return part, fault.New(fault.InvalidRequest, "a replica is one of an upstream: name that too")
	}
	part = fleet.Part{Upstream: p.Upstream, Replica: p.Replica, Place: where.Place{Region: p.Region, Zone: p.Zone}}
	if region, zone, both := strings.Cut(p.Zone, "/"); both {
		part.Place = where.Place{Region: region, Zone: zone}
	}
	regions := map[string]bool{}
	for i := range s.Upstreams {
		for k := range s.Upstreams[i].Replicas {
			if r := &s.Upstreams[i].Replicas[k]; part.Has(&s.Upstreams[i], r) {
				regions[r.Place.Region] = true
			}
		}
	}
	if part.Place.Zone != "" && part.Place.Region == "" && len(regions) > 0 {
		names := slices.Sorted(maps.Keys(regions))
		if len(names) > 1 {
			return part, fault.New(fault.InvalidRequest, "zones of this name are in "+strings.Join(names, ", ")+"; name one as "+names[0]+"/"+p.Zone)
		}
		part.Place.Region = names[0]
	}
	return part, nil
}

// nobody says that no replica is in a part, and what there is.
func nobody(part fleet.Part, s *fleet.Snapshot) *fault.Error {
	names := map[string]bool{}
	what := "upstreams"
	for i := range s.Upstreams {
		u := &s.Upstreams[i]
		if part.Upstream != "" && part.Replica == "" {
			names[u.Name] = true
		}
		for _, r := range u.Replicas {
			switch {
			case part.Replica != "" && u.Name == part.Upstream:
				what = "replicas of " + u.Name
				names[r.Name] = true
			case part.Upstream == "" && part.Place.Zone != "" && r.Place.Zone != "":
				what = "zones"
				names[r.Place.String()] = true
			case part.Upstream == "" && part.Place.Zone == "" && r.Place.Region != "":
				what = "regions"
				names[r.Place.Region] = true
			}
		}
	}
	words := "nothing is in " + part.String()
	if part.Upstream != "" {
		words = "there is no " + part.String()
	}
	if len(names) == 0 {
		return fault.New(fault.NotFound, words+"; the configuration gives nothing of the kind, see headworks status")
	}
	return fault.New(fault.NotFound, words+"; the "+what+" that there are: "+strings.Join(slices.Sorted(maps.Keys(names)), ", "))
}

// without returns the models that a part has replicas of and that nothing serves while
// it is drained: for anybody, or for those whose data has to stay in some regions.
func (d *drills) without(w *gateway.World, part fleet.Part, now time.Time) (models []string) {
	bound := d.app.keys.bounds()
	d.app.gateway.Policy(func(p *flow.Policy) {
		for i := range w.Fleet.Models {
			m := &w.Fleet.Models[i]
			// left reports whether the part has some, and the rest has none.
			left := func(regions []string, anywhere bool) bool {
				touched := false
				for _, t := range m.Targets {
					u := &w.Fleet.Upstreams[t.Upstream]
					for k := range u.Replicas {
						r := &u.Replicas[k]
						switch {
						case !anywhere && !slices.Contains(regions, r.Place.Region):
						case part.Has(u, r):
							touched = true
						case p.Health.Of(r.ID, t.Model, now).Why == "":
							return false
						}
					}
				}
				return touched
			}
			if left(nil, true) {
				models = append(models, m.Name)
				continue
			}
			for _, regions := range bound {
				if left(regions, false) {
					models = append(models, m.Name+" (for requests that stay in "+strings.Join(regions, ", ")+")")
				}
			}
		}
	})
	return models
}

// Drain implements admin.Drains.
func (d *drills) Drain(o admin.DrainOrder) (admin.Drain, error) {
	d.app.reload.Lock()
	defer d.app.reload.Unlock()
	now, w := time.Now(), d.app.gateway.World()
	part, f := d.part(o.Part, w.Fleet)
	if f != nil {
		return admin.Drain{}, f
	}
	x := drill{Part: part, Since: now}
	if o.For != "" {
		span, err := time.ParseDuration(o.For)
		if err != nil || span < time.Second || span > 365*24*time.Hour {
			return admin.Drain{}, fault.New(fault.InvalidRequest, "for is how long it lasts, from 1s on, such as 10m or 2h")
		}
		x.Until = now.Add(span)
	}
	shown := d.show(&x, w, now)
	if len(shown.Replicas) == 0 {
		return admin.Drain{}, nobody(part, w.Fleet)
	}
	if len(shown.Without) > 0 && !o.Force {
		f := fault.New(fault.InvalidRequest, "nothing was drained: without "+part.String()+" nothing serves "+strings.Join(shown.Without, ", ")+"; with force it is drained all the same, and those requests get 503 as long as that lasts")
		f.Status = http.StatusConflict
		return admin.Drain{}, f
	}
	all := d.current(now)
	if at := slices.IndexFunc(all, func(y drill) bool { return y.Part == part }); at >= 0 {
		x.Since = all[at].Since
		shown.Since = x.Since
		all[at] = x
	} else {
		all = append(all, x)
	}
	d.set(all, now)
	d.app.alarms.happened("drain", part.String()+" is drained")
	args := []any{"what", part.String(), "replicas", len(shown.Replicas)}
	if !x.Until.IsZero() {
		args = append(args, "until", x.Until)
	}
	if len(shown.Without) > 0 {
		d.app.log.Warn("drained; some models have nothing left", append(args, "models", shown.Without)...)
	} else {
		d.app.log.Info("drained", args...)
	}
	return shown, nil
}

// Undrain implements admin.Drains.
func (d *drills) Undrain(p admin.Part, every bool) ([]admin.Drain, error) {
	d.app.reload.Lock()
	defer d.app.reload.Unlock()
	now, w := time.Now(), d.app.gateway.World()
	var part fleet.Part
	if !every {
		var f *fault.Error
		if part, f = d.part(p, w.Fleet); f != nil {
			return nil, f
		}
	} else if p != (admin.Part{}) {
		return nil, fault.New(fault.InvalidRequest, "name what to undrain, or all, and not both")
	}
	ended, stays, names := []admin.Drain{}, []drill{}, []string{}
	for _, x := range d.current(now) {
		// A zone that has no replica any more may stand without its region.
		if every || x.Part == part || part.Place.Region == "" && part.Place.Zone != "" && x.Part.Place.Zone == part.Place.Zone {
			ended = append(ended, d.show(&x, w, now))
			continue
		}
		stays = append(stays, x)
		names = append(names, x.Part.String())
	}
	switch {
	case len(ended) > 0:
	case len(names) == 0:
		return nil, fault.New(fault.NotFound, "nothing is drained")
	default:
		return nil, fault.New(fault.NotFound, part.String()+" is not drained; what is: "+strings.Join(names, ", "))
	}
	d.set(stays, now)
	for _, x := range ended {
		d.app.alarms.happened("drain", x.What+" is undrained")
		d.app.log.Info("undrained", "what", x.What, "replicas", len(x.Replicas))
	}
	return ended, nil
}

// Drains implements admin.Drains.
func (d *drills) Drains() []admin.Drain {
	shown, now, w := []admin.Drain{}, time.Now(), d.app.gateway.World()
	for _, x := range d.current(now) {
		shown = append(shown, d.show(&x, w, now))
	}
	return shown
}

func (d *drills) show(x *drill, w *gateway.World, now time.Time) admin.Drain {
	p := x.Part
	a := admin.Drain{
		Part: admin.Part{Upstream: p.Upstream, Replica: p.Replica, Region: p.Place.Region},
		What: p.String(), Since: x.Since, Until: x.Until, Replicas: []admin.ReplicaOfPart{},
	}
	if p.Place.Zone != "" {
		a.Region, a.Zone = "", p.Place.String()
	}
	d.app.gateway.Policy(func(policy *flow.Policy) {
		for i := range w.Fleet.Upstreams {
			u := &w.Fleet.Upstreams[i]
			for k := range u.Replicas {
				if r := &u.Replicas[k]; p.Has(u, r) {
					a.Replicas = append(a.Replicas, admin.ReplicaOfPart{Upstream: u.Name, Replica: r.Name, Place: r.Place.String(), InFlight: policy.Load(r.ID).Requests})
				}
			}
		}
	})
	a.Without = d.without(w, p, now)
	return a
}
