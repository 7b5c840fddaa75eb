package complexity

import (
	"bufio"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"headworks/internal/inference"
)

// Labels tell how a weak and a strong model did on prompts, one JSON object a line:
// {"prompt": "...", "weak": 0, "strong": 1}, each from 0 to 1 or as true and false.
// docs/explanation/measured.md says where public ones are.
var labels = flag.String("labels", "", "file of prompts with what a weak and a strong model made of them")

// TestLabels measures on public labels what the score is worth: by the share of the
// gap between the two models that is recovered, on average over all shares of
// requests that go to the strong one (APGR of RouteLLM, arXiv 2406.18665: 0.5 is a
// coin), and by how many of them have to go there for half of the gap (CPT50).
//
//	go test ./internal/complexity -run TestLabels -v -labels mmlu.jsonl
func TestLabels(t *testing.T) {
	if *labels == "" {
		t.Skip("no -labels")
	}
	all := read(t, *labels)
	w := Default()
	by := map[string]func(*prompt) float64{
		"score":  func(p *prompt) float64 { return float64(Of(&p.request, &w).Total) },
		"length": func(p *prompt) float64 { return float64(p.bytes) },
	}
	for _, part := range []struct {
		name string
		of   []prompt
	}{{"all", all}, {"first half", half(all, 0)}, {"second half", half(all, 1)}} {
		for _, name := range []string{"score", "length"} {
			t.Logf("%-11s %6d prompts  by %-6s  APGR %.3f  CPT50 %.1f %%", part.name, len(part.of), name, recovered(part.of, by[name]), 100*needed(part.of, by[name], 0.5))
		}
	}
	src := rand.New(rand.NewPCG(1, 2))
	var diffs []float64
	drawn := make([]prompt, len(all))
	for range 400 {
		for i := range drawn {
			drawn[i] = all[src.IntN(len(all))]
		}
		diffs = append(diffs, recovered(drawn, by["score"])-recovered(drawn, by["length"]))
	}
	slices.Sort(diffs)
	t.Logf("score - length: %+.3f, 95 %% from %+.3f to %+.3f", recovered(all, by["score"])-recovered(all, by["length"]), diffs[10], diffs[389])
}

// prompt is one with its labels.
type prompt struct {
	request inference.Request
	bytes   int
	gain    float64 // of the strong model over the weak one
}

func read(t *testing.T, name string) (all []prompt) {
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var l struct {
			Prompt       string
			Weak, Strong verdict
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatalf("line %d: %v", len(all)+1, err)
		}
		all = append(all, prompt{inference.Request{Features: features("user", l.Prompt)}, len(l.Prompt), float64(l.Strong - l.Weak)})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// verdict is a number from 0 to 1, or a truth.
type verdict float64

func (v *verdict) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "true":
		*v = 1
	case "false":
		*v = 0
	default:
		return json.Unmarshal(b, (*float64)(v))
	}
	if *v < 0 || *v > 1 {
		return fmt.Errorf("%v is not from 0 to 1", *v)
	}
	return nil
}

// half returns every other prompt.
func half(all []prompt, from int) (part []prompt) {
	for i := from; i < len(all); i += 2 {
		part = append(part, all[i])
	}
	return part
}

// curve calls each with what is recovered of the gap once a share of the prompts, the
// hardest first, goes to the strong model. Equals go in one step.
func curve(of []prompt, hard func(*prompt) float64, each func(share, gap float64)) {
	type scored struct{ hard, gain float64 }
	rows, whole := make([]scored, len(of)), 0.0
	for i := range of {
		rows[i] = scored{hard(&of[i]), of[i].gain}
		whole += of[i].gain
	}
	slices.SortFunc(rows, func(a, b scored) int { return cmp.Compare(b.hard, a.hard) })
	gap := 0.0
	for i, r := range rows {
		gap += r.gain
		if i+1 == len(rows) || rows[i+1].hard != r.hard {
			each(float64(i+1)/float64(len(rows)), gap/whole)
		}
	}
}

// recovered is APGR: the area under the curve.
func recovered(of []prompt, hard func(*prompt) float64) (area float64) {
	share, gap := 0.0, 0.0
	curve(of, hard, func(s, g float64) {
		area += (s - share) * (g + gap) / 2
		share, gap = s, g
	})
	return area
}

// needed is CPT: the share of prompts that recovers so much of the gap.
func needed(of []prompt, hard func(*prompt) float64, much float64) float64 {
	least, share, gap := 1.0, 0.0, 0.0
	curve(of, hard, func(s, g float64) {
		if gap < much && g >= much && least == 1 {
			least = share + (s-share)*(much-gap)/(g-gap)
		}
		share, gap = s, g
	})
	return least
}

// TestRecovered: the figures are those of cases that can be worked out by hand.
func TestRecovered(t *testing.T) {
	of := []prompt{{bytes: 4, gain: 1}, {bytes: 3, gain: 1}, {bytes: 2}, {bytes: 1}}
	right := func(p *prompt) float64 { return float64(p.bytes) }
	for _, tt := range []struct {
		name       string
		by         func(*prompt) float64
		apgr, half float64
	}{
		{"perfect", right, 0.75, 0.25},
		{"wrong", func(p *prompt) float64 { return -right(p) }, 0.25, 0.75},
		{"a coin", func(*prompt) float64 { return 0 }, 0.5, 0.5},
	} {
		if a, h := recovered(of, tt.by), needed(of, tt.by, 0.5); math.Abs(a-tt.apgr) > 1e-9 || math.Abs(h-tt.half) > 1e-9 {
			t.Errorf("%s: APGR %v, CPT50 %v, want %v and %v", tt.name, a, h, tt.apgr, tt.half)
		}
	}
}
