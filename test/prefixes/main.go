// Command prefixes asks real engines prompts that begin alike, once scheduled by what
// their caches hold and once in turn, and tells which share of the prompts' tokens came
// from the caches and how long first tokens took.
//
//	llama-server -m model.gguf --port 7621 -c 16384 -np 4 &       # and so on: as many as there are
//	go build -o bin/headworks ./cmd/headworks
//	go run ./test/prefixes -headworks bin/headworks -kind llamacpp -urls http://127.0.0.1:7621,http://127.0.0.1:7622
//
// Every round has prompts of its own, so that no policy finds what another one left;
// rounds take turns in which policy comes first. What came from a cache is what the
// engine says: timings.prompt_n of llama.cpp, or usage.prompt_tokens_details.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// options are what a run is made of.
type options struct {
	Headworks, Kind, URLs                    string
	Groups, Requests, Words, Clients, Rounds int
	Patience                                 time.Duration
}

// client shares nothing with the program that it asks.
var client = &http.Client{}

// policies are compared in this order, and the other way round in every other round.
var policies = []string{"prefix", "round-robin"}

const key = "a-key-of-this-run-alone-0123"

func main() {
	var o options
	flag.StringVar(&o.Headworks, "headworks", "bin/headworks", "the program")
	flag.StringVar(&o.Kind, "kind", "llamacpp", "of the engines")
	flag.StringVar(&o.URLs, "urls", "", "of the engines, with commas between")
	flag.IntVar(&o.Groups, "groups", 6, "how many beginnings there are")
	flag.IntVar(&o.Requests, "requests", 36, "of a round")
	flag.IntVar(&o.Words, "words", 600, "that prompts of a group share")
	flag.IntVar(&o.Clients, "clients", 3, "that ask at once")
	flag.IntVar(&o.Rounds, "rounds", 2, "of each policy")
	flag.DurationVar(&o.Patience, "patience", 5*time.Minute, "for one answer")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) error {
	if o.URLs == "" || o.Groups < 1 || o.Requests < o.Groups || o.Words < 1 || o.Clients < 1 || o.Rounds < 1 {
		return errors.New("name the engines with -urls; all numbers are at least 1, and requests at least as many as groups")
	}
	base, stop, err := serve(ctx, o)
	if err != nil {
		return err
	}
	defer stop()
	totals := make([]tally, len(policies))
	for round := range o.Rounds {
		order := []int{0, 1}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, i := range order {
			t := ask(ctx, o, base, policies[i], uint64(round*len(policies)+i))
			fmt.Printf("%-12s round %d: %s\n", policies[i], round+1, t.text())
			totals[i].add(&t)
		}
	}
	fmt.Println()
	for i, t := range totals {
		fmt.Printf("%-12s %s\n", policies[i], t.text())
		if t.failed > 0 {
			err = errors.New("some requests failed, so the figures are not to be trusted")
		}
	}
	return err
}

