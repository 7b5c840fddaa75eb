package passage

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Identity is what makes vectors comparable: those of two identities have nothing to
// do with each other.
type Identity struct {
	Provider  string `json:"provider"` // upstream, or lexical for the built-in one
	Model     string `json:"model"`
	Revision  string `json:"revision,omitempty"`
	Dim       int    `json:"dim"`
	Normalise bool   `json:"normalise"`
	Prefix    string `json:"prefix,omitempty"` // before each text of a document
	Query     string `json:"query_prefix,omitempty"`
}

// Key names the identity in the names of what is kept; empty for no embedder.
func (i Identity) Key() string {
	if i == (Identity{}) {
		return ""
	}
	b, err := json.Marshal(i)
	if err != nil { // strings, a number and a truth value always have a form
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// Embedded names a text that was made into a vector by an embedder.
func (i Identity) Embedded(text string) [16]byte {
	sum := sha256.Sum256([]byte(i.Key() + "\x00" + text))
	return [16]byte(sum[:16])
}
