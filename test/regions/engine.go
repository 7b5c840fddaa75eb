package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// An engine's pace: an answer begins after a while, and has some pieces.
const (
	toFirst = 150 * time.Millisecond
	toNext  = 20 * time.Millisecond
	pieces  = 20
)

// engine plays an engine of OpenAI's dialect until ctx ends.
func engine(ctx context.Context, addr string) error {
	s := &http.Server{Addr: addr, Handler: http.HandlerFunc(speak), ReadHeaderTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func speak(w http.ResponseWriter, r *http.Request) {
	var asked struct{ Stream bool }
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	time.Sleep(toFirst)
	if !asked.Stream {
		time.Sleep(pieces * toNext)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"all"},"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":20,"total_tokens":28}}`)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	say := func(event string) {
		_, _ = io.WriteString(w, "data: "+event+"\n\n") // fails only if nobody listens any more
		_ = http.NewResponseController(w).Flush()
	}
	for i := range pieces {
		say(fmt.Sprintf(`{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":" %d"},"finish_reason":null}]}`, i))
		time.Sleep(toNext)
	}
	say(`{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`)
	say("[DONE]")
}
