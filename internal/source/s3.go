package source

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"headworks/internal/engine/bedrock/sigv4"
	"headworks/internal/fault"
)

const (
	mostKeys  = 10_000_000
	mostList  = 8 << 20 // bytes of a page of the list: 1,000 keys of 1,024 bytes, escaped
	mostFault = 64 << 10
)

// S3 is a bucket of a store that speaks Amazon's S3: AWS, MinIO, Ceph, R2 and others.
// Its items are the objects below a prefix by their keys; those that stand for folders
// are left out.
type S3 struct {
	web      *Web
	endpoint *url.URL // without a path; of the bucket, where hosted is set
	hosted   bool     // the bucket is in the host rather than in the path
	bucket   string
	prefix   string
	region   string
	signer   *sigv4.Signer // nil: anonymous
}

// S3Options say which objects.
type S3Options struct {
	Endpoint string // as in https://minio.example.com:9000; empty: AWS' of the region
	Region   string // empty: us-east-1
	Bucket   string
	Prefix   string
	Key      string // ACCESS:SECRET or ACCESS:SECRET:SESSION; empty: anonymous
	Most     int64  // bytes of an object; 0: 512 MiB
}

// NewS3 returns a bucket. Close it.
func NewS3(o S3Options) (*S3, error) {
	s := &S3{bucket: o.Bucket, prefix: o.Prefix, region: o.Region}
	if s.region == "" {
		s.region = "us-east-1"
	}
	if strings.Trim(o.Bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" || len(o.Bucket) < 3 || len(o.Bucket) > 63 {
		return nil, fault.New(fault.InvalidRequest, fmt.Sprintf("%q is no name of a bucket: 3 to 63 small letters, digits, dots and hyphens", o.Bucket))
	}
	if strings.Trim(s.region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return nil, fault.New(fault.InvalidRequest, fmt.Sprintf("%q is no name of a region: write it as in eu-central-1", s.region))
	}
	endpoint := o.Endpoint
	if endpoint == "" {
		// A dot in the name of the bucket is in no certificate.
		if s.hosted = !strings.Contains(o.Bucket, "."); s.hosted {
			endpoint = "https://" + o.Bucket + ".s3." + s.region + ".amazonaws.com"
		} else {
			endpoint = "https://s3." + s.region + ".amazonaws.com"
		}
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, fault.New(fault.InvalidRequest, "the endpoint of the store is not valid: write it as in https://minio.example.com:9000, without the bucket")
	}
	s.endpoint = &url.URL{Scheme: u.Scheme, Host: u.Host}
	if o.Key != "" {
		if s.signer = sigv4.New(o.Key); s.signer == nil {
			return nil, fault.New(fault.InvalidRequest, "the key of the store is not valid: write it as ACCESS:SECRET or ACCESS:SECRET:SESSION")
		}
	}
	s.web, err = NewWeb(WebOptions{Hosts: []string{address(u)}, Most: o.Most})
	if err != nil {
		return nil, err
	}
	s.web.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return s, nil
}

// Close ends the connections that are kept.
func (s *S3) Close() { s.web.Close() }

// page is an answer of ListObjectsV2 (Amazon S3 API Reference).
type page struct {
	XMLName      xml.Name `xml:"ListBucketResult"`
	EncodingType string
	IsTruncated  bool
	Next         string `xml:"NextContinuationToken"`
	Contents     []struct {
		Key          string
		ETag         string
		Size         int64
		LastModified time.Time
	}
}

// List implements Source. A version is an object's ETag.
func (s *S3) List(ctx context.Context) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		token, count := "", 0
		for {
			p, err := s.page(ctx, token)
			if err != nil {
				yield(Item{}, err)
				return
			}
			for _, o := range p.Contents {
				key := o.Key
				if p.EncodingType == "url" {
					if key, err = url.QueryUnescape(o.Key); err != nil {
						yield(Item{}, fault.Wrap(fault.Malformed, "the store lists a key that is not escaped as it says", err))
						return
					}
				}
				if strings.HasSuffix(key, "/") {
					continue
				}
				if count++; count > mostKeys {
					yield(Item{}, fault.New(fault.TooLarge, fmt.Sprintf("the bucket has more than %d objects: use several prefixes", mostKeys)))
					return
				}
				item := Item{ID: key, Name: path.Base(key), Version: tagOf(o.ETag), Size: o.Size, Modified: o.LastModified}
				var wrong error
				if o.Size > s.web.most {
					wrong = s.web.tooLarge()
				}
				if !yield(item, wrong) {
					return
				}
			}
			if !p.IsTruncated {
				return
			}
			if p.Next == "" || p.Next == token {
				yield(Item{}, fault.New(fault.Malformed, "the store does not say how its list goes on"))
				return
			}
			token = p.Next
		}
	}
}

