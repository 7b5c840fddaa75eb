package eval

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestRight(t *testing.T) {
	for _, c := range []struct {
		item         string
		right, wrong []string
	}{
		{`{"prompt":"p","answer":"Paris"}`, []string{"Paris", " paris. ", "**Paris**", "<think>Rome?</think>Paris", "Rome? no </think>\nParis"}, []string{"It is Paris", "", "Par is", "<think>Paris"}},
		{`{"prompt":"p","answer":["color","colour"]}`, []string{"Colour", "color"}, []string{"colours"}},
		{`{"prompt":"p","answer":"Paris","match":"contains"}`, []string{"It is Paris, of course", "paris"}, []string{"Parisian", "Rome"}},
		{`{"prompt":"p","answer":"new york","match":"contains"}`, []string{"in New\nYork!"}, []string{"new, or York"}},
		{`{"prompt":"p","answer":18}`, []string{"18", "9 * 2 = 18", "So she makes $18.00 every day.", "#### 18", "1.8e1"}, []string{"18 or 19", "eighteen", "-18", "180"}},
		{`{"prompt":"p","answer":-3.5}`, []string{"-3.5", "x = -3.50", "minus: -3.5"}, []string{"3.5", "GPT-3.5"}},
		{`{"prompt":"p","answer":"70,000","match":"number"}`, []string{"70000", "$70,000", "70,000.00"}, []string{"70"}},
		{`{"prompt":"p","answer":0.333333,"match":"number"}`, []string{"0.3333330001"}, []string{"0.33"}},
		{`{"prompt":"p","answer":"^[a-c]+$","match":"regex"}`, []string{"abc"}, []string{"abcd"}},
		{`{"prompt":"p","choices":["red","green","blue"],"answer":"green"}`, []string{"B", "b", "(B)", "B.", "B) green", "The answer is B.", "Answer: **B**", "A is tempting, but the answer is (B)", "green", "It is green.", "B: green"}, []string{"A", "C", "a guess", "I do not know", "green or blue", "D", ""}},
		{`{"prompt":"p","choices":["4","4 apples"],"answer":1}`, []string{"B", "4 apples"}, []string{"4"}},
		{`{"prompt":"p","answer":{"a":1,"b":["x"]}}`, []string{`{"b":["x"],"a":1.0,"c":2}`, "```json\n{\"a\":1,\"b\":[\"x\"]}\n```"}, []string{`{"a":1}`, `{"a":1,"b":["y"]}`, "a is 1", "[1]"}},
		{`{"prompt":"p","schema":{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}}}`, []string{`{"n":3}`}, []string{`{"n":"3"}`, `{}`, `3`, `{"n":3`}},
	} {
		items, err := Read(strings.NewReader(c.item))
		if err != nil {
			t.Errorf("%s: %v", c.item, err)
			continue
		}
		for _, a := range c.right {
			if !items[0].Right(a) {
				t.Errorf("%s: %q is not right", c.item, a)
			}
		}
		for _, a := range c.wrong {
			if items[0].Right(a) {
				t.Errorf("%s: %q is right", c.item, a)
			}
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for src, words := range map[string]string{
		"":                                  "no item",
		"{}":                                "prompt or messages",
		`{"prompt":"p"}`:                    "no answer",
		`{"prompt":"p","answer":[]}`:        "no answer",
		`{"prompt":"p","answer":"..."}`:     "a letter or a digit",
		`{"prompt":"p","answer":"a","x":1}`: "members are",
		`{"prompt":"p","answer":"a","match":"about"}`:                                                  "match is one of",
		`{"prompt":"p","answer":"(","match":"regex"}`:                                                  "regular expression",
		`{"prompt":"p","answer":"no","match":"number"}`:                                                "has none",
		`{"prompt":"p","choices":["a"],"answer":"a"}`:                                                  "2 to 26",
		`{"prompt":"p","choices":["a","b"],"answer":"z"}`:                                              "none of the choices",
		`{"prompt":"p","messages":[{"role":"user","content":"x"}],"answer":1}`:                         "either",
		`{"prompt":"p","answer":1,"request":{"stream":true}}`:                                          "not the item's",
		`{"prompt":"p","answer":1,"answer":2}`:                                                         "line 1",
		`{"prompt":"p","answer":1,"schema":3,"match":"json"}`:                                          "an object",
		"{\"id\":\"a\",\"prompt\":\"p\",\"answer\":1}\n\n{\"id\":\"a\",\"prompt\":\"q\",\"answer\":1}": "line 3: the id of line 1 again",
	} {
		_, err := Read(strings.NewReader(src))
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %q", src, err, words)
		}
	}
	_, err := Read(strings.NewReader("{\"prompt\":\"p\",\"answer\":1}\nx"))
	if p, ok := errors.AsType[*Problem](err); !ok || p.Line != 2 {
		t.Errorf("%v", err)
	}
}

func TestSample(t *testing.T) {
	items := make([]Item, 100)
	for i := range items {
		items[i].letter = i
	}
	a, b, c := Sample(items, 20, 1), Sample(items, 20, 1), Sample(items, 20, 2)
	place := func(x, y Item) int { return x.letter - y.letter }
	if len(a) != 20 || !slices.IsSortedFunc(a, place) || !slices.EqualFunc(a, b, func(x, y Item) bool { return x.letter == y.letter }) {
		t.Error("one seed gives two samples")
	}
	if slices.EqualFunc(a, c, func(x, y Item) bool { return x.letter == y.letter }) {
		t.Error("two seeds give one sample")
	}
	if len(Sample(items, 0, 1)) != 100 || len(Sample(items, 200, 1)) != 100 {
		t.Error("not all")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{"prompt":"p","answer":"a"}`, "a")
	f.Add(`{"prompt":"p","choices":["a","b"],"answer":1}`, "(B)")
	f.Add(`{"messages":[{"role":"user","content":"x"}],"answer":{"a":[1,2]},"schema":{"$ref":"#"}}`, `{"a":[1]}`)
	f.Fuzz(func(_ *testing.T, src, answer string) {
		items, err := Read(strings.NewReader(src))
		if err != nil {
			return
		}
		for i := range items {
			items[i].Ask()
			items[i].Right(answer)
		}
	})
}
