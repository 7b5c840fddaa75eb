package app

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"headworks/internal/config"
	"headworks/internal/discover"
	"headworks/internal/discover/discovertest"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
)

// oracle is a finder whose answers the test gives.
type oracle struct {
	mu    sync.Mutex
	tells []func([]discover.Replica, error)
	found []discover.Replica
	err   error
	mute  bool // no answer until there is another one
}

func (o *oracle) Watch(ctx context.Context, tell func([]discover.Replica, error)) {
	o.mu.Lock()
	if !o.mute {
		tell(o.found, o.err)
	}
	o.tells = append(o.tells, tell)
	o.mu.Unlock()
	<-ctx.Done()
}

func (o *oracle) answer(err error, urls ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.found, o.err = nil, err
	for _, u := range urls {
		o.found = append(o.found, discover.Replica{URL: u, Zone: "z"})
	}
	for _, tell := range o.tells {
		tell(o.found, o.err)
	}
}

// found is a configuration whose upstream is found.
func found(more string) string {
	source := file(more)
	return strings.Replace(source, "urls: [],", `discover: {dns: "lab.example.com:8000", max_replicas: 2},`, 1)
}

func serveFound(t *testing.T, o *oracle, source string) *instance {
	t.Helper()
	return serveFinding(t, func(config.Discover) discover.Finder { return o }, source)
}

func serveFinding(t *testing.T, finder func(config.Discover) discover.Finder, source string) *instance {
	t.Helper()
	dir := t.TempDir()
	i := &instance{log: &lines{}, file: filepath.Join(dir, "headworks.yaml"), data: filepath.Join(dir, "data")}
	i.write(t, source)
	read := func() (*config.Config, *config.Report) {
		c, report := config.Load(i.file)
		if c != nil {
			c.Override("127.0.0.1:0", "127.0.0.1:0", i.data)
		}
		return c, report
	}
	c, report := read()
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	a, err := New(Options{Config: c, Read: read, File: i.file, Seen: stamp(i.file), Log: i.log, Finder: finder})
	if err != nil {
		t.Fatal(err)
	}
	i.App = a
	i.run(t)
	return i
}

func (i *instance) replicas() (urls []string) {
	for _, u := range i.Status().Upstreams {
		for _, r := range u.Replicas {
			urls = append(urls, r.URL)
		}
	}
	slices.Sort(urls)
	return urls
}

func (i *instance) ids() map[string]fleet.ReplicaID {
	ids := map[string]fleet.ReplicaID{}
	for _, u := range i.gateway.World().Fleet.Upstreams {
		for _, r := range u.Replicas {
			ids[r.URL] = r.ID
		}
	}
	return ids
}

// TestReplicasComeAndGo: under load, nobody notices, and those that stay keep their
// places and connections; a stream on one that goes ends whole.
func TestReplicasComeAndGo(t *testing.T) {
	stays, comes, goes := newLab(t, false), newLab(t, false), newLab(t, true)
	o := &oracle{found: []discover.Replica{{URL: goes.URL}}}
	i := serveFound(t, o, found(""))
	if got := i.replicas(); !slices.Equal(got, []string{goes.URL}) {
		t.Fatalf("ready with %v", got)
	}
	long := i.stream(t, pinned, "m")

	o.answer(nil, stays.URL)
	eventually(t, "the first is gone", func() bool { return slices.Equal(i.replicas(), []string{stays.URL}) })
	i.chat(t, pinned, "m", true)
	kept, id := stays.connections(), i.ids()[stays.URL]

	var stop atomic.Bool
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for !stop.Load() {
				if r := i.try(t, "POST", i.BaseURL()+"/chat/completions", pinned, question("m", true)); r.err != nil || r.status != 200 || !strings.Contains(r.body, "two") {
					t.Errorf("%d %s %v", r.status, r.body, r.err)
					return
				}
			}
		})
	}
	defer func() { stop.Store(true); clients.Wait() }()
	for range 3 {
		before := comes.asked()
		o.answer(nil, stays.URL, comes.URL)
		eventually(t, "the other is asked", func() bool { return comes.asked() > before+4 || t.Failed() })
		o.answer(nil, stays.URL)
		eventually(t, "the other is gone", func() bool { return len(i.replicas()) == 1 })
	}
	stop.Store(true)
	clients.Wait()
	eventually(t, "the idle connections of the other are closed", func() bool { return comes.connections() == 0 })
	if got := i.ids()[stays.URL]; got != id {
		t.Errorf("who stayed had place %d and has %d", id, got)
	}
	if stays.connections() < kept {
		t.Error("the connections of who stayed were closed")
	}
	if g := i.Status().Generation; g != 1 {
		t.Errorf("generation %d of a configuration that never changed", g)
	}
	goes.release()
	if rest := long.rest(t); !strings.Contains(rest, "two") || !strings.Contains(rest, "[DONE]") {
		t.Errorf("a stream on a replica that went: %q", rest)
	}
	if calls := goes.asked(); calls != 1 {
		t.Errorf("a replica that went was asked %d times", calls)
	}
}

