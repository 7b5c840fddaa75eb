package app

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"headworks/internal/fleet"
)

// TestReloadUnderLoad changes the configuration in each of the three ways while
// many clients ask: no request fails, and none is lost.
func TestReloadUnderLoad(t *testing.T) {
	one, two := newLab(t, false), newLab(t, false)
	both := file("", one.URL, two.URL)
	alternatives := []string{
		file("limits: {in_flight: 500}", two.URL, one.URL),
		file("tiers: {t: {concurrency: 1000}}", one.URL),
		strings.Replace(both, "openai", "vllm", 1),
		both,
	}
	i := serve(t, both)
	var stop atomic.Bool
	var clients sync.WaitGroup
	var asked atomic.Int64
	for n := range 12 {
		clients.Go(func() {
			for !stop.Load() {
				r := i.try(t, "POST", i.BaseURL()+"/chat/completions", pinned, question("m", n%2 == 0))
				whole := strings.Contains(r.body, "two") && (n%2 == 1 || strings.HasSuffix(r.body, "data: [DONE]\n\n"))
				if r.err != nil || r.status != 200 || !whole {
					t.Errorf("%d %s %v", r.status, r.body, r.err)
					return
				}
				asked.Add(1)
			}
		})
	}
	defer func() { stop.Store(true); clients.Wait() }()

	generation := uint64(1)
	next := func() string {
		generation++
		return alternatives[generation%uint64(len(alternatives))]
	}
	busy := func() { // the new generation serves before the next one comes
		from := asked.Load()
		eventually(t, "requests are answered", func() bool { return asked.Load() > from+24 || t.Failed() })
	}
	for range 12 {
		i.write(t, next())
		if r, err := i.Reload(t.Context()); err != nil || r.Generation != generation {
			t.Fatalf("reload to generation %d: %+v, %v", generation, r, err)
		}
		busy()
		i.write(t, next())
		if r := i.ask(t, "POST", "/api/reload", ""); r.status != 200 || !strings.Contains(r.body, fmt.Sprintf(`"generation":%d`, generation)) {
			t.Fatalf("reload by the admin API: %d %s", r.status, r.body)
		}
		busy()
	}
	for range 3 { // by the file alone
		i.write(t, next())
		eventually(t, "the file is taken over", func() bool { return i.Status().Generation == generation })
		busy()
	}
	stop.Store(true)
	clients.Wait()
	if s := i.Status(); s.InFlight != 0 || s.Waiting != 0 {
		t.Errorf("%d in flight, %d waiting, with nobody there", s.InFlight, s.Waiting)
	}
	for _, u := range i.Status().Upstreams {
		for _, r := range u.Replicas {
			if r.InFlight != 0 || !r.Up {
				t.Errorf("replica %s: %+v", r.URL, r)
			}
		}
	}
	used := i.keys.used(t)
	if used["tests"] != asked.Load() {
		t.Errorf("%d lines in the ledger for %d answers", used["tests"], asked.Load())
	}
}

// used returns how many requests each key has in the ledger.
func (k *keyring) used(t *testing.T) map[string]int64 {
	t.Helper()
	list, err := k.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]int64{}
	for _, key := range list {
		used[key.Name] = key.Requests
	}
	return used
}

