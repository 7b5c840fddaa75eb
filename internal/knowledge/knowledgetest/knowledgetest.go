// Package knowledgetest holds what every knowledge.Store must do, for whoever builds
// one.
package knowledgetest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"headworks/internal/knowledge"
	"headworks/internal/passage"
)

// Make is how a suite gets a store. Open opens what is kept; a second call, after the
// first store was closed, opens the same again.
type Make struct {
	Open  func(t *testing.T) knowledge.Store
	Close func(t *testing.T, s knowledge.Store)
	// Recall is the least share of the ten nearest vectors that a search finds; 0: .99.
	Recall float64
}

// dim is the length of the suite's vectors.
const dim = 32

// space returns a space that no other test of the suite uses.
func space(t *testing.T) passage.Space {
	sum := sha256.Sum256([]byte(t.Name()))
	return passage.Space{Collection: fmt.Sprintf("vs_%x", sum[:8]), Embedder: "0123456789abcdef", Dimensions: dim}
}

// Test runs the suite, each test on a store that is made for it.
func Test(t *testing.T, mk func(t *testing.T) Make) {
	for name, test := range map[string]func(*suite){
		"what is written is found":        (*suite).found,
		"a version takes another's place": (*suite).versions,
		"what is removed is gone":         (*suite).removed,
		"nobody reads another's":          (*suite).readers,
		"one percent gets ten of ten":     (*suite).onePercent,
		"readers can be changed":          (*suite).changedReaders,
		"filters choose":                  (*suite).filters,
		"filters agree with Match":        (*suite).filtersAgree,
		"the nearest are found":           (*suite).nearest,
		"words rank":                      (*suite).words,
		"spaces are apart":                (*suite).spaces,
		"a space is dropped":              (*suite).dropped,
		"documents are listed":            (*suite).listed,
		"the same again changes nothing":  (*suite).again,
		"a change is whole":               (*suite).whole,
		"it survives a restart":           (*suite).restart,
		"many at once":                    (*suite).atOnce,
		"nothing of nothing":              (*suite).empty,
	} {
		t.Run(name, func(t *testing.T) {
			m := mk(t)
			s := &suite{T: t, Make: m, of: space(t)}
			s.store = m.Open(t)
			defer func() { m.Close(t, s.store) }()
			test(s)
		})
	}
}

type suite struct {
	*testing.T
	Make
	store knowledge.Store
	of    passage.Space
}

// doc returns a document of some passages, which everybody may read.
func (s *suite) doc(id string, version uint64, texts ...string) passage.Whole {
	return Doc(s.of, id, version, texts...)
}

// Doc returns a document of some passages, which everybody may read.
func Doc(of passage.Space, id string, version uint64, texts ...string) passage.Whole {
	w := passage.Whole{Document: passage.Document{
		ID: id, Source: "/files/" + id, Title: "Title of " + id, Version: version,
		Hash: sha256.Sum256([]byte(strings.Join(texts, "\x00"))), Readers: []string{passage.Everybody},
		Added: time.Date(2026, 1, 1, 12, int(version), 0, 0, time.UTC),
	}}
	at := 0
	for i, text := range texts {
		w.Passages = append(w.Passages, passage.Passage{
			ID: passage.NewID(of.Collection, id, w.Hash, i), Ordinal: i, Title: w.Title, Path: fmt.Sprintf("Part %d", i), Text: text,
			Start: at, End: at + len(text), Tokens: len(strings.Fields(text)), Vector: Vector(text),
		})
		at += len(text)
	}
	w.Bytes = int64(at)
	w.Document.Passages = len(texts)
	return w
}

// Vector returns a vector of length one that the text alone decides.
func Vector(text string) []float32 { return vector(text) }

func vector(text string) []float32 {
	sum := sha256.Sum256([]byte(text))
	r := rand.New(rand.NewChaCha8(sum))
	return unit(r)
}

func unit(r *rand.Rand) []float32 {
	v := make([]float32, dim)
	norm := 0.0
	for i := range v {
		x := r.NormFloat64()
		v[i] = float32(x)
		norm += x * x
	}
	for i := range v {
		v[i] /= float32(math.Sqrt(norm))
	}
	return v
}

