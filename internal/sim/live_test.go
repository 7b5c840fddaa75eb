package sim_test

import (
	"context"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"headworks/internal/admit"
	"headworks/internal/engine"
	"headworks/internal/engine/simulated"
	"headworks/internal/fault"
	"headworks/internal/flow"
	"headworks/internal/gateway"
	"headworks/internal/inference"
	"headworks/internal/latency"
	"headworks/internal/record"
	"headworks/internal/sim"
)

// TestLiveAndSimAgree sends one load through the gateway and engines that play the
// step model on a bubble's clock, and through the simulator: the records of every
// request are equal, reasons and times to the microsecond, and so are the moments
// of its first token and its last.
//
// Answers may end in one moment, whose order on a real clock is anyone's. So where
// an end lets a request in that waited, there is no choice between replicas, and
// how many it counts there is not compared.
func TestLiveAndSimAgree(t *testing.T) {
	for name, tt := range map[string]struct {
		limits   admit.Limits
		replicas int
		rate     float64
		shared   bool // prompts begin alike
	}{
		"a choice":          {admit.Limits{}, 4, 15, false},
		"a queue":           {admit.Limits{InFlight: 12, Queue: 20}, 1, 6, false},
		"a busy engine":     {admit.Limits{}, 1, 10, false},
		"shared beginnings": {admit.Limits{}, 4, 15, true},
	} {
		t.Run(name, func(t *testing.T) {
			limits := tt.limits
			synctest.Test(t, func(t *testing.T) {
				world, load := sim.BuiltIn(400, 3)
				world.Start = time.Now()
				world.Region = "here"
				world.Fleet.Upstreams[0].Replicas = world.Fleet.Upstreams[0].Replicas[:tt.replicas]
				world.Engines[0], _ = latency.Profile(latency.DemoLarge)
				load.Start, load.Rate, load.Whole = world.Start, tt.rate, .3
				arrivals := take(load)
				for i := range arrivals {
					// Half of the clients have no patience.
					if tt.shared {
						share(&arrivals[i].Request, i)
					}
					if a := &arrivals[i]; i%2 == 0 {
						a.Request.MaxTokens = 30
						a.Leaves = time.Duration(100+i*2) * time.Millisecond
					}
				}

				live := serve(t, world, limits, arrivals)
				for i := range arrivals {
					a := &arrivals[i]
					a.Output = 40 // more than the impatient may have
					if a.Leaves == 0 {
						a.Output = int(live[a.Request.ID].Output)
					}
				}
				virtual := make(map[inference.ID]record.Record)
				ends, waited, hits := make(map[fault.Kind]int), 0, int64(0)
				sim.Run(world, flow.NewPolicy(limits), &list{arrivals}, func(r *record.Record) {
					virtual[r.ID] = *r
					ends[r.Fault]++
					if r.Queue > 0 {
						waited++
					}
					for _, c := range r.Kept() {
						hits += c.Hit
					}
				})

				for _, a := range arrivals {
					want, got := comparable(live[a.Request.ID]), comparable(virtual[a.Request.ID])
					if limits.InFlight > 0 {
						want.Candidates[0].Score = got.Candidates[0].Score
					}
					// What is learned depends a little on the order of what ends in one moment.
					if math.Abs(float64(want.Predicted-got.Predicted)) > 0.1*float64(got.Predicted)+1000 {
						t.Fatalf("%v: foreseen after %d us live, %d simulated", a.Request.ID, want.Predicted, got.Predicted)
					}
					want.Predicted = got.Predicted
					if diff := cmp.Diff(want, got); diff != "" {
						t.Fatalf("%v, -live +sim:\n%s", a.Request.ID, diff)
					}
				}
				if tt.shared != (hits > 100_000) {
					t.Errorf("caches were thought to hold %d tokens", hits)
				}
				if ends[fault.None] < 150 || ends[fault.ClientClosed] < 20 || (limits.InFlight > 0) != (waited > 50) {
					t.Errorf("the load tells little: %v, %d waited", ends, waited)
				}
			})
		})
	}
}

// share gives a request the beginning that every seventh has, and a part of its own.
func share(r *inference.Request, i int) {
	const group, own = 25, 6 // blocks
	r.Input, r.Blocks = (group+own)*latency.PrefixTokens+1, nil
	for k := range group + own {
		of := i % 7
		if k >= group {
			of = 1000 + i
		}
		r.Blocks = append(r.Blocks, uint64(of)<<16|uint64(k)|1<<40)
	}
}

// comparable leaves out what only one of the two can know: surfaces, bytes, the
// silences inside a stream, and what an answer that was cut would have cost.
func comparable(r record.Record) record.Record {
	r.Surface, r.GapMax, r.Seq = "", 0, 0
	r.Simulated = true // live, where it went nowhere, that is not said
	if r.End == record.ClientClosed {
		r.Input, r.Output, r.UsageSource, r.Cost, r.TPOT = 0, 0, 0, 0, 0
	}
	return r
}

// serve sends a load through a gateway and returns the records.
func serve(t *testing.T, w sim.World, limits admit.Limits, arrivals []sim.Arrival) map[inference.ID]record.Record {
	var mu sync.Mutex
	records := make(map[inference.ID]record.Record)
	g := gateway.New(flow.NewPolicy(limits), free{}, func(r *record.Record) {
		mu.Lock()
		defer mu.Unlock()
		records[r.ID] = *r
	}, nil)
	g.Publish(&gateway.World{
		Fleet:   w.Fleet,
		Engines: []engine.Engine{simulated.New(w.Fleet.Upstreams[0].Replicas, simulated.Options{Params: w.Engines[0]})},
		Region:  w.Region,
	})
	var wg sync.WaitGroup
	for _, a := range arrivals {
		wg.Go(func() {
			time.Sleep(a.At)
			ctx := t.Context()
			if a.Leaves > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, a.Leaves)
				defer cancel()
			}
			g.Do(ctx, &gateway.Request{
				Request: a.Request, Caller: a.Caller, Arrived: time.Now(),
				Conversation: func() (*inference.Conversation, []string, error) {
					return &inference.Conversation{}, nil, nil
				},
			}, client{})
		})
	}
	wg.Wait()
	return records
}

func take(l sim.Load) (all []sim.Arrival) {
	for a, ok := l.Next(); ok; a, ok = l.Next() {
		all = append(all, a)
	}
	return all
}

type list struct{ left []sim.Arrival }

func (l *list) Next() (sim.Arrival, bool) {
	if len(l.left) == 0 {
		return sim.Arrival{}, false
	}
	a := l.left[0]
	l.left = l.left[1:]
	return a, true
}

// client takes whatever it is given.
type client struct{}

func (client) Open(*gateway.Head) error                             { return nil }
func (client) Send(*gateway.Head, *engine.Chunk) error              { return nil }
func (client) Alive() error                                         { return nil }
func (client) End(*gateway.Head, *engine.Chunk, *fault.Error) error { return nil }

// free is a ledger that keeps nothing.
type free struct{}

func (free) Charge(*record.Record) error { return nil }
