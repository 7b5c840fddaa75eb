package app

import (
	"strings"
	"testing"

	"headworks/internal/api/admin"
)

// TestShadow: copies are compared for operators, and are in no list of requests, in no
// key's account.
func TestShadow(t *testing.T) {
	own, other := newLab(t, false), newLab(t, false)
	source := strings.Replace(file("", own.URL), "models:", "  new: {kind: openai, urls: ["+other.URL+"], key: provider-secret-of-tests}\nmodels:\n  next: {targets: [{upstream: new, model: any, price: {input: 1000, output: 2000}}]}", 1)
	source = strings.Replace(source, "m: {targets", "m: {shadow: {model: next, share: 100%}, targets", 1)
	i := serve(t, source)
	key := i.create(t, `{"name":"caller"}`)
	for _, stream := range []bool{true, false} {
		if r := i.chat(t, key.Secret, "m", stream); r.status != 200 || r.header.Get("X-Headworks-Upstream") != "lab" {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	var s admin.Shadow
	eventually(t, "both copies are compared", func() bool {
		all, err := i.admin.Status(t.Context())
		if err != nil || len(all.Shadows) != 1 {
			t.Fatalf("%+v, %v", all.Shadows, err)
		}
		s = all.Shadows[0]
		return s.Copies == 2
	})
	if s.Model != "m" || s.Shadow != "next" || s.Share != 1 || s.Failed != 0 || s.Pairs != 2 || s.Same != 1 || s.CostUSD <= 0 || s.Took.Copy <= 0 || s.Output.Caller != s.Output.Copy {
		t.Errorf("%+v", s)
	}
	eventually(t, "the caller's account", func() bool {
		keys, err := i.admin.Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			if k.Name == "caller" && k.Requests > 2 {
				t.Fatalf("the caller pays for copies: %+v", k)
			} else if k.Name == "caller" && k.Requests == 2 {
				return true
			}
		}
		return false
	})
	for origin, want := range map[string]int{"": 2, "shadow": 2, "app": 2} {
		found, err := i.admin.Requests(t.Context(), 10, "", "", "", "", origin)
		if err != nil || len(found.Requests) != want {
			t.Errorf("origin %q: %d requests, %v", origin, len(found.Requests), err)
		}
		for _, r := range found.Requests {
			e, err := i.admin.Explain(t.Context(), r.ID)
			if err != nil || (e.ShadowOf != "") != (origin == "shadow") || (r.Upstream == "new") != (origin == "shadow") {
				t.Errorf("%+v, %v", e, err)
			}
		}
	}
	if n := metric(t, i, "headworks_requests_total"); n != 2 {
		t.Errorf("%v requests are counted", n)
	}
}

// TestJudge: verdicts that somebody gives of a canary's answers let it go back.
func TestJudge(t *testing.T) {
	stable, next := newLab(t, false), newLab(t, false)
	i := serve(t, tried(stable.URL, next.URL))
	type answered struct {
		id     string
		stable bool
	}
	var all []answered
	for range 300 {
		r := i.chat(t, pinned, "m", false)
		all = append(all, answered{r.header.Get("X-Request-Id"), r.header.Get("X-Headworks-Arm") == "stable"})
	}
	eventually(t, "all records are there", func() bool { return metric(t, i, "headworks_requests_total") == 300 })
	for _, a := range all {
		j, err := i.admin.Judge(t.Context(), admin.Verdict{Request: a.id, Good: &a.stable})
		if err != nil {
			t.Fatal(err)
		}
		if !j.Counts {
			break
		}
	}
	if c := canariesOf(t, i); c.Phase != "rolled back" || c.Why != "worse answers than the others" {
		t.Errorf("%+v", c)
	}
	for _, body := range []string{`{"request_id":"req_1","good":true}`, `{"request_id":"req_01a212c42ed267b52755f3b06756d858"}`, `{}`} {
		if r := i.ask(t, "POST", "/api/verdicts", body); r.status != 400 {
			t.Errorf("%s: %d", body, r.status)
		}
	}
	if r := i.ask(t, "POST", "/api/verdicts", `{"request_id":"req_01a212c42ed267b52755f3b06756d858","good":true}`); r.status != 404 {
		t.Errorf("a request that never was: %d", r.status)
	}
}
