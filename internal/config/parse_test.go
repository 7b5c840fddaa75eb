package config

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write what is got into testdata as what is wanted")

// lookup looks references up in a table; files are the names with a slash.
func lookup(table map[string]string) Lookup {
	return Lookup{
		Env: func(name string) (string, bool) { v, ok := table[name]; return v, ok },
		File: func(path string) ([]byte, error) {
			if v, ok := table[path]; ok {
				return []byte(v), nil
			}
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		},
	}
}

func valid(t *testing.T, src string, table map[string]string) *Config {
	t.Helper()
	c, r := Parse("headworks.yaml", []byte(src), lookup(table))
	if !r.OK() {
		t.Fatalf("refused:\n%s", r.Text(""))
	}
	return c
}

// Each archive in testdata holds a file and the report it gets. Lines NAME=value
// before the first file are what references lead to.
func TestReports(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			table := map[string]string{}
			for line := range strings.Lines(string(a.Comment)) {
				if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
					table[name] = value
				}
			}
			c, r := Parse("headworks.yaml", a.Files[0].Data, lookup(table))
			got := r.Text("")
			if c == nil != !r.OK() {
				t.Errorf("config %v, report OK %v", c != nil, r.OK())
			}
			if *update {
				a.Files = append(a.Files[:1], txtar.File{Name: "want", Data: []byte(got)})
				if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(a.Files[1].Data), got); d != "" {
				t.Errorf("report (-want +got):\n%s", d)
			}
		})
	}
}

