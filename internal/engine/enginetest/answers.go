package enginetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headworks/internal/engine"
	"headworks/internal/inference"
)

// testRequest looks at what an upstream is sent.
func testRequest(t *testing.T, k Kind) {
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	passed := []string{"x-not-ours", "1"}
	for _, name := range append(k.Passed, "authorization", "x-api-key", "cookie", "host") {
		passed = append(passed, name, "from the caller")
	}
	for _, d := range k.callers() {
		for _, stream := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s stream %v", d.name, stream), func(t *testing.T) {
				u := k.play(t, func(r *request) bool { return r.send(k.good(r)) })
				c := u.call(d, stream)
				if c.Request.Stream != stream {
					return // its answers never stream
				}
				c.Header, c.Trace = passed, traceparent
				before := string(c.Body)
				if _, err := u.do(t, c); err != nil {
					t.Fatal(err)
				}
				_, all := u.seen()
				r := all[0]
				want := map[string][]string{
					"Host": {strings.TrimPrefix(u.replica.URL, "http://")}, "Content-Length": {fmt.Sprint(len(r.body))},
					"Content-Type": {"application/json"}, "Accept": {"application/json"}, "Traceparent": {traceparent},
				}
				if stream {
					want["Accept"] = []string{k.own().media()}
				}
				for _, f := range append(k.Said, k.Key) {
					want[canonical(f[0])] = []string{f[1]}
				}
				if d.dialect == k.Dialect {
					for _, name := range k.Passed {
						want[canonical(name)] = []string{"from the caller"}
					}
				}
				if diff := cmp.Diff(want, map[string][]string(r.header)); diff != "" {
					t.Errorf("header (-want +got)\n%s", diff)
				}
				path := k.Path
				if stream && k.Stream != "" {
					path = k.Stream
				}
				if got := "POST " + path + " HTTP/1.1"; r.line != got {
					t.Errorf("asked %q, want %q", r.line, got)
				}
				k.checkBody(t, d, stream, r.body)
				if string(c.Body) != before {
					t.Error("the caller's own bytes were changed")
				}
			})
		}
	}
}

func canonical(name string) string {
	parts := strings.Split(strings.ToLower(name), "-")
	for i, p := range parts {
		parts[i] = strings.ToUpper(p[:1]) + p[1:]
	}
	return strings.Join(parts, "-")
}

// checkBody compares what arrived with what the caller wrote: byte by byte in one
// dialect, by what it says across two.
func (k Kind) checkBody(t *testing.T, d *speech, stream bool, body string) {
	t.Helper()
	if d.dialect == k.Dialect {
		want := strings.Replace(d.sends, "STREAM", fmt.Sprint(stream), 1)
		if !stream && !d.lines {
			want = strings.Replace(d.asks, "STREAM", "false", 1)
			want = strings.Replace(want, `"assistant"`, `"served"`, 1)
		}
		if body != want {
			t.Errorf("sent  %q\nwant  %q", body, want)
		}
		return
	}
	if k.Dialect == inference.Gemini {
		const want = `{"contents":[{"role":"user","parts":[{"text":"café / 1"}]}],"generationConfig":{`
		if !strings.HasPrefix(body, want) || !strings.HasSuffix(body, `"temperature":1}}`) {
			t.Errorf("sent %s", body)
		}
		return
	}
	if k.Dialect == inference.Responses {
		want := `{"model":"served","input":[{"type":"message","role":"user","content":"café / 1"}],`
		end := `"temperature":1,"store":false}`
		if stream {
			end = `"temperature":1,"stream":true,"store":false}`
		}
		if !strings.HasPrefix(body, want) || !strings.HasSuffix(body, end) {
			t.Errorf("sent %s", body)
		}
		return
	}
	if k.Dialect == inference.Ollama {
		want := `{"model":"served","messages":[{"role":"user","content":"café / 1"}],"options":{"num_predict":64,"temperature":1},"stream":` + fmt.Sprint(stream) + `,"truncate":false}`
		if body != want && body != strings.Replace(want, `"num_predict":64,`, "", 1) {
			t.Errorf("sent %s", body)
		}
		return
	}
	var said struct {
		Model       string
		Stream      bool
		Temperature float64
		Messages    []struct {
			Role    string
			Content json.RawMessage
		}
		StreamOptions struct {
			IncludeUsage bool `json:"include_usage"`
		} `json:"stream_options"`
	}
	if err := json.Unmarshal([]byte(body), &said); err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	if said.Model != "served" || said.Stream != stream || said.Temperature != 1 || len(said.Messages) != 1 ||
		said.Messages[0].Role != "user" || !strings.Contains(string(said.Messages[0].Content), "café / 1") {
		t.Errorf("sent %s", body)
	}
	if k.Dialect == inference.OpenAI && said.StreamOptions.IncludeUsage != (stream && !k.own().unasked) {
		t.Errorf("usage is asked for: %v, in %s", said.StreamOptions.IncludeUsage, body)
	}
}

