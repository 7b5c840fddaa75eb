package enginetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/fleet"
)

// testBroken has connections that never come to an answer. Over a fresh one a
// request is sent once: whether it was worked on nobody knows.
func testBroken(t *testing.T, k Kind) {
	t.Run("refused", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		u := &upstream{replica: fleet.Replica{ID: 3, URL: "http://" + ln.Addr().String()}}
		ln.Close()
		if u.engine, err = k.New([]fleet.Replica{u.replica}, []string{key}); err != nil {
			t.Fatal(err)
		}
		if _, err := u.do(t, u.call(k.own(), true)); fault.Of(err).Kind != fault.Connect {
			t.Errorf("error %v", err)
		}
		if n := u.engine.Connections(); n != 0 {
			t.Errorf("%d connections", n)
		}
	})
	for name, script := range map[string]func(*request) bool{
		"closed before the head": func(*request) bool { return false },
		"reset before the head":  func(r *request) bool { return r.reset() },
		"cut within the head":    func(r *request) bool { r.send("HTTP/1.1 200 OK\r\nContent-Ty"); return false },
		"cut after the head": func(r *request) bool {
			r.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n")
			return false
		},
		"cut within the body": func(r *request) bool {
			whole := k.good(r)
			r.send(whole[:len(whole)/2])
			return false
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := k.play(t, script)
			for i, stream := range []bool{true, false} {
				if _, f := u.fails(t, u.call(k.own(), stream)); f.Kind != fault.Interrupted {
					t.Errorf("stream %v: fault %v", stream, f)
				}
				if _, all := u.seen(); len(all) != i+1 {
					t.Errorf("%d requests for %d calls", len(all), i+1)
				}
			}
			if n := u.engine.Connections(); n != 0 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// testClosedUnderUs has a server that promises to keep the connection and closes
// it, as llama.cpp does after each stream: no call may suffer from that.
func testClosedUnderUs(t *testing.T, k Kind) {
	const calls = 40
	promising := func(r *request) string {
		return strings.Replace(k.good(r), "\r\n", "\r\nConnection: Keep-Alive\r\nKeep-Alive: timeout=5, max=100\r\n", 1)
	}
	for name, script := range map[string]func(*request) bool{
		"after each answer": func(r *request) bool { r.send(promising(r)); return false },
		"when the next request comes": func(r *request) bool {
			return r.nth == 0 && r.send(promising(r))
		},
		"by a reset when the next request comes": func(r *request) bool {
			if r.nth > 0 {
				return r.reset()
			}
			return r.send(promising(r))
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := k.play(t, script)
			for i := range calls {
				if _, err := u.do(t, u.call(k.own(), i%4 > 0)); err != nil {
					t.Fatalf("call %d: %v", i, err)
				}
			}
			if conns, all := u.seen(); conns > calls || len(all) > 2*calls {
				t.Errorf("%d connections and %d requests for %d calls", conns, len(all), calls)
			}
		})
	}
}

// testKept checks that a connection serves call after call.
func testKept(t *testing.T, k Kind) {
	for name, script := range map[string]func(*request) bool{
		"after an answer": func(r *request) bool { return r.send(k.good(r)) },
		"after a status":  func(r *request) bool { return r.send(answer(500, "text/plain", "SECRET")) },
	} {
		t.Run(name, func(t *testing.T) {
			u := k.play(t, script)
			for _, d := range k.callers() {
				for i := range 5 {
					if _, err := u.do(t, u.call(d, i > 0)); err != nil && name != "after a status" {
						t.Fatal(err)
					}
				}
			}
			if conns, _ := u.seen(); conns != 1 {
				t.Errorf("%d connections for 10 calls, one after the other", conns)
			}
		})
	}
	if !k.streams() || k.own().terminal == "" && !k.own().lines {
		return // the end is awaited anyway
	}
	t.Run("though the end comes after the terminal", func(t *testing.T) {
		// Most servers send the end of the chunked coding in a packet of its own.
		read := make(chan bool)
		u := k.play(t, func(r *request) bool {
			r.send(strings.TrimSuffix(k.good(r), chunksEnd))
			<-read
			return r.send(chunksEnd)
		})
		const calls = 10
		for range calls {
			s, err := u.engine.Open(t.Context(), u.call(k.own(), true))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := hear(s); err != nil {
				t.Fatal(err)
			}
			read <- true
			closed(t, s)
		}
		if conns, _ := u.seen(); conns == calls {
			t.Errorf("%d connections for %d calls, one after the other", conns, calls)
		}
	})
	t.Run("not where more came than was asked for", func(t *testing.T) {
		u := k.play(t, func(r *request) bool { return r.send(k.good(r) + answer(200, "application/json", `{"a":"foreign"}`)) })
		for range 3 {
			h, err := u.do(t, u.call(k.own(), true))
			if err != nil || strings.Contains(string(h.raw), "foreign") {
				t.Fatalf("%v, got %q", err, h.raw)
			}
		}
		if conns, _ := u.seen(); conns != 3 {
			t.Errorf("%d connections for 3 calls", conns)
		}
	})
}

// testSlotIsFree leaves at every stage of an answer: the upstream's connection
// ends at once, by whichever way.
func testSlotIsFree(t *testing.T, k Kind) {
	own := k.own()
	whole := answer(200, "application/json", load(own.answers[0].file))
	for name, tt := range map[string]struct {
		stream bool
		sent   string // before silence
		chunks bool   // whether any of it can be read
	}{
		"before the head":         {true, "", false},
		"before the head, whole":  {false, "", false},
		"after the head":          {true, own.head(), false},
		"within a stream":         {true, own.head() + chunked(own.open, own.word), true},
		"within an event":         {true, own.head() + chunked(own.open, own.word, own.word[:min(20, len(own.word))]), true},
		"within the body":         {false, whole[:len(whole)-20], false},
		"within an error's body":  {true, "HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\n{", false},
		"after the last, unended": {true, own.head() + chunked(own.open, own.word, own.finish, own.terminal), true},
	} {
		if tt.stream && !k.streams() {
			continue
		}
		for _, way := range []string{"canceled", "closed", "canceled while it is read"} {
			t.Run(name+" "+way, func(t *testing.T) {
				var once sync.Once
				sent, gone := make(chan bool), make(chan bool)
				u := k.play(t, func(r *request) bool {
					r.send(tt.sent)
					once.Do(func() { close(sent) })
					r.untilGone()
					close(gone)
					return false
				})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				s, err := u.engine.Open(ctx, u.call(own, tt.stream))
				if err != nil {
					t.Fatal(err)
				}
				wait(t, sent, "the request does not come")
				if tt.chunks {
					if _, err := s.Next(time.Now().Add(patience)); err != nil {
						t.Fatal(err)
					}
				}
				switch way {
				case "canceled":
					cancel()
					wait(t, gone, "the connection stays after cancel")
				case "canceled while it is read":
					if strings.HasPrefix(name, "after the last") {
						break
					}
					go cancel()
					for {
						c, err := s.Next(time.Time{})
						if errors.Is(err, engine.ErrQuiet) || c.Last {
							t.Errorf("canceled, then came %+v, %v", c, err)
						}
						if err != nil {
							break
						}
					}
				}
				closed(t, s)
				wait(t, gone, "the connection stays after Close")
				if n := u.engine.Connections(); n != 0 {
					t.Errorf("%d connections", n)
				}
			})
		}
	}
}

func wait(t *testing.T, done <-chan bool, otherwise string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal(fmt.Sprint(otherwise, ": not within ", patience))
	}
}
