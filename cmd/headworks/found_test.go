package main

import (
	"strings"
	"testing"
	"time"

	"headworks/internal/api/admin"
)

// TestFound: status says where a found replica is, by what and since when, and what went
// wrong last, over or not.
func TestFound(t *testing.T) {
	now := time.Now()
	upstreams := []admin.Upstream{
		{Name: "listed", Replicas: []admin.Replica{{Name: "r0", URL: "http://10.0.0.9"}}},
		{
			Name:     "gpu",
			Finding:  &admin.Finding{By: "kubernetes", Answered: now, Failures: 2, Failed: now.Add(-time.Hour), Failure: "it was away", Left: 1},
			Replicas: []admin.Replica{{Name: "r1", URL: "http://10.0.0.1:8000", Found: now.Add(-90 * time.Second)}, {Name: "r2", URL: "http://10.0.0.2:8000"}},
		},
		{Name: "none", Finding: &admin.Finding{By: "dns", Why: "DNS did not answer", Failed: now, Failure: "DNS did not answer"}},
	}
	var b strings.Builder
	found(&b, upstreams, now)
	want := `
UPSTREAM  REPLICA  URL                   FOUND BY    SINCE
gpu       r1       http://10.0.0.1:8000  kubernetes  1m30s ago
gpu       r2       http://10.0.0.2:8000  kubernetes  -
gpu: 2 answers of kubernetes did not count, the last one 1h0m0s ago: it was away
gpu: 1 replica left out, beyond max_replicas or without an address that can be asked
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	if got, want := unfound(&upstreams[2], now), "none: 0 replicas by dns, DNS did not answer; there was no answer yet"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	upstreams[1].Finding.Why = "it is away"
	if got := unfound(&upstreams[1], now); got != "gpu: 2 replicas by kubernetes, it is away; the last known ones of 0s ago stay" {
		t.Errorf("%q", got)
	}
	b.Reset()
	if found(&b, upstreams[:1], now); b.Len() > 0 {
		t.Errorf("of listed ones: %s", b.String())
	}
}
