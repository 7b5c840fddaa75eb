package scrape

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab is a machine with engines, and a scraper that asks them.
type lab struct {
	*Scraper
	policy *flow.Policy
	log    bytes.Buffer

	mu    sync.Mutex
	asked []string
	times []time.Time
	page  func(r *http.Request) (int, string)
	down  bool
}

// newLab returns one in a bubble of time, whose pages are what page says.
func newLab(t *testing.T, page func(r *http.Request) (int, string)) *lab {
	l := &lab{policy: flow.NewPolicy(admit.Limits{}), page: page}
	var lock sync.Mutex
	l.Scraper = New(func(f func(*flow.Policy)) {
		lock.Lock()
		defer lock.Unlock()
		f(l.policy)
	}, slog.New(slog.NewTextHandler(&l.log, nil)))
	ln := &pipes{ctx: t.Context(), conns: make(chan net.Conn)}
	l.dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		l.mu.Lock()
		down := l.down
		l.mu.Unlock()
		if down {
			return nil, fault.Wrap(fault.Connect, "the upstream cannot be reached", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
		}
		near, far := net.Pipe()
		select {
		case ln.conns <- far:
			return near, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	server := &http.Server{Handler: l, ReadHeaderTimeout: time.Hour}
	go func() { _ = server.Serve(ln) }()
	running, stop := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { l.Run(running) })
	t.Cleanup(func() {
		stop()
		done.Wait()
		server.Close()
		time.Sleep(time.Second) // handlers that take their time end
		synctest.Wait()
	})
	return l
}

// ServeHTTP implements http.Handler.
func (l *lab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	l.asked = append(l.asked, r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("Authorization"))
	l.times = append(l.times, time.Now())
	page := l.page
	l.mu.Unlock()
	status, body := page(r)
	if status == 0 {
		<-r.Context().Done() // hangs
		return
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// count returns how often it was asked until now, and begins anew.
func (l *lab) count() (n int, asked []string) {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	asked, l.asked, l.times = l.asked, nil, nil
	return len(asked), asked
}

func (l *lab) set(page func(r *http.Request) (int, string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.page = page
}

func (l *lab) use(t *testing.T, engines ...Engine) {
	t.Helper()
	if err := l.Use(engines, nil); err != nil {
		t.Fatal(err)
	}
}

// pipes is a listener whose connections are in memory.
type pipes struct {
	ctx   context.Context
	conns chan net.Conn
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ctx.Done():
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func vllm(running, waiting int, kv float64, tokens int) string {
	return fmt.Sprintf("vllm:num_requests_running %d\nvllm:num_requests_waiting %d\nvllm:kv_cache_usage_perc %g\nvllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"100\"} 1\nvllm:prompt_tokens_total %d\n", running, waiting, kv, tokens)
}

func always(status int, body string) func(*http.Request) (int, string) {
	return func(*http.Request) (int, string) { return status, body }
}

var engine = Engine{Replica: 0, Upstream: "lab", Name: "r0", URL: "http://h:8000/metrics", Own: true, Header: [][2]string{{"Authorization", "Bearer k"}}}

// TestRates: how often is asked follows the load.
func TestRates(t *testing.T) {
	for _, tt := range []struct {
		name string
		page string
		want int // in 10 s
	}{
		{"idle", vllm(0, 0, 0, 1), 10},
		{"loaded", vllm(3, 0, 0.5, 1), 40},
		{"saturated", vllm(3, 1, 0.5, 1), 100},
		{"full", vllm(3, 0, 0.95, 1), 100},
		{"no engine", "up 1\n", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, always(200, tt.page))
				l.use(t, engine)
				time.Sleep(10*time.Second - time.Millisecond)
				n, asked := l.count()
				if n != tt.want {
					t.Errorf("asked %d times, want %d", n, tt.want)
				}
				if asked[0] != "GET /metrics Bearer k" {
					t.Errorf("asked %s", asked[0])
				}
			})
		})
	}
}

// TestNoPage: an engine that has no page for a moment is asked again soon, and one that
// never has one seldom.
func TestNoPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, always(200, vllm(0, 0, 0, 1)))
		l.use(t, engine)
		for range 3 { // what was before is forgotten
			time.Sleep(10 * time.Second)
			l.set(always(404, ""))
			time.Sleep(1500 * time.Millisecond)
			l.set(always(200, vllm(2, 0, 0.1, 1)))
			l.count()
			time.Sleep(3 * time.Second)
			if n, _ := l.count(); n == 0 {
				t.Fatal("not asked within 3 s after it had no page once")
			}
		}
		l.set(always(404, ""))
		time.Sleep(2 * time.Minute)
		l.count()
		time.Sleep(10 * time.Minute)
		if n, _ := l.count(); n < 9 || n > 11 {
			t.Errorf("one without a page is asked %d times in ten minutes", n)
		}
	})
}

