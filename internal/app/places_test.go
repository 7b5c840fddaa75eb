package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"headworks/internal/api/admin"
	"headworks/internal/health"
	"headworks/internal/locality"
	"headworks/internal/record"
)

// regions is a configuration with engines in two regions, the model m that both serve,
// and a caller in eu.
func regions(more string, eu, us string) string {
	return fmt.Sprintf(`
drain_delay: 0s
region: eu
log: {level: debug, requests: all}
upstreams:
  here: {kind: openai, urls: [%s], key: provider-secret-of-tests, region: eu, zone: a}
  there: {kind: openai, urls: [%s], key: provider-secret-of-tests, region: us, zone: b}
distances: {eu: {us: 80ms}}
models:
  m: {policy: nearest, targets: [{upstream: there, model: any}, {upstream: here, model: any}]}
  only: {targets: [{upstream: here, model: any}]}
keys:
  - {name: tests, secret: %s}
%s`, eu, us, pinned, more)
}

func (r *reply) upstream() string { return r.header.Get("X-Headworks-Upstream") }

// explained returns the reasons of a request.
func (i *instance) explained(t *testing.T, r reply) (x record.Explanation) {
	t.Helper()
	eventually(t, "the record is there", func() bool {
		a := i.ask(t, "GET", "/api/requests/"+r.id()+"/explanation", "")
		return a.status == 200 && json.Unmarshal([]byte(a.body), &x) == nil
	})
	return x
}

// A region is drained and comes back: what it has goes on, what is new goes elsewhere.
func TestDrill(t *testing.T) {
	eu, us := newLab(t, true), newLab(t, false)
	i := serve(t, regions("", eu.URL, us.URL))
	running := i.stream(t, pinned, "m")
	if at := running.Header.Get("X-Headworks-Upstream"); at != "here" {
		t.Fatalf("the nearest is %s", at)
	}

	// Nothing is left of a model, so nothing happens.
	r := i.ask(t, "POST", "/api/drains", `{"region":"eu","for":"10m"}`)
	if r.status != 409 || !strings.Contains(r.body, "nothing serves only;") || !strings.Contains(r.body, "nothing was drained") {
		t.Errorf("a model without anything: %d %s", r.status, r.body)
	}
	if s := i.Status(); len(s.Drains) > 0 {
		t.Errorf("refused, and drained: %+v", s.Drains)
	}
	r = i.ask(t, "POST", "/api/drains", `{"region":"eu","for":"10m","force":true}`)
	var d admin.Drain
	if err := json.Unmarshal([]byte(r.body), &d); err != nil || r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if d.What != "region eu" || len(d.Replicas) != 1 || d.Replicas[0].InFlight != 1 || !slices.Equal(d.Without, []string{"only"}) || d.Until.Sub(d.Since).Minutes() != 10 {
		t.Errorf("drained: %+v", d)
	}
	for range 5 {
		r := i.chat(t, pinned, "m", false)
		if r.status != 200 || r.upstream() != "there" {
			t.Errorf("%d from %q", r.status, r.upstream())
		}
		if x := i.explained(t, r); x.Locality != locality.Out || x.From != "eu" || x.At != "us/b" || !slices.ContainsFunc(x.Candidates, func(c record.Considered) bool { return c.Upstream == "here" }) {
			t.Errorf("explained: %+v", x)
		}
	}
	if r := i.chat(t, pinned, "only", false); r.status != 503 || !strings.Contains(r.body, "taken out of service") {
		t.Errorf("what nothing serves: %d %s", r.status, r.body)
	}
	if asked := eu.asked(); asked != 1 {
		t.Errorf("the drained engine was asked %d times", asked)
	}
	s := i.Status()
	for _, u := range s.Upstreams {
		if up := u.Replicas[0]; up.Up == (u.Name == "here") || !up.Up && (up.Why != health.Drained || !up.Until.Equal(d.Until)) {
			t.Errorf("%s: %+v", u.Name, up)
		}
	}
	if len(s.Drains) != 1 || s.Drains[0].What != "region eu" {
		t.Errorf("shown: %+v", s.Drains)
	}
	eu.release()
	if rest := running.rest(t); !strings.Contains(rest, "[DONE]") {
		t.Errorf("what was under way ends with %q", rest)
	}

	// A reload and replicas that come later change nothing.
	i.write(t, regions("", eu.URL+", http://127.0.0.1:9", us.URL))
	if r := i.ask(t, "POST", "/api/reload", ""); r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if d := i.Status().Drains; len(d) != 1 || len(d[0].Replicas) != 2 {
		t.Errorf("after a reload: %+v", d)
	}
	if r := i.chat(t, pinned, "m", false); r.upstream() != "there" {
		t.Errorf("after a reload it went to %q", r.upstream())
	}
	i.write(t, regions("", eu.URL, us.URL))
	if r := i.ask(t, "POST", "/api/reload", ""); r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}

	if r := i.ask(t, "DELETE", "/api/drains?zone=eu/a", ""); r.status != 404 || !strings.Contains(r.body, "what is: region eu") {
		t.Errorf("another part: %d %s", r.status, r.body)
	}
	if r := i.ask(t, "DELETE", "/api/drains?region=eu", ""); r.status != 200 || !strings.Contains(r.body, `"what":"region eu"`) {
		t.Errorf("undrained: %d %s", r.status, r.body)
	}
	if r := i.chat(t, pinned, "only", false); r.status != 200 || r.upstream() != "here" {
		t.Errorf("undrained: %d from %q", r.status, r.upstream())
	}
	if r := i.ask(t, "DELETE", "/api/drains?all=true", ""); r.status != 404 || !strings.Contains(r.body, "nothing is drained") {
		t.Errorf("nothing is drained: %d %s", r.status, r.body)
	}
}

