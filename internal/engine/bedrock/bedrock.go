// Package bedrock speaks to Amazon Bedrock: Converse and ConverseStream, signed by
// AWS' Signature Version 4 or with one of Bedrock's own keys.
package bedrock

import (
	"context"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"time"

	"headworks/internal/dialect/converse"
	"headworks/internal/engine"
	"headworks/internal/engine/bedrock/sigv4"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
)

// New returns the engine of an upstream's replicas. A key is ACCESS:SECRET or
// ACCESS:SECRET:SESSION, which signs, or one of Bedrock's own, which is sent as a
// bearer's; an empty one is not sent. The region is read from each URL, or else is
// the one given.
func New(replicas []fleet.Replica, keys []string, region string) (*engine.HTTP, error) {
	fields := engine.Bearer(keys)
	s := &signing{regions: map[string]string{}}
	signs := false
	for i, key := range keys {
		s.signers = append(s.signers, sigv4.New(key))
		if s.signers[i] != nil {
			fields[i], signs = nil, true
		}
	}
	for _, r := range replicas {
		u, err := url.Parse(r.URL)
		if err != nil {
			return nil, err
		}
		at := regionOf(u.Hostname())
		if at == "" {
			at = region
		}
		if s.regions[u.Host] = at; at == "" && signs {
			return nil, errors.New("the URL names no region to sign for; write region, as eu-central-1")
		}
	}
	return engine.NewHTTP([]engine.Protocol{protocol()}, replicas, engine.Options{Keys: fields, Sign: s.sign})
}

// host is that of a region's endpoint, be it public, of FIPS or of a VPC.
var host = regexp.MustCompile(`(?:^|\.)bedrock(?:-runtime)?(?:-fips)?\.([a-z]{2}(?:-[a-z]+)+-[0-9])\.`)

func regionOf(name string) string {
	if m := host.FindStringSubmatch(name); m != nil {
		return m[1]
	}
	return ""
}

func protocol() engine.Protocol {
	return engine.Protocol{
		Dialect:      inference.Converse,
		Target:       target,
		Framing:      func() engine.Framing { return &Frames{} },
		Type:         "application/vnd.amazon.eventstream",
		Encode:       converse.Encode,
		ReadAnswer:   converse.ReadAnswer,
		DecodeAnswer: converse.DecodeAnswer,
		ReadError:    converse.ReadError,
		NewReader:    func() engine.Reader { return &converse.Reader{} },
		Mark:         converse.Mark,
	}
}

// target appends where a model is asked. Its name is one part of the path, with all
// but the characters that RFC 3986 leaves alone escaped: names have colons, those of
// resources slashes too.
func target(dst []byte, base, model string, stream bool) []byte {
	dst = append(append(dst, base...), "/model/"...)
	const digits = "0123456789ABCDEF"
	for i := range len(model) {
		c := model[i]
		if c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || strings.IndexByte("-._~", c) >= 0 {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	if stream {
		return append(dst, "/converse-stream"...)
	}
	return append(dst, "/converse"...)
}

// signing signs requests with those keys that sign.
type signing struct {
	signers []*sigv4.Signer   // by key; nil for one that is sent itself
	regions map[string]string // by host
}

func (s *signing) sign(ctx context.Context, r *engine.Signed) error {
	if r.Key >= len(s.signers) || s.signers[r.Key] == nil {
		return nil
	}
	fields, err := s.signers[r.Key].Sign(ctx, r.Host, r.Target, r.Body, "bedrock", s.regions[r.Host], time.Now())
	if err != nil {
		return fault.Wrap(fault.Internal, "the request could not be signed", err)
	}
	for _, f := range fields {
		r.Header.Add(f[0], f[1])
	}
	return nil
}
