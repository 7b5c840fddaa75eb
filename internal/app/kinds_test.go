package app

import (
	"fmt"
	"strings"
	"testing"

	"headworks/internal/catalog"
	"headworks/internal/config"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/tenant"
)

// An engine speaks natively what the catalog says of its kind: requests are sent
// there for that.
func TestKindsSpeakWhatTheyAreSaidTo(t *testing.T) {
	for _, k := range catalog.Kinds() {
		if k.BuiltIn {
			continue
		}
		u := config.Upstream{Kind: k.Name, Project: "p"}
		if k.Name == config.Vertex {
			u.Key = tenant.NewSecret(`{"type":"authorized_user"}`)
		}
		b, err := newFleetRoom(nil).engine(k.Name, u, []fleet.Replica{{URL: "http://127.0.0.1:1"}})
		if err != nil {
			t.Errorf("%s: %v", k.Name, err)
			continue
		}
		if e, ok := b.engine.(interface{ Speaks() inference.Set }); ok {
			if missing := k.Speaks &^ e.Speaks(); missing != 0 {
				t.Errorf("%s: the catalog has dialects (%b) that its engine does not speak", k.Name, missing)
			}
		}
		b.close()
	}
}

// TestEveryTargetCounts: what a file may have is what a fleet has room for, with the
// cells behind it.
func TestEveryTargetCounts(t *testing.T) {
	if config.MaxTargets != fleet.MaxTargets {
		t.Fatalf("a file may have %d targets, a fleet has room for %d", config.MaxTargets, fleet.MaxTargets)
	}
	file := func(targets int) string {
		var b strings.Builder
		b.WriteString(`
region: eu
peers: {secret: a-secret-of-the-gateways}
cells: {us: {urls: ["https://us.example.com"]}, ap: {urls: ["https://ap.example.com"]}}
upstreams: {gpu: {kind: vllm, urls: [http://127.0.0.1:8000]}}
models:
  m:
    targets:
`)
		for i := range targets {
			fmt.Fprintf(&b, "      - {upstream: gpu, model: m%d}\n", i)
		}
		return b.String()
	}
	c, report := config.Parse("headworks.yaml", []byte(file(14)), config.Lookup{})
	if !report.OK() {
		t.Fatal(report.Text(""))
	}
	w, _, drop, err := assumedRoom(c).build(c)
	if err != nil {
		t.Fatal(err)
	}
	drop()
	m, _ := w.Fleet.Model("m")
	if n := len(m.Targets); n != fleet.MaxTargets || !m.Targets[n-1].Away || !m.Targets[n-2].Away || m.Targets[n-3].Model != "m13" {
		t.Errorf("%d targets: %+v", n, m.Targets)
	}
	if _, report := config.Parse("headworks.yaml", []byte(file(15)), config.Lookup{}); report.OK() {
		t.Error("a model whose cells have no room passes")
	}
}
