package app

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"headworks/internal/api/admin"
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
	for _, wrong := range []admin.NewSilence{{For: "1h"}, {Match: map[string]string{"a": "b"}, For: "soon"}, {Match: map[string]string{"a": "b"}, For: "1000h"}} {
		if _, err := i.admin.Silence(t.Context(), wrong); err == nil {
			t.Errorf("%+v is taken", wrong)
		}
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
