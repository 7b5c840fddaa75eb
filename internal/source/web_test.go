package source

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"headworks/internal/fault"
)

// site is a web server whose files change.
type site struct {
	mu    sync.Mutex
	files map[string]func(w http.ResponseWriter, r *http.Request)
	asked []string
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	serve := s.files[r.URL.RequestURI()]
	s.asked = append(s.asked, r.URL.RequestURI())
	s.mu.Unlock()
	if serve == nil {
		http.NotFound(w, r)
		return
	}
	serve(w, r)
}

// file serves a text as net/http does it, with a validator.
func file(text, tag string, at time.Time) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		if tag != "" {
			w.Header().Set("ETag", tag)
		}
		w.Header().Set("Content-Type", "text/plain")
		http.ServeContent(w, r, "", at, strings.NewReader(text))
	}
}

func status(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(code)
	}
}

func serve(t *testing.T, files map[string]func(http.ResponseWriter, *http.Request)) (*site, string, *Web) {
	t.Helper()
	s := &site{files: files}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return s, server.URL, web(t, WebOptions{Hosts: []string{u.Host}, Most: 1000})
}

func web(t *testing.T, o WebOptions) *Web {
	t.Helper()
	w, err := NewWeb(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func TestPages(t *testing.T) {
	old := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s, at, w := serve(t, map[string]func(http.ResponseWriter, *http.Request){
		"/tagged.txt": file("tagged", `W/"1"`, old),
		"/dated.txt":  file("dated", "", old),
		"/bare.txt":   file("bare", "", time.Time{}),
		"/moved": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/tagged.txt", http.StatusFound)
		},
	})
	p := Pages{Web: w, URLs: []string{at + "/tagged.txt#part", at + "/dated.txt", at + "/bare.txt", at + "/moved", at + "/gone", at + "/tagged.txt", " " + at}}
	known := map[string]string{}
	for c, err := range Changes(t.Context(), p, map[string]string{at + "/old.txt": "etag x"}) {
		if err != nil {
			t.Fatal(err)
		}
		if c.What == Gone {
			known[c.Item.ID] = "gone from the list"
			continue
		}
		text, version, err := take(t, p, c.Item, "")
		if errors.Is(err, ErrGone) {
			text = "gone"
		} else if err != nil {
			t.Fatal(err)
		}
		known[strings.TrimPrefix(c.Item.ID, at)] = text + "|" + version
	}
	want := map[string]string{
		"/tagged.txt": `tagged|etag W/"1"`, "/dated.txt": "dated|modified Fri, 02 Jan 2026 03:04:05 GMT", "/bare.txt": "bare|",
		"/moved": `tagged|etag W/"1"`, "/gone": "gone|", "/": "gone|", at + "/old.txt": "gone from the list",
	}
	if !reflect.DeepEqual(known, want) {
		t.Errorf("%q, want %q", known, want)
	}
	for name, have := range map[string]string{"/tagged.txt": `etag W/"1"`, "/dated.txt": "modified Fri, 02 Jan 2026 03:04:05 GMT"} {
		if _, _, err := take(t, p, Item{ID: at + name}, have); !errors.Is(err, ErrUnchanged) {
			t.Errorf("%s again: %v", name, err)
		}
		s.mu.Lock()
		s.files[name] = file("new", `"2"`, old.Add(time.Hour))
		s.mu.Unlock()
		if text, v, err := take(t, p, Item{ID: at + name}, have); text != "new" || v != `etag "2"` || err != nil {
			t.Errorf("%s, changed: %q %q %v", name, text, v, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host is asked") }))
	defer other.Close()
	_, at, w := serve(t, map[string]func(http.ResponseWriter, *http.Request){
		"/away": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) },
		"/loop": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) },
		"/big":  file(strings.Repeat("x", 1001), "", time.Time{}),
		"/long": func(w http.ResponseWriter, _ *http.Request) {
			for range 11 {
				_, _ = io.WriteString(w, strings.Repeat("x", 100))
				_ = http.NewResponseController(w).Flush()
			}
		},
		"/cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
		},
		"/401": status(401), "/403": status(403), "/429": status(429), "/500": status(500), "/418": status(418), "/304": status(304), "/300": status(300),
	})
	p := Pages{Web: w}
	for name, kind := range map[string]fault.Kind{
		"/away": fault.Forbidden, "/loop": fault.Redirected, "/big": fault.TooLarge, "/long": fault.TooLarge, "/cut": fault.Interrupted,
		"/401": fault.UpstreamAuth, "/403": fault.UpstreamForbidden, "/429": fault.UpstreamCapacity, "/500": fault.UpstreamError,
		"/418": fault.UpstreamRejected, "/300": fault.Redirected,
	} {
		_, _, err := take(t, p, Item{ID: at + name}, "")
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != kind {
			t.Errorf("%s: %v, want %s", name, err, kind)
		} else if name == "/429" && f.After != 7*time.Second {
			t.Errorf("after %s", f.After)
		}
	}
	for _, s := range []string{other.URL, "http://127.0.0.1:1/", "file:///etc/passwd", "https://" + strings.TrimPrefix(at, "http://"), strings.Replace(at, "//", "//user:pass@", 1)} {
		if _, _, err := take(t, p, Item{ID: s}, ""); s != "https://"+strings.TrimPrefix(at, "http://") {
			if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Forbidden && f.Kind != fault.InvalidRequest {
				t.Errorf("%s: %v", s, err)
			}
		} else if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Connect {
			t.Errorf("no TLS there: %v", err)
		}
	}
	// A URL that may not be asked for is there all the same: nothing is gone.
	what, errs := told(t, Pages{Web: w, URLs: []string{other.URL + "/", at + "/"}}, map[string]string{other.URL + "/": "etag x"})
	if len(what) != 1 || errs[other.URL+"/"] != fault.Forbidden {
		t.Errorf("%v, %v", what, errs)
	}
	for _, h := range []string{"", "a/b", "user@a", "a:0", "a b"} {
		if _, err := NewWeb(WebOptions{Hosts: []string{h}}); err == nil {
			t.Errorf("%q is a host", h)
		}
	}
}