// TestEase: an engine whose answers take long is asked less often, and as often as an
// idle one at least.
func TestEase(t *testing.T) {
	for took, want := range map[time.Duration]int{5 * time.Millisecond: 96, 40 * time.Millisecond: 23, 300 * time.Millisecond: 8} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, func(*http.Request) (int, string) {
				time.Sleep(took)
				return 200, vllm(3, 1, 0.5, 1)
			})
			l.use(t, engine)
			time.Sleep(10*time.Second - time.Millisecond)
			if n, _ := l.count(); n != want {
				t.Errorf("answers that take %v: asked %d times, want %d", took, n, want)
			}
		})
	}
}

// TestSeen: what an engine says reaches the policy and the view, and one that says
// nothing any more is no obstacle.
func TestSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, always(200, vllm(3, 1, 0.5, 1)))
		l.use(t, engine)
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		v, ok := l.State(0)
		if !ok || v.Report.Running != 3 || v.Report.Waiting != 1 || v.Report.KVTokens != 1600 || v.Trouble != "" {
			t.Errorf("%+v", v)
		}
		l.set(always(0, ""))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if v, _ := l.State(0); !strings.Contains(v.Trouble, "no answer within 2s") || v.Report.Running != 3 {
			t.Errorf("%+v", v)
		}
		l.count()
		time.Sleep(time.Minute)
		if n, _ := l.count(); n < 6 || n > 10 {
			t.Errorf("one that hangs is asked %d times a minute", n)
		}
		l.set(always(200, vllm(0, 0, 0, 2)))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if v, _ := l.State(0); v.Trouble != "" || v.Report.Running != 0 {
			t.Errorf("%+v", v)
		}
		if n := strings.Count(l.log.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings:\n%s", n, l.log.String())
		}
		var good, bad uint64
		l.Asked(func(_ string, n Tally) { good, bad = n.Good, n.Bad })
		if good == 0 || bad == 0 {
			t.Error(good, bad)
		}
		l.use(t)
		if _, ok := l.State(0); ok {
			t.Error("nobody asks any more, and there is a view")
		}
		l.count()
		time.Sleep(10 * time.Second)
		if n, _ := l.count(); n > 0 {
			t.Errorf("asked %d times still", n)
		}
	})
}

// TestLoud: what is wrong is said once, with what to do.
func TestLoud(t *testing.T) {
	for words, page := range map[string]func(*http.Request) (int, string){
		"start it with --metrics":             always(501, ""),
		"does not open it":                    always(401, ""),
		"no name of an engine":                always(200, "<html>"),
		"does not tell how many requests run": always(200, "vllm:num_requests_waiting 1\n"),
		"status 500":                          always(500, "canary of the engine's own"),
	} {
		t.Run(words, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, page)
				e := engine
				e.Hint = "start it with --metrics"
				l.use(t, e)
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				if n := strings.Count(l.log.String(), words); n != 1 {
					t.Errorf("%q is said %d times:\n%s", words, n, l.log.String())
				}
				if strings.Contains(l.log.String(), "canary") {
					t.Error("the log quotes an engine")
				}
			})
		})
	}
}

// warm lets the policy believe that replica 0 holds a prompt, and returns how many
// blocks it is thought to.
func (l *lab) warm(t *testing.T) func() int {
	t.Helper()
	u := &fleet.Upstream{Name: "lab", Replicas: []fleet.Replica{{ID: 0}, {ID: 1}}}
	l.Scraper.policy(func(p *flow.Policy) { p.Learn(u, []flow.Hold{{Replica: 0, Key: 7}, {Replica: 0, Key: 8}}) })
	return func() (n int) {
		synctest.Wait()
		l.Scraper.policy(func(p *flow.Policy) { n, _ = p.Prefixes("lab") })
		return n
	}
}

