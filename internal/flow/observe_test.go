package flow

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"headworks/internal/admit"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/prefix"
	"headworks/internal/schedule"
	"headworks/internal/tenant"
)

// standing is how schedule sees a replica of a pool.
func standing(p *Policy, u *fleet.Upstream, id fleet.ReplicaID, now time.Time) schedule.Standing {
	b := board{policy: p, ticket: &Ticket{Caller: &tenant.Caller{}}, now: now, upstream: u}
	return b.Standing(&fleet.Replica{ID: id})
}

// TestForeign: what a replica says only ever adds to what is counted, never more than
// the difference at the moment it was asked, and nothing once it is 2 s old. Whatever
// it says, the replica stays in rotation.
func TestForeign(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := NewPolicy(admit.Limits{})
		u := &fleet.Upstream{Replicas: []fleet.Replica{{ID: 0}, {ID: 1}}}
		now := time.Unix(1e9, 0)
		number := rapid.IntRange(-1, 1<<20)
		count := rapid.IntRange(0, 1<<20)
		load := func(name string) Load {
			return Load{Requests: count.Draw(t, name+" requests"), Prefill: count.Draw(t, name+" prefill"), KV: count.Draw(t, name+" kv")}
		}
		said := Told{Requests: number.Draw(t, "requests"), Waiting: number.Draw(t, "waiting"), KV: number.Draw(t, "kv"), Capacity: max(0, number.Draw(t, "capacity"))}
		then, own := load("counted"), load("own")
		p.learn(count.Draw(t, "usual"))
		p.take(&Ticket{}, 0, own)
		p.Observe(0, said, then, now)
		age := time.Duration(rapid.Int64Range(-int64(time.Second), int64(3*time.Second)).Draw(t, "age"))
		st := standing(p, u, 0, now.Add(age))
		if st.Why != "" || st.Weight != 1 {
			t.Fatalf("%+v", st)
		}
		if st.Load < own.Requests || st.KV < own.KV || st.Prefill < own.Prefill {
			t.Fatalf("less than is in flight: %+v", st)
		}
		more := Load{Requests: max(0, said.Requests-then.Requests), KV: max(0, said.KV-then.KV)}
		if said.Requests < 0 {
			more.Requests = 0
		}
		if said.KV < 0 {
			more.KV = 0
		}
		more.Prefill = min(max(said.Waiting, 0), more.Requests) * p.usual
		if st.Load > own.Requests+more.Requests || st.KV > own.KV+more.KV || st.Prefill > own.Prefill+more.Prefill {
			t.Fatalf("more than was said: %+v", st)
		}
		switch {
		case age <= toldFresh && (st.Load != own.Requests+more.Requests || st.KV != own.KV+more.KV || st.Prefill != own.Prefill+more.Prefill):
			t.Fatalf("fresh, and %+v", st)
		case age >= toldStale && (st.Load != own.Requests || st.KV != own.KV || st.Prefill != own.Prefill):
			t.Fatalf("stale, and %+v", st)
		}
		if st.Capacity != said.Capacity {
			t.Fatalf("capacity %d", st.Capacity)
		}
		u.KVTokens = 4096
		if st := standing(p, u, 0, now); st.Capacity != 4096 {
			t.Fatalf("an engine has the word over the operator: %d", st.Capacity)
		}
		if other := standing(p, u, 1, now); other.Load != 0 || other.Capacity != 4096 {
			t.Fatalf("of another replica: %+v", other)
		}
		p.Observe(0, Untold(), Load{}, now)
		if st := standing(p, u, 0, now); st.Load != own.Requests || st.KV != own.KV {
			t.Fatalf("of one that tells nothing: %+v", st)
		}
	})
}

// TestForeignMoves: a replica that others use gets less of ours.
func TestForeignMoves(t *testing.T) {
	p, s := NewPolicy(admit.Limits{InFlight: 10_000}), world(2)
	s.Upstreams[0].Schedule = fleet.LeastRequests
	now := time.Unix(1e9, 0)
	p.Observe(0, Told{Requests: 10, Waiting: -1, KV: -1}, Load{}, now)
	sent := map[fleet.ReplicaID]int{}
	for i := range 10 {
		var ticket Ticket
		p.Begin(&ticket, &inference.Request{ID: inference.ID{byte(i)}, Model: "assistant"}, &tenant.Caller{}, nil)
		sent[p.Step(&ticket, Event{Kind: Arrived}, s, now).Replica.ID]++
	}
	if sent[1] != 10 {
		t.Errorf("sent %v", sent)
	}
}

// TestSlow: a replica whose GPUs are throttled has a smaller weight, for as long as
// that holds.
func TestSlow(t *testing.T) {
	p, u, now := NewPolicy(admit.Limits{}), &fleet.Upstream{}, time.Unix(1e9, 0)
	p.Slow(3, 0.5, now.Add(time.Minute))
	for after, want := range map[time.Duration]float64{0: 0.5, 59 * time.Second: 0.5, time.Minute: 1} {
		if st := standing(p, u, 3, now.Add(after)); st.Weight != want {
			t.Errorf("after %s: %v, want %v", after, st.Weight, want)
		}
	}
	p.Slow(3, 1, now.Add(time.Minute))
	if st := standing(p, u, 3, now); st.Weight != 1 {
		t.Errorf("back at full speed: %v", st.Weight)
	}
}

