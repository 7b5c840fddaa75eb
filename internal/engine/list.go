package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/scan"
	"headworks/internal/wire"
)

// Listing is how an upstream tells which models it has.
type Listing struct {
	Target func(dst []byte, base string) []byte // path and query
	Read   func(root scan.Value, yield func(name string))
}

// Bounds of a list of models.
const (
	maxList   = 16 << 20
	maxListed = 10_000
	maxModel  = 256 // bytes of a name
)

// Models is OpenAI's list of models, GET /v1/models, in whose place Together sends
// the bare array.
func Models() *Listing { return listing("/models") }

// MessagesModels is Anthropic's, of which one page holds a thousand.
func MessagesModels() *Listing { return listing("/models?limit=1000") }

func listing(path string) *Listing {
	return &Listing{
		Target: func(dst []byte, base string) []byte { return append(append(dst, Versioned(base)...), path...) },
		Read: func(root scan.Value, yield func(string)) {
			if root.Kind() == scan.Object {
				root = root.Get("data")
			}
			for m := range root.All() {
				yield(m.Get("id").Text())
			}
		},
	}
}

// List asks a replica which models it has, in the order of their names. The error is
// a *fault.Error: Unsupported where this kind of upstream has no list that tells what
// can be asked for.
func (e *HTTP) List(ctx context.Context, replica fleet.ReplicaID, until time.Time) ([]string, error) {
	l := e.options.Listing
	i := slices.IndexFunc(e.origins, func(o origin) bool { return o.id == replica })
	switch {
	case i < 0:
		return nil, fault.New(fault.Internal, "the replica belongs to another upstream")
	case l == nil:
		return nil, fault.New(fault.Unsupported, "this kind of upstream has no list of models that Headworks can ask for")
	}
	at := &e.origins[i]
	var header wire.Header
	fields := slices.Concat(e.options.Header, e.options.Defaults)
	if at.key < len(e.options.Keys) {
		fields = append(fields, e.options.Keys[at.key]...)
	}
	for _, f := range append(fields, [2]string{"Accept", "application/json"}) {
		header.Add(f[0], f[1])
	}
	response, err := at.pool.Send(ctx, &wire.Request{Method: "GET", Target: string(l.Target(nil, at.base)), Header: &header})
	if err != nil {
		return nil, err
	}
	defer response.Close()
	status, err := response.Head(until)
	if err != nil {
		return nil, late(err)
	}
	if status != 200 {
		return nil, dialect.Said{Status: status}.Fault()
	}
	body, err := response.Body(maxList, until)
	if err != nil {
		return nil, late(err)
	}
	var d scan.Doc
	if err := d.ScanLax(body); err != nil {
		return nil, fault.Wrap(fault.Malformed, "the upstream's list of models is not JSON", err)
	}
	var names []string
	l.Read(d.Root(), func(name string) {
		if shown(name) && len(names) < maxListed {
			names = append(names, name)
		}
	})
	if len(names) == 0 && !lists(d.Root()) {
		return nil, fault.New(fault.Malformed, "the upstream's answer is no list of models")
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// lists reports whether there is a list, if an empty one.
func lists(root scan.Value) bool {
	if root.Kind() == scan.Array {
		return true
	}
	for m := range root.All() {
		if k := m.Kind(); k == scan.Array || k == scan.Null {
			return true
		}
	}
	return false
}

// late tells of an upstream that did not answer in time.
func late(err error) error {
	if errors.Is(err, wire.ErrQuiet) {
		return fault.New(fault.FirstTokenTimeout, "the upstream did not answer in time")
	}
	return err
}

// shown reports whether a model's name can be shown and asked for.
func shown(name string) bool {
	return name != "" && len(name) <= maxModel && utf8.ValidString(name) &&
		strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
