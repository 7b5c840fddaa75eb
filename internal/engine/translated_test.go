package engine_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"headworks/internal/dialect/anthropic"
	"headworks/internal/dialect/openai"
	"headworks/internal/dialect/openai/completions"
	"headworks/internal/engine"
	"headworks/internal/engine/gemini"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// TestOneAnswerAcrossDialects: a caller who asks for several answers in another
// dialect gets one, whole, and is told: it is not cut for want of the others.
func TestOneAnswerAcrossDialects(t *testing.T) {
	sent := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // the test sees what is missing
		sent <- string(body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, `data: {"id":"1","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
	}))
	defer server.Close()
	replica := fleet.Replica{URL: server.URL}
	e, err := engine.NewHTTP([]engine.Protocol{engine.Chat()}, []fleet.Replica{replica}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	c := &engine.Call{Request: &inference.Request{}, Replica: &replica, Model: "m", Doc: &scan.Doc{}}
	c.Body = []byte(`{"model":"m","prompt":"hi","n":3,"stream":true}`)
	if err := c.Doc.Scan(c.Body, completions.Shape()); err != nil {
		t.Fatal(err)
	}
	if err := completions.ReadRequest(c.Doc, c.Request); err != nil {
		t.Fatal(err)
	}
	c.Conversation = func() (*inference.Conversation, []string, error) { return completions.Decode(c.Doc) }
	s, err := e.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Dropped(); len(got) != 1 || got[0] != "n" {
		t.Errorf("dropped %q", got)
	}
	if body := <-sent; strings.Contains(body, `"n"`) {
		t.Errorf("sent %s", body)
	}
	for last := false; !last; {
		chunk, err := s.Next(time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		last = chunk.Last
	}
}

// TestArgumentsThatAreNoObject: some dialects have the arguments of a call as an object.
// What the model wrote is not made into one, and the answer is no success.
func TestArgumentsThatAreNoObject(t *testing.T) {
	for _, tt := range []struct {
		arguments, finish string // JSON, as it stands there
		told              bool
	}{
		{`"{\"a\":\"}\"}"`, "tool_calls", true},
		{`""`, "tool_calls", true},
		{`{"a":1}`, "tool_calls", true}, // not in a string
		{`"{\"a\":"`, "tool_calls", false},
		{`"{}{}"`, "tool_calls", false},
		{`"[1]"`, "stop", false},
		{`"nothing"`, "tool_calls", false},
		{`"{\"a\":"`, "length", true}, // the limit of the length says why
	} {
		for _, streams := range []bool{false, true} {
			call := `"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":` + tt.arguments + `}}]`
			answer, media := `{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":null,`+call+`},"finish_reason":"`+tt.finish+`"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`, "application/json"
			if streams {
				answer = `data: {"id":"1","choices":[{"index":0,"delta":{` + call + `}}]}` + "\n\n" +
					`data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"` + tt.finish + `"}]}` + "\n\ndata: [DONE]\n\n"
				media = "text/event-stream"
			}
			told, err := toAnthropic(t, answer, media)
			if tt.told != (err == nil) || err != nil && fault.Of(err).Kind != fault.Malformed {
				t.Errorf("%s, %s, streams %v: %v", tt.arguments, tt.finish, streams, err)
			}
			if err == nil && tt.arguments == `{"a":1}` && told != tt.arguments {
				t.Errorf("streams %v: told as %s", streams, told)
			}
		}
	}
}