// What was drained is after a restart.
func TestDrillsOutliveTheProcess(t *testing.T) {
	eu, us := newLab(t, false), newLab(t, false)
	i := serve(t, regions("", eu.URL, us.URL))
	if r := i.ask(t, "POST", "/api/drains", `{"upstream":"there"}`); r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	i.Drain()
	if err := i.wait(t); err != nil {
		t.Fatal(err)
	}
	again, _, err := Serve(i.file, i.place(), i.log)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if d := again.Status().Drains; len(d) != 1 || d[0].What != "upstream there" || !d[0].Until.IsZero() {
		t.Errorf("after a restart: %+v", d)
	}
	if _, err := again.drills.Undrain(admin.Part{}, true); err != nil {
		t.Error(err)
	}
	if b, err := again.data.ReadFile(filepath.Base(drillsFile)); err != nil || strings.TrimSpace(string(b)) != "[]" {
		t.Errorf("undrained the file says %s, %v", b, err)
	}
}

func TestDrillsThatAreRefused(t *testing.T) {
	eu, us := newLab(t, false), newLab(t, false)
	i := serve(t, strings.Replace(regions("", eu.URL, us.URL), "zone: b", "zone: a", 1))
	replica := i.Status().Upstreams[0].Replicas[0].Name
	for body, want := range map[string]string{
		`{}`:                                "name one of upstream, zone and region",
		`{"upstream":"here","zone":"a"}`:    "name one of upstream, zone and region",
		`{"replica":"r"}`:                   "name one of upstream, zone and region",
		`{"zone":"eu/a","replica":"r"}`:     "name that too",
		`{"upstream":"nowhere"}`:            "there is no upstream nowhere; the upstreams that there are: here, there",
		`{"upstream":"here","replica":"r"}`: "there is no replica r of here; the replicas of here that there are: " + replica,
		`{"region":"mars"}`:                 "nothing is in region mars; the regions that there are: eu, us",
		`{"zone":"q"}`:                      "nothing is in zone q; the zones that there are: eu/a, us/a",
		`{"zone":"a"}`:                      "zones of this name are in eu, us; name one as eu/a",
		`{"region":"us","for":"soon"}`:      "for is how long it lasts",
		`{"region":"us","for":"-1m"}`:       "for is how long it lasts",
		`{"region":"us","until":"soon"}`:    "does not say what to drain",
		`{"upstream":"here"}`:               "nothing serves only;",
	} {
		if r := i.ask(t, "POST", "/api/drains", body); r.status < 400 || r.status > 409 || !strings.Contains(r.body, want) {
			t.Errorf("%s: %d %s; want %s", body, r.status, r.body, want)
		}
	}
	if r := i.ask(t, "DELETE", "/api/drains?all=true&region=eu", ""); r.status != 400 {
		t.Errorf("all, and one: %d %s", r.status, r.body)
	}
	if d := i.Status().Drains; len(d) > 0 {
		t.Errorf("refused, and drained: %+v", d)
	}
}

