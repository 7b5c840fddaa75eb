package api_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"headworks/internal/api"
)

func turnedAway(f *api.Front, kind string) (n uint64) {
	f.Refused(func(k string, count uint64) {
		if k == kind {
			n = count
		}
	})
	return n
}

// talk sends a request without a body, and returns what came back.
func talk(t *testing.T, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return send(t, r)
}

func send(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(got)
}

// Where clients of several vendors ask, a refusal is told in the dialect of the
// one that asks, as an answer is.
func TestSharedPath(t *testing.T) {
	url := front(t, &foreign{}) + "/v1/models"
	const ours, theirs = `"type":"error"`, `"param":null`
	for _, c := range []struct {
		method string
		status int
	}{{"GET", 401}, {"POST", 405}} {
		if res, got := talk(t, c.method, url, "anthropic-version", "2023-06-01"); res.StatusCode != c.status || !strings.Contains(got, ours) {
			t.Errorf("%s, Anthropic's client: %d, %s", c.method, res.StatusCode, got)
		}
		if res, got := talk(t, c.method, url); res.StatusCode != c.status || !strings.Contains(got, theirs) || strings.Contains(got, ours) {
			t.Errorf("%s, any client: %d, %s", c.method, res.StatusCode, got)
		}
	}
}

// What lies below one path takes the methods of all surfaces that have it, whichever
// other paths there are, and each is answered as its own surface does.
func TestBelowOnePath(t *testing.T) {
	url := front(t, &foreign{})
	res, _ := talk(t, "DELETE", url+"/v1/models/ours")
	if allow := res.Header.Get("Allow"); res.StatusCode != 405 || allow != "GET, POST" {
		t.Errorf("status %d, Allow %q", res.StatusCode, allow)
	}
	res, got := talk(t, "POST", url+"/v1/models/ours:generateContent")
	if res.StatusCode != 401 || !strings.Contains(got, `"status":"UNAUTHENTICATED"`) {
		t.Errorf("status %d without a key, %s", res.StatusCode, got)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/models/ours:generateContent?key=any", strings.NewReader(`{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if res, got := send(t, r); res.StatusCode != 200 {
		t.Errorf("status %d with a key in the query, %s", res.StatusCode, got)
	}
}

// Who asks with another method is told which are taken (RFC 9110 15.5.6).
func TestHealthMethods(t *testing.T) {
	url := front(t, &foreign{})
	if res, _ := talk(t, "POST", url+"/livez"); res.StatusCode != 405 || res.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("status %d, Allow %q", res.StatusCode, res.Header.Get("Allow"))
	}
	if res, _ := talk(t, "GET", url+"/livez"); res.StatusCode != 200 || res.Header.Get("Allow") != "" {
		t.Errorf("status %d, Allow %q", res.StatusCode, res.Header.Get("Allow"))
	}
}

// What is no request to the wire is refused with an id to ask about, and counted.
func TestMisread(t *testing.T) {
	url, f := entrance(t, &foreign{})
	for head, want := range map[string]struct {
		status int
		kind   string
	}{
		"GET / HTTP/1.1\r\n\r\n": {400, "invalid_request"},
		"GET /" + strings.Repeat("a", 9<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n": {414, "too_large"},
		"GET / HTTP/2.0\r\nHost: a\r\n\r\n":                                   {505, "invalid_request"},
	} {
		before := turnedAway(f, want.kind)
		nc, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := io.WriteString(nc, head); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(nc), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var told struct {
			Error struct{ Message, Code string }
		}
		if err := json.NewDecoder(res.Body).Decode(&told); err != nil || told.Error.Message == "" || told.Error.Code == "" {
			t.Errorf("%d: %+v, %v", want.status, told, err)
		}
		if res.StatusCode != want.status || !strings.HasPrefix(res.Header.Get("X-Request-Id"), "req_") {
			t.Errorf("status %d, want %d, with the id %q", res.StatusCode, want.status, res.Header.Get("X-Request-Id"))
		}
		if after := turnedAway(f, want.kind); after != before+1 {
			t.Errorf("%d: %s counted %d times", want.status, want.kind, after-before)
		}
	}
}

// TestGzipBothWays: a body may come as gzip, and a whole answer leaves so to a client
// that takes it; a stream never does.
func TestGzipBothWays(t *testing.T) {
	url := front(t, &foreign{}) + "/v1/chat/completions"
	post := func(stream, coding string) (*http.Response, string) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(`{"model":"ours","messages":[{"role":"user","content":"hi"}]` + stream + `}`))
		_ = z.Close()
		r, err := http.NewRequestWithContext(t.Context(), "POST", url, &b)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer any")
		r.Header.Set("Content-Encoding", "gzip")
		r.Header.Set("Accept-Encoding", coding) // so the client does not decode it
		return send(t, r)
	}
	res, body := post("", "gzip")
	z, err := gzip.NewReader(strings.NewReader(body))
	if err != nil || res.Header.Get("Content-Encoding") != "gzip" || res.Header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("%v, %v: %s", err, res.Header, body)
	}
	if got, err := io.ReadAll(z); err != nil || !bytes.Contains(got, []byte(`"hello"`)) {
		t.Errorf("%v: %s", err, got)
	}
	if res, body := post("", "identity"); res.Header.Get("Content-Encoding") != "" || !strings.Contains(body, `"hello"`) {
		t.Errorf("%v: %s", res.Header, body)
	}
	if res, body := post(`,"stream":true`, "gzip"); res.Header.Get("Content-Encoding") != "" || !strings.Contains(body, "hello") {
		t.Errorf("%v: %s", res.Header, body)
	}
}

