package connect

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func plan(t *testing.T, h Home, client string, w With) Plan {
	t.Helper()
	c, ok := Find(client)
	if !ok {
		t.Fatal(client)
	}
	p, err := h.Plan(c, w)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func apply(t *testing.T, h Home, client string, w With) {
	t.Helper()
	p := plan(t, h, client, w)
	if err := h.Apply(&p, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
}

// TestUndoAfterEdits tells whoever undoes that somebody edited the file since, and
// gives back the first original whatever came between.
func TestUndoAfterEdits(t *testing.T) {
	const file, first = ".claude/settings.json", "{\"a\": 1}\n"
	second := with
	second.Model = "other"
	for name, tt := range map[string]struct {
		between func(t *testing.T, h Home)
		edited  bool
	}{
		"nothing":            {func(*testing.T, Home) {}, false},
		"another model":      {func(t *testing.T, h Home) { apply(t, h, "claude-code", second) }, false},
		"an edit":            {func(t *testing.T, h Home) { h.write(t, file, "{\"a\": 2}", 0o600) }, true},
		"removed":            {func(t *testing.T, h Home) { _ = os.Remove(filepath.Join(h.Dir, file)) }, true},
		"an edit, and again": {func(t *testing.T, h Home) { h.write(t, file, "{\"b\": 2}", 0o600); apply(t, h, "claude-code", with) }, true},
	} {
		h := home(t, nil)
		h.write(t, file, first, 0o640)
		apply(t, h, "claude-code", with)
		tt.between(t, h)
		r, err := h.Undo("claude-code")
		if err != nil || (len(r.Edited) > 0) != tt.edited {
			t.Errorf("%s: edited %q, %v", name, r.Edited, err)
		}
		if err := h.Restore(&r); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(h.Dir, file))
		if err != nil || h.files(t)[file] != first || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %q with %v, %v", name, h.files(t)[file], info.Mode(), err)
		}
		if _, err := h.Undo("claude-code"); !errors.Is(err, ErrNothing) {
			t.Errorf("%s: undone twice: %v", name, err)
		}
	}
}

