package schedule

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"headworks/internal/fleet"

	"pgregory.net/rapid"
)

// standings is a Board by replica; one that is not listed is idle.
type standings map[fleet.ReplicaID]Standing

func (s standings) Standing(r *fleet.Replica) Standing {
	id := r.ID
	st := s[id]
	if st.Weight == 0 && st.Why == "" {
		st.Weight = 1
	}
	return st
}

func (s standings) Standings(pool []fleet.Replica, to []Standing) {
	for i := range pool {
		to[i] = s.Standing(&pool[i])
	}
}

func pool(size int) (p []fleet.Replica) {
	for i := range size {
		p = append(p, fleet.Replica{ID: fleet.ReplicaID(100 + i)})
	}
	return p
}

func without(p []fleet.Replica, place int) []fleet.Replica {
	return append(append([]fleet.Replica{}, p[:place]...), p[place+1:]...)
}

// TestTwoDrawsAreUniform: where the replica at place k has k in flight, it wins
// whenever it is drawn with a busier one, which two uniform draws of n do with
// the probability 2 (n-1-k) / (n (n-1)).
func TestTwoDrawsAreUniform(t *testing.T) {
	for _, n := range []int{2, 3, 8, 9, 12, 40} { // 8 are looked at whole, more are sampled
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			p, b := pool(n), standings{}
			for i := range p {
				b[p[i].ID] = Standing{Load: i, Weight: 1}
			}
			const draws = 40_000
			src := rand.NewPCG(1, 2)
			won := make([]int, n)
			for range draws {
				choice, _ := Pick(p, b, 0, src, make([]Candidate, 8))
				won[choice.Place]++
			}
			for k, got := range won {
				share := 2 * float64(n-1-k) / float64(n*(n-1))
				if sigma := math.Sqrt(draws * share * (1 - share)); math.Abs(float64(got)-draws*share) > 4*sigma+1 {
					t.Errorf("place %d won %d times, want about %.0f", k, got, draws*share)
				}
			}
		})
	}
}

func TestIdleReplicasShareAlike(t *testing.T) {
	for _, n := range []int{2, 5, 40} {
		const draws = 20_000
		src := rand.NewPCG(3, 4)
		won := make([]int, n)
		for range draws {
			choice, _ := Pick(pool(n), standings{}, 0, src, make([]Candidate, 8))
			won[choice.Place]++
		}
		for place, got := range won {
			if mean := draws / float64(n); math.Abs(float64(got)-mean) > 4*math.Sqrt(mean) {
				t.Errorf("of %d, place %d won %d times, want about %.0f", n, place, got, mean)
			}
		}
	}
}

// TestFewLeftOfMany: where most of a large pool is out, whoever is left shares the
// work, and where all are out, the last resorts do by their load.
func TestFewLeftOfMany(t *testing.T) {
	p, b := pool(40), standings{}
	for i := range p {
		if i%10 != 3 {
			b[p[i].ID] = Standing{Why: "out", Resort: true}
		}
	}
	src := rand.NewPCG(5, 6)
	won := map[int]int{}
	for range 4000 {
		choice, _ := Pick(p, b, 0, src, make([]Candidate, 8))
		won[choice.Place]++
	}
	for _, place := range []int{3, 13, 23, 33} {
		if got := won[place]; got < 800 || got > 1200 {
			t.Errorf("place %d won %d times of 4000", place, got)
		}
	}
	b = standings{}
	for i := range p {
		b[p[i].ID] = Standing{Load: 2 + i%7, Why: "out", Resort: true}
	}
	b[p[30].ID] = Standing{Load: 1, Why: "out", Resort: true}
	b[p[31].ID] = Standing{Why: "out"}
	found := make([]Candidate, 8)
	for range 100 {
		choice, n := Pick(p, b, 0, src, found)
		if choice != (Choice{Place: 30, Why: Resort}) {
			t.Fatalf("%+v", choice)
		}
		for _, c := range found[:n] {
			if c.Place == 30 && c.Score != 2 {
				t.Errorf("the last resort scores %v", c.Score)
			}
		}
	}
}

