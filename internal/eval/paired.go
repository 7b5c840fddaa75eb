package eval

import "math"

// Pairs is how often two targets were right and wrong on the same items.
type Pairs struct {
	Both    int `json:"both"`    // are right
	Base    int `json:"base"`    // alone is
	Variant int `json:"variant"` // alone is
	None    int `json:"none"`    // is right
}

// N returns how many items that are.
func (p Pairs) N() int { return p.Both + p.Base + p.Variant + p.None }

// Right returns the shares of right answers.
func (p Pairs) Right() (base, variant float64) {
	n := float64(p.N())
	return float64(p.Both+p.Base) / n, float64(p.Both+p.Variant) / n
}

// Differ returns the share of items on which one of them alone is right.
func (p Pairs) Differ() float64 { return float64(p.Base+p.Variant) / float64(p.N()) }

// Interval is where a figure lies with some confidence.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Has reports whether a figure lies in it.
func (i Interval) Has(x float64) bool { return i.Low <= x && x <= i.High }

// Z95 is the quantile of the normal distribution that leaves 2.5 % on each side, and
// z80 the one with 80 % below it.
const (
	Z95 = 1.959963984540054
	z80 = 0.8416212335729143
)

// Lost returns the share that the variant is right less often than the base, negative
// where it is more often, and its interval: the values that a score test does not
// refuse (Tango 1998, Statistics in Medicine 17, 891-908). It holds for few items and
// for shares near 0 and 1, and takes into account that both answered the same items.
func (p Pairs) Lost(z float64) (float64, Interval) {
	n, b, c := float64(p.N()), float64(p.Base), float64(p.Variant)
	lost := (b - c) / n
	score := func(d float64) float64 {
		diff := b - c - n*d
		x := 2 * n
		y := -b - c + (2*n-b+c)*d
		q := (math.Sqrt(max(y*y+4*x*c*d*(1-d), 0)) - y) / (2 * x) // of the variant alone, as likely as can be where d holds
		v := n * (2*q + d*(1-d))
		if v <= 0 {
			switch {
			case diff > 0:
				return math.Inf(1)
			case diff < 0:
				return math.Inf(-1)
			}
			return 0
		}
		return diff / math.Sqrt(v)
	}
	return lost, Interval{
		Low:  meets(func(d float64) bool { return score(d) > z }, -1, lost),
		High: meets(func(d float64) bool { return score(d) >= -z }, lost, 1),
	}
}

// meets returns where a statement that holds at the beginning of a range ceases to.
func meets(holds func(float64) bool, from, to float64) float64 {
	for range 60 {
		if mid := (from + to) / 2; holds(mid) {
			from = mid
		} else {
			to = mid
		}
	}
	return (from + to) / 2
}

// P returns how likely a difference as large as this is, or larger, where the targets
// are equal: McNemar's exact test, of both sides.
func (p Pairs) P() float64 {
	n, k := p.Base+p.Variant, min(p.Base, p.Variant)
	if n == 0 {
		return 1
	}
	all, _ := math.Lgamma(float64(n + 1))
	sum := 0.0
	for i := range k + 1 {
		a, _ := math.Lgamma(float64(i + 1))
		b, _ := math.Lgamma(float64(n - i + 1))
		sum += math.Exp(all - a - b - float64(n)*math.Ln2)
	}
	return min(1, 2*sum)
}

// Wilson returns the interval of a share, of k among n (Wilson 1927).
func Wilson(k, n int, z float64) Interval {
	if n == 0 {
		return Interval{0, 1}
	}
	m, share := float64(n), float64(k)/float64(n)
	mid := (share + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(share*(1-share)/m+z*z/(4*m*m))
	return Interval{max(0, mid-half), min(1, mid+half)}
}

// Needed returns how many items it takes to see a loss with 80 % of chances, at 95 %
// confidence, where a share of the items is answered differently (Connor 1987,
// Biometrics 43, 207-211).
func Needed(loss, differ float64) int {
	differ = max(differ, loss) // a loss is a difference
	root := math.Sqrt(max(differ-loss*loss, 0))
	return int(math.Ceil(math.Pow(Z95*math.Sqrt(differ)+z80*root, 2) / (loss * loss)))
}

// Seen returns the least loss that so many items show with 80 % of chances.
func Seen(n int, differ float64) float64 {
	return meets(func(loss float64) bool { return Needed(loss, differ) > n }, 1e-6, 1)
}
