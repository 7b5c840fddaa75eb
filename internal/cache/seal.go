package cache

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"headworks/internal/tenant"
)

// sealer turns entries into bytes that may lie where others can read and write them,
// and takes back only what a sealer with the same secret wrote for the same place:
//
//	form (1 byte) | nonce (12 bytes, if encrypted) | body | MAC (32 bytes)
//
// The MAC is HMAC-SHA256 over the place of the entry and all before it, and is checked
// before anything else is looked at. The body is encrypted by AES-256-GCM with a key of
// its own for each place, so that no count of entries wears a key out.
type sealer struct {
	where, mac, cipher [sha256.Size]byte // secrets
	encrypt            bool
}

// place is where an entry lies that is kept for a scope in a layer under a key. Whoever
// has the key and not the scope does not find it, and without the secret it tells
// nothing.
type place [sha256.Size]byte

func (p place) name() string { return base64.RawURLEncoding.EncodeToString(p[:]) }

func (s *sealer) place(l Layer, of tenant.Scope, k Key) (p place) {
	h := hmac.New(sha256.New, s.where[:])
	h.Write(append(k[:], byte(l)))
	h.Write(of.Append(nil))
	h.Sum(p[:0])
	return p
}

const (
	plainForm     = 1
	encryptedForm = 2

	nonceSize = 12
	maxMarks  = 4096
)

func newSealer(secret []byte, encrypt bool) sealer {
	derive := func(what string) (k [sha256.Size]byte) {
		h := hmac.New(sha256.New, secret)
		h.Write([]byte(what))
		h.Sum(k[:0])
		return k
	}
	return sealer{derive("shared entries: place"), derive("shared entries: mac"), derive("shared entries: cipher"), encrypt}
}

func (s *sealer) tag(p place, b []byte) []byte {
	h := hmac.New(sha256.New, s.mac[:])
	h.Write(p[:])
	h.Write(b)
	return h.Sum(nil)
}

func (s *sealer) gcm(p place) (cipher.AEAD, error) {
	h := hmac.New(sha256.New, s.cipher[:])
	h.Write(p[:])
	block, err := aes.NewCipher(h.Sum(nil))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// seal returns the bytes of an entry.
func (s *sealer) seal(p place, e *Entry) ([]byte, error) {
	body := encode(e)
	if !s.encrypt {
		b := append([]byte{plainForm}, body...)
		return append(b, s.tag(p, b)...), nil
	}
	aead, err := s.gcm(p)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 1+nonceSize, 1+nonceSize+len(body)+aead.Overhead()+sha256.Size)
	b[0] = encryptedForm
	rand.Read(b[1:])
	b = aead.Seal(b, b[1:], body, b[:1])
	return append(b, s.tag(p, b)...), nil
}

// open returns the entry that bytes hold, or false if they are not what was sealed for
// that place. What is not encrypted is taken only by a sealer that
// does not encrypt.
func (s *sealer) open(p place, b []byte, of func(EpochName) *epoch) (Entry, bool) {
	n := len(b) - sha256.Size
	if n < 1 || !hmac.Equal(b[n:], s.tag(p, b[:n])) {
		return Entry{}, false
	}
	head, body := b[:1], b[1:n]
	switch {
	case b[0] == plainForm && !s.encrypt:
	case b[0] == encryptedForm && s.encrypt && len(body) >= nonceSize:
		aead, err := s.gcm(p)
		if err != nil {
			return Entry{}, false
		}
		if body, err = aead.Open(nil, body[:nonceSize], body[nonceSize:], head); err != nil {
			return Entry{}, false
		}
	default:
		return Entry{}, false
	}
	return decode(body, of)
}

// encode writes an entry: moments in ns since 1970, 0 for none; then what a hit saves;
// then marks; then the value, to the end.
func encode(e *Entry) []byte {
	b := make([]byte, 0, 64+len(e.Value)+48*len(e.Marks))
	for _, t := range [...]time.Time{e.Stored, e.Expires, e.Until} {
		n := int64(0)
		if !t.IsZero() {
			n = t.UnixNano()
		}
		b = binary.AppendVarint(b, n)
	}
	b = binary.AppendVarint(b, int64(e.Took))
	b = binary.AppendVarint(b, e.Cost)
	b = binary.AppendVarint(b, int64(e.Tokens))
	b = binary.AppendUvarint(b, uint64(len(e.Marks)))
	for _, m := range e.Marks {
		name := EpochName{}
		if m.of != nil {
			name = m.of.EpochName
		}
		b = append(b, byte(name.Kind))
		b = binary.AppendUvarint(b, uint64(len(name.Name)))
		b = append(b, name.Name...)
		b = binary.AppendUvarint(b, m.n)
		b = binary.AppendUvarint(b, m.all)
	}
	return append(b, e.Value...)
}

// decode reads what encode wrote.
func decode(b []byte, of func(EpochName) *epoch) (e Entry, ok bool) {
	r := reader{b: b, ok: true}
	for _, to := range [...]*time.Time{&e.Stored, &e.Expires, &e.Until} {
		if n := r.varint(); n != 0 {
			*to = time.Unix(0, n)
		}
	}
	e.Took, e.Cost, e.Tokens = time.Duration(r.varint()), r.varint(), int(r.varint())
	n := r.uvarint()
	if n > maxMarks {
		return Entry{}, false
	}
	for range n {
		name := EpochName{Kind: EpochKind(r.byte()), Name: string(r.take(r.uvarint()))}
		m := Mark{n: r.uvarint(), all: r.uvarint()}
		if !r.ok || name.Kind >= EpochKinds {
			return Entry{}, false
		}
		m.of = of(name)
		e.Marks = append(e.Marks, m)
	}
	e.Value = r.b
	return e, r.ok
}

// reader takes bytes apart. Once it ran short it is not ok, and returns zeros.
type reader struct {
	b  []byte
	ok bool
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.b, r.ok = nil, false
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.b, r.ok = nil, false
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.ok = nil, false
		return 0
	}
	r.b = r.b[n:]
	return v
}