// TestDescriptionAsGzip: the description is long, and leaves as gzip where that is taken.
func TestDescriptionAsGzip(t *testing.T) {
	url := front(t, &foreign{}) + api.DescriptionPath
	_, plain := talk(t, "GET", url, "Accept-Encoding", "identity")
	res, coded := talk(t, "GET", url, "Accept-Encoding", "gzip")
	z, err := gzip.NewReader(strings.NewReader(coded))
	if err != nil || res.Header.Get("Content-Encoding") != "gzip" {
		t.Fatal(err, res.Header)
	}
	if got, err := io.ReadAll(z); err != nil || string(got) != plain || !json.Valid(got) {
		t.Errorf("%v: %d bytes, as it is %d", err, len(got), len(plain))
	}
	if res, body := talk(t, "HEAD", url, "Accept-Encoding", "gzip"); res.StatusCode != 200 || body != "" {
		t.Errorf("HEAD: %d %q", res.StatusCode, body)
	}
	if res, _ := talk(t, "POST", url); res.StatusCode != 405 || res.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d %v", res.StatusCode, res.Header)
	}
}

// TestOrigins: a page of a listed origin may ask and read, and a browser's question
// before it needs no key; for any other page nothing changes.
func TestOrigins(t *testing.T) {
	url := front(t, &foreign{}) + "/v1/models"
	const listed = "https://app.example.com"
	res, _ := talk(t, "OPTIONS", url, "Origin", listed, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
	if res.StatusCode != 204 || res.Header.Get("Access-Control-Allow-Origin") != listed || res.Header.Get("Access-Control-Allow-Headers") != "authorization" || res.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("asked before: %d %v", res.StatusCode, res.Header)
	}
	res, _ = talk(t, "GET", url, "Origin", listed, "Authorization", "Bearer any")
	if res.StatusCode != 200 || res.Header.Get("Access-Control-Allow-Origin") != listed || !strings.Contains(res.Header.Get("Access-Control-Expose-Headers"), "x-request-id") {
		t.Errorf("a request: %d %v", res.StatusCode, res.Header)
	}
	res, _ = talk(t, "GET", url, "Origin", listed)
	if res.StatusCode != 401 || res.Header.Get("Access-Control-Allow-Origin") != listed {
		t.Errorf("an error has to be readable: %d %v", res.StatusCode, res.Header)
	}
	for _, other := range []string{"https://evil.example.com", "http://app.example.com", "null", listed + ".evil.com"} {
		res, _ = talk(t, "OPTIONS", url, "Origin", other, "Access-Control-Request-Method", "POST")
		if res.StatusCode != 405 || res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v", other, res.StatusCode, res.Header)
		}
	}
}

// TestVendorsRoots: below a vendor's name its paths are there as well.
func TestVendorsRoots(t *testing.T) {
	url := front(t, &foreign{})
	for _, root := range []string{"/openai", "/openai/v1"} {
		if got := ask(t, url+root+"/chat/completions", `{"model":"ours","messages":[{"role":"user","content":"hi"}]}`); !strings.Contains(got, "chat.completion") {
			t.Errorf("%s: %s", root, got)
		}
		if _, got := talk(t, "GET", url+root+"/models", "Authorization", "Bearer any", "anthropic-version", "x"); !strings.Contains(got, `"object":"list"`) {
			t.Errorf("%s: %s", root, got)
		}
	}
	for _, root := range []string{"/anthropic", "/anthropic/v1"} {
		if got := ask(t, url+root+"/messages", `{"model":"ours","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`); !strings.Contains(got, `"type":"message"`) {
			t.Errorf("%s: %s", root, got)
		}
		if _, got := talk(t, "GET", url+root+"/models", "Authorization", "Bearer any"); !strings.Contains(got, `"has_more":false`) {
			t.Errorf("%s: %s", root, got)
		}
	}
}
