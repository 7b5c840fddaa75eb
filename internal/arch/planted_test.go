package arch

import (
	"go/token"
	"strings"
	"testing"
)

// TestCheckerNotices plants one thing at a time that the rules are there to find.
func TestCheckerNotices(t *testing.T) {
	tests := map[string]struct {
		in      string   // the package, below the module
		imports []string // without their import statements
		src     string   // after the package clause
		want    string   // the one problem; empty: none
	}{
		"a clean decision":           {"internal/health", []string{"headworks/internal/fault", "time", "net/netip", "math/rand/v2"}, "", ""},
		"a clean driver":             {"internal/gateway", []string{"headworks/internal/flow", "context", "sync"}, "", ""},
		"a child and its parent":     {"internal/engine/openai", []string{"headworks/internal/engine"}, "", ""},
		"a command":                  {"cmd/headworks", []string{"headworks/internal/app", "github.com/spf13/cobra"}, "", ""},
		"a library above":            {"internal/telemetry", []string{"github.com/prometheus/client_golang/prometheus"}, "", ""},
		"docs in the whole":          {"internal/app", []string{"headworks/docs", "headworks/internal/config"}, "", ""},
		"no floor":                   {"internal/router", nil, "", "no floor"},
		"a room too deep":            {"internal/engine/openai/chat", nil, "", "no floor"},
		"outside of the house":       {"tools/gen", nil, "", "no floor"},
		"a name that says nothing":   {"internal/engine/common", nil, "", "promises nothing"},
		"upwards":                    {"internal/health", []string{"headworks/internal/flow"}, "", "floor 2 and imports flow on floor 3"},
		"sideways":                   {"internal/route", []string{"headworks/internal/schedule"}, "", "floor 2 and imports schedule on floor 2"},
		"one child and another":      {"internal/engine/vllm", []string{"headworks/internal/engine/openai"}, "", "floor 4 and imports engine/openai"},
		"a parent and its child":     {"internal/api", []string{"headworks/internal/api/openai"}, "", "floor 6 and imports api/openai"},
		"another family's parent":    {"internal/store/sqlite", []string{"headworks/internal/engine"}, "", "floor 4 and imports engine"},
		"what has no floor":          {"internal/app", []string{"headworks/internal/router"}, "", "router, which has no floor"},
		"the file's shape":           {"cmd/headworks", []string{"headworks/internal/config"}, "", "only app may import config"},
		"the documentation":          {"internal/client", []string{"headworks/docs"}, "", "only app may import docs"},
		"a suite outside of tests":   {"internal/app", []string{"headworks/internal/engine/enginetest"}, "", "for tests"},
		"a suite may see its family": {"internal/engine/enginetest", []string{"headworks/internal/engine", "testing"}, "", ""},
		"http in a driver":           {"internal/gateway", []string{"net/http"}, "", "net/http"},
		"http in an engine":          {"internal/engine/openai", []string{"net/http"}, "", "net/http"},
		"http in a surface":          {"internal/api/openai", []string{"net/http"}, "", "net/http"},
		"http where it is fine":      {"internal/api/admin", []string{"net/http"}, "", ""},
		"a log in a decision":        {"internal/flow", []string{"log/slog"}, "", "may not import log/slog"},
		"a lock in a decision":       {"internal/admit", []string{"sync/atomic"}, "", "may not import sync/atomic"},
		"the old random source":      {"internal/route", []string{"math/rand"}, "", "may not import math/rand"},
		"a library in a decision":    {"internal/route", []string{"github.com/google/uuid"}, "", "that only computes"},

		"a clock":                      {"internal/health", nil, `import "time"; var _ = time.Now`, "not time.Now"},
		"a clock by another name":      {"internal/health", nil, `import t "time"; func f() { <-t.After(1) }`, "not time.After"},
		"a clock that is none":         {"internal/health", nil, `import "time"; func f(t time.Time) bool { return t.After(t) }`, ""},
		"a hidden clock":               {"internal/health", nil, `import "time"; var _ time.Duration; func f() { var time struct{ Now int }; time.Now = 1 }`, ""},
		"a clock in a driver":          {"internal/sim", nil, `import "time"; var _ = time.Now`, ""},
		"a clock inside a stranger":    {"internal/flow", nil, `import ("time"; "slices"); func f() { slices.Odd(func() { slices.New(slices.T{A: time.Now()}) }) }`, "not time.Now"},
		"a global random source":       {"internal/route", nil, `import "math/rand/v2"; func f() int { return rand.IntN(3) }`, "not rand.IntN"},
		"a seeded source":              {"internal/route", nil, `import "math/rand/v2"; func f(r *rand.Rand) int { return rand.New(rand.NewPCG(1, 2)).IntN(3) + r.IntN(3) }`, ""},
		"a goroutine":                  {"internal/admit", nil, `func f() { go f() }`, "goroutine"},
		"a channel":                    {"internal/admit", nil, `func f(c chan int) { c <- 1 }`, "channel"},
		"words on the console":         {"internal/price", nil, `import "fmt"; func f() { fmt.Println() }`, "fmt.Println"},
		"init":                         {"internal/meter", nil, `func init() {}`, "write a constructor"},
		"a method named init":          {"internal/meter", nil, `type t int; func (t) init() {}`, ""},
		"a variable for all":           {"internal/meter", nil, `var Limit = 3`, "anyone may change Limit"},
		"an error for all":             {"internal/meter", nil, `import "errors"; var ErrFull = errors.New("full")`, ""},
		"a counter for all":            {"internal/meter", nil, `var n int; func f() { n++ }`, "variable n"},
		"a table that changes":         {"internal/meter", nil, `var seen = map[string]bool{}; func f() { seen["a"] = true }`, "variable seen"},
		"a local of the same name":     {"internal/meter", nil, `var n int; func f() { n := 1; n++; { var n int; n = 2; _ = n } }`, ""},
		"a field of the same name":     {"internal/meter", nil, `var n int; type t struct{ n int }; func (x *t) f() { x.n++ }`, ""},
		"a wide interface":             {"internal/meter", nil, `type i interface{ A(); B(); C(); D(); E(); F() }`, "6 methods"},
		"a wide sum":                   {"internal/meter", nil, `import "io"; type j interface{ A(); B(); C() }; type i interface{ j; io.Reader; D(); E() }`, "6 methods"},
		"five are fine":                {"internal/meter", nil, `type i interface{ A(); B(); C(); D(); E() }; type n interface{ ~int | ~uint }`, ""},
		"a dialer":                     {"internal/engine", nil, `import "net"; var d net.Dialer`, "net.Dialer"},
		"dialing where it belongs":     {"internal/wire", nil, `import "net"; var d net.Dialer`, ""},
		"a client of its own":          {"internal/client", nil, `import "net/http"; var c = &http.Client{}`, "http.Client without a Transport"},
		"a transport of its own":       {"internal/client", nil, `import "net/http"; var c = &http.Client{Transport: &http.Transport{}}`, "http.Transport without a DialContext"},
		"a client that is given a way": {"internal/client", nil, `import "net/http"; func f(t http.RoundTripper) any { return &http.Client{Transport: t} }`, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := plant(t, tt.in, tt.src)
			p.Imports = tt.imports
			switch got := check(p); {
			case tt.want == "" && len(got) > 0:
				t.Errorf("found %q", got)
			case tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)):
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}

// plant returns a package of one file, which says what it promises.
func plant(t *testing.T, in, src string) *pkg {
	t.Helper()
	p := &pkg{ImportPath: module + "/" + in, Name: "planted", Doc: "Package planted is found.", fset: token.NewFileSet()}
	p.parse(t, "planted.go", "package planted; "+src)
	p.resolve()
	return p
}

func TestPackageComment(t *testing.T) {
	for _, doc := range []string{"", "This package decides.", "Package plantedtoo is another."} {
		p := plant(t, "internal/flow", "")
		if p.Doc = doc; len(check(p)) != 1 {
			t.Errorf("the comment %q passed", doc)
		}
	}
}

func TestChain(t *testing.T) {
	pkgs := map[string]*pkg{}
	for name, imports := range map[string]string{"app": "flow gateway", "gateway": "flow health", "flow": "health", "health": ""} {
		p := &pkg{ImportPath: module + "/internal/" + name}
		for imp := range strings.FieldsSeq(imports) {
			p.Imports = append(p.Imports, module+"/internal/"+imp)
		}
		p.Imports = append(p.Imports, "time")
		pkgs[p.ImportPath] = p
	}
	got := chain(pkgs, module+"/internal/app", map[string][]string{})
	if strings.Join(got, " ") != "app gateway flow health" {
		t.Errorf("the longest chain is %q", got)
	}
}