// serve starts the program before the engines, with a model for each policy.
func serve(ctx context.Context, o *options) (base string, stop func(), err error) {
	dir, err := os.MkdirTemp("", "prefixes")
	if err != nil {
		return "", nil, err
	}
	listen, admin, err := ports()
	if err != nil {
		return "", nil, err
	}
	var c strings.Builder
	fmt.Fprintf(&c, "listen: %s\nadmin: {listen: %s}\ndata: %s\ndrain_delay: 0s\nkeys: [{name: test, secret: %s}]\nupstreams:\n", listen, admin, filepath.Join(dir, "data"), key)
	for _, p := range policies {
		fmt.Fprintf(&c, "  %s: {kind: %s, urls: [%s], schedule: %s}\n", p, o.Kind, strings.ReplaceAll(o.URLs, ",", ", "), p)
	}
	c.WriteString("models:\n")
	for _, p := range policies {
		fmt.Fprintf(&c, "  by-%s: {targets: [{upstream: %s, model: default}], timeouts: {first_token: %s, total: %s}}\n", p, p, o.Patience, 2*o.Patience)
	}
	file := filepath.Join(dir, "headworks.yaml")
	if err := os.WriteFile(file, []byte(c.String()), 0o600); err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, o.Headworks, "serve", "--config", file) //nolint:gosec // the program that the caller names
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}
	for range 100 {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listen+"/readyz", nil)
		if err != nil {
			break
		}
		if a, err := client.Do(r); err == nil {
			_ = a.Body.Close()
			if a.StatusCode == http.StatusOK {
				return "http://" + listen, stop, nil
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	stop()
	return "", nil, errors.New("the program does not become ready")
}

// ports returns two addresses of this machine that are free.
func ports() (a, b string, err error) {
	var l [2]net.Listener
	for i := range l {
		if l[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil { //nolint:noctx // of this machine
			return "", "", err
		}
		defer func() { _ = l[i].Close() }()
	}
	return l[0].Addr().String(), l[1].Addr().String(), nil
}

// tally is what a round came to.
type tally struct {
	asked, failed  int
	tokens, cached int
	first          time.Duration // sum
	began          time.Time
	took           time.Duration
}

func (t *tally) add(o *tally) {
	t.asked += o.asked
	t.failed += o.failed
	t.tokens += o.tokens
	t.cached += o.cached
	t.first += o.first
	t.took += o.took
}

func (t *tally) text() string {
	served := max(t.asked-t.failed, 1)
	return fmt.Sprintf("%d requests, %d failed, %d prompt tokens, %.1f %% from caches, mean TTFT %.3f s, %.1f s in all",
		t.asked, t.failed, t.tokens, 100*float64(t.cached)/float64(max(t.tokens, 1)), t.first.Seconds()/float64(served), t.took.Seconds())
}

// words are what prompts are made of.
var words = strings.Fields("the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which one you were her all she there would their we him been has when who will more no if out so said what up its about into than them can only other new some could time these two may then do first any my now such like our over man me even most made after also did many before must through back years where much your way well down should because each just those people")

// ask plays a round.
func ask(ctx context.Context, o *options, base, policy string, seed uint64) tally {
	src := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // prompts, no secrets
	begins := make([]string, o.Groups)
	for i := range begins {
		text := make([]string, o.Words)
		for k := range text {
			text[k] = words[src.IntN(len(words))]
		}
		begins[i] = strings.Join(text, " ")
	}
	order := make([]int, o.Requests)
	for i := range order {
		order[i] = i % o.Groups
	}
	src.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	t := tally{began: time.Now()}
	jobs := make(chan int)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range o.Clients {
		wg.Go(func() {
			for i := range jobs {
				first, tokens, cached, err := one(ctx, o, base, "by-"+policy, begins[order[i]], fmt.Sprintf("Question %d: go on.", i))
				mu.Lock()
				t.asked++
				if err != nil {
					t.failed++
					fmt.Fprintln(os.Stderr, err)
				} else {
					t.first += first
					t.tokens += tokens
					t.cached += cached
				}
				mu.Unlock()
			}
		})
	}
	for i := range order {
		jobs <- i
	}
	close(jobs)
	wg.Wait()
	t.took = time.Since(t.began)
	return t
}

// event is what is read of a chunk.
type event struct {
	Choices []struct {
		Delta struct {
			Content string `json:"content"`
		} `json:"delta"`
	} `json:"choices"`
	Usage *struct {
		Prompt  int `json:"prompt_tokens"`
		Details *struct {
			Cached int `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
	} `json:"usage"`
	Timings *struct {
		Read int `json:"prompt_n"`
	} `json:"timings"`
	Error any `json:"error"`
}

// one asks one prompt.
func one(ctx context.Context, o *options, base, model, begin, question string) (first time.Duration, tokens, cached int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*o.Patience)
	defer cancel()
	body, err := json.Marshal(map[string]any{
		"model": model, "stream": true, "max_tokens": 8, "stream_options": map[string]any{"include_usage": true},
		"messages": []map[string]string{{"role": "system", "content": begin}, {"role": "user", "content": question}},
	})
	if err != nil {
		return 0, 0, 0, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return 0, 0, 0, err
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	began := time.Now()
	a, err := client.Do(r)
	if err != nil {
		return 0, 0, 0, err
	}
	defer func() { _ = a.Body.Close() }()
	if a.StatusCode != http.StatusOK {
		return 0, 0, 0, fmt.Errorf("status %d", a.StatusCode)
	}
	read, done := -1, false
	lines := bufio.NewScanner(a.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			done = true
			continue
		}
		var e event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return 0, 0, 0, err
		}
		if e.Error != nil {
			return 0, 0, 0, errors.New("an error came in the stream")
		}
		for _, c := range e.Choices {
			if c.Delta.Content != "" && first == 0 {
				first = time.Since(began)
			}
		}
		if e.Timings != nil {
			read = e.Timings.Read
		}
		if u := e.Usage; u != nil {
			tokens = u.Prompt
			if u.Details != nil {
				cached = u.Details.Cached
			}
		}
	}
	switch {
	case lines.Err() != nil:
		return 0, 0, 0, lines.Err()
	case !done || first == 0 || tokens == 0:
		return 0, 0, 0, errors.New("the stream has no end, no content or no usage")
	case read >= 0:
		cached = max(tokens-read, 0)
	}
	return first, tokens, cached, nil
}
