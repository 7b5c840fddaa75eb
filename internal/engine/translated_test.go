package engine_test

import (
	"io"
	"net/http"
	"net/http/httptest"
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
