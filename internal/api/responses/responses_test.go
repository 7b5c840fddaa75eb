package responses

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/api"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/gateway"
	"headworks/internal/inference"
	"headworks/internal/record"
	"headworks/internal/tenant"
	"headworks/internal/wire"
)

// upstream is an engine that plays one answer, and keeps what it was asked.
type upstream struct {
	chunks []engine.Chunk // of a stream, or the whole answer
	err    error          // after them

	mu     sync.Mutex
	bodies []string
	talks  []*inference.Conversation
}

func (u *upstream) Open(_ context.Context, c *engine.Call) (engine.Stream, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.bodies = append(u.bodies, string(c.Body))
	talk, _, err := c.Conversation()
	if err != nil {
		return nil, err
	}
	u.talks = append(u.talks, talk)
	return &playing{u, c.Request.ID.String(), slices.Clone(u.chunks)}, nil
}

func (u *upstream) last() (body string, talk *inference.Conversation) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bodies[len(u.bodies)-1], u.talks[len(u.talks)-1]
}

type playing struct {
	u    *upstream
	id   string
	rest []engine.Chunk
}

func (p *playing) Next(time.Time) (engine.Chunk, error) {
	if len(p.rest) == 0 {
		return engine.Chunk{}, p.u.err
	}
	c := p.rest[0]
	p.rest = p.rest[1:]
	c.Raw = []byte(strings.ReplaceAll(string(c.Raw), "NATIVE", "resp_"+p.id[len(p.id)-6:])) // each answer has an id of its own
	if c.Answer != nil {
		a := *c.Answer
		c.Answer = &a
	}
	return c, nil
}

func (*playing) Dropped() []string { return nil }
func (*playing) Close() error      { return nil }

var (
	content = inference.Event{Content: true, Text: 5}
	ended   = inference.Event{Content: true, Finishes: 1, Finish: inference.Stop, Usage: inference.Usage{Input: 3, Output: 2, Known: true}}
)

// Answers of an upstream of another dialect, and of one of this.
func foreign() *upstream {
	return &upstream{chunks: []engine.Chunk{
		{Deltas: []inference.Delta{{Kind: inference.Begin}, {Kind: inference.TextDelta, Text: "hello"}}, Event: content},
		{Deltas: []inference.Delta{{Kind: inference.TextDelta, Text: " there"}, {Kind: inference.End, Finish: inference.Stop, Usage: ended.Usage}}, Event: ended, Last: true},
	}}
}

func foreignWhole() *upstream {
	return &upstream{chunks: []engine.Chunk{{Event: ended, Last: true, Answer: &inference.Answer{
		Parts: []inference.Part{{Text: "hello there"}}, Finish: inference.Stop, Usage: ended.Usage,
	}}}}
}

const (
	nativeWhole = `{"id":"NATIVE","object":"response","status":"completed","model":"theirs","x_unknown":[1e3],"output":[{"id":"rs_NATIVE","type":"reasoning","summary":[],"encrypted_content":"gAAA"},{"id":"msg_NATIVE","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"hello there","annotations":[]}]}]}`
	nativeBegin = "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"NATIVE\",\"status\":\"in_progress\",\"output\":[]}}\n\n"
	nativeWord  = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":4,\"delta\":\"hello \\\"sequence_number\\\":9\",\"x\":1}\n\n"
	nativeEnd   = "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":8,\"response\":" + nativeWhole + "}\n\n"
)

func native() *upstream {
	return &upstream{chunks: []engine.Chunk{
		{Raw: []byte(nativeBegin)}, {Raw: []byte(nativeWord), Event: content}, {Raw: []byte(nativeEnd), Event: ended, Last: true},
	}}
}

// shelf is a Store in memory.
type shelf struct {
	mu   sync.Mutex
	kept map[string]*Kept // by key and id
	slow time.Duration
	err  error
}

func (s *shelf) Keep(_ context.Context, key string, r *Kept) error {
	time.Sleep(s.slow)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.kept[key+r.ID] = r
	}
	return s.err
}

func (s *shelf) Load(_ context.Context, key, id string) (*Kept, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.kept[key+id]; r != nil {
		return r, s.err
	}
	return nil, ErrNone
}

