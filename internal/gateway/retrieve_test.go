package gateway

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"headworks/internal/admit"
	"headworks/internal/cache"
	"headworks/internal/dialect/openai"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/inference"
	"headworks/internal/record"
	"headworks/internal/scan"
	"headworks/internal/tenant"
)

// papers are documents of which a search finds the same each time.
type papers struct {
	found    Found
	err      error
	after    time.Duration
	searched atomic.Int64

	mu    sync.Mutex
	asked Question
	in    []string
}

func (p *papers) Search(ctx context.Context, _ *tenant.Caller, collections []string, q Question) (Found, error) {
	p.searched.Add(1)
	p.mu.Lock()
	p.asked, p.in = q, collections
	p.mu.Unlock()
	select {
	case <-ctx.Done():
		return Found{}, fault.Wrap(fault.NoKnowledge, "test", ctx.Err())
	case <-time.After(p.after):
	}
	return p.found, p.err
}

func (p *papers) Knows(*tenant.Caller, string) bool { return true }

func (p *papers) Audience(c *tenant.Caller, _ []string) string { return c.KeyID }

func rules() Found {
	return Found{Passages: []inference.Passage{
		{Collection: "rules", Document: "travel", Start: 40, End: 72, Text: "A hotel is paid up to 120 euros.", Score: 3},
		{Collection: "rules", Document: "leave", Text: "Thirty days of leave a year.", End: 28, Score: 1},
	}}
}

// reading is an engine that tells what it was sent.
type reading struct {
	script
	mu    sync.Mutex
	calls []engine.Call
	texts []string // bodies
}

func (e *reading) Open(ctx context.Context, c *engine.Call) (engine.Stream, error) {
	e.mu.Lock()
	e.calls, e.texts = append(e.calls, *c), append(e.texts, string(c.Body))
	e.mu.Unlock()
	return e.script.Open(ctx, c)
}

// study is a bench whose model answers from papers.
type study struct {
	*bench
	papers *papers
	engine *reading
	model  *fleet.Model
}

func newStudy(p *papers, plays ...[]beat) *study {
	s := &study{bench: newBench(admit.Limits{}, plays...), papers: p, engine: &reading{}}
	s.engine.script.plays = s.bench.engine.plays
	w := *s.g.World()
	w.Knowledge = p
	for i := range w.Engines {
		w.Engines[i] = s.engine
	}
	s.model = &w.Fleet.Models[0]
	s.model.Knowledge = &fleet.Knowledge{Collections: []string{"rules"}, Required: true, Timeout: time.Second}
	s.g.Publish(&w)
	return s
}

// question makes r one whose documents have a place.
func question(r *Request, text string) *Request {
	r.Doc, r.Shape = new(scan.Doc), openai.Shape()
	r.Body = []byte(`{"model":"assistant","messages":[{"role":"user","content":` + string(scan.AppendString(nil, text)) + `}],"odd":1.50}`)
	if r.Doc.Scan(r.Body, r.Shape) != nil {
		panic("test")
	}
	r.N = 1
	r.Ground, r.Decode = openai.Ground().Lay, openai.Decode
	r.Conversation = func() (*inference.Conversation, []string, error) { return openai.Decode(r.Doc) }
	return r
}

// tells is a piece of an answer in the caller's dialect that says what it holds, too.
func tells(s string) beat {
	b := text(s)
	b.chunk.Deltas = []inference.Delta{{Kind: inference.TextDelta, Text: s}}
	return b
}

