package gateway

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

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
	b.shadowedBy(t, t.Context(), []byte(asked), stream, p, change)
}

func (b *bench) shadowedBy(t *testing.T, ctx context.Context, body []byte, stream bool, p *page, change func(*Request)) {
	t.Helper()
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
	defer clear(body) // whoever serves the next request writes there
	b.g.Do(ctx, r, p)
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

// held returns what copies hold now, and how many were not sent by why.
func held(s *Shadows, n *notes) (bytes int, unsent map[string]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	return s.bytes, maps.Clone(n.unsent)
}

// TestShadowsAreBoundedFromTheCopy: a body counts from when it is copied, though the
// caller's answer has not begun, and no more once nobody needs it.
func TestShadowsAreBoundedFromTheCopy(t *testing.T) {
	const callers, size = 150, 900_000
	for name, tt := range map[string]struct {
		own  []beat
		left bool // the callers leave
		sent int  // copies
	}{
		"the callers leave": {nil, true, 0},
		"it fails":          {[]beat{later(5*time.Second, breaks(fault.InvalidRequest))}, false, 0},
		"it panics":         {[]beat{later(5*time.Second, beat{panic: true})}, false, 0},
		"it answers":        {[]beat{later(5*time.Second, finish("a"))}, false, maxCopied / size},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, n, s := newShadowed(t, admit.Limits{}, tt.own, []beat{finish("x")})
			ctx, leave := context.WithCancel(t.Context())
			var all sync.WaitGroup
			body := strings.Replace(asked, "hi", strings.Repeat("x", size-len(asked)+2), 1)
			for range callers {
				all.Go(func() {
					defer func() { _ = recover() }()
					b.shadowedBy(t, ctx, []byte(body), false, &page{}, nil)
				})
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if bytes, unsent := held(s, n); bytes > maxCopied || bytes < maxCopied-size || unsent[QueueFull] != callers-maxCopied/size {
				t.Errorf("%s: %d bytes, %v", name, bytes, unsent)
			}
			if tt.left {
				leave()
			}
			all.Wait()
			leave()
			synctest.Wait()
			if s.bytes != 0 || len(n.pairs) != tt.sent {
				t.Errorf("%s: %d bytes are left, %d copies", name, s.bytes, len(n.pairs))
			}
			b.settled(t)
		})
	}
}

// TestShadowRecovers: whatever an engine does with the copies that it has, it is asked
// again: at once where it goes on with them, and after a minute where it never does.
// Those that wait meanwhile are not kept for longer.
func TestShadowRecovers(t *testing.T) {
	plays := func(b *bench, beats ...beat) {
		b.engine.mu.Lock()
		defer b.engine.mu.Unlock()
		b.engine.plays[1] = beats
	}
	for _, stream := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b, n, s := newShadowed(t, admit.Limits{}, []beat{finish("a")}, []beat{later(5*time.Second, finish("x"))})
			for range 10 {
				b.shadowed(t, stream, &page{}, nil)
			}
			time.Sleep(4 * time.Second)
			plays(b, finish("x"))
			time.Sleep(time.Second)
			synctest.Wait()
			if len(n.pairs) != 10 || len(n.unsent) != 0 || s.bytes != 0 {
				t.Errorf("goes on: %d pairs, %v", len(n.pairs), n.unsent)
			}
		})
		synctest.Test(t, func(t *testing.T) {
			b, n, s := newShadowed(t, admit.Limits{}, []beat{finish("a")}, nil)
			for range 2 {
				b.shadowed(t, stream, &page{}, nil) // both take a runner
			}
			synctest.Wait()
			plays(b, finish("x"))
			time.Sleep(30 * time.Second)
			for range 10 {
				b.shadowed(t, stream, &page{}, nil)
			}
			time.Sleep(30*time.Second - time.Nanosecond)
			synctest.Wait()
			if got := s.Running()["assistant"]; got != [2]int{2, 10} {
				t.Errorf("within the minute %v run and wait", got)
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			cut := 0
			for _, c := range n.pairs {
				if c.Copy.Fault == fault.TotalTimeout && c.Copy.End == record.Failed && c.Copy.Took == copyEnds {
					cut++
				}
			}
			if got := s.Running()["assistant"]; got != [2]int{} || len(n.pairs) != 12 || cut != 2 || len(n.unsent) != 0 || s.bytes != 0 {
				t.Errorf("after the minute %v run and wait, %d pairs, %d cut, %v", got, len(n.pairs), cut, n.unsent)
			}
			b.settled(t)
			b.g.Policy(func(p *flow.Policy) {
				if st := p.Health.Of(1, "m", time.Now()); st.Why != "" {
					t.Errorf("what a copy meets counts: %+v", st)
				}
			})
		})
	}
}

