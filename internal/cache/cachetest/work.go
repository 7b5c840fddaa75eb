package cachetest

import (
	"strings"
	"testing"
	"time"

	"headworks/internal/cache"
	"headworks/internal/scan"
	"headworks/internal/tenant"
)

func given(t *testing.T, json string) scan.Value {
	t.Helper()
	var d scan.Doc
	if err := d.Scan([]byte(json), nil); err != nil {
		t.Fatal(err)
	}
	return d.Root()
}

// works tests what is kept of tools and of steps.
func works(t *testing.T, make func(t *testing.T) *cache.Cache) {
	alice := Caller("k1", "acme", "web")
	t.Run("results of tools", func(t *testing.T) {
		c, now := make(t), time.Now()
		usual := func() *cache.Tool {
			return &cache.Tool{
				Server: "docs", Name: "find", Description: []byte(`{"description":"finds"}`), Arguments: given(t, `{"q":"x","n":1}`),
				ReadOnly: true, Idempotent: true, Allowed: true,
			}
		}
		look := func(by *tenant.Caller, change func(*cache.Tool), at time.Time) (string, bool) {
			tool := usual()
			change(tool)
			w := c.BeginTool(t.Context(), by, tool, at)
			e, ok := w.Result()
			return string(e.Value), ok
		}
		same := func(*cache.Tool) {}
		w := c.BeginTool(t.Context(), alice, usual(), now)
		if _, ok := w.Result(); ok {
			t.Error("known before it was done")
		}
		w.Keep([]byte("found"), time.Second, 5, now)
		if got, ok := look(alice, func(x *cache.Tool) { x.Arguments = given(t, `{"n":1.0,"q":"\u0078"}`) }, now); !ok || got != "found" {
			t.Errorf("the same, written otherwise: %q %v", got, ok)
		}
		for name, change := range map[string]func(*cache.Tool){
			"another server":      func(x *cache.Tool) { x.Server = "docs2" },
			"another tool":        func(x *cache.Tool) { x.Name = "find2" },
			"described otherwise": func(x *cache.Tool) { x.Description = []byte(`{"description":"finds and sends"}`) },
			"other arguments":     func(x *cache.Tool) { x.Arguments = given(t, `{"q":"x","n":2}`) },
			"may write":           func(x *cache.Tool) { x.ReadOnly = false },
			"not idempotent":      func(x *cache.Tool) { x.Idempotent = false },
			"not allowed":         func(x *cache.Tool) { x.Allowed = false },
		} {
			if got, ok := look(alice, change, now); ok {
				t.Errorf("%s: %q", name, got)
			}
		}
		for name, by := range map[string]*tenant.Caller{
			"another key": Caller("k2", "acme", "web"), "another tenant": Caller("k1", "bad", "web"), "nobody": nil, "no key": Caller("", "acme", "web"),
		} {
			if got, ok := look(by, same, now); ok {
				t.Errorf("%s is given %q", name, got)
			}
		}
		if _, ok := look(alice, same, now.Add(59*time.Second)); !ok {
			t.Error("gone within its minute")
		}
		if _, ok := look(alice, same, now.Add(time.Minute)); ok {
			t.Error("found after its minute")
		}
		for name, tt := range map[string]struct {
			value string
			tool  func(*cache.Tool)
			kept  bool
		}{
			"large":       {strings.Repeat("x", 64<<10), same, true},
			"too large":   {strings.Repeat("x", 64<<10+1), same, false},
			"may write":   {"x", func(x *cache.Tool) { x.ReadOnly = false }, false},
			"not allowed": {"x", func(x *cache.Tool) { x.Allowed = false }, false},
		} {
			c = make(t)
			tool := usual()
			tt.tool(tool)
			w := c.BeginTool(t.Context(), alice, tool, now)
			w.Keep([]byte(tt.value), 0, 0, now)
			if got := c.Report().Layers[cache.Tools].Entries == 1; got != tt.kept {
				t.Errorf("%s: kept %v", name, got)
			}
		}
	})
	t.Run("states of steps", func(t *testing.T) {
		c, now := make(t), time.Now()
		docs := cache.EpochName{Kind: cache.Knowledge, Name: "docs"}
		usual := func() *cache.Step {
			return &cache.Step{Definition: "review@3", Name: "summarise", Input: given(t, `{"a":[1,2]}`), Depends: []cache.EpochName{docs}}
		}
		look := func(by *tenant.Caller, change func(*cache.Step)) bool {
			s := usual()
			change(s)
			w := c.BeginStep(t.Context(), by, s, now)
			_, ok := w.Result()
			return ok
		}
		same := func(*cache.Step) {}
		w := c.BeginStep(t.Context(), alice, usual(), now)
		w.Keep([]byte("state"), time.Minute, 70, now)
		if !look(alice, same) || !look(Caller("k2", "acme", "web"), same) {
			t.Error("not found by its project")
		}
		for name, change := range map[string]func(*cache.Step){
			"another version": func(s *cache.Step) { s.Definition = "review@4" },
			"another step":    func(s *cache.Step) { s.Name = "translate" },
			"other input":     func(s *cache.Step) { s.Input = given(t, `{"a":[2,1]}`) },
			"depends on less": func(s *cache.Step) { s.Depends = nil },
		} {
			if look(alice, change) {
				t.Errorf("%s: found", name)
			}
		}
		if look(Caller("k1", "acme", "app"), same) {
			t.Error("found by another project")
		}
		under := c.BeginStep(t.Context(), alice, &cache.Step{Definition: "review@3", Name: "under way", Depends: []cache.EpochName{docs}}, now)
		_ = c.Bump(docs.Kind, docs.Name) // ErrUntold where the store is gone
		under.Keep([]byte("late"), 0, 0, now)
		if look(alice, same) || look(alice, func(s *cache.Step) { s.Name, s.Input = "under way", scan.Value{} }) {
			t.Error("found after what it depends on moved")
		}
	})
}
