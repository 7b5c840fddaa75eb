package eval

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// TestLostKnown compares with figures from elsewhere: the approval of a prime minister
// asked twice (794, 150, 86, 570 of 1600, Agresti, Categorical Data Analysis), whose
// interval by the normal distribution is 0.0400 +- 0.0187, and what the formula
// gives in closed form where no item differs: z2 / (n + z2).
func TestLostKnown(t *testing.T) {
	lost, in := Pairs{Both: 794, Base: 150, Variant: 86, None: 570}.Lost(Z95)
	if math.Abs(lost-0.04) > 1e-12 || math.Abs(in.Low-0.02128) > 4e-4 || math.Abs(in.High-0.05872) > 4e-4 {
		t.Errorf("%v %v", lost, in)
	}
	_, in = Pairs{Both: 90, None: 10}.Lost(Z95)
	if edge := Z95 * Z95 / (100 + Z95*Z95); math.Abs(in.Low+edge) > 1e-9 || math.Abs(in.High-edge) > 1e-9 {
		t.Errorf("no difference: %v, want %v on both sides", in, edge)
	}
}

// TestPKnown compares with binomial sums done by hand.
func TestPKnown(t *testing.T) {
	for _, c := range []struct {
		p    Pairs
		want float64
	}{
		{Pairs{Both: 5}, 1},
		{Pairs{Base: 5}, 2.0 / 32},
		{Pairs{Base: 1, Variant: 5}, 2 * 7.0 / 64},
		{Pairs{Base: 3, Variant: 3}, 1},
	} {
		if got := c.p.P(); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%+v: %v, want %v", c.p, got, c.want)
		}
	}
}

func drawPairs(t *rapid.T) Pairs {
	n := rapid.IntRange(0, 300)
	p := Pairs{Both: n.Draw(t, "both"), Base: n.Draw(t, "base"), Variant: n.Draw(t, "variant"), None: n.Draw(t, "none")}
	if p.N() == 0 {
		p.Both = 1
	}
	return p
}

func TestLostHasItsPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPairs(t)
		lost, in := p.Lost(Z95)
		if !in.Has(lost) || in.Low < -1 || in.High > 1 || in.High-in.Low <= 0 {
			t.Fatalf("%+v: %v in %v", p, lost, in)
		}
		_, wide := p.Lost(2.58)
		if wide.Low > in.Low+1e-9 || wide.High < in.High-1e-9 {
			t.Fatalf("%+v: %v at 99 %%, %v at 95 %%", p, wide, in)
		}
		// Whoever is called the variant: what one loses the other gains.
		p.Base, p.Variant = p.Variant, p.Base
		back, turned := p.Lost(Z95)
		if math.Abs(back+lost) > 1e-12 || math.Abs(turned.Low+in.High) > 1e-6 || math.Abs(turned.High+in.Low) > 1e-6 {
			t.Fatalf("%+v: %v and %v", p, in, turned)
		}
	})
}

// TestLostCovers draws pairs of targets whose difference is known: in 95 of 100 sets
// the interval has it. Of 2,000 sets 93 to 97 % are within five standard errors.
func TestLostCovers(t *testing.T) {
	const sets = 2000
	src := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		n             int
		base, variant float64 // shares of items on which one alone is right
		both          float64
	}{
		{200, 0.10, 0.05, 0.80},
		{1000, 0.07, 0.02, 0.85},
		{400, 0.04, 0.04, 0.90},
		{60, 0.20, 0.10, 0.50},
		{1000, 0.15, 0.15, 0.40},
	} {
		covered := 0
		for range sets {
			var p Pairs
			for range c.n {
				switch x := src.Float64(); {
				case x < c.base:
					p.Base++
				case x < c.base+c.variant:
					p.Variant++
				case x < c.base+c.variant+c.both:
					p.Both++
				default:
					p.None++
				}
			}
			if _, in := p.Lost(Z95); in.Has(c.base - c.variant) {
				covered++
			}
		}
		share := float64(covered) / sets
		t.Logf("%+v: %.3f", c, share)
		if share < 0.93 || share > 0.97 {
			t.Errorf("%+v: the interval has the difference in %.3f of the sets", c, share)
		}
	}
}

// TestNeeded draws sets of as many items as a loss is said to take: it is shown in 80
// of 100.
func TestNeeded(t *testing.T) {
	const sets = 2000
	src := rand.New(rand.NewPCG(3, 4))
	for _, c := range []struct{ loss, differ float64 }{{0.05, 0.10}, {0.05, 0.25}, {0.02, 0.06}} {
		n, shown := Needed(c.loss, c.differ), 0
		for range sets {
			var p Pairs
			for range n {
				switch x := src.Float64(); {
				case x < (c.differ+c.loss)/2:
					p.Base++
				case x < c.differ:
					p.Variant++
				default:
					p.Both++
				}
			}
			if _, in := p.Lost(Z95); in.Low > 0 {
				shown++
			}
		}
		share := float64(shown) / sets
		t.Logf("%+v: %d items, shown in %.3f", c, n, share)
		if share < 0.76 || share > 0.84 {
			t.Errorf("%+v: %d items show it in %.3f of the sets", c, n, share)
		}
		if seen := Seen(n, c.differ); math.Abs(seen-c.loss) > 0.002 {
			t.Errorf("%+v: %d items are said to show %v", c, n, seen)
		}
	}
}

func TestWilson(t *testing.T) {
	// Wilson 1927: of 50 items, 40 right lie between .67 and .89.
	if in := Wilson(40, 50, Z95); math.Abs(in.Low-0.67) > 0.005 || math.Abs(in.High-0.888) > 0.005 {
		t.Error(in)
	}
	if in := Wilson(0, 0, Z95); in != (Interval{0, 1}) {
		t.Error(in)
	}
}
