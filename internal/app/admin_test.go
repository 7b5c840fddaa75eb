package app

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"headworks/internal/meter"
	"headworks/internal/record"
)

func TestAdminWantsItsToken(t *testing.T) {
	i := serve(t, file("", newLab(t, false).URL))
	token := i.admin.Token
	for _, path := range []string{"GET /api/status", "GET /api/requests", "GET /api/keys", "POST /api/keys", "DELETE /api/keys/x", "POST /api/reload", "POST /api/drain", "GET /api/requests/x", "GET /api/requests/x/explanation"} {
		method, path, _ := strings.Cut(path, " ")
		for name, header := range map[string][]string{
			"nothing":               nil,
			"another token":         {"Authorization", "Bearer " + token + "x"},
			"an empty one":          {"Authorization", "Bearer "},
			"another scheme":        {"Authorization", "Basic " + token},
			"a caller's key":        {"Authorization", "Bearer " + pinned},
			"the header of callers": {"X-Api-Key", token},
		} {
			r := i.send(t, method, i.AdminURL()+path, "", "", header...)
			if r.status != 401 || r.header.Get("Www-Authenticate") == "" || strings.Contains(r.body, token) {
				t.Errorf("%s %s with %s: %d %s", method, path, name, r.status, r.body)
			}
		}
	}
	// A page of another origin, opened in the operator's browser.
	for name, header := range map[string][]string{
		"a page elsewhere":          {"Origin", "https://evil.example"},
		"a fetch from another site": {"Sec-Fetch-Site", "cross-site"},
	} {
		for _, path := range []string{"POST /api/drain", "GET /api/status"} {
			method, path, _ := strings.Cut(path, " ")
			if r := i.send(t, method, i.AdminURL()+path, token, "", header...); r.status != 403 {
				t.Errorf("%s: %s %s: %d %s", name, method, path, r.status, r.body)
			}
		}
	}
	for path, allow := range map[string]string{
		"POST /api/status": "GET, HEAD", "PUT /api/keys": "GET, HEAD, POST", "GET /api/keys/x": "DELETE", "GET /api/drain": "POST",
		"POST /metrics": "GET, HEAD", "POST /livez": "GET, HEAD",
	} {
		method, path, _ := strings.Cut(path, " ")
		r := i.send(t, method, i.AdminURL()+path, token, "")
		if r.status != 405 || r.header.Get("Allow") != allow || !strings.Contains(r.body, "method_not_allowed") {
			t.Errorf("%s %s: %d, Allow %q, %s", method, path, r.status, r.header.Get("Allow"), r.body)
		}
	}
	if i.health.Draining() {
		t.Error("somebody without the token ended the process")
	}
	// The token opens the admin listener alone, and a key the other one alone.
	if r := i.chat(t, token, "m", false); r.status != 401 {
		t.Errorf("the admin token as a key: %d", r.status)
	}
	if r := i.send(t, "GET", strings.TrimSuffix(i.BaseURL(), "/v1")+"/api/status", token, ""); r.status != 404 {
		t.Errorf("the admin API on the callers' listener: %d", r.status)
	}
}

