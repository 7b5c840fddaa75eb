// Package sdk judges the real program by the official clients of OpenAI, Anthropic
// and Google: whatever an upstream does, a client sees a whole answer or an error,
// and never a cut answer that looks whole.
//
// It is a module of its own, so that the clients' libraries are not Headworks'.
// The upstreams are scripts on loopback; nothing leaves this machine.
package sdk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// binary is the program under test, built once from the tree around this module.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	// The clients read their settings from the environment; none of those of
	// whoever runs the tests may take part.
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "OPENAI_") || strings.HasPrefix(name, "ANTHROPIC_") || strings.HasPrefix(name, "GEMINI_") || strings.HasPrefix(name, "GOOGLE_") {
			os.Unsetenv(name)
		}
	}
	dir, err := os.MkdirTemp("", "headworks-sdk-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "headworks")
	build := exec.Command("go", "build", "-o", binary, "./cmd/headworks")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building headworks: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
