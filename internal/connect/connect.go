// Package connect knows how applications are told to use an instance: which of
// their settings change, and what is to be pasted where none can be.
//
// An application is data: a Client. Plan reads the files in a person's home that
// it names and works out what would stand in them; nothing is written before
// Plan.Apply, and Undo brings back what was there. An edit changes what it sets
// and keeps everything else, comments and order among it; a file that cannot be
// edited so is refused, and the lines to paste are shown in its stead. Windows
// are tokens.
package connect

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"text/template"
)

// Client is one application, and how it is told about an instance. Texts are
// templates over With.
type Client struct {
	Name     string   // on the command line
	Title    string   // as its makers write it
	Checked  string   // the version this was checked against, or what was read, and when
	Source   string   // where its settings are documented
	Programs []string // on PATH where it is installed
	Traces   []string // below home where it is installed
	Coding   bool     // it calls tools and holds long prompts
	Messages bool     // it speaks Anthropic's dialect and asks for models by Anthropic's names
	Files    []File   // what changes in the home
	Lines    string   // what is to be run or pasted
	Check    string   // how to see that it works
	Mind     []Mind   // what to know
}

// File is a settings file of a client.
type File struct {
	Env     string    // a variable that names its folder
	Dir     string    // its folder below home, where that variable is not set
	DirMac  string    // the same on macOS, where it differs
	Names   []string  // in that folder; the first that exists, or the last
	Whole   string    // a template for all of it: the file is ours
	JSON    []Setting // what is set in a JSON file
	Comment bool      // the JSON file may have comments
	Entry   *Entry    // what is entered in a list of a YAML file
	Head    string    // what a new YAML file begins with
}

// Mind is something to know. It is said where all that it names is so.
type Mind struct {
	Env      string // this variable is set
	File     string // below home, this file ...
	Line     string // ... has a line like this
	Loopback bool   // the instance is reached on this machine alone
	Words    string
}

// With is what a client is told.
type With struct {
	URL   string // of the instance, without /v1
	Key   string
	Model string // empty: the client's own names are kept, where it can
	// Window is how many tokens prompt and answer of the model may have; 0 is not
	// known.
	Window    int
	Simulated bool // nothing runs a model behind that name
}

// V1 returns the base URL of OpenAI's dialect.
func (w With) V1() string { return w.URL + "/v1" }

// Docker returns the base URL as a container on this machine writes it.
func (w With) Docker() string {
	u, err := url.Parse(w.V1())
	if err != nil || !loopback(w.URL) {
		return w.V1()
	}
	u.Host = "host.docker.internal"
	if from, err := url.Parse(w.URL); err == nil && from.Port() != "" {
		u.Host += ":" + from.Port()
	}
	return u.String()
}

// Tokens returns the window for clients that must be told one.
func (w With) Tokens() int {
	if w.Window > 0 {
		return w.Window
	}
	return assumed
}

// Answer returns how long an answer may be, for clients that must be told.
func (w With) Answer() int { return min(w.Tokens()/4, 32_000) }

const (
	// assumed is the window that a client is told where none is known.
	assumed = 128_000
	// enough is the least window with which a coding client is of use.
	enough = 64_000
)

// loopback reports whether a URL is reached on this machine alone.
func loopback(base string) bool {
	u, err := url.Parse(base)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && a.IsLoopback()
}

// Find returns the client of a name.
func Find(name string) (Client, bool) {
	for _, c := range Clients() {
		if c.Name == name {
			return c, true
		}
	}
	return Client{}, false
}

// Key returns the name of the client's key.
func (c *Client) Key() string { return "connect-" + c.Name }

// Home is where settings are.
type Home struct {
	Dir    string              // the person's home
	State  string              // where the originals are kept
	Lookup func(string) string // the environment
	Mac    bool
}

// NewHome returns the home of whoever runs the program.
func NewHome() (Home, error) {
	dir, err := os.UserHomeDir()
	if err != nil {
		return Home{}, fmt.Errorf("nobody's home: %w", err)
	}
	state := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) {
		state = filepath.Join(dir, ".local", "state")
	}
	return Home{Dir: dir, State: filepath.Join(state, "headworks", "connect"), Lookup: os.Getenv, Mac: runtime.GOOS == "darwin"}, nil
}

// Installed reports whether a client seems to be there.
func (h Home) Installed(c *Client) bool {
	for _, p := range c.Programs {
		if _, err := exec.LookPath(p); err == nil {
			return true
		}
	}
	for _, p := range c.Traces {
		if _, err := os.Stat(filepath.Join(h.Dir, filepath.FromSlash(p))); err == nil {
			return true
		}
	}
	return false
}

// Show returns a path as a person in this home would write it.
func (h Home) Show(path string) string {
	if rest, ok := strings.CutPrefix(path, h.Dir+string(filepath.Separator)); ok {
		return "~/" + filepath.ToSlash(rest)
	}
	return path
}

// File returns the first settings file of a client in this home; empty if it has
// none.
func (h Home) File(c *Client) string {
	if len(c.Files) == 0 {
		return ""
	}
	path, err := h.path(&c.Files[0])
	if err != nil {
		return ""
	}
	return path
}

// ErrNotHome is a settings file that lies outside of the home.
var ErrNotHome = errors.New("it is not in your home folder")

// path returns where a file is, links followed.
func (h Home) path(f *File) (string, error) {
	dir := f.Dir
	if h.Mac && f.DirMac != "" {
		dir = f.DirMac
	}
	dir = filepath.Join(h.Dir, filepath.FromSlash(dir))
	if f.Env != "" {
		if named := h.Lookup(f.Env); filepath.IsAbs(named) {
			dir = named
			if f.Env == "XDG_CONFIG_HOME" {
				_, below, _ := strings.Cut(f.Dir, "/")
				dir = filepath.Join(named, filepath.FromSlash(below))
			}
		}
	}
	path := filepath.Join(dir, f.Names[len(f.Names)-1])
	for _, name := range f.Names {
		if p := filepath.Join(dir, name); exists(p) {
			path = p
			break
		}
	}
	home, err := filepath.EvalSymlinks(h.Dir)
	if err != nil {
		return "", err
	}
	real, err := resolve(path)
	if err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(home, real); err != nil || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%s: %w, and only files there are changed", path, ErrNotHome)
	}
	if real == filepath.Join(home, mustRel(h.Dir, path)) {
		return path, nil
	}
	return real, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func mustRel(base, path string) string {
	rel, err := filepath.Rel(base, path)
	if err != nil {
		return path
	}
	return rel
}

// resolve follows the links of a path whose end may not exist yet.
func resolve(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return real, err
	}
	if exists(path) {
		return "", fmt.Errorf("%s is a link to nothing", path)
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path, nil
	}
	if parent, err = resolve(parent); err != nil {
		return "", err
	}
	return filepath.Join(parent, filepath.Base(path)), nil
}

// expand fills a template.
func expand(text string, with With) (string, error) {
	t, err := template.New("").Funcs(template.FuncMap{"json": quote, "sh": shell}).Option("missingkey=error").Parse(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, with)
	return b.String(), err
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,=-]+$`)

// shell returns a word as a POSIX shell reads it.
func shell(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
