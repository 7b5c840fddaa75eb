//go:build !race

package identity

import (
	"testing"

	"headworks/internal/tenant"
)

// TestResolveDoesNotAllocate runs without the race detector, which empties pools at
// random.
func TestResolveDoesNotAllocate(t *testing.T) {
	p := pepper()
	r := NewResolver(p)
	key := []byte(newKey(t, "").Secret.Reveal())
	if err := r.Swap([]Entry{entry(p, string(key), tenant.Caller{KeyID: "k"})}); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(200, func() { _, _ = r.Resolve(key, now) }); n != 0 {
		t.Errorf("Resolve allocates %v times, want 0", n)
	}
}
