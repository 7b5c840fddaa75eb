package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicopt "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	openaiopt "github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
)

// faults is the page that says what comes of each failure. It is written by hand,
// and no run of a test changes it.
const faults = "../../docs/reference/faults.md"

// row is a line of the page's first table.
type row struct {
	Fault, Form, One, Code, Again, Two, Recorded, Health string
}

// words are what a status is called in each dialect, from the page's second table.
type words struct {
	OpenAI          string // type
	AnthropicStatus int
	Anthropic       string // type
	Gemini          string // status
}

// readFaults reads the page.
func readFaults(t *testing.T) (rows []row, dialects map[int]words) {
	t.Helper()
	page, err := os.ReadFile(faults)
	if err != nil {
		t.Fatal(err)
	}
	dialects = map[int]words{}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(strings.ReplaceAll(cells[i], "`", ""))
		}
		switch {
		case !strings.HasPrefix(line, "|"), cells[0] == "fault", cells[0] == "status", strings.HasPrefix(cells[0], "---"):
		case len(cells) == 9:
			rows = append(rows, row{cells[0], cells[2], cells[3], cells[4], cells[5], cells[6], cells[7], cells[8]})
		case len(cells) == 4:
			status, err := strconv.Atoi(cells[0])
			if err != nil {
				t.Fatalf("no status: %s", line)
			}
			number, kind, _ := strings.Cut(cells[2], " ")
			other, err := strconv.Atoi(number)
			if err != nil {
				t.Fatalf("no status of Anthropic's: %s", line)
			}
			dialects[status] = words{cells[1], other, kind, cells[3]}
		default:
			t.Fatalf("a line with %d cells: %s", len(cells), line)
		}
	}
	if len(rows) < 40 || len(dialects) < 8 {
		t.Fatalf("%d rows and %d statuses", len(rows), len(dialects))
	}
	return rows, dialects
}

// surface is a dialect as clients and upstreams speak it.
type surface struct {
	name   string
	words  func(w words, status int) (kind string, as int) // what an error of a status is called
	coded  bool                                            // errors have a code as well
	kind   string                                          // of the upstream
	events []string                                        // a stream
	first  int                                             // events until the first content
	finish int                                             // events until the finish
	whole  string                                          // an answer

	unfinished string // an answer that says that it has not finished
	failure    string // an answer that tells of an error
	tooLong    string // the body of an error
	event      string // an event that tells of an error
	half       string // of an event
	large      func(n int) string
	hollow     string // the end without a finish; empty where the end is that of the bytes

	ask func(ctx context.Context, g *gateway, model string, stream bool, tap *tap) heard
}

// heard is what an official client makes of an answer.
type heard struct {
	text   string
	err    error
	status int    // of the error; 0 if it came in the stream
	kind   string // of the error, as its dialect calls it
	code   string
	ended  bool // it takes the answer for whole
}

