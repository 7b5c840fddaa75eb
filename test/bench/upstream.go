package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

const (
	answerSize   = 1024 // bytes of a whole answer, and of a request
	eventSize    = 240  // bytes of a streamed event
	streamTokens = 100
	tokenEvery   = 10 * time.Millisecond // to the first token and between tokens
	slowEvery    = time.Second           // between the tokens of the model slow
	slowTokens   = 120
)

// ready is the line in which a process says where it listens.
type ready struct {
	BaseURL string            `json:"base_url"`
	Admin   string            `json:"admin,omitempty"`
	Faults  map[string]string `json:"faults,omitempty"` // base URLs of upstreams that fail so
	Pages   map[string]string `json:"pages,omitempty"`  // and of those whose metrics say so
}

func (r *ready) addr() string { return hostOf(r.BaseURL) }

// announce writes the line and waits until whoever reads it is gone.
func announce(r ready, in io.Reader, out io.Writer) error {
	if err := json.NewEncoder(out).Encode(r); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, in)
	return err
}

func listen() (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
}

func urlOf(at net.Addr) string { return "http://" + at.String() }

// playUpstream plays an engine that speaks OpenAI's dialect as fast as it can: the
// model chat answers in 1 KB, or in a stream of 100 tokens 10 ms apart; the model
// slow streams a token a second. Beside it stand upstreams that fail, each in its
// way.
func playUpstream(_ []string, in io.Reader, out io.Writer) error {
	good, err := listen()
	if err != nil {
		return err
	}
	defer good.Close()
	go serve(good, newEngine().answer)
	r := ready{BaseURL: urlOf(good.Addr()), Faults: map[string]string{}, Pages: map[string]string{}}
	for name, running := range map[string]int{resting: 0, working: 8} {
		l, err := listen()
		if err != nil {
			return err
		}
		defer l.Close()
		answer := wholeAnswer("200 OK", metricsPage(running))
		go serve(l, func(v *visit) bool { return v.write(answer) })
		r.Pages[name] = urlOf(l.Addr())
	}
	for name, answer := range map[string]func(*visit) bool{
		"reset": reset,
		"500":   failing("500 Internal Server Error"),
		"429":   failing("429 Too Many Requests"),
	} {
		l, err := listen()
		if err != nil {
			return err
		}
		defer l.Close()
		go serve(l, answer)
		r.Faults[name] = urlOf(l.Addr())
	}
	// A port that refuses has to be held, or it could be another's tomorrow. The
	// near end of a connection holds one on which nobody listens.
	held, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", good.Addr().String())
	if err != nil {
		return err
	}
	defer held.Close()
	r.Faults["refused"] = urlOf(held.LocalAddr())
	return announce(r, in, out)
}

// visit is one connection to the upstream and the request that it brought last.
type visit struct {
	nc   net.Conn
	br   *bufio.Reader
	head head
	body []byte
}

// serve answers each request until the listener is closed; answer says whether the
// connection goes on.
func serve(l net.Listener, answer func(*visit) bool) {
	for {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer nc.Close()
			v := &visit{nc: nc, br: bufio.NewReaderSize(nc, 4<<10)}
			for v.read() == nil && answer(v) {
			}
		}()
	}
}

func (v *visit) read() error {
	if err := v.head.read(v.br); err != nil {
		return err
	}
	if v.head.chunked {
		v.body = v.body[:0]
		return v.head.readBody(v.br, make([]byte, 4<<10), func(p []byte) { v.body = append(v.body, p...) })
	}
	if n := int(max(v.head.length, 0)); n <= cap(v.body) {
		v.body = v.body[:n]
	} else {
		v.body = make([]byte, n)
	}
	_, err := io.ReadFull(v.br, v.body)
	return err
}

func (v *visit) write(p []byte) bool {
	_, err := v.nc.Write(p)
	return err == nil
}

func (v *visit) says(what string) bool { return bytes.Contains(v.body, []byte(what)) }

// reset ends the connection as a process that was killed does.
func reset(v *visit) bool {
	if tcp, ok := v.nc.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only where the connection is gone already
	}
	return false
}

func failing(status string) func(*visit) bool {
	answer := wholeAnswer(status, `{"error":{"message":"as asked","type":"server_error","param":null,"code":null}}`)
	return func(v *visit) bool { return v.write(answer) }
}

func wholeAnswer(status, body string) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
}

// engine holds the bytes of all that it ever says.
type engine struct {
	whole, unknown                   []byte
	opening, token, last, usage, end []byte // of a stream
}

func newEngine() *engine {
	const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	return &engine{
		whole: wholeAnswer("200 OK", fill(answerSize,
			`{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"chat","choices":[{"index":0,"message":{"role":"assistant","content":"`,
			`"},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":250,"completion_tokens":100,"total_tokens":350}}`)),
		unknown: wholeAnswer("404 Not Found", `{"error":{"message":"only chat completions are played","type":"invalid_request_error","param":null,"code":null}}`),
		opening: append([]byte(streamHead), event(`{"role":"assistant","content":""}`, "null")...),
		token:   event(`{"content":"token "}`, "null"),
		last:    event(`{}`, `"stop"`),
		usage:   chunk(`data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"chat","choices":[],"usage":{"prompt_tokens":250,"completion_tokens":100,"total_tokens":350}}` + "\n\n"),
		end:     append(chunk("data: [DONE]\n\n"), "0\r\n\r\n"...),
	}
}

// event returns one event, of the size that engines send, in a chunk of its own.
func event(delta, finish string) []byte {
	return chunk(fill(eventSize,
		`data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"chat","choices":[{"index":0,"delta":`+delta+`,"logprobs":null,"finish_reason":`+finish+`}],"system_fingerprint":"`,
		"\"}\n\n"))
}

func chunk(s string) []byte { return fmt.Appendf(nil, "%x\r\n%s\r\n", len(s), s) }

// fill returns before and after with as much between them as makes size bytes.
func fill(size int, before, after string) string {
	const words = "the quick brown fox jumps over the lazy dog and then "
	missing := max(size-len(before)-len(after), 0)
	return before + strings.Repeat(words, missing/len(words)+1)[:missing] + after
}

func (e *engine) answer(v *visit) bool {
	switch {
	case !v.says(`"model":`):
		return v.write(e.unknown)
	case !v.says(`"stream":true`):
		return v.write(e.whole)
	case v.says(`"model":"slow"`):
		return e.stream(v, 0, slowEvery, slowTokens)
	}
	return e.stream(v, tokenEvery, tokenEvery, streamTokens)
}

// stream sends each token in a write of its own, as an engine does; what belongs
// together leaves together. It waits between two tokens, not until a time, so that
// one that is late is not followed by another at once.
func (e *engine) stream(v *visit, first, every time.Duration, tokens int) bool {
	time.Sleep(first)
	if !v.write(slices.Concat(e.opening, e.token)) {
		return false
	}
	for range tokens - 1 {
		time.Sleep(every)
		if !v.write(e.token) {
			return false
		}
	}
	if v.says(`"include_usage":true`) {
		return v.write(slices.Concat(e.last, e.usage, e.end))
	}
	return v.write(slices.Concat(e.last, e.end))
}

var errUsage = errors.New("it takes the URL of the upstream")

// request returns a chat completion of 1 KB.
func request(model, key string, stream bool) []byte {
	before := fmt.Sprintf(`{"model":%q,"max_tokens":100,"stream":%v,"messages":[{"role":"user","content":"`, model, stream)
	body := fill(answerSize, before, `"}]}`)
	return fmt.Appendf(nil, "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", key, len(body), body)
}
