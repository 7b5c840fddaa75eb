package sdk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	anthropicopt "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	openaiopt "github.com/openai/openai-go/v3/option"
)

// A configuration is replaced under load without a failed request, and one with a
// problem is not taken over.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	old, next := lab.plays("old", streams(chatStream)), lab.plays("next", streams(chatStream))
	config := func(u *upstream, more string) string {
		return "upstreams: {lab: {kind: openai, key: " + lent + ", urls: [\"" + u.url + "\"]}}\n" +
			"models: {assistant: {targets: [{upstream: lab, model: engine-1}]}" + more + "}\n"
	}
	g := serve(t, config(old, ""))

	ctx, stop := context.WithCancel(within(t))
	defer stop()
	var clients sync.WaitGroup
	var answered atomic.Int64
	for range 4 {
		clients.Go(func() {
			client := g.openai()
			for ctx.Err() == nil {
				stream := client.Chat.Completions.NewStreaming(within(t), hello("assistant"))
				var sum openai.ChatCompletionAccumulator
				for stream.Next() {
					sum.AddChunk(stream.Current())
				}
				if err := stream.Err(); err != nil || sum.Choices[0].Message.Content != helloWorld {
					t.Errorf("after %d answers: %v", answered.Load(), err)
					return
				}
				answered.Add(1)
			}
		})
	}
	// lists tells when a generation is in use: each has a model of its own.
	lists := func(name string) bool { return strings.Contains(strings.Join(openaiModels(t, g.openai()), " "), name) }
	for n := range 8 {
		u := []*upstream{next, old}[n%2]
		name := fmt.Sprintf("generation-%d", n)
		g.write(t, config(u, ", "+name+": {targets: [{upstream: lab, model: engine-1}]}"))
		g.signal(t, syscall.SIGHUP)
		await(t, name, func() bool { return lists(name) })
		before, served := len(u.all()), answered.Load()
		await(t, "requests on the new upstream", func() bool { return len(u.all()) > before && answered.Load() > served })
	}
	g.write(t, "upstreams: {lab: {kind: opneai}}\n")
	g.signal(t, syscall.SIGHUP)
	await(t, "the refusal in the log", func() bool { return strings.Contains(g.log.String(), "did you mean") })
	served := answered.Load()
	await(t, "requests after the refusal", func() bool { return answered.Load() > served+8 })
	if !lists("generation-7") {
		t.Error("the last good configuration is not in use any more")
	}
	stop()
	clients.Wait()
}