// toAnthropic asks an upstream of OpenAI's dialect for a caller of Anthropic's, and
// returns the arguments that were told of tool calls.
func toAnthropic(t *testing.T, answer, media string) (arguments string, err error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", media)
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	replica := fleet.Replica{URL: server.URL}
	e, err := engine.NewHTTP([]engine.Protocol{engine.Chat()}, []fleet.Replica{replica}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	c := &engine.Call{Request: &inference.Request{}, Replica: &replica, Model: "m", Doc: &scan.Doc{}}
	c.Body = []byte(`{"model":"m","max_tokens":9,"stream":` + strconv.FormatBool(media == "text/event-stream") + `,"messages":[{"role":"user","content":"hi"}]}`)
	if err := c.Doc.Scan(c.Body, anthropic.Shape()); err != nil {
		t.Fatal(err)
	}
	if err := anthropic.ReadRequest(c.Doc, c.Request); err != nil {
		t.Fatal(err)
	}
	c.Conversation = func() (*inference.Conversation, []string, error) { return anthropic.Decode(c.Doc) }
	s, err := e.Open(t.Context(), c)
	if err != nil {
		return "", err
	}
	defer s.Close()
	for {
		chunk, err := s.Next(time.Time{})
		if err != nil {
			return arguments, err
		}
		for _, d := range chunk.Deltas {
			if d.Kind == inference.ToolDelta {
				arguments += d.Text
			}
		}
		if chunk.Answer != nil {
			for _, p := range chunk.Answer.Parts {
				arguments += p.Data
			}
		}
		if chunk.Last {
			return arguments, nil
		}
	}
}

// TestAborted: an engine that dropped a request has not ended its answer.
func TestAborted(t *testing.T) {
	for media, answer := range map[string]string{
		"application/json":  `{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"half an"},"finish_reason":"abort"}]}`,
		"text/event-stream": `data: {"id":"1","choices":[{"index":0,"delta":{"content":"half an"}}]}` + "\n\n" + `data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"abort"}]}` + "\n\ndata: [DONE]\n\n",
	} {
		if _, err := toAnthropic(t, answer, media); err == nil {
			t.Errorf("%s: the answer is told as a whole one", media)
		}
	}
}

// TestUnfit: an answer that cannot be told in the caller's dialect fails as soon as it
// shows, before any of it is content, so that another target may answer.
func TestUnfit(t *testing.T) {
	for _, tt := range []struct {
		name, events string
		texts        int // before the fault
		want         fault.Kind
	}{
		{"no proper end", `{"candidates":[{"content":{},"finishReason":"MALFORMED_FUNCTION_CALL"}]}`, 0, fault.Incomplete},
		{"a picture", `{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"aGk="}}]}}]}`, 0, fault.Unsupported},
		{"a word, and then no proper end", `{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}` + "\n\ndata: " + `{"candidates":[{"content":{},"finishReason":"OTHER"}]}`, 1, fault.Incomplete},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, "data: "+tt.events+"\n\n")
			}))
			defer server.Close()
			replica := fleet.Replica{URL: server.URL}
			e, err := gemini.New([]fleet.Replica{replica}, nil)
			if err != nil {
				t.Fatal(err)
			}
			c := &engine.Call{Request: &inference.Request{Stream: true}, Replica: &replica, Model: "m", Doc: &scan.Doc{}}
			c.Body = []byte(`{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`)
			if err := c.Doc.Scan(c.Body, openai.Shape()); err != nil {
				t.Fatal(err)
			}
			c.Conversation = func() (*inference.Conversation, []string, error) { return openai.Decode(c.Doc) }
			s, err := e.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			texts := 0
			for {
				chunk, err := s.Next(time.Time{})
				if err != nil {
					if f := fault.Of(err); f.Kind != tt.want || !f.Kind.Info().Another {
						t.Errorf("%v", f)
					}
					break
				}
				for _, d := range chunk.Deltas {
					if d.Kind == inference.TextDelta {
						texts++
					}
				}
				if chunk.Event.Content != (texts > 0) || chunk.Last {
					t.Fatalf("%+v", chunk)
				}
			}
			if texts != tt.texts {
				t.Errorf("%d texts before it", texts)
			}
		})
	}
}

// chat asks an engine that answers in that way what a body asks, and returns the
// fault of the answer, or what the engine was sent.
func chat(t *testing.T, p engine.Protocol, in inference.Dialect, body string, answer, media string) (sent string, dropped []string, err error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body) // the test sees what is missing
		sent = string(b)
		w.Header().Set("Content-Type", media)
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	replica := fleet.Replica{URL: server.URL}
	e, err := engine.NewHTTP([]engine.Protocol{p}, []fleet.Replica{replica}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	c := &engine.Call{Request: &inference.Request{}, Replica: &replica, Model: "m", Body: []byte(body), Doc: &scan.Doc{}}
	shape, read, decode := openai.Shape(), openai.ReadRequest, openai.Decode
	switch in {
	case inference.Anthropic:
		shape, read, decode = anthropic.Shape(), anthropic.ReadRequest, anthropic.Decode
	case inference.Completions:
		shape, read, decode = completions.Shape(), completions.ReadRequest, completions.Decode
	}
	if err := c.Doc.Scan(c.Body, shape); err != nil {
		t.Fatal(err)
	}
	if err := read(c.Doc, c.Request); err != nil {
		t.Fatal(err)
	}
	c.Conversation = func() (*inference.Conversation, []string, error) { return decode(c.Doc) }
	s, err := e.Open(t.Context(), c)
	if err != nil {
		return "", nil, err
	}
	defer s.Close()
	dropped = s.Dropped()
	for {
		chunk, err := s.Next(time.Now().Add(10 * time.Second))
		if err != nil || chunk.Last {
			return sent, dropped, err
		}
	}
}

