package fleet

import (
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"headworks/internal/inference"
	"headworks/internal/place"
)

func snapshot() *Snapshot {
	return &Snapshot{
		Upstreams: []Upstream{{Name: "lab"}, {Name: "cloud"}},
		Models: []Model{
			{Name: "assistant", Targets: []Target{{Upstream: 0, Model: "small"}}},
			{Name: "cloud/pinned", Targets: []Target{{Upstream: 0, Model: "other"}}},
			{Name: "writer", Targets: []Target{{Upstream: 1, Model: "large"}}},
		},
		Direct: Model{Tries: 2, Timeouts: Timeouts{Idle: 30 * time.Second}},
	}
}

func TestModel(t *testing.T) {
	s := snapshot()
	for _, tt := range []struct {
		name     string
		found    bool
		upstream int
		model    string
		asked    bool
	}{
		{"assistant", true, 0, "small", false},
		{"writer", true, 1, "large", false},
		{"cloud/pinned", true, 0, "other", false}, // a listed name comes first
		{"cloud/any", true, 1, "any", true},
		{"lab/org/model:tag", true, 0, "org/model:tag", true}, // names may have slashes of their own
		{"lab/", false, 0, "", false},
		{"/any", false, 0, "", false},
		{"nowhere/any", false, 0, "", false},
		{"Assistant", false, 0, "", false},
		{"assistan", false, 0, "", false},
		{"", false, 0, "", false},
		{"zzz", false, 0, "", false},
	} {
		m, ok := s.Model(tt.name)
		if ok != tt.found {
			t.Errorf("%q is found: %v", tt.name, ok)
			continue
		}
		if !ok {
			continue
		}
		if m.Name != tt.name || len(m.Targets) != 1 || m.Targets[0].Upstream != tt.upstream || m.Targets[0].Model != tt.model || m.Asked != tt.asked {
			t.Errorf("%q is %+v", tt.name, m)
		}
		if tt.asked && (m.Tries != 2 || m.Timeouts.Idle != 30*time.Second) {
			t.Errorf("%q does not have the timeouts and tries of Direct: %+v", tt.name, m)
		}
	}
	if s.Direct.Name != "" || s.Direct.Asked || s.Direct.Targets != nil {
		t.Errorf("asking changed the snapshot: %+v", s.Direct)
	}
}

// TestEveryListedModelIsFound: by a binary search, whatever the names are.
func TestEveryListedModelIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfDistinct(rapid.StringMatching(`[a-c/.-]{1,4}`), rapid.ID).Draw(t, "names")
		sort.Strings(names)
		s := &Snapshot{}
		for _, name := range names {
			s.Models = append(s.Models, Model{Name: name})
		}
		for i, name := range names {
			if m, ok := s.Model(name); !ok || m != &s.Models[i] {
				t.Fatalf("%q among %q: %v", name, names, m)
			}
		}
		if m, ok := s.Model("d"); ok {
			t.Fatalf("found %+v", m)
		}
	})
}

func TestListedModelCostsNoAllocation(t *testing.T) {
	s := snapshot()
	if n := testing.AllocsPerRun(100, func() { s.Model("writer") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestAuto: whatever the caller may use, real before simulated, by measured
// quality, then by price.
func TestAuto(t *testing.T) {
	s := &Snapshot{
		Upstreams: []Upstream{{Name: "lab"}, {Name: "demo", Simulated: true}},
		Models: []Model{
			{Name: "cheap", Targets: []Target{{Model: "c", Quality: 0.7, Price: inference.Price{Known: true, Input: 1}}, {Model: "c2"}}},
			{Name: "dear", Targets: []Target{{Model: "d", Quality: 0.7, Price: inference.Price{Known: true, Input: 9}}}},
			{Name: "good", Targets: []Target{{Model: "g", Quality: 0.9}}},
			{Name: "none"},
			{Name: "plain", Targets: []Target{{Model: "p"}}},
			{Name: "simulated", Targets: []Target{{Upstream: 1, Model: "s", Quality: 1}}},
		},
	}
	names := func(m *Model) (names []string) {
		for _, t := range m.Targets {
			names = append(names, t.Of+"/"+t.Model)
		}
		return names
	}
	m, ok := s.Auto(func(string) bool { return true })
	if want := []string{"good/g", "cheap/c", "cheap/c2", "dear/d", "plain/p", "simulated/s"}; !ok || m.Name != Auto || !slices.Equal(names(m), want) {
		t.Errorf("got %v, want %v", names(m), want)
	}
	m, ok = s.Auto(func(name string) bool { return name == "plain" })
	if !ok || !slices.Equal(names(m), []string{"plain/p"}) {
		t.Errorf("of one: %v", names(m))
	}
	if _, ok := s.Auto(func(string) bool { return false }); ok {
		t.Error("something for somebody who may use nothing")
	}
	if s.Models[0].Targets[0].Of != "" {
		t.Error("the snapshot was changed")
	}
}

// TestJoin: there is room for so many targets and no more.
func TestJoin(t *testing.T) {
	a := &Model{Name: "a", Policy: Weighted, Tries: 3, Targets: make([]Target, 10)}
	b := &Model{Name: "b/c", Asked: true, Targets: make([]Target, 10)}
	m := Join("both", []*Model{a, b})
	if m.Name != "both" || m.Policy != Ordered || m.Tries != 3 || !m.Asked || len(m.Targets) != MaxTargets || m.Targets[15].Of != "b/c" {
		t.Errorf("%+v", m)
	}
}

func TestParts(t *testing.T) {
	s := &Snapshot{Upstreams: []Upstream{
		{Name: "a", Replicas: []Replica{{Name: "r0", URL: "http://a0", Place: place.Place{Region: "eu", Zone: "x"}}, {Name: "r1", URL: "http://a1", Place: place.Place{Region: "eu", Zone: "y"}}}},
		{Name: "b", Replicas: []Replica{{Name: "r2", URL: "http://b2", Place: place.Place{Region: "us", Zone: "x"}}, {Name: "r3"}}},
	}}
	for _, tt := range []struct {
		part  Part
		want  string
		words string
	}{
		{Part{Upstream: "a"}, "r0 r1", "upstream a"},
		{Part{Upstream: "a", Replica: "r1"}, "r1", "replica r1 of a"},
		{Part{Upstream: "b", Replica: "http://b2"}, "r2", "replica http://b2 of b"},
		{Part{Upstream: "b", Replica: "r1"}, "", "replica r1 of b"},
		{Part{Upstream: "c"}, "", "upstream c"},
		{Part{Place: place.Place{Region: "eu"}}, "r0 r1", "region eu"},
		{Part{Place: place.Place{Region: "eu", Zone: "x"}}, "r0", "zone eu/x"},
		{Part{Place: place.Place{Zone: "x"}}, "r0 r2", "zone x"},
		{Part{Place: place.Place{Region: "ap"}}, "", "region ap"},
		{Part{}, "", "region "},
	} {
		got := []string{}
		for i := range s.Upstreams {
			for k := range s.Upstreams[i].Replicas {
				if r := &s.Upstreams[i].Replicas[k]; tt.part.Has(&s.Upstreams[i], r) {
					got = append(got, r.Name)
				}
			}
		}
		if strings.Join(got, " ") != tt.want || tt.part.String() != tt.words {
			t.Errorf("%s has %v, want %s of %s", tt.part, got, tt.want, tt.words)
		}
	}
}