func (s *suite) write(c passage.Change) {
	s.Helper()
	if err := s.store.Write(s.Context(), s.of, c); err != nil {
		s.Fatal(err)
	}
}

func (s *suite) put(docs ...passage.Whole) {
	s.Helper()
	s.write(passage.Change{Put: docs})
}

func (s *suite) search(q passage.Query) passage.Legs {
	s.Helper()
	q.N = cmp.Or(q.N, 10)
	legs, err := s.store.Search(s.Context(), s.of, q)
	if err != nil {
		s.Fatal(err)
	}
	return legs
}

func (s *suite) load(who passage.Audience, refs ...passage.Ref) []passage.Loaded {
	s.Helper()
	all, err := s.store.Load(s.Context(), s.of, who, refs, false)
	if err != nil {
		s.Fatal(err)
	}
	return all
}

func (s *suite) documents(p passage.Page) []passage.Document {
	s.Helper()
	all, err := s.store.Documents(s.Context(), s.of, p)
	if err != nil {
		s.Fatal(err)
	}
	return all
}

// names returns the documents of what was found, in their order.
func names(found []passage.Found) string {
	var all []string
	for _, f := range found {
		all = append(all, f.Document)
	}
	return strings.Join(all, " ")
}

func ids(docs []passage.Document) string {
	var all []string
	for _, d := range docs {
		all = append(all, fmt.Sprintf("%s/%d", d.ID, d.Version))
	}
	return strings.Join(all, " ")
}

func (s *suite) want(what, got, want string) {
	s.Helper()
	if got != want {
		s.Errorf("%s: got %q, want %q", what, got, want)
	}
}

var operator = passage.Operator()

func (s *suite) found() {
	a := s.doc("a", 1, "the quick brown fox", "jumps over the lazy dog")
	a.Attributes = passage.Attributes{"lang": passage.Text("en"), "year": passage.Num(2026), "draft": passage.Truth(false)}
	b := s.doc("b", 1, "a slow green turtle")
	s.put(a, b)
	legs := s.search(passage.Query{Text: "brown fox", Vector: vector("a slow green turtle"), Audience: operator})
	s.want("words", names(legs.Words), "a")
	if len(legs.Dense) != 3 || legs.Dense[0].Document != "b" || math.Abs(legs.Dense[0].Score-1) > 1e-3 {
		s.Errorf("by vectors %+v", legs.Dense)
	}
	if legs.Words[0].Passage != a.Passages[0].ID {
		s.Errorf("another passage than the one asked for: %+v", legs.Words[0])
	}
	got := s.load(operator, legs.Words[0].Ref, passage.Ref{Document: "b"}, passage.Ref{Document: "none"}, passage.Ref{Document: "a"})
	var want []passage.Loaded
	for _, l := range []struct {
		w passage.Whole
		i int
	}{{a, 0}, {b, 0}, {a, 0}, {a, 1}} {
		p := l.w.Passages[l.i]
		p.Vector = nil
		want = append(want, passage.Loaded{Document: l.w.Document, Passage: p})
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		s.Errorf("loaded (-want +got)\n%s", diff)
	}
	with, err := s.store.Load(s.Context(), s.of, operator, []passage.Ref{{Document: "b"}}, true)
	if err != nil || len(with) != 1 || len(with[0].Passage.Vector) != dim || math.Abs(float64(with[0].Passage.Vector[0]-vector("a slow green turtle")[0])) > 1e-4 {
		s.Errorf("its vector is not what was written: %v, %v", with, err)
	}
	if legs := s.search(passage.Query{Text: "fox", Audience: operator}); legs.Dense != nil || legs.Words == nil {
		s.Errorf("a leg that nobody asked for: %+v", legs)
	}
}

