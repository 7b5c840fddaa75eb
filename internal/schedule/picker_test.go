package schedule

import (
	"math/rand/v2"
	"testing"

	"headworks/internal/fleet"

	"pgregory.net/rapid"
)

// desk is a Picker with a pool and what is known of it.
type desk struct {
	Picker
	pool  []fleet.Replica
	board standings
	src   *rand.PCG
}

func newDesk(size int) *desk {
	d := &desk{pool: pool(size), board: standings{}, src: rand.NewPCG(1, 2)}
	for i := range d.pool {
		d.board[d.pool[i].ID] = Standing{Weight: 1}
	}
	return d
}

func (d *desk) set(place int, st Standing) {
	if st.Weight == 0 {
		st.Weight = 1
	}
	d.board[d.pool[place].ID] = st
}

func (d *desk) pick(policy fleet.Schedule, ask Ask) (Choice, map[int]Candidate) {
	if ask.Block == 0 {
		ask.Block = 64
	}
	if ask.Slack == 0 {
		ask.Slack = 14 * 15_360
	}
	found := make([]Candidate, 8)
	c, n := d.Pick(policy, d.pool, d.board, &ask, d.src, found)
	by := map[int]Candidate{}
	for _, f := range found[:n] {
		by[f.Place] = f
	}
	return c, by
}

// TestWarmWins: who holds at least 80 % of the prompt gets it, busy as it is, until
// it is further behind than the objective allows.
func TestWarmWins(t *testing.T) {
	d := newDesk(3)
	ask := Ask{Input: 6400, Blocks: 100, Hits: []int32{0, 80, 79}}
	d.set(0, Standing{Load: 30})
	d.set(1, Standing{Load: 40, Prefill: 100_000})
	d.set(2, Standing{Load: 30})
	c, found := d.pick(fleet.ByPrefix, ask)
	if c.Place != 1 || c.Why != Warm || c.Hit != 5120 || c.Todo != 1280 || c.New {
		t.Errorf("%+v", c)
	}
	if found[0].WhyNot != Colder || found[2].WhyNot != Colder {
		t.Errorf("%+v", found)
	}
	d.set(1, Standing{Load: 40, Prefill: 300_000})
	c, found = d.pick(fleet.ByPrefix, ask)
	if c.Place != 2 || c.Why != LeastWork || found[1].WhyNot != Behind {
		t.Errorf("too far behind: %+v, %+v", c, found)
	}
}

// TestNewPromptsGoRound: a prompt that nobody holds goes to whoever has been without
// one for the longest, unless the work there is much more; where all caches are full,
// to the least busy.
func TestNewPromptsGoRound(t *testing.T) {
	d := newDesk(3)
	ask := Ask{Input: 6400, Blocks: 100, Hits: []int32{3, 3, 3}}
	for round := range 2 {
		seen := map[int]bool{}
		for range 3 {
			c, _ := d.pick(fleet.ByPrefix, ask)
			if !c.New || c.Why != Cold {
				t.Fatalf("%+v", c)
			}
			d.Gave(d.pool[c.Place].ID)
			seen[c.Place] = true
		}
		if len(seen) != 3 {
			t.Errorf("round %d: %v", round, seen)
		}
	}
	c, _ := d.pick(fleet.ByPrefix, ask)
	d.set(c.Place, Standing{Prefill: 40_000})
	if next, found := d.pick(fleet.ByPrefix, ask); next.Place == c.Place || found[c.Place].WhyNot != MoreWork {
		t.Errorf("the busy one: %+v, %+v", next, found)
	}
	d.set(c.Place, Standing{Load: 2})
	for i := range d.pool {
		if i != c.Place {
			d.set(i, Standing{Load: 5})
		}
	}
	d.Gave(d.pool[c.Place].ID)
	if next, _ := d.pick(fleet.ByPrefix, ask); next.Place == c.Place {
		t.Errorf("with room it goes round: %+v", next)
	}
	ask.Full = true
	if next, found := d.pick(fleet.ByPrefix, ask); next.Place != c.Place || found[(c.Place+1)%3].WhyNot != MoreBusy {
		t.Errorf("without, to the least busy: %+v, %+v", next, found)
	}
}

