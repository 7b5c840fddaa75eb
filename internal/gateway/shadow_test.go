package gateway

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headworks/internal/admit"
	"headworks/internal/dialect/openai"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/inference"
	"headworks/internal/record"
	"headworks/internal/scan"
	"headworks/internal/tenant"
)

// notes is a Watcher that writes down what it is told.
type notes struct {
	mu     sync.Mutex
	pairs  []Compared
	unsent map[string]int
}

func (n *notes) Unsent(_, _, why string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unsent[why]++
}

func (n *notes) Compare(c *Compared) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pairs = append(n.pairs, *c)
}

// newShadowed is a bench whose model assistant is served by the first engine, and has
// a shadow that the second one serves.
func newShadowed(t *testing.T, limits admit.Limits, own, other []beat) (*bench, *notes, *Shadows) {
	b := newBench(limits, own, other)
	s := b.g.World().Fleet
	m := &s.Models[0]
	next := *m
	next.Name, next.Targets = "next", m.Targets[1:]
	m.Targets = m.Targets[:1]
	m.Shadow = &fleet.Shadow{Model: "next", Share: 1, Parallel: 2}
	s.Models = append(s.Models, next)
	n := &notes{unsent: map[string]int{}}
	shadows := b.g.Shadow(n)
	t.Cleanup(shadows.End)
	return b, n, shadows
}

const asked = `{"model":"assistant","messages":[{"role":"user","content":"hi"}]}`

func (b *bench) shadowed(t *testing.T, stream bool, p *page, change func(*Request)) {
	t.Helper()
	body := []byte(asked)
	var doc scan.Doc
	if err := doc.Scan(body, openai.Shape()); err != nil {
		t.Fatal(err)
	}
	r := &Request{
		Request: inference.Request{ID: inference.NewID(time.Now(), 1, 2), Model: "assistant", Stream: stream, Input: 7, Dialect: inference.OpenAI},
		Caller:  &tenant.Caller{Key: "k", KeyID: "id", Tenant: "acme"}, Surface: "test", Arrived: time.Now(),
		Body: body, Doc: &doc, Shape: openai.Shape(), Decode: openai.Decode,
	}
	if change != nil {
		change(r)
	}
	b.g.Do(t.Context(), r, p)
	clear(body) // whoever serves the next request writes there
}

// TestShadow: a copy goes to the shadow once the caller's answer has begun, is
// recorded apart, costs the caller nothing, and both answers are compared.
func TestShadow(t *testing.T) {
	for _, stream := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			own := []beat{later(time.Second, finish("b"))}
			if stream {
				own = []beat{later(time.Second, text("a")), later(3*time.Second, finish("b"))}
			}
			b, n, _ := newShadowed(t, admit.Limits{}, own, []beat{later(2*time.Second, text("x")), later(5*time.Second, finish("yz"))})
			if !stream {
				b.engine.plays[1] = []beat{later(7*time.Second, finish("yz"))}
			}
			began := time.Now()
			p := &page{}
			b.shadowed(t, stream, p, nil)
			want := time.Second
			if stream {
				want = 4 * time.Second
			}
			if took := time.Since(began); took != want {
				t.Errorf("the caller waited %v", took)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			b.settled(t)
			if b.ledger.lines != 1 || len(b.records) != 2 || len(n.pairs) != 1 {
				t.Fatalf("%d ledger lines, %d records, %d pairs", b.ledger.lines, len(b.records), len(n.pairs))
			}
			r, s := b.records[0], b.records[1]
			if r.Origin != "app" || r.Upstream != "up0" || r.Tenant != "acme" {
				t.Errorf("the caller's: %+v", r)
			}
			if s.Origin != record.Shadow || s.ShadowOf != r.ID.String() || s.Upstream != "up1" || s.Model != "next" || s.Tenant+s.KeyID+s.Key != "" || s.Cost <= 0 {
				t.Errorf("the copy's: %+v", s)
			}
			if at := s.Time - r.Time; at != time.Second.Microseconds() {
				t.Errorf("the copy was sent after %d us", at)
			}
			c := n.pairs[0]
			if c.Model != "assistant" || c.Shadow != "next" || !c.Alike() || c.Caller.Took != want || c.Copy.Took != 7*time.Second || c.Copy.Output != 3 {
				t.Errorf("%+v", c)
			}
			if stream && (c.Caller.TTFT != time.Second || c.Copy.TTFT != 2*time.Second) || !stream && c.Copy.TTFT >= 0 {
				t.Errorf("%+v", c)
			}
		})
	}
}

