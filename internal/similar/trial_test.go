package similar

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The bound is Wilson's: with as many false ones found, so many have to be compared
// before at most one in a hundred is likely false.
func TestBound(t *testing.T) {
	for k, n := range map[uint64]uint64{0: 657, 1: 846, 2: 1018, 3: 1181, 5: 1490} {
		if at := (&Trial{Compared: n, False: k}).Bound(); at > Limit {
			t.Errorf("%d of %d: bound %v, want at most %v", k, n, at, Limit)
		}
		if before := (&Trial{Compared: n - 1, False: k}).Bound(); before <= Limit {
			t.Errorf("%d of %d: bound %v, want more than %v", k, n-1, before, Limit)
		}
	}
	if b := (&Trial{}).Bound(); b != 1 {
		t.Errorf("of nothing the bound is %v, want 1", b)
	}
}

// A trial serves nothing before a thousand candidates were compared, and stops as soon as
// too many false ones are found; then it stays off.
func TestTrial(t *testing.T) {
	now := time.Unix(1000, 0)
	var tr Trial
	for i := range Trials {
		if a := tr.Meet(On, 0); a != Watch {
			t.Fatalf("candidate %d: %v, want Watch", i, a)
		}
		tr.Learn(true, 0.9, now)
	}
	if a := tr.Meet(On, 0.5); a != Serve {
		t.Fatalf("after %d good ones: %v, want Serve", Trials, a)
	}
	if a := tr.Meet(On, 0.19); a != Check {
		t.Errorf("an early hit with a low draw: %v, want Check", a)
	}
	if a := tr.Meet(Shadow, 0.5); a != Watch {
		t.Errorf("in shadow: %v, want Watch", a)
	}
	if a := tr.Meet(Off, 0.5); a != Refuse {
		t.Errorf("off: %v, want Refuse", a)
	}
	stopped := 0
	for i := 1; i <= 10; i++ {
		if tr.Learn(false, 0.7, now) {
			stopped = i
		}
	}
	if stopped != 2 { // 1 of 1,001 holds, 2 of 1,002 do not
		t.Errorf("stopped at false hit %d, want 2", stopped)
	}
	if a := tr.Meet(On, 0.5); a != Refuse || !tr.Stopped || !tr.StoppedAt.Equal(now) {
		t.Errorf("after it stopped: %v, %+v", a, tr)
	}
	tr.Version--
	if a := tr.Meet(On, 0.5); a != Watch || tr.Compared != 0 {
		t.Errorf("under other rules: %v with %d comparisons, want a new trial", a, tr.Compared)
	}
}

// One who found two false among the first thousand goes on in shadow until the bound
// holds.
func TestTrialTakesLonger(t *testing.T) {
	var tr Trial
	for i := 0; ; i++ {
		if a := tr.Meet(On, 1); a == Serve {
			if i != 1100 {
				t.Errorf("serves after %d, want 1100: the look after 1,018", i)
			}
			return
		}
		tr.Learn(i != 5 && i != 500, 0.8, time.Time{})
	}
}

// Later hits are checked less often.
func TestShareOfChecks(t *testing.T) {
	tr := Trial{Version: Version, Serving: true, Hits: early}
	if a := tr.Meet(On, 0.19); a != Serve {
		t.Errorf("got %v, want Serve", a)
	}
	if a := tr.Meet(On, 0.019); a != Check {
		t.Errorf("got %v, want Check", a)
	}
}

// What the comparison gets wrong about one and the same question is not held against the
// similar ones; what it gets wrong by chance is.
func TestOwnError(t *testing.T) {
	own := Trial{Compared: 1000, False: 100, Exact: 300, ExactFalse: 30}
	if r := own.Rate(); r <= 0 || r >= 0.1 {
		t.Errorf("rate %v, want it between 0 and the 0.1 that was seen", r)
	}
	if own.Bound() <= Limit {
		t.Errorf("a comparison that is wrong in one of ten proves nothing, bound %v", own.Bound())
	}
}

func TestIntervalHoldsTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(1, 1e6).Draw(t, "n")
		tr := Trial{Compared: n, False: rapid.Uint64Range(0, n).Draw(t, "k")}
		low, high := tr.Interval()
		if r := tr.Rate(); low < 0 || high > 1 || r < low-1e-9 || r > high+1e-9 {
			t.Fatalf("%d of %d: %v not within [%v, %v]", tr.False, n, r, low, high)
		}
	})
}

func TestAgree(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"Paris is the capital of France.", "The capital of France is Paris.", true},
		{"Paris is the capital of France.", "Paris  is the capital of\nFrance.", true},
		{"Paris is the capital of France.", "Rome is the capital of Italy.", false},
		{"It takes 5 days.", "It takes 7 days.", false},
		{"It takes five days.", "It takes 5 days.", true},
		{"Yes, it is safe.", "No, it is not safe.", false},
		{"It is safe to eat.", "It is not safe to eat.", false},
		{"", "", true},
		{"Yes.", "", false},
	} {
		if got := Agree(tt.a, tt.b); got != tt.want {
			t.Errorf("%q, %q: %v, want %v", tt.a, tt.b, got, tt.want)
		}
		if Agree(tt.a, tt.b) != Agree(tt.b, tt.a) {
			t.Errorf("%q, %q: not the same both ways", tt.a, tt.b)
		}
	}
}

func TestPersonal(t *testing.T) {
	for text, want := range map[string]bool{
		"Send it to ada@example.org please":           true,
		"Call me at +49 170 1234567":                  true,
		"My card is 4111 1111 1111 1111":              true,
		"DE89370400440532013000 is where to pay":      true,
		"My name is Ada, what should I wear?":         true,
		"I am 34 and pregnant, may I fly?":            true,
		"What does my diagnosis mean for work?":       true,
		"My ssn is 078-05-1120":                       true,
		"How do I improve my English?":                false,
		"What is 2 + 2 and why?":                      false,
		"In 2024, 1,000,000 people moved there":       false,
		"How do I use @media in a style sheet?":       false,
		"Is version 1.22.3 of the server any better?": false,
	} {
		if got := Personal(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
