package similar

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// pairsOf reads the pairs of a file of testdata, each with what it is about.
func pairsOf(t *testing.T, name string) (about []string, pairs [][2]string) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		kind := ""
		if name != "paraphrases.txt" {
			kind, line, _ = strings.Cut(line, ": ")
		}
		a, b, ok := strings.Cut(line, " | ")
		if !ok {
			t.Fatalf("%s: no pair: %s", name, line)
		}
		about, pairs = append(about, kind), append(pairs, [2]string{a, b})
	}
	return about, pairs
}

// No answer stands in for one to a question that looks alike and asks for another thing,
// in either direction.
func TestOpposites(t *testing.T) {
	for _, name := range []string{"opposites.txt", "heldout.txt"} {
		about, pairs := pairsOf(t, name)
		served := 0
		for i, p := range pairs {
			a, b := Read(p[0]), Read(p[1])
			if Compare(a, b) == Same || Compare(b, a) == Same {
				served++
				t.Errorf("%s: %q would get the answer to %q (%s)", about[i], p[0], p[1], a.plain)
			}
		}
		t.Logf("%s: %d pairs, %d false hits", name, len(pairs), served)
	}
}

// Most of those that ask for the same in other words are found.
func TestParaphrases(t *testing.T) {
	_, pairs := pairsOf(t, "paraphrases.txt")
	found := 0
	for _, p := range pairs {
		if Compare(Read(p[0]), Read(p[1])) == Same {
			found++
		} else {
			t.Logf("not found: %q, %q: %v", p[0], p[1], Compare(Read(p[0]), Read(p[1])))
		}
	}
	if found < 70 {
		t.Errorf("%d of %d found, want 70", found, len(pairs))
	}
	t.Logf("%d of %d found", found, len(pairs))
}

// Whatever is changed in a question so that it asks for something else, it is not the same
// any more: a negation comes or goes, a number changes, a word gives way to another one,
// two words that matter change places.
func TestChanged(t *testing.T) {
	about, pairs := pairsOf(t, "opposites.txt")
	_, more := pairsOf(t, "paraphrases.txt")
	var texts []string
	for i, p := range append(slices.Clone(pairs), more...) {
		if i >= len(about) || about[i] != "content" { // these are in several languages, and about words
			texts = append(texts, p[0])
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	matters := func(w string) bool {
		w = strings.ToLower(strings.Trim(w, "?.,!"))
		q := Read("paint the " + w + " of my house with a brush")
		return len(w) > 3 && strings.Contains(q.plain, singular(w)) && !function[w] && !questionWords[w] && !negators[w] && !orders[w] && !persons[w] && !greetings[w] && w != "best" && w != "thanks"
	}
	changed := 0
	check := func(how, text, other string) {
		t.Helper()
		changed++
		if a, b := Read(text), Read(other); Compare(a, b) == Same || Compare(b, a) == Same {
			t.Errorf("%s: %q, %q (%s)", how, text, other, a.plain)
		}
	}
	others := strings.Fields("pianos Stockholm seventeen never quietly purple 42 v2.1 kitchen Alice")
	for _, text := range texts {
		words := strings.Fields(text)
		for i, w := range words {
			without := func(by ...string) string {
				return strings.Join(slices.Concat(words[:i], by, words[i+1:]), " ")
			}
			if i > 0 && (w == "is" || w == "can" || w == "should" || w == "do" || w == "does" || w == "are") {
				check("negated", text, without(w, "not"))
			}
			if !matters(w) {
				continue
			}
			if by := others[r.IntN(len(others))]; !strings.EqualFold(by, w) {
				check("another word", text, without(by))
			}
			for j := i + 1; j < len(words); j++ {
				a, b := strings.ToLower(strings.Trim(w, "?.,!")), strings.ToLower(strings.Trim(words[j], "?.,!"))
				if !matters(words[j]) || a == b || strings.Contains(text, " and ") || strings.Contains(text, " or ") {
					continue
				}
				swapped := slices.Clone(words)
				swapped[i], swapped[j] = words[j], w
				check("swapped", text, strings.Join(swapped, " "))
			}
		}
	}
	if changed < 2000 {
		t.Errorf("%d changes, want more", changed)
	}
	t.Logf("%d changes of %d questions, no false hit", changed, len(texts))
}

// TestQQP measures, where HEADWORKS_QQP names the file of labelled pairs of GPTCache
// (examples/benchmark, MIT; questions of Quora): 5,000 questions are kept, 2,500 that its
// people held for the same as one of them are asked, and 2,500 others.
func TestQQP(t *testing.T) {
	name := os.Getenv("HEADWORKS_QQP")
	if name == "" {
		t.Skip("HEADWORKS_QQP names no file: nothing is measured")
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		A     string `json:"text_a"`
		B     string `json:"text_b"`
		Label int
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	var pairs [][2]string
	var same, other, others int
	for _, p := range all {
		if p.Label == 1 {
			pairs = append(pairs, [2]string{p.A, p.B})
			continue
		}
		others++
		if a, b := Read(p.A), Read(p.B); a.WhyNot() == "" && b.WhyNot() == "" && Compare(a, b) == Same {
			other++
		}
	}
	for _, p := range pairs {
		if a, b := Read(p[0]), Read(p[1]); a.WhyNot() == "" && b.WhyNot() == "" && Compare(a, b) == Same {
			same++
		}
	}
	t.Logf("pair by pair: %d of %d held for the same are, %d of %d held for others", same, len(pairs), other, others)
	now := time.Unix(1000, 0)
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 1))
		r.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
		x, kept := NewIndex(false), map[string]bool{}
		i := 0
		for ; len(kept) < 5000; i++ {
			if kept[pairs[i][0]] {
				continue
			}
			kept[pairs[i][0]] = true
			if q := Read(pairs[i][0]); q.WhyNot() == "" {
				x.Add(Entry{Question: q, Key: key(pairs[i][0]), Expires: now.Add(time.Hour)}, now)
			}
		}
		var exact, similar int
		for _, p := range pairs[:2500] {
			q := Read(p[1])
			if kept[p[1]] {
				exact++
			} else if q.WhyNot() == "" {
				if _, _, ok := x.Find(q, nil, [32]byte{}, 0, now); ok {
					similar++
				}
			}
		}
		t.Logf("%d: of 2,500 in other words %.1f %% are found by the same words, %.1f %% by others", seed, float64(exact)/25, float64(similar)/25)
	}
}
