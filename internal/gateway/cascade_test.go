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
	"headworks/internal/record"
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
			[]string{"end sm|end"},
			2, 16, "unverified", "it was cut at its limit of tokens",
		},
		{
			"the other is cut before its first word", true,
			[]beat{role(), says("sm"), ends(inference.Length)},
			[]beat{role(), later(30*time.Second, breaks(fault.Interrupted))},
			[]string{"open", "end role|sm|end"},
			2, 16, "unverified", "it was cut at its limit of tokens",
		},
		{
			"the other hangs", true,
			[]beat{role(), says("sm"), ends(inference.Length)},
			[]beat{later(time.Hour, ping())},
			[]string{"open", "end role|sm|end"},
			2, 16, "unverified", "it was cut at its limit of tokens",
		},
		{
			"the other is cut after its first word", true,
			[]beat{role(), says("sm"), ends(inference.Length)},
			[]beat{role(), says("large"), breaks(fault.Interrupted)},
			[]string{"send role|large", "fault abnormal_end"},
			2, 27, "", "it was cut at its limit of tokens",
		},
		{
			"whole, the other fails", false,
			[]beat{wholly("I cannot help with that.", inference.Stop)},
			[]beat{later(time.Second, breaks(fault.UpstreamError))},
			[]string{"end I cannot help with that."},
			2, 16, "unverified", "it refuses",
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

// TestCascadeKeepsTheLast asks three: of two answers that did not pass the caller gets
// the second one, and pays for both. What tells of it is told of that one.
func TestCascadeKeepsTheLast(t *testing.T) {
	for _, stream := range []bool{true, false} {
		for _, apart := range []bool{true, false} { // in another dialect
			synctest.Test(t, func(t *testing.T) {
				answer := func(s string) []beat {
					if stream {
						beats := []beat{later(time.Second, says(s)), later(time.Second, ends(inference.Length))}
						if apart {
							beats[0].chunk.Raw, beats[1].chunk.Raw = nil, nil
						}
						return beats
					}
					whole := later(2*time.Second, wholly(s, inference.Length))
					if apart {
						whole.chunk.Raw = nil
					}
					return []beat{whole}
				}
				b := newBench(admit.Limits{}, answer("one"), answer("two"), []beat{later(3*time.Second, breaks(fault.UpstreamRejected))})
				b.g.World().Fleet.Models[0].Cascade = &fleet.Cascade{Whole: true}
				p := &page{}
				var got string
				b.g.Do(t.Context(), b.request(stream), &answered{page: p, text: &got})
				r := b.records[0]
				if got != "two" || len(p.log) != 1 || p.answers != 1 || len(b.engine.opened) != 3 {
					t.Errorf("stream %v, apart %v: %q, %q, opened %v", stream, apart, got, p.log, b.engine.opened)
				}
				if h := p.head; h.Degraded != "unverified" || h.Upstream != "up1" || h.Attempts != 3 || h.Cost != 32 || !slices.Equal(h.Dropped, []string{"logprobs"}) {
					t.Errorf("stream %v, apart %v: %+v", stream, apart, h)
				}
				if r.End != record.OK || r.Upstream != "up1" || r.GaveUp != flow.NothingBetter || r.Cost != 32 || r.Output != 3 || r.Finish != inference.Length || b.ledger.lines != 1 {
					t.Errorf("stream %v, apart %v: %+v", stream, apart, r)
				}
				for i, a := range r.Attempts[:3] {
					if failed := i == 2; (a.Doubt == "") != failed || (a.Cost != 16) != failed || (a.Fault != fault.None) != failed {
						t.Errorf("attempt %d: %+v", i, a)
					}
				}
				if stream && r.UpstreamTTFT != time.Second.Microseconds() {
					t.Errorf("its first token took %d us", r.UpstreamTTFT)
				}
				b.settled(t)
			})
		}
	}
}

// answered is a page that notes what the end of an answer says, in whichever dialect.
type answered struct {
	*page
	text *string
}

func (p *answered) End(h *Head, c *engine.Chunk, f *fault.Error) error {
	if c != nil {
		switch s := string(c.Raw); {
		case c.Answer != nil:
			*p.text = c.Answer.Parts[0].Text
		case len(c.Deltas) > 0:
			*p.text = c.Deltas[0].Text
		default:
			*p.text, _, _ = strings.Cut(s, "|")
		}
	}
	return p.page.End(h, c, f)
}

// TestCascadeKeepsWithinBounds: what is kept and what is looked at now are no more
// together than one answer may be. The older one is given up, and never given then.
func TestCascadeKeepsWithinBounds(t *testing.T) {
	pieces := func(n int) (beats []beat) {
		for range n {
			beats = append(beats, says(strings.Repeat("x", 100_000)))
		}
		return beats
	}
	for name, tt := range map[string]struct {
		first, second int // pieces
		given         bool
	}{
		"both fit":        {9, 9, true},
		"one is too much": {9, 12, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(admit.Limits{}, append(pieces(tt.first), ends(inference.Length)), append(pieces(tt.second), later(time.Second, breaks(fault.UpstreamRejected))), nil)
			b.g.World().Fleet.Models[0].Cascade = &fleet.Cascade{Whole: true}
			p := &page{}
			b.do(t.Context(), true, p)
			last, r := p.log[len(p.log)-1], b.records[0]
			if given := strings.HasPrefix(last, "end xxx"); given != tt.given || given != (r.End == record.OK) || !given && r.Fault != fault.UpstreamRejected {
				t.Errorf("%s: %.20q, %v %v", name, last, r.End, r.Fault)
			}
			b.settled(t)
		})
	}
	synctest.Test(t, func(t *testing.T) { // a whole answer that is larger
		b := newBench(admit.Limits{}, []beat{wholly(strings.Repeat("x", maxKept+1), inference.Length)}, []beat{breaks(fault.UpstreamRejected)})
		b.g.World().Fleet.Models[0].Cascade = &fleet.Cascade{Whole: true}
		p := &page{}
		b.do(t.Context(), false, p)
		if len(p.log) != 1 || !strings.HasPrefix(p.log[0], "fault ") {
			t.Errorf("%.20q", p.log)
		}
		b.settled(t)
	})
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
