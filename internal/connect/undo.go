package connect

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// original is what undo brings back.
type original struct {
	Client string         `json:"client"`
	When   time.Time      `json:"when"`
	Files  []originalFile `json:"files"`
}

// originalFile is a file as it was before it was first changed.
type originalFile struct {
	Path    string      `json:"path"`
	Existed bool        `json:"existed"`
	Mode    os.FileMode `json:"mode"`
	Was     []byte      `json:"was"`
	Wrote   string      `json:"wrote"`  // SHA-256 of what was written over it
	Edited  bool        `json:"edited"` // somebody else changed it between two of our writes
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func (h Home) record(client string) string { return filepath.Join(h.State, client+".json") }

// Connected reports whether there is something to undo.
func (h Home) Connected(client string) bool { return exists(h.record(client)) }

func (h Home) load(client string) (o original, err error) {
	b, err := os.ReadFile(h.record(client))
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return o, fmt.Errorf("reading %s: %w", h.record(client), err)
	}
	return o, nil
}

func (h Home) save(o original) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(h.State, 0o700); err != nil {
		return err
	}
	return write(h.record(o.Client), b, 0o600)
}

// ErrChanged is a file that is no longer what it was when it was looked at.
var ErrChanged = errors.New("the file was changed meanwhile; run the command again")

// Apply writes what a plan says, and keeps what was there before. Either all files
// are written or none is.
func (h Home) Apply(p *Plan, now time.Time) (err error) {
	o, err := h.load(p.Client.Name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	o.Client, o.When = p.Client.Name, now.UTC()
	for i := range p.Changes {
		c := &p.Changes[i]
		if err := c.same(); err != nil {
			return err
		}
		o.keep(c)
	}
	if len(p.Changes) == 0 {
		return nil
	}
	if err := h.save(o); err != nil {
		return fmt.Errorf("keeping the originals: %w", err)
	}
	for i := range p.Changes {
		c := &p.Changes[i]
		if !c.Changed() {
			continue
		}
		if err = os.MkdirAll(filepath.Dir(c.Path), 0o700); err == nil {
			err = write(c.Path, []byte(c.Is), c.Mode)
		}
		if err != nil {
			for _, done := range p.Changes[:i] {
				err = errors.Join(err, put(done.Path, []byte(done.Was), done.Existed, done.Mode))
			}
			return err
		}
	}
	return nil
}

// same fails if the file is not what the plan saw.
func (c *Change) same() error {
	b, err := os.ReadFile(c.Path)
	switch {
	case errors.Is(err, os.ErrNotExist) && !c.Existed:
		return nil
	case err == nil && c.Existed && string(b) == c.Was:
		return nil
	case err == nil || errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%s: %w", c.Path, ErrChanged)
	default:
		return err
	}
}

// keep notes what a change writes. The first original stays; what was changed by
// others after it is told when it is undone.
func (o *original) keep(c *Change) {
	for i := range o.Files {
		f := &o.Files[i]
		if f.Path == c.Path {
			f.Edited = f.Edited || !c.Existed || digest(c.Was) != f.Wrote
			f.Wrote = digest(c.Is)
			return
		}
	}
	o.Files = append(o.Files, originalFile{Path: c.Path, Existed: c.Existed, Mode: c.Mode, Was: []byte(c.Was), Wrote: digest(c.Is)})
}

// Restoration is what undoing comes to.
type Restoration struct {
	Client  string
	Changes []Change // to the original; one that did not exist ends as an empty text
	Gone    []bool   // whether the file is to be removed
	Edited  []string // files that somebody changed since
}

// ErrNothing means that there is nothing to undo.
var ErrNothing = errors.New("nothing to undo")

// Undo works out how a client gets its files back. Nothing is written.
func (h Home) Undo(client string) (Restoration, error) {
	r := Restoration{Client: client}
	o, err := h.load(client)
	if errors.Is(err, os.ErrNotExist) {
		return r, fmt.Errorf("%w: no file of %s was changed from here", ErrNothing, client)
	}
	if err != nil {
		return r, err
	}
	for _, f := range o.Files {
		c := Change{Path: f.Path, Is: string(f.Was), Mode: f.Mode}
		b, err := os.ReadFile(f.Path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return r, err
		}
		c.Was, c.Existed = string(b), err == nil
		if f.Edited || !c.Existed || digest(c.Was) != f.Wrote {
			r.Edited = append(r.Edited, f.Path)
		}
		r.Changes, r.Gone = append(r.Changes, c), append(r.Gone, !f.Existed)
	}
	return r, nil
}

// Restore brings back the originals.
func (h Home) Restore(r *Restoration) error {
	for i := range r.Changes {
		if err := r.Changes[i].same(); err != nil {
			return err
		}
	}
	for i, c := range r.Changes {
		if err := put(c.Path, []byte(c.Is), !r.Gone[i], c.Mode); err != nil {
			return err
		}
	}
	return os.Remove(h.record(r.Client))
}

// put makes a file what it was: these bytes, or not there.
func put(path string, b []byte, there bool, mode os.FileMode) error {
	if there {
		return write(path, b, mode)
	}
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// write replaces a file whole: a reader finds the old one or the new one.
func write(path string, b []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".headworks-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(b)
	if e := f.Chmod(mode); err == nil {
		err = e
	}
	if e := f.Sync(); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