func openaiWords(w words, status int) (string, int) { return w.OpenAI, status }
func anthropicWords(w words, _ int) (string, int)   { return w.Anthropic, w.AnthropicStatus }
func chatLarge(n int) string                        { return choice(`{"content":"`+strings.Repeat("x", n)+`"}`, "null") }
func messagesLarge(n int) string {
	return event(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"` + strings.Repeat("x", n) + `"}}`)
}

var surfaces = []surface{
	{
		name: "chat", words: openaiWords, coded: true, kind: "openai", events: chatStream, first: 2, finish: 4, whole: chatAnswer,
		unfinished: strings.Replace(chatAnswer, `"finish_reason":"stop"`, `"finish_reason":null`, 1),
		failure:    `{"error":{"message":"leak","type":"server_error","param":null,"code":500}}`,
		tooLong:    `{"error":{"message":"leak","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`,
		event:      "data: {\"error\":{\"message\":\"leak\",\"type\":\"server_error\",\"param\":null,\"code\":500}}\n\ndata: [DONE]\n\n",
		half:       "data: {\"id\":\"chatcmpl-up\",\"choices\":[{\"index\":0,\"delta\":\n\n",
		large:      chatLarge, hollow: "data: [DONE]\n\n",
		ask: askChat,
	},
	{ // over an upstream that knows nothing of responses
		name: "responses", words: openaiWords, coded: true, kind: "openai", events: chatStream, first: 2, finish: 4, whole: chatAnswer,
		unfinished: strings.Replace(chatAnswer, `"finish_reason":"stop"`, `"finish_reason":null`, 1),
		failure:    `{"error":{"message":"leak","type":"server_error","param":null,"code":500}}`,
		tooLong:    `{"error":{"message":"leak","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`,
		event:      "data: {\"error\":{\"message\":\"leak\",\"type\":\"server_error\",\"param\":null,\"code\":500}}\n\ndata: [DONE]\n\n",
		half:       "data: {\"id\":\"chatcmpl-up\",\"choices\":[{\"index\":0,\"delta\":\n\n",
		large:      chatLarge, hollow: "data: [DONE]\n\n",
		ask: askResponses,
	},
	{
		name: "completions", words: openaiWords, coded: true, kind: "openai", events: completionStream, first: 2, finish: 4, whole: completionAnswer,
		unfinished: strings.Replace(completionAnswer, `"finish_reason":"stop"`, `"finish_reason":null`, 1),
		failure:    `{"error":{"message":"leak","type":"server_error","param":null,"code":500}}`,
		tooLong:    `{"error":{"message":"leak","type":"invalid_request_error","param":"prompt","code":"context_length_exceeded"}}`,
		event:      "data: {\"error\":{\"message\":\"leak\",\"type\":\"server_error\",\"param\":null,\"code\":500}}\n\ndata: [DONE]\n\n",
		half:       "data: {\"id\":\"cmpl-up\",\"choices\":[{\"index\":0,\"text\":\n\n",
		large:      func(n int) string { return completion(strings.Repeat("x", n), "null") }, hollow: "data: [DONE]\n\n",
		ask: askCompletions,
	},
	{
		name: "messages", words: anthropicWords, kind: "anthropic", events: messagesStream, first: 3, finish: 6, whole: messagesAnswer,
		unfinished: strings.Replace(messagesAnswer, `"stop_reason":"end_turn"`, `"stop_reason":null`, 1),
		failure:    `{"type":"error","error":{"type":"api_error","message":"leak"}}`,
		tooLong:    `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 208310 tokens > 200000 maximum"}}`,
		event:      "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"leak\"}}\n\n",
		half:       "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":\n\n",
		large:      messagesLarge, hollow: messagesStream[6],
		ask: askMessages,
	},
	{
		name: "gemini", words: geminiWords, coded: true, kind: "gemini", events: geminiStream, first: 2, finish: 4, whole: geminiAnswer,
		unfinished: `{"candidates":[{"index":0}],"modelVersion":"engine-1"}`,
		failure:    `{"error":{"code":500,"message":"leak","status":"INTERNAL"}}`,
		tooLong:    `{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}`,
		event:      "data: {\"error\":{\"code\":500,\"message\":\"leak\",\"status\":\"INTERNAL\"}}\n\n",
		half:       "data: {\"candidates\":[{\"content\":\n\n",
		large:      func(n int) string { return candidate(`{"text":"`+strings.Repeat("x", n)+`"}`, "") },
		ask:        askGemini,
	},
}

func askChat(ctx context.Context, g *gateway, model string, stream bool, tap *tap) (h heard) {
	client := g.openai(openaiopt.WithMaxRetries(2), openaiopt.WithHTTPClient(tap.client()))
	if stream {
		s := client.Chat.Completions.NewStreaming(ctx, hello(model))
		defer s.Close()
		for s.Next() {
			for _, c := range s.Current().Choices {
				h.text += c.Delta.Content
				h.ended = h.ended || c.FinishReason != ""
			}
		}
		h.err = s.Err()
	} else {
		answer, err := client.Chat.Completions.New(ctx, hello(model))
		if h.err = err; err == nil {
			h.text, h.ended = answer.Choices[0].Message.Content, true
		}
	}
	h.openai()
	return h
}

func askResponses(ctx context.Context, g *gateway, model string, stream bool, tap *tap) (h heard) {
	client := g.openai(openaiopt.WithMaxRetries(2), openaiopt.WithHTTPClient(tap.client()))
	ask := responses.ResponseNewParams{Model: model, Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("hello")}}
	if stream {
		s := client.Responses.NewStreaming(ctx, ask)
		defer s.Close()
		for s.Next() {
			switch now := s.Current(); now.Type {
			case "response.output_text.delta":
				h.text += now.Delta
			case "response.completed", "response.incomplete":
				h.ended = true
			}
		}
		h.err = s.Err()
	} else {
		answer, err := client.Responses.New(ctx, ask)
		if h.err = err; err == nil {
			h.text, h.ended = answer.OutputText(), answer.Status == "completed"
		}
	}
	h.openai()
	return h
}

// openai takes an error of OpenAI's client apart.
func (h *heard) openai() {
	h.code, h.status = chatError(h.err)
	if e, ok := errors.AsType[*openai.Error](h.err); ok {
		h.kind = e.Type
	}
}

