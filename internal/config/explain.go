package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"headworks/internal/catalog/card"
	"headworks/internal/tenant"
)

// Value is one setting: what it is, and where that comes from.
type Value struct {
	Path   string `json:"path"`           // as models.assistant.timeouts.idle, keys[0].name
	Value  string `json:"value"`          // as the file would have it; a secret by its reference
	Origin string `json:"origin"`         // file:line:column, card of a date, or default
	From   string `json:"from,omitempty"` // the references it was made of, as ${CHAT_TIMEOUT:-10m}

	secret tenant.Secret
}

// leaf is one setting and where it stands.
type leaf struct {
	path string
	v    reflect.Value
}

// leaves returns the settings under v in the order of the fields, names sorted.
func leaves(path string, v reflect.Value, out []leaf) []leaf {
	if _, scalar := formOf(v.Type()); scalar {
		return append(out, leaf{path, v})
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return append(out, leaf{path, v})
		}
		return leaves(path, v.Elem(), out)
	case reflect.Struct:
		for _, f := range fieldsOf(v.Type()) {
			out = leaves(join(path, f.name), v.Field(f.index), out)
		}
	case reflect.Map:
		if v.Len() == 0 {
			return append(out, leaf{path, v})
		}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			out = leaves(join(path, k.String()), v.MapIndex(k), out)
		}
	case reflect.Slice:
		if v.Len() == 0 {
			return append(out, leaf{path, v})
		}
		for i := range v.Len() {
			out = leaves(path+"["+strconv.Itoa(i)+"]", v.Index(i), out)
		}
	default:
	}
	return out
}

// Values returns every setting of c.
func (c *Config) Values() []Value {
	all := leaves("", reflect.ValueOf(c).Elem(), nil)
	values := make([]Value, len(all))
	for i, l := range all {
		values[i] = c.value(l)
	}
	return values
}

func (c *Config) value(l leaf) Value {
	o, given := c.origins[l.path]
	v := Value{Path: l.path, Value: "none", Origin: "default", From: o.raw}
	if given {
		v.Origin = fmt.Sprintf("%s:%d:%d", c.name, o.value.line, o.value.column)
	} else if none := l.v.Kind() == reflect.Pointer && l.v.IsNil(); !none && c.onCard(l.path) {
		v.Origin = "card of " + card.Date
	}
	form, scalar := formOf(l.v.Type())
	if s, ok := l.v.Interface().(tenant.Secret); ok {
		v.secret, v.From = s, o.safe
		if !s.Empty() {
			shown := redacted
			if o.safe != "" {
				shown = o.safe
			}
			v.Value = fmt.Sprintf("%s (set, %d characters)", shown, len([]rune(s.Reveal())))
		}
		return v
	}
	if scalar {
		if s := form.show(l.v.Interface()); s != "" {
			v.Value = s
		}
	}
	return v
}

// onCard reports whether a path, or what it lies in, is of the model card.
func (c *Config) onCard(path string) bool {
	for ; path != ""; path = parent(path) {
		if c.carded[path] {
			return true
		}
	}
	return false
}

// flat is a path without brackets, so that models[gpt-4.1].targets[0] is found by
// models.gpt-4.1.targets.0 too.
func flat(path string) string {
	return strings.TrimPrefix(strings.NewReplacer("[", ".", "]", "").Replace(path), ".")
}

