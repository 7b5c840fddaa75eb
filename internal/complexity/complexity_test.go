package complexity

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"headworks/internal/inference"

	"pgregory.net/rapid"
)

// of scores a question that stands alone.
func of(question string) Score {
	r := inference.Request{Features: features("user", question)}
	w := Default()
	return Of(&r, &w)
}

// features finds those of a conversation, of roles and texts in turn.
func features(turns ...string) inference.Features {
	var m Meter
	for _, s := range turns {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(s); err != nil {
			panic(err)
		}
		m.Write(bytes.TrimSpace(b.Bytes()))
	}
	return m.Features()
}

func TestFeatures(t *testing.T) {
	for _, tt := range []struct {
		name  string
		turns []string
		want  inference.Features
	}{
		{"nothing", nil, inference.Features{Turns: 1}},
		{"a word", []string{"user", "hello"}, inference.Features{Words: 1, Scripts: 1, Turns: 1}},
		{"the last question alone", []string{"system", "Explain, if asked.", "user", "Compare a + b", "assistant", "Yes, both.", "user", "hm"}, inference.Features{Words: 1, Scripts: 1, Turns: 2}},
		{
			"marks",
			[]string{"user", "If x = 3, is every y > x? Explain; then prove it."},
			inference.Features{Words: 11, Clauses: 4, Logic: 3, Math: 2, Verbs: 2, Questions: 1, Scripts: 1, Turns: 1},
		},
		{"a range and a slash are no formula", []string{"user", "and/or - that is a well-known thing"}, inference.Features{Words: 8, Scripts: 1, Turns: 1}},
		{"operators", []string{"user", "3 - 2 / (1 + 4)"}, inference.Features{Words: 4, Math: 3, Turns: 1}},
		{"a list", []string{"user", "- one\n- two\n1. three\n2) four"}, inference.Features{Words: 6, Items: 4, Scripts: 1, Turns: 1, Clauses: 1}},
		{"code", []string{"user", "fix\n```go\nx := 1\n```\n"}, inference.Features{Words: 4, Code: 1, Math: 1, Verbs: 1, Scripts: 1, Turns: 1}},
		{"code that does not end", []string{"user", "```a"}, inference.Features{Words: 1, Code: 1, Scripts: 1, Turns: 1}},
		{"scripts", []string{"user", "hello привет"}, inference.Features{Words: 2, Scripts: 2, Turns: 1}},
		{"Chinese", []string{"user", "你好世界。为什么？"}, inference.Features{Words: 3, Clauses: 2, Questions: 1, Scripts: 1, Turns: 1}},
		{"tools are no question", []string{"user", "ok"}, inference.Features{Words: 1, Scripts: 1, Turns: 1}},
	} {
		tt.want.Known = true
		if got := features(tt.turns...); got != tt.want {
			t.Errorf("%s: got  %+v\nwant %+v", tt.name, got, tt.want)
		}
	}
}

// TestEscapes: what JSON writes with escapes looks as what it stands for.
func TestEscapes(t *testing.T) {
	var plain, escaped Meter
	plain.Write([]byte(`"` + "привет ≤ 3" + `"`))
	escaped.Write([]byte(`"\u043f\u0440\u0438\u0432\u0435\u0442 \u2264 3"`))
	if a, b := plain.Features(), escaped.Features(); a != b {
		t.Errorf("%+v and %+v", a, b)
	}
}

// TestOrder: of two questions the harder one scores more. The pairs are our own; they
// guard against regressions and prove nothing about questions of others.
func TestOrder(t *testing.T) {
	for _, tt := range [][2]string{
		{"hi", "What is the capital of France?"},
		{"What is the capital of France?", "Which of these is true if every bird flies, and penguins are birds that do not: none, some, or all?"},
		{"Thanks!", "Explain why the sky is blue, and compare it with sunsets."},
		{"Translate hello into French.", "Translate this contract into French, keep every clause numbered, and list each term that has no exact equivalent; explain why."},
		{"Write a haiku.", "Write a function that merges two sorted lists:\n```go\nfunc merge(a, b []int) []int\n```\nIt must be stable, and it must not allocate more than once."},
		{"2 + 2", "Suppose f(x) = x^2 - 3*x + 1. If g is its inverse for x >= 2, compute g(1), and prove that no other value is possible."},
		{"Fix the typo.", "Review this diff, then:\n1. list each bug\n2. fix them\n3. explain why each fix is safe, unless it is obvious"},
	} {
		easy, hard := of(tt[0]), of(tt[1])
		if easy.Total >= hard.Total {
			t.Errorf("%q scores %.3f, %q %.3f", tt[0], easy.Total, tt[1], hard.Total)
		}
	}
	if s := of("hi"); s.Total > 0.1 {
		t.Errorf("a greeting scores %.2f: %v", s.Total, s.Parts)
	}
}

