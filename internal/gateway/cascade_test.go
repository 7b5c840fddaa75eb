package gateway

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"headworks/internal/admit"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/inference"
)

// says is a piece of a stream in the caller's dialect, and what it says.
func says(s string) beat {
	b := text(s)
	b.chunk.Deltas = []inference.Delta{{Kind: inference.TextDelta, Text: s}}
	return b
}

// ends is the end of a stream, for a reason.
func ends(f inference.Finish) beat {
	b := finish("")
	b.chunk.Raw, b.chunk.Event.Content, b.chunk.Event.Finish = []byte("|end"), false, f
	return b
}

// wholly is a whole answer.
func wholly(s string, f inference.Finish) beat {
	b := finish(s)
	b.chunk.Event.Finish = f
	b.chunk.Answer = &inference.Answer{Parts: []inference.Part{{Kind: inference.Text, Text: s}}}
	return b
}

func TestCascade(t *testing.T) {
	large := []beat{role(), later(time.Second, says("large")), ends(inference.Stop)}
	for _, tt := range []struct {
		name     string
		stream   bool
		small    []beat
		large    []beat
		log      []string
		opened   int
		cost     int64
		degraded string
		doubt    string
	}{
		{
			"passes", true,
			[]beat{role(), later(time.Second, says("sm")), later(time.Second, says("all")), later(time.Second, ends(inference.Stop))},
			large,
			[]string{"end role|small|end"},
			1, 16, "", "",
		},
		{
			"does not pass", true,
			[]beat{role(), later(time.Second, says("sm")), later(time.Second, ends(inference.Length))},
			large,
			[]string{"send role|large", "end |end"},
			2, 32, "", "it was cut at its limit of tokens",
		},
		{
			"is slow and does not pass", true,
			[]beat{role(), says("sm"), later(25*time.Second, says("all")), ends(inference.Length)},
			large,
			[]string{"open", "send role|large", "end |end"},
			2, 32, "", "it was cut at its limit of tokens",
		},
		{
			"whole, passes", false,
			[]beat{wholly("small", inference.Stop)},
			[]beat{wholly("large", inference.Stop)},
			[]string{"end small"},
			1, 16, "", "",
		},
		{
			"whole, does not pass", false,
			[]beat{wholly("I cannot help with that.", inference.Stop)},
			[]beat{wholly("large", inference.Stop)},
			[]string{"end large"},
			2, 32, "", "it refuses",
		},
		{
			"empty", true,
			[]beat{role(), ends(inference.Stop)},
			large,
			[]string{"send role|large", "end |end"},
			2, 32, "", "it is empty",
		},
		{
			"fails, and is fallen back from", true,
			[]beat{role(), says("sm"), breaks(fault.Interrupted)},
			large,
			[]string{"send role|large", "end |end"},
			2, 16, "", "",
		},
		{
			"the other fails", true,
			[]beat{says("sm"), ends(inference.Length)},
			[]beat{breaks(fault.UpstreamError)},
			[]string{"fault upstream_5xx"},
			2, 0, "", "it was cut at its limit of tokens",
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(admit.Limits{}, tt.small, tt.large)
			b.g.World().Fleet.Models[0].Cascade = &fleet.Cascade{Whole: true, Refusal: true, JSON: true}
			b.g.World().Fleet.Models[0].Tries = 1
			p := &page{}
			b.do(t.Context(), tt.stream, p)
			log := slices.DeleteFunc(p.log, func(l string) bool { return l == "alive" })
			if !slices.Equal(log, tt.log) || len(b.engine.opened) != tt.opened {
				t.Errorf("%s: %q, opened %v", tt.name, log, b.engine.opened)
			}
			r := b.records[0]
			if max(r.Cost, 0) != tt.cost || p.head.Degraded != tt.degraded || r.Attempts[0].Doubt != tt.doubt {
				t.Errorf("%s: cost %d, degraded %q, attempt %+v", tt.name, r.Cost, p.head.Degraded, r.Attempts[0])
			}
			if a := r.Attempts[0]; tt.doubt != "" && (a.Input != 10 || a.Output != 3 || a.Cost != 16) {
				t.Errorf("%s: the answer that did not pass took %+v", tt.name, a)
			}
			if a := r.Attempts[1]; tt.opened == 2 && tt.cost == 32 && (a.Cost != 16 || r.Output != 3 || r.FailoverFrom != "") {
				t.Errorf("%s: %+v, output %d, from %q", tt.name, a, r.Output, r.FailoverFrom)
			}
			b.settled(t)
		})
	}
}

// TestCascadeIsBounded sends more than is kept: it goes on to the client unread, and
// nobody is asked again.
func TestCascadeIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece := strings.Repeat("x", 100_000)
		var small []beat
		for range 40 {
			small = append(small, says(piece))
		}
		b := newBench(admit.Limits{}, append(small, ends(inference.Length)), []beat{says("large"), ends(inference.Stop)})
		b.g.World().Fleet.Models[0].Cascade = &fleet.Cascade{Whole: true}
		p := &page{}
		b.do(t.Context(), true, p)
		got := strings.Count(strings.Join(p.log, ""), "x")
		if got != 40*len(piece) || len(p.log[0]) > maxKept+2*len(piece) || len(b.engine.opened) != 1 {
			t.Errorf("%d bytes came in %d writes, the first of %d; opened %v", got, len(p.log), len(p.log[0]), b.engine.opened)
		}
		if p.head.Degraded != "unverified" || b.records[0].Attempts[0].Doubt != flow.Unchecked {
			t.Errorf("degraded %q, %+v", p.head.Degraded, b.records[0].Attempts[0])
		}
		b.settled(t)
	})
}

// TestCascadeReadsTools takes calls of tools out of steps, and looks at them by what
// the request offers.
func TestCascadeReadsTools(t *testing.T) {
	call := func(args ...string) []beat {
		beats := []beat{{chunk: engine.Chunk{Deltas: []inference.Delta{{Kind: inference.ToolBegin, ID: "1", Name: "add"}}, Event: inference.Event{Content: true}}}}
		for _, a := range args {
			beats = append(beats, beat{chunk: engine.Chunk{Deltas: []inference.Delta{{Kind: inference.ToolDelta, Text: a}}, Event: inference.Event{Content: true}}})
		}
		end := finish("")
		end.chunk.Raw, end.chunk.Deltas, end.chunk.Event.Finish = nil, []inference.Delta{{Kind: inference.End, Finish: inference.ToolCalls}}, inference.ToolCalls
		return append(beats, end)
	}
	for args, opened := range map[string]int{`{"n":3}`: 1, `{"n":"3"}`: 2} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(admit.Limits{}, call(args[:3], args[3:]), call(`{"n":4}`))
			b.g.World().Fleet.Models[0].Cascade = &fleet.Cascade{JSON: true}
			p := &page{}
			req := b.request(true)
			req.Conversation = func() (*inference.Conversation, []string, error) {
				return &inference.Conversation{Tools: []inference.Tool{{Name: "add", Schema: []byte(`{"properties":{"n":{"type":"integer"}}}`)}}}, nil, nil
			}
			b.g.Do(t.Context(), req, p)
			if len(b.engine.opened) != opened || !strings.Contains(strings.Join(p.log, ""), "add|") {
				t.Errorf("%s: opened %v, %q", args, b.engine.opened, p.log)
			}
		})
	}
}