// TestModes keeps the mode of a file, and makes new ones for their owner alone.
func TestModes(t *testing.T) {
	h := home(t, nil)
	h.write(t, ".claude/settings.json", "{}", 0o644)
	apply(t, h, "claude-code", with)
	apply(t, h, "continue", with)
	apply(t, h, "codex", with)
	for path, want := range map[string]fs.FileMode{".claude/settings.json": 0o644, ".continue/config.yaml": 0o600, ".codex/headworks.config.toml": 0o600} {
		info, err := os.Stat(filepath.Join(h.Dir, path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has %v, %v", path, info.Mode(), err)
		}
	}
	info, err := os.Stat(h.record("claude-code"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the original is kept with %v, %v", info.Mode(), err)
	}
}

// TestMeanwhile writes nothing where the file is not what was shown.
func TestMeanwhile(t *testing.T) {
	h := home(t, nil)
	p := plan(t, h, "claude-code", with)
	h.write(t, ".claude/settings.json", "{}", 0o600)
	if err := h.Apply(&p, time.Unix(0, 0)); !errors.Is(err, ErrChanged) {
		t.Error(err)
	}
	if got := h.files(t)[".claude/settings.json"]; got != "{}" || h.Connected("claude-code") {
		t.Errorf("%q", got)
	}
	apply(t, h, "claude-code", with)
	r, err := h.Undo("claude-code")
	if err != nil {
		t.Fatal(err)
	}
	h.write(t, ".claude/settings.json", "{\"late\": 1}", 0o600)
	if err := h.Restore(&r); !errors.Is(err, ErrChanged) || h.files(t)[".claude/settings.json"] != "{\"late\": 1}" {
		t.Error(err)
	}
}

// TestAllOrNone writes both files of a client or neither.
func TestAllOrNone(t *testing.T) {
	h := home(t, nil)
	h.write(t, "one/a.json", "{\"x\": 1}", 0o600)
	h.write(t, "two", "no folder", 0o600)
	c := Client{Name: "both", Files: []File{
		{Dir: "one", Names: []string{"a.json"}, JSON: []Setting{{"k", "{{json .Key}}"}}},
		{Dir: "three", Names: []string{"b.json"}, JSON: []Setting{{"k", "{{json .Key}}"}}},
	}}
	p, err := h.Plan(c, with)
	if err != nil {
		t.Fatal(err)
	}
	h.write(t, "three", "a file where a folder should be", 0o600)
	p.Changes[1].Existed = false
	err = h.Apply(&p, time.Unix(0, 0))
	if err == nil || h.files(t)["one/a.json"] != "{\"x\": 1}" {
		t.Errorf("%q, %v", h.files(t)["one/a.json"], err)
	}
}

// TestWhere finds the file that a client reads, and never leaves the home.
func TestWhere(t *testing.T) {
	h := home(t, map[string]string{})
	outside := t.TempDir()
	for name, tt := range map[string]struct {
		client string
		env    map[string]string
		files  []string
		link   [2]string // from, to
		want   string    // below home; empty for a refusal
	}{
		"usual":            {"codex", nil, nil, [2]string{}, ".codex/headworks.config.toml"},
		"by a variable":    {"codex", map[string]string{"CODEX_HOME": filepath.Join(h.Dir, "c")}, nil, [2]string{}, "c/headworks.config.toml"},
		"XDG":              {"opencode", map[string]string{"XDG_CONFIG_HOME": filepath.Join(h.Dir, "cfg")}, nil, [2]string{}, "cfg/opencode/opencode.json"},
		"the other name":   {"opencode", nil, []string{".config/opencode/opencode.jsonc"}, [2]string{}, ".config/opencode/opencode.jsonc"},
		"outside":          {"codex", map[string]string{"CODEX_HOME": outside}, nil, [2]string{}, ""},
		"a link":           {"claude-code", nil, []string{"dotfiles/settings.json"}, [2]string{".claude/settings.json", "dotfiles/settings.json"}, "dotfiles/settings.json"},
		"a link out":       {"qwen-code", nil, nil, [2]string{".qwen", outside}, ""},
		"not an absolute":  {"codex", map[string]string{"CODEX_HOME": "here"}, nil, [2]string{}, ".codex/headworks.config.toml"},
		"a link in a link": {"droid", nil, []string{"d/x"}, [2]string{".factory", "d"}, "d/settings.json"},
	} {
		h.Lookup = func(name string) string { return tt.env[name] }
		for _, f := range tt.files {
			h.write(t, f, "{}", 0o600)
		}
		if tt.link[0] != "" {
			to := tt.link[1]
			if !filepath.IsAbs(to) {
				to = filepath.Join(h.Dir, to)
			}
			from := filepath.Join(h.Dir, tt.link[0])
			if err := errors.Join(os.MkdirAll(filepath.Dir(from), 0o700), os.Symlink(to, from)); err != nil {
				t.Fatal(err)
			}
		}
		p := plan(t, h, tt.client, with)
		switch {
		case tt.want == "" && (len(p.Changes) > 0 || len(p.Refused) != 1 || !strings.Contains(p.Refused[0], "not in your home")):
			t.Errorf("%s: %q, %v", name, p.Refused, p.Changes)
		case tt.want != "" && (len(p.Changes) != 1 || !strings.HasSuffix(filepath.ToSlash(p.Changes[0].Path), "/"+tt.want)):
			t.Errorf("%s: %q, %v", name, p.Refused, p.Changes)
		case tt.want == "" && !strings.Contains(p.Lines, with.V1()):
			t.Errorf("%s: nothing to paste: %s", name, p.Lines)
		}
	}
}

// TestRefused shows lines to paste for a file that cannot be edited without loss.
func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct{ client, file, text, why string }{
		"comments":        {"claude-code", ".claude/settings.json", "{\n  // mine\n}", "line 2, column 3: a comment, which JSON does not have"},
		"a last comma":    {"claude-code", ".claude/settings.json", `{"a": 1,}`, "line 1, column 8: a comma before the end"},
		"no JSON":         {"opencode", ".config/opencode/opencode.json", "{nope", "line 1, column 2: the name of a member is expected"},
		"no object":       {"opencode", ".config/opencode/opencode.json", "[]", "an object is expected here"},
		"twice":           {"opencode", ".config/opencode/opencode.json", `{"a": 1, "a": 2}`, `"a" is there twice`},
		"a list, no map":  {"claude-code", ".claude/settings.json", `{"env": []}`, "an object is expected here, to hold ANTHROPIC_BASE_URL"},
		"no YAML":         {"continue", ".continue/config.yaml", "models: [", "no YAML"},
		"flow":            {"continue", ".continue/config.yaml", "models: [{name: A}]\n", "is not written in lines"},
		"a map, no list":  {"continue", ".continue/config.yaml", "models: {a: 1}\n", "a list is expected in models"},
		"a list, for llm": {"llm", ".config/io.datasette.llm/extra-openai-models.yaml", "a: 1\n", "a list is expected at the top"},
		"too large":       {"claude-code", ".claude/settings.json", strings.Repeat(" ", maxFile+1), "larger than 4 MiB"},
	} {
		h := home(t, nil)
		h.write(t, tt.file, tt.text, 0o600)
		p := plan(t, h, tt.client, with)
		if len(p.Changes) > 0 || len(p.Refused) != 1 || !strings.Contains(p.Refused[0], tt.why) || !strings.HasPrefix(p.Refused[0], "~/"+tt.file) {
			t.Errorf("%s: %q, %v", name, p.Refused, p.Changes)
		}
		if !strings.Contains(p.Lines, with.URL) {
			t.Errorf("%s: nothing to paste:\n%s", name, p.Lines)
		}
	}
	h := home(t, nil)
	if err := os.MkdirAll(filepath.Join(h.Dir, ".claude", "settings.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	if p := plan(t, h, "claude-code", with); len(p.Refused) != 1 || !strings.Contains(p.Refused[0], "no regular file") {
		t.Errorf("%q", p.Refused)
	}
}
