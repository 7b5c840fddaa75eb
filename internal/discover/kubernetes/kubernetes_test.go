package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"headworks/internal/discover"
	"headworks/internal/discover/discovertest"
	"headworks/internal/fault"
)

type object = discovertest.Object

// pipes is a listener whose connections are pipes, so that time can be made to pass.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func listen() *pipes { return &pipes{accept: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 6443} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.accept <- far:
		return near, nil
	case <-p.closed:
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve lets a double answer until the test's bubble ends, and returns the finder of
// its service.
func serve(t *testing.T, c *discovertest.Cluster, o Options) *Finder {
	l := listen()
	server := &http.Server{Handler: c}
	go func() { _ = server.Serve(l) }() // until it is closed
	t.Cleanup(func() { _ = server.Close() })
	if o.Service == "" {
		o.Service = "vllm"
	}
	if o.Form.Scheme == "" {
		o.Form.Scheme = "http"
	}
	f := New(o)
	f.connect = func() (*rest.Config, string, error) {
		return &rest.Config{Host: "http://kubernetes.default.svc", Dial: l.dial, BearerToken: "let me in"}, c.Namespace, nil
	}
	return f
}

// inSlices spreads replicas over slices of so many endpoints.
func inSlices(t *testing.T, most int, replicas []discover.Replica) (all []object) {
	var endpoints []any
	for i, r := range replicas {
		u, err := url.Parse(r.URL)
		if err != nil {
			t.Fatal(err)
		}
		endpoints = append(endpoints, discovertest.Endpoint(u.Hostname(), "", "pod-"+u.Hostname(), discovertest.Ready()))
		if len(endpoints) == most || i == len(replicas)-1 {
			all = append(all, discovertest.EndpointSlice(fmt.Sprint("vllm-", len(all)), "vllm", "IPv4", discovertest.Ports(map[string]int{"http": 8000}), endpoints...))
			endpoints = nil
		}
	}
	return all
}

func TestConformance(t *testing.T) {
	for _, most := range []int{1, 100} {
		t.Run(fmt.Sprint(most, " endpoints a slice"), func(t *testing.T) {
			discovertest.Run(t, func(t *testing.T) discovertest.Source {
				c := discovertest.NewCluster("llm")
				c.Put(discovertest.EndpointSlice("other", "other", "IPv4", discovertest.Ports(map[string]int{"http": 1}), discovertest.Endpoint("10.9.9.9", "", "", discovertest.Ready())))
				return discovertest.Source{
					Finder: serve(t, c, Options{Port: "http"}),
					Set:    func(replicas []discover.Replica) { c.Replace(inSlices(t, most, replicas)...) },
					Break:  c.Break, Mend: c.Mend, Within: time.Second,
				}
			})
		})
	}
}

// told is what a finder tells.
type told struct {
	mu     sync.Mutex
	times  int
	failed int
	found  []discover.Replica
	err    error
}

func (w *told) tell(found []discover.Replica, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.times++
	if err != nil {
		w.failed++
	}
	w.found, w.err = found, err
}

// last returns what was told last, and how often anything was.
func (w *told) last() (found []discover.Replica, times int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.found, w.times, w.err
}

func (w *told) want(t *testing.T, when string, urls ...string) {
	t.Helper()
	time.Sleep(2 * gather)
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	got := []string{}
	for _, r := range w.found {
		got = append(got, strings.TrimPrefix(r.URL, "http://"))
	}
	slices.Sort(got)
	if w.err != nil || !slices.Equal(got, urls) {
		t.Errorf("%s: got %v, %v, want %v", when, got, w.err, urls)
	}
}

// watching runs a finder over a cluster in a bubble.
func watching(t *testing.T, o Options, f func(t *testing.T, c *discovertest.Cluster, w *told)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := discovertest.NewCluster("llm")
		finder := serve(t, c, o)
		w := &told{}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); finder.Watch(ctx, w.tell) }()
		synctest.Wait()
		f(t, c, w)
		stop()
		synctest.Wait()
		<-done
	})
}