// TestLeastWork: where somebody holds a part of the prompt, what is left to read
// decides, in steps; then requests in flight, then the KV cache.
func TestLeastWork(t *testing.T) {
	for name, tt := range map[string]struct {
		hits    []int32
		a, b    Standing
		want    int
		whyLost string
	}{
		"what is left to read":      {[]int32{50, 0}, Standing{}, Standing{}, 0, MoreWork},
		"and what others wait for":  {[]int32{50, 0}, Standing{Prefill: 9000}, Standing{}, 1, MoreWork},
		"less than a step is noise": {[]int32{40, 39}, Standing{Load: 2}, Standing{Load: 1}, 1, MoreBusy},
		"then the KV cache":         {[]int32{40, 40}, Standing{KV: 9}, Standing{KV: 8}, 1, Fuller},
		"no room":                   {[]int32{90, 0}, Standing{KV: 9_900, Capacity: 10_000}, Standing{}, 1, NoRoom},
		"room for the rest":         {[]int32{90, 0}, Standing{KV: 9_000, Capacity: 10_000}, Standing{}, 0, Colder},
		"none has room":             {[]int32{90, 0}, Standing{KV: 9_900, Capacity: 10_000}, Standing{KV: 9_900, Capacity: 10_000}, 0, Colder},
		"a slow start":              {[]int32{30, 30}, Standing{Prefill: 2000, Weight: 0.1}, Standing{Prefill: 4000}, 1, MoreWork},
		"out":                       {[]int32{90, 0}, Standing{Why: "out"}, Standing{}, 1, "out"},
	} {
		d := newDesk(3)
		d.set(0, tt.a)
		d.set(1, tt.b)
		d.set(2, Standing{Prefill: 1_000_000, Capacity: tt.a.Capacity, KV: tt.a.KV}) // holds nothing, and is no choice
		c, found := d.pick(fleet.ByPrefix, Ask{Input: 6400, Blocks: 100, Hits: append(tt.hits, 0)})
		if c.Place != tt.want || found[1-tt.want].WhyNot != tt.whyLost || found[tt.want].WhyNot != Won {
			t.Errorf("%s: %+v, %+v", name, c, found)
		}
	}
}

// TestOtherPolicies: each by what it is named after.
func TestOtherPolicies(t *testing.T) {
	d := newDesk(3)
	d.set(0, Standing{Load: 3})
	d.set(1, Standing{Load: 1, Prefill: 50_000})
	d.set(2, Standing{Load: 2, Prefill: 1000})
	ask := Ask{Input: 6400, Blocks: 100, Hits: []int32{0, 0, 0}, Session: 7}
	if c, found := d.pick(fleet.LeastRequests, ask); c.Place != 1 || c.Why != Fewest || found[0].WhyNot != MoreBusy {
		t.Errorf("least requests: %+v", c)
	}
	// 6400*4, 56400*2, 7400*3
	if c, found := d.pick(fleet.LMetric, ask); c.Place != 2 || found[1].WhyNot != MoreWork {
		t.Errorf("LMetric: %+v", c)
	}
	if c, _ := d.pick(fleet.SessionHash, ask); c.Why != Session {
		t.Errorf("session: %+v", c)
	}
	if c, _ := d.pick(fleet.TwoChoices, ask); c.Why != LessBusy {
		t.Errorf("two choices: %+v", c)
	}
	// A prompt too short to be found in a cache still has a home.
	if c, _ := d.pick(fleet.ByPrefix, Ask{Input: 20, Session: 7}); c.Why != Session {
		t.Errorf("a short prompt of a session: %+v", c)
	}
}

// TestRoundRobin: each in turn, whatever it has to do; who is out has no turn.
func TestRoundRobin(t *testing.T) {
	d := newDesk(3)
	d.set(0, Standing{Load: 90, Prefill: 100_000, KV: 10_000, Capacity: 10_000})
	ask := Ask{Input: 6400, Blocks: 100, Hits: []int32{0, 100, 0}}
	seen := map[int]int{}
	for i := range 9 {
		c, found := d.pick(fleet.RoundRobin, ask)
		if c.Why != InTurn || i > 0 && found[(c.Place+1)%3].WhyNot == "" {
			t.Fatalf("%+v, %+v", c, found)
		}
		d.Gave(d.pool[c.Place].ID)
		seen[c.Place]++
		if i%3 == 2 && (seen[0] != seen[1] || seen[1] != seen[2]) {
			t.Fatalf("after %d: %v", i+1, seen)
		}
	}
	d.set(1, Standing{Why: "out"})
	for range 4 {
		c, _ := d.pick(fleet.RoundRobin, ask)
		d.Gave(d.pool[c.Place].ID)
		if c.Place == 1 {
			t.Error("one that is out had a turn")
		}
	}
}

