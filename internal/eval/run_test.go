package eval

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// planted answers some of the items wrong, and fails some.
type planted struct {
	mu     sync.Mutex
	asked  map[string]int
	at     atomic.Int32
	most   atomic.Int32
	answer func(target, question string, try int) (string, error)
}

func (p *planted) Ask(_ context.Context, target string, messages []Message, _ map[string]any) (Answer, error) {
	now := p.at.Add(1)
	defer p.at.Add(-1)
	for most := p.most.Load(); now > most && !p.most.CompareAndSwap(most, now); most = p.most.Load() {
	}
	var question string
	if err := json.Unmarshal(messages[len(messages)-1].Content, &question); err != nil {
		return Answer{}, err
	}
	p.mu.Lock()
	p.asked[target+question]++
	try := p.asked[target+question]
	p.mu.Unlock()
	text, err := p.answer(target, question, try)
	return Answer{Text: text, Output: 2, Cost: 3, Priced: true, Took: time.Millisecond}, err
}

func numbered(t *testing.T, n int, match string) []Item {
	t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"id\":\"i%d\",\"prompt\":\"n%d\",\"answer\":\"ok\",\"match\":%q}\n", i, i, match)
	}
	items, err := Read(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return items
}

func TestRun(t *testing.T) {
	var waited atomic.Int64
	asker := &planted{asked: map[string]int{}, answer: func(target, question string, try int) (string, error) {
		switch {
		case question == "n3" && target == "variant":
			return "", errors.New("it broke")
		case question == "n4" && try == 1:
			return "", &Busy{After: 7 * time.Second, Words: "busy"}
		case question == "n5":
			return "", &Busy{Words: "busy"}
		case question == "n6" && target == "variant":
			return "no", nil
		}
		return "OK.", nil
	}}
	var kept []Mark
	p := Plan{
		Items: numbered(t, 50, Exact), Base: "base", Variant: "variant", At: 4, Tries: 3, Asker: asker,
		Wait: func(_ context.Context, d time.Duration) error { waited.Add(int64(d)); return nil },
		Keep: func(m Mark) error { kept = append(kept, m); return nil },
	}
	marks, err := p.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := Compare("base", "variant", marks)
	if r.Items != 50 || r.N != 48 || r.Base.Failed != 1 || r.Variant.Failed != 2 || r.Pairs != (Pairs{Both: 47, Base: 1}) {
		t.Errorf("%+v", r)
	}
	if r.Base.Right != 48 || r.Variant.Right != 47 || r.Base.Output != 2 || r.Base.Cost < 0.000146 || r.Base.Cost > 0.000148 {
		t.Errorf("%+v %+v", r.Base, r.Variant)
	}
	if asker.most.Load() > 4 {
		t.Errorf("%d requests at once", asker.most.Load())
	}
	// n4 twice for 7 s, n5 twice for 1 s and 2 s.
	if want := int64(2*7+2*(1+2)) * int64(time.Second); waited.Load() != want {
		t.Errorf("waited %v, want %v", time.Duration(waited.Load()), time.Duration(want))
	}

	// The same again asks what failed, and nothing else.
	p.Known = map[Asked]Mark{}
	for _, m := range kept {
		p.Known[Asked{m.Item, m.Target}] = m
	}
	clear(asker.asked)
	if marks, err = p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := Compare("base", "variant", marks); again.Pairs != r.Pairs || len(asker.asked) != 3 {
		t.Errorf("%d asked again, pairs %+v", len(asker.asked), again.Pairs)
	}
	p.Settings = "-other"
	clear(asker.asked)
	if _, err = p.Run(t.Context()); err != nil || len(asker.asked) != 100 {
		t.Errorf("asked in another way: %d of 100, %v", len(asker.asked), err)
	}
}

func TestRunEnds(t *testing.T) {
	full := errors.New("no room")
	asker := &planted{asked: map[string]int{}, answer: func(string, string, int) (string, error) { return "ok", nil }}
	p := Plan{Items: numbered(t, 500, Exact), Base: "a", Variant: "b", At: 2, Asker: asker, Keep: func(Mark) error { return full }}
	if _, err := p.Run(t.Context()); !errors.Is(err, full) || len(asker.asked) > 10 {
		t.Errorf("%v, %d asked", err, len(asker.asked))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.Keep = nil
	if _, err := p.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestJudge(t *testing.T) {
	asker := &planted{asked: map[string]int{}, answer: func(target, question string, _ int) (string, error) {
		if target != "judge" {
			return "the answer of " + target, nil
		}
		switch {
		case strings.Contains(question, "n1") && strings.Contains(question, "of variant"):
			return "No.", nil
		case strings.Contains(question, "n2"):
			return "maybe", nil
		case strings.Contains(question, "base<") || !strings.Contains(question, "<reference>"):
			return "", errors.New("the judge was told whose answer it is")
		}
		return "<think>same</think> Yes", nil
	}}
	p := Plan{Items: numbered(t, 4, Judge), Base: "base", Variant: "variant", Judge: "judge", At: 2, Asker: asker}
	marks, err := p.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r := Compare("base", "variant", marks); r.Judged != 3 || r.Pairs != (Pairs{Both: 2, Base: 1}) || r.Variant.Failed != 1 || r.Variant.Why != "the judge gave no verdict" {
		t.Errorf("%+v", r)
	}
}

// TestJSONNames: members of the JSON of a comparison are named alike, in snake_case.
func TestJSONNames(t *testing.T) {
	b, err := json.Marshal(Compare("a", "b", [][2]Mark{{{Right: true}, {}}}))
	var all map[string]any
	if err != nil || json.Unmarshal(b, &all) != nil {
		t.Fatal(err)
	}
	var look func(at string, v any)
	look = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, v := range v {
				if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
					t.Errorf("%s has a member %q", at, name)
				}
				look(at+"."+name, v)
			}
		case []any:
			for _, v := range v {
				look(at, v)
			}
		}
	}
	look("it", all)
}

func TestCompareNothing(t *testing.T) {
	r := Compare("a", "b", [][2]Mark{{{Failed: "x"}, {Failed: "y"}}})
	if r.N != 0 || r.Shown || r.P != 1 || r.Interval != (Interval{-1, 1}) {
		t.Errorf("%+v", r)
	}
}
