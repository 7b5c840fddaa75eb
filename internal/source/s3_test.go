package source

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"

	"headworks/internal/fault"
)

// bucket is a server that answers ListObjectsV2 and GetObject as Amazon's S3 API
// Reference has them, and proves signatures by the steps of "Signature Calculations
// for the Authorization Header".
type bucket struct {
	mu      sync.Mutex
	name    string
	objects map[string]string
	access  string
	secret  string // empty: anyone may read
	page    int
	fail    string // code of the error that every request gets
	status  int
	pages   int // of lists that were asked for
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.fail != "":
		b.error(w, b.status, b.fail)
	case b.secret != "" && r.Header.Get("Authorization") == "":
		b.error(w, 403, "AccessDenied")
	case b.secret != "" && !b.signed(r):
		b.error(w, 403, "SignatureDoesNotMatch")
	case r.URL.Path == "/"+b.name && r.URL.Query().Get("list-type") == "2":
		b.list(w, r.URL.Query())
	case strings.HasPrefix(r.URL.Path, "/"+b.name+"/"):
		b.get(w, r, strings.TrimPrefix(r.URL.Path, "/"+b.name+"/"))
	default:
		b.error(w, 404, "NoSuchBucket")
	}
}

func (b *bucket) error(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>The secret words of the store.</Message><RequestId>1</RequestId></Error>`, code)
}

func tag(text string) string { return fmt.Sprintf(`"%x"`, md5.Sum([]byte(text))) }

func (b *bucket) list(w http.ResponseWriter, q url.Values) {
	type object struct {
		Key, LastModified, ETag string
		Size                    int
		StorageClass            string
	}
	var answer struct {
		XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
		Name, Prefix          string
		KeyCount, MaxKeys     int
		EncodingType          string `xml:",omitempty"`
		IsTruncated           bool
		ContinuationToken     string `xml:",omitempty"`
		NextContinuationToken string `xml:",omitempty"`
		Contents              []object
	}
	b.pages++
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(b.objects)), func(k string) bool { return !strings.HasPrefix(k, q.Get("prefix")) })
	from := 0
	if token := q.Get("continuation-token"); token != "" {
		n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(token, "1/+="), "=="))
		if err != nil {
			b.error(w, 400, "InvalidArgument")
			return
		}
		from = n
	}
	to := min(from+b.page, len(keys))
	answer.Name, answer.Prefix, answer.EncodingType = b.name, q.Get("prefix"), q.Get("encoding-type")
	if answer.IsTruncated = to < len(keys); answer.IsTruncated {
		answer.NextContinuationToken = "1/+=" + strconv.Itoa(to) + "=="
	}
	for _, k := range keys[from:to] {
		text := b.objects[k]
		if answer.EncodingType == "url" {
			k = url.QueryEscape(k)
		}
		answer.Contents = append(answer.Contents, object{k, "2026-05-04T10:00:00.000Z", tag(text), len(text), "STANDARD"})
	}
	w.Header().Set("Content-Type", "application/xml")
	_, _ = io.WriteString(w, xml.Header)
	_ = xml.NewEncoder(w).Encode(answer)
}

func (b *bucket) get(w http.ResponseWriter, r *http.Request, key string) {
	text, ok := b.objects[key]
	switch {
	case !ok:
		b.error(w, 404, "NoSuchKey")
	case r.Header.Get("If-None-Match") == tag(text):
		w.WriteHeader(304)
	default:
		w.Header().Set("ETag", tag(text))
		w.Header().Set("Content-Type", "binary/octet-stream")
		_, _ = io.WriteString(w, text)
	}
}

// signed proves a request from what came over the wire.
func (b *bucket) signed(r *http.Request) bool {
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=")
	parts := strings.Split(rest, ", ")
	if !ok || len(parts) != 3 {
		return false
	}
	access, scope, _ := strings.Cut(parts[0], "/")
	names := strings.Split(strings.TrimPrefix(parts[1], "SignedHeaders="), ";")
	var headers strings.Builder
	for _, n := range names {
		v := r.Header.Get(n)
		if n == "host" {
			v = r.Host
		}
		headers.WriteString(n + ":" + v + "\n")
	}
	path, query, _ := strings.Cut(r.RequestURI, "?")
	fields := strings.Split(query, "&")
	sort.Strings(fields)
	hash := func(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:]) }
	request := strings.Join([]string{r.Method, path, strings.Join(fields, "&"), headers.String(), strings.Join(names, ";"), r.Header.Get("X-Amz-Content-Sha256")}, "\n")
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", r.Header.Get("X-Amz-Date"), scope, hash(request)}, "\n")
	key := []byte("AWS4" + b.secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	return access == b.access && slices.Contains(names, "host") && slices.Contains(names, "x-amz-content-sha256") &&
		r.Header.Get("X-Amz-Content-Sha256") == hash("") && strings.HasSuffix(scope, "/eu-west-9/s3/aws4_request") &&
		parts[2] == "Signature="+hex.EncodeToString(mac(key, toSign))
}

func mac(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}

func store(t *testing.T, b *bucket, o S3Options) *S3 {
	t.Helper()
	b.name, b.page = "documents", cmp.Or(b.page, 1000)
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	o.Endpoint, o.Region = server.URL, "eu-west-9"
	o.Bucket = cmp.Or(o.Bucket, "documents")
	s, err := NewS3(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestS3(t *testing.T) {
	b := &bucket{access: "AKIDEXAMPLE", secret: "se/cr+et", page: 2, objects: map[string]string{
		"docs/a.md": "a", "docs/b c+d%20&é=?#.txt": "odd", "docs//e.md": "empty name", "docs/sub/": "", "docs/../f.md": "dots",
		"docs/g~h.md": "tilde", "other/x.md": "x", "docs/big.md": strings.Repeat("x", 200),
	}}
	s := store(t, b, S3Options{Key: "AKIDEXAMPLE:se/cr+et", Prefix: "docs/", Most: 100})
	known := map[string]string{"docs/gone.md": "etag 1", "docs/a.md": "etag " + tag("a")}
	what, errs := told(t, s, known)
	want := map[string]What{
		"docs/a.md": Same, "docs/b c+d%20&é=?#.txt": Changed, "docs//e.md": Changed, "docs/../f.md": Changed, "docs/g~h.md": Changed, "docs/gone.md": Gone,
	}
	if !reflect.DeepEqual(what, want) {
		t.Errorf("%v, want %v", what, want)
	}
	if wrong := map[string]fault.Kind{"docs/big.md": fault.TooLarge}; !reflect.DeepEqual(errs, wrong) {
		t.Errorf("%v, want %v", errs, wrong)
	}
	if b.pages != 4 {
		t.Errorf("%d pages", b.pages)
	}
	for key, text := range b.objects {
		if what[key] != Changed || want[key] != Changed || key == "docs/sub/" || !strings.HasPrefix(key, "docs/") || len(text) > 100 {
			continue
		}
		got, version, err := take(t, s, Item{ID: key}, "")
		if got != text || version != "etag "+tag(text) || err != nil {
			t.Errorf("%s: %q %q %v", key, got, version, err)
		}
		if _, _, err := take(t, s, Item{ID: key}, version); !errors.Is(err, ErrUnchanged) {
			t.Errorf("%s again: %v", key, err)
		}
	}
	if _, _, err := take(t, s, Item{ID: "docs/none"}, ""); !errors.Is(err, ErrGone) {
		t.Errorf("an object that is not there: %v", err)
	}
	if _, _, err := take(t, s, Item{ID: "docs/big.md"}, ""); err == nil {
		t.Error("an object over the bound is read")
	}
}

func TestS3Anonymous(t *testing.T) {
	b := &bucket{objects: map[string]string{"a.md": "a"}}
	if what, errs := told(t, store(t, b, S3Options{}), nil); what["a.md"] != Changed || len(errs) > 0 {
		t.Errorf("%v, %v", what, errs)
	}
}

func TestS3Faults(t *testing.T) {
	for code, test := range map[string]struct {
		status int
		kind   fault.Kind
	}{
		"AccessDenied":                 {403, fault.UpstreamForbidden},
		"InvalidAccessKeyId":           {403, fault.UpstreamAuth},
		"RequestTimeTooSkewed":         {403, fault.UpstreamAuth},
		"NoSuchBucket":                 {404, fault.NotFound},
		"PermanentRedirect":            {301, fault.InvalidRequest},
		"AuthorizationHeaderMalformed": {400, fault.InvalidRequest},
		"SlowDown":                     {503, fault.UpstreamCapacity},
		"InternalError":                {500, fault.UpstreamError},
		"MethodNotAllowed":             {405, fault.UpstreamRejected},
	} {
		s := store(t, &bucket{fail: code, status: test.status}, S3Options{})
		what, errs := told(t, s, map[string]string{"a": "etag 1"})
		if len(what) > 0 || errs[""] != test.kind {
			t.Errorf("%s: %v, %v, want %s", code, what, errs, test.kind)
		}
		// That a bucket is not there, or not to be read, says nothing of an object.
		if _, _, err := take(t, s, Item{ID: "a"}, ""); errors.Is(err, ErrGone) || err == nil || strings.Contains(err.Error(), "secret words") {
			t.Errorf("%s: %v", code, err)
		}
	}
	b := &bucket{access: "A", secret: "right", objects: map[string]string{"a": "a"}}
	if _, errs := told(t, store(t, b, S3Options{Key: "A:wrong"}), nil); errs[""] != fault.UpstreamAuth {
		t.Errorf("a wrong secret: %v", errs)
	}
	if _, errs := told(t, store(t, b, S3Options{Key: "A:right", Bucket: "another"}), nil); errs[""] != fault.NotFound {
		t.Errorf("another bucket: %v", errs)
	}
}

// TestS3ListThatFails: a list that breaks off after its first page takes nothing away.
func TestS3ListThatFails(t *testing.T) {
	for name, second := range map[string]string{
		"no XML":            "<html>",
		"no next":           "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
		"the same again":    "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken></ListBucketResult>",
		"cut":               "<ListBucketResult><Contents><Key>b</Key>",
		"escaped otherwise": "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%zz</Key></Contents></ListBucketResult>",
		"too long":          "<ListBucketResult>" + strings.Repeat(" ", mostList) + "</ListBucketResult>",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("continuation-token") == "" {
				_, _ = io.WriteString(w, "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken><Contents><Key>a</Key></Contents></ListBucketResult>")
				return
			}
			_, _ = io.WriteString(w, second)
		}))
		s, err := NewS3(S3Options{Endpoint: server.URL, Bucket: "documents"})
		if err != nil {
			t.Fatal(err)
		}
		what, errs := told(t, s, map[string]string{"gone": "etag 1"})
		if what["gone"] == Gone || what["a"] != Changed || errs[""] == fault.None {
			t.Errorf("%s: %v, %v", name, what, errs)
		}
		s.Close()
		server.Close()
	}
}

func TestS3Options(t *testing.T) {
	for _, o := range []S3Options{
		{Bucket: "UP"},
		{Bucket: "a/b"},
		{Bucket: "documents", Region: "eu/x"},
		{Bucket: "documents", Endpoint: "minio"},
		{Bucket: "documents", Endpoint: "https://h/path"},
		{Bucket: "documents", Key: "noSecret"},
		{Bucket: "documents", Endpoint: "ftp://h"},
	} {
		if _, err := NewS3(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	for bucket, host := range map[string]string{"documents": "documents.s3.eu-west-1.amazonaws.com", "docs.example": "s3.eu-west-1.amazonaws.com"} {
		s, err := NewS3(S3Options{Bucket: bucket, Region: "eu-west-1"})
		if err != nil || s.endpoint.String() != "https://"+host {
			t.Errorf("%s: %v, %v", bucket, s.endpoint, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := store(t, &bucket{}, S3Options{})
	if _, err := s.Open(ctx, Item{ID: "a"}, ""); err == nil {
		t.Error("asked though nobody waits")
	}
}