func TestEffort(t *testing.T) {
	w := Default()
	r := inference.Request{Features: features("user", "Which one, if any, is it?")}
	said := map[inference.Effort]float32{}
	for _, e := range []inference.Effort{inference.LittleEffort, inference.NoEffort, inference.MuchEffort} {
		r.Effort = e
		said[e] = Of(&r, &w).Total
	}
	if !(said[inference.LittleEffort] < said[inference.NoEffort] && said[inference.NoEffort] < said[inference.MuchEffort]) {
		t.Errorf("%v", said)
	}
}

// TestNobodyLooked: a request whose prompt nobody looked at goes by its length.
func TestNobodyLooked(t *testing.T) {
	w := Default()
	short, long := Of(&inference.Request{Input: 10}, &w), Of(&inference.Request{Input: 4000, Tools: 5}, &w)
	if short.Total >= long.Total || long.Parts[inference.ByTools] == 0 {
		t.Errorf("%+v and %+v", short, long)
	}
}

// TestAnyPrompt: no prompt breaks it, the score is from 0 to 1 and the sum of its
// parts within that.
func TestAnyPrompt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m Meter
		for range rapid.IntRange(0, 12).Draw(t, "pieces") {
			m.Write(rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Map(rapid.StringMatching("[ a-z.,`\\\\\"\n*0-9]{0,40}"), func(s string) []byte { return []byte(`"` + s + `"`) }), rapid.Just([]byte(`"user"`))).Draw(t, "piece"))
		}
		r, w := inference.Request{Features: m.Features(), Tools: rapid.IntRange(0, 40).Draw(t, "tools")}, Default()
		s := Of(&r, &w)
		sum := float32(0)
		for _, p := range s.Parts {
			sum += p
		}
		if s.Total < 0 || s.Total > 1 || sum < 1 && (sum-s.Total > 1e-5 || s.Total-sum > 1e-5) {
			t.Fatalf("%+v, the parts are %v", s, sum)
		}
	})
}

// TestLongPrompts: of a long question both ends are looked at, and it counts as long.
func TestLongPrompts(t *testing.T) {
	f := features("user", strings.Repeat("one, two and three. ", 50_000))
	if f.Words < 190_000 || f.Words > 210_000 || f.Clauses < 90_000 || f.Clauses > 110_000 {
		t.Errorf("%+v", f)
	}
}

func TestMeterCostsNoAllocation(t *testing.T) {
	role, text := []byte(`"user"`), []byte(`"`+strings.Repeat("Explain, if you can, why. ", 400)+`"`)
	w := Default()
	var m Meter
	if n := testing.AllocsPerRun(20, func() {
		m.Reset()
		m.Write(role)
		m.Write(text)
		Of(&inference.Request{Features: m.Features()}, &w)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzMeter(f *testing.F) {
	f.Add([]byte(`"a \u00e9 \ud83d\ude00 \\ \" \n- b"`))
	f.Add([]byte("\"```\\n\\u12"))
	f.Fuzz(func(t *testing.T, p []byte) {
		var m Meter
		m.Write(p)
		m.Features()
	})
}

func BenchmarkMeter(b *testing.B) {
	role, text := []byte(`"user"`), []byte(`"`+strings.Repeat("Explain, if you can, why every x > 3 - 1 is one. ", 700)+`"`)
	w := Default()
	var m Meter
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		m.Reset()
		m.Write(role)
		m.Write(text)
		r := inference.Request{Features: m.Features()}
		Of(&r, &w)
	}
}
