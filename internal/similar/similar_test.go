package similar

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func terms(q *Question) string {
	var s []string
	for _, t := range q.terms {
		s = append(s, t.text)
	}
	return strings.Join(s, " ")
}

// Each guard refuses what it is there for and lets through what only looks like it.
func TestGuards(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want Guard
	}{
		{"How long do I boil 2 eggs?", "How long do I boil 3 eggs?", Number},
		{"How long do I boil two eggs?", "How long do I boil 2 eggs?", Same},
		{"Is 1,000 dollars enough?", "Is $1000 enough?", Same},
		{"Is $1000 enough?", "Is €1000 enough?", Stem},
		{"Can I install Python 3.11?", "Can I install Python 3.1.1?", Number},
		{"What happened on 2024-01-05?", "What happened on 2024-05-01?", Number},
		{"Is 8GB of memory enough for it?", "Is 8 gigabytes of memory enough for it?", Same},
		{"Is 8 GB enough for it?", "Is 8 Gb enough for it?", Stem},
		{"Which tablets may I take with milk?", "Which tablets may I take without milk?", Negation},
		{"Why does my dog eat grass?", "Why doesn't my dog eat grass?", Negation},
		{"Is it legal to own a fox?", "Is it illegal to own a fox?", Negation},
		{"Why can't I log in to it?", "Why can not I log in to it?", Same},
		{"How do I enable two factor login?", "How do I disable two factor login?", Antonym},
		{"How do I turn the light on?", "How do I turn the light off?", Antonym},
		{"Does `getUser()` return null?", "Does `getuser()` return null?", Entity},
		{"What is in /etc/passwd on Linux?", "What is in /etc/shadow on Linux?", Entity},
		{"What does “defer” do in Go?", "What does defer do in Go?", Same},
		{"How does the heart pump blood?", "Why does the heart pump blood?", Class},
		{"Which is the best phone for a child?", "Which is the best phone for a child and why?", Same},
		{"Which is the best phone for a child and why?", "Which is the best phone for a child?", Class},
		{"Is the earth flat at all?", "Can the earth be flat at all?", Class},
		{"What is the capital of France?", "What is the capital of Spain?", Stem},
		{"How do I stop the server gracefully?", "How do I stop the server?", Stem},
		{"Does Alice owe Bob money?", "Does Bob owe Alice money?", Order},
		{"flights from Oslo to Rome", "flights from Rome to Oslo", Order},
		{"can dogs eat cats", "can cats eat dogs", Order},
		{"What is the weather in Oslo today?", "What's the weather in Oslo today?", Time},
		{"How did prices change this week?", "How did prices change this week?", Time},
		{"Как дела?", "Kak dela?", Language},
	} {
		if got := Compare(Read(tt.a), Read(tt.b)); got != tt.want {
			t.Errorf("%q, %q: %v, want %v (%s | %s)", tt.a, tt.b, got, tt.want, terms(Read(tt.a)), terms(Read(tt.b)))
		}
		if a, b := Compare(Read(tt.a), Read(tt.b)), Compare(Read(tt.b), Read(tt.a)); (a == Same) != (b == Same) && !strings.Contains(tt.a+tt.b, "and why") {
			t.Errorf("%q, %q: %v one way, %v the other", tt.a, tt.b, a, b)
		}
	}
}

// A text stands in for itself unless time is in it, and what refuses one way refuses
// the other way.
func TestCompareIsSymmetric(t *testing.T) {
	words := strings.Fields("how do does can i you the a what is are not never 2 two 2.0 eggs egg Paris Berlin to from running run `x` \"y z\" of best my your which and difference between . ? , it's don't C++ /tmp/x today")
	text := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 0, 12).Draw(t, "words"), " ")
	})
	rapid.Check(t, func(t *rapid.T) {
		s, u := text.Draw(t, "a"), text.Draw(t, "b")
		a, b := Read(s), Read(u)
		if g := Compare(a, a); g != Same && g != Time {
			t.Fatalf("%q differs from itself: %v", s, g)
		}
		if x, y := Compare(a, b), Compare(b, a); (x == Same) != (y == Same) {
			t.Fatalf("%q, %q: %v one way, %v the other", s, u, x, y)
		}
		// The index looks questions up by what this hash is made of.
		if Compare(a, b) == Same && content(a, [32]byte{}) != content(b, [32]byte{}) {
			t.Fatalf("%q, %q are the same and would not be found: %s | %s", s, u, terms(a), terms(b))
		}
	})
}
