package eval

import (
	"os"
	"testing"
)

func TestExamples(t *testing.T) {
	f, err := os.Open("../../examples/eval-form.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Read(f); err != nil {
		t.Error(err)
	}
}
