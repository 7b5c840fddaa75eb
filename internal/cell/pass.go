package cell

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"time"
)

// Header is the field in which a gateway of one cell proves to one of another that it
// is its kin, and says on whose behalf it asks.
const Header = "x-headworks-cell"

// Pass is what a gateway says of a request that it sends to another cell. It is good
// for one cell, one path and one body, and for a short time.
type Pass struct {
	Version int     `json:"v"`
	From    string  `json:"from"`          // the cell that sends
	For     string  `json:"for,omitempty"` // the cell that is asked; empty: for a report, by any
	Sent    int64   `json:"at"`            // Unix milliseconds
	Path    string  `json:"to"`
	Sum     string  `json:"sum,omitempty"`    // of the body; empty: there is none, or it is a form, which goes on as it comes
	Caller  *Caller `json:"caller,omitempty"` // on whose behalf; nil: the cell asks for itself

	// Searched says that documents were searched for the request, or that its caller
	// wants none, or others than the model's.
	Searched bool `json:"searched,omitempty"`
}

// Caller is on whose behalf a cell asks: a name, and never the key itself.
type Caller struct {
	ID          string   `json:"id"`
	Key         string   `json:"key"`
	Tenant      string   `json:"tenant"`
	Project     string   `json:"project,omitempty"`
	Tier        string   `json:"tier,omitempty"`
	Class       uint8    `json:"class"`
	Concurrency int      `json:"concurrency,omitempty"`
	Model       string   `json:"model"` // the one that he is let ask for
	Bound       bool     `json:"bound,omitempty"`
	Regions     []string `json:"regions,omitempty"` // that his requests stay in, where Bound
	Region      string   `json:"region,omitempty"`  // where he is
	Zone        string   `json:"zone,omitempty"`
	Prefer      uint8    `json:"prefer,omitempty"` // what counts most to him, and his cell lets him ask for
	TTFT        int64    `json:"ttft,omitempty"`   // his objective, microseconds
	TPOT        int64    `json:"tpot,omitempty"`
}

const (
	shape    = 2                // of what is said
	mostPass = 4 << 10          // bytes of the field
	lives    = 30 * time.Second // a pass, and how far two clocks may be apart
)

// What is wrong with a pass.
var (
	errLong   = errors.New("cell: more is to be said of a caller than fits a header field")
	errPass   = errors.New("cell: no pass of ours")
	errOld    = errors.New("cell: a pass that is too old, or of a clock that is wrong")
	errPlace  = errors.New("cell: a pass for another path")
	errCell   = errors.New("cell: a pass for another cell; does every cell know this one by its own region?")
	errAnswer = errors.New("cell: no answer of ours")
)

// Seal writes a pass as the field has it.
func Seal(secret string, p *Pass) (string, error) {
	p.Version = shape
	b, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	body := base64.RawURLEncoding.EncodeToString(b)
	field := body + "." + sign(secret, "pass", []byte(body))
	if len(field) > mostPass {
		return "", errLong
	}
	return field, nil
}

// Open reads a pass that was sealed with the same secret, for a cell and a path at now.
// Whether it is for a body, its Sum tells.
func Open(secret string, field []byte, cell, path string, now time.Time) (*Pass, error) {
	body, proof, ok := bytes.Cut(field, []byte("."))
	if !ok || secret == "" || len(field) > mostPass || !hmac.Equal(proof, []byte(sign(secret, "pass", body))) {
		return nil, errPass
	}
	p, err := parse(body)
	switch {
	case err != nil:
		return nil, err
	case p.Path != path:
		return nil, errPlace
	case p.For != cell:
		return nil, errCell
	}
	if off := now.Sub(time.UnixMilli(p.Sent)); off > lives || off < -lives {
		return nil, errOld
	}
	return p, nil
}

// Sum returns what a pass says of a body: its SHA-256, as text.
func Sum(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// parse reads what is said.
func parse(body []byte) (*Pass, error) {
	b := make([]byte, base64.RawURLEncoding.DecodedLen(len(body)))
	n, err := base64.RawURLEncoding.Strict().Decode(b, body)
	if err != nil {
		return nil, errPass
	}
	var p Pass
	d := json.NewDecoder(bytes.NewReader(b[:n]))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil || p.Version != shape || p.From == "" {
		return nil, errPass
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errPass
	}
	return &p, nil
}

// sign returns the proof of a text for one purpose. What is signed for another
// purpose with the same secret is none.
func sign(secret, purpose string, parts ...[]byte) string {
	key := hmac.New(sha256.New, []byte(secret))
	key.Write([]byte("headworks cells 1 " + purpose))
	sum := hmac.New(sha256.New, key.Sum(nil))
	for _, p := range parts {
		sum.Write(p)
	}
	return hex.EncodeToString(sum.Sum(nil))
}