func askMessages(ctx context.Context, g *gateway, model string, stream bool, tap *tap) (h heard) {
	client := g.anthropic(anthropicopt.WithMaxRetries(2), anthropicopt.WithHTTPClient(tap.client()))
	if stream {
		s := client.Messages.NewStreaming(ctx, hi(anthropic.Model(model)))
		defer s.Close()
		for s.Next() {
			now := s.Current()
			h.text += now.Delta.Text
			h.ended = h.ended || now.Type == "message_stop"
		}
		h.err = s.Err()
	} else {
		answer, err := client.Messages.New(ctx, hi(anthropic.Model(model)))
		if h.err = err; err == nil {
			h.text, h.ended = answer.Content[0].Text, true
		}
	}
	h.kind, h.status = messagesError(h.err)
	return h
}

// breaks returns how an upstream of a surface fails, nil if it has no such failure.
func (s *surface) breaks(fault string, stream bool) answer {
	begins := func(n int, then ...answer) answer {
		if stream {
			return streams(s.events[:n], then...)
		}
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if n > s.first { // half of the body
				emit(w, s.whole[:len(s.whole)/2])
			} else {
				w.WriteHeader(http.StatusOK)
				emit(w, "")
			}
			for _, next := range then {
				next(w, r)
			}
		}
	}
	middle := s.first + 1
	said := func(status int, fields ...string) answer { return refuses(status, s.failure, fields...) }
	if status, err := strconv.Atoi(fault); err == nil {
		return said(status)
	}
	switch fault {
	case "reset before headers":
		return resets
	case "reset after headers":
		return begins(0, resets)
	case "hang before headers":
		return stalls
	case "hang before first token":
		return begins(s.first-1, stalls)
	case "stall":
		return begins(middle, stalls)
	case "cut, clean end":
		return begins(middle, ends)
	case "cut, abort":
		return begins(middle, hangsUp)
	case "malformed event":
		return begins(middle, more(s.half), more(s.events[middle:]...))
	case "error before content":
		if stream {
			return begins(s.first-1, more(s.event))
		}
		return says(s.failure)
	case "error after content":
		return begins(middle, more(s.event))
	case "end without finish":
		switch {
		case !stream:
			return says(s.unfinished)
		case s.hollow == "":
			return nil // the same as a cut
		}
		return begins(middle, more(s.hollow))
	case "finish without end":
		if s.hollow == "" {
			return streams(s.events)
		}
		return begins(s.finish)
	case "context too long":
		return refuses(400, s.tooLong)
	case "429, wait 30 s":
		return said(429, "Retry-After", "30")
	case "wrong type":
		return refuses(200, "<html>leak</html>", "Content-Type", "text/html")
	case "empty":
		if stream {
			return streams(nil)
		}
		return says("")
	case "huge event":
		return begins(middle, more(s.large(5<<20)), more(s.events[middle:]...))
	case "slow drip":
		text, kind := s.whole, "application/json"
		if stream {
			text, kind = strings.Join(s.events, ""), "text/event-stream"
		}
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			for i := range len(text) {
				emit(w, text[i:i+1])
				if i%64 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		}
	case "redirect":
		return refuses(307, "", "Location", "/elsewhere")
	case "wrong gzip":
		kind := "application/json"
		if stream {
			kind = "text/event-stream"
		}
		return refuses(200, "this is no gzip, and it says leak", "Content-Type", kind, "Content-Encoding", "gzip")
	}
	return nil
}

// good is how an upstream of a surface answers.
func (s *surface) good(stream bool) answer {
	if stream {
		return streams(s.events)
	}
	return says(s.whole)
}

// trial is a cell of the matrix: one row of the page on one surface, in one form,
// with one target or two.
type trial struct {
	name    string
	row     row
	surface *surface
	stream  bool
	two     bool
	model   string
	up      *upstream // nil where nobody is reached

	heard   heard
	learned string
	tap     *tap
}

// unseen reports whether the client is to see nothing of the failure.
func (c *trial) unseen() bool {
	return c.row.One == "answered" || c.two && c.row.Two == "second"
}

