package pgvector

import (
	"encoding/json"
	"fmt"
	"strings"

	"headworks/internal/passage"
)

// conditions returns what has to hold of a passage's row so that a query may find it,
// with parameters from $2 on. It holds exactly where Audience.May and Filter.Match do.
func conditions(who passage.Audience, f *passage.Filter) (where string, args []any) {
	w := &writer{next: 2}
	switch {
	case who.All():
		w.b.WriteString("true")
	case len(who.Principals()) == 0:
		w.b.WriteString("false")
	default:
		w.b.WriteString("readers && " + w.param(who.Principals()) + "::text[]")
	}
	if f != nil {
		w.b.WriteString(" AND ")
		w.filter(f)
	}
	return w.b.String(), w.args
}

type writer struct {
	b    strings.Builder
	args []any
	next int
}

// param takes a value that never becomes part of the text.
func (w *writer) param(v any) string {
	w.args = append(w.args, v)
	w.next++
	return fmt.Sprintf("$%d", w.next-1)
}

func (w *writer) filter(f *passage.Filter) {
	switch f.Op {
	case passage.And, passage.Or:
		joint, none := " AND ", "true"
		if f.Op == passage.Or {
			joint, none = " OR ", "false"
		}
		w.b.WriteByte('(')
		if len(f.Of) == 0 {
			w.b.WriteString(none)
		}
		for i := range f.Of {
			if i > 0 {
				w.b.WriteString(joint)
			}
			w.filter(&f.Of[i])
		}
		w.b.WriteByte(')')
	case passage.Eq, passage.In:
		w.equal(f)
	case passage.Ne, passage.Nin:
		w.b.WriteString("NOT ")
		w.equal(f)
	default:
		w.order(f)
	}
}

// equal compares as JSON does: a number is no text, and 1 is 1.0.
func (w *writer) equal(f *passage.Filter) {
	name := w.param(f.Name)
	w.b.WriteString("coalesce((")
	if len(f.Values) == 0 {
		w.b.WriteString("false")
	}
	for i, v := range f.Values {
		if i > 0 {
			w.b.WriteString(" OR ")
		}
		value, err := json.Marshal(v)
		if err != nil { // no number of a filter is without a form
			value = []byte("null")
		}
		w.b.WriteString("attributes -> " + name + "::text = " + w.param(string(value)) + "::jsonb")
	}
	w.b.WriteString("), false)")
}

// order compares values of one kind alone: what is of another one is not reached, since
// a CASE looks at its kind first.
func (w *writer) order(f *passage.Filter) {
	if len(f.Values) == 0 {
		w.b.WriteString("false")
		return
	}
	sign := map[passage.Op]string{passage.Gt: ">", passage.Gte: ">=", passage.Lt: "<", passage.Lte: "<="}[f.Op]
	name := w.param(f.Name) + "::text"
	kind, left, right := "", "", ""
	switch v := f.Values[0]; v.Kind {
	case passage.Number:
		kind, left, right = "number", "(attributes ->> "+name+")::float8", w.param(v.Number)+"::float8"
	case passage.Bool:
		kind, left, right = "boolean", "(attributes ->> "+name+")::boolean", w.param(v.Bool)+"::boolean"
	default:
		kind, left, right = "string", `(attributes ->> `+name+`) COLLATE "C"`, w.param(v.Text)+"::text"
	}
	fmt.Fprintf(&w.b, "CASE WHEN jsonb_typeof(attributes -> %s) = '%s' THEN %s %s %s ELSE false END", name, kind, left, sign, right)
}