func (s *suite) versions() {
	s.put(s.doc("a", 1, "the old text of apples"), s.doc("b", 1, "about pears"))
	s.put(s.doc("a", 2, "the new text of cherries"))
	legs := s.search(passage.Query{Text: "apples cherries", Vector: vector("the old text of apples"), Audience: operator})
	s.want("words", names(legs.Words), "a")
	if n := len(legs.Dense); n != 2 {
		s.Errorf("%d vectors, want 2", n)
	}
	s.want("the old passage", fmt.Sprint(len(s.load(operator, passage.Ref{Document: "a", Passage: s.doc("a", 1, "the old text of apples").Passages[0].ID}))), "0")
	s.want("current", ids(s.documents(passage.Page{})), "a/2 b/1")
	s.want("history", ids(s.documents(passage.Page{IDs: []string{"a"}, History: true})), "a/2 a/1")
	old := s.documents(passage.Page{IDs: []string{"a"}, History: true})[1]
	if old.Gone.IsZero() || old.Hash == s.documents(passage.Page{IDs: []string{"a"}})[0].Hash {
		s.Errorf("the former version is not told apart: %+v", old)
	}
	// Back to what it was: a version of its own, found once.
	s.put(s.doc("a", 3, "the old text of apples"))
	s.want("words", names(s.search(passage.Query{Text: "apples cherries", Audience: operator}).Words), "a")
	s.want("history", ids(s.documents(passage.Page{IDs: []string{"a"}, History: true})), "a/3 a/2 a/1")
}

func (s *suite) removed() {
	s.put(s.doc("a", 1, "about apples"), s.doc("b", 1, "about pears"))
	s.write(passage.Change{Remove: []string{"a", "none"}})
	for range 100 {
		legs := s.search(passage.Query{Text: "apples", Vector: vector("about apples"), Audience: operator})
		if names(legs.Words) != "" || names(legs.Dense) != "b" {
			s.Fatalf("found after it was removed: %+v", legs)
		}
	}
	s.want("loaded", fmt.Sprint(len(s.load(operator, passage.Ref{Document: "a"}))), "0")
	s.want("documents", ids(s.documents(passage.Page{})), "b/1")
	s.put(s.doc("a", 2, "about apples"))
	s.want("again", names(s.search(passage.Query{Text: "apples", Audience: operator}).Words), "a")
}

func (s *suite) readers() {
	a, b, c := s.doc("a", 1, "apples for acme"), s.doc("b", 1, "apples for bolt"), s.doc("c", 1, "apples for all")
	a.Readers, b.Readers = []string{"tenant:acme"}, []string{"tenant:bolt", "key:k7"}
	none := s.doc("d", 1, "apples for nobody")
	none.Readers = []string{}
	s.put(a, b, c, none)
	for _, tt := range []struct {
		who  passage.Audience
		want string
	}{
		{passage.Readers("*", "tenant:acme"), "a c"},
		{passage.Readers("*", "tenant:other", "key:k7"), "b c"},
		{passage.Readers("*"), "c"},
		{passage.Readers("tenant:acme"), "a"},
		{passage.Audience{}, ""},
		{passage.Operator(), "a b c d"},
		{passage.Readers("tenant:ACME", "tenant:acm", "tenant:acme2"), ""},
	} {
		for range 2 { // what is kept of the first is right for the second
			legs := s.search(passage.Query{Text: "apples", Vector: vector("apples for acme"), Audience: tt.who})
			for _, leg := range [][]passage.Found{legs.Words, legs.Dense} {
				got := strings.Fields(names(leg))
				slices.Sort(got)
				s.want(tt.who.Key(), strings.Join(got, " "), tt.want)
			}
			loaded := s.load(tt.who, passage.Ref{Document: "a"}, passage.Ref{Document: "b"}, passage.Ref{Document: "c"}, passage.Ref{Document: "d"})
			var got []string
			for _, l := range loaded {
				got = append(got, l.Document.ID)
			}
			s.want("loaded for "+tt.who.Key(), strings.Join(got, " "), tt.want)
		}
	}
}