// TestWaitingCopiesExpire: a copy that waits is dropped after a minute though nobody is
// free to see to it.
func TestWaitingCopiesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, n, s := newShadowed(t, admit.Limits{}, []beat{finish("a")}, nil)
		l := &lane{running: 2} // copies that never end
		s.lanes["assistant"] = l
		for range 3 {
			b.shadowed(t, false, &page{}, nil)
			time.Sleep(10 * time.Second)
		}
		left := func(wait, expired int) {
			t.Helper()
			synctest.Wait()
			bytes, unsent := held(s, n)
			if got := s.Running()["assistant"][1]; got != wait || bytes != wait*len(asked) || unsent[Expired] != expired {
				t.Errorf("%d wait, %d bytes, %v, want %d", got, bytes, unsent, wait)
			}
		}
		for i, at := range []time.Duration{30 * time.Second, 10 * time.Second, 10 * time.Second} {
			time.Sleep(at - 1)
			left(3-i, i)
			time.Sleep(time.Nanosecond)
			left(2-i, i+1)
		}
		l.running = 0
	})
}

// TestCopiesAreGivenBack: whatever callers, their engine and the shadow do, in the end
// nothing of a copy counts.
func TestCopiesAreGivenBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		beats := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) beat {
			b := rapid.SampledFrom([]beat{text("a"), ping(), finish("z"), {panic: true}, breaks(fault.UpstreamError), breaks(fault.UpstreamRejected)}).Draw(t, "beat")
			b.after = time.Duration(rapid.IntRange(0, 70_000).Draw(t, "after")) * time.Millisecond
			return b
		}), 0, 3)
		type visit struct {
			at, leaves time.Duration
			stream     bool
			size       int
		}
		own, other := beats.Draw(rt, "own"), beats.Draw(rt, "other")
		visits := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) visit {
			return visit{
				time.Duration(rapid.IntRange(0, 90_000).Draw(t, "at")) * time.Millisecond,
				time.Duration(rapid.IntRange(1, 200_000).Draw(t, "leaves")) * time.Millisecond,
				rapid.Bool().Draw(t, "stream"), rapid.IntRange(len(asked), 10_000).Draw(t, "size"),
			}
		}), 1, 40).Draw(rt, "visits")
		ends := time.Duration(rapid.SampledFrom([]int{0, 10, 100}).Draw(rt, "ends")) * time.Second
		wrong := ""
		synctest.Test(t, func(t *testing.T) {
			b, n, s := newShadowed(t, admit.Limits{}, own, other)
			var all sync.WaitGroup
			for _, v := range visits {
				all.Go(func() {
					defer func() { _ = recover() }()
					time.Sleep(v.at)
					ctx, leave := context.WithTimeout(t.Context(), v.leaves)
					defer leave()
					body := strings.Replace(asked, "hi", strings.Repeat("x", v.size-len(asked)+2), 1)
					b.shadowedBy(t, ctx, []byte(body), v.stream, &page{}, nil)
				})
			}
			if ends > 0 {
				time.Sleep(ends)
				s.End()
			}
			all.Wait()
			time.Sleep(copyExpires + 40*copyEnds) // as many as can wait for one another
			synctest.Wait()
			if s.bytes != 0 || s.Running()["assistant"] != [2]int{} || len(n.pairs) > len(visits) {
				wrong = fmt.Sprintf("%d bytes, %v, %d pairs, %v", s.bytes, s.Running(), len(n.pairs), n.unsent)
			}
			b.settled(t)
		})
		if wrong != "" {
			rt.Fatal(wrong)
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