// TestRestart: an engine that began anew, or is gone, holds nothing.
func TestRestart(t *testing.T) {
	for name, after := range map[string]func(l *lab){
		"a counter back": func(l *lab) { l.set(always(200, vllm(0, 0, 0, 3))) },
		"refused": func(l *lab) {
			l.set(func(r *http.Request) (int, string) { return 500, "" })
			l.mu.Lock()
			l.down = true
			l.mu.Unlock()
			l.known[engine.key()].link.pool.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, always(200, vllm(0, 0, 0, 50)))
				blocks := l.warm(t)
				l.use(t, engine)
				time.Sleep(3 * time.Second)
				if n := blocks(); n == 0 {
					t.Fatal("forgotten for nothing")
				}
				after(l)
				time.Sleep(3 * time.Second)
				if n := blocks(); n != 0 {
					t.Errorf("%d blocks are still thought to be there", n)
				}
				l.Asked(func(_ string, n Tally) {
					if n.Restarts != 1 {
						t.Errorf("%d restarts are counted", n.Restarts)
					}
				})
			})
		})
	}
}

// TestConnections: who is asked again and again keeps one connection; llama.cpp has few
// threads, each of which a connection holds, and keeps none.
func TestConnections(t *testing.T) {
	for speech, want := range map[Speech]int{Prometheus: 1, LlamaCpp: 0} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, always(200, "llamacpp:requests_processing 1\nllamacpp:requests_deferred 0\n"))
			e := engine
			e.Speech = speech
			l.use(t, e)
			time.Sleep(10*time.Second + 100*time.Millisecond)
			synctest.Wait()
			if n := l.known[e.key()].link.pool.Open(); n != want {
				t.Errorf("speech %d: %d connections, want %d", speech, n, want)
			}
			if n, _ := l.count(); n < 10 {
				t.Errorf("speech %d: asked %d times", speech, n)
			}
		})
	}
}

// TestRouter: llama.cpp's router answers for one model at a time, and is asked only
// while requests of ours are there, since to be asked keeps its models awake.
func TestRouter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, func(r *http.Request) (int, string) {
			switch r.URL.Query().Get("model") {
			case "":
				return 400, ""
			case "a b":
				return 200, "llamacpp:requests_processing 1\nllamacpp:requests_deferred 2\n"
			case "c":
				return 200, "llamacpp:requests_processing 3\nllamacpp:requests_deferred 0\n"
			}
			return 404, ""
		})
		e := engine
		e.Speech, e.Models = LlamaCpp, []string{"a b", "c", "unloaded"}
		l.use(t, e)
		time.Sleep(10 * time.Second)
		n, asked := l.count()
		if n != 4 || !strings.HasPrefix(asked[1], "GET /metrics?model=a+b&autoload=false") {
			t.Errorf("asked %q", asked)
		}
		if v, _ := l.State(0); v.Report.Running != 4 || v.Report.Waiting != 2 {
			t.Errorf("%+v", v)
		}
		l.Scraper.policy(func(p *flow.Policy) {
			p.Hear(1, []flow.InFlight{{Replica: 0, Load: flow.Load{Requests: 1}}}, nil, time.Now())
		})
		time.Sleep(time.Second)
		if n, _ := l.count(); n < 3 {
			t.Errorf("asked %d times while it works", n)
		}
	})
}

// TestOwnIsNotForeign: requests of ours that come or go while the engine answers are not
// taken for those of others.
func TestOwnIsNotForeign(t *testing.T) {
	for name, tt := range map[string]struct {
		before, after, says, want int
	}{
		"none of ours":        {0, 0, 5, 5},
		"all are ours":        {5, 5, 5, 0},
		"ours came meanwhile": {1, 5, 5, 0},
		"ours went meanwhile": {5, 1, 5, 0},
		"others beside ours":  {2, 3, 7, 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var l *lab
				have := func(n int) {
					l.Scraper.policy(func(p *flow.Policy) {
						p.Hear(1, []flow.InFlight{{Replica: 0, Load: flow.Load{Requests: n}}}, nil, time.Now())
					})
				}
				l = newLab(t, func(*http.Request) (int, string) {
					have(tt.after)
					return 200, vllm(tt.says, 0, 0.5, 1)
				})
				have(tt.before)
				l.use(t, engine)
				time.Sleep(50 * time.Millisecond)
				synctest.Wait()
				l.Scraper.policy(func(p *flow.Policy) {
					if n := p.Foreign(0, time.Now()).Requests; n != tt.want {
						t.Errorf("%d requests of others, want %d", n, tt.want)
					}
				})
			})
		})
	}
}