// onePercent: whoever may read one document in a hundred gets as many as he asks for.
func (s *suite) onePercent() {
	var docs []passage.Whole
	for i := range 2000 {
		d := s.doc(fmt.Sprintf("d%04d", i), 1, fmt.Sprintf("report %d about turnover", i))
		d.Readers = []string{"tenant:other"}
		if i%100 == 42 {
			d.Readers = []string{"tenant:few"}
		}
		docs = append(docs, d)
	}
	for part := range slices.Chunk(docs, 700) {
		s.put(part...)
	}
	legs := s.search(passage.Query{Text: "turnover report", Vector: vector("turnover"), Audience: passage.Readers("*", "tenant:few"), N: 10})
	for name, leg := range map[string][]passage.Found{"words": legs.Words, "vectors": legs.Dense} {
		if len(leg) != 10 {
			s.Errorf("%s: %d of 10", name, len(leg))
		}
		for _, f := range leg {
			if !strings.HasSuffix(f.Document, "42") {
				s.Errorf("%s: %s is not his to read", name, f.Document)
			}
		}
	}
}

func (s *suite) changedReaders() {
	s.put(s.doc("a", 1, "about apples"), s.doc("b", 1, "about pears and apples"))
	few := s.doc("a", 1).Document
	few.Readers, few.Attributes = []string{"tenant:acme"}, passage.Attributes{"lang": passage.Text("de")}
	unknown := s.doc("none", 1).Document
	s.write(passage.Change{Set: []passage.Document{few, unknown}})
	s.want("others", names(s.search(passage.Query{Text: "apples", Audience: passage.Readers("*")}).Words), "b")
	s.want("acme", names(s.search(passage.Query{Text: "apples", Audience: passage.Readers("tenant:acme")}).Words), "a")
	s.want("by language", names(s.search(passage.Query{Text: "apples", Audience: operator, Filter: &passage.Filter{Op: passage.Eq, Name: "lang", Values: []passage.Value{passage.Text("de")}}}).Words), "a")
	s.want("documents", ids(s.documents(passage.Page{})), "a/1 b/1")
	s.want("title", s.documents(passage.Page{IDs: []string{"a"}})[0].Title, "Title of a")
	few.Attributes = nil
	s.write(passage.Change{Set: []passage.Document{few}})
	s.want("without attributes", names(s.search(passage.Query{Text: "apples", Audience: operator, Filter: &passage.Filter{Op: passage.Eq, Name: "lang", Values: []passage.Value{passage.Text("de")}}}).Words), "")
}

func (s *suite) filters() {
	one := func(id string, a passage.Attributes) passage.Whole {
		d := s.doc(id, 1, "apples "+id)
		d.Attributes = a
		return d
	}
	s.put(
		one("a", passage.Attributes{"lang": passage.Text("en"), "year": passage.Num(2024)}),
		one("b", passage.Attributes{"lang": passage.Text("de"), "year": passage.Num(2025.5), "draft": passage.Truth(true)}),
		one("c", passage.Attributes{"lang": passage.Text("2025"), "year": passage.Text("2025"), "draft": passage.Truth(false)}),
		one("d", nil),
	)
	for _, tt := range []struct{ filter, want string }{
		{`{"type":"eq","key":"lang","value":"en"}`, "a"},
		{`{"type":"ne","key":"lang","value":"en"}`, "b c d"},
		{`{"type":"eq","key":"year","value":2025}`, ""},
		{`{"type":"eq","key":"year","value":"2025"}`, "c"},
		{`{"type":"gt","key":"year","value":2024}`, "b"},
		{`{"type":"gte","key":"year","value":2024}`, "a b"},
		{`{"type":"lt","key":"year","value":2025.5}`, "a"},
		{`{"type":"lte","key":"year","value":2025.5}`, "a b"},
		{`{"type":"gt","key":"lang","value":"a"}`, "a b"},
		{`{"type":"eq","key":"draft","value":true}`, "b"},
		{`{"type":"in","key":"lang","value":["en","de","fr"]}`, "a b"},
		{`{"type":"nin","key":"lang","value":["en","de"]}`, "c d"},
		{`{"type":"and","filters":[{"type":"in","key":"lang","value":["en","de"]},{"type":"gte","key":"year","value":2025}]}`, "b"},
		{`{"type":"or","filters":[{"type":"eq","key":"lang","value":"en"},{"type":"eq","key":"draft","value":false}]}`, "a c"},
		{`{"type":"eq","key":"none","value":1}`, ""},
		{`{"type":"eq","key":"it's \"so\"","value":"x' OR 1=1 --"}`, ""},
	} {
		f, err := passage.ParseFilter([]byte(tt.filter))
		if err != nil {
			s.Fatalf("%s: %v", tt.filter, err)
		}
		legs := s.search(passage.Query{Text: "apples", Vector: vector("apples a"), Audience: operator, Filter: f})
		for _, leg := range [][]passage.Found{legs.Words, legs.Dense} {
			got := strings.Fields(names(leg))
			slices.Sort(got)
			s.want(tt.filter, strings.Join(got, " "), tt.want)
		}
	}
}

