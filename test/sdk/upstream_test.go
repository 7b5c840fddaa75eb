package sdk

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// lab is a server with many upstreams on it, told apart by the beginning of the
// path, so that what one does teaches nothing about another.
type lab struct {
	server    *httptest.Server
	mu        sync.Mutex
	upstreams map[string]*upstream
}

// upstream plays a script: its nth request gets the nth answer, and the last
// answer goes on for ever.
type upstream struct {
	url    string
	script []answer

	mu  sync.Mutex
	got []got
}

// answer answers one request. When it returns, the message ends as HTTP says.
type answer func(w http.ResponseWriter, r *http.Request)

// got is a request as the upstream got it.
type got struct {
	Path   string
	Header http.Header
	Body   string
	gone   <-chan struct{} // closed when the other side left, or all was answered
}

func newLab(t *testing.T) *lab {
	l := &lab{upstreams: map[string]*upstream{}}
	l.server = httptest.NewServer(l)
	t.Cleanup(func() {
		l.server.CloseClientConnections() // frees the answers that wait for it
		l.server.Close()
	})
	return l
}

// plays adds an upstream.
func (l *lab) plays(name string, script ...answer) *upstream {
	u := &upstream{url: l.server.URL + "/" + name, script: script}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.upstreams[name] = u
	return u
}

// play returns an upstream on a lab of its own.
func play(t *testing.T, script ...answer) *upstream { return newLab(t).plays("engine", script...) }

// nobody returns the URL of an upstream that is not there.
func nobody(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return "http://" + ln.Addr().String()
}

// ServeHTTP implements http.Handler.
func (l *lab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, path, _ := strings.Cut(r.URL.Path[1:], "/")
	l.mu.Lock()
	u := l.upstreams[name]
	l.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if u == nil || err != nil {
		http.Error(w, "no such upstream", http.StatusNotFound)
		return
	}
	// Vitals are asked for whenever the gateway likes: they are no part of a script.
	if r.Method == http.MethodGet && (path == "metrics" || path == "api/ps") {
		http.NotFound(w, r)
		return
	}
	u.take(got{"/" + path, r.Header, string(body), r.Context().Done()})(w, r)
}

func (u *upstream) take(g got) answer {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.got = append(u.got, g)
	return u.script[min(len(u.got), len(u.script))-1]
}

func (u *upstream) all() []got {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]got(nil), u.got...)
}

// only returns the one request that came.
func (u *upstream) only(t *testing.T) got {
	t.Helper()
	all := u.all()
	if len(all) != 1 {
		t.Fatalf("the upstream got %d requests, want 1", len(all))
	}
	return all[0]
}

// first waits for the first request.
func (u *upstream) first(t *testing.T) got {
	t.Helper()
	await(t, "a request at the upstream", func() bool { return len(u.all()) > 0 })
	return u.all()[0]
}

// left waits until the other side has left the request.
func (g got) left(t *testing.T) {
	t.Helper()
	select {
	case <-g.gone:
	case <-time.After(patience):
		t.Fatal("the upstream's request was not cancelled")
	}
}

// await asks until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// says is a whole answer.
func says(body string) answer { return refuses(http.StatusOK, body) }

// refuses is a whole answer of any status, with more header fields in pairs.
func refuses(status int, body string, fields ...string) answer {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(fields); i += 2 {
			w.Header().Set(fields[i], fields[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // whoever left early is the test's to notice
	}
}

// streams is an answer in events, each flushed, and what follows them.
func streams(events []string, then ...answer) answer {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		for _, e := range events {
			emit(w, e)
		}
		for _, next := range then {
			next(w, r)
		}
	}
}

// emit writes an event as it is.
func emit(w http.ResponseWriter, event string) {
	_, _ = io.WriteString(w, event)
	_ = http.NewResponseController(w).Flush() // as above
}

// more goes on with events.
func more(events ...string) answer {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, e := range events {
			emit(w, e)
		}
	}
}

// holds waits until the way is free or the other side leaves.
func holds(free <-chan struct{}) answer {
	return func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-free:
		case <-r.Context().Done():
		}
	}
}

// stalls says nothing more, for ever.
func stalls(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// hangsUp closes the connection without the end of the message.
func hangsUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// resets ends the connection by a reset.
func resets(w http.ResponseWriter, _ *http.Request) {
	nc, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only on a closed connection
	}
	nc.Close()
}

// ends ends the message as HTTP says, which is no end of an answer.
func ends(http.ResponseWriter, *http.Request) {}

// chunk is an event of OpenAI's dialect.
func chunk(rest string) string {
	return `data: {"id":"chatcmpl-up","object":"chat.completion.chunk","created":1790000000,"model":"engine-1",` + rest + "}\n\n"
}

func choice(delta, finish string) string {
	return chunk(fmt.Sprintf(`"choices":[{"index":0,"delta":%s,"finish_reason":%s}]`, delta, finish))
}

// event is an event of Anthropic's dialect; its name is its type.
func event(data string) string {
	kind, _, _ := strings.Cut(strings.TrimPrefix(data, `{"type":"`), `"`)
	return "event: " + kind + "\ndata: " + data + "\n\n"
}

// What both dialects' upstreams say, as a stream and whole.
const helloWorld = "Hello world"

var (
	chatStream = []string{
		choice(`{"role":"assistant","content":""}`, "null"),
		choice(`{"content":"Hello"}`, "null"),
		choice(`{"content":" world"}`, "null"),
		choice(`{}`, `"stop"`),
		chunk(`"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}`),
		"data: [DONE]\n\n",
	}
	messagesStream = []string{
		event(`{"type":"message_start","message":{"id":"msg_up","type":"message","role":"assistant","model":"engine-1","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}}`),
		event(`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`),
		event(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}`),
		event(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" world"}}`),
		event(`{"type":"content_block_stop","index":0}`),
		event(`{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}`),
		event(`{"type":"message_stop"}`),
	}
)

const (
	chatAnswer = `{"id":"chatcmpl-up","object":"chat.completion","created":1790000000,"model":"engine-1",` +
		`"choices":[{"index":0,"message":{"role":"assistant","content":"Hello world","refusal":null},"logprobs":null,"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11},"system_fingerprint":"fp_1","vendor_extra":{"a":[1,2.50]}}`
	messagesAnswer = `{"id":"msg_up","type":"message","role":"assistant","model":"engine-1",` +
		`"content":[{"type":"text","text":"Hello world"}],"stop_reason":"end_turn","stop_sequence":null,` +
		`"usage":{"input_tokens":9,"output_tokens":2},"vendor_extra":{"a":[1,2.50]}}`
)