// TestOllama: its models come and go, and what was known of the cache goes with them.
func TestOllama(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, always(200, `{"models":[{"name":"qwen3:8b","digest":"a","size_vram":5}]}`))
		blocks := l.warm(t)
		e := engine
		e.Speech = Ollama
		l.use(t, e)
		time.Sleep(time.Second)
		synctest.Wait()
		if v, _ := l.State(0); len(v.Report.Loaded) != 1 || v.Report.Loaded[0].Name != "qwen3:8b" || v.Trouble != "" || blocks() == 0 {
			t.Errorf("%+v", v)
		}
		l.set(always(200, `{"models":[]}`))
		time.Sleep(2 * time.Second)
		if n := blocks(); n != 0 {
			t.Errorf("%d blocks of a model that is not loaded", n)
		}
		l.Asked(func(_ string, n Tally) {
			if n.Restarts != 0 {
				t.Errorf("%d restarts of one that goes on", n.Restarts)
			}
		})
	})
}

// TestErrorsOfManyGPUs: a pool spares one of three at a time, so errors that come while
// one is out wait until there is room, over a reload, and none is forgotten.
func TestErrorsOfManyGPUs(t *testing.T) {
	page := func(xids ...int) func(*http.Request) (int, string) {
		var b strings.Builder
		for i, xid := range xids {
			fmt.Fprintf(&b, "DCGM_FI_DEV_XID_ERRORS{gpu=\"%d\"} %d\nDCGM_FI_DEV_SM_CLOCK{gpu=\"%d\"} 1980\n", i, xid, i)
		}
		return always(200, b.String())
	}
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, page(0, 0, 0))
		pool := []fleet.Replica{{ID: 0}, {ID: 1}, {ID: 2}}
		use := func(name string) {
			var runs []Run
			for i := range pool {
				runs = append(runs, Run{Replica: pool[i].ID, Upstream: "lab", Name: name + strconv.Itoa(i), Pool: pool, GPUs: []int{i}})
			}
			if err := l.Use(nil, []Exporter{{URL: "http://h:9400/metrics", Runs: runs}}); err != nil {
				t.Fatal(err)
			}
		}
		out := func() (ids []fleet.ReplicaID) {
			synctest.Wait()
			l.Scraper.policy(func(p *flow.Policy) {
				for i := range pool {
					if !p.Health.Of(pool[i].ID, "", time.Now()).In() {
						ids = append(ids, pool[i].ID)
					}
				}
			})
			return ids
		}
		use("r")
		time.Sleep(hardware + time.Second)
		l.set(page(0, 79, 0))
		time.Sleep(hardware)
		l.set(page(31, 79, 48))
		time.Sleep(hardware)
		if got := out(); !slices.Equal(got, []fleet.ReplicaID{1}) {
			t.Fatalf("out: %v", got)
		}
		use("s") // the names are others, and who was looked at is remembered
		met := map[fleet.ReplicaID]int{}
		for range 30 { // one request finds out, wherever it may
			time.Sleep(hardware)
			ids := out()
			if len(ids) > 1 {
				t.Fatalf("out: %v", ids)
			}
			for _, id := range ids {
				l.Scraper.policy(func(p *flow.Policy) {
					if now := time.Now(); p.Health.Of(id, "", now).Probe {
						met[id]++
						p.Health.Sent(id, now)
						p.Health.Passed(id, "", now, now)
					}
				})
			}
		}
		if met[0] != 1 || met[1] != 1 || met[2] != 1 || len(out()) > 0 {
			t.Errorf("found out about: %v, out: %v", met, out())
		}
	})
}

