package doctor

import (
	"io/fs"
	"strings"
	"testing"
	"time"

	"headworks/internal/alert"
	"headworks/internal/api/admin"
)

// well is a patient with nothing wrong.
func well() *Patient {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	p := &Patient{
		Now: now, Version: "1.0", File: "headworks.yaml", Data: "/data",
		Settings: &Settings{Listen: "127.0.0.1:7300", Admin: "127.0.0.1:7301", InFlight: 100, Shared: "redis://here", Upstreams: 1, Sinks: 1, Metered: []string{"eu"}},
		Modes:    map[string]fs.FileMode{"admin.token": 0o600},
		Disk:     &Disk{Free: 50 << 30, Total: 100 << 30, Daily: 1 << 30},
		Open:     &Limit{Is: 65536, Wants: 1024}, RAM: &Limit{Is: 8 << 30, Wants: 1 << 30},
		Status: &admin.Status{Version: "1.0", Status: "ok", Models: []admin.Model{{Name: "m", Targets: []string{"eu/qwen"}}},
			Upstreams: []admin.Upstream{{Name: "eu", Kind: "vllm", Replicas: []admin.Replica{{Name: "r1", Up: true, Engine: &admin.Engine{}}}}}},
		Found: []admin.Discovered{{Upstream: "eu", Models: []string{"qwen"}}}, Keys: []admin.Key{{Name: "app"}},
		Clocks: map[string]time.Duration{"eu": time.Second}, Resolved: map[string]string{"eu.example.com": ""},
		Ends: map[string]time.Duration{"tls": 90 * 24 * time.Hour}, Stream: &Stream{Pieces: 20, Spread: time.Second, Whole: time.Second},
	}
	for range 30 {
		p.Recent = append(p.Recent, Request{Overhead: 200 * time.Microsecond, End: "ok"})
	}
	return p
}

// TestWell: of one with nothing wrong every check says so.
func TestWell(t *testing.T) {
	all := Examine(well())
	if len(all) < 25 {
		t.Errorf("%d checks", len(all))
	}
	seen := map[string]bool{}
	for _, f := range all {
		if f.Outcome != OK || f.What == "" || f.Why == "" || f.Fix != "" || seen[f.Check] {
			t.Errorf("%+v", f)
		}
		seen[f.Check] = true
	}
	if Worst(all) != OK {
		t.Error(Worst(all))
	}
}

// TestEachCheckFails: every check finds what it is for, and says how to mend it.
func TestEachCheckFails(t *testing.T) {
	ill := map[string]func(p *Patient){
		"configuration":  func(p *Patient) { p.Problems = []string{"line 3"} },
		"instance":       func(p *Patient) { p.Status = nil },
		"version":        func(p *Patient) { p.Version = "2.0" },
		"generation":     func(p *Patient) { p.Alerts = []alert.Alert{{Fingerprint: "reload", Next: "headworks config validate"}} },
		"data folder":    func(p *Patient) { p.DataFail = "permission denied" },
		"file modes":     func(p *Patient) { p.Modes["pepper"] = 0o644 },
		"ports":          func(p *Patient) { p.Taken = map[string]string{"127.0.0.1:7300": "nginx (12)"} },
		"exposure":       func(p *Patient) { p.Settings.Listen = "0.0.0.0:7300" },
		"admin exposure": func(p *Patient) { p.Settings.Admin = ":7301" },
		"clock":          func(p *Patient) { p.Clocks["eu"] = -time.Hour },
		"disk":           func(p *Patient) { p.Disk.Free = 5 << 30 },
		"open files":     func(p *Patient) { p.Open.Is = 256 },
		"memory":         func(p *Patient) { p.RAM.Is = 100 << 20 },
		"names":          func(p *Patient) { p.Resolved["eu.example.com"] = "no such host" },
		"certificates":   func(p *Patient) { p.Ends["tls"] = 0 },
		"upstreams":      func(p *Patient) { p.Status.Upstreams[0].Replicas[0].Up = false },
		"credentials":    func(p *Patient) { p.Found[0].Problem = "it refuses the credential" },
		"models":         func(p *Patient) { p.Found[0].Models = []string{"llama"} },
		"real models":    func(p *Patient) { p.Status.Upstreams[0].Simulated = true },
		"streaming":      func(p *Patient) { p.Stream.Pieces = 1 },
		"load metrics":   func(p *Patient) { p.Status.Upstreams[0].Replicas[0].Engine = nil },
		"shared store":   func(p *Patient) { p.Alerts = []alert.Alert{{Fingerprint: "shared", Next: "redis-cli ping"}} },
		"records":        func(p *Patient) { p.Status.Dropped = 3 },
		"prices":         func(p *Patient) { p.Settings.Unpriced = []string{"eu/qwen"} },
		"budgets":        func(p *Patient) { p.Recent[0].Fault = "quota" },
		"keys":           func(p *Patient) { p.Keys[0].Expires = p.Now.Add(time.Hour) },
		"sinks":          func(p *Patient) { p.Settings.Sinks = 0 },
		"overhead": func(p *Patient) {
			for i := range p.Recent {
				p.Recent[i].Overhead = 50 * time.Millisecond
			}
		},
		"alerts": func(p *Patient) { p.Alerts = []alert.Alert{{Title: "x", Next: "headworks status", Urgency: "page"}} },
	}
	for _, f := range Examine(well()) {
		make, ok := ill[f.Check]
		if !ok {
			t.Errorf("nothing makes %s fail", f.Check)
			continue
		}
		p := well()
		make(p)
		for _, found := range Examine(p) {
			if found.Check == f.Check && (found.Outcome != Warn && found.Outcome != Fail || found.Fix == "" || found.What == "") {
				t.Errorf("%s: %+v", f.Check, found)
			}
		}
		if Worst(Examine(p)) == OK {
			t.Errorf("%s is not among the worst", f.Check)
		}
	}
}

// TestNothingKnown: of a patient of whom nothing is known nothing is claimed.
func TestNothingKnown(t *testing.T) {
	for _, f := range Examine(&Patient{Data: "/data"}) {
		if f.Outcome == Fail || f.Outcome == Warn && f.Check != "instance" && f.Check != "sinks" || strings.Contains(f.What, "%!") {
			t.Errorf("%+v", f)
		}
	}
}
