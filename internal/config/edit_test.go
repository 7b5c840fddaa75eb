package config

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const editable = `# what serves
upstreams:
  gpu: {kind: vllm, urls: [http://127.0.0.1:8000]}
models:
  flow:
    targets:
      - {upstream: gpu, model: big} # the base
      - {upstream: gpu, model: "small", quality: 0.5, weight: 2}
  block:
    targets:
      - upstream: gpu
        model: big      # the base
        weight: 3
      - model: 'small'
        upstream: gpu
        quality: 0.25
`

func nothing() Lookup {
	return Lookup{Env: func(string) (string, bool) { return "", false }, File: func(string) ([]byte, error) { return nil, errors.New("no file") }}
}

func TestSetQuality(t *testing.T) {
	for _, c := range []struct {
		model  string
		target int
		was    string
		now    string
	}{
		{"flow", 0, "model: big} # the base", "model: big, quality: 0.871} # the base"},
		{"flow", 1, "quality: 0.5,", "quality: 0.871,"},
		{"block", 0, "        model: big ", "        quality: 0.871\n        model: big "},
		{"block", 1, "quality: 0.25", "quality: 0.871"},
	} {
		got, err := SetQuality("f.yaml", []byte(editable), c.model, c.target, 0.871, nothing())
		if want := strings.Replace(editable, c.was, c.now, 1); err != nil || string(got) != want {
			t.Errorf("%s %d: %v\n%s\nwant\n%s", c.model, c.target, err, got, want)
		}
	}
	first := strings.Replace(editable, "      - upstream: gpu\n        model: big ", "      - model: big # ", 1)
	first = strings.Replace(first, "        weight: 3", "        upstream: gpu", 1)
	got, err := SetQuality("f.yaml", []byte(first), "block", 0, 0.5, nothing())
	if want := strings.Replace(first, "      - model: big", "      - quality: 0.5\n        model: big", 1); err != nil || string(got) != want {
		t.Errorf("the first of an entry: %v\n%s", err, got)
	}
}

// TestSetQualityTouchesNothingElse puts figures into files in either form, in which
// names have letters of several bytes beside them.
func TestSetQualityTouchesNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := float64(rapid.IntRange(1, 1000).Draw(t, "quality")) / 1000
		src := strings.ReplaceAll(editable, "the base", rapid.SampledFrom([]string{"das größte Modell", "基", "x"}).Draw(t, "words"))
		if rapid.Bool().Draw(t, "windows") {
			src = strings.ReplaceAll(src, "\n", "\r\n")
		}
		model, target := rapid.SampledFrom([]string{"flow", "block"}).Draw(t, "model"), rapid.IntRange(0, 1).Draw(t, "target")
		got, err := SetQuality("f.yaml", []byte(src), model, target, q, nothing())
		if err != nil {
			t.Fatal(err)
		}
		now, _ := Parse("f.yaml", got, nothing())
		if now == nil || now.Models[model].Targets[target].Quality != q {
			t.Fatalf("%s", got)
		}
		if a, b := strings.Count(src, "#"), strings.Count(string(got), "#"); a != b {
			t.Fatalf("%d comments, were %d", b, a)
		}
	})
}

func TestSetQualityThatIsThere(t *testing.T) {
	got, err := SetQuality("f.yaml", []byte(editable), "flow", 1, 0.5, nothing())
	if err != nil || string(got) != editable {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestSetQualityRefuses(t *testing.T) {
	if _, err := SetQuality("f.yaml", []byte("models: {"), "flow", 0, 1, nothing()); err == nil {
		t.Error("a file that is none was written")
	}
	aliased := "upstreams:\n  gpu: {kind: vllm, urls: [http://127.0.0.1:8000]}\nmodels:\n  a: &a {targets: [{upstream: gpu, model: m}]}\n  b: *a\n"
	if _, err := SetQuality("f.yaml", []byte(aliased), "a", 0, 1, nothing()); !errors.Is(err, ErrNotWritten) {
		t.Errorf("an alias: %v", err)
	}
}