func TestWhoWins(t *testing.T) {
	out := Standing{Why: "out"}
	resort := Standing{Why: "out", Resort: true}
	tests := map[string]struct {
		board []Standing
		want  int
		why   string
	}{
		"fewer in flight":               {[]Standing{{Load: 3, Weight: 1}, {Load: 2, Weight: 1}}, 1, LessBusy},
		"half the weight, a third less": {[]Standing{{Load: 2, Weight: 0.5}, {Load: 3, Weight: 1}}, 1, LessBusy},
		"half the weight, idle":         {[]Standing{{Load: 0, Weight: 0.5}, {Load: 2, Weight: 1}}, 0, LessBusy},
		"just back":                     {[]Standing{{Load: 0, Weight: 0.1}, {Load: 8, Weight: 1}}, 1, LessBusy},
		"one is out":                    {[]Standing{out, {Load: 9, Weight: 1}}, 1, Only},
		"however little it may take":    {[]Standing{{Load: 9, Weight: 0.1}, resort}, 0, Only},
		"alone":                         {[]Standing{{Weight: 1}}, 0, Only},
		"alone and out":                 {[]Standing{out}, -1, ""},
		"nobody":                        {nil, -1, ""},
		"a last resort":                 {[]Standing{out, resort}, 1, Resort},
		"the less busy last resort":     {[]Standing{{Load: 2, Why: "out", Resort: true}, {Load: 1, Why: "out", Resort: true}}, 1, Resort},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, b := pool(len(tt.board)), standings{}
			for i, st := range tt.board {
				b[p[i].ID] = st
			}
			for seed := range uint64(20) {
				choice, _ := Pick(p, b, 0, rand.NewPCG(seed, 0), make([]Candidate, 8))
				if choice != (Choice{Place: tt.want, Why: tt.why}) {
					t.Fatalf("%+v, want %d: %q", choice, tt.want, tt.why)
				}
			}
		})
	}
}

// homes returns where the first sessions live, by replica.
func homes(p []fleet.Replica, b Board, room int) (at [1000]fleet.ReplicaID) {
	src := rand.NewPCG(7, 8)
	for i := range at {
		choice, _ := Pick(p, b, uint64(i)+1, src, make([]Candidate, room))
		at[i] = p[choice.Place].ID
	}
	return at
}

// TestSessionsStay: who loses or gains a replica moves only the sessions of that
// replica, and a pool that is sampled has the same homes as one looked at whole.
func TestSessionsStay(t *testing.T) {
	p := pool(9)
	before := homes(p, standings{}, 9)
	if homes(p, standings{}, 8) != before {
		t.Error("a sampled pool has other homes")
	}
	count := map[fleet.ReplicaID]int{}
	for _, id := range before {
		count[id]++
	}
	lost := p[4].ID
	for _, r := range p {
		if got := count[r.ID]; got < 70 || got > 155 {
			t.Errorf("%d of 1000 sessions live at one of nine", got)
		}
	}
	for name, after := range map[string][1000]fleet.ReplicaID{
		"gone":                         homes(without(p, 4), standings{}, 9),
		"out":                          homes(p, standings{lost: {Why: "out"}}, 9),
		"out, and the pool is sampled": homes(p, standings{lost: {Why: "out"}}, 8),
	} {
		for i := range before {
			if after[i] == lost || before[i] != lost && after[i] != before[i] {
				t.Errorf("%s: session %d moved from %d to %d", name, i, before[i], after[i])
			}
		}
	}
}