// filtersAgree: any filter over any documents chooses those that Match does.
func (s *suite) filtersAgree() {
	r := rand.New(rand.NewPCG(1, 2))
	value := func() passage.Value {
		switch r.IntN(4) {
		case 0:
			return passage.Num(float64(r.IntN(3)))
		case 1:
			return passage.Truth(r.IntN(2) == 0)
		}
		return passage.Text(string(rune('a' + r.IntN(3))))
	}
	name := func() string { return string(rune('x' + r.IntN(3))) }
	var filter func(depth int) passage.Filter
	filter = func(depth int) passage.Filter {
		f := passage.Filter{Op: passage.Op(r.IntN(10)), Name: name(), Values: []passage.Value{value()}}
		if f.Op == passage.And || f.Op == passage.Or {
			if f.Values = nil; depth == 0 {
				f.Op = passage.Eq
				f.Values = []passage.Value{value()}
				return f
			}
			f.Name = ""
			for range 1 + r.IntN(3) {
				f.Of = append(f.Of, filter(depth-1))
			}
		} else if f.Op >= passage.In {
			f.Values = append(f.Values, value())
		}
		return f
	}
	var docs []passage.Whole
	for i := range 40 {
		d := s.doc(fmt.Sprintf("d%02d", i), 1, fmt.Sprintf("apples %d", i))
		d.Attributes = passage.Attributes{}
		for range r.IntN(4) {
			d.Attributes[name()] = value()
		}
		docs = append(docs, d)
	}
	s.put(docs[:25]...)
	s.put(docs[25:]...)
	for range 100 {
		f := filter(2)
		var want []string
		for _, d := range docs {
			if f.Match(d.Attributes) {
				want = append(want, d.ID)
			}
		}
		got := strings.Fields(names(s.search(passage.Query{Text: "apples", Audience: operator, Filter: &f, N: 100}).Words))
		slices.Sort(got)
		if !slices.Equal(got, want) {
			s.Fatalf("%+v chose %q, want %q", f, got, want)
		}
	}
}

// nearest: of vectors in clusters, as embedders make them, the ten nearest are found.
func (s *suite) nearest() {
	r := rand.New(rand.NewPCG(3, 4))
	centres := make([][]float32, 20)
	for i := range centres {
		centres[i] = unit(r)
	}
	near := func() []float32 {
		c, v := centres[r.IntN(len(centres))], unit(r)
		norm := 0.0
		for i := range v {
			v[i] = c[i] + 0.7*v[i]
			norm += float64(v[i] * v[i])
		}
		for i := range v {
			v[i] /= float32(math.Sqrt(norm))
		}
		return v
	}
	type point struct {
		id string
		v  []float32
	}
	var points []point
	var docs []passage.Whole
	for i := range 3000 {
		d := s.doc(fmt.Sprintf("d%04d", i), 1, fmt.Sprint("text ", i))
		d.Passages[0].Vector = near()
		points = append(points, point{d.ID, d.Passages[0].Vector})
		docs = append(docs, d)
	}
	for part := range slices.Chunk(docs, 1000) {
		s.put(part...)
	}
	found, wanted := 0, 0
	for range 50 {
		q := near()
		product := func(p point) (sum float64) {
			for i := range q {
				sum += float64(q[i]) * float64(p.v[i])
			}
			return sum
		}
		best := slices.SortedFunc(slices.Values(points), func(a, b point) int { return cmp.Compare(product(b), product(a)) })[:10]
		for _, exact := range []bool{false, true} {
			got := s.search(passage.Query{Vector: q, Audience: operator, Exact: exact}).Dense
			if len(got) != 10 {
				s.Fatalf("%d of 10", len(got))
			}
			hits := 0
			for _, b := range best {
				if slices.ContainsFunc(got, func(f passage.Found) bool { return f.Document == b.id }) {
					hits++
				}
			}
			if exact && hits != 10 {
				s.Errorf("an exact search finds %d of the 10 nearest", hits)
			} else if !exact {
				found += hits
				wanted += 10
			}
			if math.Abs(got[0].Score-product(best[0])) > 1e-3 && exact {
				s.Errorf("a score of %v, want %v", got[0].Score, product(best[0]))
			}
		}
	}
	if least := cmp.Or(s.Recall, .99); float64(found) < least*float64(wanted) {
		s.Errorf("recall@10 is %.3f, want %.2f", float64(found)/float64(wanted), least)
	}
}

