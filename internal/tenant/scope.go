package tenant

import "encoding/binary"

// Reach is how far what is kept for a caller may be used.
type Reach uint8

// The reaches, each wider than the one before it. The zero Reach is none.
const (
	_            Reach = iota
	User               // one person; of a credential that names none, the key
	KeyOnly            // one key
	Project            // the keys of a project
	Organisation       // the projects of a tenant
	Public             // everybody
	reaches
)

var reachNames = [reaches]string{"none", "user", "key", "project", "organisation", "public"}

func (r Reach) String() string { return reachNames[r] }

// ParseReach returns the reach of that name.
func ParseReach(name string) (Reach, bool) {
	for r := User; r < reaches; r++ {
		if reachNames[r] == name {
			return r, true
		}
	}
	return 0, false
}

// Scope is for whom something is kept. It is built from a Caller alone, so nobody
// can ask for what another one's scope holds. Scopes are equal where they are for
// the same; the zero Scope is for nobody, and nothing is kept for it.
type Scope struct {
	reach                      Reach
	tenant, project, cell, key string
}

// Scope returns the scope of that reach that c belongs to. It is not ok for no
// reach, for a caller that names nobody of that reach, and for a wider reach than
// c may share at.
func (c *Caller) Scope(reach Reach) (s Scope, ok bool) {
	if c == nil || reach == 0 || reach > max(c.Share, Organisation) || reach >= reaches {
		return Scope{}, false
	}
	switch s.reach = reach; reach {
	case User, KeyOnly:
		// Key ids are a cell's own.
		s.tenant, s.project, s.cell, s.key = c.Tenant, c.Project, c.Cell, c.KeyID
		ok = c.KeyID != ""
	case Project:
		s.tenant, s.project = c.Tenant, c.Project
		ok = c.Tenant != ""
	case Organisation:
		s.tenant = c.Tenant
		ok = c.Tenant != ""
	case Public:
		ok = true
	case reaches: // refused above
	}
	if !ok {
		return Scope{}, false
	}
	return s, true
}

// IsZero reports whether s is for nobody.
func (s Scope) IsZero() bool { return s.reach == 0 }

// Reach returns how far s reaches.
func (s Scope) Reach() Reach { return s.reach }

// Tenant returns the tenant that s belongs to; empty for everybody's.
func (s Scope) Tenant() string { return s.tenant }

// String returns s for people: its reach and whom it is for, such as
// project:acme/web. It holds no secret.
func (s Scope) String() string {
	switch s.reach {
	case User, KeyOnly:
		name := s.reach.String() + ":" + s.tenant + "/" + s.project + "/" + s.key
		if s.cell != "" {
			name += "@" + s.cell
		}
		return name
	case Project:
		return "project:" + s.tenant + "/" + s.project
	case Organisation:
		return "organisation:" + s.tenant
	case Public, reaches:
	}
	return s.reach.String()
}

// Append appends bytes that no other scope has, nor begins with.
func (s Scope) Append(dst []byte) []byte {
	dst = append(dst, byte(s.reach))
	for _, part := range [...]string{s.tenant, s.project, s.cell, s.key} {
		dst = binary.AppendUvarint(dst, uint64(len(part)))
		dst = append(dst, part...)
	}
	return dst
}
