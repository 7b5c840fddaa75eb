package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path"
	"strings"
	"time"

	"headworks/internal/fault"
)

// Folder is a folder of files. Its items are the regular files below it by their
// paths with slashes. Left out are names that begin with a dot, and what Ignore
// names. A link to a file below the folder is that file; one that leads out of it
// is an error, and one to a folder is not followed.
type Folder struct {
	Path   string
	Ignore []string // patterns as path.Match has them, of a name or of a path from the folder on
	Most   int64    // bytes of a file; 0: 512 MiB
}

const mostBytes = 512 << 20

// settled is how long a file has to have been left alone before its size and time
// tell its content: within it, another write may leave both as they are.
const settled = 2 * time.Second

// List implements Source.
func (f Folder) List(ctx context.Context) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		root, err := os.OpenRoot(f.Path)
		if err != nil {
			yield(Item{}, f.closed(err))
			return
		}
		defer func() { _ = root.Close() }()
		for _, pattern := range f.Ignore {
			if _, err := path.Match(pattern, ""); err != nil {
				yield(Item{}, fault.Wrap(fault.InvalidRequest, fmt.Sprintf("the pattern %q of what to leave out is not valid: write it as in *.tmp or build/*", pattern), err))
				return
			}
		}
		ended := errors.New("ended")
		var hidden error
		err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil && name == ".":
				return err
			case err != nil:
				// A folder that cannot be read hides what is in it: the list goes on, but
				// is not whole.
				hidden = errors.Join(hidden, err)
				return fs.SkipDir
			case name == ".":
				return nil
			case f.ignored(name):
				if entry.IsDir() {
					return fs.SkipDir
				}
				return nil
			case entry.IsDir():
				return nil
			}
			item, ok, err := f.item(root, name, entry)
			if ok && !yield(item, err) {
				return ended
			}
			return nil
		})
		if err == nil {
			err = hidden
		}
		if err != nil && !errors.Is(err, ended) && ctx.Err() == nil {
			yield(Item{}, f.closed(err))
		}
	}
}

func (f Folder) closed(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fault.Wrap(fault.NotFound, "there is no folder "+f.Path, err)
	}
	return fault.Wrap(fault.InvalidRequest, "the folder "+f.Path+" cannot be read whole: look at the rights of what is in it", err)
}

func (f Folder) ignored(name string) bool {
	base := path.Base(name)
	if strings.HasPrefix(base, ".") {
		return true
	}
	for _, pattern := range f.Ignore {
		for _, s := range [...]string{base, name} {
			if ok, _ := path.Match(strings.TrimSuffix(pattern, "/"), s); ok {
				return true
			}
		}
	}
	return false
}

// item returns what a file is; one that is not a regular file in the end is left out.
func (f Folder) item(root *os.Root, name string, entry fs.DirEntry) (item Item, ok bool, err error) {
	item = Item{ID: name, Name: name, Size: -1}
	if !entry.Type().IsRegular() && entry.Type()&fs.ModeSymlink == 0 {
		return item, false, nil
	}
	info, err := root.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return item, false, nil // removed meanwhile, or a link to nothing
	case err != nil && entry.Type()&fs.ModeSymlink != 0:
		return item, true, fault.Wrap(fault.Forbidden, name+" is a link that leads out of the folder, and is not followed", err)
	case err != nil:
		return item, true, fault.Wrap(fault.InvalidRequest, name+" cannot be looked at", err)
	case !info.Mode().IsRegular():
		return item, false, nil
	}
	item.Size, item.Modified, item.Version = info.Size(), info.ModTime(), version(info)
	return item, true, f.fits(name, info.Size())
}

func (f Folder) fits(name string, size int64) error {
	most := f.Most
	if most <= 0 {
		most = mostBytes
	}
	if size > most {
		return fault.New(fault.TooLarge, fmt.Sprintf("%s has %d MiB, more than the %d that a file may have", name, size>>20, most>>20))
	}
	return nil
}

// version returns what tells a content from others, or nothing of a file that was
// written just now.
func version(info fs.FileInfo) string {
	if age := time.Since(info.ModTime()); age < settled && age > -settled {
		return ""
	}
	return fmt.Sprintf("%d-%d", info.Size(), info.ModTime().UnixNano())
}

// Open implements Source.
func (f Folder) Open(_ context.Context, item Item, have string) (*Content, error) {
	root, err := os.OpenRoot(f.Path)
	if err != nil {
		return nil, f.closed(err)
	}
	defer func() { _ = root.Close() }()
	// What is no file is not opened: to open a pipe waits for somebody who writes.
	if is, err := root.Stat(item.ID); err == nil && !is.Mode().IsRegular() {
		return nil, fault.Wrap(fault.InvalidRequest, item.Name+" is not a file", fs.ErrInvalid)
	}
	file, err := root.Open(item.ID)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, item.Name+" cannot be opened: look at its rights", err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrInvalid
	}
	if err != nil {
		_ = file.Close()
		return nil, fault.Wrap(fault.InvalidRequest, item.Name+" is not a file", err)
	}
	v := version(info)
	err = f.fits(item.Name, info.Size())
	if err == nil && v != "" && v == have {
		err = ErrUnchanged
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return &Content{Body: file, Version: v, Size: info.Size()}, nil
}
