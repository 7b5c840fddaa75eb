package admit

import (
	"slices"
	"strings"
	"testing"

	"headworks/internal/fault"
	"headworks/internal/tenant"

	"pgregory.net/rapid"
)

func caller(slot, concurrency int, class tenant.Class) *tenant.Caller {
	return &tenant.Caller{Slot: slot, Tier: tenant.Tier{Concurrency: concurrency, Class: class}}
}

// TestGate tells stories in words: a name enters, -name leaves. What comes of
// each stands behind the colon: in, waits, full, key (it has too many), or who
// may enter in its stead. The first letter of a name is its key, of which k may
// have 2; the class is the second: c, s, h (sheddable) or b (batch).
func TestGate(t *testing.T) {
	tests := map[string]struct {
		limits Limits
		story  string
	}{
		"no limit":                      {Limits{}, "as1:in as2:in as3:in -as1: as4:in"},
		"no queue":                      {Limits{InFlight: 1}, "as1:in as2:full -as1: as2:in"},
		"first come, first served":      {Limits{1, 3}, "as1:in as2:waits as3:waits as4:waits as5:full -as1:as2 -as2:as3 -as3:as4 -as4: as5:in"},
		"the dearer first":              {Limits{1, 9}, "as1:in ab1:waits ah1:waits as2:waits ac1:waits ab2:waits -as1:ac1 -ac1:as2 -as2:ah1 -ah1:ab1 -ab1:ab2 -ab2:"},
		"who waits may leave: first":    {Limits{1, 3}, "as1:in as2:waits as3:waits as4:waits -as2: -as1:as3 -as3:as4"},
		"who waits may leave: middle":   {Limits{1, 3}, "as1:in as2:waits as3:waits as4:waits -as3: -as1:as2 -as2:as4"},
		"who waits may leave: last":     {Limits{1, 3}, "as1:in as2:waits as3:waits as4:waits -as4: as5:waits -as1:as2 -as2:as3 -as3:as5"},
		"who waits may leave: only one": {Limits{1, 1}, "as1:in as2:waits -as2: as3:waits -as1:as3"},
		"leaving makes room to wait":    {Limits{1, 1}, "as1:in as2:waits as3:full -as2: as3:waits"},
		"leaving twice":                 {Limits{1, 2}, "as1:in as2:waits as3:waits -as1:as2 -as1: -as1: -as2:as3"},
		"a key has so many":             {Limits{}, "ks1:in ks2:in ks3:key as1:in -ks1: ks3:in"},
		"those that wait count":         {Limits{1, 9}, "as1:in ks1:waits ks2:waits ks3:key -ks1: ks3:waits"},
		"those turned away do not":      {Limits{1, 1}, "as1:in as2:waits ks1:full ks2:full ks3:full -as2: ks1:waits -as1:ks1 ks2:waits ks3:key"},
		"the key's limit comes first":   {Limits{2, 0}, "ks1:in ks2:in ks3:key as1:full"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g := Gate[string]{Limits: tt.limits}
			places := map[string]*Place[string]{}
			for word := range strings.FieldsSeq(tt.story) {
				who, want, _ := strings.Cut(word, ":")
				if who, leaves := strings.CutPrefix(who, "-"); leaves {
					next := ""
					if p := g.Leave(places[who]); p != nil {
						if next = p.Of; !p.Entered() {
							t.Errorf("%s: %s may enter and has not", word, next)
						}
					}
					if next != want {
						t.Fatalf("%s: got %q", word, next)
					}
					continue
				}
				c := caller(int(who[0]), 0, tenant.Class(strings.IndexByte("cshb", who[1])))
				if who[0] == 'k' {
					c.Tier.Concurrency = 2
				}
				places[who] = &Place[string]{Of: who}
				v := g.Enter(places[who], c)
				got := map[Verdict]string{
					{}:                         "in",
					{Wait: true}:               "waits",
					{Fault: fault.Overloaded}:  "full",
					{Fault: fault.Concurrency}: "key",
				}[v]
				if got != want {
					t.Fatalf("%s: got %q", word, got)
				}
				if places[who].Entered() != (want == "in") {
					t.Errorf("%s: entered is %v", word, places[who].Entered())
				}
			}
		})
	}
}

