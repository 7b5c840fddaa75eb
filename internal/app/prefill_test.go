package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"headworks/internal/record"
)

// blocks are the KV caches that engines keep for one another: by engine, the blocks
// that were read and not yet fetched.
type blocks struct {
	mu   sync.Mutex
	kept map[string][]int
	next int
}

// paged is an engine as vLLM's OpenAI server with NixlConnector is one, seen from a
// router (tests/v1/kv_connector/nixl_integration and
// vllm/distributed/kv_transfer/kv_connector/v1/nixl_connector.py): it keeps a prompt
// that is read with do_remote_decode, and fetches one with do_remote_prefill, once.
type paged struct {
	*httptest.Server
	name   string
	blocks *blocks

	mu     sync.Mutex
	status int // it refuses everything with that
	bodies []map[string]any
	ids    []string // X-Request-Id
}

func newPaged(t *testing.T, name string, b *blocks) *paged {
	p := &paged{name: name, blocks: b}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *paged) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	var body map[string]any
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := json.Unmarshal(raw, &body); err != nil || p.status != 0 {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(max(p.status, 400))
		_, _ = io.WriteString(w, `{"error":{"message":"no","type":"x","code":`+fmt.Sprint(max(p.status, 400))+`}}`)
		return
	}
	p.bodies, p.ids = append(p.bodies, body), append(p.ids, r.Header.Get("X-Request-Id"))
	how, _ := body["kv_transfer_params"].(map[string]any)
	handed := ""
	switch {
	case how["do_remote_decode"] == true:
		if body["stream"] != false || body["max_tokens"] != 1.0 || body["stream_options"] != nil || body["min_tokens"] != nil {
			http.Error(w, "a prompt is read with one token and without a stream", 400)
			return
		}
		p.blocks.mu.Lock()
		p.blocks.next++
		ids := []int{p.blocks.next, p.blocks.next + 1000}
		p.blocks.kept[fmt.Sprint(ids)] = ids
		p.blocks.mu.Unlock()
		handed = fmt.Sprintf(`,"kv_transfer_params":{"do_remote_prefill":true,"do_remote_decode":false,"remote_block_ids":[%d,%d],"remote_engine_id":%q,"remote_host":"10.0.0.1","remote_port":5600,"tp_size":1}`, ids[0], ids[1], p.name)
	case how["do_remote_prefill"] == true:
		var ids []int
		for _, id := range how["remote_block_ids"].([]any) {
			ids = append(ids, int(id.(float64)))
		}
		p.blocks.mu.Lock()
		_, ok := p.blocks.kept[fmt.Sprint(ids)]
		delete(p.blocks.kept, fmt.Sprint(ids))
		p.blocks.mu.Unlock()
		if !ok || how["remote_host"] != "10.0.0.1" || how["remote_engine_id"] == nil {
			http.Error(w, "nobody keeps these blocks", 500)
			return
		}
	case how != nil:
		http.Error(w, "neither read nor fetched", 400)
		return
	}
	if body["stream"] == true {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"base","choices":[{"index":0,"delta":{"role":"assistant","content":"hello from `+p.name+`"},"finish_reason":null}]}

data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"base","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"base","choices":[],"usage":{"prompt_tokens":900,"completion_tokens":3,"total_tokens":903}}

data: [DONE]

`)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"id":"c","object":"chat.completion","created":1,"model":"base","choices":[{"index":0,"message":{"role":"assistant","content":"hello from `+p.name+`"},"finish_reason":"stop"}],"usage":{"prompt_tokens":900,"completion_tokens":3,"total_tokens":903}`+handed+`}`)
}

// took returns what came since the last look.
func (p *paged) took() (bodies []map[string]any, ids []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	bodies, ids = p.bodies, p.ids
	p.bodies, p.ids = nil, nil
	return bodies, ids
}

func (p *paged) refuse(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status
}