func (s *shelf) Item(_ context.Context, key, item string) (*Kept, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, r := range s.kept {
		if strings.HasPrefix(k, key) && slices.Contains(r.Items, item) {
			return r, nil
		}
	}
	return nil, ErrNone
}

func (s *shelf) Chain(ctx context.Context, key, id string) (chain []*Kept, err error) {
	for id != "" {
		r, err := s.Load(ctx, key, id)
		if err != nil {
			return nil, err
		}
		chain, id = append(chain, r), r.Previous
	}
	slices.Reverse(chain)
	return chain, nil
}

func (s *shelf) Remove(_ context.Context, key, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept[key+id] == nil {
		return ErrNone
	}
	delete(s.kept, key+id)
	return nil
}

func (s *shelf) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.kept)
}

// named takes a credential for the id of a key.
type named struct{}

func (named) Resolve(credential []byte, _ time.Time) (*tenant.Caller, error) {
	if len(credential) == 0 {
		return nil, fault.New(fault.Unauthenticated, "no key")
	}
	return &tenant.Caller{KeyID: string(credential), Key: string(credential)}, nil
}

type unpaid struct{}

func (unpaid) Charge(*record.Record) error { return nil }

// room is a front with one model, "ours".
type room struct {
	g     *gateway.Gateway
	t     *testing.T
	url   string
	shelf *shelf
	off   bool
}

func enter(t *testing.T, e engine.Engine) *room {
	t.Helper()
	r := &room{t: t, shelf: &shelf{kept: map[string]*Kept{}}}
	g := gateway.New(flow.NewPolicy(admit.Limits{}), unpaid{}, func(*record.Record) {}, nil)
	r.g = g
	g.Publish(&gateway.World{
		Fleet: &fleet.Snapshot{
			Upstreams: []fleet.Upstream{{Name: "lab", Speaks: inference.SetOf(inference.OpenAI, inference.Responses), Replicas: []fleet.Replica{{ID: 0, Name: "r0"}}}},
			Models:    []fleet.Model{{Name: "ours", Tries: 1, Targets: []fleet.Target{{Model: "theirs", Speaks: inference.SetOf(inference.OpenAI, inference.Responses)}}}},
			Replicas:  1,
		},
		Engines: []engine.Engine{e},
	})
	f := api.NewFront(g, named{}, &api.Health{}, func() api.Limits { return api.Limits{Body: 1 << 20} }, Routes(r.shelf, func() bool { return !r.off }))
	server := wire.NewServer(f.Serve, wire.Limits{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(ln) }()
	t.Cleanup(func() { server.Close(); <-done })
	r.url = "http://" + ln.Addr().String()
	return r
}

func (r *room) do(key, method, path, body string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatalf("%v after %s", err, got)
	}
	return res.StatusCode, string(got)
}

// ask asks for an answer that has to come, and returns it with its id.
func (r *room) ask(body string) (got, id string) {
	r.t.Helper()
	status, got := r.do("alice", "POST", "/v1/responses", body)
	if status != 200 {
		r.t.Fatalf("%s: %d %s", body, status, got)
	}
	from := got
	if at := strings.Index(got, `"response":`); strings.HasPrefix(got, "event:") {
		from = got[at:]
	}
	_, rest, _ := strings.Cut(from, `"id":"`)
	id, _, _ = strings.Cut(rest, `"`)
	return got, id
}

func (r *room) fails(want int, words, key, method, path, body string) {
	r.t.Helper()
	status, got := r.do(key, method, path, body)
	if status != want || !strings.Contains(got, words) || !strings.HasPrefix(got, `{"error":{"message":"`) {
		r.t.Errorf("%s %s %s as %s: %d %s, want %d and %s", method, path, body, key, status, got, want, words)
	}
}

// texts returns what a conversation says, turn by turn.
func texts(c *inference.Conversation) string {
	var all []string
	for _, p := range c.System {
		all = append(all, "system "+p.Text)
	}
	for _, m := range c.Messages {
		for _, p := range m.Parts {
			all = append(all, []string{"user ", "assistant ", "system "}[m.Role]+p.Text)
		}
	}
	return strings.Join(all, "; ")
}

