package gateway

import (
	"context"
	"fmt"
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/engine"
	"headworks/internal/flow"
	"headworks/internal/inference"
	"headworks/internal/scan"
	"headworks/internal/tenant"

	"pgregory.net/rapid"
)

// witness is an engine whose answer says who asked what.
type witness struct{}

func (witness) Open(_ context.Context, c *engine.Call) (engine.Stream, error) {
	return &testimony{text: testify(c.Caller, string(c.Body))}, nil
}

// testify tells callers apart who may not be given each other's answers, of a model whose
// answers are the project's, and requests that ask for something else.
func testify(c *tenant.Caller, body string) string {
	return fmt.Sprintf("%q %q %q %q %v %q %s", c.Tenant, c.Project, c.Tier.Name, c.Models, c.Residency.Bound, c.Residency.Regions, body)
}

type testimony struct{ text string }

func (s *testimony) Next(time.Time) (engine.Chunk, error) {
	usage := inference.Usage{Input: 1, Output: 1, Known: true}
	return engine.Chunk{
		Last: true, Event: inference.Event{Content: true, Finishes: 1, Finish: inference.Stop, Usage: usage, Terminal: true},
		Answer: &inference.Answer{Parts: []inference.Part{{Kind: inference.Text, Text: s.text}}, Finish: inference.Stop, Usage: usage},
	}, nil
}

func (*testimony) Dropped() []string { return nil }
func (*testimony) Close() error      { return nil }

// TestNoHitAcrossScopes: whoever asks whatever, in any order, an answer that is given is
// one that was made for somebody who could have been given the same, to the same
// question; and what is asked again by the same caller is given again.
func TestNoHitAcrossScopes(t *testing.T) {
	hits := 0
	rapid.Check(t, func(rt *rapid.T) {
		s := newShared(t, admit.Limits{}, words(1))
		w := *s.g.World()
		w.Engines = []engine.Engine{witness{}}
		s.g.Publish(&w)
		text := rapid.SampledFrom([]string{"", "a", "b", "ab", "a/b", "a\x00b"})
		some := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"*", "assistant", "a*"}), 0, 2, rapid.ID[string])
		body := rapid.SampledFrom([]string{`{"messages":[]}`, `{"messages":["a"]}`, `{"messages":[],"seed":1}`, `{"messages":[],"seed":9007199254740993}`, `{"messages":[],"seed":9007199254740992}`})
		asked := map[string]bool{}
		callers := make([]*tenant.Caller, rapid.IntRange(2, 4).Draw(rt, "callers"))
		for i := range callers {
			c := &tenant.Caller{
				Tenant: text.Draw(rt, "tenant"), Project: text.Draw(rt, "project"), KeyID: fmt.Sprint("key ", i), Key: text.Draw(rt, "key"),
				Tier: tenant.Tier{Name: text.Draw(rt, "tier")},
			}
			if i > 0 && rapid.Bool().Draw(rt, "alike") { // in all but a few things
				like := *callers[i-1]
				like.KeyID = c.KeyID
				c = &like
			}
			switch rapid.IntRange(0, 5).Draw(rt, "differs in") {
			case 0:
				c.Models = append(some.Draw(rt, "models"), "assistant")
			case 1:
				c.Residency = tenant.Residency{Bound: true, Regions: []string{"", "here"}[:1+i%2]}
			case 2:
				c.Tier.Name = text.Draw(rt, "tier")
			case 3:
				c.Project = text.Draw(rt, "project")
			}
			callers[i] = c
		}
		for range rapid.IntRange(4, 20).Draw(rt, "requests") {
			c := rapid.SampledFrom(callers).Draw(rt, "caller")
			r := s.request(false)
			r.ID, r.Caller, r.AnswerID = inference.NewID(time.Now(), 0, s.ids.Add(1)), c, "chatcmpl-"
			r.Body, r.Doc = []byte(body.Draw(rt, "body")), new(scan.Doc)
			if r.Doc.Scan(r.Body, nil) != nil {
				rt.Fatal("not JSON")
			}
			var got client
			s.g.Do(t.Context(), r, &got)
			if got.fault != 0 {
				continue // nothing of the model is in his regions
			}
			want := testify(c, string(r.Body))
			if got.text.String() != want {
				rt.Fatalf("%s was given %s", want, got.text.String())
			}
			switch hit := got.head.Cache.State == flow.Hit; {
			case hit && !asked[want]:
				rt.Fatalf("%s hit, and nobody had asked", want)
			case !hit && asked[want] && c.Tenant != "":
				rt.Fatalf("%s missed, and was asked before", want)
			case hit:
				hits++
			}
			asked[want] = true
		}
	})
	if hits == 0 {
		t.Error("nothing was given again")
	}
}