// TestSeveralAnswers: fewer than were asked for is less than an answer, and more are
// another one, whether they come whole or as a stream.
func TestSeveralAnswers(t *testing.T) {
	whole := func(n int) string {
		var choices []string
		for i := range n {
			choices = append(choices, `{"index":`+strconv.Itoa(i)+`,"text":"a","message":{"role":"assistant","content":"a"},"finish_reason":"stop"}`)
		}
		return `{"id":"1","choices":[` + strings.Join(choices, ",") + `]}`
	}
	stream := func(n int) (events string) {
		for i := range n {
			events += `data: {"id":"1","choices":[{"index":` + strconv.Itoa(i) + `,"text":"a","delta":{"content":"a"},"finish_reason":"stop"}]}` + "\n\n"
		}
		return events + "data: [DONE]\n\n"
	}
	for _, tt := range []struct {
		in      inference.Dialect
		ask     string
		asked   int
		come    int
		kind    fault.Kind
		correct bool
	}{
		{inference.OpenAI, `"messages":[{"role":"user","content":"hi"}]`, 1, 1, 0, true},
		{inference.OpenAI, `"messages":[{"role":"user","content":"hi"}],"n":3`, 3, 3, 0, true},
		{inference.OpenAI, `"messages":[{"role":"user","content":"hi"}],"n":3`, 3, 1, fault.Incomplete, false},
		{inference.OpenAI, `"messages":[{"role":"user","content":"hi"}],"n":2`, 2, 3, fault.Mismatch, false},
		{inference.OpenAI, `"messages":[{"role":"user","content":"hi"}]`, 1, 2, fault.Mismatch, false},
		{inference.Completions, `"prompt":"hi","n":2`, 2, 2, 0, true},
		{inference.Completions, `"prompt":["a","b"],"n":2`, 4, 4, 0, true},
		{inference.Completions, `"prompt":["a","b"],"n":2`, 4, 2, fault.Incomplete, false},
		{inference.Completions, `"prompt":["a","b"]`, 2, 3, fault.Mismatch, false},
	} {
		p := engine.Chat()
		if tt.in == inference.Completions {
			p = engine.Completions()
		}
		for media, answer := range map[string]string{"application/json": whole(tt.come), "text/event-stream": stream(tt.come)} {
			body := `{"model":"m",` + tt.ask + `}`
			if media != "application/json" {
				body = `{"model":"m",` + tt.ask + `,"stream":true}`
			}
			_, _, err := chat(t, p, tt.in, body, answer, media)
			f, ok := errors.AsType[*fault.Error](err)
			if tt.correct != (err == nil) || !tt.correct && (!ok || f.Kind != tt.kind) {
				t.Errorf("%s, %s: %d came: %v", body, media, tt.come, err)
			}
		}
	}
}

// TestNothingToTell: where the last turn holds nothing that an engine's dialect has a
// place for, the caller is told before anything is sent.
func TestNothingToTell(t *testing.T) {
	answered := `{"type":"message","role":"assistant","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}`
	sound := `{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}`
	for _, tt := range []struct{ name, messages, param string }{
		{"sound alone", `{"role":"user","content":[` + sound + `]}`, "content.input_audio"},
		{"sound, and a question", `{"role":"user","content":[` + sound + `,{"type":"text","text":"what is it?"}]}`, ""},
		{"sound, long ago", `{"role":"user","content":[` + sound + `]},{"role":"assistant","content":"a"},{"role":"user","content":"b"}`, ""},
		{"a picture", `{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}}]}`, ""},
		{"an empty text", `{"role":"user","content":""}`, ""},
	} {
		_, _, err := chat(t, engine.Messages(), inference.OpenAI, `{"model":"m","messages":[`+tt.messages+`]}`, answered, "application/json")
		f, ok := errors.AsType[*fault.Error](err)
		switch {
		case tt.param == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.param != "" && (!ok || f.Kind != fault.Unsupported || f.Param != tt.param):
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestSystemAlone: a dialect that wants a turn gets what the system says as one, and the
// caller is told.
func TestSystemAlone(t *testing.T) {
	answered := `{"type":"message","role":"assistant","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}`
	sent, dropped, err := chat(t, engine.Messages(), inference.OpenAI, `{"model":"m","max_tokens":9,"messages":[{"role":"system","content":"say hi"}]}`, answered, "application/json")
	if err != nil || !strings.Contains(sent, `"messages":[{"role":"user","content":"say hi"}]`) || strings.Contains(sent, `"system"`) {
		t.Errorf("%s, %v", sent, err)
	}
	if !slices.Equal(dropped, []string{"messages.role"}) {
		t.Errorf("dropped %q", dropped)
	}
}