func TestHealthPagesOfBothListeners(t *testing.T) {
	i := serve(t, file("", "http://127.0.0.1:9")) // an upstream that is not there makes no difference
	for _, base := range []string{strings.TrimSuffix(i.BaseURL(), "/v1"), i.AdminURL()} {
		for path, want := range map[string]string{"/livez": "ok", "/readyz": "ok", "/healthz": "ok", "/version": Version} {
			if r := i.send(t, "GET", base+path, "", ""); r.status != 200 || !strings.Contains(r.body, want) {
				t.Errorf("%s%s: %d %s", base, path, r.status, r.body)
			}
			if r := i.send(t, "HEAD", base+path, "", ""); r.status != 200 || r.body != "" {
				t.Errorf("HEAD %s%s: %d %s", base, path, r.status, r.body)
			}
		}
	}
	for _, path := range []string{"/", "/api", "/api/", "/api/status/", "/debug/pprof/", "/metrics/x"} {
		if r := i.ask(t, "GET", path, ""); r.status != 404 {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}

// TestExplainAtOnce asks for the reasons of requests as soon as their answers are
// read, and for those of requests that never were.
func TestExplainAtOnce(t *testing.T) {
	e := newLab(t, false)
	i := serve(t, file("", "http://127.0.0.1:9", e.URL))
	for n := range 20 {
		r := i.chat(t, pinned, "m", n%2 == 0)
		if r.status != 200 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		var x record.Explanation
		eventually(t, "the record is there", func() bool { // a stream's terminal leaves before its record is kept
			a := i.ask(t, "GET", "/api/requests/"+r.id()+"/explanation", "")
			return a.status == 200 && json.Unmarshal([]byte(a.body), &x) == nil
		})
		won := slices.IndexFunc(x.Candidates, func(c record.Considered) bool { return c.WhyNot == "" })
		if x.RequestID != r.id() || x.Chosen == nil || x.Chosen.Replica != r.header.Get("X-Headworks-Replica") || x.End != "ok" ||
			won < 0 || x.Candidates[won].Replica != x.Chosen.Replica || len(x.Attempts) == 0 {
			t.Errorf("%+v", x)
		}
	}
	refused := i.chat(t, pinned, "nobody", false)
	eventually(t, "a refusal is kept", func() bool {
		a := i.ask(t, "GET", "/api/requests/"+refused.id()+"/explanation", "")
		return a.status == 200 && strings.Contains(a.body, `"chosen":null`) && strings.Contains(a.body, `"fault":"model_not_found"`)
	})
	for id, want := range map[string]int{
		"req_00000000000000000000000000000000": 404, "nonsense": 400, "..": 404, "%2e%2e": 400, strings.Repeat("a", 5000): 400,
	} {
		if r := i.ask(t, "GET", "/api/requests/"+id+"/explanation", ""); r.status != want {
			t.Errorf("%.40s: %d %s, want %d", id, r.status, r.body, want)
		}
	}
	for query, want := range map[string]int{
		"": 21, "?limit=3": 3, "?model=m": 20, "?fault=model_not_found": 1, "?upstream=lab": 20, "?key=tests": 21, "?key=x": 0,
	} {
		r := i.ask(t, "GET", "/api/requests"+query, "")
		var rows struct {
			Requests []map[string]any `json:"requests"`
		}
		if err := json.Unmarshal([]byte(r.body), &rows); err != nil || len(rows.Requests) != want {
			t.Errorf("%s: %d rows, %v, want %d", query, len(rows.Requests), err, want)
		}
	}
	for _, query := range []string{"?limit=0", "?limit=1001", "?limit=x"} {
		if r := i.ask(t, "GET", "/api/requests"+query, ""); r.status != 400 {
			t.Errorf("%s: %d", query, r.status)
		}
	}
}

// TestLedgerEqualsAnswers compares what callers were told, what the ledger has and
// what metrics say.
func TestLedgerEqualsAnswers(t *testing.T) {
	e := newLab(t, false)
	i := serve(t, file("", e.URL))
	const cost = 11*1000 + 7*2000 // micro-USD: USD per million tokens is micro-USD per token
	want := map[string]bool{}
	for n := range 10 {
		r := i.chat(t, pinned, "m", n%2 == 0)
		want[r.id()] = true
		if n%2 == 1 && (r.header.Get("X-Headworks-Cost") != "0.025000" || !strings.Contains(r.body, `"total_tokens":18`)) {
			t.Errorf("cost %q of %s", r.header.Get("X-Headworks-Cost"), r.body)
		}
	}
	i.chat(t, pinned, "nobody", false) // costs nothing
	eventually(t, "metrics are up to date", func() bool { return metric(t, i, "headworks_requests_total") == 11 })
	if got := metric(t, i, "headworks_cost_usd_total"); math.Abs(got-10*cost/1e6) > 1e-9 {
		t.Errorf("cost %v in metrics, want %v", got, 10*cost/1e6)
	}
	i.Drain()
	if err := i.wait(t); err != nil {
		t.Fatal(err)
	}
	ledger, repairs, err := meter.Open(i.data+"/ledger", meter.Options{})
	if err != nil || len(repairs) > 0 {
		t.Fatal(repairs, err)
	}
	defer ledger.Close()
	for line, err := range ledger.Lines() {
		if err != nil {
			t.Fatal(err)
		}
		if !want[line.ID.String()] {
			t.Errorf("a line of %s, which has one or was no answer", line.ID)
		}
		delete(want, line.ID.String())
		if line.Input != 11 || line.Output != 7 || line.Cost != cost || line.KeyID != "file:tests" || line.Model != "m" || line.Upstream != "lab" || line.Source != record.Provider || line.End != record.OK {
			t.Errorf("line %+v", line)
		}
	}
	if len(want) > 0 {
		t.Errorf("no lines of %v", want)
	}
}
