package relevance

import (
	"maps"
	"math"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func ranking(documents ...string) []Ranked {
	var list []Ranked
	for i, d := range documents {
		list = append(list, Ranked{d, float64(len(documents) - i)})
	}
	return list
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

// Worked out by hand with trec_eval's definitions.
func TestMeasure(t *testing.T) {
	log := math.Log2
	tests := []struct {
		name    string
		grades  map[string]int
		ranking []Ranked
		want    Measures
	}{
		{
			"two of three found",
			map[string]int{"a": 1, "b": 1, "c": 1, "x": 0},
			ranking("x", "a", "y", "b"),
			Measures{AP: (1./2 + 2./4) / 3, NDCG10: (1/log(3) + 1/log(5)) / (1 + 1/log(3) + 1/log(4)), Recall: 2. / 3, RR: 1. / 2, P30: 2. / 30},
		},
		{
			"grades",
			map[string]int{"a": 1, "b": 3, "x": -1},
			ranking("a", "x", "b"),
			Measures{AP: (1 + 2./3) / 2, NDCG10: (1 + 3/log(4)) / (3 + 1/log(3)), Recall: 1, RR: 1, P30: 2. / 30},
		},
		{"a document twice counts once", map[string]int{"a": 1, "b": 1}, ranking("a", "a", "b"), Measures{AP: 1, NDCG10: 1, Recall: 1, RR: 1, P30: 2. / 30}},
		{"equals stand by id", map[string]int{"b": 1}, []Ranked{{"c", 1}, {"b", 1}, {"a", 1}}, Measures{AP: .5, NDCG10: 1 / log(3), Recall: 1, RR: .5, P30: 1. / 30}},
		{"nothing found", map[string]int{"a": 1}, ranking("x"), Measures{}},
		{"no answer", map[string]int{"a": 1}, nil, Measures{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := Measure(test.grades, test.ranking)
			for i, v := range got.values() {
				if !near(*v, *test.want.values()[i]) {
					t.Fatalf("got %+v, want %+v", got, test.want)
				}
			}
		})
	}
}

func TestDepth(t *testing.T) {
	var list []Ranked
	for i := range Depth + 1 {
		list = append(list, Ranked{string(rune(0x4e00 + i)), float64(-i)})
	}
	last := map[string]int{list[Depth-1].Document: 1}
	if m := Measure(last, list); !near(m.AP, 1./Depth) {
		t.Errorf("document %d counts %v", Depth, m.AP)
	}
	over := map[string]int{list[Depth].Document: 1}
	if m := Measure(over, list); m.AP != 0 {
		t.Errorf("document %d counts %v", Depth+1, m.AP)
	}
}

func TestEvaluate(t *testing.T) {
	j := Judgements{"1": {"a": 1}, "2": {"b": 1}, "3": {"c": 0}}
	scores := Evaluate(j, Run{"1": ranking("a"), "4": ranking("a")})
	if got := scores.Queries(); !slices.Equal(got, []string{"1", "2"}) {
		t.Fatalf("measured %v; 3 has nothing relevant, 4 no judgements", got)
	}
	if m := scores.Mean(); m.AP != .5 {
		t.Errorf("MAP %v, want .5: a judged question without an answer counts", m.AP)
	}
	if m := (Scores{}).Mean(); m != (Measures{}) {
		t.Errorf("the mean of nothing is %v", m)
	}
}

func TestBootstrap(t *testing.T) {
	scores := Scores{}
	for i := range 100 {
		scores[string(rune('a'+i))] = Measures{AP: float64(i%2) * .5}
	}
	one, two := scores.Bootstrap(1), scores.Bootstrap(1)
	if one != two {
		t.Errorf("one seed gives %v and %v", one, two)
	}
	// The mean of 100 draws of 0 or .5 has a deviation of .025: two of them on each side.
	if i := one.AP; i.Low < .18 || i.Low > .22 || i.High < .28 || i.High > .32 {
		t.Errorf("interval %v, want about .2 to .3", i)
	}
	if i := (Scores{}).Bootstrap(1); i != (Intervals{}) {
		t.Errorf("nothing is sure to %v", i)
	}
}

func TestCompare(t *testing.T) {
	a := Scores{"1": {AP: .5}, "2": {AP: .5}, "3": {AP: .5}, "4": {AP: 1}}
	b := Scores{"1": {AP: .7}, "2": {AP: .4}, "3": {AP: .5}, "5": {AP: 1}}
	d := Compare(a, b, 1)
	if d.Queries != 3 || d.Better != 1 || d.Worse != 1 || !near(d.Mean.AP, .1/3) || !near(d.Each["2"].AP, -.1) {
		t.Errorf("%+v", d)
	}
}

func TestTune(t *testing.T) {
	for _, top := range []float64{0, .13, .3, .77, 1} {
		asked := 0
		x, worth := Tune(0, 1, func(x float64) float64 { asked++; return 1 - (x-top)*(x-top) })
		if math.Abs(x-top) > .01 || worth < .9999 || asked > 16 {
			t.Errorf("the top at %v is found at %v after %d looks", top, x, asked)
		}
	}
	if x, worth := Tune(0, 1, func(float64) float64 { return .5 }); x != 0 || worth != .5 {
		t.Errorf("a plain is %v at %v", worth, x)
	}
}

// Measures lie in 0 to 1, and a ranking by grade is worth 1 in all but P30.
func TestMeasuresAreShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[a-f]{1,2}`)
		grades := rapid.MapOfN(id, rapid.IntRange(-1, 3), 0, 19).Draw(t, "grades")
		var list []Ranked
		for _, d := range rapid.SliceOf(id).Draw(t, "ranking") {
			list = append(list, Ranked{d, float64(rapid.IntRange(0, 3).Draw(t, "score"))})
		}
		m := Measure(grades, list)
		for i, v := range m.values() {
			if *v < 0 || *v > 1+1e-9 || math.IsNaN(*v) {
				t.Fatalf("measure %d is %v", i, *v)
			}
		}
		var best []Ranked
		relevant := 0
		for _, d := range slices.Sorted(maps.Keys(grades)) {
			best = append(best, Ranked{d, float64(grades[d])})
			if grades[d] > 0 {
				relevant++
			}
		}
		if b := Measure(grades, best); relevant > 0 && !(near(b.AP, 1) && near(b.NDCG10, 1) && near(b.Recall, 1) && near(b.RR, 1)) {
			t.Fatalf("the best ranking is worth %+v", b)
		}
	})
}

func TestReadQueries(t *testing.T) {
	got, err := ReadQueries([]byte("\xef\xbb\xbf{\"id\":\"q1\",\"text\":\"one\"}\r\n\n{\"_id\":\"b\",\"text\":\"two\",\"metadata\":{}}\n{\"id\":7,\"text\":\"three\"}"))
	want := []Query{{"q1", "one"}, {"b", "two"}, {"7", "three"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"x", `{"text":"no id"}`, `{"id":"1"}`, `{"id":"1","text":" "}`, `{"id":true,"text":"a"}`, `{"id":null,"text":"a"}`, "{\"id\":\"1\",\"text\":\"a\"}\n{\"id\":1,\"text\":\"b\"}"} {
		if got, err := ReadQueries([]byte(bad)); err == nil {
			t.Errorf("%s is read as %v", bad, got)
		}
	}
}

func TestReadJudgements(t *testing.T) {
	want := Judgements{"1": {"CACM-46": 1, "x": 0}, "2": {"y": 2}}
	for name, text := range map[string]string{
		"TREC":            "1 Q0 CACM-46 1\n1 0 x 0\r\n\n2 0 y 2",
		"BEIR":            "query-id\tcorpus-id\tscore\n1\tCACM-46\t1\n1\tx\t0\n2\ty\t2\n",
		"the last counts": "1 0 CACM-46 0\n1 0 CACM-46 1\n1 0 x 0\n2 0 y 2\n",
	} {
		if got, err := ReadJudgements([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for _, bad := range []string{"1 2", "1 0 a b", "1 0 a 1 x", "1 0 a .5", "1 0 a NaN", "a 0 b 1\nquery x y"} {
		if got, err := ReadJudgements([]byte(bad)); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}

func FuzzReadQueries(f *testing.F) {
	f.Add([]byte(`{"id":"1","text":"a question"}`))
	f.Add([]byte("{\"_id\":2,\"text\":\"b\"}\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		queries, err := ReadQueries(data)
		if err != nil && queries != nil {
			t.Fatal("questions and an error")
		}
		seen := map[string]bool{}
		for _, q := range queries {
			if q.ID == "" || q.Text == "" || seen[q.ID] {
				t.Fatalf("%+v", q)
			}
			seen[q.ID] = true
		}
	})
}

func FuzzReadJudgements(f *testing.F) {
	f.Add([]byte("1 Q0 CACM-46 1\n"))
	f.Add([]byte("query-id\tcorpus-id\tscore\n1\ta\t1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		j, err := ReadJudgements(data)
		if err != nil && j != nil {
			t.Fatal("judgements and an error")
		}
		for query, grades := range j {
			if query == "" || len(grades) == 0 {
				t.Fatalf("%q has %v", query, grades)
			}
		}
	})
}

func TestMean(t *testing.T) {
	mean, within := Mean([]float64{1, 2, 3, 6}, 1)
	if mean != 3 || within.Low < 1 || within.Low >= 3 || within.High <= 3 || within.High > 6 {
		t.Errorf("%v within %v", mean, within)
	}
	if _, again := Mean([]float64{1, 2, 3, 6}, 1); again != within {
		t.Errorf("%v, then %v", within, again)
	}
	if mean, within := Mean([]float64{4, 4, 4}, 1); mean != 4 || within != (Interval{4, 4}) {
		t.Errorf("of equal ones %v within %v", mean, within)
	}
	if mean, within := Mean(nil, 1); mean != 0 || within != (Interval{}) {
		t.Errorf("of none %v within %v", mean, within)
	}
	// It is the interval that the measures have.
	scores := Scores{"a": {AP: .1}, "b": {AP: .9}, "c": {AP: .4}}
	if _, one := Mean([]float64{.1, .9, .4}, 7); one != scores.Bootstrap(7).AP {
		t.Errorf("%v, and measures have %v", one, scores.Bootstrap(7).AP)
	}
}