// TestFaults plays every row of the page on every surface.
func TestFaults(t *testing.T) {
	t.Parallel()
	rows, dialects := readFaults(t)
	lab := newLab(t)
	var config, models strings.Builder
	config.WriteString("upstreams:\n")
	models.WriteString("models:\n")
	for i := range surfaces {
		s := &surfaces[i]
		for _, form := range []string{"stream", "whole"} {
			up := lab.plays("good-"+s.name+"-"+form, s.good(form == "stream"))
			fmt.Fprintf(&config, "  good-%s-%s: {kind: %s, key: %s, urls: [%q]}\n", s.name, form, s.kind, lent, up.url)
		}
	}
	var trials []*trial
	for _, r := range rows {
		for i := range surfaces {
			s := &surfaces[i]
			for _, stream := range []bool{true, false} {
				for _, two := range []bool{false, true} {
					form := map[bool]string{true: "stream", false: "whole"}[stream]
					if r.Form != "both" && r.Form != form {
						continue
					}
					id := fmt.Sprintf("f%d", len(trials))
					c := &trial{
						name: fmt.Sprintf("%s/%s/%s/two=%t", r.Fault, s.name, form, two),
						row:  r, surface: s, stream: stream, two: two, model: id, tap: &tap{},
					}
					url := ""
					switch r.Fault {
					case "refused":
						url = nobody(t)
					case "dns":
						url = "http://no-such-host.invalid"
					case "tls":
						url = strings.Replace(lab.server.URL, "http:", "https:", 1) + "/" + id
					case "kept connection closed":
						c.up = lab.plays(id, s.good(stream), resets, s.good(stream))
						url = c.up.url
					default:
						how := s.breaks(r.Fault, stream)
						if how == nil {
							if r.Fault == "end without finish" {
								continue
							}
							t.Fatalf("%s: nobody knows how to break so", c.name)
						}
						c.up = lab.plays(id, how)
						url = c.up.url
					}
					fmt.Fprintf(&config, "  %s: {kind: %s, key: %s, urls: [%q]}\n", id, s.kind, lent, url)
					targets := "{upstream: " + id + ", model: engine-1}"
					if two {
						targets += ", {upstream: good-" + s.name + "-" + form + ", model: engine-1}"
					}
					limits := ""
					if strings.HasPrefix(r.Fault, "hang") || r.Fault == "stall" {
						limits = ", timeouts: {first_token: 700ms, idle: 700ms}"
					}
					fmt.Fprintf(&models, "  %s: {targets: [%s]%s}\n", id, targets, limits)
					trials = append(trials, c)
				}
			}
		}
	}
	g := serve(t, config.String()+models.String())

	// Three at a time are tried again: more than that need more traffic, by the
	// retry budget.
	work := make(chan *trial)
	var running sync.WaitGroup
	for range 3 {
		running.Go(func() {
			for c := range work {
				if c.row.Fault == "kept connection closed" {
					c.surface.ask(within(t), g, c.model, c.stream, &tap{}) // leaves a connection behind
				}
				c.heard = c.surface.ask(within(t), g, c.model, c.stream, c.tap)
				c.learned = g.learned(t, c.model) // at once: it is forgotten in time
			}
		})
	}
	for _, c := range trials {
		work <- c
	}
	close(work)
	running.Wait()
	if t.Failed() {
		return
	}

	for _, c := range trials {
		t.Run(c.name, func(t *testing.T) {
			c.judge(t, dialects)
			c.recorded(t, g)
			if c.learned != c.row.Health {
				t.Errorf("health learned: %s, want %s", c.learned, c.row.Health)
			}
		})
	}
	t.Logf("%d cells", len(trials))
}

