package connect

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write what comes out into the files of testdata")

// home returns an empty home with nothing in its environment but env.
func home(t *testing.T, env map[string]string) Home {
	t.Helper()
	dir := t.TempDir()
	return Home{Dir: dir, State: filepath.Join(dir, ".local", "state", "headworks", "connect"), Lookup: func(name string) string { return env[name] }}
}

func (h Home) write(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	path = filepath.Join(h.Dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// files returns what is in a home, without what we keep of it.
func (h Home) files(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(h.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if path == h.State {
				return fs.SkipDir
			}
			return err
		}
		b, err := os.ReadFile(path)
		found[filepath.ToSlash(mustRel(h.Dir, path))] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var with = With{URL: "http://127.0.0.1:7300", Key: "hw_abc_def_0123", Model: "assistant", Window: 131072}

// TestClients connects each client in a home that has the files under before/, and
// compares with after/, lines and mind; then it undoes that. -update writes the
// latter three.
func TestClients(t *testing.T) {
	for _, c := range Clients() {
		t.Run(c.Name, func(t *testing.T) {
			file := filepath.Join("testdata", c.Name+".txtar")
			a, err := txtar.ParseFile(file)
			if errors.Is(err, fs.ErrNotExist) && *update {
				a, err = &txtar.Archive{Comment: []byte("# " + c.Title + "\n")}, nil
			}
			if err != nil {
				t.Fatal(err)
			}
			h := home(t, nil)
			next := &txtar.Archive{Comment: a.Comment}
			for _, f := range a.Files {
				if path, ok := strings.CutPrefix(f.Name, "before/"); ok {
					h.write(t, path, string(f.Data), 0o600)
					next.Files = append(next.Files, f)
				}
			}
			before := h.files(t)
			p, err := h.Plan(c, with)
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Refused) > 0 {
				t.Fatalf("refused: %q", p.Refused)
			}
			if err := h.Apply(&p, time.Unix(0, 0)); err != nil {
				t.Fatal(err)
			}
			after := h.files(t)
			var names []string
			for name := range after {
				names = append(names, name)
			}
			slices.Sort(names)
			for _, name := range names {
				next.Files = append(next.Files, txtar.File{Name: "after/" + name, Data: []byte(after[name])})
			}
			next.Files = append(next.Files, txtar.File{Name: "lines", Data: []byte(p.Lines)}, txtar.File{Name: "mind", Data: []byte(strings.Join(p.Mind, "\n") + "\n")})
			if got := string(txtar.Format(next)); *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if want := string(txtar.Format(a)); got != want {
				t.Errorf("%s", Diff(file, want, got))
			}

			// Again changes nothing.
			p, err = h.Plan(c, with)
			if err != nil {
				t.Fatal(err)
			}
			for _, ch := range p.Changes {
				if ch.Changed() {
					t.Errorf("a second time changes %s", ch.Path)
				}
			}

			if len(c.Files) == 0 {
				return
			}
			r, err := h.Undo(c.Name)
			if err != nil || len(r.Edited) > 0 {
				t.Fatalf("%q, %v", r.Edited, err)
			}
			if err := h.Restore(&r); err != nil {
				t.Fatal(err)
			}
			if got := h.files(t); len(got) != len(before) {
				t.Errorf("after undo: %v", got)
			} else {
				for name, text := range before {
					if got[name] != text {
						t.Errorf("%s is not what it was:\n%s", name, got[name])
					}
				}
			}
			if h.Connected(c.Name) {
				t.Error("still connected after undo")
			}
		})
	}
}

// TestClientsAreTold checks that each client learns where, with which key and for
// which model to ask, and that its data is complete.
func TestClientsAreTold(t *testing.T) {
	word := regexp.MustCompile(`^[a-z0-9-]+$`)
	seen := map[string]bool{}
	for _, c := range Clients() {
		if !word.MatchString(c.Name) || seen[c.Name] || c.Title == "" || !strings.HasPrefix(c.Source, "https://") || !strings.Contains(c.Checked, "2026") {
			t.Errorf("%q is incomplete or not alone: %+v", c.Name, c)
		}
		seen[c.Name] = true
		h := home(t, nil)
		other := With{URL: "https://llm.example.com", Key: "hw_other_key_9", Model: `odd "model" $HOME 'x'`}
		p, err := h.Plan(c, other)
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		all.WriteString(p.Lines)
		for _, ch := range p.Changes {
			all.WriteString(ch.Is)
		}
		if !strings.Contains(all.String(), other.URL) || !strings.Contains(all.String(), other.Key) {
			t.Errorf("%s is not told where to ask, or with which key:\n%s", c.Name, all.String())
		}
		if c.Name != "env" && c.Name != "open-webui" && !strings.Contains(all.String(), "odd ") {
			t.Errorf("%s is not told the model:\n%s", c.Name, all.String())
		}
		for _, m := range c.Mind {
			if m.Words == "" || (m.File == "") != (m.Line == "") {
				t.Errorf("%s: %+v", c.Name, m)
			}
			if _, err := regexp.Compile(m.Line); err != nil {
				t.Errorf("%s: %v", c.Name, err)
			}
		}
	}
}

// TestPage finds each client in the documentation, and nobody else.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/howto/connect-a-client.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| (?:a file|lines).*$`).FindAllString(string(page), -1) {
		for _, m := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(row, -1) {
			c, ok := Find(m[1])
			if !ok || strings.HasPrefix(row, "| a file") != (len(c.Files) > 0) {
				t.Errorf("%s stands in the wrong place: %s", m[1], row)
			}
			told[m[1]] = true
		}
	}
	for _, c := range Clients() {
		if !told[c.Name] {
			t.Errorf("the page does not name %s", c.Name)
		}
	}
}