// TestAuthorization: the credential goes to the listed hosts alone.
func TestAuthorization(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.Header.Get("Authorization")) }))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	w := web(t, WebOptions{Hosts: []string{host}, Authorization: "Bearer x"})
	if _, _, err := take(t, Pages{Web: w}, Item{ID: server.URL + "/"}, ""); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, []string{"Bearer x"}) {
		t.Errorf("%q", got)
	}
}

const namespace = `xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"`

func urlset(at string, names ...string) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?><urlset ` + namespace + `>`)
	for _, n := range names {
		fmt.Fprintf(&b, "<url><loc>\n %s%s </loc><lastmod>2026-05-04</lastmod><image:image xmlns:image='x'><image:loc>%s/no.png</image:loc></image:image></url>", at, n, at)
	}
	return b.String() + "</urlset>"
}

func zipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, s)
	_ = z.Close()
	return b.String()
}

func TestSitemap(t *testing.T) {
	s, at, w := serve(t, map[string]func(http.ResponseWriter, *http.Request){})
	s.files["/sitemap.xml"] = file(`<sitemapindex `+namespace+`><sitemap><loc>`+at+`/a.xml.gz</loc><lastmod>2026-05-04T10:00:00+02:00</lastmod></sitemap><sitemap><loc>`+at+`/b.txt</loc></sitemap></sitemapindex>`, "", time.Time{})
	s.files["/a.xml.gz"] = file(zipped(urlset(at, "/one?a=1&amp;b=2", "/two")), "", time.Time{})
	s.files["/b.txt"] = file(at+"/two\n\n"+at+"/three\n", "", time.Time{})
	s.files["/one?a=1&b=2"] = file("one", `"1"`, time.Time{})
	m := Sitemap{Web: w, URL: at + "/sitemap.xml"}
	what, errs := told(t, m, map[string]string{at + "/two": `etag "x"`, at + "/four": `etag "x"`})
	want := map[string]What{at + "/one?a=1&b=2": Changed, at + "/two": Changed, at + "/three": Changed, at + "/four": Gone}
	if !reflect.DeepEqual(what, want) || len(errs) > 0 {
		t.Errorf("%v, want %v; %v", what, want, errs)
	}
	for item, err := range m.List(t.Context()) {
		if err != nil || item.Name == "two" && !item.Modified.Equal(time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%+v, %v", item, err)
		}
	}
	if text, _, err := take(t, m, Item{ID: at + "/one?a=1&b=2"}, ""); text != "one" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if _, _, err := take(t, m, Item{ID: at + "/two"}, ""); !errors.Is(err, ErrGone) {
		t.Errorf("a page that is listed and not there: %v", err)
	}
}

// TestSitemapThatFails: a list that is not whole takes nothing away.
func TestSitemapThatFails(t *testing.T) {
	s, at, w := serve(t, map[string]func(http.ResponseWriter, *http.Request){})
	s.files["/ok.xml"] = file(urlset(at, "/one"), "", time.Time{})
	index := func(urls ...string) string {
		var b strings.Builder
		for _, u := range urls {
			b.WriteString("<sitemap><loc>" + u + "</loc></sitemap>")
		}
		return "<sitemapindex>" + b.String() + "</sitemapindex>"
	}
	for name, text := range map[string]string{
		"a part is not there":     index(at+"/ok.xml", at+"/none.xml"),
		"a part elsewhere":        index("http://127.0.0.1:1/a.xml"),
		"nothing":                 "",
		"cut":                     strings.TrimSuffix(urlset(at, "/one"), "</urlset>"),
		"another document":        "<rss><url><loc>" + at + "/one</loc></url></rss>",
		"words":                   "Not found, sorry.",
		"cut in its compression":  zipped(urlset(at, "/one"))[:60],
		"nested without an end":   strings.Repeat("<urlset>", 100),
		"an encoding that is old": `<?xml version="1.0" encoding="EBCDIC"?>` + urlset(at, "/one")[38:],
	} {
		s.mu.Lock()
		s.files["/s.xml"] = file(text, "", time.Time{})
		s.mu.Unlock()
		what, errs := told(t, Sitemap{Web: w, URL: at + "/s.xml"}, map[string]string{at + "/gone": `etag "x"`})
		if what[at+"/gone"] == Gone || errs[""] == fault.None {
			t.Errorf("%s: %v, %v", name, what, errs)
		}
	}
}

func TestSitemapFile(t *testing.T) {
	s, at, _ := serve(t, map[string]func(http.ResponseWriter, *http.Request){})
	s.files["/one"] = file("one", "", time.Time{})
	name := filepath.Join(t.TempDir(), "sitemap.xml")
	if err := os.WriteFile(name, []byte(urlset(at, "/one")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	host, err := HostOf(name)
	if err != nil || "http://"+host != at {
		t.Fatalf("%q, %v", host, err)
	}
	m := Sitemap{Web: web(t, WebOptions{Hosts: []string{host}}), Path: name}
	if what, errs := told(t, m, nil); what[at+"/one"] != Changed || len(what) != 1 || len(errs) > 0 {
		t.Errorf("%v, %v", what, errs)
	}
	if _, err := HostOf(name + ".none"); err == nil {
		t.Error("a file that is not there has a host")
	}
}

func FuzzSitemap(f *testing.F) {
	for _, seed := range []string{urlset("http://a", "/b"), "<sitemapindex><sitemap><loc>x", "http://a\nhttp://b", zipped("<urlset/>"), "<urlset><url><loc/></url></urlset>"} {
		f.Add([]byte(seed))
	}
	w, err := NewWeb(WebOptions{Hosts: []string{"a.invalid"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		name := filepath.Join(t.TempDir(), "s")
		if err := os.WriteFile(name, source, 0o600); err != nil {
			t.Fatal(err)
		}
		ended := false
		for item, err := range (Sitemap{Web: w, Path: name}).List(t.Context()) {
			if ended {
				t.Fatal("it goes on after its end")
			}
			ended = err != nil && item.ID == ""
		}
	})
}