// judge compares what the client sees with the page.
func (c *trial) judge(t *testing.T, dialects map[int]words) {
	h, attempts := &c.heard, c.tap.all()
	if len(attempts) == 0 {
		t.Fatalf("the client sent nothing: %v", h.err)
	}
	header := attempts[0].Header
	if c.unseen() {
		want := helloWorld
		if c.row.One == "answered" && c.stream && c.row.Fault == "finish without end" {
			want = h.text // as far as it was sent
		}
		if h.err != nil || !h.ended || h.text != want || len(attempts) != 1 {
			t.Errorf("the client saw the failure: %+v after %d attempts", h, len(attempts))
		}
		tries := map[bool]string{true: "2", false: "1"}[c.row.Two == "second"]
		if free := c.row.Recorded == "connect"; !free && header.Get("x-headworks-attempts") != tries {
			t.Errorf("%s attempts, want %s", header.Get("x-headworks-attempts"), tries)
		}
		return
	}
	if h.err == nil || h.ended {
		t.Fatalf("a failed answer passes for whole: %+v", h)
	}
	if strings.Contains(h.err.Error(), "leak") {
		t.Errorf("the upstream's words reached the caller: %v", h.err)
	}
	if header.Get("x-request-id") == "" {
		t.Error("no x-request-id")
	}
	if c.row.One == "cut" {
		status := 502
		if c.row.Recorded == "stall" {
			status = 504
		}
		kind, _ := c.surface.words(dialects[status], status)
		if h.status != 0 || c.surface.coded && h.code != c.row.Code || !c.surface.coded && h.kind != kind {
			t.Errorf("the client sees %q %q with status %d, want %q %q in the stream: %v", h.kind, h.code, h.status, kind, c.row.Code, h.err)
		}
		if !strings.HasPrefix(helloWorld, h.text) || h.text == "" {
			t.Errorf("the client has the text %q", h.text)
		}
		if len(attempts) != 1 || attempts[0].Status != 200 {
			t.Errorf("%d attempts of the client", len(attempts))
		}
		return
	}
	status, err := strconv.Atoi(c.row.One)
	if err != nil {
		t.Fatalf("no status: %s", c.row.One)
	}
	kind, as := c.surface.words(dialects[status], status)
	if h.status != as || h.kind != kind || c.surface.coded && h.code != c.row.Code {
		t.Errorf("the client sees %d %s %s, want %d %s %s: %v", h.status, h.kind, h.code, as, kind, c.row.Code, h.err)
	}
	again, _, wait := strings.Cut(c.row.Again, ", ")
	if got := header.Get("x-should-retry"); got != map[string]string{"yes": "true", "no": "false"}[again] {
		t.Errorf("x-should-retry: %s, want %s", got, again)
	}
	if (header.Get("retry-after") != "") != wait {
		t.Errorf("retry-after: %q", header.Get("retry-after"))
	}
	if once := again == "no" || c.surface.name == "gemini"; once != (len(attempts) == 1) { // Google's client tries once
		t.Errorf("the client tried %d times", len(attempts))
	}
}

// recorded compares what the record says with the page.
func (c *trial) recorded(t *testing.T, g *gateway) {
	var r struct {
		End       string
		Fault     string
		Committed bool
		Attempts  []struct{ Upstream, Fault string }
	}
	id := c.tap.all()[0].Header.Get("x-request-id")
	await(t, "the record of "+id, func() bool { return g.admin(t, "/api/requests/"+id+"/explanation", &r) })
	end, fault := "error", c.row.Recorded
	switch {
	case c.unseen():
		end, fault = "ok", "none"
	case c.row.One == "cut":
		end = "abnormal_end"
	}
	if r.End != end || r.Fault != fault {
		t.Errorf("recorded %s, fault %s; want %s, %s", r.End, r.Fault, end, fault)
	}
	if len(r.Attempts) == 0 || r.Attempts[0].Upstream != c.model || r.Attempts[0].Fault != c.row.Recorded {
		t.Errorf("attempts %+v, want the first at %s with %s", r.Attempts, c.model, c.row.Recorded)
	}
	if want := c.unseen() || c.row.One == "cut"; c.stream && r.Committed != want {
		t.Errorf("committed: %v", r.Committed)
	}
}

// learned returns what is known of the only replica of an upstream, in the page's
// words.
func (g *gateway) learned(t *testing.T, upstream string) string {
	t.Helper()
	var s struct {
		Upstreams []struct {
			Name     string
			Replicas []struct {
				Failures int
				Up       bool
				Why      string
			}
		}
	}
	if !g.admin(t, "/api/status", &s) {
		t.Fatal("no status")
	}
	for _, u := range s.Upstreams {
		if u.Name != upstream {
			continue
		}
		switch r := u.Replicas[0]; {
		case strings.HasPrefix(r.Why, "out: nobody"):
			return "down"
		case strings.HasPrefix(r.Why, "asked us"):
			return "cools"
		case strings.HasPrefix(r.Why, "refused our"):
			return "credential"
		case !r.Up:
			return r.Why
		case r.Failures > 0:
			return "counts"
		}
		return "nothing"
	}
	t.Errorf("no upstream %s", upstream)
	return ""
}

// admin reads an answer of the admin API; false if there is none yet.
func (g *gateway) admin(t *testing.T, path string, into any) bool {
	t.Helper()
	data := filepath.Join(filepath.Dir(g.file), "data")
	token, err := os.ReadFile(filepath.Join(data, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	note, err := os.ReadFile(filepath.Join(data, "instance.json"))
	if err != nil {
		t.Fatal(err)
	}
	var at struct{ Admin string }
	if err := json.Unmarshal(note, &at); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(within(t), "GET", strings.TrimSuffix(at.Admin, "/")+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode == 200 && json.Unmarshal(body, into) == nil
}