func tagOf(etag string) string {
	if etag == "" {
		return ""
	}
	return byTag + etag
}

// page asks for a page of the list.
func (s *S3) page(ctx context.Context, token string) (*page, error) {
	query := "encoding-type=url&list-type=2&max-keys=1000"
	if token != "" {
		query = "continuation-token=" + escape(token, false) + "&" + query
	}
	if s.prefix != "" {
		query += "&prefix=" + escape(s.prefix, false)
	}
	a, err := s.ask(ctx, "", query, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.Body.Close() }()
	if a.StatusCode != http.StatusOK {
		return nil, s.refused(a)
	}
	p := new(page)
	body := &bounded{ReadCloser: a.Body, left: mostList, over: func() error {
		return fault.New(fault.Oversized, "a page of the store's list is too long")
	}}
	if err := xml.NewDecoder(body).Decode(p); err != nil {
		return nil, fault.Wrap(fault.Malformed, "the store's list is no answer of S3: look at the endpoint", err)
	}
	return p, nil
}

// Open implements Source.
func (s *S3) Open(ctx context.Context, item Item, have string) (*Content, error) {
	a, err := s.ask(ctx, item.ID, "", conditions(have))
	if err != nil {
		return nil, err
	}
	switch a.StatusCode {
	case http.StatusOK:
		return s.web.content(a, tagOf(a.Header.Get("ETag")))
	case http.StatusNotModified:
		_ = a.Body.Close()
		return nil, ErrUnchanged
	}
	defer func() { _ = a.Body.Close() }()
	return nil, s.refused(a)
}

// ask sends a request about a key, or about the bucket where it is empty.
func (s *S3) ask(ctx context.Context, key, query string, fields [][2]string) (*http.Response, error) {
	target := "/"
	if !s.hosted {
		target += s.bucket + "/"
		if key == "" {
			target = "/" + s.bucket
		}
	}
	target += escape(key, true)
	u := *s.endpoint
	u.RawPath, u.RawQuery = target, query
	plain, err := url.PathUnescape(target)
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, "a key of the store is not valid", err)
	}
	u.Path = plain
	if s.signer != nil {
		if query != "" {
			target += "?" + query
		}
		proof, err := s.signer.SignGet(ctx, u.Host, target, s.region, time.Now())
		if err != nil {
			return nil, fault.Wrap(fault.Internal, "a request to the store cannot be signed", err)
		}
		fields = append(fields, proof...)
	}
	// All of what may be refused says in its body why.
	return s.web.get(ctx, &u, fields, 301, 307, 400, 403, 404, 409, 503)
}

// escape escapes all bytes but those that AWS' signature leaves.
func escape(s string, path bool) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~', c == '/' && path:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// refused says why the store gave nothing, by the code of its error; its words are
// left out.
func (s *S3) refused(a *http.Response) error {
	var e struct {
		Code string
	}
	// A body that is no error of S3 leaves the code empty.
	_ = xml.NewDecoder(io.LimitReader(a.Body, mostFault)).Decode(&e)
	switch e.Code {
	case "NoSuchKey":
		return ErrGone
	case "NoSuchBucket":
		return fault.New(fault.NotFound, "the store has no bucket "+s.bucket)
	case "AccessDenied", "AllAccessDisabled":
		return fault.New(fault.UpstreamForbidden, "the store does not let this key read it: it needs s3:ListBucket and s3:GetObject")
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken":
		return fault.New(fault.UpstreamAuth, "the store does not take the key")
	case "RequestTimeTooSkewed":
		return fault.New(fault.UpstreamAuth, "the clock of this machine is too far from the store's")
	case "PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		return fault.New(fault.InvalidRequest, "the bucket is in another region than "+s.region)
	case "InvalidObjectState":
		return fault.New(fault.UpstreamRejected, "is in an archive: restore it first")
	case "SlowDown", "ServiceUnavailable":
		return fault.New(fault.UpstreamCapacity, "the store asks for later")
	}
	return refused(a)
}
