package passage

import (
	"encoding/binary"
	"slices"
	"strings"
	"unicode"
)

// Everybody is the principal that all callers are.
const Everybody = "*"

// TenantPrincipal, ProjectPrincipal and KeyPrincipal name who may read by a tenant,
// a project of a tenant, or one key.
func TenantPrincipal(tenant string) string           { return "tenant:" + tenant }
func ProjectPrincipal(tenant, project string) string { return "project:" + tenant + "/" + project }
func KeyPrincipal(id string) string                  { return "key:" + id }

// ValidPrincipal reports whether p has the form of a principal: *, tenant:NAME,
// project:TENANT/NAME or key:ID, up to 256 bytes.
func ValidPrincipal(p string) bool {
	if p == Everybody {
		return true
	}
	kind, name, _ := strings.Cut(p, ":")
	if name == "" || len(p) > 256 || strings.ContainsFunc(p, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return false
	}
	switch kind {
	case "tenant", "key":
		return true
	case "project":
		return strings.Contains(name, "/")
	}
	return false
}

// Audience is on whose behalf passages are searched and read. The zero Audience may
// read nothing.
type Audience struct {
	all   bool
	names []string // sorted, each once
}

// Operator returns the audience of whoever runs the store, who may read everything.
func Operator() Audience { return Audience{all: true} }

// Readers returns the audience of somebody who is these principals.
func Readers(principals ...string) Audience {
	names := slices.Clone(principals)
	slices.Sort(names)
	return Audience{names: slices.Compact(names)}
}

// All reports whether it may read everything.
func (a Audience) All() bool { return a.all }

// Principals returns who it is, sorted. Nobody changes them.
func (a Audience) Principals() []string { return a.names }

// May reports whether it may read what these principals may.
func (a Audience) May(readers []string) bool {
	if a.all {
		return true
	}
	for _, r := range readers {
		if _, found := slices.BinarySearch(a.names, r); found {
			return true
		}
	}
	return false
}

// Key tells audiences apart that may read different things.
func (a Audience) Key() string {
	if a.all {
		return "\x00operator" // a name of no bytes, and more behind it
	}
	var b []byte
	for _, name := range a.names {
		b = binary.AppendUvarint(b, uint64(len(name)))
		b = append(b, name...)
	}
	return string(b)
}
