package api

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"headworks/internal/fault"
)

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestInflate(t *testing.T) {
	bomb := zipped(t, strings.Repeat("a", 8<<20))
	for name, tt := range map[string]struct {
		coding string
		body   []byte
		most   int64
		want   string
		kind   fault.Kind
		status int
	}{
		"gzip":            {"gzip", zipped(t, `{"a":1}`), 1 << 20, `{"a":1}`, 0, 0},
		"in capitals":     {"GZIP", zipped(t, `{"a":1}`), 1 << 20, `{"a":1}`, 0, 0},
		"another":         {"br", []byte("x"), 1 << 20, "", fault.InvalidRequest, 415},
		"two":             {"gzip, gzip", zipped(t, "x"), 1 << 20, "", fault.InvalidRequest, 415},
		"none":            {"gzip", []byte(`{"a":1}`), 1 << 20, "", fault.InvalidRequest, 0},
		"cut":             {"gzip", zipped(t, `{"a":1}`)[:20], 1 << 20, "", fault.InvalidRequest, 0},
		"over the limit":  {"gzip", zipped(t, strings.Repeat("ab", 600)), 1000, "", fault.TooLarge, 0},
		"a bomb":          {"gzip", bomb, 32 << 20, "", fault.TooLarge, 0},
		"something small": {"gzip", zipped(t, strings.Repeat("a", 60_000)), 1 << 20, strings.Repeat("a", 60_000), 0, 0},
	} {
		got, err := inflate(tt.coding, tt.body, tt.most)
		if tt.kind == 0 {
			if err != nil || string(got) != tt.want {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
			continue
		}
		if f := fault.Of(err); err == nil || f.Kind != tt.kind || tt.status != 0 && f.Status != tt.status {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzInflate(f *testing.F) {
	f.Add([]byte("\x1f\x8b"))
	f.Add([]byte("plain"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := inflate("gzip", b, 1<<20); err == nil && len(got) > 1<<20 {
			t.Errorf("%d bytes", len(got))
		}
	})
}

func TestAccepts(t *testing.T) {
	for field, want := range map[string]bool{
		"gzip": true, "GZIP": true, "br, gzip;q=0.5": true, "gzip, deflate, br": true, "gzip ; q=1": true,
		"": false, "br": false, "identity": false, "gzip;q=0": false, "gzip;q=0.0": false, "xgzip": false, "*": false,
	} {
		if got := accepts([]byte(field)); got != want {
			t.Errorf("%q: %v", field, got)
		}
	}
}