// TestGoesOn: a response is kept for its key, can be read again and gone on from, over
// upstreams of any dialect, however it was asked for.
func TestGoesOn(t *testing.T) {
	for name, u := range map[string]func() *upstream{
		"whole": foreignWhole, "stream": foreign, "native whole": func() *upstream {
			return &upstream{chunks: []engine.Chunk{{Raw: []byte(nativeWhole), Event: ended, Last: true}}}
		}, "native stream": native,
	} {
		t.Run(name, func(t *testing.T) {
			up := u()
			r := enter(t, up)
			stream := ""
			if strings.Contains(name, "stream") {
				stream = `,"stream":true`
			}
			first, id := r.ask(`{"model":"ours","instructions":"Be brief.","input":"caf\u00e9?"` + stream + `}`)
			if !strings.Contains(first, "hello") {
				t.Fatal(first)
			}
			status, kept := r.do("alice", "GET", "/v1/responses/"+id, "")
			if status != 200 || !strings.Contains(first, kept) {
				t.Errorf("kept is %d %s, of %s", status, kept, first)
			}
			_, second := r.ask(`{"model":"ours","instructions":"Be kind.","input":[{"role":"user","content":"and?"}],"previous_response_id":"` + id + `"` + stream + `}`)
			_, talk := up.last()
			want := "system Be kind.; user café?; assistant hello there; user and?"
			if strings.HasPrefix(name, "native") {
				want = strings.Replace(want, "assistant", "assistant ; assistant", 1) // a thought that only its maker reads
			}
			if got := texts(talk); got != want {
				t.Errorf("the upstream heard %q, want %q", got, want)
			}
			body, _ := up.last()
			if strings.HasPrefix(name, "native") && !strings.Contains(body, `"encrypted_content":"gAAA"`) {
				t.Errorf("the thought does not come along: %s", body)
			}
			if !strings.Contains(body, `"previous_response_id":null`) || strings.Contains(body, `"previous_response_id":"`) {
				t.Errorf("the upstream is sent %s", body)
			}
			_, _ = r.ask(`{"model":"ours","input":[],"previous_response_id":"` + second + `"` + stream + `}`)
			if _, talk = up.last(); !strings.Contains(texts(talk), "user and?; assistant") {
				t.Errorf("the third turn heard %q", texts(talk))
			}
			status, items := r.do("alice", "GET", "/v1/responses/"+second+"/input_items?order=asc", "")
			if status != 200 || strings.Index(items, "caf\\u00e9?") > strings.Index(items, "hello there") || strings.Index(items, "hello there") > strings.Index(items, "and?") || !strings.Contains(items, `"has_more":false`) {
				t.Errorf("%d %s", status, items)
			}
			for _, key := range []string{"bob", "alic"} {
				r.fails(404, "no response of this id", key, "GET", "/v1/responses/"+id, "")
				r.fails(404, "no response of this id", key, "GET", "/v1/responses/"+id+"/input_items", "")
				r.fails(404, "no response of this id", key, "DELETE", "/v1/responses/"+id, "")
				r.fails(404, "no response of this id", key, "POST", "/v1/responses/"+id+"/cancel", "")
				r.fails(400, `"code":"previous_response_not_found"`, key, "POST", "/v1/responses", `{"model":"ours","input":"x","previous_response_id":"`+id+`"}`)
			}
			r.fails(401, "invalid_api_key", "", "GET", "/v1/responses/"+id, "")
			r.fails(400, "background true", "alice", "POST", "/v1/responses/"+id+"/cancel", "")
			for _, prefix := range []string{"", "/openai/v1"} {
				if status, got := r.do("alice", "GET", prefix+"/responses/"+id, ""); status != 200 || got != kept {
					t.Errorf("at %q: %d %s", prefix, status, got)
				}
			}
			if status, got := r.do("alice", "DELETE", "/v1/responses/"+id, ""); status != 200 || got != `{"id":"`+id+`","object":"response","deleted":true}` {
				t.Errorf("%d %s", status, got)
			}
			r.fails(404, "no response of this id", "alice", "GET", "/v1/responses/"+id, "")
			r.fails(400, "previous_response_not_found", "alice", "POST", "/v1/responses", `{"model":"ours","input":"x","previous_response_id":"`+second+`"}`)
		})
	}
}