func (s *suite) words() {
	s.put(
		s.doc("often", 1, "gateways route requests, and gateways count"),
		s.doc("once", 1, "a gateway and many other things that have nothing to do with it at all, told at some length"),
		s.doc("other", 1, "kettles boil water"),
	)
	s.want("stemmed, the most often first", names(s.search(passage.Query{Text: "Gateway!", Audience: operator}).Words), "often once")
	s.want("headings count", names(s.search(passage.Query{Text: "title other", Audience: operator, N: 1}).Words), "other")
	s.want("a phrase", names(s.search(passage.Query{Text: `"boil water"`, Audience: operator}).Words), "other")
	s.want("at most N", names(s.search(passage.Query{Text: "gateway kettle", Audience: operator, N: 1}).Words), "other")
}

func (s *suite) spaces() {
	s.put(s.doc("a", 1, "about apples"))
	other := s.of
	other.Embedder = "fedcba9876543210"
	if err := s.store.Write(s.Context(), other, passage.Change{Put: []passage.Whole{s.doc("b", 1, "about apples")}}); err != nil {
		s.Fatal(err)
	}
	s.want("one", names(s.search(passage.Query{Text: "apples", Vector: vector("x"), Audience: operator}).Dense), "a")
	s.want("documents", ids(s.documents(passage.Page{})), "a/1")
	s.of = other
	s.want("the other", names(s.search(passage.Query{Text: "apples", Vector: vector("x"), Audience: operator}).Words), "b")
	words := passage.Space{Collection: s.of.Collection}
	d := s.doc("c", 1, "about apples")
	d.Passages[0].Vector = nil
	s.of = words
	s.put(d)
	legs := s.search(passage.Query{Text: "apples", Vector: vector("x"), Audience: operator})
	s.want("words alone", names(legs.Words)+"|"+names(legs.Dense), "c|")
}

func (s *suite) dropped() {
	s.put(s.doc("a", 1, "about apples"))
	if err := s.store.Drop(s.Context(), s.of); err != nil {
		s.Fatal(err)
	}
	if err := s.store.Drop(s.Context(), s.of); err != nil {
		s.Errorf("dropped again: %v", err)
	}
	s.want("found", names(s.search(passage.Query{Text: "apples", Vector: vector("x"), Audience: operator}).Words), "")
	s.want("documents", ids(s.documents(passage.Page{History: true})), "")
	s.put(s.doc("a", 1, "about pears"))
	s.want("made anew", names(s.search(passage.Query{Text: "apples pears", Audience: operator}).Words), "a")
}

func (s *suite) listed() {
	s.put(s.doc("c", 1, "c"), s.doc("a", 1, "a"), s.doc("b", 1), s.doc("É/ü b.md", 1, "u"))
	s.want("all", ids(s.documents(passage.Page{})), "a/1 b/1 c/1 É/ü b.md/1")
	s.want("some", ids(s.documents(passage.Page{After: "a", N: 2})), "b/1 c/1")
	s.want("these", ids(s.documents(passage.Page{IDs: []string{"c", "a", "none", "c"}})), "a/1 c/1")
	s.want("none of none", ids(s.documents(passage.Page{IDs: []string{}})), "")
	if d := s.documents(passage.Page{IDs: []string{"b"}})[0]; d.Passages != 0 {
		s.Errorf("%+v", d)
	}
}