// spelled is a stream as an upstream of OpenAI's dialect writes it.
func spelled(s string) []beat {
	event := func(delta, finish string) string {
		return `data: {"id":"theirs","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + "}]}\n\n"
	}
	b := tells(s)
	b.chunk.Raw = []byte(event(`{"role":"assistant","content":""}`, "null") + event(string(scan.AppendString([]byte(`{"content":`), s))+"}", "null"))
	return []beat{b, finish(event("{}", `"stop"`))}
}

func TestGroundedAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &papers{found: rules(), after: 30 * time.Millisecond}
		s := newStudy(p, []beat{role(), tells("A hotel is paid up to 120 euros"), tells(" [1]."), finish("")})
		var sink page
		s.g.Do(t.Context(), question(s.request(true), "Hi! How many euros for a hotel?"), &sink)
		if got := strings.Join(sink.log, ","); got != "send role|A hotel is paid up to 120 euros,send  [1].,end " {
			t.Errorf("the client got %q", got)
		}
		if p.asked.Text != "How many euros for a hotel?" || len(p.in) != 1 || p.in[0] != "rules" {
			t.Errorf("searched %v for %+v", p.in, p.asked)
		}
		sent := s.engine.texts[0]
		if !strings.Contains(sent, "Thirty days of leave") || !strings.HasSuffix(sent, `Hi! How many euros for a hotel?"}],"odd":1.50}`) {
			t.Errorf("sent %s", sent)
		}
		cited := sink.head.Ground.Cite(-1)
		if len(cited) != 1 || cited[0].Passage.Document != "travel" || cited[0].Source != [2]int{40, 72} {
			t.Errorf("cited %+v", cited)
		}
		r := &s.records[0]
		if r.Collections != "rules" || r.Passages != 2 || r.TopScore != 3000 || r.Citations != 1 || r.Support < 900 || r.Cited != 1000 || r.Retrieval != 30000 {
			t.Errorf("record: %s %d %d %d %d %d %d", r.Collections, r.Passages, r.TopScore, r.Citations, r.Support, r.Cited, r.Retrieval)
		}
		if r.EstimatedInput <= 7 {
			t.Errorf("%d tokens of the prompt, with passages", r.EstimatedInput)
		}
		s.settled(t)
	})
}

// Where the documents cannot be searched in time, there is an error or an answer without
// them, as the model says.
func TestNoKnowledge(t *testing.T) {
	for _, test := range []struct {
		name     string
		p        *papers
		required bool
		want     string
		degraded string
	}{
		{"down", &papers{err: fault.New(fault.Internal, "x")}, true, "fault internal", ""},
		{"slow", &papers{after: time.Minute}, true, "fault no_knowledge", ""},
		{"down, optional", &papers{err: fault.New(fault.NoKnowledge, "x")}, false, "send answer,end ", flow.Ungrounded},
		{"slow, optional", &papers{after: time.Minute}, false, "send answer,end ", flow.Ungrounded},
		{"less than it should be", &papers{found: Found{Passages: rules().Passages, Degraded: "words alone"}}, true, "send answer,end ", "words alone"},
		{"nothing found", &papers{}, true, "send answer,end ", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStudy(test.p, []beat{tells("answer"), finish("")})
				s.model.Knowledge.Required = test.required
				var sink page
				began := time.Now()
				s.g.Do(t.Context(), question(s.request(true), "What?"), &sink)
				if got := strings.Join(sink.log, ","); got != test.want || sink.head.Degraded != test.degraded {
					t.Errorf("%q, degraded %q", got, sink.head.Degraded)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("it took %v", took)
				}
				s.settled(t)
			})
		})
	}
}

// What a first attempt said is no part of the answer of the second.
func TestAnotherAttemptCitesItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		whole := finish("whole")
		whole.chunk.Answer = &inference.Answer{Parts: []inference.Part{{Text: "Thirty days of leave [2]."}}}
		lost := beat{chunk: engine.Chunk{Deltas: []inference.Delta{{Kind: inference.TextDelta, Text: "A hotel [1]. "}}, Event: inference.Event{}}}
		s := newStudy(&papers{found: rules()}, []beat{lost, breaks(fault.Interrupted)}, []beat{whole})
		var sink page
		s.g.Do(t.Context(), question(s.request(false), "How much leave?"), &sink)
		cited := sink.head.Ground.Cite(0)
		if len(cited) != 1 || cited[0].Number != 2 {
			t.Errorf("cited %+v", cited)
		}
		if n := s.papers.searched.Load(); n != 1 {
			t.Errorf("searched %d times", n)
		}
		s.settled(t)
	})
}

// Several answers at once are passed as they come: nobody reads them for citations.
func TestSeveralAnswersCiteNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudy(&papers{found: rules()}, []beat{tells("A hotel [1]."), finish("")})
		r := question(s.request(true), "What?")
		r.N = 2
		var sink page
		s.g.Do(t.Context(), r, &sink)
		if s.engine.calls[0].Tell || len(sink.head.Ground.Cite(-1)) > 0 || s.records[0].Support != -1 {
			t.Error("read for citations")
		}
	})
}

