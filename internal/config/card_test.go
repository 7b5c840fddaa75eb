package config

import (
	"strings"
	"testing"

	"headworks/internal/catalog/card"
)

const cardFile = `
upstreams:
  openai: {kind: openai, key: sk-0123456789abcdef}
  other: {kind: openai, urls: [https://llm.example.com/v1], key: sk-0123456789abcdef}
models:
  all: {targets: [{upstream: openai, model: gpt-5-2025-08-07}]}
  own: {targets: [{upstream: openai, model: gpt-5, price: {input: 1, output: 2, cache_write_1h: 3}, window: 0, capabilities: [tools]}]}
  off: {card: off, targets: [{upstream: openai, model: gpt-5}]}
  nobody: {targets: [{upstream: openai, model: not-on-any-card}]}
  elsewhere: {targets: [{upstream: other, model: gpt-5}]}
`

// TestCard: the card fills in what the file leaves open, where the provider itself
// serves, and tells so.
func TestCard(t *testing.T) {
	c, report := Parse("headworks.yaml", []byte(cardFile), Lookup{})
	if !report.OK() {
		t.Fatal(report.Text(""))
	}
	target := func(name string) Target { return c.Models[name].Targets[0] }
	if all := target("all"); all.Price == nil || all.Price.Input != 1.25 || all.Price.CacheRead == nil || all.Window != 400_000 || !all.Carded || all.Output != 128_000 || all.Released == 0 {
		t.Errorf("%+v", all)
	}
	if own := target("own"); own.Price.Input != 1 || own.Price.CacheRead != nil || *own.Price.CacheWriteHour != 3 || own.Window != 0 || own.Carded || len(own.Capabilities) != 1 || own.Output != 128_000 {
		t.Errorf("%+v", own)
	}
	for _, name := range []string{"off", "nobody", "elsewhere"} {
		if none := target(name); none.Price != nil || none.Window != 0 || none.Output != 0 || none.Capabilities != nil {
			t.Errorf("%s: %+v", name, none)
		}
	}
	for path, want := range map[string]string{
		"models.all.targets[0].price.input":     "card of " + card.Date,
		"models.all.targets[0].window":          "card of " + card.Date,
		"models.all.targets[0].capabilities[0]": "card of " + card.Date,
		"models.own.targets[0].max_output":      "card of " + card.Date,
		"models.own.targets[0].price.input":     "headworks.yaml:7",
		"models.off.targets[0].price":           "default",
		"models.all.targets[0].price.long":      "default",
	} {
		values, err := Explain(c, path)
		if err != nil || len(values) != 1 || !strings.HasPrefix(values[0].Origin, want) {
			t.Errorf("%s: %+v, %v; want %s", path, values, err, want)
		}
	}
}

func TestCapabilities(t *testing.T) {
	_, report := Parse("f", []byte("upstreams: {s: {kind: simulated}}\nmodels: {m: {targets: [{upstream: s, model: m, capabilities: [magic]}]}}"), Lookup{})
	if report.OK() || !strings.Contains(report.Text(""), "capabilities") {
		t.Errorf("a capability that is none: %s", report.Text(""))
	}
}