// TestOwnNames leaves Claude Code its own names of models where no model is named.
func TestOwnNames(t *testing.T) {
	c, _ := Find("claude-code")
	p, err := home(t, nil).Plan(c, With{URL: "http://127.0.0.1:7300", Key: "k"})
	if err != nil || len(p.Changes) != 1 || strings.Contains(p.Changes[0].Is, "MODEL") {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestMind(t *testing.T) {
	for name, tt := range map[string]struct {
		client string
		env    map[string]string
		files  map[string]string
		with   With
		want   string
		not    string
	}{
		"two keys":              {"claude-code", map[string]string{"ANTHROPIC_API_KEY": "x"}, nil, with, "ANTHROPIC_API_KEY is set in this shell", "settings.json sets"},
		"two keys in the file":  {"claude-code", nil, map[string]string{".claude/settings.json": `{"env": {"ANTHROPIC_API_KEY": "x"}}`}, with, "settings.json sets ANTHROPIC_API_KEY too", "in this shell"},
		"a line of old":         {"codex", nil, map[string]string{".codex/config.toml": "model = \"x\"\nprofile = \"y\"\n"}, with, "a line profile =", ""},
		"no line of old":        {"codex", nil, map[string]string{".codex/config.toml": "# profile\nprofiles = 1\n"}, with, "", "a line profile ="},
		"a short window":        {"aider", nil, nil, With{URL: with.URL, Model: "m", Window: 32768}, "m takes 32768 tokens; with less than 64000", ""},
		"a long window":         {"aider", nil, nil, With{URL: with.URL, Model: "m", Window: 64000}, "", "tokens"},
		"an unknown window":     {"aider", nil, nil, With{URL: with.URL, Model: "m"}, "how long a prompt m takes is not known", ""},
		"no coding client":      {"curl", nil, nil, With{URL: with.URL, Model: "m", Window: 1}, "", "tokens"},
		"canned words":          {"aider", nil, nil, With{URL: with.URL, Model: "m", Simulated: true}, "m is simulated", ""},
		"loopback":              {"cursor", nil, nil, with, "which cannot reach this machine", ""},
		"localhost":             {"cursor", nil, nil, With{URL: "http://localhost:7300", Model: "m"}, "which cannot reach this machine", ""},
		"a public name":         {"cursor", nil, nil, With{URL: "https://llm.example.com", Model: "m"}, "", "which cannot reach this machine"},
		"a repository":          {"continue", nil, map[string]string{".continue/.git/HEAD": ""}, with, "lies in the git repository ~/.continue", ""},
		"a key for all to read": {"continue", nil, map[string]string{".continue/config.yaml": "models: []\n"}, with, "chmod 600 ~/.continue/config.yaml", ""},
	} {
		h := home(t, tt.env)
		for path, text := range tt.files {
			h.write(t, path, text, 0o644)
		}
		c, ok := Find(tt.client)
		if !ok {
			t.Fatal(tt.client)
		}
		p, err := h.Plan(c, tt.with)
		if err != nil {
			t.Fatal(err)
		}
		all := strings.Join(p.Mind, "\n")
		if !strings.Contains(all, tt.want) || tt.not != "" && strings.Contains(all, tt.not) {
			t.Errorf("%s: %s", name, all)
		}
	}
}

func TestDocker(t *testing.T) {
	for base, want := range map[string]string{
		"http://127.0.0.1:7300":   "http://host.docker.internal:7300/v1",
		"http://[::1]:7300":       "http://host.docker.internal:7300/v1",
		"http://localhost":        "http://host.docker.internal/v1",
		"https://llm.example.com": "https://llm.example.com/v1",
	} {
		if got := (With{URL: base}).Docker(); got != want {
			t.Errorf("%s is %s in a container, want %s", base, got, want)
		}
	}
}

func TestShell(t *testing.T) {
	for s, want := range map[string]string{"": "''", "a/b:1.5": "a/b:1.5", "a b": "'a b'", "it's": `'it'\''s'`, "$HOME": "'$HOME'", "é": "'é'"} {
		if got := shell(s); got != want {
			t.Errorf("%q is %s, want %s", s, got, want)
		}
	}
}