// TestCapacity: the index makes room for as much as an engine says it holds, and keeps
// what it knows.
func TestCapacity(t *testing.T) {
	p := NewPolicy(admit.Limits{})
	u := &fleet.Upstream{Name: "pool", Replicas: []fleet.Replica{{ID: 0}, {ID: 1}}}
	var holds []Hold
	for i := range 1000 {
		holds = append(holds, Hold{0, uint64(i + 1)})
	}
	p.Learn(u, holds)
	if n, _ := p.Prefixes("pool"); n != 1000 {
		t.Fatalf("%d blocks", n)
	}
	small := 100 * prefix.Block / bytesPerToken * 10 / 9
	p.Observe(0, Told{Requests: -1, Waiting: -1, KV: -1, Capacity: small}, Load{}, time.Time{})
	p.Learn(u, holds[999:])
	if n, _ := p.Prefixes("pool"); n < 90 || n > 101 {
		t.Errorf("%d blocks at an engine that holds 100", n)
	}
	p.Restarted("pool", 1)
	p.Restarted("elsewhere", 0)
	if n, _ := p.Prefixes("pool"); n < 90 {
		t.Errorf("%d blocks after another engine restarted", n)
	}
	p.Restarted("pool", 0)
	if n, _ := p.Prefixes("pool"); n != 0 {
		t.Errorf("%d blocks after it restarted", n)
	}
}

func TestStandingCostsNoAllocation(t *testing.T) {
	p, u, now := NewPolicy(admit.Limits{}), &fleet.Upstream{}, time.Unix(1e9, 0)
	p.Observe(0, Told{Requests: 9, Waiting: 4, KV: 100, Capacity: 1000}, Load{}, now)
	b := board{policy: p, ticket: &Ticket{Caller: &tenant.Caller{}}, now: now.Add(1500 * time.Millisecond), upstream: u}
	replica := &fleet.Replica{}
	if n := testing.AllocsPerRun(100, func() { b.Standing(replica) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestSlowIsForeseen: a replica whose GPUs are throttled is predicted to take longer, one
// with an objective goes to the other, and what it takes teaches nothing of its class.
func TestSlowIsForeseen(t *testing.T) {
	r := newRig(t, admit.Limits{}, true, 2)
	u := &r.s.Upstreams[0]
	learnt(r.p, u)
	usual := r.p.view(0, u).ahead.Outlook(r.now, r.p.at(0, r.now)).First(5000)
	r.p.Slow(0, 0.25, r.now.Add(time.Minute))
	slow := r.p.view(0, u).ahead.Outlook(r.now, r.p.at(0, r.now)).First(5000)
	if overhead := r.p.known(u).Overhead; slow-overhead < 39*(usual-overhead)/10 {
		t.Errorf("at a quarter of the speed after %v, at full speed after %v", slow, usual)
	}
	u.Schedule = fleet.LeastRequests
	r.p.take(&Ticket{}, 1, Load{Requests: 9})
	if got, _ := r.ask(5000, 1500*time.Millisecond); got.Replica.ID != 1 || got.whyNot(0) != Late {
		t.Errorf("went to %d; the slow one: %q", got.Replica.ID, got.whyNot(0))
	}
	before := *r.p.known(u)
	ticket, _ := r.ask(100, 0)
	if ticket.Replica.ID != 0 {
		t.Fatalf("without an objective it went to %d", ticket.Replica.ID)
	}
	r.now = r.now.Add(3 * time.Second)
	r.p.Step(ticket, Event{Kind: Content}, r.s, r.now)
	r.now = r.now.Add(time.Second)
	r.p.Step(ticket, Event{Kind: Finished, Tokens: 20}, r.s, r.now)
	if after := *r.p.known(u); after != before {
		t.Errorf("learned %+v from hardware that is slow, was %+v", after, before)
	}
	r.now = r.now.Add(2 * time.Minute)
	if k := r.p.at(0, r.now); *k != before {
		t.Errorf("back at full speed it is %+v", *k)
	}
}

// TestStandingStill: words that stay the same while the cache is in use are of the moment
// that they were said first, however often they are said, if the engine answers requests
// meanwhile; one that may hang is believed for half a minute, and one that does not tell
// of its cache always.
func TestStandingStill(t *testing.T) {
	working, silent := Told{Requests: 9, Waiting: 2, KV: 4000, Capacity: 8000}, Told{Requests: 9, Waiting: 2, KV: -1}
	for name, tt := range map[string]struct {
		said  Told
		heard bool
		looks int // ten a second
		want  int
	}{
		"the same":                       {working, true, 40, 0},
		"nothing else came":              {working, false, 40, 9},
		"nothing else came for a minute": {working, false, 600, 0},
		"nothing of the cache":           {silent, true, 600, 9},
		"a cache of no use yet":          {Told{Requests: 9, Waiting: 9, KV: 0, Capacity: 8000}, true, 600, 9},
	} {
		p, u, now := NewPolicy(admit.Limits{}), &fleet.Upstream{}, time.Unix(1e9, 0)
		for range tt.looks {
			p.Observe(0, tt.said, Load{}, now)
			now = now.Add(100 * time.Millisecond)
			if tt.heard {
				p.Heard(0, now)
			}
		}
		if st := standing(p, u, 0, now); st.Load != tt.want {
			t.Errorf("%s: %d requests of others, want %d", name, st.Load, tt.want)
		}
		tt.said.KV++
		p.Observe(0, tt.said, Load{}, now)
		if st := standing(p, u, 0, now); st.Load != 9 {
			t.Errorf("%s, then something new: %d requests of others", name, st.Load)
		}
	}
}