func one(name, address string, conditions object) object {
	return discovertest.EndpointSlice(name, "vllm", "IPv4", discovertest.Ports(map[string]int{"http": 8000}), discovertest.Endpoint(address, "", "pod-"+address, conditions))
}

// TestWatch: a list begins, a watch goes on from its version, and whatever ends the
// watch, nothing is missed and nothing listed again without need.
func TestWatch(t *testing.T) {
	watching(t, Options{}, func(t *testing.T, c *discovertest.Cluster, w *told) {
		c.Put(one("a", "10.0.0.1", discovertest.Ready()))
		w.want(t, "at first", "10.0.0.1:8000")
		c.Put(one("b", "10.0.0.2", discovertest.Ready()))
		w.want(t, "with another slice", "10.0.0.1:8000", "10.0.0.2:8000")
		if c.Asked("list") != 1 || c.Asked("watch") != 1 {
			t.Errorf("a change cost more than one list and one watch: %v", c.Seen())
		}

		c.Cut()
		c.Put(one("c", "10.0.0.3", discovertest.Ready()))
		time.Sleep(5 * time.Second)
		w.want(t, "after a cut", "10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000")
		if c.Asked("list") != 1 {
			t.Errorf("a cut watch was no reason to list: %v", c.Seen())
		}

		// Bookmarks carry the version on, so that an old one is not gone.
		c.Put(discovertest.EndpointSlice("other", "other", "IPv4", nil))
		time.Sleep(2 * time.Minute)
		c.Forget()
		time.Sleep(2 * time.Minute)
		c.Cut()
		time.Sleep(10 * time.Second)
		c.Delete("a")
		w.want(t, "after a bookmark", "10.0.0.2:8000", "10.0.0.3:8000")
		if c.Asked("list") != 1 {
			t.Errorf("a version that a bookmark gave was no reason to list: %v", c.Seen())
		}

		// Without one, it is, and the list tells what the watch would have.
		c.Cut()
		c.Delete("b")
		c.Forget()
		time.Sleep(time.Minute)
		w.want(t, "after 410 Gone", "10.0.0.3:8000")
		if c.Asked("list") != 2 {
			t.Errorf("410 Gone costs one list: %v", c.Seen())
		}

		// The server ends each watch after a while.
		time.Sleep(24 * time.Hour)
		c.Put(one("d", "10.0.0.4", discovertest.Ready()))
		w.want(t, "a day later", "10.0.0.3:8000", "10.0.0.4:8000")
		if c.Asked("list") != 2 {
			t.Errorf("a day of watches needs no list: %v", c.Seen())
		}
	})
}

// TestRestored: a cluster that came back from a backup has versions below those that are
// known; it is listed anew, and that is no failure.
func TestRestored(t *testing.T) {
	watching(t, Options{}, func(t *testing.T, c *discovertest.Cluster, w *told) {
		c.Put(one("a", "10.0.0.1", discovertest.Ready()))
		c.Put(one("b", "10.0.0.2", discovertest.Ready()))
		w.want(t, "before", "10.0.0.1:8000", "10.0.0.2:8000")
		c.Restore(one("b", "10.0.0.3", discovertest.Ready()))
		time.Sleep(time.Minute)
		w.want(t, "after", "10.0.0.3:8000")
		c.Put(one("c", "10.0.0.4", discovertest.Ready()))
		w.want(t, "and then", "10.0.0.3:8000", "10.0.0.4:8000")
		if w.failed > 0 {
			t.Errorf("%d failures were told", w.failed)
		}
	})
}

// TestPages: many slices come in pages.
func TestPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := discovertest.NewCluster("llm")
		for i := range 700 {
			c.Put(one(fmt.Sprintf("s-%03d", i), fmt.Sprintf("10.0.%d.%d", i/200, i%200+1), discovertest.Ready()))
		}
		w := &told{}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		finder := serve(t, c, Options{})
		go func() { defer close(done); finder.Watch(ctx, w.tell) }()
		time.Sleep(time.Minute)
		if found, _, _ := w.last(); len(found) != 700 || c.Asked("list") != 2 {
			t.Errorf("%d of 700 replicas by %v", len(found), c.Seen())
		}
		stop()
		<-done
	})
}

