package golden

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"headworks/internal/relevance"
)

// A figure is of the questions that have it on both sides, and the difference is theirs.
func TestSetBeside(t *testing.T) {
	half, whole := .5, 1.
	cent := .01
	b := SetBeside([]Both{
		{Reply{Input: 100, Output: 10, Cost: &cent, Seconds: 1, Support: &half}, Reply{Input: 1000, Output: 10, Seconds: 3, Support: &whole}},
		{Reply{Input: 300, Output: 20, Seconds: 2}, Reply{Input: 1000, Output: 10, Seconds: 3, Support: &half}},
	})
	if b.Queries != 2 || b.Retrieved.Input.Mean != 200 || b.Whole.Input.Mean != 1000 || b.Difference.Input.Mean != -800 || b.Difference.Output.Mean != 5 {
		t.Errorf("%+v", b)
	}
	if in := b.Difference.Input.Of; in.Low < -900 || in.High > -700 || in.Low > in.High {
		t.Errorf("difference within %v", in)
	}
	if b.Whole.Input.Of != (relevance.Interval{Low: 1000, High: 1000}) {
		t.Errorf("equal ones within %v", b.Whole.Input.Of)
	}
	if s := b.Whole.Support; s.N != 1 || s.Mean != 1 || b.Retrieved.Support.Mean != .5 || b.Difference.Support.Mean != -.5 {
		t.Errorf("support %+v, retrieved %+v", s, b.Retrieved.Support)
	}
	if b.Difference.Cost.N != 0 || b.Retrieved.Cost.N != 0 {
		t.Errorf("a cost that one side alone has: %+v", b.Retrieved.Cost)
	}
	if none := SetBeside(nil); none.Queries != 0 || none.Whole.Input.N != 0 {
		t.Errorf("of none %+v", none)
	}
}

func TestDraw(t *testing.T) {
	var queries, judged strings.Builder
	for i := range 40 {
		n := strconv.Itoa(i)
		queries.WriteString(`{"id":"` + n + `","text":"question ` + n + "\"}\n")
		if i%2 == 0 {
			judged.WriteString(n + " 0 some.md 1\n")
		}
	}
	s, err := Read([]byte(queries.String()), []byte(judged.String()))
	if err != nil {
		t.Fatal(err)
	}
	if all := s.Draw(0, 1); len(all) != 20 || len(s.Draw(30, 1)) != 20 {
		t.Errorf("%d of 20 judged", len(all))
	}
	some := s.Draw(5, 1)
	if len(some) != 5 || !slices.Equal(some, s.Draw(5, 1)) || slices.Equal(some, s.Draw(5, 2)) {
		t.Errorf("drawn %v", some)
	}
	at := -1
	for _, q := range some {
		n, _ := strconv.Atoi(q.ID)
		if n <= at || n%2 != 0 {
			t.Errorf("drawn %v", some)
		}
		at = n
	}
}