// A drain that would leave nothing to those whose data stays in a region says so.
func TestDrillsAndResidency(t *testing.T) {
	eu, us := newLab(t, false), newLab(t, false)
	i := serve(t, strings.Replace(regions("  - {name: stays, secret: another-secret-of-tests, residency: [us]}\n", eu.URL, us.URL), "  only:", "  other:", 1))
	r := i.ask(t, "POST", "/api/drains", `{"region":"us"}`)
	if r.status != 409 || !strings.Contains(r.body, "m (for requests that stay in us)") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// failing is an engine that fails, in its own way, and counts who asked it.
func failing(t *testing.T, asked *atomic.Int64, fail func(w http.ResponseWriter)) string {
	t.Helper()
	e := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		fail(w)
	}))
	t.Cleanup(e.Close)
	return e.URL
}

// Requests that have to stay in a region do, whatever goes wrong there and whatever
// would serve them elsewhere: on the first choice, on tries again, on other targets,
// on models to fall back to, and where the upstream is named.
func TestResidencyFailsClosed(t *testing.T) {
	cut := func(w http.ResponseWriter) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			c.Close()
		}
	}
	for name, fail := range map[string]func(http.ResponseWriter){
		"an error": func(w http.ResponseWriter) {
			http.Error(w, `{"error":{"message":"no"}}`, http.StatusInternalServerError)
		},
		"too many":      func(w http.ResponseWriter) { http.Error(w, `{"error":{"message":"no"}}`, http.StatusTooManyRequests) },
		"no credential": func(w http.ResponseWriter) { http.Error(w, `{"error":{"message":"no"}}`, http.StatusUnauthorized) },
		"a cut":         cut,
		"no JSON":       func(w http.ResponseWriter) { fmt.Fprint(w, "hello") },
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			us := newLab(t, false)
			i := serve(t, regions("  - {name: stays, secret: another-secret-of-tests, residency: [eu]}\n", failing(t, &asked, fail), us.URL))
			const key = "another-secret-of-tests"
			front := i.BaseURL()
			for _, body := range []string{
				question("m", false), question("m", true), question("only", false), question("here/any", true), question("auto", false),
				strings.Replace(question("only", false), `"stream"`, `"models":["m","there/any"],"stream"`, 1),
			} {
				for range 4 { // enough for health to put the engine out
					r := i.send(t, "POST", front+"/chat/completions", key, body)
					if r.status < 400 && !strings.Contains(r.body, `"error"`) || r.upstream() == "there" {
						t.Errorf("%s: %d from %q: %s", body, r.status, r.upstream(), r.body)
					}
				}
			}
			for _, body := range []string{question("there/any", false), question("there/any", true)} {
				if r := i.send(t, "POST", front+"/chat/completions", key, body); r.status != 403 || !strings.Contains(r.body, `"residency"`) {
					t.Errorf("%s: %d %s", body, r.status, r.body)
				}
			}
			if n := us.asked(); n > 0 {
				t.Errorf("%d requests left their region", n)
			}
			if asked.Load() == 0 {
				t.Error("nobody was asked at all")
			}
			// Who may go anywhere does.
			if r := i.chat(t, pinned, "m", false); r.status != 200 || r.upstream() != "there" {
				t.Errorf("a request that may go anywhere: %d from %q", r.status, r.upstream())
			}
		})
	}
}
