package tenant

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const canary = "hw_canary_0123456789abcdef"

func TestSecretStaysSecret(t *testing.T) {
	s := NewSecret(canary)
	inside := struct {
		Open   Secret
		hidden Secret
		deep   []map[string]*Secret
	}{s, s, []map[string]*Secret{{"k": &s}}}

	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%08b", "%t", "%c", "%p", "%T", "%20s"} {
		for _, v := range []any{s, &s, inside, &inside, []Secret{s}, map[string]Secret{"k": s}, fmt.Errorf("wrapped %v", s)} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("m", "secret", s, "pointer", &s, "inside", inside, slog.Group("g", "s", s))
	}
	b, err := json.Marshal(map[string]any{"s": s, "p": &s, "in": inside})
	if err != nil {
		t.Fatal(err)
	}
	all := out.String() + log.String() + string(b)
	for _, leak := range []string{canary, canary[:12], fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary)} {
		if strings.Contains(all, leak) {
			t.Errorf("%q is printed", leak)
		}
	}
	if !strings.Contains(all, redacted) {
		t.Error("nothing says [redacted]")
	}
}

func TestSecret(t *testing.T) {
	var s Secret
	if !s.Empty() || s.Reveal() != "" || fmt.Sprint(s) != "" {
		t.Errorf("the zero Secret is %q", s.Reveal())
	}
	if err := json.Unmarshal([]byte(`"`+canary+`"`), &s); err != nil || s.Reveal() != canary || s.Empty() {
		t.Errorf("read %q (%v)", s.Reveal(), err)
	}
}
