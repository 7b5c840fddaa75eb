package app

import (
	"strings"
	"testing"
	"time"
)

// TestResponsesAreKeptWithinBounds: what the configuration says of responses holds, a
// reload changes it, and the metrics tell what is kept.
func TestResponsesAreKeptWithinBounds(t *testing.T) {
	e := newLab(t, false)
	with := func(section string) string { return file("responses: "+section, e.URL) }
	i := serve(t, with("{keep: 1h, bytes: 1MiB}"))
	ask := func(input string) string {
		t.Helper()
		r := i.send(t, "POST", i.BaseURL()+"/responses", pinned, `{"model":"m","input":"`+input+`"}`)
		_, rest, _ := strings.Cut(r.body, `{"id":"`)
		id, _, _ := strings.Cut(rest, `"`)
		if r.status != 200 || id == "" {
			t.Fatalf("%d %s", r.status, r.body)
		}
		return id
	}
	there := func(id string) bool {
		t.Helper()
		return i.send(t, "GET", i.BaseURL()+"/responses/"+id, pinned, "").status == 200
	}
	counts := func(n int64) {
		t.Helper()
		if got, size := i.answers.kept(); got != n || (size > 0) != (n > 0) || metric(t, i, "headworks_responses_conversations") != float64(n) {
			t.Errorf("%d conversations with %d bytes, want %d", got, size, n)
		}
	}
	now := time.Now()
	first, large := ask("hello"), ask(strings.Repeat("x", 1<<20-1500))
	if !there(first) || !there(large) {
		t.Fatal("not kept")
	}
	i.answers.prune(t.Context(), now)
	if there(first) || !there(large) {
		t.Error("the older conversation did not make room")
	}
	counts(1)
	i.answers.prune(t.Context(), now.Add(time.Hour+time.Minute))
	if there(large) {
		t.Error("kept for too long")
	}
	counts(0)

	reload := func(section string) {
		t.Helper()
		i.write(t, with(section))
		if _, err := i.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	reload("{store: off, keep: 0s}")
	if there(ask("hello")) {
		t.Error("kept though it is off")
	}
	reload("{store: on, keep: 0s}")
	last := ask("hello")
	i.answers.prune(t.Context(), now.Add(100*365*24*time.Hour))
	if !there(last) {
		t.Error("kept for too short")
	}
	if n := metric(t, i, "headworks_responses_lost_total"); n != 0 {
		t.Errorf("%v were lost", n)
	}
}