// TestShadowIsNotMissed: what a copy meets is nothing to callers. It fails and no
// replica is put out, it hangs and nobody waits.
func TestShadowIsNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, n, _ := newShadowed(t, admit.Limits{}, []beat{finish("a")}, []beat{breaks(fault.UpstreamError)})
		for range 20 {
			b.shadowed(t, true, &page{}, nil)
			synctest.Wait()
		}
		b.settled(t)
		if len(n.pairs) != 20 || n.pairs[0].Copy.Fault != fault.UpstreamError || n.pairs[0].Alike() {
			t.Fatalf("%d pairs: %+v", len(n.pairs), n.pairs)
		}
		if len(b.told) != 0 {
			t.Errorf("the operator is told of %+v", b.told)
		}
		b.g.Policy(func(p *flow.Policy) {
			if st := p.Health.Of(1, "m", time.Now()); st.Why != "" || p.Health.Failures(1) != 0 {
				t.Errorf("%+v", st)
			}
		})
	})
}

// TestShadowsAreBounded: so many run, so many wait, and the rest is not sent; at the
// end none is left.
func TestShadowsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, n, s := newShadowed(t, admit.Limits{}, []beat{finish("a")}, nil) // it hangs
		for range 100 {
			b.shadowed(t, false, &page{}, nil)
		}
		synctest.Wait()
		if got := s.Running()["assistant"]; got != [2]int{2, maxCopies} {
			t.Errorf("%v run and wait", got)
		}
		if n.unsent[QueueFull] != 100-2-maxCopies {
			t.Errorf("%v", n.unsent)
		}
		s.End()
		synctest.Wait()
		if n.unsent[GoingDown] != maxCopies || s.Running()["assistant"] != [2]int{} || s.bytes != 0 {
			t.Errorf("%v, %v, %d bytes", n.unsent, s.Running(), s.bytes)
		}
		b.settled(t)
		b.shadowed(t, false, &page{}, nil)
		synctest.Wait()
		if n.unsent[GoingDown] != maxCopies+1 {
			t.Errorf("afterwards: %v", n.unsent)
		}
	})
}

// TestNotShadowed: no copy of what the caller wants nobody to store, of what failed,
// of another operation or of what is too large; none leaves the caller's regions, and
// none is sent while callers wait.
func TestNotShadowed(t *testing.T) {
	for name, tt := range map[string]struct {
		own    []beat
		change func(*Request)
		unsent string
	}{
		"not to be stored":  {[]beat{finish("a")}, func(r *Request) { r.NoStore = true }, ""},
		"failed":            {[]beat{breaks(fault.InvalidRequest)}, nil, ""},
		"another operation": {[]beat{finish("a")}, func(r *Request) { r.Dialect = inference.Embeddings }, ""},
		"too large":         {[]beat{finish("a")}, func(r *Request) { r.Body = make([]byte, maxCopy+1) }, TooLarge},
		"abroad": {[]beat{finish("a")}, func(r *Request) {
			r.Caller.Residency = tenant.Residency{Bound: true, Regions: []string{"eu"}}
		}, fault.Residency.String()},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, n, _ := newShadowed(t, admit.Limits{}, tt.own, []beat{finish("x")})
			s := b.g.World().Fleet
			s.Upstreams[0].Replicas[0].Place.Region, s.Upstreams[1].Replicas[0].Place.Region = "eu", "us"
			b.shadowed(t, false, &page{}, tt.change)
			time.Sleep(time.Minute)
			synctest.Wait()
			if slices.Contains(b.engine.opened, 1) || len(b.records) != 1 || len(n.pairs) != 0 {
				t.Errorf("%s: opened %v, %d records", name, b.engine.opened, len(b.records))
			}
			if got := strings.TrimPrefix(fmt.Sprint(n.unsent), "map"); (tt.unsent != "") != (n.unsent[tt.unsent] == 1) || tt.unsent == "" && got != "[]" {
				t.Errorf("%s: %v", name, n.unsent)
			}
			b.settled(t)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b, n, _ := newShadowed(t, admit.Limits{InFlight: 1, Queue: 5}, []beat{later(time.Second, text("a")), later(time.Second/2, finish("b"))}, []beat{finish("x")})
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() { b.shadowed(t, true, &page{}, nil) })
		}
		all.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n.unsent[CallersAre] != 1 || len(n.pairs) != 1 {
			t.Errorf("%v, %d pairs", n.unsent, len(n.pairs))
		}
		b.settled(t)
	})
}
