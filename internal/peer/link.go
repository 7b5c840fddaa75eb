package peer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"headworks/internal/wire"
)

// link is the way to one peer. A peer that is slow or gone holds nobody up: what it
// does not take is let go.
type link struct {
	of     *Exchange
	to     peer
	ctx    context.Context
	stop   context.CancelFunc
	queue  chan []byte
	client *http.Client

	mu     sync.Mutex
	status Link
}

// Link is how it stands with one peer.
type Link struct {
	Address string        `json:"address"`
	State   string        `json:"state"`           // one of the words below
	Why     string        `json:"why,omitempty"`   // of Down
	RTT     time.Duration `json:"rtt_ns,omitzero"` // of the last message, answered
	Sent    uint64        `json:"sent"`            // messages
	Lost    uint64        `json:"lost"`            // that were not taken
}

// The states of a link.
const (
	Trying = "trying" // nothing was answered yet
	Up     = "up"
	Down   = "down"
	Self   = "self" // the address is this process' own
)

const (
	queued   = 4           // messages that wait for a peer
	patience = time.Second // for one message
)

// rests returns how long a peer is left alone that failed so many times in a row.
func rests(failed int) time.Duration {
	return min(100*time.Millisecond<<min(failed, 8), 5*time.Second)
}

func newLink(ctx context.Context, x *Exchange, to peer) *link {
	l := &link{of: x, to: to, queue: make(chan []byte, queued), status: Link{Address: to.addr, State: Trying}}
	l.ctx, l.stop = context.WithCancel(ctx)
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			d, err := wire.NewDialer([]string{to.addr}, patience)
			if err != nil {
				return nil, err
			}
			return d.Dial(ctx, network, to.addr)
		},
		MaxIdleConns: 1, MaxConnsPerHost: 1, IdleConnTimeout: time.Minute,
		TLSHandshakeTimeout: patience, ResponseHeaderTimeout: patience, DisableCompression: true,
	}
	if x.options.TLS != nil {
		t.TLSClientConfig = x.options.TLS.Clone()
		t.TLSClientConfig.ServerName = to.host
	}
	l.client = &http.Client{
		Transport: t, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return l
}

// give hands the link a message, or lets it go where too many wait. It never blocks.
func (l *link) give(m []byte) {
	select {
	case l.queue <- m:
	default:
		l.note(func(s *Link) { s.Lost++ })
	}
}

func (l *link) note(f func(*Link)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.status)
}

func (l *link) run() {
	defer l.client.CloseIdleConnections()
	for failed := 0; ; {
		select {
		case <-l.ctx.Done():
			return
		case m := <-l.queue:
			if l.state() == Self {
				continue
			}
			if l.send(m) {
				failed = 0
				continue
			}
			failed++
		}
		rest := time.NewTimer(rests(failed))
		select {
		case <-l.ctx.Done():
		case <-rest.C:
		}
		rest.Stop()
	}
}

func (l *link) state() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status.State
}

// The answers to a message that mean something else than yes or no.
const (
	statusSelf  = http.StatusMisdirectedRequest
	statusClock = http.StatusConflict
)

// send reports whether the peer took a message.
func (l *link) send(m []byte) bool {
	began := time.Now()
	status, err := l.post(m)
	if l.ctx.Err() != nil {
		return false
	}
	state, why := Up, ""
	switch {
	case err != nil:
		state, why = Down, "it cannot be reached"
		if timeout(err) {
			why = "it did not answer in time"
		}
	case status == http.StatusNoContent:
	case status == statusSelf:
		state = Self
	case status == statusClock:
		state, why = Down, "its clock and ours are too far apart, or it has heard this before"
	case status == http.StatusUnauthorized:
		state, why = Down, "it does not know our secret or certificate"
	case status == http.StatusTooManyRequests:
		state, why = Down, "it listens to too many already"
	default:
		state, why = Down, "it does not understand us: is it of this version, and is the address that of peers.listen?"
	}
	var turned bool
	l.note(func(s *Link) {
		turned = s.State != state || s.Why != why
		s.State, s.Why = state, why
		if state == Up || state == Self {
			s.Sent++
			s.RTT = time.Since(began)
		} else {
			s.Lost++
		}
	})
	if turned {
		args := []any{"peer", l.to.addr, "state", state}
		if why != "" {
			args = append(args, "why", why)
		}
		if err != nil {
			args = append(args, "cause", err.Error())
		}
		level := slog.LevelInfo
		if state == Down {
			level = slog.LevelWarn
		}
		l.of.options.Log.Log(l.ctx, level, "a peer is "+state, args...)
	}
	return state == Up || state == Self
}

func timeout(err error) bool {
	var slow net.Error
	return errors.As(err, &slow) && slow.Timeout()
}

func (l *link) post(m []byte) (status int, err error) {
	scheme := "http://"
	if l.of.options.TLS != nil {
		scheme = "https://"
	}
	req, err := http.NewRequestWithContext(l.ctx, http.MethodPost, scheme+l.to.addr+Path, bytes.NewReader(m))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	if secret := l.of.rules.Load().Secret; secret != "" {
		proof := seal(secret, m)
		req.Header.Set("Authorization", proof)
		req.Header.Set(headField, head(secret, proof, time.Now()))
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 4096) // so that the connection is used again
	return resp.StatusCode, nil
}

// Links returns how it stands with each peer.
func (x *Exchange) Links() []Link {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := make([]Link, 0, len(x.links))
	for _, l := range x.links {
		l.mu.Lock()
		all = append(all, l.status)
		l.mu.Unlock()
	}
	return all
}
