package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
	"sync"

	"headworks/internal/tenant"
)

// Digest is what is kept of a key: HMAC-SHA256 under the pepper.
type Digest [sha256.Size]byte

// Pepper is the secret under which digests are made. Without it a copy of the
// store tells nothing about keys.
type Pepper struct {
	id   string
	macs sync.Pool // of *mac
}

// mac is an HMAC whose key is set, and room for its result: made anew they cost
// five times what they do reused.
type mac struct {
	hash.Hash
	sum [sha256.Size]byte
}

// NewPepper returns the pepper of that text.
func NewPepper(text tenant.Secret) *Pepper {
	sum := sha256.Sum256([]byte("headworks pepper id\x00" + text.Reveal()))
	p := &Pepper{id: hex.EncodeToString(sum[:4])}
	p.macs.New = func() any { return &mac{Hash: hmac.New(sha256.New, []byte(text.Reveal()))} }
	return p
}

// OpenPepper returns the pepper in the data folder, made there at first start.
func OpenPepper(data *os.Root) (*Pepper, error) {
	text, err := OpenSecret(data, PepperFile, "pepper")
	if err != nil {
		return nil, err
	}
	return NewPepper(text), nil
}

// ID names the pepper: a digest that was made under another one matches nothing.
func (p *Pepper) ID() string { return p.id }

// Digest returns what is kept of a key.
func (p *Pepper) Digest(key []byte) Digest {
	m := p.macs.Get().(*mac)
	m.Reset()
	m.Write(key)
	m.Sum(m.sum[:0])
	d := Digest(m.sum)
	p.macs.Put(m)
	return d
}

// Format writes the id, whatever the verb.
func (p *Pepper) Format(f fmt.State, _ rune) { fmt.Fprint(f, "pepper "+p.id) }