func (s *suite) again() {
	d := s.doc("a", 1, "about apples", "and pears")
	s.put(d)
	s.put(d)
	legs := s.search(passage.Query{Text: "apples pears", Vector: vector("about apples"), Audience: operator})
	s.want("words", fmt.Sprint(len(legs.Words)), "2")
	s.want("vectors", fmt.Sprint(len(legs.Dense)), "2")
	s.want("documents", ids(s.documents(passage.Page{})), "a/1")
	s.want("loaded", fmt.Sprint(len(s.load(operator, passage.Ref{Document: "a"}))), "2")
}

// whole: one change does several things, and a search sees all of them or none.
func (s *suite) whole() {
	s.put(s.doc("a", 1, "apples one"), s.doc("b", 1, "apples two"))
	ctx, stop := context.WithCancel(s.Context())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				legs, err := s.store.Search(s.Context(), s.of, passage.Query{Text: "apples", N: 10, Audience: operator})
				if err != nil || len(legs.Words) != 2 {
					s.Errorf("%q, %v: a change is half visible", names(legs.Words), err)
					return
				}
			}
		})
	}
	for i := range 20 {
		in, out := fmt.Sprint("c", i), "b"
		if i > 0 {
			out = fmt.Sprint("c", i-1)
		}
		s.write(passage.Change{Put: []passage.Whole{s.doc(in, 1, "apples new")}, Remove: []string{out}})
	}
	stop()
	wg.Wait()
}

func (s *suite) restart() {
	a := s.doc("a", 1, "about apples")
	a.Readers, a.Attributes = []string{"tenant:acme"}, passage.Attributes{"lang": passage.Text("en")}
	s.put(a, s.doc("b", 1, "about pears"), s.doc("c", 1, "about apples too"))
	s.put(s.doc("b", 2, "about plums"))
	s.write(passage.Change{Remove: []string{"c"}})
	before := s.documents(passage.Page{})
	s.Close(s.T, s.store)
	s.store = s.Open(s.T)
	legs := s.search(passage.Query{Text: "apples pears plums", Vector: vector("about apples"), Audience: operator})
	if len(legs.Words) != 2 || names(legs.Dense[:1]) != "a" || len(legs.Dense) != 2 {
		s.Errorf("found %q and %q", names(legs.Words), names(legs.Dense))
	}
	s.want("for others", names(s.search(passage.Query{Text: "apples", Audience: passage.Readers("*")}).Words), "")
	if diff := gocmp.Diff(before, s.documents(passage.Page{})); diff != "" {
		s.Errorf("documents (-before +after)\n%s", diff)
	}
}

func (s *suite) atOnce() {
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 10 {
				d := s.doc(fmt.Sprintf("d%d", i), uint64(j+1), fmt.Sprintf("apples of writer %d, round %d", i, j))
				if err := s.store.Write(s.Context(), s.of, passage.Change{Put: []passage.Whole{d}}); err != nil {
					s.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 20 {
				legs, err := s.store.Search(s.Context(), s.of, passage.Query{Text: "apples", N: 10, Audience: operator})
				if err != nil || len(legs.Words) > 4 {
					s.Errorf("%q, %v", names(legs.Words), err)
				}
			}
		})
	}
	wg.Wait()
	s.want("in the end", ids(s.documents(passage.Page{})), "d0/10 d1/10 d2/10 d3/10")
	s.want("found", fmt.Sprint(len(s.search(passage.Query{Text: "apples", Audience: operator}).Words)), "4")
}

func (s *suite) empty() {
	legs := s.search(passage.Query{Text: "apples", Vector: vector("x"), Audience: operator})
	s.want("found", names(legs.Words)+names(legs.Dense), "")
	s.want("documents", ids(s.documents(passage.Page{})), "")
	s.want("loaded", fmt.Sprint(len(s.load(operator, passage.Ref{Document: "a"}))), "0")
	s.write(passage.Change{})
	s.write(passage.Change{Remove: []string{"none"}})
	s.put(s.doc("a", 1, "the and of"))
	s.want("stop words", names(s.search(passage.Query{Text: "the", Audience: operator}).Words), "")
}
