package sim

import (
	"slices"
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/inference"
	"headworks/internal/latency"
	"headworks/internal/record"
	"headworks/internal/tenant"
)

func conversations(seed uint64, w World) *Conversations {
	return &Conversations{
		Conversations: 300, Rate: 1.5, Apps: 20, System: 4000, Turns: 6, Prompt: 800, Output: 250, Think: 5 * time.Second,
		Seed: seed, Start: w.Start, Model: "assistant", Caller: &tenant.Caller{},
	}
}

// TestConversationsGoOn: a turn comes after the answer to the one before, and begins
// with all that was said.
func TestConversationsGoOn(t *testing.T) {
	l := conversations(1, World{})
	turns := 0
	system := map[uint64]bool{}
	for a, ok := l.Next(); ok; a, ok = l.Next() {
		system[a.Request.Blocks[4000/latency.PrefixTokens-1]] = true
		for {
			turns++
			ended := a.At + time.Minute
			next, more := a.Follow(ended)
			if !more {
				break
			}
			held := len(a.Request.Blocks)
			if next.At < ended || next.Request.Input <= a.Request.Input+a.Output || next.Request.Session != a.Request.Session ||
				!slices.Equal(next.Request.Blocks[:held], a.Request.Blocks) || next.Request.ID == a.Request.ID {
				t.Fatalf("%+v after %+v", next, a)
			}
			a = next
		}
	}
	if turns < 1500 || turns > 2100 || len(system) != 20 {
		t.Errorf("%d turns of 300 conversations, %d applications", turns, len(system))
	}
}

// TestConversationsAreServed: every turn once, in the order of its conversation, and
// most of a prompt is found where the policy looks for it.
func TestConversationsAreServed(t *testing.T) {
	run := func(s fleet.Schedule, events ...Event) (Result, map[inference.ID]bool) {
		w := LadderPool()
		w.Fleet.Upstreams[0].Schedule = s
		w.Events = events
		seen := map[inference.ID]bool{}
		p := flow.NewPolicy(admit.Limits{})
		r := Run(w, p, conversations(1, w), func(r *record.Record) {
			if seen[r.ID] {
				t.Errorf("%v ended twice", r.ID)
			}
			seen[r.ID] = true
		})
		for i := range w.Fleet.Replicas {
			if left := p.Load(fleet.ReplicaID(i)); left != (flow.Load{}) {
				t.Errorf("replica %d still counts %+v", i, left)
			}
		}
		return r, seen
	}
	prefix, seen := run(fleet.ByPrefix)
	again, _ := run(fleet.ByPrefix)
	turn, _ := run(fleet.RoundRobin)
	if prefix.Hash != again.Hash || len(seen) != prefix.Requests || prefix.Served != prefix.Requests || prefix.Requests < 1500 {
		t.Errorf("%d of %d served, hashes %s and %s", prefix.Served, prefix.Requests, prefix.Hash, again.Hash)
	}
	if prefix.Hit < .75 || prefix.Hit < turn.Hit+.2 || prefix.TTFT.Mean > turn.TTFT.Mean {
		t.Errorf("by prefix %+v, in turn %+v", prefix.Figures, turn.Figures)
	}
	all := []fleet.ReplicaID{0, 1, 2, 3, 4, 5, 6, 7}
	cut, _ := run(fleet.ByPrefix, Event{Kind: Crash, Replicas: all, From: 30 * time.Second, To: 31 * time.Second})
	if cut.Failed == 0 || cut.Requests >= prefix.Requests {
		t.Errorf("clients whose request failed are gone: %d failed, %d of %d requests", cut.Failed, cut.Requests, prefix.Requests)
	}
}
