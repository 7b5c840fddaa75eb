package app

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headworks/internal/sim"
)

var objective = sim.Objective{TTFT: 2 * time.Second, TPOT: 50 * time.Millisecond}

// TestSimulatedPage: the report is one well-formed page that asks nothing of anybody,
// and shows every policy and figure.
func TestSimulatedPage(t *testing.T) {
	for name, o := range map[string]Simulation{
		"one run":  {Requests: 500, Objective: objective},
		"several":  {Requests: 500, Seeds: 3, Policies: []string{"prefix", "round-robin"}, Objective: objective},
		"stages":   {Stages: "20x5s,40x5s", Seeds: 2, Policies: []string{"prefix", "lmetric"}, Events: []string{"2s..3s hang pool/1"}, Gateways: 2},
		"long":     {Load: "chat,prompt=4000,output=500", Requests: 300, Seeds: 2, Policies: []string{"prefix"}},
		"talks":    {Load: "conversations,turns=3", Requests: 200, Seeds: 2, Policies: []string{"session", "prefix"}},
		"groups":   {Load: "ladder,groups=3,questions=2,prefix=640,question=64,output=10", Stages: "5x2s"},
		"scaled":   {Load: "ladder,groups=3,questions=2,prefix=640,question=64,output=100", Stages: "5x1m+20x5m+5x5m", Scale: "1..6", Target: 8, ColdStart: time.Minute, Policies: []string{"prefix", "least-requests"}},
		"a target": {Requests: 300, Scale: "1..2", Keep: 50},
		"a ladder": {Load: LadderLoad, Stages: "15x10s,3x10s", Policies: []string{"prefix"}},
	} {
		r, err := Simulate(t.Context(), o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var b strings.Builder
		if err := r.HTML(&b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		page := b.String()
		d := xml.NewDecoder(strings.NewReader(page))
		d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		for _, never := range []string{"http:", "https:", "<script", "src=", "url(", "<link", "NaN", "ZgotmplZ"} {
			if strings.Contains(page, never) {
				t.Errorf("%s: the page has %s", name, never)
			}
		}
		want := []string{"prefers-color-scheme: dark", "<rect", "TTFT p99, ms", "TPOT p90, ms", "prefix hits, %", "within the objective, %"}
		if o.Seeds > 1 && len(o.Policies) > 1 {
			want = append(want, "Less "+o.Policies[0]+", seed by seed")
		}
		want = append(want, o.Policies...)
		want = append(want, o.Events...)
		for _, s := range want {
			if !strings.Contains(page, s) {
				t.Errorf("%s: the page lacks %q", name, s)
			}
		}
		if _, err := json.Marshal(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSimulateIsRepeatable: seeds run side by side, and that changes nothing.
func TestSimulateIsRepeatable(t *testing.T) {
	o := Simulation{Requests: 1000, Seeds: 3, Policies: []string{"prefix", "least-requests"}, Gateways: 2, Objective: objective}
	a, err := Simulate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := Simulate(t.Context(), o)
	seen := map[string]bool{}
	for i, p := range a.Policies {
		for j, r := range p.Runs {
			if r.Hash != b.Policies[i].Runs[j].Hash {
				t.Errorf("%s, seed %d: another hash", p.Policy, j)
			}
			seen[r.Hash] = true
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d different runs of 6", len(seen))
	}
}

// TestSimulateRefuses: a wish that makes no sense is told from a file that is wrong.
func TestSimulateRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	text := "upstreams: {docs: {kind: local-extract}, gpu: {kind: simulated}}\nmodels:\n  documents: {targets: [{upstream: docs, model: d}]}\n  m: {targets: [{upstream: gpu, model: m}]}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		o     Simulation
		words string
		wish  bool
	}{
		"a load":       {Simulation{Load: "storm"}, "no load is called", true},
		"of a load":    {Simulation{Load: "ladder,groups=0"}, "of the load ladder can be changed: groups", true},
		"of another":   {Simulation{Load: "chat,groups=3"}, "of the load chat can be changed: prompt, output", true},
		"many prompts": {Simulation{Load: "ladder,groups=1000000,questions=1000000"}, "10 million", true},
		"both":         {Simulation{Trace: "x", Rate: 3}, "a trace says itself", true},
		"no trace":     {Simulation{Speed: 2}, "are of a trace", true},
		"a file":       {Simulation{Trace: filepath.Join(t.TempDir(), "none")}, "no such file", false},
		"stages":       {Simulation{Stages: "15x"}, "a stage is RATExLENGTH", true},
		"no scale":     {Simulation{Target: 8}, "--scale LEAST..MOST", true},
		"a scale":      {Simulation{Scale: "4..2"}, "--scale is LEAST..MOST", true},
		"two targets":  {Simulation{Scale: "1..4", Target: 8, Keep: 90}, "give one of both", true},
		"scale, event": {Simulation{Scale: "1..4", Events: []string{"2s..3s hang pool/1"}}, "leave --event or --scale out", true},
		"and a rate":   {Simulation{Stages: "15x50s", Rate: 3}, "of their own", true},
		"seeds":        {Simulation{Seeds: 1000}, "1 to 100 seeds", true},
		"gateways":     {Simulation{Gateways: 1000}, "1 to 64 gateways", true},
		"twice":        {Simulation{Policies: []string{"prefix", "prefix"}}, "there twice", true},
		"an extractor": {Simulation{Config: file}, "runs no model that could be simulated", false},
		"a model":      {Simulation{Config: file, Model: "x"}, "no model \"x\"", false},
	} {
		_, err := Simulate(t.Context(), tt.o)
		if err == nil || !strings.Contains(err.Error(), tt.words) || errors.Is(err, ErrSimulation) != tt.wish {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r, err := Simulate(t.Context(), Simulation{Config: file, Model: "m", Requests: 100}); err != nil || r.Requests != 100 || r.Policy != asFile {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestSimulateEnds: who interrupts a long simulation does not wait for its end.
func TestSimulateEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := Simulation{Requests: 1 << 30, Seeds: 2, Progress: func(int, int) { cancel() }}
	if _, err := Simulate(ctx, o); err == nil {
		t.Error("it went on to its end")
	}
}