// SIGTERM: not ready, but accepting for a while; then nobody new, while a stream
// that runs comes to its end.
func TestDrain(t *testing.T) {
	t.Parallel()
	free := make(chan struct{})
	lab := newLab(t)
	up := lab.plays("slow", streams(chatStream[:2], holds(free), more(chatStream[2:]...)))
	quick := lab.plays("quick", says(chatAnswer))
	g := serve(t, `
drain_delay: 1s
upstreams:
  slow: {kind: openai, key: `+lent+`, urls: ["`+up.url+`"]}
  quick: {kind: openai, key: `+lent+`, urls: ["`+quick.url+`"]}`)
	client := g.openai()
	stream := client.Chat.Completions.NewStreaming(within(t), hello("slow/engine-1"))
	if !stream.Next() {
		t.Fatal(stream.Err())
	}
	if s := status(t, g, "/readyz"); s != 200 {
		t.Errorf("ready: %d", s)
	}
	g.signal(t, syscall.SIGTERM)
	await(t, "not ready", func() bool { return status(t, g, "/readyz") == 503 })
	if s := status(t, g, "/livez"); s != 200 {
		t.Errorf("live: %d", s)
	}
	if _, err := client.Chat.Completions.New(within(t), hello("quick/engine-1")); err != nil {
		t.Errorf("while it still accepts: %v", err)
	}
	address := strings.TrimPrefix(g.url, "http://")
	await(t, "nobody new", func() bool {
		nc, err := net.DialTimeout("tcp", address, patience)
		if err != nil {
			return errors.Is(err, syscall.ECONNREFUSED)
		}
		nc.Close()
		return false
	})
	if _, err := client.Chat.Completions.New(within(t), hello("quick/engine-1")); err == nil {
		t.Error("a new request was answered after the end of accepting")
	}
	close(free)
	var sum openai.ChatCompletionAccumulator
	for stream.Next() {
		sum.AddChunk(stream.Current())
	}
	if err := stream.Err(); err != nil || sum.Choices[0].FinishReason != "stop" {
		t.Errorf("the running stream: %v", err)
	}
	if code := g.end(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// status returns that of a page, on a connection of its own; 0 if there is none.
func status(t *testing.T, g *gateway, path string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(within(t), "GET", g.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

// What does not end in time ends with an honest error, in both dialects, and the
// upstreams are free.
func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	chatUp := lab.plays("chat", streams(chatStream[:2], stalls))
	messagesUp := lab.plays("claude", streams(messagesStream[:3], stalls))
	held := lab.plays("held", stalls)
	g := serve(t, `
drain_timeout: 300ms
upstreams:
  chat: {kind: openai, key: `+lent+`, urls: ["`+chatUp.url+`"]}
  claude: {kind: anthropic, key: `+lent+`, urls: ["`+messagesUp.url+`"]}
  held: {kind: openai, key: `+lent+`, urls: ["`+held.url+`"]}`)

	openaiClient, anthropicClient := g.openai(), g.anthropic()
	one := openaiClient.Chat.Completions.NewStreaming(within(t), hello("chat/engine-1"))
	for text := ""; text == ""; text = one.Current().Choices[0].Delta.Content {
		if !one.Next() {
			t.Fatal(one.Err())
		}
	}
	two := anthropicClient.Messages.NewStreaming(within(t), hi("claude/engine-1"))
	for text := ""; text == ""; text = two.Current().Delta.Text {
		if !two.Next() {
			t.Fatal(two.Err())
		}
	}
	// Before content there is still an HTTP status.
	refused := make(chan told, 1)
	go func() {
		defer close(refused) // also where the client got something else
		refused <- g.fails(t, hello("held/engine-1"), openaiopt.WithMaxRetries(0))
	}()
	held.first(t)

	g.signal(t, syscall.SIGTERM)
	for one.Next() {
		t.Errorf("after the first content: %s", one.Current().RawJSON())
	}
	if code, status := chatError(one.Err()); code != "server_draining" || status != 0 {
		t.Errorf("OpenAI's client sees %s, %d: %v", code, status, one.Err())
	}
	for two.Next() {
		t.Errorf("after the first content: %s", two.Current().RawJSON())
	}
	if kind, status := messagesError(two.Err()); kind != "overloaded_error" || status != 0 {
		t.Errorf("Anthropic's client sees %s, %d: %v", kind, status, two.Err())
	}
	before := <-refused
	before.check(t, told{Status: 503, Type: "server_error", Code: "server_draining"})
	if again := before.Header.Get("x-should-retry"); again != "true" {
		t.Errorf("x-should-retry: %q", again)
	}
	for _, u := range []*upstream{chatUp, messagesUp, held} {
		u.first(t).left(t)
	}
	if code := g.end(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A key that is pinned in the file comes and goes with it.
func TestPinnedKeys(t *testing.T) {
	t.Parallel()
	up := play(t, says(chatAnswer))
	config := func(keys string) string {
		return "upstreams: {lab: {kind: openai, key: " + lent + ", urls: [\"" + up.url + "\"]}}\nkeys: [" + keys + "]\n"
	}
	const other = "sk-other-0123456789abcdef"
	first, second := "{name: a, secret: "+secret+"}", "{name: b, secret: "+other+"}"
	g := serve(t, config(first))
	may := func(key string) bool {
		client := g.openai(openaiopt.WithAPIKey(key))
		_, err := client.Chat.Completions.New(within(t), hello("lab/engine-1"))
		if e, ok := errors.AsType[*openai.Error](err); err != nil && (!ok || e.StatusCode != 401) {
			t.Fatal(err)
		}
		return err == nil
	}
	if !may(secret) || may(other) {
		t.Errorf("at first: %t, %t", may(secret), may(other))
	}
	g.write(t, config(second))
	g.signal(t, syscall.SIGHUP)
	await(t, "the other key", func() bool { return may(other) })
	if may(secret) {
		t.Error("a key that left the file still works")
	}
	client := g.anthropic(anthropicopt.WithAPIKey(other))
	if got := anthropicModels(t, client); len(got) != 0 {
		t.Errorf("models %q", got)
	}
}