// framings are the ways in which a server may send the same stream. Each takes
// its events, and ends the body.
var framings = map[string]func(d *speech, events []string) string{
	"event by event": func(d *speech, events []string) string { return d.whole(events...) },
	"at once":        func(d *speech, events []string) string { return d.whole(strings.Join(events, "")) },
	"in small pieces": func(d *speech, events []string) string {
		var pieces []string
		for p := range slices.Chunk([]byte(strings.Join(events, "")), 7) {
			pieces = append(pieces, string(p))
		}
		return d.whole(pieces...)
	},
	"to the end of the connection": func(d *speech, events []string) string {
		return "HTTP/1.1 200 OK\r\nconnection: close\r\nCONTENT-TYPE: " + strings.ToUpper(d.media()) + "\r\n\r\n" + strings.Join(events, "")
	},
	"with a length": func(d *speech, events []string) string {
		return answer(200, d.media(), strings.Join(events, ""))
	},
	"with comments between": func(d *speech, events []string) string {
		return d.whole(d.comment(), strings.Join(events, d.comment()), d.comment())
	},
}

// testStream checks that the bytes of a stream arrive untouched, but for the
// terminal, comments, and usage that nobody asked for; and that across dialects
// they mean the same.
func testStream(t *testing.T, k Kind) {
	own, other := k.own(), k.other()
	for name, frame := range framings {
		for _, f := range own.streams {
			if f.n > 1 && k.One {
				continue
			}
			t.Run(name+" "+f.file, func(t *testing.T) {
				events := own.pieces(load(f.file))
				u := k.play(t, func(r *request) bool {
					return r.send(frame(own, events)) && name != "to the end of the connection"
				})
				sent := strings.TrimSuffix(strings.Join(events, ""), own.terminal)
				if !strings.HasSuffix(strings.Join(events, ""), own.terminal) { // written with spaces
					sent = strings.Join(events[:len(events)-1], "")
				}
				for _, asked := range []bool{true, false} {
					want := sent
					body := strings.Replace(own.asks, "STREAM", "true", 1)
					if f.n > 1 {
						body = strings.Replace(body, "{", fmt.Sprintf(`{"n":%d,`, f.n), 1)
					}
					if asked {
						body = strings.Replace(body, "{", "{"+own.askUsage, 1)
					} else {
						want = strings.Replace(sent, f.aside, "", 1)
					}
					h, err := u.do(t, u.ask(own, body))
					if err != nil {
						t.Fatal(err)
					}
					if string(h.raw) != want {
						t.Errorf("asked for usage %v, got\n%s\nwant\n%s", asked, h.raw, want)
					}
					checkFacts(t, &h, &f)
				}
				if f.n > 1 || other == nil {
					return // no other dialect can ask for it
				}
				h, err := u.do(t, u.call(other, true))
				if err != nil {
					t.Fatal(err)
				}
				checkFacts(t, &h, &f)
				checkDeltas(t, h.deltas, &f)
			})
		}
	}
}

func checkFacts(t *testing.T, h *heard, want *told) {
	t.Helper()
	if h.usage != want.usage {
		t.Errorf("usage %+v, want %+v", h.usage, want.usage)
	}
	if h.finish != want.finish {
		t.Errorf("finish %q, want %q", h.finish, want.finish)
	}
	least := len(want.text) + len(want.thought)
	if !h.content || h.text < least {
		t.Errorf("content %v with %d bytes, where %d are the least", h.content, h.text, least)
	}
}

func checkDeltas(t *testing.T, deltas []inference.Delta, want *told) {
	t.Helper()
	got := told{file: want.file, n: want.n, aside: want.aside}
	tools := map[int]*inference.Part{}
	for i, d := range deltas {
		if (d.Kind == inference.Begin) != (i == 0) || (d.Kind == inference.End) != (i == len(deltas)-1) {
			t.Errorf("delta %d of %d is of kind %d", i, len(deltas), d.Kind)
		}
		switch d.Kind {
		case inference.TextDelta:
			got.text += d.Text
		case inference.ThoughtDelta:
			got.thought += d.Text
		case inference.ToolBegin:
			tools[d.Index] = &inference.Part{ID: d.ID, Name: d.Name}
		case inference.ToolDelta:
			if tools[d.Index] == nil {
				t.Fatalf("arguments of a call that did not begin: %+v", d)
			}
			tools[d.Index].Data += d.Text
		case inference.End:
			got.finish, got.usage = d.Finish, d.Usage
		case inference.Begin, inference.Signed, inference.Sealed, inference.RefusalDelta:
		}
	}
	for _, i := range slices.Sorted(maps.Keys(tools)) {
		got.tools = append(got.tools, *tools[i])
	}
	if diff := cmp.Diff(*want, got, cmp.AllowUnexported(told{})); diff != "" {
		t.Errorf("across dialects (-want +got)\n%s", diff)
	}
}

