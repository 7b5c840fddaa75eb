package responses

import (
	"strings"
	"testing"
	"time"

	"headworks/internal/cache"
	"headworks/internal/engine"
	"headworks/internal/fleet"
	"headworks/internal/tenant"
)

// TestReused: an answer that nobody asked to have kept is given again, in either form;
// one that is to be kept is made for its caller.
func TestReused(t *testing.T) {
	for name, engine := range map[string]engine.Engine{
		"native": speaking(t, &asked{stream: codexNative()}, engine.Responses()), "translated": foreign(),
	} {
		r := enter(t, engine)
		c, err := cache.New(t.Context(), cache.Options{Memory: 32 << 20, Secret: tenant.NewSecret("test")})
		if err != nil {
			t.Fatal(err)
		}
		r.g.Reuse(c)
		r.g.World().Fleet.Models[0].Reuse = &fleet.Reuse{Exact: fleet.ExactOn, TTL: time.Hour, Reach: tenant.KeyOnly}
		const plain, stream = `{"model":"ours","input":"x","store":false}`, `{"model":"ours","input":"x","store":false,"stream":true}`
		first, id := r.ask(stream)
		hits := func() uint64 { return c.Report().Layers[cache.Answers].Hits }
		again, other := r.ask(stream)
		if hits() != 1 || other == id || !strings.HasPrefix(other, "resp_") {
			t.Errorf("%s: %d hits, named %s and %s", name, hits(), id, other)
		}
		if strings.Count(first, "event: ") != strings.Count(again, "event: ") || !strings.Contains(again, "response.completed") {
			t.Errorf("%s: made\n%s\ngiven again\n%s", name, first, again)
		}
		whole, _ := r.ask(plain)
		if hits() != 2 || !strings.Contains(whole, `"status":"completed"`) || strings.Contains(whole, "event:") {
			t.Errorf("%s: %d hits, whole: %s", name, hits(), whole)
		}
		r.ask(`{"model":"ours","input":"x","stream":true}`)
		r.ask(`{"model":"ours","input":"x","stream":true}`)
		if hits() != 2 || r.shelf.count() == 0 {
			t.Errorf("%s: %d hits, %d are kept", name, hits(), r.shelf.count())
		}
	}
}
