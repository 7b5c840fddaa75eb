package api

import (
	"net/url"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/scan"
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
	var m inference.Model
	if err == nil {
		m, err = f.model(name, v)
	}
	if err != nil {
		f.refuse(x, d, &h, unknown())
		return
	}
	d.identify(&h, newID(x.Arrived()))
	_ = x.Respond(200, jsonType, &h, d.AppendModel(nil, m)) // fails only if the client is gone
}

// NamedModel does the same by the name in a body.
func NamedModel(f *Front, x *wire.Exchange, v Visit) {
	m, err := f.named(x, v)
	if err != nil {
		f.Tell(x, v.Dialect, nil, err)
		return
	}
	f.Tell(x, v.Dialect, v.Dialect.AppendModel(nil, m), nil)
}

// named reads the model that a body names, as model or as name.
func (f *Front) named(x *wire.Exchange, v Visit) (inference.Model, error) {
	body, err := x.Body(f.limits().Body)
	if err != nil {
		return inference.Model{}, err
	}
	if err := v.meant(body); err != nil {
		return inference.Model{}, err
	}
	var doc scan.Doc
	if err := doc.Scan(body, scan.Keys("model", "name")); err != nil {
		return inference.Model{}, unreadable(err)
	}
	var fields dialect.Fields
	name := fields.Text(doc.Root().Get("model"), "model")
	if name == "" {
		name = fields.Text(doc.Root().Get("name"), "name")
	}
	if name == "" {
		fields.Wrong("model", "is missing")
	}
	if err := fields.Failed(); err != nil {
		return inference.Model{}, err
	}
	return f.model(name, v)
}

// model describes a model; one that the caller may not use does not exist.
func (f *Front) model(name string, v Visit) (inference.Model, error) {
	s := f.gateway.World().Fleet
	m, ok := s.Model(name)
	if !ok || !v.Caller.May(name) {
		return inference.Model{}, unknown()
	}
	return describe(s, m), nil
}

func unknown() *fault.Error {
	e := fault.New(fault.ModelNotFound, "no such model, or this key may not use it; GET /v1/models lists what it may")
	e.Param = "model"
	return e
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
		told.Speaks |= t.Speaks
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