// TestLowerLimit: after a reload lowered it, places are given back until it holds.
func TestLowerLimit(t *testing.T) {
	g := Gate[int]{Limits: Limits{InFlight: 3, Queue: 1}}
	var p [4]Place[int]
	for i := range p {
		g.Enter(&p[i], caller(0, 0, tenant.Standard))
	}
	g.Limits.InFlight = 1
	if g.Leave(&p[0]) != nil || g.Leave(&p[1]) != nil {
		t.Error("a place beyond the limit was given away")
	}
	if g.Leave(&p[2]) != &p[3] {
		t.Error("the last place was not")
	}
}

// naive is a Gate that anyone can see to be right: a list in order of arrival.
type naive struct {
	Limits
	in   []*guest
	line []*guest
}

type guest struct {
	Place[*guest]
	c *tenant.Caller
}

func (n *naive) enter(g *guest) Verdict {
	same := 0
	for _, other := range slices.Concat(n.in, n.line) {
		if other.c.Slot == g.c.Slot {
			same++
		}
	}
	switch {
	case g.c.Tier.Concurrency > 0 && same >= g.c.Tier.Concurrency:
		return Verdict{Fault: fault.Concurrency}
	case n.InFlight <= 0 || len(n.in) < n.InFlight:
		n.in = append(n.in, g)
		return Verdict{}
	case len(n.line) >= n.Queue:
		return Verdict{Fault: fault.Overloaded}
	}
	n.line = append(n.line, g)
	return Verdict{Wait: true}
}

func (n *naive) leave(g *guest) *guest {
	if i := slices.Index(n.line, g); i >= 0 {
		n.line = slices.Delete(n.line, i, i+1)
		return nil
	}
	i := slices.Index(n.in, g)
	if i < 0 {
		return nil
	}
	n.in = slices.Delete(n.in, i, i+1)
	if len(n.line) == 0 || n.InFlight > 0 && len(n.in) >= n.InFlight {
		return nil
	}
	next := slices.MinFunc(n.line, func(a, b *guest) int { return int(a.c.Tier.Class) - int(b.c.Tier.Class) })
	n.line = slices.DeleteFunc(n.line, func(g *guest) bool { return g == next })
	n.in = append(n.in, next)
	return next
}

func TestGateAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := Limits{InFlight: rapid.IntRange(0, 5).Draw(t, "in flight"), Queue: rapid.IntRange(0, 6).Draw(t, "queue")}
		g, model := Gate[*guest]{Limits: limits}, naive{Limits: limits}
		var callers []*tenant.Caller
		for slot := range 4 {
			callers = append(callers, caller(slot, slot, tenant.Class(slot))) // the first has no limit
		}
		var guests []*guest
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				n := &guest{c: rapid.SampledFrom(callers).Draw(t, "caller")}
				n.Of = n
				if got, want := g.Enter(&n.Place, n.c), model.enter(n); got != want {
					t.Fatalf("got %+v, want %+v", got, want)
				}
				guests = append(guests, n)
			},
			"leave": func(t *rapid.T) {
				if len(guests) == 0 {
					t.Skip("nobody came yet")
				}
				who := rapid.SampledFrom(guests).Draw(t, "who") // perhaps a second time
				var got *guest
				if p := g.Leave(&who.Place); p != nil {
					got = p.Of
				}
				if want := model.leave(who); got != want {
					t.Fatalf("next is %p, want %p", got, want)
				}
			},
			"limit": func(t *rapid.T) { // lowered, as a reload may
				if limits.InFlight > 1 {
					limits.InFlight--
					g.Limits, model.Limits = limits, limits
				}
			},
			"": func(t *rapid.T) {
				if g.InFlight() != len(model.in) || g.Waiting() != len(model.line) {
					t.Fatalf("%d in and %d wait, want %d and %d", g.InFlight(), g.Waiting(), len(model.in), len(model.line))
				}
				var queued [4]int
				for _, n := range model.line {
					queued[n.c.Tier.Class]++
				}
				if g.Queued() != queued {
					t.Fatalf("%v wait, want %v", g.Queued(), queued)
				}
				for _, n := range guests {
					if n.Entered() != slices.Contains(model.in, n) {
						t.Fatalf("a guest has entered: %v", n.Entered())
					}
				}
			},
		})
	})
}

func BenchmarkGate(b *testing.B) {
	g := Gate[int]{Limits: Limits{InFlight: 1, Queue: 1}}
	var in, out Place[int]
	c := caller(0, 2, tenant.Standard)
	g.Enter(&in, c)
	b.ReportAllocs()
	for b.Loop() {
		g.Enter(&out, c)
		g.Leave(&in)
		in, out = out, in
	}
}