// TestBrokenFileChangesNothing gives a running instance files that it must not
// take.
func TestBrokenFileChangesNothing(t *testing.T) {
	e := newLab(t, false)
	good := file("", e.URL)
	i := serve(t, good)
	before := i.Status()
	broken := map[string]string{
		"no YAML":               "upstreams: {",
		"an unknown field":      good + "listn: 127.0.0.1:1\n",
		"a reference to nobody": strings.Replace(good, "upstream: lab", "upstream: lap", 1),
		"nothing":               "",
		"a URL that is none":    file("", "127.0.0.1:1"),
		"two keys of one text":  good + "  - {name: twin, secret: " + pinned + "}\n",
	}
	failures := 0
	for name, source := range broken {
		i.write(t, source)
		failures++
		r := i.ask(t, "POST", "/api/reload", "")
		if r.status != 400 || !strings.Contains(r.body, "headworks.yaml") {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		if r := i.chat(t, pinned, "m", false); r.status != 200 {
			t.Errorf("%s: the last good one does not serve: %d %s", name, r.status, r.body)
		}
	}
	after := i.Status()
	if after.Generation != before.Generation || after.Config != before.Config {
		t.Errorf("generation %d (%s), was %d (%s)", after.Generation, after.Config, before.Generation, before.Config)
	}
	// The watch may have come before the one or the other.
	if n := metric(t, i, "headworks_config_reload_failures_total"); n < float64(failures) || n > float64(2*failures) {
		t.Errorf("%v failures are counted of %d files", n, failures)
	}
	if !strings.Contains(i.log.String(), "the last good one stays") {
		t.Error("the log does not say it")
	}
	i.write(t, good)
	if r, err := i.Reload(t.Context()); err != nil || r.Generation != before.Generation || len(r.Changes) > 0 {
		t.Errorf("the same again: %+v, %v", r, err)
	}
}

// TestReloadKeepsWhatIsKnown changes a file around a replica that is down and one
// that is at work: the one stays down, the other keeps its load, and a replica
// that comes back later is the same.
func TestReloadKeepsWhatIsKnown(t *testing.T) {
	busy, down := newLab(t, true), newLab(t, false)
	down.Close()
	i := serve(t, file("", busy.URL, down.URL))
	state := func(url string) (id fleet.ReplicaID, load int, up, there bool) {
		for _, u := range i.gateway.World().Fleet.Upstreams {
			for _, r := range u.Replicas {
				if r.URL == url {
					id, there = r.ID, true
				}
			}
		}
		for _, u := range i.Status().Upstreams {
			for _, r := range u.Replicas {
				if r.URL == url {
					load, up = r.InFlight, r.Up
				}
			}
		}
		return id, load, up, there
	}
	var answers []*open
	eventually(t, "a request finds the replica that is down", func() bool {
		answers = append(answers, i.stream(t, pinned, "m"))
		_, _, up, _ := state(down.URL)
		return !up
	})
	wantID, _, _, _ := state(busy.URL)
	downID, _, _, _ := state(down.URL)
	engine := i.gateway.World().Engines[0]

	reload := func(source string) {
		t.Helper()
		i.write(t, source)
		if _, err := i.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, source := range []string{
		file("limits: {queue: 7}", busy.URL, down.URL),
		file("", down.URL, busy.URL), // another order, another engine
		file("", busy.URL, "http://127.0.0.1:9", down.URL),
	} {
		reload(source)
		if id, load, up, _ := state(busy.URL); id != wantID || load != len(answers) || !up {
			t.Errorf("the busy replica is %d with %d in flight, up %v; want %d with %d", id, load, up, wantID, len(answers))
		}
		if id, _, up, _ := state(down.URL); id != downID || up {
			t.Errorf("the replica that is down is %d, up %v", id, up)
		}
	}
	if i.gateway.World().Engines[0] == engine {
		t.Error("an engine outlives its replicas")
	}
	reload(file("", busy.URL)) // gone, and back
	if _, _, _, there := state(down.URL); there {
		t.Error("a replica stays that the file does not name")
	}
	reload(file("", busy.URL, down.URL))
	if id, _, _, _ := state(down.URL); id != downID {
		t.Errorf("a replica that came back is %d, was %d", id, downID)
	}
	busy.release()
	for _, o := range answers {
		if rest := o.rest(t); !strings.HasSuffix(rest, "data: [DONE]\n\n") {
			t.Errorf("an answer from before the reloads ended with %q", rest)
		}
	}
	eventually(t, "nothing is in flight", func() bool { _, load, _, _ := state(busy.URL); return load == 0 })
}

// A key that was mended is tried at once: what its replicas did with the old one is
// forgotten.
func TestReloadForgetsTheOldKey(t *testing.T) {
	picky := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Header.Get("Authorization") != "Bearer mended" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}`)
	}))
	defer picky.Close()
	with := func(key string) string {
		return strings.Replace(file("", picky.URL), "provider-secret-of-tests", key, 1)
	}
	i := serve(t, with("broken"))
	if r := i.chat(t, pinned, "m", false); r.status != 502 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	i.write(t, with("mended"))
	if _, err := i.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := i.chat(t, pinned, "m", false); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// A configuration that cannot be watched is served all the same.
func TestUnwatchedFile(t *testing.T) {
	e := newLab(t, false)
	i := serve(t, file("", e.URL))
	lost := &App{options: Options{File: filepath.Join(t.TempDir(), "gone", "headworks.yaml")}, log: slog.New(slog.NewTextHandler(i.log, nil))}
	lost.watch(t.Context())
	if !strings.Contains(i.log.String(), "not noticed") {
		t.Error("nobody is told")
	}
}

// TestReloadKeepsEngines keeps the engine of an upstream that did not change, with
// its connections, and closes that of one that is gone.
func TestReloadKeepsEngines(t *testing.T) {
	stays, goes := newLab(t, false), newLab(t, false)
	with := strings.Replace(file("", stays.URL), "models:", "  other: {kind: openai, urls: ["+goes.URL+"]}\nmodels:\n  o: {targets: [{upstream: other, model: any}]}", 1)
	i := serve(t, with)
	for range 3 {
		i.chat(t, pinned, "m", false)
		i.chat(t, pinned, "o", false)
	}
	if stays.connections() != 1 || goes.connections() != 1 {
		t.Fatalf("%d and %d connections", stays.connections(), goes.connections())
	}
	kept := i.gateway.World().Engines[0]
	i.write(t, file("limits: {queue: 9}", stays.URL))
	if _, err := i.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if i.gateway.World().Engines[0] != kept {
		t.Error("the engine of an upstream that did not change is another")
	}
	eventually(t, "the connection of the upstream that is gone is closed", func() bool { return goes.connections() == 0 })
	if r := i.chat(t, pinned, "m", true); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if stays.connections() != 1 {
		t.Errorf("%d connections to the upstream that stays", stays.connections())
	}
	if r := i.chat(t, pinned, "o", false); r.status != 404 {
		t.Errorf("a model that is gone: %d %s", r.status, r.body)
	}
}

// TestReloadOfAFileThatChangedEarly replaces the file when it was read and nobody
// watches it yet.
func TestReloadOfAFileThatChangedEarly(t *testing.T) {
	e := newLab(t, false)
	i := &instance{log: &lines{}, file: filepath.Join(t.TempDir(), "headworks.yaml"), data: filepath.Join(t.TempDir(), "data")}
	i.write(t, file("", e.URL))
	a, _, err := Serve(i.file, i.place(), i.log)
	if err != nil {
		t.Fatal(err)
	}
	i.App = a
	i.write(t, file("region: eu", e.URL))
	i.run(t)
	eventually(t, "the change is taken over", func() bool { return i.Status().Region == "eu" })
}

// TestReloadOfNoFile asks an instance without a configuration to read it.
func TestReloadOfNoFile(t *testing.T) {
	i := up(t)
	if r := i.ask(t, "POST", "/api/reload", ""); r.status != 400 || !strings.Contains(r.body, "serve --config") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// TestReloadTellsWhatItCannotDo changes where an instance keeps its data, beside
// something that a reload brings about.
func TestReloadTellsWhatItCannotDo(t *testing.T) {
	e := newLab(t, false)
	i := &instance{log: &lines{}, file: filepath.Join(t.TempDir(), "headworks.yaml"), data: filepath.Join(t.TempDir(), "data")}
	i.write(t, file("data: "+i.data, e.URL))
	at := i.place()
	at.Data = "" // the file says it
	a, _, err := Serve(i.file, at, i.log)
	if err != nil {
		t.Fatal(err)
	}
	i.App = a
	i.run(t)
	i.write(t, file("region: eu\ndata: "+t.TempDir(), e.URL))
	r, err := i.Reload(t.Context())
	if err != nil || !slices.Equal(r.Restart, []string{"data"}) || !slices.Contains(r.Changes, "region changed") {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = i.Reload(t.Context()) // nothing changed since, and it still waits
	if err != nil || !slices.Equal(r.Restart, []string{"data"}) || len(r.Changes) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if n := strings.Count(i.log.String(), "only a restart"); n != 1 {
		t.Errorf("the log says it %d times", n)
	}
	i.write(t, file("region: eu\ndata: "+i.data, e.URL))
	if r, err = i.Reload(t.Context()); err != nil || len(r.Restart) > 0 {
		t.Errorf("as it was at the start: %+v, %v", r, err)
	}
	if r := i.chat(t, pinned, "m", false); r.header.Get("X-Headworks-Config") != i.Status().Config {
		t.Errorf("config %q, want %q", r.header.Get("X-Headworks-Config"), i.Status().Config)
	}
}
