package engine

import (
	"slices"
	"strings"

	"headworks/internal/fault"
	"headworks/internal/scan"
)

// claimed appends the names of those fields that a request sets and that are not the
// caller's.
func (p *Protocol) claimed(dst []string, root scan.Value) []string {
	if len(p.Own) == 0 {
		return dst
	}
	for m := range root.All() {
		key := m.Key()
		for _, name := range p.Own {
			if !strings.HasPrefix(name, string(key)) {
				continue
			}
			if rest := name[len(key):]; rest == "" || rest[0] == '.' && m.Get(rest[1:]).Exists() {
				dst = append(dst, name)
			}
		}
	}
	return dst
}

// disclaim returns a body without the fields that are not the caller's.
func (s *stream) disclaim(body []byte) ([]byte, error) {
	s.borrow()
	defer s.giveBack()
	if s.doc.ScanLax(body) != nil {
		return nil, fault.New(fault.Internal, "the request could not be written for the upstream")
	}
	var edits []scan.Edit
	root, own := s.doc.Root(), s.spoken.Own
	for m := range root.All() { // those inside of what stays
		outer := string(m.Key())
		if slices.Contains(own, outer) {
			continue
		}
		edits = scan.CutAll(edits, m, func(inner scan.Value) bool {
			return slices.Contains(own, outer+"."+string(inner.Key()))
		})
	}
	edits = scan.CutAll(edits, root, func(m scan.Value) bool { return slices.Contains(own, string(m.Key())) })
	slices.SortFunc(edits, func(a, b scan.Edit) int { return a.Start - b.Start })
	return scan.Splice(nil, body, edits), nil
}