// Explain returns the settings at a path and below it; the empty path is all of them.
func Explain(c *Config, path string) ([]Value, error) {
	all := c.Values()
	want := strings.TrimSuffix(flat(path), ".")
	if want == "" {
		return all, nil
	}
	var found []Value
	nodes := map[string]bool{}
	for _, v := range all {
		if f := flat(v.Path); f == want || strings.HasPrefix(f, want+".") {
			found = append(found, v)
		}
		for p := v.Path; p != ""; p = parent(p) {
			nodes[p] = true
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no setting %q%s", path, meant(path, slices.Sorted(maps.Keys(nodes)), "there are"))
	}
	return found, nil
}

// Change is one setting that differs between two configurations.
type Change struct {
	Path string `json:"path"`
	Was  string `json:"was,omitempty"` // empty: was not there
	Now  string `json:"now,omitempty"` // empty: is gone

	words string
}

// Diff returns what is different in b. Lists of named things are compared by name.
func Diff(a, b *Config) []Change {
	was, now := a.named(), b.named()
	var changes []Change
	for _, v := range was {
		n, ok := now[v.Path]
		switch {
		case !ok:
			changes = append(changes, Change{Path: v.Path, Was: v.Value})
		case v.secret.Reveal() != n.secret.Reveal() || v.Value != n.Value && v.secret.Empty():
			changes = append(changes, Change{Path: v.Path, Was: v.Value, Now: n.Value})
		}
	}
	for _, v := range now {
		if _, ok := was[v.Path]; !ok {
			changes = append(changes, Change{Path: v.Path, Now: v.Value})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	for i := range changes {
		changes[i].words = changes[i].summary(a, b)
	}
	return changes
}

// named returns the settings by path, keys by their name instead of their place.
func (c *Config) named() map[string]Value {
	values := map[string]Value{}
	for _, v := range c.Values() {
		for i, k := range c.Keys {
			if rest, ok := strings.CutPrefix(v.Path, "keys["+strconv.Itoa(i)+"]"); ok {
				v.Path = join("keys", k.Name) + rest
				break
			}
		}
		values[v.Path] = v
	}
	return values
}

// Summary tells changes in words, a line each: models.assistant.timeouts changed.
func Summary(changes []Change) []string {
	var lines []string
	for _, c := range changes {
		if !slices.Contains(lines, c.words) {
			lines = append(lines, c.words)
		}
	}
	return lines
}

// summary names the entry that came or went, or else the field that changed.
func (c Change) summary(a, b *Config) string {
	section, rest, _ := strings.Cut(strings.Replace(c.Path, "[", ".", 1), ".")
	if !slices.Contains([]string{"upstreams", "models", "tiers", "tenants", "keys"}, section) || rest == "" {
		return c.Path + " changed"
	}
	for _, name := range entries(section, a, b) {
		at := join(section, name)
		below, ok := strings.CutPrefix(c.Path, at+".")
		if !ok {
			continue
		}
		was, is := slices.Contains(entries(section, a), name), slices.Contains(entries(section, b), name)
		switch {
		case !was:
			return at + " added"
		case !is:
			return at + " removed"
		}
		if end := strings.IndexAny(below, ".["); end >= 0 {
			below = below[:end]
		}
		return at + "." + below + " changed"
	}
	return c.Path + " changed"
}

// entries returns the names in a section, the longest first: one may begin another.
func entries(section string, of ...*Config) []string {
	var names []string
	for _, c := range of {
		switch section {
		case "upstreams":
			names = slices.AppendSeq(names, maps.Keys(c.Upstreams))
		case "models":
			names = slices.AppendSeq(names, maps.Keys(c.Models))
		case "tiers":
			names = slices.AppendSeq(names, maps.Keys(c.Tiers))
		case "tenants":
			names = slices.AppendSeq(names, maps.Keys(c.Tenants))
		case "keys":
			for _, k := range c.Keys {
				names = append(names, k.Name)
			}
		}
	}
	slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) })
	return names
}

// Fingerprint returns 12 hexadecimal digits that are the same for the same
// settings, wherever they come from. A secret counts by being set, not by its text:
// callers see the fingerprint.
func (c *Config) Fingerprint() string {
	h := sha256.New()
	for _, l := range leaves("", reflect.ValueOf(c).Elem(), nil) {
		text := "none"
		if s, ok := l.v.Interface().(tenant.Secret); ok {
			text = strconv.FormatBool(!s.Empty())
		} else if form, scalar := formOf(l.v.Type()); scalar {
			text = form.show(l.v.Interface())
		}
		fmt.Fprintf(h, "%q %q\n", l.path, text)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}
