package fleet

import (
	"sort"
	"testing"
	"time"

	"pgregory.net/rapid"
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