// TestConditions: what is ready and does not end gets requests; where there is none,
// what serves while it ends.
func TestConditions(t *testing.T) {
	watching(t, Options{}, func(t *testing.T, c *discovertest.Cluster, w *told) {
		c.Put(one("a", "10.0.0.1", discovertest.Ready()))
		c.Put(one("b", "10.0.0.2", discovertest.Unready()))
		c.Put(one("c", "10.0.0.3", object{})) // nobody says: it is
		c.Put(one("d", "10.0.0.4", object{"ready": true, "serving": true, "terminating": true}))
		c.Put(one("e", "10.0.0.5", object{"ready": true, "serving": false}))
		w.want(t, "of all kinds", "10.0.0.1:8000", "10.0.0.3:8000")
		c.Put(one("a", "10.0.0.1", discovertest.Ending()))
		w.want(t, "one ends", "10.0.0.3:8000")
		c.Delete("c")
		w.want(t, "all end", "10.0.0.1:8000", "10.0.0.4:8000")
		c.Put(one("b", "10.0.0.2", discovertest.Ready()))
		w.want(t, "another is ready", "10.0.0.2:8000")
	})
}

// TestSlices: endpoints of several slices, both families, named hosts and zones.
func TestSlices(t *testing.T) {
	ports := discovertest.Ports(map[string]int{"http": 8000, "metrics": 9000})
	ready := discovertest.Ready()
	all := []object{
		discovertest.EndpointSlice("v4", "vllm", "IPv4", ports,
			discovertest.Endpoint("10.0.0.1", "eu-1a", "p1", ready), discovertest.Endpoint("10.0.0.2", "eu-1b", "p2", ready)),
		discovertest.EndpointSlice("v6", "vllm", "IPv6", ports,
			discovertest.Endpoint("2001:db8::1", "eu-1a", "p1", ready), discovertest.Endpoint("2001:db8::3", "", "p3", ready),
			discovertest.Endpoint("2001:db8::4", "no zone!", "", ready)),
		discovertest.EndpointSlice("names", "vllm", "FQDN", ports, discovertest.Endpoint("GPU.example.com", "", "", ready)),
		discovertest.EndpointSlice("twice", "vllm", "IPv4", ports, discovertest.Endpoint("10.0.0.2", "eu-1b", "p2", ready)),
	}
	in := "vllm.llm.svc"
	want := []discover.Replica{
		{URL: "https://10.0.0.1:8000/v1", Name: in, Zone: "eu-1a"},
		{URL: "https://10.0.0.2:8000/v1", Name: in, Zone: "eu-1b"},
		{URL: "https://[2001:db8::3]:8000/v1", Name: in},
		{URL: "https://[2001:db8::4]:8000/v1", Name: in},
		{URL: "https://gpu.example.com:8000/v1"},
	}
	watching(t, Options{Port: "http", Form: discover.Form{Scheme: "https", Path: "/v1"}}, func(t *testing.T, c *discovertest.Cluster, w *told) {
		c.Replace(all...)
		time.Sleep(time.Second)
		synctest.Wait()
		var known discover.Known
		found, _, err := w.last()
		known.Learn(found, err, 10, time.Now())
		if diff := cmp.Diff(want, known.Replicas); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestPorts: which port is meant, or what is wrong with the question.
func TestPorts(t *testing.T) {
	number := func(n int) []any { return []any{object{"port": n}} }
	both := discovertest.Ports(map[string]int{"http": 8000, "metrics": 9000})
	for _, tt := range []struct {
		name  string
		ports []any
		want  string
		url   string
		words string
	}{
		{"the only one", number(8000), "", ":8000", ""},
		{"by name", both, "http", ":8000", ""},
		{"by number", both, "9000", ":9000", ""},
		{"several", both, "", "", "the endpoints of service vllm have several ports; say which one with port"},
		{"no such name", both, "grpc", "", "the endpoints of service vllm have no TCP port grpc"},
		{"no such number", both, "7000", "", "the endpoints of service vllm have no TCP port 7000"},
		{"none at all", nil, "", "", "the endpoints of service vllm have no TCP port; say which one they listen on with port"},
		{"a number where none is said", nil, "8000", ":8000", ""},
		{"a number where all are", []any{object{"protocol": "TCP"}}, "8000", ":8000", ""},
		{"only TCP", []any{object{"port": 53, "protocol": "UDP"}, object{"port": 8000, "protocol": "TCP"}}, "", ":8000", ""},
		{"only UDP", []any{object{"port": 53, "protocol": "UDP"}}, "53", "", "the endpoints of service vllm have no TCP port 53"},
	} {
		s := read(&unstructured.Unstructured{Object: round(t, discovertest.EndpointSlice("a", "vllm", "IPv4", tt.ports, discovertest.Endpoint("10.0.0.1", "", "", discovertest.Ready())))})
		got, err := replicas(map[string]*slice{"a": s}, &Options{Service: "vllm", Port: tt.want, Form: discover.Form{Scheme: "http"}}, "vllm.llm.svc")
		if tt.words != "" {
			if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Connect || f.Words != tt.words {
				t.Errorf("%s: %v, %v", tt.name, got, err)
			}
			continue
		}
		if err != nil || len(got) != 1 || got[0].URL != "http://10.0.0.1"+tt.url {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
}

// round returns an object as it comes from the wire.
func round(t *testing.T, o object) object {
	t.Helper()
	var u unstructured.Unstructured
	o["kind"], o["apiVersion"] = "EndpointSlice", "discovery.k8s.io/v1"
	b, err := json.Marshal(o)
	if err == nil {
		err = u.UnmarshalJSON(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return u.Object
}

// TestFailures says what an operator can do, and that it is over once it is.
func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		name  string
		wrong func(*discovertest.Cluster)
		words string
	}{
		{"hangs up", (*discovertest.Cluster).Break, "did not answer"},
		{"no rights", (*discovertest.Cluster).Forbid, "bind a role"},
		{"no such token", func(c *discovertest.Cluster) { c.Refuse("let me in") }, "does not know this caller"},
	} {
		watching(t, Options{}, func(t *testing.T, c *discovertest.Cluster, w *told) {
			c.Put(one("a", "10.0.0.1", discovertest.Ready()))
			w.want(t, tt.name, "10.0.0.1:8000")
			tt.wrong(c)
			c.Cut()
			time.Sleep(time.Minute)
			_, _, err := w.last()
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || f.Kind != fault.Connect || !strings.Contains(f.Words, tt.words) {
				t.Errorf("%s: %v", tt.name, err)
			}
			if n := len(c.Seen()); n > 100 {
				t.Errorf("%s: asked %d times in a minute", tt.name, n)
			}
			c.Mend()
			time.Sleep(time.Minute)
			w.want(t, tt.name+", over", "10.0.0.1:8000")
		})
	}
}

// TestHeardOf: as long as the API server is heard of, that is told, changed or not.
func TestHeardOf(t *testing.T) {
	watching(t, Options{}, func(t *testing.T, c *discovertest.Cluster, w *told) {
		c.Put(one("a", "10.0.0.1", discovertest.Ready()))
		w.want(t, "at first", "10.0.0.1:8000")
		_, before, _ := w.last()
		time.Sleep(10 * time.Minute)
		if _, after, _ := w.last(); after-before < 5 || after-before > 15 {
			t.Errorf("told %d times in ten quiet minutes", after-before)
		}
	})
}

// TestOneAnswerForARollout: slices that change together are told together.
func TestOneAnswerForARollout(t *testing.T) {
	watching(t, Options{}, func(t *testing.T, c *discovertest.Cluster, w *told) {
		c.Put(one("a", "10.0.0.1", discovertest.Ready()))
		w.want(t, "at first", "10.0.0.1:8000")
		_, before, _ := w.last()
		for i := range 50 {
			c.Put(one(fmt.Sprint("b-", i), fmt.Sprint("10.0.1.", i+1), discovertest.Ready()))
		}
		time.Sleep(time.Second)
		if _, after, _ := w.last(); after-before > 3 {
			t.Errorf("told %d times", after-before)
		}
	})
}

// TestAccount: a kubeconfig says where and who; its token is read again as it changes,
// as that of a pod's service account does.
func TestAccount(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	synctest.Test(t, func(t *testing.T) {
		c := discovertest.NewCluster("llm")
		c.Accept("first")
		c.Put(one("a", "10.0.0.1", discovertest.Ready()))
		l := listen()
		server := httptest.NewUnstartedServer(c)
		server.Listener.Close()
		server.Listener, server.EnableHTTP2 = l, true
		server.StartTLS()
		t.Cleanup(server.Close)
		o := Options{Service: "vllm", Form: discover.Form{Scheme: "http"}, Kubeconfig: write("config", discovertest.Kubeconfig(server, "llm", write("token", "first")))}
		f := New(o)
		f.connect = func() (*rest.Config, string, error) {
			c, namespace, err := o.account()
			if c != nil {
				c.Dial = l.dial
			}
			return c, namespace, err
		}
		w := &told{}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); f.Watch(ctx, w.tell) }()
		w.want(t, "with the first token", "10.0.0.1:8000")
		if found, _, _ := w.last(); len(found) == 0 || found[0].Name != "vllm.llm.svc" {
			t.Errorf("of the namespace of the context: %+v", found)
		}

		write("token", "second")
		c.Accept("second")
		c.Cut()
		c.Put(one("b", "10.0.0.2", discovertest.Ready()))
		time.Sleep(3 * time.Minute)
		w.want(t, "with the second token", "10.0.0.1:8000", "10.0.0.2:8000")

		write("token", "third") // the cluster does not know it
		c.Accept("fourth")
		c.Cut()
		time.Sleep(3 * time.Minute)
		if _, _, err := w.last(); err == nil || !strings.Contains(err.Error(), "does not know this caller") {
			t.Errorf("with a token of nobody: %v", err)
		}
		stop()
		<-done
	})
}

// TestNoAccount: outside of a pod, or with a kubeconfig that is none, it says so, and
// looks again.
func TestNoAccount(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	broken := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(broken, []byte("clusters: 7"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ file, words string }{
		{"", "no pod"},
		{filepath.Join(t.TempDir(), "none"), "the kubeconfig cannot be read"},
		{broken, "the kubeconfig cannot be read"},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			times := 0
			New(Options{Service: "vllm", Kubeconfig: tt.file}).Watch(ctx, func(found []discover.Replica, err error) {
				f, ok := errors.AsType[*fault.Error](err)
				if !ok || f.Kind != fault.Connect || !strings.Contains(f.Words, tt.words) {
					t.Errorf("%q: %v", tt.file, err)
				}
				if times++; times == 3 {
					stop()
				}
			})
		})
	}
}

// FuzzRead: whatever the API server calls a slice, what is made of it is a replica that
// can be asked or is left out.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"],"conditions":{"ready":true},"zone":"a"}],"ports":[{"name":"http","port":8000}]}`,
		`{"addressType":"IPv6","endpoints":[{"addresses":["::1%25"],"targetRef":{"uid":"x"}}],"ports":[{}]}`,
		`{"endpoints":{},"ports":[{"port":-1}]}`, `{"endpoints":[null],"ports":[null]}`,
	} {
		f.Add(seed, "8000")
	}
	f.Fuzz(func(t *testing.T, text, port string) {
		var o map[string]any
		if json.Unmarshal([]byte(text), &o) != nil {
			return
		}
		s := read(&unstructured.Unstructured{Object: o})
		found, _ := replicas(map[string]*slice{"a": s}, &Options{Service: "s", Port: port, Form: discover.Form{Scheme: "http"}}, "s.n.svc")
		var known discover.Known
		known.Learn(found, nil, 10, time.Time{})
		for _, r := range known.Replicas {
			u, err := url.Parse(r.URL)
			if err != nil || u.Hostname() == "" {
				t.Fatalf("%q", r.URL)
			}
			if n, err := strconv.Atoi(u.Port()); err != nil || n == 0 {
				t.Fatalf("%q", r.URL)
			}
		}
	})
}