// testWhole does the same with answers that do not stream.
func testWhole(t *testing.T, k Kind) {
	own, other := k.own(), k.other()
	for _, f := range own.answers {
		for name, frame := range map[string]func(body string) string{
			"with a length": func(body string) string { return answer(200, "application/json; charset=utf-8", body) },
			"in chunks": func(body string) string {
				return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" +
					chunked(body[:9], body[9:10], body[10:]) + chunksEnd
			},
			"after 103 Early Hints": func(body string) string {
				return "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + answer(200, "application/json", body)
			},
		} {
			t.Run(name+" "+f.file, func(t *testing.T) {
				body := load(f.file)
				u := k.play(t, func(r *request) bool { return r.send(frame(body)) })
				h, err := u.do(t, u.call(own, false))
				if err != nil {
					t.Fatal(err)
				}
				if string(h.raw) != body {
					t.Errorf("got %s, want %s", h.raw, body)
				}
				checkFacts(t, &h, &f)
				if other == nil {
					return
				}
				if h, err = u.do(t, u.call(other, false)); err != nil {
					t.Fatal(err)
				}
				checkFacts(t, &h, &f)
				checkAnswer(t, h.answer, &f)
			})
		}
	}
}

func checkAnswer(t *testing.T, a *inference.Answer, want *told) {
	t.Helper()
	if a == nil {
		t.Fatal("no answer")
	}
	got := told{file: want.file, finish: a.Finish, usage: a.Usage}
	for _, p := range a.Parts {
		switch p.Kind {
		case inference.Text:
			got.text += p.Text
		case inference.Thinking:
			got.thought += p.Text
		case inference.ToolUse:
			got.tools = append(got.tools, inference.Part{ID: p.ID, Name: p.Name, Data: p.Data})
		default:
			t.Errorf("a part of kind %d", p.Kind)
		}
	}
	if diff := cmp.Diff(*want, got, cmp.AllowUnexported(told{})); diff != "" {
		t.Errorf("across dialects (-want +got)\n%s", diff)
	}
}

// testSilence reads with moments at which nothing has come, before the head,
// within the head, between and within events, and within a whole body. Each time
// the stream stays as it was.
func testSilence(t *testing.T, k Kind) {
	own := k.own()
	for _, d := range k.callers() {
		for _, stream := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s stream %v", d.name, stream), func(t *testing.T) {
				f := own.answers[0]
				pieces := slices.Collect(slices.Chunk([]byte(answer(200, "application/json", load(f.file))), 97))
				if stream && k.streams() {
					f = own.streams[0]
					pieces = [][]byte{[]byte(own.head()[:20]), []byte(own.head()[20:])}
					for _, e := range own.pieces(load(f.file)) {
						pieces = append(pieces, []byte(chunked(e[:9])), []byte(chunked(e[9:])))
					}
				}
				more := make(chan []byte)
				u := k.play(t, func(r *request) bool {
					for p := range more {
						if !r.send(string(p)) {
							return false
						}
					}
					return true
				})
				s, err := u.engine.Open(t.Context(), u.call(d, stream))
				if err != nil {
					t.Fatal(err)
				}
				defer closed(t, s)
				var h heard
				for _, p := range pieces {
					quiet(t, &h, s)
					more <- p
				}
				close(more)
				for by := time.Now().Add(patience); !h.last; {
					if _, err := h.next(s, by); err != nil {
						t.Fatal(err)
					}
				}
				checkFacts(t, &h, &f)
				if stream && d.dialect != k.Dialect {
					checkDeltas(t, h.deltas, &f)
				}
			})
		}
	}
}

// quiet reads what is there, until nothing is: then ErrQuiet comes, not before its
// moment.
func quiet(t *testing.T, h *heard, s engine.Stream) {
	t.Helper()
	for range 100 {
		until := time.Now().Add(3 * time.Millisecond)
		_, err := h.next(s, until)
		switch {
		case h.last:
			return
		case err == nil:
		case !errors.Is(err, engine.ErrQuiet):
			t.Fatal(err)
		case time.Now().Before(until):
			t.Errorf("quiet %v too early", time.Until(until))
			return
		default:
			return
		}
	}
	t.Fatal("never quiet")
}
