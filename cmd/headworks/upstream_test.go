package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// upstream NAME [HOW=VALUE]... starts an engine that speaks OpenAI's dialect and sets
// the variable NAME to its URL. Its answer has eight words. How it fails:
//
//	status=N          answers with that status; after=N seconds says Retry-After
//	cut_after=N       ends a stream after N words, as if all were well
//	reset_after=N     breaks the connection after N words
//	malformed_after=N sends half an event after N words
//	error_after=N     sends an error event after N words, then [DONE]
//	no_done=1         finishes without [DONE]
//	done_after=N      sends [DONE] after N words, without a finish
//	token=N           a whole answer counts a token of the prompt for N bytes of the request
//	calls=N           answers N calls, and 500 from then on
//
// Of texts it makes vectors: how many bytes they have, and how many words.
//
// What it is asked for by GET, such as /metrics, is the file of that name in the
// script's folder.
func upstream(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: upstream NAME [HOW=VALUE]...")
	}
	how := map[string]int{}
	for _, a := range args[1:] {
		name, value, _ := strings.Cut(a, "=")
		n, err := strconv.Atoi(value)
		ts.Check(err)
		how[name] = n
	}
	var calls atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			http.ServeFile(w, r, ts.MkAbs(path.Base(r.URL.Path)))
			return
		}
		if most, ok := how["calls"]; ok && int(calls.Add(1)) > most {
			say(w, r, map[string]int{"status": http.StatusInternalServerError})
			return
		}
		if strings.HasSuffix(r.URL.Path, "/embeddings") {
			embed(w, r)
			return
		}
		say(w, r, how)
	}))
	ts.Defer(s.Close)
	ts.Setenv(args[0], s.URL)
	ts.Setenv(upstreams, ts.Getenv(upstreams)+" "+args[0])
}

// upstreams is the variable that lists what upstream has set, for start to hand on.
const upstreams = "UPSTREAMS"

func embed(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Input []string `json:"input"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		http.Error(w, "no texts", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{"object":"list","model":"m","data":[`)
	tokens := 0
	for i, text := range asked.Input {
		if i > 0 {
			fmt.Fprint(w, ",")
		}
		n := len(strings.Fields(text))
		tokens += n
		fmt.Fprintf(w, `{"object":"embedding","index":%d,"embedding":[%d,%d,0.5]}`, i, len(text), n)
	}
	fmt.Fprintf(w, `],"usage":{"prompt_tokens":%d,"total_tokens":%d}}`, tokens, tokens)
}

var words = strings.Fields("one two three four five six seven eight")

func say(w http.ResponseWriter, r *http.Request, how map[string]int) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if status := how["status"]; status != 0 {
		if after, ok := how["after"]; ok {
			w.Header().Set("Retry-After", strconv.Itoa(after))
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, `{"error":{"message":"no","type":"server_error","param":null,"code":null}}`)
		return
	}
	if !bytes.Contains(body, []byte(`"stream":true`)) {
		prompt := 3
		if n := how["token"]; n > 0 {
			prompt = len(body) / n
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":%d,"completion_tokens":8,"total_tokens":%d}}`, strings.Join(words, " "), prompt, prompt+8)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	event := func(data string) {
		fmt.Fprintf(w, "data: %s\n\n", data)
		w.(http.Flusher).Flush()
	}
	chunk := func(delta, finish string) {
		event(`{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + `}]}`)
	}
	chunk(`{"role":"assistant","content":""}`, "null")
	for i, word := range words {
		at := func(name string) bool { n, ok := how[name]; return ok && n == i }
		switch {
		case at("cut_after"):
			return
		case at("done_after"):
			event("[DONE]")
			return
		case at("reset_after"):
			time.Sleep(20 * time.Millisecond) // the words before it are on their way; nothing is judged by it
			panic(http.ErrAbortHandler)
		case at("malformed_after"):
			event(`{"id":"c1","choices":[{"index":0,"delta":{"content":"`)
			return
		case at("error_after"):
			event(`{"error":{"message":"the upstream's own words","type":"server_error","param":null,"code":null}}`)
			event("[DONE]")
			return
		}
		chunk(fmt.Sprintf(`{"content":%q}`, word+" "), "null")
	}
	chunk(`{}`, `"stop"`)
	event(`{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":8,"total_tokens":11}}`)
	if how["no_done"] == 0 {
		event("[DONE]")
	}
}
