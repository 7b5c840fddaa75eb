package dialect

import (
	"headworks/internal/scan"
)

// Turn says where a dialect has what users say.
type Turn struct {
	List  string // of turns; or the one text of a prompt
	Says  string // what a turn says: a text, or an array of parts
	Open  string // a part of text, up to the text, as {"type":"text","text":
	Close string // and behind it, as }
	Part  string // the type of such a part; empty: it is one that has a text
}

// Lay puts a text before what the user said last, as a part of its own where the turn has
// parts; in front before what he said first. Every other byte stays. False where nobody
// said anything.
func (t *Turn) Lay(d *scan.Doc, text string, front bool) ([]byte, bool) {
	list := d.Root().Get(t.List)
	var at scan.Edit
	found := false
	switch list.Kind() {
	case scan.String:
		at, found = inside(list, text), list.TextLen() > 0
	case scan.Array:
		for turn := range list.All() {
			if e, ok := t.place(turn, text); ok {
				at, found = e, true
				if front {
					break
				}
			}
		}
	}
	if !found {
		return nil, false
	}
	return scan.Splice(make([]byte, 0, len(d.Bytes())+len(at.With)), d.Bytes(), []scan.Edit{at}), true
}

func (t *Turn) place(turn scan.Value, text string) (scan.Edit, bool) {
	role := turn.Get("role")
	if turn.Kind() != scan.Object || role.Given() && !role.Is("user") || !role.Given() && t.List != "contents" {
		return scan.Edit{}, false
	}
	switch says := turn.Get(t.Says); says.Kind() {
	case scan.String:
		return inside(says, text), says.TextLen() > 0
	case scan.Array:
		for part := range says.All() {
			if t.Part == "" && part.Get("text").TextLen() == 0 || t.Part != "" && !part.Get("type").Is(t.Part) {
				continue
			}
			start, _ := part.Span()
			with := scan.AppendString([]byte(t.Open), text)
			return scan.Edit{Start: start, End: start, With: append(append(with, t.Close...), ',')}, true
		}
	}
	return scan.Edit{}, false
}

// inside returns the edit that puts a text at the beginning of a string.
func inside(v scan.Value, text string) scan.Edit {
	start, _ := v.Span()
	with := scan.AppendString(nil, text)
	return scan.Edit{Start: start + 1, End: start + 1, With: with[1 : len(with)-1]}
}
