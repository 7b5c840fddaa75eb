// Package sigv4 signs requests by AWS' Signature Version 4, with AWS' own signer. It
// alone among what lies below engine knows net/http, which that signer asks for; it
// sends nothing.
package sigv4

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Signer signs with one credential.
type Signer struct {
	v4          *v4.Signer
	credentials aws.Credentials
}

// New returns the signer of a key of the form ACCESS:SECRET or ACCESS:SECRET:SESSION;
// nil for a key of another form.
func New(key string) *Signer {
	access, rest, ok := strings.Cut(key, ":")
	if !ok {
		return nil
	}
	secret, session, _ := strings.Cut(rest, ":")
	return &Signer{v4: v4.NewSigner(), credentials: aws.Credentials{AccessKeyID: access, SecretAccessKey: secret, SessionToken: session}}
}

// Sign returns the fields that prove a POST request ours to a service in a region.
// The target is the path and query as they are sent.
func (s *Signer) Sign(ctx context.Context, host, target string, body []byte, service, region string, now time.Time) ([][2]string, error) {
	u, err := url.Parse("https://" + host + target)
	if err != nil {
		return nil, err
	}
	r := &http.Request{Method: http.MethodPost, URL: u, Host: host, Header: http.Header{}}
	sum := sha256.Sum256(body)
	if err := s.v4.SignHTTP(ctx, s.credentials, r, hex.EncodeToString(sum[:]), service, region, now); err != nil {
		return nil, err
	}
	return fields(r), nil
}

// SignGet returns the fields that prove a GET request ours to S3 in a region. S3 wants
// the hash of the body told, though it is empty, and a path signed as it is sent, with
// all bytes escaped but letters, digits, and the signs - . _ ~ /.
func (s *Signer) SignGet(ctx context.Context, host, target, region string, now time.Time) ([][2]string, error) {
	u, err := url.Parse("https://" + host + target)
	if err != nil {
		return nil, err
	}
	r := &http.Request{Method: http.MethodGet, URL: u, Host: host, Header: http.Header{}}
	sum := sha256.Sum256(nil)
	hash := hex.EncodeToString(sum[:])
	r.Header.Set("X-Amz-Content-Sha256", hash)
	asSent := func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }
	if err := s.v4.SignHTTP(ctx, s.credentials, r, hash, "s3", region, now, asSent); err != nil {
		return nil, err
	}
	return fields(r), nil
}

// fields returns what the signer put into a request.
func fields(r *http.Request) (fields [][2]string) {
	for _, name := range [...]string{"Authorization", "X-Amz-Date", "X-Amz-Content-Sha256", "X-Amz-Security-Token"} {
		if v := r.Header.Get(name); v != "" {
			fields = append(fields, [2]string{name, v})
		}
	}
	return fields
}