// TestPrefillAndDecode: a long prompt is read by one engine and answered by another
// one, whatever the caller's dialect; a short one is not worth it; and where nobody can
// read it the one that answers does.
func TestPrefillAndDecode(t *testing.T) {
	kept := &blocks{kept: map[string][]int{}}
	reader, answerer := newPaged(t, "reader", kept), newPaged(t, "answerer", kept)
	i := serve(t, fmt.Sprintf(`
drain_delay: 0s
upstreams:
  read: {kind: vllm, urls: [%s], prefill_rate: 100000, metrics: off}
  answer: {kind: vllm, urls: [%s], prefill_rate: 1000, prefill: read, metrics: off}
models:
  m: {targets: [{upstream: answer, model: base, price: {input: 1000, output: 2000}}]}
keys:
  - {name: tests, secret: %s}
`, reader.URL, answerer.URL, pinned))
	long := strings.Repeat("many words ", 400)
	openai := func(stream bool, more string) string {
		return fmt.Sprintf(`{"model":"m","stream":%t,"max_tokens":50,"min_tokens":2,"stream_options":{"include_usage":true}%s,"messages":[{"role":"user","content":"%s"}]}`, stream, more, long)
	}
	anthropic := func(stream bool) string {
		return fmt.Sprintf(`{"model":"m","stream":%t,"max_tokens":50,"messages":[{"role":"user","content":"%s"}]}`, stream, long)
	}
	for name, tt := range map[string]struct{ path, body string }{
		"a stream":          {"/v1/chat/completions", openai(true, "")},
		"whole":             {"/v1/chat/completions", openai(false, "")},
		"Anthropic's":       {"/v1/messages", anthropic(true)},
		"Anthropic's whole": {"/v1/messages", anthropic(false)},
	} {
		r := i.send(t, "POST", i.at(tt.path), pinned, strings.Replace(tt.body, "many", name+" many", 1)) // no cache has it
		if r.status != 200 || !strings.Contains(r.body, "hello from answerer") || strings.Contains(r.body, "kv_transfer") || r.header.Get("X-Headworks-Upstream") != "answer" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		read, readIDs := reader.took()
		answered, answeredIDs := answerer.took()
		if len(read) != 1 || len(answered) != 1 || !slices.Equal(readIDs, answeredIDs) || readIDs[0] != r.header.Get("X-Request-Id") {
			t.Fatalf("%s: read %d times, answered %d times, as %v and %v", name, len(read), len(answered), readIDs, answeredIDs)
		}
		if answered[0]["max_tokens"] != 50.0 || strings.Contains(tt.path, "chat") && answered[0]["min_tokens"] != 2.0 || answered[0]["stream"] != strings.Contains(tt.body, `"stream":true`) && answered[0]["stream"] != nil {
			t.Errorf("%s: answered %v", name, answered[0])
		}
	}
	if len(kept.kept) != 0 {
		t.Errorf("blocks that nobody fetched: %v", kept.kept)
	}

	r := i.send(t, "POST", i.at("/v1/chat/completions"), pinned, question("m", true))
	if read, _ := reader.took(); r.status != 200 || len(read) != 0 {
		t.Errorf("a short prompt: %d, read elsewhere %d times", r.status, len(read))
	}
	answerer.took()

	r = i.send(t, "POST", i.at("/v1/chat/completions"), pinned, openai(false, `,"kv_transfer_params":{"do_remote_prefill":true,"remote_host":"10.6.6.6","remote_block_ids":[1]}`))
	if r.status != 200 || !strings.Contains(r.header.Get("X-Headworks-Dropped"), "kv_transfer_params") {
		t.Errorf("a caller that names a host: %d %v", r.status, r.header)
	}
	reader.took()
	answerer.took()

	for _, tt := range []struct {
		name string
		fail func()
	}{
		{"it refuses", func() { reader.refuse(500) }},
		{"it is gone", func() { reader.CloseClientConnections(); reader.Close() }},
	} {
		tt.fail()
		r := i.send(t, "POST", i.at("/v1/chat/completions"), pinned, strings.Replace(openai(true, ""), "many", tt.name+" many", 1))
		answered, _ := answerer.took()
		if r.status != 200 || !strings.Contains(r.body, "hello from answerer") || len(answered) != 1 || answered[0]["kv_transfer_params"] != nil {
			t.Errorf("%s: %d %s, %v", tt.name, r.status, r.body, answered)
		}
		var e record.Explanation
		eventually(t, "the record is there", func() (found bool) {
			var err error
			e, err = i.admin.Explain(t.Context(), r.header.Get("X-Request-Id"))
			return err == nil
		})
		if n := len(e.Attempts); n != 2 || e.Attempts[0].Upstream != "read" || e.Attempts[0].Fault == "none" || e.Attempts[1].Upstream != "answer" || e.Fault != "none" {
			t.Errorf("%s: %+v", tt.name, e)
		}
	}
}