func TestEmptyFileIsDefaults(t *testing.T) {
	for _, src := range []string{"", "\n", "# nothing\n", "---\n", "\ufeff", "upstreams:\nmodels:\nlimits:\nadmin:\n"} {
		c := valid(t, src, nil)
		if got, want := c.Fingerprint(), Default().Fingerprint(); got != want {
			t.Errorf("%q: fingerprint %s, default %s", src, got, want)
		}
		if n := c.Counts(); n != (Counts{}) {
			t.Errorf("%q holds %+v", src, n)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if _, r := Load(filepath.Join(dir, "none.yaml")); r.OK() || r.Problems[0].Code != Unreadable {
		t.Errorf("a file that is not there: %v", r.Err())
	}
	path := filepath.Join(dir, "headworks.yaml")
	if err := os.WriteFile(path, Init(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, r := Load(path); len(r.Problems) > 0 {
		t.Errorf("the file that init writes:\n%s", r.Text(""))
	}
}

func TestBounds(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("models:\n  m0: &m {targets: &t\n")
	for range 2000 {
		bomb.WriteString("    - {upstream: a, model: b}\n")
	}
	bomb.WriteString("  }\n")
	for i := range 2000 {
		fmt.Fprintf(&bomb, "  a%d: *m\n", i)
	}
	for name, src := range map[string]string{
		"size":         "# " + strings.Repeat("x", maxFile),
		"brackets":     "a: " + strings.Repeat("[", 100_000),
		"braces":       strings.Repeat("{a: ", 100_000),
		"dashes":       strings.Repeat("- ", 100_000) + "a",
		"questions":    strings.Repeat("? ", 100_000) + "a",
		"tags":         strings.Repeat("! ", 100_000) + "a",
		"anchors":      "a: " + strings.Repeat("&a ", 10_000) + "b",
		"indents":      indents(2_000),
		"alias bomb":   strings.ReplaceAll(strings.ReplaceAll(bomb.String(), "{targets: &t", "\n    targets: &t"), "  }\n", ""),
		"merge itself": "limits: &l\n  <<: *l\n",
		"merge twice":  "limits: &l {<<: [*l, *l, *l]}\n",
		"private":      "region: \U0010007b",
		"not utf-8":    "region: \xff",
		"utf-16":       "\xff\xfel\x00",
	} {
		t.Run(name, func(t *testing.T) {
			if _, r := Parse("headworks.yaml", []byte(src), lookup(nil)); r.OK() {
				t.Error("accepted")
			}
		})
	}
}

func indents(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

// Whatever the parser makes of a file, a value's place is where its text stands.
func TestPlaces(t *testing.T) {
	src := strings.ReplaceAll(string(must(os.ReadFile("../../examples/vllm.yaml"))), "\n", "\r\n") + "\r\nlimits:\r\n  queue_wait: \"3s\"\r\n"
	table := map[string]string{"OPENAI_API_KEY": "sk-0123456789abcdef", "HEADWORKS_CI_KEY": "0123456789abcdef", "/run/secrets/playground": "fedcba9876543210\n"}
	c := valid(t, src, table)
	lines := strings.Split(src, "\n")
	places := 0
	for _, v := range c.Values() {
		o, ok := c.origins[v.Path]
		if !ok || o.value == o.key {
			continue
		}
		places++
		at := strings.TrimLeft(string([]rune(lines[o.value.line-1])[o.value.column-1:]), `"`)
		want := v.Value
		if o.raw != "" {
			want = o.raw
		}
		if number := strings.Trim(want, "0123456789.") == ""; !strings.HasPrefix(at, want) && !number {
			t.Errorf("%s: %d:%d is %q, want %q", v.Path, o.value.line, o.value.column, at, want)
		}
	}
	if places < 30 {
		t.Errorf("only %d values have a place", places)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// The secrets of a file stay out of its report, whatever else is wrong with it.
func TestSecretsStayOutOfReports(t *testing.T) {
	const canary = "cAnArY"
	rapid.Check(t, func(t *rapid.T) {
		secret := canary + rapid.StringMatching(`[A-Za-z0-9+/_.=-]{0,40}`).Draw(t, "secret")
		quote := rapid.SampledFrom([]string{"", `"`, `'`}).Draw(t, "quote")
		value := quote + secret + quote
		field := rapid.SampledFrom([]string{
			"secret: " + value, "secrt: " + value, "Secret: " + value, "secret:   " + value + "  # " + secret,
			"secret: ${NONE:-" + secret + "}", "password: " + value, `"secret": ` + value, "secret: [" + value + "]",
			"secret: {a: " + value + "}", "secret: |\n      " + secret, "secret: >-\n      " + secret + "\n      b",
			"secret: &x " + value, "secret: !!str " + value, "? secret\n    : " + value, "secret:" + value, "secret " + value,
			"secret: *" + secret, "key: " + value, "url: http://u:" + secret + "@h/v1",
		}).Draw(t, "field")
		entry := rapid.SampledFrom([]string{
			"keys:\n  - name: a\n    " + field + "\n",
			"keys:\n  - {name: a, " + strings.ReplaceAll(field, "\n", " ") + "}\n",
			"upstreams:\n  a:\n    " + field + "\n    kind: openai\n",
			"upstreams:\n  a:\n    kind: openai\n    urls: [http://u:" + secret + "@h/v1]\n",
			"state: postgres://u:" + secret + "@h/db\n", "state: mysql://u:" + secret + "@h/db\n",
		}).Draw(t, "entry")
		broken := rapid.SampledFrom([]string{"", "listn: 1\n", "limits: {queue: x}\n", "a: b: c\n", "\t\n", "x: [\n", "x: \"\n", "}\n", "--- 1\n"})
		src := broken.Draw(t, "before") + entry + broken.Draw(t, "after")
		if rapid.Bool().Draw(t, "shuffle") {
			src = strings.Replace(src, "\n", "\n\n", 1)
		}
		_, r := Parse("headworks.yaml", []byte(src), lookup(nil))
		told := r.Text("still serving generation 1") + r.Error() + string(must(json.Marshal(r)))
		if strings.Contains(told, canary) {
			t.Fatalf("a secret in the report of\n%s\n\n%s", src, told)
		}
	})
}

func TestReferences(t *testing.T) {
	table := map[string]string{"HOST": "10.0.0.1", "EMPTY": "", "NUMBER": "3", "LIST": "[a]", "/run/s": "a secret of a file\r\n", "/run/bad": "\xff"}
	for text, want := range map[string]string{
		"plain":                    "plain",
		"${HOST}":                  "10.0.0.1",
		"http://${HOST}:${P:-80}/": "http://10.0.0.1:80/",
		"${EMPTY:-else}":           "else",
		"${NONE:-}":                "",
		"${LIST}":                  "[a]",
		"${NONE:-a:-b}":            "a:-b",
		"${file:/run/s}":           "a secret of a file",
		"$${HOST}":                 "${HOST}",
		"$HOST $":                  "$HOST $",
		"a$${b}${HOST}":            "a${b}10.0.0.1",
	} {
		e, why := expand(text, lookup(table))
		if why != "" || e.text != want {
			t.Errorf("%s: %q %s, want %q", text, e.text, why, want)
		}
		if refers := strings.Contains(strings.ReplaceAll(text, "$${", ""), "${"); refers != (e.raw != "") {
			t.Errorf("%s: raw is %q", text, e.raw)
		}
	}
	for _, text := range []string{"${NONE}", "${EMPTY}", "${", "${}", "${a b}", "${file:/none}", "${file:/run/bad}", "${1A}", "${A:+b}"} {
		if e, why := expand(text, lookup(table)); why == "" {
			t.Errorf("%s: accepted as %q", text, e.text)
		}
	}
}

// A reference may stand bare wherever a text may, between braces too, and a colon
// inside a text is no mapping.
func TestBareTextsBetweenBraces(t *testing.T) {
	c := valid(t, `
upstreams: {a: {kind: openai, key: ${KEY}, urls: [http://${HOST:-h}:8000/v1, "http://[::1]:1/v1"]}}
models: {m: {targets: [{upstream: a, model: qwen2.5:7b}], tries: ${TRIES}}}
keys: [{name: k, secret: "${A:-x}${file:/run/s}", models: [qwen2.5:7b, "a/*"]}]
listen: :7300
limits: {body: ${BODY:-1MiB}}
`, map[string]string{"KEY": "sk-1", "TRIES": "3", "/run/s": "0123456789abcdef"})
	if got, want := c.Upstreams["a"].URLs, []string{"http://h:8000/v1", "http://[::1]:1/v1"}; !cmp.Equal(got, want) {
		t.Errorf("urls %q, want %q", got, want)
	}
	if got := c.Models["m"].Targets[0].Model; got != "qwen2.5:7b" {
		t.Errorf("model %q", got)
	}
	if got := c.Models["m"].Tries; got != 3 {
		t.Errorf("tries %d", got)
	}
	if got := c.Keys[0].Secret.Reveal(); got != "x0123456789abcdef" {
		t.Errorf("secret %q", got)
	}
	if c.Limits.Body != 1<<20 {
		t.Errorf("body %d", c.Limits.Body)
	}
}

func TestAnchorsAndMerges(t *testing.T) {
	c := valid(t, `
upstreams: {a: {kind: vllm, urls: [http://h]}}
models:
  one: &one
    targets: &t [{upstream: a, model: x}]
    timeouts: &to {idle: 10s, total: 1m}
  two: {targets: *t, timeouts: {<<: *to, total: 2m}}
  three: *one
`, nil)
	two := c.Models["two"].Timeouts
	if got := fmt.Sprint(two.Idle, two.Total, c.Models["three"].Timeouts.Total, len(c.Models["two"].Targets)); got != "10s 2m0s 1m0s 1" {
		t.Error(got)
	}
	if c.Models["one"].Timeouts.FirstTokenSet {
		t.Error("first_token counts as set")
	}
}

func TestReportIsAnError(t *testing.T) {
	_, r := Parse("f.yaml", []byte("listn: 1\nregon: x\n"), lookup(nil))
	err := fmt.Errorf("reload: %w", r.Err())
	got, ok := errors.AsType[*Report](err)
	if !ok || len(got.Problems) != 2 {
		t.Fatalf("%v", err)
	}
	if want := `reload: f.yaml:1:1  unknown field "listn", did you mean "listen"?  HW-1003 (and 1 more)`; err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
	text := r.Text("still serving generation 4")
	if !strings.HasSuffix(text, "still serving generation 4   HW-1003   headworks docs HW-1003\n") || strings.Count(text, "still") != 1 {
		t.Errorf("text:\n%s", text)
	}
	if _, r := Parse("f.yaml", nil, lookup(nil)); r.Err() != nil {
		t.Errorf("a file without problems is the error %v", r.Err())
	}
}

// However many warnings there are, one error keeps a file from being used.
func TestWarningsDoNotCrowdOutErrors(t *testing.T) {
	var b strings.Builder
	b.WriteString("keys:\n")
	for i := range 3 * noted {
		fmt.Fprintf(&b, "  - {name: k%d, secret: 0123456789abcdef%d, budget: 1/day}\n", i, i)
	}
	if _, r := Parse("f.yaml", []byte(b.String()), lookup(nil)); !r.OK() || len(r.Problems) != told {
		t.Errorf("OK %v, %d problems", r.OK(), len(r.Problems))
	}
	c, r := Parse("f.yaml", []byte(b.String()+"  - {name: z, secret: short}\n"), lookup(nil))
	if errors, warnings := r.Errors(); c != nil || errors != 1 || warnings != told {
		t.Errorf("accepted %v, %d errors, %d warnings", c != nil, errors, warnings)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"temperature", "timeouts", "tries", "key"}
	for word, want := range map[string]string{
		"temprature": "temperature", "timeout": "timeouts", "tires": "tries", "kye": "key", "k": "", "weight": "", "": "", "timeots": "timeouts",
	} {
		if got := Nearest(word, names); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, path := range must(filepath.Glob("../../examples/*.yaml")) {
		f.Add(must(os.ReadFile(path)))
	}
	for _, path := range must(filepath.Glob("testdata/*.txtar")) {
		f.Add(must(txtar.ParseFile(path)).Files[0].Data)
	}
	f.Add(Init())
	f.Add([]byte("a: &x {<<: *x}\nlimits: *x\n? [a]\n: !!b |2-\n  c\n...\n--- %\n"))
	from := lookup(map[string]string{"A": "b", "OPENAI_API_KEY": "0123456789abcdef"})
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > 10_000 {
			return
		}
		c, r := Parse("f.yaml", src, from)
		if (c == nil) == r.OK() {
			t.Fatal("a config and a report that is not OK, or neither")
		}
		_ = r.Text("")
		for _, p := range r.Problems {
			if p.Words == "" || p.Line < 0 || p.Column < 0 || p.Line > 0 && p.Column == 0 {
				t.Errorf("a problem without words or place: %+v", p)
			}
		}
		if c == nil {
			return
		}
		if _, again := Parse("f.yaml", src, from); !again.OK() {
			t.Error("accepted once, refused once")
		}
		if _, err := Explain(c, ""); err != nil {
			t.Error(err)
		}
	})
}
