package main

import (
	"strings"
	"testing"
	"time"

	"headworks/internal/api/admin"
	"headworks/internal/client"
	"headworks/internal/latency"
)

func TestSumUp(t *testing.T) {
	now := time.Unix(1e9, 0)
	us := func(v int64) *int64 { return &v }
	if got := sumUp(client.Rows{}, now); got != nil {
		t.Errorf("of nothing: %+v", got)
	}
	var rows client.Rows
	for i := range int64(10) {
		rows.Requests = append(rows.Requests, client.Row{
			Time: now.Add(-time.Duration(i+1) * time.Second).UnixMicro(), TTFT: us(1000 * (i + 1)), TPOT: us(500), Output: 20, End: "ok",
		})
	}
	rows.Requests[0].End, rows.Requests[1].End, rows.Requests[1].TTFT = "abnormal_end", "client_closed", nil
	want := last{Requests: 10, Span: 10, Rate: 1, Tokens: 20, Failed: 1, First50: 6, First90: 10, Each50: 0.5}
	if got := sumUp(rows, now); *got != want {
		t.Errorf("%+v, want %+v", *got, want)
	}
}

// TestFrame: what does not fit the screen is left out, and that is said.
func TestFrame(t *testing.T) {
	for _, tt := range []struct {
		text          string
		width, height int
		want          string
	}{
		{"one\ntwo\n", 80, 24, "one|two|"},
		{"a long line\n", 6, 24, "a long|"},
		{"überlang\n", 4, 24, "über|"},
		{"1\n2\n3\n4\n5\n", 80, 5, "1|2|3|2 lines more|"},
		{"1\n2\n3\n4\n", 80, 5, "1|2|3|4|"},
	} {
		got := frame(tt.text, tt.width, tt.height)
		want := atTop + strings.ReplaceAll(tt.want, "|", clearRight) + clearBelow
		if got != want {
			t.Errorf("%q on %d x %d: %q", tt.text, tt.width, tt.height, got)
		}
	}
}

func TestDecides(t *testing.T) {
	for want, f := range map[string]admin.Fit{
		"yes":           {Trusted: true},
		"after 50 more": {Samples: latency.TrustedSamples, Firsts: latency.TrustedSamples - 50},
		"no: 31 % off":  {Samples: 500, Firsts: 500, Error: 0.1, First: 0.31},
	} {
		if got := decides(&f); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
