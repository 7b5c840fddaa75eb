package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Call is what became of one request, as its caller saw it.
type Call struct {
	At       time.Time // when it was first sent
	Began    bool      // some of the answer came, of the last try
	Whole    bool
	Said     bool   // it is not whole, and that was said
	Tries    int    // of the caller
	Attempts int    // of the gateway, in the last try
	Region   string // that answered
	Fault    string // why there was no answer
	Took     time.Duration
}

// patience is how long a caller who knows the one name waits for the first byte, and
// tries how often he asks in all, as vendors' clients do by default. Together they are
// longer than it takes until the name leads elsewhere.
const (
	patience = 5 * time.Second
	tries    = 3
)

// caller asks a gateway, or whichever cell a name leads to.
type caller struct {
	url      string
	web      *http.Client
	patience time.Duration
	tries    int
}

// callers asks at a rate until ctx ends, and then writes what became of each request.
func callers(ctx context.Context, out io.Writer) error {
	rate, err := strconv.ParseFloat(os.Getenv("REGIONS_RATE"), 64)
	if err != nil {
		return err
	}
	c := &caller{url: os.Getenv("REGIONS_URL"), tries: 1}
	transport := &http.Transport{MaxIdleConnsPerHost: 1024, MaxIdleConns: 1024}
	if servers := os.Getenv("REGIONS_DNS"); servers != "" {
		r := &resolver{servers: strings.Split(servers, ",")}
		c.patience, c.tries = patience, tries
		transport.DialContext = r.dial
		transport.IdleConnTimeout = 2 * time.Second // or it would not hear that the name leads elsewhere
	}
	c.web = &http.Client{Transport: transport}
	var (
		mu      sync.Mutex
		calls   []Call
		running sync.WaitGroup
	)
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			running.Wait()
			return json.NewEncoder(out).Encode(calls)
		case <-tick.C:
		}
		running.Go(func() {
			call := c.call(n%2 == 0)
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, call)
		})
	}
}

// call sends a request, again where the caller does that.
func (c *caller) call(stream bool) Call {
	call := Call{At: time.Now()}
	for call.Tries < c.tries && !call.Began {
		call.Tries++
		call.Fault = ""
		if err := c.try(&call, stream); err != nil {
			call.Fault = err.Error()
		}
	}
	call.Took = time.Since(call.At)
	return call
}

var errSlow = errors.New("no first byte in time")

func (c *caller) try(call *Call, stream bool) error {
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	if c.patience > 0 {
		late := time.AfterFunc(c.patience, func() { stop(errSlow) })
		defer late.Stop()
		return c.send(ctx, call, stream, func() { late.Stop() })
	}
	return c.send(ctx, call, stream, func() {})
}

func (c *caller) send(ctx context.Context, call *Call, stream bool, began func()) error {
	body := `{"model":"m","stream":` + strconv.FormatBool(stream) + `,"messages":[{"role":"user","content":"hello"}]}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+callersKey)
	resp, err := c.web.Do(req)
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	defer resp.Body.Close()
	began()
	call.Attempts, _ = strconv.Atoi(resp.Header.Get("X-Headworks-Attempts"))
	call.Region = resp.Header.Get("X-Headworks-Region")
	got, err := io.ReadAll(resp.Body)
	switch {
	case resp.StatusCode != http.StatusOK:
		return errors.New(resp.Status + " " + string(bytes.TrimSpace(got)))
	case !stream:
		call.Began, call.Whole = true, err == nil && json.Valid(got)
	default:
		call.Began = len(got) > 0
		call.Whole = err == nil && bytes.HasSuffix(got, []byte("data: [DONE]\n\n"))
	}
	call.Said = !call.Whole && (err != nil || bytes.Contains(got, []byte(`"error"`)))
	return nil
}

// resolver finds a name as a machine's does: it asks servers one after the other and
// keeps an answer for as long as that holds.
type resolver struct {
	servers []string

	mu    sync.Mutex
	addr  string
	until time.Time
}

func (r *resolver) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	at, err := r.lookUp(ctx, name)
	if err != nil {
		return nil, err
	}
	return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(at, port))
}

func (r *resolver) lookUp(ctx context.Context, name string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().Before(r.until) {
		return r.addr, nil
	}
	client := &dns.Client{Timeout: time.Second}
	for _, server := range r.servers {
		a, _, err := client.ExchangeContext(ctx, new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA), net.JoinHostPort(server, "53"))
		if err != nil || len(a.Answer) == 0 {
			continue
		}
		if found, ok := a.Answer[0].(*dns.A); ok {
			r.addr, r.until = found.A.String(), time.Now().Add(time.Duration(found.Hdr.Ttl)*time.Second)
			return r.addr, nil
		}
	}
	return "", errors.New("the name is not found")
}