// TestGPU: an error of a GPU makes the replicas that run on it suspect within one
// look, and one that is throttled is slow.
func TestGPU(t *testing.T) {
	page, err := os.ReadFile("../vitals/testdata/dcgm.prom")
	if err != nil {
		t.Fatal(err)
	}
	well := strings.NewReplacer("} 79", "} 0", "} 72", "} 0", "} 2\n", "} 0\n").Replace(string(page))
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, always(200, well))
		pool := []fleet.Replica{{ID: 0}, {ID: 1}}
		err := l.Use(nil, []Exporter{{URL: "http://h:9400/metrics", Runs: []Run{
			{Replica: 0, Upstream: "lab", Name: "r0", Pool: pool, GPUs: []int{0}},
			{Replica: 1, Upstream: "lab", Name: "r1", Pool: pool, GPUs: []int{1}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		standing := func(id fleet.ReplicaID) (st health.Standing) {
			synctest.Wait()
			l.Scraper.policy(func(p *flow.Policy) { st = p.Health.Of(id, "", time.Now()) })
			return st
		}
		time.Sleep(7 * time.Second)
		if a, b := standing(0), standing(1); a.Why != "" || b.Why != "" {
			t.Error(a, b)
		}
		l.set(always(200, string(page)))
		time.Sleep(hardware)
		if a, b := standing(0), standing(1); a.Why != "" || b.Why != health.Hardware {
			t.Error(a, b)
		}
		if v, _ := l.State(1); len(v.GPUs) != 1 || v.GPUs[0].XID != 79 {
			t.Errorf("%+v", v)
		}
		time.Sleep(time.Minute)
		if b := standing(1); !b.Probe {
			t.Errorf("an old error keeps it out: %+v", b)
		}
		l.Scraper.policy(func(p *flow.Policy) {
			p.Health.Sent(1, time.Now())
			p.Health.Passed(1, "", time.Now(), time.Now())
		})
		err = l.Use(nil, []Exporter{{URL: "http://h:9400/metrics", Runs: []Run{
			{Replica: 0, Upstream: "lab", Name: "r0", Pool: append(pool, fleet.Replica{ID: 2}), GPUs: []int{0}},
			{Replica: 1, Upstream: "lab", Name: "r1", Pool: append(pool, fleet.Replica{ID: 2}), GPUs: []int{1}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if b := standing(1); b.Why != "" || b.Probe {
			t.Errorf("an old error is new again once the pool is another: %+v", b)
		}
		l.set(always(200, "up 1\n"))
		time.Sleep(time.Minute)
		if n := strings.Count(l.log.String(), "tells nothing of GPUs"); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}

// TestUse: what did not change goes on where it was, and no address is asked that is
// none.
func TestUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, always(200, vllm(0, 0, 0, 1)))
		l.use(t, engine)
		time.Sleep(2500 * time.Millisecond)
		was := l.known[engine.key()]
		other := engine
		other.Replica, other.URL = 1, "http://other:8000/metrics"
		l.use(t, engine, other)
		if l.known[engine.key()] != was {
			t.Error("an engine that did not change is begun anew")
		}
		for _, bad := range []string{"", "h:8000", "http://", "http://user:pw@h/metrics", "ftp://h/"} {
			other.URL = bad
			if err := l.Use([]Engine{other}, nil); err == nil {
				t.Errorf("%q is asked", bad)
			}
		}
		if _, ok := l.State(0); !ok {
			t.Error("a list with a mistake replaced the one that was")
		}
	})
}

func TestMostAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, peak := 0, 0
		l := newLab(t, func(*http.Request) (int, string) {
			mu.Lock()
			now++
			peak = max(peak, now)
			mu.Unlock()
			time.Sleep(500 * time.Millisecond)
			mu.Lock()
			now--
			mu.Unlock()
			return 200, vllm(0, 0, 0, 1)
		})
		var engines []Engine
		for i := range 200 {
			e := engine
			e.Replica, e.URL = fleet.ReplicaID(i), fmt.Sprintf("http://h%d:8000/metrics", i)
			engines = append(engines, e)
		}
		l.use(t, engines...)
		time.Sleep(10 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if peak != atOnce {
			t.Errorf("%d are asked at once, want %d", peak, atOnce)
		}
	})
}

func TestGone(t *testing.T) {
	if !errors.Is(fault.Wrap(fault.Connect, "", &net.OpError{Err: syscall.ECONNREFUSED}), syscall.ECONNREFUSED) {
		t.Error("a refused connection is not recognised")
	}
}
