package connect

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// maxFile bounds a settings file, in bytes.
const maxFile = 4 << 20

// Change is one file, as it is and as it would be.
type Change struct {
	Path    string
	Was     string
	Is      string
	Existed bool
	Mode    os.FileMode
}

// Changed reports whether the file would not stay as it is.
func (c *Change) Changed() bool { return !c.Existed || c.Was != c.Is }

// Plan is what connecting a client comes to.
type Plan struct {
	Client  Client
	Changes []Change
	Refused []string // why a file cannot be edited; its lines are in Lines
	Lines   string   // what is to be run or pasted
	Check   string
	Mind    []string
}

// Plan works out what would change. Nothing is written.
func (h Home) Plan(c Client, with With) (Plan, error) {
	p := Plan{Client: c}
	var err error
	if p.Lines, err = expand(c.Lines, with); err != nil {
		return p, err
	}
	if p.Check, err = expand(c.Check, with); err != nil {
		return p, err
	}
	for i := range c.Files {
		f := &c.Files[i]
		change, err := h.change(f, with)
		u, unreadableFile := errors.AsType[*unreadable](err)
		switch {
		case unreadableFile || errors.Is(err, errNotSame) || errors.Is(err, ErrNotHome):
			why := err.Error()
			if unreadableFile {
				why = u.Error()
			}
			if change.Path != "" {
				why = h.Show(change.Path) + ": " + why
			}
			paste, err := f.paste(with)
			if err != nil {
				return p, err
			}
			p.Refused = append(p.Refused, why)
			p.Lines = strings.TrimRight(paste, "\n") + "\n" + p.Lines
		case err != nil:
			return p, err
		default:
			p.Changes = append(p.Changes, change)
		}
	}
	p.Mind = h.mind(&c, with, p.Changes)
	return p, nil
}

// change reads a file and returns it edited.
func (h Home) change(f *File, with With) (Change, error) {
	path, err := h.path(f)
	if err != nil {
		return Change{}, err
	}
	c := Change{Path: path, Mode: 0o600}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return c, err
	case !info.Mode().IsRegular():
		return c, &unreadable{words: "no regular file"}
	case info.Size() > maxFile:
		return c, &unreadable{words: fmt.Sprintf("larger than %d MiB", maxFile>>20)}
	default:
		b, err := os.ReadFile(path)
		if err != nil {
			return c, err
		}
		c.Was, c.Existed, c.Mode = string(b), true, info.Mode().Perm()
	}
	c.Is, err = f.edit(c.Was, with)
	return c, err
}

func (f *File) edit(was string, with With) (string, error) {
	switch {
	case f.Whole != "":
		return expand(f.Whole, with)
	case f.Entry != nil:
		text, err := expand(f.Entry.Text, with)
		if err != nil {
			return "", err
		}
		if strings.TrimSpace(was) == "" {
			was += f.Head
		}
		e := *f.Entry
		if e.Is, err = expand(e.Is, with); err != nil {
			return "", err
		}
		out, err := enter([]byte(was), e, text)
		return string(out), err
	default:
		out := []byte(was)
		for _, s := range f.JSON {
			to, err := expand(s.To, with)
			if err != nil {
				return "", err
			}
			if strings.TrimSpace(to) == "" {
				continue
			}
			at, err := expand(s.At, with)
			if err != nil {
				return "", err
			}
			if out, err = set(out, f.Comment, at, []byte(to)); err != nil {
				return "", err
			}
		}
		return string(out), nil
	}
}

// paste returns what would stand in the file if nothing else did.
func (f *File) paste(with With) (string, error) { return f.edit("", with) }

// mind returns what is to be known in this home.
func (h Home) mind(c *Client, with With, changes []Change) (words []string) {
	for _, m := range c.Mind {
		switch {
		case m.Env != "" && h.Lookup(m.Env) == "":
		case m.Loopback && !loopback(with.URL):
		case m.File != "" && !h.has(m.File, m.Line):
		default:
			words = append(words, m.Words)
		}
	}
	model := with.Model
	if c.Coding && model != "" {
		switch {
		case with.Simulated:
			words = append(words, fmt.Sprintf("%s is simulated: it answers with canned words and calls no tools; add a real model and choose it with --model", model))
		case with.Window == 0:
			words = append(words, fmt.Sprintf("how long a prompt %s takes is not known here; %s needs %d tokens and more", model, c.Title, enough))
		case with.Window < enough:
			words = append(words, fmt.Sprintf("%s takes %d tokens; with less than %d %s is of little use", model, with.Window, enough, c.Title))
		}
	}
	for _, ch := range changes {
		holds := strings.Contains(ch.Is, with.Key)
		if holds && ch.Existed && ch.Mode&0o077 != 0 {
			words = append(words, fmt.Sprintf("the key will stand in %s, which others on this machine may read: chmod 600 %s", h.Show(ch.Path), h.Show(ch.Path)))
		}
		if repo := h.repository(ch.Path); holds && repo != "" {
			words = append(words, fmt.Sprintf("%s lies in the git repository %s: take care not to commit the key", h.Show(ch.Path), h.Show(repo)))
		}
	}
	return words
}

func (h Home) has(file, line string) bool {
	b, err := os.ReadFile(filepath.Join(h.Dir, filepath.FromSlash(file)))
	if err != nil || len(b) > maxFile {
		return false
	}
	ok, err := regexp.Match("(?m)"+line, b)
	return ok && err == nil
}

// repository returns the git repository below home that holds a file, or nothing.
func (h Home) repository(path string) string {
	for dir := filepath.Dir(path); len(dir) >= len(h.Dir) && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if exists(filepath.Join(dir, ".git")) {
			return dir
		}
	}
	return ""
}