// TestFailedAnswersChangeNothing: the last known replicas stay, and status, metrics and
// log say why.
func TestFailedAnswersChangeNothing(t *testing.T) {
	e := newLab(t, false)
	o := &oracle{found: []discover.Replica{{URL: e.URL}}}
	i := serveFound(t, o, found(""))
	o.answer(fault.Wrap(fault.Connect, "DNS did not answer", errors.New("refused")))
	o.answer(nil)
	o.answer(nil)
	if r := i.chat(t, pinned, "m", false); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
	f := i.Status().Upstreams[0].Finding
	if f == nil || f.By != "dns" || f.Failures != 3 || f.Why != discover.Empty || f.Answered.IsZero() {
		t.Errorf("%+v", f)
	}
	if metric(t, i, "headworks_discovery_failures_total") != 3 || metric(t, i, "headworks_discovery_replicas") != 1 {
		t.Error("the metrics do not tell")
	}
	if n := strings.Count(i.log.String(), "the last known ones stay"); n != 2 {
		t.Errorf("%d lines for two reasons", n)
	}
	o.answer(nil, e.URL)
	if f := i.Status().Upstreams[0].Finding; f.Why != "" || f.Failures != 3 {
		t.Errorf("once answered: %+v", f)
	}

	// A reload asks anew, and keeps what was known until there is an answer.
	o.mu.Lock()
	o.mute = true
	o.mu.Unlock()
	i.write(t, strings.Replace(found(""), "max_replicas: 2", "max_replicas: 3", 1))
	if _, err := i.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	i.refind()
	if got := i.replicas(); !slices.Equal(got, []string{e.URL}) {
		t.Errorf("after a reload, before any answer: %v", got)
	}
}