// A passage never passes the window of the model.
func TestPassagesKeepToTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudy(&papers{found: rules()}, []beat{tells("answer"), finish("")})
		s.model.Targets[0].Window = 100
		var sink page
		s.g.Do(t.Context(), question(s.request(true), "What?"), &sink)
		if strings.Contains(s.engine.texts[0], "hotel") || s.records[0].Passages != 0 {
			t.Errorf("sent %s", s.engine.texts[0])
		}
	})
}

// The client leaves while documents are searched.
func TestLeavesDuringTheSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudy(&papers{after: 500 * time.Millisecond}, []beat{tells("answer"), finish("")})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var sink page
		s.g.Do(ctx, question(s.request(true), "What?"), &sink)
		if len(s.engine.texts) != 0 || s.records[0].End != record.ClientClosed {
			t.Errorf("%d sends, end %v", len(s.engine.texts), s.records[0].End)
		}
		s.settled(t)
	})
}

// An earlier answer is given again with what it cites; not once a collection changed, not
// to who asks of other documents, and not to who may read others.
func TestEarlierAnswersOfDocuments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &papers{found: rules()}
		s := newStudy(p, spelled("A hotel is paid up to 120 euros [1]."))
		s.model.Reuse = &fleet.Reuse{Exact: fleet.ExactOn, TTL: time.Hour, Reach: tenant.Project}
		c, err := cache.New(t.Context(), cache.Options{Memory: 32 << 20, Secret: tenant.NewSecret("test")})
		if err != nil {
			t.Fatal(err)
		}
		renewals := s.g.Reuse(c)
		defer renewals.End()
		ask := func(key string, stream bool, asks *inference.Knowledge) (*page, int) {
			r := question(s.request(stream), "How many euros for a hotel?")
			r.Caller, r.Knowledge = &tenant.Caller{Key: key, KeyID: key, Tenant: "acme", Project: "web"}, asks
			before := len(s.engine.texts)
			sink := &page{}
			s.g.Do(t.Context(), r, sink)
			time.Sleep(time.Millisecond)
			return sink, len(s.engine.texts) - before
		}
		want := func(why string, made int, key string, asks *inference.Knowledge) *page {
			t.Helper()
			sink, n := ask(key, true, asks)
			if n != made {
				t.Errorf("%s: %d answers were made, want %d", why, n, made)
			}
			return sink
		}
		want("the first", 1, "k", nil)
		again := want("the same", 0, "k", nil)
		if g := again.head.Ground; g == nil || len(g.Cite(-1)) != 1 || g.Cite(-1)[0].Passage.Document != "travel" {
			t.Errorf("an earlier answer cites %+v", g)
		}
		want("of other documents", 1, "k", &inference.Knowledge{Collections: []string{"others"}})
		want("of no documents", 1, "k", &inference.Knowledge{None: true})
		want("who reads others", 1, "l", nil)
		want("the same as before", 0, "k", nil)
		if err := c.Bump(cache.Knowledge, "rules"); err != nil {
			t.Fatal(err)
		}
		want("a collection changed", 1, "k", nil)
		want("and is the same again", 0, "k", nil)
		if err := c.Bump(cache.Knowledge, "unrelated"); err != nil {
			t.Fatal(err)
		}
		want("another one changed", 0, "k", nil)
	})
}

// An answer that should rest on documents and does not is given to nobody again.
func TestDegradedAnswersAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudy(&papers{err: fault.New(fault.NoKnowledge, "x")}, []beat{role(), tells("from memory"), finish("")})
		s.model.Knowledge.Required = false
		s.model.Reuse = &fleet.Reuse{Exact: fleet.ExactOn, TTL: time.Hour, Reach: tenant.Project}
		c, err := cache.New(t.Context(), cache.Options{Memory: 32 << 20, Secret: tenant.NewSecret("test")})
		if err != nil {
			t.Fatal(err)
		}
		renewals := s.g.Reuse(c)
		defer renewals.End()
		for range 2 {
			r := question(s.request(true), "How many euros for a hotel?")
			r.Caller = &tenant.Caller{Key: "k", KeyID: "k", Tenant: "acme", Project: "web"}
			s.g.Do(t.Context(), r, &page{})
			time.Sleep(time.Millisecond)
		}
		if n := len(s.engine.texts); n != 2 {
			t.Errorf("%d answers were made, want 2", n)
		}
	})
}
