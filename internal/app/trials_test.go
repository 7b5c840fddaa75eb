package app

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headworks/internal/api/admin"
)

// tried is a configuration with a canary on an upstream of its own.
func tried(stable, next string) string {
	source := file("", stable)
	source = strings.Replace(source, "models:", "  new: {kind: openai, urls: ["+next+"], key: provider-secret-of-tests}\nmodels:", 1)
	return strings.Replace(source, "targets: [{", "canary: {target: next, steps: [50%, 100%]}, targets: [{name: next, upstream: new, model: any}, {name: stable, ", 1)
}

func canariesOf(t *testing.T, i *instance) admin.Canary {
	t.Helper()
	all, err := i.admin.Canaries(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	return all[0]
}

// TestCanary: one that fails goes back while callers get their answers, stays so over
// a reload and a restart, and moves when an operator says so.
func TestCanary(t *testing.T) {
	stable := newLab(t, false)
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	t.Cleanup(broken.Close)
	i := serve(t, tried(stable.URL, broken.URL))
	arms := map[string]bool{}
	for range 400 {
		r := i.chat(t, pinned, "m", true)
		if r.status != 200 || r.header.Get("X-Headworks-Replica") == "" {
			t.Fatalf("%d %s %v", r.status, r.body, r.header)
		}
		arms[r.header.Get("X-Headworks-Upstream")] = true
		if canariesOf(t, i).Phase != "running" {
			break
		}
	}
	c := canariesOf(t, i)
	if c.Phase != "rolled back" || c.Share != 0 || c.Why != "more errors than the others" || c.Model != "m" || c.Target != "next" || !arms["lab"] || arms["new"] {
		t.Fatalf("%+v, answers of %v", c, arms)
	}
	if r := i.chat(t, pinned, "m", false); r.header.Get("X-Headworks-Replica") == "" || r.header.Get("X-Headworks-Arm") != "stable" {
		t.Errorf("a whole answer: %v", r.header)
	}
	eventually(t, "the log tells of it", func() bool { return strings.Contains(i.log.String(), "a canary went back") })

	i.write(t, strings.Replace(tried(stable.URL, broken.URL), "drain_delay", "limits: {queue: 7}\ndrain_delay", 1))
	if _, err := i.Reload(t.Context()); err != nil || canariesOf(t, i).Phase != "rolled back" {
		t.Errorf("after a reload: %+v, %v", canariesOf(t, i), err)
	}
	i.Drain()
	if err := i.wait(t); err != nil {
		t.Fatal(err)
	}
	next := &instance{log: &lines{}, file: i.file, data: i.data}
	a, _, err := Serve(next.file, next.place(), next.log)
	if err != nil {
		t.Fatal(err)
	}
	next.App = a
	next.run(t)
	if c := canariesOf(t, next); c.Phase != "rolled back" || c.Why == "" {
		t.Errorf("after a restart: %+v", c)
	}

	for _, tt := range []struct{ to, phase string }{{"restart", "running"}, {"promote", "promoted"}, {"rollback", "rolled back"}} {
		moved, err := next.admin.MoveCanary(t.Context(), admin.Move{Model: "m", To: tt.to})
		if err != nil || moved.Phase != tt.phase || canariesOf(t, next).Phase != tt.phase {
			t.Errorf("%s: %+v, %v", tt.to, moved, err)
		}
	}
	for _, m := range []admin.Move{{Model: "n", To: "promote"}, {Model: "m", To: "moon"}} {
		if moved, err := next.admin.MoveCanary(t.Context(), m); err == nil {
			t.Errorf("%+v: %+v", m, moved)
		}
	}
	if r := next.ask(t, "POST", "/api/canaries", `{"model":"m","to":"promote","more":1}`); r.status != 400 {
		t.Errorf("an unknown field: %d", r.status)
	}

	next.write(t, strings.Replace(tried(stable.URL, broken.URL), "steps: [50%", "steps: [40%", 1))
	if _, err := next.Reload(t.Context()); err != nil || canariesOf(t, next).Phase != "running" {
		t.Errorf("another canary: %+v, %v", canariesOf(t, next), err)
	}
}

// TestUnreadableCanaries: a file that cannot be read begins them anew, and says so.
func TestUnreadableCanaries(t *testing.T) {
	stable := newLab(t, false)
	i := serve(t, tried(stable.URL, stable.URL))
	i.Drain()
	if err := i.wait(t); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(i.data, trialsFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	next := &instance{log: &lines{}, file: i.file, data: i.data}
	a, _, err := Serve(next.file, next.place(), next.log)
	if err != nil {
		t.Fatal(err)
	}
	next.App = a
	next.run(t)
	if c := canariesOf(t, next); c.Phase != "running" || !strings.Contains(next.log.String(), "begin anew") {
		t.Errorf("%+v", c)
	}
}
