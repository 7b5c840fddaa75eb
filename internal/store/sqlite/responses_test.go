package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func response(key string, n, previous int) *Response {
	r := &Response{
		Key: key, ID: fmt.Sprint("resp_", n), Created: noon.Add(time.Duration(n) * time.Minute),
		Input: fmt.Appendf(nil, `{"n":%d}`, n), Answer: []byte(`{"output":[]}`), Items: []string{fmt.Sprint("msg_", n)},
	}
	if previous > 0 {
		r.Previous = fmt.Sprint("resp_", previous)
	}
	return r
}

func keep(t *testing.T, s *Store, all ...*Response) {
	t.Helper()
	for _, r := range all {
		if err := s.KeepResponse(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

func ids(chain []*Response) string {
	var all []string
	for _, r := range chain {
		all = append(all, strings.TrimPrefix(r.ID, "resp_"))
	}
	return strings.Join(all, " ")
}

// A response comes back as it was, to its own key alone, over a restart too.
func TestResponses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path)
	want := response("alice", 1, 0)
	empty := &Response{Key: "alice", ID: "resp_2", Created: noon, Previous: "resp_1"}
	keep(t, s, want, response("bob", 1, 0), empty)
	s.Close()
	s = open(t, path)
	got, err := s.LoadResponse(t.Context(), "alice", "resp_1")
	kept := *want
	kept.Items = nil
	if diff := cmp.Diff(&kept, got); diff != "" || err != nil {
		t.Errorf("%v, -want +got\n%s", err, diff)
	}
	if r, err := s.LoadItem(t.Context(), "alice", "msg_1"); err != nil || r.ID != "resp_1" {
		t.Errorf("%+v, %v", r, err)
	}
	chain, err := s.LoadChain(t.Context(), "alice", "resp_2", 10, 1000)
	if err != nil || ids(chain) != "1 2" || len(chain[1].Input) != 0 {
		t.Errorf("%s, %v", ids(chain), err)
	}
	for name, err := range map[string]error{
		"load": second(s.LoadResponse(t.Context(), "eve", "resp_1")), "item": second(s.LoadItem(t.Context(), "eve", "msg_1")),
		"chain": second(s.LoadChain(t.Context(), "eve", "resp_1", 10, 1000)), "remove": s.RemoveResponse(t.Context(), "eve", "resp_1"),
		"unknown": second(s.LoadResponse(t.Context(), "alice", "resp_9")),
	} {
		if !errors.Is(err, ErrNoResponse) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestChains(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	keep(t, s, response("alice", 1, 0), response("alice", 2, 1), response("alice", 3, 2), response("alice", 4, 1))
	for _, tt := range []struct {
		id    string
		depth int
		most  int64
		want  string
		err   error
	}{
		{"resp_1", 1, 1000, "1", nil},
		{"resp_3", 3, 1000, "1 2 3", nil},
		{"resp_4", 10, 1000, "1 4", nil}, // another way on from the same response
		{"resp_3", 2, 1000, "", ErrLongChain},
		{"resp_3", 10, 59, "", ErrLongChain},
	} {
		chain, err := s.LoadChain(t.Context(), "alice", tt.id, tt.depth, tt.most)
		if ids(chain) != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %q, %v; want %q, %v", tt.id, ids(chain), err, tt.want, tt.err)
		}
	}
	if err := s.RemoveResponse(t.Context(), "alice", "resp_2"); err != nil {
		t.Fatal(err)
	}
	if err := second(s.LoadItem(t.Context(), "alice", "msg_2")); !errors.Is(err, ErrNoResponse) {
		t.Errorf("an item of a removed response: %v", err)
	}
	if _, err := s.LoadChain(t.Context(), "alice", "resp_3", 10, 1000); !errors.Is(err, ErrNoResponse) {
		t.Errorf("a chain that lacks a link: %v", err)
	}
	// What goes on from a response that is gone by then begins anew.
	keep(t, s, response("alice", 5, 2))
	if _, err := s.LoadResponse(t.Context(), "alice", "resp_5"); err != nil {
		t.Error(err)
	}
}

// A conversation goes as a whole, once it was not used for long enough, or when there
// is no room and it is the one that was not used for longest.
func TestPrune(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path)
	for n := range 3 * fewThreads {
		keep(t, s, response("bob", 1000+n, 0))
	}
	if n, _, err := s.PruneResponses(t.Context(), noon.Add(10000*time.Minute), 1<<40); n != 0 || err != nil {
		t.Errorf("%d are left, %v", n, err)
	}
	keep(t, s, response("alice", 1, 0), response("alice", 2, 0), response("alice", 3, 1), response("alice", 4, 0))
	each := int64(response("alice", 1, 0).size())
	for _, step := range []struct {
		before time.Time
		most   int64
		left   string
		n      int64
	}{
		{noon, 1 << 40, "1 2 3 4", 3},
		{noon.Add(3 * time.Minute), 1 << 40, "1 3 4", 2}, // 2 was used before, 1 is part of what 3 goes on with
		{noon, 3 * each, "1 3 4", 2},
		{noon, 3*each - 1, "4", 1},
		{noon, 0, "", 0},
	} {
		n, size, err := s.PruneResponses(t.Context(), step.before, step.most)
		var left []string
		for i := 1; i <= 4; i++ {
			if _, err := s.LoadResponse(t.Context(), "alice", fmt.Sprint("resp_", i)); err == nil {
				left = append(left, fmt.Sprint(i))
			}
		}
		if got := strings.Join(left, " "); err != nil || got != step.left || n != step.n || size != each*int64(len(left)) {
			t.Errorf("%v: left %q, %d with %d bytes, %v", step, got, n, size, err)
		}
	}
	// What was removed is not in the file any more.
	s.Close()
	b, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(b), `{"n":1}`) {
		t.Errorf("removed content is still in the file, %v", err)
	}
}

func TestResponsesTogether(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // who keeps for others must not fail with his own caller
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := range 5 {
				if err := s.KeepResponse(ctx, response(fmt.Sprint("key", i), 1+j, j)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i := range 20 {
		if chain, err := s.LoadChain(t.Context(), fmt.Sprint("key", i), "resp_5", 10, 1000); ids(chain) != "1 2 3 4 5" {
			t.Errorf("%q, %v", ids(chain), err)
		}
	}
}
