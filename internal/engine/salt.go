package engine

import (
	"crypto/sha256"
	"encoding/base64"

	"headworks/internal/scan"
)

// saltField sets the KV blocks of a prompt apart from all with another value (vLLM's
// OpenAI server, "Cache Isolation"; SGLang's likewise).
const saltField = "cache_salt"

// salt writes into a chat or a completion whose blocks it may share: those of its
// tenant, and within that those of the salt that the caller sent himself.
func (s *stream) salt(body []byte) ([]byte, error) {
	if err := s.reread(body); err != nil {
		return nil, err
	}
	defer s.giveBack()
	root := s.doc.Root()
	h := sha256.New()
	h.Write([]byte("headworks cache\x00"))
	if c := s.call.Caller; c != nil {
		h.Write([]byte(c.Tenant))
	}
	if own := root.Get(saltField); own.Kind() == scan.String {
		h.Write([]byte{0})
		h.Write(own.Raw())
	}
	edits := scan.CutAll(nil, root, func(m scan.Value) bool { return string(m.Key()) == saltField })
	member := append([]byte(`,"`+saltField+`":"`), base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])...)
	return scan.Splice(nil, body, append(edits, scan.Insert(root, append(member, '"')))), nil
}
