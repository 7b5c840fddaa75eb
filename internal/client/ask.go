package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"headworks/internal/wire"
)

// Row is one record, as far as a list shows it. Times are microseconds.
type Row struct {
	ID       string `json:"request_id"`
	Time     int64  `json:"ts"`
	Model    string `json:"model"`
	Upstream string `json:"upstream"`
	Replica  string `json:"replica"`
	Key      string `json:"key"`
	Attempts int64  `json:"attempts"`
	Left     string `json:"failover_from,omitempty"` // the replica that was left
	TTFT     *int64 `json:"ttft"`                    // nil: not measured
	TPOT     *int64 `json:"tpot"`
	Total    *int64 `json:"total"`
	Overhead *int64 `json:"overhead"`
	Input    int64  `json:"input"`
	Output   int64  `json:"output"`
	Cost     int64  `json:"cost"`
	End      string `json:"end"`
	Fault    string `json:"fault"`
	Status   int64  `json:"status"`
}

// Rows is a list of records, the one that ended last first.
type Rows struct {
	Requests []Row `json:"requests"`
}

// Requests lists the requests that ended last; an empty filter takes all.
func (a *Admin) Requests(ctx context.Context, limit int, model, upstream, fault, key, origin string) (Rows, error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	for name, v := range map[string]string{"model": model, "upstream": upstream, "fault": fault, "key": key, "origin": origin} {
		if v != "" {
			q.Set(name, v)
		}
	}
	return get[Rows](ctx, a, "GET", "/api/requests?"+q.Encode(), nil)
}

// Reply is an answer to one question.
type Reply struct {
	Answer    string     `json:"answer"`
	Model     string     `json:"model"`
	Upstream  string     `json:"upstream,omitempty"`
	RequestID string     `json:"request_id"`
	Finish    string     `json:"finish,omitempty"`
	Input     int        `json:"input_tokens"`
	Output    int        `json:"output_tokens"`
	TTFT      float64    `json:"ttft_ms"`
	Total     float64    `json:"total_ms"`
	Simulated bool       `json:"simulated"`
	Cache     string     `json:"cache,omitempty"` // what became of earlier answers, as x-headworks-cache has it
	Error     *ReplyFail `json:"error,omitempty"`
}

// ReplyFail is why there is no answer, or only part of one.
type ReplyFail struct {
	Status  int    `json:"status"`
	Type    string `json:"type"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (f *ReplyFail) Error() string { return f.Message }

// errCut is an answer without its end.
var errCut = errors.New("the answer was cut off")

// Message is a turn of a conversation.
type Message struct {
	Role    string `json:"role"` // system, user, assistant
	Content string `json:"content"`
}

// API is where an instance answers applications, and a key to ask with.
type API struct {
	BaseURL     string // as OpenAI's clients take it
	Certificate string // SHA-256 of the one it must show, in hex; empty for any that an authority vouches for
	Key         string
}

// Ask asks a model one question; see Converse.
func (a API) Ask(ctx context.Context, model, question string, say func(string)) (Reply, error) {
	return a.Converse(ctx, model, []Message{{"user", question}}, say)
}

// Converse asks a model for the next turn as any OpenAI client would, and hands each
// piece of the answer to say as it comes. A Reply with an Error is no answer.
func (a API) Converse(ctx context.Context, model string, messages []Message, say func(string)) (Reply, error) {
	began := time.Now()
	body, err := json.Marshal(map[string]any{
		"model": model, "stream": true, "stream_options": map[string]bool{"include_usage": true}, "messages": messages,
	})
	if err != nil {
		return Reply{}, err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", a.BaseURL+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return Reply{}, err
	}
	req.Header.Set("Authorization", "Bearer "+a.Key)
	req.Header.Set("Content-Type", "application/json")
	web, err := to(a.BaseURL, a.Certificate)
	if err != nil {
		return Reply{}, err
	}
	resp, err := web.Do(req)
	if err != nil {
		return Reply{}, fmt.Errorf("%w at %s: %w", ErrAbsent, a.BaseURL, err)
	}
	defer resp.Body.Close()
	r := Reply{
		Model: model, RequestID: resp.Header.Get("x-request-id"), Upstream: resp.Header.Get("x-headworks-upstream"),
		Simulated: resp.Header.Get("x-headworks-simulated") == "true", Cache: resp.Header.Get("x-headworks-cache"),
	}
	if resp.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			return r, err
		}
		var said event
		if json.Unmarshal(answer, &said) != nil || said.Error == nil {
			said.Error = &ReplyFail{Message: "the answer was " + resp.Status + ", which is no answer of Headworks"}
		}
		r.Error = said.Error
		r.Error.Status = resp.StatusCode
		return r, nil
	}
	err = r.read(resp.Body, began, say)
	r.Total = millis(began)
	return r, err
}

func millis(since time.Time) float64 { return float64(time.Since(since).Microseconds()) / 1e3 }

// event is one event of the stream, as far as Ask reads it.
type event struct {
	Choices []struct {
		Delta struct {
			Content string `json:"content"`
		} `json:"delta"`
		Finish string `json:"finish_reason"`
	} `json:"choices"`
	Usage *usage     `json:"usage"`
	Error *ReplyFail `json:"error"`
}

// usage is what an answer says it took, in tokens.
type usage struct {
	Input  int `json:"prompt_tokens"`
	Output int `json:"completion_tokens"`
}

func (r *Reply) read(body io.Reader, began time.Time, say func(string)) error {
	split := wire.NewSplitter(0)
	buf := make([]byte, 32<<10)
	for {
		n, err := body.Read(buf)
		split.Feed(buf[:n])
		for {
			e, err := split.Next()
			if err != nil {
				return err
			}
			if e == nil {
				break
			}
			switch {
			case e.Comment():
				continue
			case string(e.Data) == "[DONE]":
				if r.Finish == "" {
					return errCut
				}
				return nil
			}
			var said event
			if err := json.Unmarshal(e.Data, &said); err != nil {
				return fmt.Errorf("the answer is not in OpenAI's dialect: %w", err)
			}
			if said.Error != nil {
				r.Error = said.Error
				r.Error.Status = http.StatusOK
				return nil //nolint:nilerr // the reply holds the failure; err is of the read before it
			}
			r.take(&said, began, say)
		}
		if errors.Is(err, io.EOF) {
			return errCut
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errCut, err)
		}
	}
}

func (r *Reply) take(said *event, began time.Time, say func(string)) {
	if said.Usage != nil {
		r.Input, r.Output = said.Usage.Input, said.Usage.Output
	}
	for _, c := range said.Choices {
		if c.Finish != "" {
			r.Finish = c.Finish
		}
		if text := c.Delta.Content; text != "" {
			if r.Answer == "" {
				r.TTFT = millis(began)
			}
			r.Answer += text
			say(text)
		}
	}
}
