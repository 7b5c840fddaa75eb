package config

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"headworks/internal/tenant"
)

// What a line of a file may show of itself. A reading that fails has no tree that
// would tell what is secret, so this looks at text alone, and shows only the values
// of fields that are known to hold none.
var (
	fieldName = regexp.MustCompile(`["']?([^\s"'{}\[\],:#]+)["']?\s*(?::(?:\s|$)|["']\s*:)|\b(secret|key)["']?[\s:=]`)
	harmless  = regexp.MustCompile(`^(\$\{([A-Za-z_][A-Za-z0-9_]*|file:[^}:]*)\}|[0-9.]{1,6}(ns|us|ms|s|m|h|[KMG]i?B|/[a-z]{1,6})?|true|false|null|[|>][-+]?|-)$`)
	word      = regexp.MustCompile(`\$\{[^}\s]*\}|[^\s{}\[\],"'$]+|\$`)
	userinfo  = regexp.MustCompile(`//[^\s"']*@`)
)

// shown returns the names of the fields whose values may be printed.
func shown(t reflect.Type, names map[string]bool) {
	if _, scalar := formOf(t); scalar {
		return
	}
	switch t.Kind() {
	case reflect.Map, reflect.Slice, reflect.Pointer:
		shown(t.Elem(), names)
	case reflect.Struct:
		for _, f := range fieldsOf(t) {
			if f.typ != reflect.TypeFor[tenant.Secret]() {
				names[f.name] = true
			}
			shown(f.typ, names)
		}
	default:
	}
}

// hide returns the lines of a file for excerpts: characters keep their columns, and
// what may be secret is overwritten. Comments go, they may hold anything.
func hide(src string) []string {
	open := map[string]bool{}
	shown(reflect.TypeFor[Config](), open)
	names := append(slices.Sorted(maps.Keys(open)), "secret", "key")
	for _, near := range []string{"secret", "key", "keys"} { // what is written there by mistake is one too
		delete(open, near)
	}

	known := map[string]bool{} // names met before, and whether their values are shown
	lines := strings.Split(src, "\n")
	show := true
	for i, line := range lines {
		line = strings.TrimSuffix(line, "\r")
		if at := comment(line); at >= 0 {
			line = line[:at]
		}
		if s := strings.TrimLeft(line, " -"); strings.HasPrefix(s, "?") || strings.HasPrefix(s, ":") {
			show = false // a key of a form that the pattern does not know
		}
		matches := fieldName.FindAllStringSubmatchIndex(line, -1)
		if s := strings.TrimSpace(line); len(matches) == 0 && s != "" && !strings.HasPrefix(s, "- ") {
			show = false // the rest of a text, or a name that lost its colon
		}
		var b strings.Builder
		at := 0
		part := func(to int) {
			if show {
				b.WriteString(line[at:to])
			} else {
				b.WriteString(cover(line[at:to]))
			}
			at = to
		}
		for _, m := range matches {
			if m[0] < at {
				continue
			}
			part(m[0])
			b.WriteString(line[m[0]:m[1]])
			at = m[1]
			show = false
			if m[2] >= 0 {
				name := line[m[2]:m[3]]
				if _, met := known[name]; !met {
					known[name] = open[name] || open[Nearest(name, names)]
				}
				show = known[name]
			}
		}
		part(len(line))
		lines[i] = userinfo.ReplaceAllStringFunc(b.String(), func(s string) string {
			return "//" + stars(s[2:len(s)-1]) + "@"
		})
	}
	return lines
}

// comment returns where a line's comment starts, or -1.
func comment(line string) int {
	for i := range len(line) {
		if line[i] == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return i
		}
	}
	return -1
}

// cover overwrites the words of a text that may be secret.
func cover(s string) string {
	return word.ReplaceAllStringFunc(s, func(w string) string {
		if harmless.MatchString(w) {
			return w
		}
		return stars(w)
	})
}

func stars(s string) string { return strings.Repeat("*", len([]rune(s))) }