// TestCrowd: who holds the prompt has it, until it is far busier than who does not;
// then who can begin first.
func TestCrowd(t *testing.T) {
	const queue = 9000 // tokens to read first: more than the prompt
	for name, tt := range map[string]struct {
		warm, other Standing
		want        string
		place       int
	}{
		"alike":                  {Standing{Load: 30, Prefill: queue}, Standing{Load: 30}, Warm, 0},
		"busier":                 {Standing{Load: 52, Prefill: queue}, Standing{Load: 30}, Warm, 0},
		"half as busy again":     {Standing{Load: 53, Prefill: queue}, Standing{Load: 30}, LeastWork, 1},
		"and nobody before it":   {Standing{Load: 53}, Standing{Load: 30}, LeastWork, 0},
		"few are no crowd":       {Standing{Load: 7, Prefill: queue}, Standing{}, Warm, 0},
		"idle beside a crowd":    {Standing{Load: 8, Prefill: queue}, Standing{}, LeastWork, 1},
		"of one that just began": {Standing{Load: 30, Prefill: queue}, Standing{Load: 3, Weight: 0.1}, Warm, 0},
	} {
		d := newDesk(2)
		d.set(0, tt.warm)
		d.set(1, tt.other)
		c, found := d.pick(fleet.ByPrefix, Ask{Input: 6400, Blocks: 100, Hits: []int32{100, 0}})
		if c.Why != tt.want || c.Place != tt.place {
			t.Errorf("%s: %+v, %+v", name, c, found)
		}
	}
}

// TestRandom: whoever is in may win, whatever it has to do or holds.
func TestRandom(t *testing.T) {
	d := newDesk(3)
	d.set(0, Standing{Load: 90, Prefill: 100_000, KV: 10_000, Capacity: 10_000})
	d.set(1, Standing{Why: "out"})
	won := make([]int, 3)
	for range 3000 {
		c, _ := d.pick(fleet.Random, Ask{Input: 6400, Blocks: 100, Hits: []int32{0, 100, 0}})
		if c.Why != Chance || c.New {
			t.Fatalf("%+v", c)
		}
		won[c.Place]++
	}
	if won[1] != 0 || won[0] < 1350 || won[0] > 1650 {
		t.Errorf("won %v", won)
	}
}

// TestTiesAreDrawn: who is equal in all that counts gets an equal share.
func TestTiesAreDrawn(t *testing.T) {
	d := newDesk(5)
	won := make([]int, 5)
	for range 5000 {
		c, _ := d.pick(fleet.ByPrefix, Ask{Input: 100})
		won[c.Place]++
	}
	for place, n := range won {
		if n < 850 || n > 1150 {
			t.Errorf("place %d won %d of 5000", place, n)
		}
	}
}

// TestAnyPick: whatever the standings, the winner is open, or a last resort where
// none is; the winner is among those told, and nobody who lost is better in all.
func TestAnyPick(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "replicas")
		d := newDesk(n)
		hits := make([]int32, n)
		open := 0
		for i := range d.pool {
			st := Standing{
				Load: rapid.IntRange(0, 5).Draw(t, "load"), Prefill: rapid.IntRange(0, 40_000).Draw(t, "prefill"),
				KV: rapid.IntRange(0, 10_000).Draw(t, "kv"), Weight: rapid.SampledFrom([]float64{0.1, 0.5, 1}).Draw(t, "weight"),
				Capacity: rapid.SampledFrom([]int{0, 12_000}).Draw(t, "capacity"),
			}
			if rapid.IntRange(0, 3).Draw(t, "out") == 0 {
				st.Why, st.Resort = "out", rapid.Bool().Draw(t, "resort")
			} else {
				open++
			}
			d.set(i, st)
			hits[i] = int32(rapid.IntRange(0, 100).Draw(t, "hits"))
		}
		policy := rapid.SampledFrom([]fleet.Schedule{fleet.ByPrefix, fleet.LeastRequests, fleet.TwoChoices, fleet.SessionHash, fleet.LMetric, fleet.RoundRobin, fleet.Random}).Draw(t, "policy")
		c, found := d.pick(policy, Ask{Input: 6400, Output: 500, Blocks: 100, Hits: hits, Full: rapid.Bool().Draw(t, "full")})
		if c.Place < 0 {
			for i := range d.pool {
				if st := d.board.Standing(&d.pool[i]); st.Why == "" || st.Resort {
					t.Fatalf("nobody won, and %d could", i)
				}
			}
			return
		}
		st := d.board.Standing(&d.pool[c.Place])
		if open > 0 && st.Why != "" || open == 0 && !st.Resort {
			t.Fatalf("%d won, and stands so: %+v", c.Place, st)
		}
		if w, ok := found[c.Place]; !ok || w.WhyNot != Won || c.Why == "" {
			t.Fatalf("the winner %d is told so: %+v", c.Place, w)
		}
		for place, f := range found {
			if place != c.Place && f.WhyNot == "" {
				t.Fatalf("%d lost for no reason", place)
			}
		}
	})
}

func TestPickAllocatesNothing(t *testing.T) {
	d := newDesk(100)
	hits := make([]int32, 100)
	ask := Ask{Input: 8192, Blocks: 128, Hits: hits, Block: 64, Slack: 215_040}
	found := make([]Candidate, 8)
	d.Pick(fleet.ByPrefix, d.pool, d.board, &ask, d.src, found)
	if n := testing.AllocsPerRun(100, func() { d.Pick(fleet.ByPrefix, d.pool, d.board, &ask, d.src, found) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