// TestNothingFoundYet: callers are told the truth, and explain says why.
func TestNothingFoundYet(t *testing.T) {
	e := newLab(t, false)
	o := &oracle{}
	i := serveFound(t, o, found(""))
	r := i.chat(t, pinned, "m", false)
	if r.status != 503 || !strings.Contains(r.body, "no_healthy_upstream") {
		t.Errorf("%d %s", r.status, r.body)
	}
	eventually(t, "it is explained", func() bool {
		return strings.Contains(i.ask(t, "GET", "/api/requests/"+r.id()+"/explanation", "").body, flow.NoneFound)
	})
	o.answer(nil, e.URL, "http://127.0.0.1:91", "http://127.0.0.1:92")
	eventually(t, "there are replicas", func() bool { return len(i.replicas()) == 2 })
	if f := i.Status().Upstreams[0].Finding; f.Left != 1 {
		t.Errorf("%+v", f)
	}
	if r := i.chat(t, pinned, "m", false); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// TestNewcomersBeginSlowly: a replica that comes to others has a tenth of its share at
// first; the first ones of all have theirs.
func TestNewcomersBeginSlowly(t *testing.T) {
	o := &oracle{found: []discover.Replica{{URL: "http://127.0.0.1:1"}}}
	i := serveFound(t, o, found(""))
	o.answer(nil, "http://127.0.0.1:1", "http://127.0.0.1:2")
	eventually(t, "both are there", func() bool { return len(i.replicas()) == 2 })
	ids := i.ids()
	i.gateway.Policy(func(p *flow.Policy) {
		if w := p.Health.Of(ids["http://127.0.0.1:1"], "", time.Now()).Weight; w != 1 {
			t.Errorf("who was there first has %v of its share", w)
		}
		if w := p.Health.Of(ids["http://127.0.0.1:2"], "", time.Now()).Weight; w >= 1 {
			t.Errorf("who came has %v of its share", w)
		}
	})
}

// TestPlacesAreGivenAgain: replicas that come and go take no more places than there
// were at once, an hour apart; one that something runs on keeps its own.
func TestPlacesAreGivenAgain(t *testing.T) {
	r := newFleetRoom(nil)
	busy := fleet.ReplicaID(0)
	r.idle = func(id fleet.ReplicaID) bool { return id != busy }
	urls := []string{}
	r.found = func(string) (all []discover.Replica) {
		for _, u := range urls {
			all = append(all, discover.Replica{URL: u})
		}
		return all
	}
	c, report := config.Parse("test", []byte(found("")), config.System())
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	for n := range 50 {
		urls = []string{fmt.Sprintf("http://10.0.0.%d:1", 2*n), fmt.Sprintf("http://10.0.0.%d:1", 2*n+1)}
		w, take, _, err := r.build(c)
		if err != nil {
			t.Fatal(err)
		}
		take()
		seen := map[fleet.ReplicaID]bool{}
		for _, replica := range w.Fleet.Upstreams[0].Replicas {
			if seen[replica.ID] || n > 0 && replica.ID == busy || int(replica.ID) >= w.Fleet.Replicas {
				t.Fatalf("generation %d: place %d of %d", n, replica.ID, w.Fleet.Replicas)
			}
			seen[replica.ID] = true
		}
		for id, d := range r.gone {
			d.at = d.at.Add(-2 * quarantine)
			r.gone[id] = d
		}
	}
	if len(r.places) > 5 {
		t.Errorf("%d places for two replicas at once", len(r.places))
	}
}

// TestEndpointsOfAService: the replicas of a service come, end, and go, as the API server
// tells; while it is away, those it told of last serve.
func TestEndpointsOfAService(t *testing.T) {
	first, second := newLab(t, true), newLab(t, false)
	cluster := discovertest.NewCluster("llm")
	server := httptest.NewTLSServer(cluster)
	defer server.Close()
	defer cluster.Cut() // before it waits for its watches
	slice := func(e *lab, zone string, conditions discovertest.Object) {
		u, err := url.Parse(e.URL)
		if err != nil {
			t.Fatal(err)
		}
		port, err := strconv.Atoi(u.Port())
		if err != nil {
			t.Fatal(err)
		}
		cluster.Put(discovertest.EndpointSlice("vllm-"+u.Port(), "vllm", "IPv4", discovertest.Ports(map[string]int{"http": port}),
			discovertest.Endpoint(u.Hostname(), zone, "pod-"+u.Port(), conditions)))
	}
	slice(first, "a", discovertest.Ready())
	dir := t.TempDir()
	token, kubeconfig := filepath.Join(dir, "token"), filepath.Join(dir, "kubeconfig")
	for path, text := range map[string]string{token: "let me in", kubeconfig: discovertest.Kubeconfig(server, "llm", token)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	source := strings.Replace(file(""), "urls: [],", fmt.Sprintf("discover: {kubernetes: {service: vllm, port: http, kubeconfig: %q}},", kubeconfig), 1)
	i := serveFinding(t, nil, source)
	if got := i.replicas(); !slices.Equal(got, []string{first.URL}) {
		t.Fatalf("ready with %v", got)
	}
	long := i.stream(t, pinned, "m")

	slice(second, "b", discovertest.Ready())
	eventually(t, "the second is found", func() bool { return len(i.replicas()) == 2 })
	for _, u := range i.Status().Upstreams {
		if u.Finding == nil || u.Finding.By != "kubernetes" || u.Finding.Answered.IsZero() {
			t.Errorf("%+v", u.Finding)
		}
		for _, r := range u.Replicas {
			if r.Found.IsZero() || r.Zone != map[string]string{first.URL: "a", second.URL: "b"}[r.URL] {
				t.Errorf("%+v", r)
			}
		}
	}

	slice(first, "a", discovertest.Ending())
	eventually(t, "the first ends", func() bool { return slices.Equal(i.replicas(), []string{second.URL}) })
	for range 5 {
		if r := i.chat(t, pinned, "m", true); r.status != 200 {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	first.release()
	if rest := long.rest(t); !strings.Contains(rest, "two") || !strings.Contains(rest, "[DONE]") {
		t.Errorf("a stream on a replica that ends: %q", rest)
	}
	if n := first.asked(); n != 1 {
		t.Errorf("a replica that ends was asked %d times", n)
	}

	cluster.Forbid()
	eventually(t, "it is known that the API server does not tell", func() bool {
		return strings.Contains(i.Status().Upstreams[0].Finding.Why, "bind a role")
	})
	if r := i.chat(t, pinned, "m", false); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
	cluster.Mend()
	slice(first, "a", discovertest.Ready())
	eventually(t, "it tells again", func() bool { return len(i.replicas()) == 2 })
	if f := i.Status().Upstreams[0].Finding; f.Why != "" || !strings.Contains(f.Failure, "bind a role") || f.Failed.IsZero() {
		t.Errorf("once it is over: %+v", f)
	}
}

// TestFoundReplicasAreAssumed: what serves nobody assumes the replicas that would be
// found, as many as the file says.
func TestFoundReplicasAreAssumed(t *testing.T) {
	c, report := config.Parse("test", []byte(`
upstreams:
  one: {kind: vllm, discover: {kubernetes: {service: vllm}}}
  four: {kind: vllm, discover: {dns: "vllm.example.com:8000"}, engine: {profile: qwen3-32b-2xh100, replicas: 4}}
models:
  m: {targets: [{upstream: one, model: m}, {upstream: four, model: m}]}
`), config.System())
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	w, _, drop, err := assumedRoom(c).build(c)
	if err != nil {
		t.Fatal(err)
	}
	drop()
	for _, u := range w.Fleet.Upstreams {
		if want := map[string]int{"one": 1, "four": 4}[u.Name]; len(u.Replicas) != want {
			t.Errorf("%s: %d replicas", u.Name, len(u.Replicas))
		}
	}
}
