package admin

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"headworks/internal/api"
	"headworks/internal/fault"
)

// ring is a store of keys that fails.
type ring struct{ err error }

func (r ring) Create(context.Context, NewKey) (CreatedKey, error) { return CreatedKey{}, r.err }
func (r ring) List(context.Context) ([]Key, error)                { return nil, r.err }
func (r ring) Revoke(context.Context, string) (Key, error)        { return Key{}, r.err }

// What Headworks failed to do for an operator is in the log with its cause, and the
// answer does not tell it; what the operator did wrong is not in the log.
func TestFailuresAreLogged(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		logged bool
	}{
		{errors.New("the disk is full"), 500, true},
		{fault.New(fault.NotFound, "no such key"), 404, false},
		{context.Canceled, 499, false},
	} {
		var log bytes.Buffer
		s := &Surface{
			Health: &api.Health{}, Keys: ring{tt.err}, Metrics: http.NotFoundHandler(),
			Token: func(string) bool { return true }, Log: slog.New(slog.NewTextHandler(&log, nil)),
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodDelete, "/api/keys/private", nil)
		r.Header.Set("Authorization", "Bearer any")
		s.Handler().ServeHTTP(w, r)
		if w.Code != tt.status || strings.Contains(w.Body.String(), "disk") {
			t.Errorf("%v: %d %s", tt.err, w.Code, w.Body)
		}
		if got := strings.Contains(log.String(), tt.err.Error()); got != tt.logged || strings.Contains(log.String(), "private") {
			t.Errorf("%v: the log says %q", tt.err, log.String())
		}
	}
}
