package tenant

import (
	"fmt"
	"strings"
)

// Secret is a text that nothing prints: formatted, marshalled or logged, alone or
// inside another value, it is [redacted]. The zero Secret is empty.
type Secret struct {
	// A pointer, so that a formatter that walks into a struct past our methods
	// finds an address.
	text *string
}

// NewSecret returns text as a Secret.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	text = strings.Clone(text) // not a piece of a file that lives on
	return Secret{&text}
}

const redacted = "[redacted]"

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Empty reports whether there is no text.
func (s Secret) Empty() bool { return s.text == nil }

// String returns [redacted], or nothing where there is nothing to hide.
func (s Secret) String() string {
	if s.text == nil {
		return ""
	}
	return redacted
}

// Format writes what String returns, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// MarshalText returns what String returns: JSON, YAML and logs ask for it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes a text out of a file.
func (s *Secret) UnmarshalText(b []byte) error {
	*s = NewSecret(string(b))
	return nil
}