// TestSessionSpills: a session leaves its home once that holds more than 125 % of
// another's and 4.
func TestSessionSpills(t *testing.T) {
	p := pool(2)
	home := 0
	if c, _ := Pick(p, standings{}, 9, rand.NewPCG(1, 1), make([]Candidate, 8)); c.Place == 1 {
		home = 1
	}
	for _, tt := range []struct {
		atHome, other int
		stays         bool
	}{{4, 0, true}, {5, 0, false}, {100, 77, true}, {101, 77, false}, {3, 9, true}} {
		b := standings{p[home].ID: {Load: tt.atHome, Weight: 1}, p[1-home].ID: {Load: tt.other, Weight: 1}}
		found := make([]Candidate, 8)
		c, _ := Pick(p, b, 9, rand.NewPCG(2, 2), found)
		want, loser := Choice{Place: home, Why: Session}, NotHome
		if !tt.stays {
			want, loser = Choice{Place: 1 - home, Why: LessBusy}, Busier
		}
		if c != want {
			t.Errorf("%d at home, %d at the other: %+v", tt.atHome, tt.other, c)
		}
		if got := found[1-c.Place].WhyNot; got != loser {
			t.Errorf("%d at home, %d at the other: the loser's reason is %q", tt.atHome, tt.other, got)
		}
	}
}

// TestAnyPool checks what holds for every choice.
func TestAnyPool(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, b := pool(rapid.IntRange(0, 30).Draw(t, "size")), standings{}
		anyone, resorts := false, false
		for i := range p {
			st := Standing{
				Load:   rapid.IntRange(0, 20).Draw(t, "load"),
				Weight: rapid.SampledFrom([]float64{1, 1, 1, 0.5, 0.1}).Draw(t, "weight"),
				Why:    rapid.SampledFrom([]string{"", "", "out", "cooling"}).Draw(t, "why"),
			}
			st.Resort = st.Why == "out"
			anyone, resorts = anyone || st.Why == "", resorts || st.Resort
			b[p[i].ID] = st
		}
		session := rapid.SampledFrom([]uint64{0, 0, 1, 2, 1 << 60}).Draw(t, "session")
		seed := rapid.Uint64().Draw(t, "seed")
		room := rapid.IntRange(3, 12).Draw(t, "room")

		found, again := make([]Candidate, room), make([]Candidate, room)
		choice, n := Pick(p, b, session, rand.NewPCG(seed, 0), found)
		if c, m := Pick(p, b, session, rand.NewPCG(seed, 0), again); c != choice || m != n {
			t.Fatalf("%+v, and with the same draws %+v", choice, c)
		}
		if n > room || n < min(len(p), 1) {
			t.Fatalf("%d candidates of %d, with room for %d", n, len(p), room)
		}
		seen := map[int]bool{}
		won := false
		for i, c := range found[:n] {
			if again[i] != c {
				t.Fatalf("%+v, and with the same draws %+v", c, again[i])
			}
			if seen[c.Place] {
				t.Fatalf("place %d twice among %+v", c.Place, found[:n])
			}
			seen[c.Place] = true
			st := b[p[c.Place].ID]
			if want := score(st); c.Score != want {
				t.Fatalf("%+v scores %v", st, c.Score)
			}
			switch {
			case c.Place == choice.Place:
				won = c.WhyNot == Won
			case c.WhyNot == "":
				t.Fatalf("a loser without a reason: %+v", c)
			case st.Why != "" && c.WhyNot != st.Why:
				t.Fatalf("%+v lost since %q", st, c.WhyNot)
			}
		}
		switch {
		case !anyone && !resorts:
			if choice.Place != -1 {
				t.Fatalf("%+v, and nobody is left", choice)
			}
			return
		case !won:
			t.Fatalf("%+v is not the winner among %+v", choice, found[:n])
		case anyone != (b[p[choice.Place].ID].Why == ""), anyone == (choice.Why == Resort):
			t.Fatalf("%+v, at %+v", choice, b[p[choice.Place].ID])
		}
	})
}

func BenchmarkPick(b *testing.B) {
	for _, n := range []int{2, 8, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p, src := pool(n), rand.NewPCG(1, 2)
			board := Board(standings{})
			b.ReportAllocs()
			for b.Loop() {
				var found [8]Candidate
				Pick(p, board, 0, src, found[:])
			}
		})
	}
}
