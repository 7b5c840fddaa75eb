package fault

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestTable checks what must hold of every kind, so that a new one is thought
// through.
func TestTable(t *testing.T) {
	names := map[string]Kind{}
	for _, k := range Kinds() {
		i := k.Info()
		if other, taken := names[i.Name]; taken || i.Name == "" {
			t.Errorf("%d is called %q, as %d is", k, i.Name, other)
		}
		names[i.Name] = k
		if k.String() != i.Name {
			t.Errorf("%q calls itself %q", i.Name, k)
		}
		if i.Code == "" || i.Status < 400 || i.Status > 599 || i.Owner == Nobody || i.Owner.String() == "none" {
			t.Errorf("%v: %+v", k, i)
		}
		if (i.Owner == Caller) != (i.Status < 500) && k != UpstreamCapacity && k != NotCached {
			t.Errorf("%v: status %d, and the fault of the %v", k, i.Status, i.Owner)
		}
		// What tells nothing of a replica cannot put it out, and where an upstream
		// is at fault another may do better.
		upstream := i.Owner == Upstream || i.Owner == Network || k == UpstreamAuth || k == UpstreamForbidden
		if upstream != (i.Effect != NoEffect) && k != UpstreamTransient {
			t.Errorf("%v: the fault of the %v, with the effect %d", k, i.Owner, i.Effect)
		}
		if upstream && !i.Another {
			t.Errorf("%v: another replica may do better", k)
		}
		if i.InBand != "" && i.InBand == i.Code {
			t.Errorf("%v: the code in band says nothing more", k)
		}
	}
	if n := len(Kinds()); n != int(kinds)-1 || Kinds()[0] == None {
		t.Errorf("%d kinds", n)
	}
	if None.String() != "none" || None.Info().Status != 200 {
		t.Errorf("nothing failed: %+v", None.Info())
	}
	if got := Kind(250).Info(); got.Name != "internal" {
		t.Errorf("a kind of nowhere: %+v", got)
	}
}

// TestStatuses are what clients rely on, of the kinds that are told apart by it.
func TestStatuses(t *testing.T) {
	for k, want := range map[Kind]int{
		InvalidJSON: 400, Unauthenticated: 401, Forbidden: 403, ModelNotFound: 404, TooLarge: 413,
		RateLimited: 429, Quota: 429, ClientClosed: 499, Internal: 500,
		UpstreamAuth: 502, // never 401: the caller's key is fine
		Connect:      503, Overloaded: 503, Draining: 503, FirstTokenTimeout: 504,
	} {
		if got := New(k, "").HTTPStatus(); got != want {
			t.Errorf("%v: %d, want %d", k, got, want)
		}
	}
}

func TestCode(t *testing.T) {
	tests := map[string]struct {
		e      Error
		inBand bool
		status int
		code   string
	}{
		"of its kind":         {Error{Kind: Interrupted}, false, 502, "upstream_error"},
		"in band":             {Error{Kind: Interrupted}, true, 502, "upstream_stream_interrupted"},
		"in band, no other":   {Error{Kind: Malformed}, true, 502, "upstream_malformed"},
		"a rejection, passed": {Error{Kind: UpstreamRejected, Status: 422, Code: "bad_tool"}, false, 422, "bad_tool"},
		"and in band":         {Error{Kind: UpstreamRejected, Status: 422, Code: "bad_tool"}, true, 422, "bad_tool"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.e.HTTPStatus(); got != tt.status {
				t.Errorf("status %d, want %d", got, tt.status)
			}
			if got := tt.e.HTTPCode(tt.inBand); got != tt.code {
				t.Errorf("code %q, want %q", got, tt.code)
			}
		})
	}
}

func TestOf(t *testing.T) {
	if Of(nil) != nil {
		t.Error("nil is a failure")
	}
	e := New(Stalled, "words")
	if Of(e) != e || Of(fmt.Errorf("reading: %w", e)) != e {
		t.Error("a wrapped Error lost its kind")
	}
	f := Of(io.ErrUnexpectedEOF)
	if f.Kind != Internal || !errors.Is(f, io.ErrUnexpectedEOF) {
		t.Errorf("%+v", f)
	}
}

// TestCauseIsForTheOperator: the caller's words never have it, the log does.
func TestCauseIsForTheOperator(t *testing.T) {
	const secret = "10.0.0.7:8000 with sk-123"
	for _, e := range []*Error{Wrap(Connect, "the upstream cannot be reached", errors.New(secret)), Of(errors.New(secret))} {
		if strings.Contains(e.Words, secret) || e.Words == "" {
			t.Errorf("the caller reads %q", e.Words)
		}
		if got := e.Error(); !strings.Contains(got, secret) || !strings.Contains(got, e.Words) || !strings.HasPrefix(got, e.Kind.String()) {
			t.Errorf("the operator reads %q", got)
		}
	}
	if got := New(Quota, "the budget is spent").Error(); got != "quota: the budget is spent" {
		t.Errorf("%q", got)
	}
}
