// Package identity turns a credential into a tenant.Caller, from memory alone: no
// store, no file and no network stand before authentication.
//
// A key is hw_<id>_<secret>_<crc>: a public id, 256 random bits, and a CRC-32 by
// which scanners and people know a key from a typo. What is kept of a key is
// HMAC-SHA256(pepper, key). Wrong, expired and revoked keys get the same words,
// after the same work.
package identity

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"headworks/internal/tenant"
)

const (
	prefix     = "hw_"
	randomBits = 256
	secretSize = 52 // 256 bits in base32
	maxID      = 32

	// MinSecret is the fewest characters of a secret that an operator chooses.
	MinSecret = 16
)

// letters has no underscore, which parts the fields of a key.
var letters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Key is a new key. Only its holder ever sees the secret again.
type Key struct {
	ID     string
	Secret tenant.Secret // the whole text that a caller sends
}

// NewKey makes a key. An empty id is drawn at random; another one has up to 32
// lower-case letters and digits.
func NewKey(id string) (Key, error) {
	if id == "" {
		id = draw(80)[:10] // 50 bits: ids of one deployment do not meet
	}
	if !validID(id) {
		return Key{}, fmt.Errorf("identity: key id %q: want up to %d lower-case letters and digits", id, maxID)
	}
	text := prefix + id + "_" + draw(randomBits)
	return Key{ID: id, Secret: tenant.NewSecret(text + "_" + checksum(text))}, nil
}

// draw returns so many random bits as text.
func draw(bits int) string {
	b := make([]byte, bits/8)
	rand.Read(b) // never fails: the runtime stops the process first
	return letters.EncodeToString(b)
}

func checksum(text string) string {
	return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text)))
}

var errKey = errors.New("identity: not a whole key: want hw_<id>_<secret>_<checksum>, as it was shown when it was created")

// ParseKey returns the id of a key that is whole. It says nothing about whether
// the key is known.
func ParseKey(text string) (id string, err error) {
	rest, ok := strings.CutPrefix(text, prefix)
	fields := strings.Split(rest, "_")
	if !ok || len(fields) != 3 || !validID(fields[0]) || len(fields[1]) != secretSize {
		return "", errKey
	}
	if b, err := letters.DecodeString(fields[1]); err != nil || len(b) != randomBits/8 {
		return "", errKey
	}
	if fields[2] != checksum(strings.TrimSuffix(text, "_"+fields[2])) {
		return "", errKey
	}
	return fields[0], nil
}

func validID(id string) bool {
	if id == "" || len(id) > maxID {
		return false
	}
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
