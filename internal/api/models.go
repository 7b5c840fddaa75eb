package api

import (
	"net/url"

	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/wire"
)

// Models serves the list of models that a caller may use, in the form that its
// client knows.
func Models(f *Front, x *wire.Exchange, v Visit) {
	d := v.Dialect
	var models []inference.Model
	s := f.gateway.World().Fleet
	for i := range s.Models {
		if m := &s.Models[i]; v.Caller.May(m.Name) {
			models = append(models, describe(s, m))
		}
	}
	var h wire.Header
	d.identify(&h, newID(x.Arrived()))
	_ = x.Respond(200, jsonType, &h, d.AppendModels(nil, models...)) // fails only if the client is gone
}

// Model serves one model by its name, which is all that follows the path: names
// have slashes, escaped or not. One that the caller may not use does not exist.
func Model(f *Front, x *wire.Exchange, v Visit) {
	d := v.Dialect
	var h wire.Header
	name, err := url.PathUnescape(v.Tail)
	s := f.gateway.World().Fleet
	m, ok := s.Model(name)
	if err != nil || !ok || !v.Caller.May(name) {
		e := fault.New(fault.ModelNotFound, "no such model, or this key may not use it; GET /v1/models lists what it may")
		e.Param = "model"
		f.refuse(x, d, &h, e)
		return
	}
	d.identify(&h, newID(x.Arrived()))
	_ = x.Respond(200, jsonType, &h, d.AppendModel(nil, describe(s, m))) // fails only if the client is gone
}

// describe tells what is known of a model: the largest window and the longest answer
// of its targets, since a request goes where it fits; what all of them can do, since
// it may go to any; the price of the first that has one.
func describe(s *fleet.Snapshot, m *fleet.Model) inference.Model {
	told := inference.Model{Name: m.Name, Created: s.Since}
	released := false
	for i := range m.Targets {
		t := &m.Targets[i]
		told.Window = max(told.Window, t.Window)
		told.Output = max(told.Output, t.Output)
		told.Abilities = told.Abilities.Both(t.Can)
		if !told.Price.Known {
			told.Price = t.Price
		}
		if !released && t.Released > 0 {
			told.Created, released = t.Released, true
		}
	}
	return told
}
