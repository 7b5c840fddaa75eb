package app

import (
	"testing"

	"headworks/internal/config"
	"headworks/internal/fleet"
)

// TestAdapterNames: each kind of engine is asked for an adapter as it calls it.
func TestAdapterNames(t *testing.T) {
	for kind, want := range map[string]string{config.VLLM: "sql", config.SGLang: "base:sql"} {
		to := fleet.Target{Model: "base"}
		if adapt(&to, kind, ""); to.Model != "base" || to.Adapter != "" {
			t.Errorf("%s without one: %+v", kind, to)
		}
		if adapt(&to, kind, "sql"); to.Model != want || to.Base != "base" || to.Adapter != "sql" {
			t.Errorf("%s: %+v", kind, to)
		}
	}
}
