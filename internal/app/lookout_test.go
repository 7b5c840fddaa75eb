package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"headworks/internal/api/admin"
	"headworks/internal/incident"
	"headworks/internal/notify"
)

// TestAlerts: an upstream that fails is named within the next look, with a command to
// give; a silence is obeyed; and what is over ends.
func TestAlerts(t *testing.T) {
	well := newLab(t, false)
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	t.Cleanup(broken.Close)
	source := strings.Replace(file("", well.URL), "models:", "  sick: {kind: openai, urls: ["+broken.URL+"], key: provider-secret-of-tests}\nmodels:", 1)
	source = strings.Replace(source, "targets: [{", "policy: weight, targets: [{upstream: sick, model: any}, {", 1)
	i := serve(t, source)
	if all, err := i.admin.Alerts(t.Context()); err != nil || len(all.Alerts)+len(all.Ended)+len(all.Silences) > 0 {
		t.Fatalf("%+v, %v", all, err)
	}
	for range 60 {
		i.chat(t, pinned, "m", false)
	}
	now := time.Now()
	found := func() (attempts, health bool) {
		i.monitor.Check(now)
		all, err := i.admin.Alerts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range all.Alerts {
			attempts = attempts || strings.Contains(a.Title, "sick: ") && strings.Contains(a.Title, "of attempts fail") && strings.Contains(a.Cause, "sick") && strings.HasPrefix(a.Next, "headworks drain --upstream sick") && len(a.Evidence) > 0
			health = health || strings.Contains(a.Title, "sick: no replica gets requests")
		}
		return attempts, health
	}
	eventually(t, "the upstream is named", func() bool { attempts, health := found(); return attempts || health })
	eventually(t, "objectives are counted", func() bool {
		standing, err := i.admin.Objectives(t.Context())
		return err == nil && len(standing) > 0 && standing[0].All == 60
	})

	s, err := i.admin.Silence(t.Context(), admin.NewSilence{Match: map[string]string{"upstream": "sick"}, For: "1h", Reason: "test"})
	if err != nil || s.ID == "" {
		t.Fatalf("%+v, %v", s, err)
	}
	i.monitor.Check(now.Add(time.Second))
	all, err := i.admin.Alerts(t.Context())
	if err != nil || len(all.Silences) != 1 || len(all.Alerts) == 0 || all.Alerts[0].Silenced != s.ID {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := i.admin.Unsilence(t.Context(), s.ID); err != nil {
		t.Error(err)
	}
	if _, err := i.admin.Unsilence(t.Context(), s.ID); err == nil || !strings.Contains(err.Error(), "no such silence") {
		t.Error(err)
	}
	for _, wrong := range []admin.NewSilence{{For: "1h"}, {Match: map[string]string{"model": "b"}, For: "soon"}, {Match: map[string]string{"model": "b"}, For: "1000h"}, {Match: map[string]string{"modell": "b"}, For: "1h"}} {
		if _, err := i.admin.Silence(t.Context(), wrong); err == nil {
			t.Errorf("%+v is taken", wrong)
		}
	}
}

// TestAlarmsReachPeople: a page is posted to a sink, signed, and opens an incident that
// outlives the process and can be written down.
func TestAlarmsReachPeople(t *testing.T) {
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	t.Cleanup(broken.Close)
	posted := make(chan string, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // the test sees what is missing
		if r.Header.Get("X-Headworks-Signature") != "sha256="+notify.Sign("secret-of-the-webhook", r.Header.Get("X-Headworks-Timestamp"), body) {
			t.Errorf("signed as %v", r.Header)
		}
		posted <- string(body)
	}))
	t.Cleanup(hook.Close)
	source := strings.Replace(file("", broken.URL), "models:", "alerts: {sinks: {ops: {kind: webhook, url: "+hook.URL+"/secret-of-the-path, secret: secret-of-the-webhook, severity: page}}}\nmodels:", 1)
	i := serve(t, source)
	for range 60 {
		i.chat(t, pinned, "m", false)
	}
	now := time.Now()
	eventually(t, "an incident is open", func() bool {
		i.alarms.look(t.Context(), now)
		all, err := i.admin.Incidents(t.Context())
		return err == nil && len(all) == 1 && all[0].Status == incident.Open
	})
	select {
	case body := <-posted:
		if !strings.Contains(body, `"severity":"page"`) || !strings.Contains(body, `"next":"`) {
			t.Errorf("posted %s", body)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nothing is posted")
	}
	x, err := i.admin.EditIncident(t.Context(), "latest", incident.Edit{Note: "seen", Role: "lead", Who: "Ada"})
	if err != nil || x.Roles["lead"] != "Ada" {
		t.Fatalf("%+v, %v", x, err)
	}
	if _, err := i.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	for _, e := range []incident.Edit{{}, {Status: "gone"}, {Note: strings.Repeat("x", 11_000)}} {
		if _, err := i.admin.EditIncident(t.Context(), "latest", e); err == nil {
			t.Errorf("%+v is taken", e.Status)
		}
	}
	if _, err := i.admin.Incident(t.Context(), "nobody"); err == nil {
		t.Error("an incident that is not there")
	}
	if strings.Contains(i.log.String(), "secret-of-the") {
		t.Error("a secret is in the log")
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
	p, err := next.admin.PostMortem(t.Context(), x.ID)
	if err != nil || !strings.Contains(p.Markdown, "| lead | Ada |") || !strings.Contains(p.Markdown, "seen") {
		t.Errorf("%s, %v", p.Markdown, err)
	}
	if x, err = next.admin.EditIncident(t.Context(), x.ID, incident.Edit{Status: incident.Closed}); err != nil || x.Status != incident.Closed {
		t.Errorf("%+v, %v", x, err)
	}
}

// TestReloadAlert: a file that is not taken over is told of until one is.
func TestReloadAlert(t *testing.T) {
	lab := newLab(t, false)
	i := serve(t, file("", lab.URL))
	told := func() bool {
		i.monitor.Check(time.Now().Add(time.Hour))
		all, err := i.admin.Alerts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range all.Alerts {
			if strings.Contains(a.Title, "not taken over") {
				return strings.Contains(a.Next, "headworks config validate --config ")
			}
		}
		return false
	}
	if told() {
		t.Error("it is told of before anything happened")
	}
	i.write(t, "upstreams: [")
	if _, err := i.Reload(t.Context()); err == nil || !told() {
		t.Errorf("not told of: %v", err)
	}
}
