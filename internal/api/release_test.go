package api

import (
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/gateway"
	"headworks/internal/inference"
	"headworks/internal/wire"
)

type mute struct{}

func (mute) Delta(dst []byte, _ inference.Delta) []byte       { return dst }
func (mute) End(dst []byte) []byte                            { return dst }
func (mute) Fail(dst []byte, _ *fault.Error, _ string) []byte { return dst }
func (mute) KeepAlive(dst []byte) []byte                      { return append(dst, ": alive\n\n"...) }

// The memory of a request is given back with the first content, also where the
// status left long before it.
func TestReleaseWithContent(t *testing.T) {
	kept := make(chan [2]bool, 1)
	s := wire.NewServer(func(x *wire.Exchange) {
		k := newCall()
		k.x, k.d, k.writer = x, &Dialect{}, mute{}
		k.req.Stream = true
		h := &gateway.Head{}
		if err := k.Open(h); err != nil {
			t.Error(err)
		}
		_, opened := x.Header("x-mark")
		if err := k.Send(h, &engine.Chunk{Raw: []byte("data: {}\n\n")}); err != nil {
			t.Error(err)
		}
		_, sent := x.Header("x-mark")
		if err := k.End(h, &engine.Chunk{Last: true}, nil); err != nil {
			t.Error(err)
		}
		kept <- [2]bool{opened, sent}
	}, wire.Limits{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(ln) })
	t.Cleanup(func() { s.Close(); serving.Wait() })
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+ln.Addr().String()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Mark", "here")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || len(b) == 0 {
		t.Errorf("%q, %v", b, err)
	}
	if got := <-kept; got != [2]bool{true, false} {
		t.Errorf("the request is there after the status, and after content: %v", got)
	}
}
