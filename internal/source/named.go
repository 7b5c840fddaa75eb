package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"headworks/internal/fault"
)

// Options say how a source that somebody named is reached. What a source has no use
// for is left alone.
type Options struct {
	Ignore        []string // of a folder; see Folder
	Hosts         []string // of the web, beside the one of the name; see WebOptions
	Authorization string   // of the web; see WebOptions
	Endpoint      string   // of S3; see S3Options
	Region        string
	Key           string
	Most          int64 // bytes of a file; 0: 512 MiB
}

// Named returns the source of a name, and what lets go of it in the end:
//
//	./docs                           a folder
//	./faq.md                         a file
//	./sitemap.xml                    a file that is a sitemap
//	https://example.com/sitemap.xml  a sitemap, or an index of them
//	https://example.com/page         one page
//	s3://bucket/prefix               the objects of a bucket
//
// A sitemap is known by its name: it ends in .xml or .xml.gz and has "sitemap" in it.
func Named(name string, o Options) (Source, func(), error) {
	scheme, rest, isURL := strings.Cut(name, "://")
	if !isURL {
		return local(name, o)
	}
	switch strings.ToLower(scheme) {
	case "s3":
		bucket, prefix, _ := strings.Cut(rest, "/")
		s, err := NewS3(S3Options{Endpoint: o.Endpoint, Region: o.Region, Bucket: bucket, Prefix: prefix, Key: o.Key, Most: o.Most})
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	case "http", "https":
		u, err := url.Parse(name)
		if err != nil || u.Host == "" || u.User != nil {
			return nil, nil, fault.New(fault.InvalidRequest, "the URL is not valid: write it as in https://docs.example.com/sitemap.xml, without a password")
		}
		w, err := NewWeb(WebOptions{Hosts: hostsOf(u, o.Hosts), Authorization: o.Authorization, Most: o.Most})
		if err != nil {
			return nil, nil, err
		}
		if isSitemap(u.Path) {
			return Sitemap{Web: w, URL: name}, w.Close, nil
		}
		return Pages{Web: w, URLs: []string{name}}, w.Close, nil
	}
	return nil, nil, fault.New(fault.Unsupported, fmt.Sprintf("there is no kind of source for %q: name a folder, a file, a sitemap, or a URL that begins with https://, http:// or s3://", scheme+"://"))
}

// hostsOf returns the host of a URL, by its own port alone where it names one, and
// others.
func hostsOf(u *url.URL, more []string) []string {
	host := u.Hostname()
	if u.Port() != "" {
		host = net.JoinHostPort(host, u.Port())
	}
	return append([]string{host}, more...)
}

func isSitemap(name string) bool {
	base := strings.ToLower(path.Base(filepath.ToSlash(name)))
	return strings.Contains(base, "sitemap") && (strings.HasSuffix(base, ".xml") || strings.HasSuffix(base, ".xml.gz"))
}

func local(name string, o Options) (Source, func(), error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fault.Wrap(fault.NotFound, "there is nothing at "+name, err)
	case err != nil:
		return nil, nil, fault.Wrap(fault.InvalidRequest, name+" cannot be looked at", err)
	case info.IsDir():
		return Folder{Path: name, Ignore: o.Ignore, Most: o.Most}, func() {}, nil
	case !isSitemap(name):
		return File{Path: name, Most: o.Most}, func() {}, nil
	}
	hosts := o.Hosts
	if len(hosts) == 0 {
		host, err := HostOf(name)
		if err != nil {
			return nil, nil, err
		}
		if inside(host) {
			return nil, nil, fault.New(fault.Forbidden, fmt.Sprintf("the sitemap %s leads to %s, which only machines of one's own reach: add it to hosts if that is meant", name, host))
		}
		hosts = []string{host}
	}
	w, err := NewWeb(WebOptions{Hosts: hosts, Authorization: o.Authorization, Most: o.Most})
	if err != nil {
		return nil, nil, err
	}
	return Sitemap{Web: w, Path: name}, w.Close, nil
}

// inside reports whether a host is an address, or a name without a dot: a file that
// came from elsewhere does not say that those be asked.
func inside(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	_, err := netip.ParseAddr(host)
	return err == nil || !strings.Contains(strings.Trim(host, "."), ".")
}

// File is one file.
type File struct {
	Path string
	Most int64 // bytes; 0: 512 MiB
}

func (f File) folder() (Folder, Item) {
	base := filepath.Base(f.Path)
	return Folder{Path: filepath.Dir(f.Path), Most: f.Most}, Item{ID: base, Name: base, Size: -1}
}

// List implements Source.
func (f File) List(context.Context) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		info, err := os.Stat(f.Path)
		if err != nil {
			yield(Item{}, fault.Wrap(fault.NotFound, "there is nothing at "+f.Path, err))
			return
		}
		dir, item := f.folder()
		item.Size, item.Modified, item.Version = info.Size(), info.ModTime(), version(info)
		yield(item, dir.fits(item.Name, info.Size()))
	}
}

// Open implements Source.
func (f File) Open(ctx context.Context, _ Item, have string) (*Content, error) {
	// Where the path is a link, the file is what it leads to: it was named.
	real, err := filepath.EvalSymlinks(f.Path)
	if err != nil {
		return nil, ErrGone
	}
	dir, item := File{Path: real, Most: f.Most}.folder()
	return dir.Open(ctx, item, have)
}
