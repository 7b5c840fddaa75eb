package azure

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"headworks/internal/engine"
	"headworks/internal/engine/enginetest"
	"headworks/internal/fleet"
	"headworks/internal/inference"
)

func TestConformance(t *testing.T) {
	for _, tt := range []struct {
		name, version, path string
		dialect             inference.Dialect
	}{
		{"v1", "", "/openai/v1/chat/completions", inference.OpenAI},
		{"deployments", "2024-10-21", "/openai/deployments/served/chat/completions?api-version=2024-10-21", inference.OpenAI},
		{"completions", "", "/openai/v1/completions", inference.Completions},
		{"embeddings", "2024-10-21", "/openai/deployments/served/embeddings?api-version=2024-10-21", inference.Embeddings},
	} {
		t.Run(tt.name, func(t *testing.T) {
			enginetest.Run(t, enginetest.Kind{
				New: func(replicas []fleet.Replica, keys []string) (*engine.HTTP, error) {
					return New(replicas, keys, tt.version)
				},
				Dialect: tt.dialect, Vendor: "azure", Path: tt.path, Key: enginetest.APIKey("api-key"),
			})
		})
	}
}

func TestRoot(t *testing.T) {
	for base, want := range map[string]string{
		"":                  "/openai",
		"/openai":           "/openai",
		"/openai/v1":        "/openai",
		"/gateway":          "/gateway/openai",
		"/gateway/openai":   "/gateway/openai",
		"/v1":               "/openai",
		"/openai/v1/openai": "/openai/v1/openai",
	} {
		if got := root(base); got != want {
			t.Errorf("%q: %q, want %q", base, got, want)
		}
	}
}

func TestCredentials(t *testing.T) {
	got := credentials([]string{"0123456789abcdef", "eyJhbGciOi.eyJhdWQi.c2ln", "", "eyJ.but.none.of.those"})
	want := [][][2]string{
		{{"api-key", "0123456789abcdef"}},
		{{"Authorization", "Bearer eyJhbGciOi.eyJhdWQi.c2ln"}},
		nil,
		{{"api-key", "eyJ.but.none.of.those"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestVersioned: pictures and sound are asked for where the older API has them.
func TestVersioned(t *testing.T) {
	for version, want := range map[string]bool{"": false, "2024-10-21": true} {
		e, err := New([]fleet.Replica{{URL: "https://x.openai.azure.com"}}, nil, version)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []inference.Dialect{inference.Images, inference.Speech, inference.Transcriptions, inference.Translations} {
			if e.Speaks().Has(d) != want {
				t.Errorf("version %q: %v is spoken: %v", version, d, !want)
			}
		}
		if e.Speaks().Has(inference.Moderations) || e.Speaks().Has(inference.ImageVariations) {
			t.Errorf("version %q: more is spoken than there is", version)
		}
		e.Close()
	}
}

// TestDeployment: a name is one part of the path, whatever is in it.
func TestDeployment(t *testing.T) {
	e, err := New([]fleet.Replica{{URL: "https://x.openai.azure.com"}}, nil, "2024-10-21")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if !e.Speaks().Has(inference.Embeddings) {
		t.Error("no embeddings")
	}
}
