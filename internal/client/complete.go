package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"headworks/internal/eval"
)

// maxAnswer bounds an answer that is read whole.
const maxAnswer = 16 << 20

// Asker asks many questions, each for a whole answer, over connections that stay.
type Asker struct {
	Pinned bool // targets are upstream/model, and no other upstream may answer
	Anew   bool // no earlier answer stands in, and none is kept

	api API
	web *http.Client
}

var _ eval.Asker = (*Asker)(nil)

// NewAsker returns an Asker that keeps so many connections.
func NewAsker(a API, connections int) (*Asker, error) {
	web, err := to(a.BaseURL, a.Certificate)
	if err != nil {
		return nil, err
	}
	if t, ok := web.Transport.(*http.Transport); ok {
		t.DisableKeepAlives, t.MaxIdleConnsPerHost = false, connections
	}
	return &Asker{api: a, web: web}, nil
}

// Close lets go of the connections.
func (a *Asker) Close() { a.web.CloseIdleConnections() }

// completion is a whole answer, as far as Ask reads it.
type completion struct {
	Choices []struct {
		Message struct {
			Content string `json:"content"`
		} `json:"message"`
		Finish string `json:"finish_reason"`
	} `json:"choices"`
	Usage *usage     `json:"usage"`
	Error *ReplyFail `json:"error"`
}

// Ask implements eval.Asker as any OpenAI client would.
func (a *Asker) Ask(ctx context.Context, target string, messages []eval.Message, fields map[string]any) (eval.Answer, error) {
	said := map[string]any{}
	maps.Copy(said, fields)
	said["model"], said["messages"] = target, messages
	body, err := json.Marshal(said)
	if err != nil {
		return eval.Answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", strings.TrimRight(a.api.BaseURL, "/")+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return eval.Answer{}, err
	}
	if a.api.Key != "" {
		req.Header.Set("Authorization", "Bearer "+a.api.Key)
	}
	req.Header.Set("Content-Type", "application/json")
	if a.Anew {
		req.Header.Set("Cache-Control", "no-store")
	}
	began := time.Now()
	resp, err := a.web.Do(req)
	if err != nil {
		return eval.Answer{}, &eval.Busy{Words: "no answer: " + unaddressed(err)}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return eval.Answer{}, &eval.Busy{Words: "the answer was cut off"}
	}
	took := time.Since(began)
	var c completion
	bad := json.Unmarshal(b, &c)
	if resp.StatusCode != http.StatusOK || bad == nil && c.Error != nil {
		return eval.Answer{}, refusal(resp, &c)
	}
	if bad != nil || len(c.Choices) == 0 {
		return eval.Answer{}, errors.New("the answer is not in OpenAI's dialect")
	}
	answer := eval.Answer{
		Text: c.Choices[0].Message.Content, Finish: c.Choices[0].Finish, Took: took,
		Upstream: resp.Header.Get("x-headworks-upstream"), Simulated: resp.Header.Get("x-headworks-simulated") == "true",
		Request: resp.Header.Get("x-request-id"),
	}
	if c.Usage != nil {
		answer.Input, answer.Output = c.Usage.Input, c.Usage.Output
	}
	if usd, err := strconv.ParseFloat(resp.Header.Get("x-headworks-cost"), 64); err == nil {
		answer.Cost, answer.Priced = int64(usd*1e6+0.5), true
	}
	if a.Pinned && !strings.HasPrefix(target, answer.Upstream+"/") {
		return eval.Answer{}, fmt.Errorf("another upstream answered: %s", answer.Upstream)
	}
	return answer, nil
}

// unaddressed returns an error's words without the URL, so that many of them are one.
func unaddressed(err error) string {
	words := err.Error()
	if at := strings.LastIndex(words, ": "); at >= 0 {
		words = words[at+2:]
	}
	return words
}

// refusal returns why there is no answer, and whether to ask again.
func refusal(resp *http.Response, c *completion) error {
	words := resp.Status
	if c.Error != nil && c.Error.Message != "" {
		words += ": " + c.Error.Message
	}
	again := resp.Header.Get("x-should-retry") == "true"
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, 529:
		again = resp.Header.Get("x-should-retry") != "false"
	}
	if !again {
		return errors.New(words)
	}
	busy := &eval.Busy{Words: words}
	if ms, err := strconv.ParseFloat(resp.Header.Get("retry-after-ms"), 64); err == nil {
		busy.After = time.Duration(ms * float64(time.Millisecond))
	} else if s, err := strconv.ParseFloat(resp.Header.Get("retry-after"), 64); err == nil {
		busy.After = time.Duration(s * float64(time.Second))
	}
	return busy
}