// TestKeptBeforeItsEnd: whoever has read that a response is completed finds it.
func TestKeptBeforeItsEnd(t *testing.T) {
	for name, up := range map[string]*upstream{"translated": foreign(), "native": native()} {
		t.Run(name, func(t *testing.T) {
			r := enter(t, up)
			r.shelf.slow = 50 * time.Millisecond
			req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+"/v1/responses", strings.NewReader(`{"model":"ours","input":"x","stream":true}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer alice")
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			lines := bufio.NewScanner(res.Body)
			for lines.Scan() {
				data, ok := strings.CutPrefix(lines.Text(), "data: ")
				if !ok || !strings.Contains(data, `"type":"response.completed"`) {
					continue
				}
				var e struct{ Response struct{ ID string } }
				if err := json.Unmarshal([]byte(data), &e); err != nil {
					t.Fatal(err)
				}
				if status, got := r.do("alice", "GET", "/v1/responses/"+e.Response.ID, ""); status != 200 {
					t.Errorf("%d %s", status, got)
				}
				return
			}
			t.Error("never completed")
		})
	}
}

// TestNativePasses: what an upstream of this dialect wrote leaves byte for byte, and
// its own end is the only one.
func TestNativePasses(t *testing.T) {
	r := enter(t, native())
	got, id := r.ask(`{"model":"ours","input":"x","stream":true}`)
	if want := strings.ReplaceAll(nativeBegin+nativeWord+nativeEnd, "NATIVE", id); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestCut: an answer that was cut is told as one, and is not kept: not under its id,
// and not as something to go on from.
func TestCut(t *testing.T) {
	for name, up := range map[string]*upstream{
		"translated": {chunks: foreign().chunks[:1]}, "native": {chunks: native().chunks[:2]},
	} {
		up.err = fault.New(fault.Interrupted, "the upstream's answer was cut off before its end")
		r := enter(t, up)
		got, _ := r.ask(`{"model":"ours","input":"x","stream":true}`)
		blocks := strings.Split(strings.TrimSuffix(got, "\n\n"), "\n\n")
		n := len(blocks)
		if !strings.HasPrefix(blocks[n-2], "event: error\n") || !strings.HasPrefix(blocks[n-1], "event: response.failed\n") || strings.Contains(got, "response.completed") {
			t.Errorf("%s: %s", name, got)
		}
		if name == "native" {
			_, after, _ := strings.Cut(blocks[n-1], `"response":`)
			_, before, _ := strings.Cut(blocks[0], `"response":`)
			id := func(s string) string { return s[:strings.Index(s, `",`)] }
			if !strings.Contains(blocks[n-2], `"sequence_number":5,`) || !strings.Contains(blocks[n-1], `"sequence_number":6,`) || id(after) != id(before) {
				t.Errorf("it does not go on where the upstream stopped: %s", got)
			}
		}
		if r.shelf.count() != 0 {
			t.Errorf("%s: kept all the same", name)
		}
	}
}

// TestNotKept: what fails, and what is not to be kept, is not.
func TestNotKept(t *testing.T) {
	r := enter(t, &upstream{err: fault.New(fault.UpstreamError, "the upstream failed")})
	r.fails(502, "the upstream failed", "alice", "POST", "/v1/responses", `{"model":"ours","input":"x"}`)
	r.fails(502, "the upstream failed", "alice", "POST", "/v1/responses", `{"model":"ours","input":"x","stream":true}`)
	if r.shelf.count() != 0 {
		t.Error("a failure is kept")
	}
	r = enter(t, foreignWhole())
	if got, _ := r.ask(`{"model":"ours","input":"x","store":false}`); !strings.Contains(got, `"store":false`) || r.shelf.count() != 0 {
		t.Errorf("kept, or not told: %s", got)
	}
	r.off = true
	if got, _ := r.ask(`{"model":"ours","input":"x","store":true}`); !strings.Contains(got, `"store":false`) || r.shelf.count() != 0 {
		t.Errorf("kept, or not told: %s", got)
	}
	r.fails(400, "responses are not kept here", "alice", "POST", "/v1/responses", `{"model":"ours","input":"x","previous_response_id":"resp_1"}`)
	r.off = false
	if got, _ := r.ask(`{"model":"ours","input":"x"}`); !strings.Contains(got, `"store":true`) || r.shelf.count() != 1 {
		t.Errorf("not kept: %s", got)
	}
}

// TestStoreFails: an answer is given though it cannot be kept; what cannot be read is
// no answer, and no words of the store's reach the caller.
func TestStoreFails(t *testing.T) {
	r := enter(t, foreignWhole())
	_, id := r.ask(`{"model":"ours","input":"x"}`)
	r.shelf.err = errors.New("SECRET of the disk")
	if got, _ := r.ask(`{"model":"ours","input":"x"}`); !strings.Contains(got, "hello there") {
		t.Error(got)
	}
	status, got := r.do("alice", "POST", "/v1/responses", `{"model":"ours","input":"x","previous_response_id":"`+id+`"}`)
	if status != 500 || strings.Contains(got, "SECRET") {
		t.Errorf("%d %s", status, got)
	}
}

func TestIncompleteIsKeptAsSuch(t *testing.T) {
	up := foreignWhole()
	up.chunks[0].Answer.Finish = inference.Length
	r := enter(t, up)
	_, id := r.ask(`{"model":"ours","input":"x"}`)
	if _, got := r.do("alice", "GET", "/v1/responses/"+id, ""); !strings.Contains(got, `"status":"incomplete"`) {
		t.Error(got)
	}
}

// TestReferences: an item of an answer that is kept can be named in its stead.
func TestReferences(t *testing.T) {
	up := foreignWhole()
	r := enter(t, up)
	first, _ := r.ask(`{"model":"ours","input":"x"}`)
	_, rest, _ := strings.Cut(first, `"output":[{"id":"`)
	item, _, _ := strings.Cut(rest, `"`)
	_, id := r.ask(`{"model":"ours","input":[{"role":"user","content":"a"},{"type":"item_reference","id":"` + item + `"},{"role":"user","content":"b"}]}`)
	if _, talk := up.last(); texts(talk) != "user a; assistant hello there; user b" {
		t.Errorf("heard %q", texts(talk))
	}
	// What is kept of it stands by itself.
	if _, items := r.do("alice", "GET", "/v1/responses/"+id+"/input_items", ""); !strings.Contains(items, "hello there") || strings.Contains(items, "item_reference") {
		t.Error(items)
	}
	r.fails(400, "item_not_found", "bob", "POST", "/v1/responses", `{"model":"ours","input":[{"type":"item_reference","id":"`+item+`"}]}`)
}

func TestReplay(t *testing.T) {
	r := enter(t, foreign())
	first, id := r.ask(`{"model":"ours","input":"x","stream":true}`)
	status, again := r.do("alice", "GET", "/v1/responses/"+id+"?stream=true", "")
	last := first[strings.LastIndex(first, `"response":`):]
	if status != 200 || !strings.HasSuffix(again, last) || !strings.Contains(again, `"delta":"hello there"`) {
		t.Errorf("%d %s", status, again)
	}
	if _, rest := r.do("alice", "GET", "/v1/responses/"+id+"?stream=true&starting_after=2", ""); !strings.HasSuffix(again, rest) || strings.Contains(rest, `"sequence_number":2,`) || !strings.Contains(rest, `"sequence_number":3,`) {
		t.Error(rest)
	}
	for query, words := range map[string]string{
		"?stream=true&starting_after=x": "starting_after", "/input_items?limit=0": "limit", "/input_items?limit=101": "limit",
		"/input_items?order=up": "order", "/input_items?after=msg_9": "after", "?a=%zz": "the query",
	} {
		r.fails(400, words, "alice", "GET", "/v1/responses/"+id+query, "")
	}
	for _, path := range []string{"/else", "/input_items/x"} {
		r.fails(404, "no such path", "alice", "GET", "/v1/responses/"+id+path, "")
		r.fails(404, "no such path", "alice", "POST", "/v1/responses/"+id+path, "")
	}
	r.fails(405, "method_not_allowed", "alice", "PUT", "/v1/responses/"+id, "")
	r.fails(405, "method_not_allowed", "alice", "GET", "/v1/responses", "")
}
