package source

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"os"
	"strings"
	"time"

	"headworks/internal/fault"
)

// Bounds of sitemaps (sitemaps.org, protocol 0.9).
const (
	mostMap     = 50 << 20 // bytes of one, unpacked
	mostURLs    = 50_000   // in one
	mostMaps    = 50_000   // in an index
	mostPages   = 1_000_000
	mostNesting = 2  // indexes in an index; the protocol allows none
	mostDepth   = 64 // elements in elements
)

// Sitemap is what a sitemap lists: one that is asked for, or a file of this machine.
// Indexes of sitemaps are followed, gzip is unpacked, and one that is plain text has
// a URL a line. When a sitemap says that a page was modified is passed on and not
// relied on: many say the same of all pages.
type Sitemap struct {
	Web  *Web
	URL  string
	Path string // where URL is empty
}

// HostOf returns the host of the first URL of a sitemap in a file, for a Web that
// reaches no other.
func HostOf(path string) (string, error) {
	s := Sitemap{Path: path}
	host := ""
	err := s.read(context.Background(), "", func(e entry) error {
		u, err := url.Parse(e.loc)
		if err != nil || u.Host == "" {
			return fault.New(fault.InvalidRequest, "the first URL of the sitemap "+path+" is not valid")
		}
		host = u.Host
		return errEnough
	})
	if err != nil && !errors.Is(err, errEnough) {
		return "", err
	}
	if host == "" {
		return "", fault.New(fault.InvalidRequest, "the sitemap "+path+" lists no URL")
	}
	return host, nil
}

// entry is a line of a sitemap.
type entry struct {
	loc      string
	modified time.Time
	isMap    bool
}

var errEnough = errors.New("source: enough")

// List implements Source.
func (s Sitemap) List(ctx context.Context) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		seen := map[string]bool{}
		var walk func(at string, nesting int) error
		walk = func(at string, nesting int) error {
			return s.read(ctx, at, func(e entry) error {
				item, err := s.Web.item(e.loc)
				if seen[item.ID] {
					return nil
				}
				if len(seen) >= mostPages {
					return fault.New(fault.TooLarge, fmt.Sprintf("the sitemap lists more than %d pages: use several sources", mostPages))
				}
				seen[item.ID] = true
				if e.isMap {
					if err == nil && nesting >= mostNesting {
						err = fault.New(fault.InvalidRequest, "an index of sitemaps lists indexes that list indexes, which is not followed")
					}
					if err != nil {
						return err // what it lists is not known, so the list is not whole
					}
					return walk(item.ID, nesting+1)
				}
				item.Modified = e.modified
				if !yield(item, err) {
					return errEnough
				}
				return nil
			})
		}
		if err := walk(s.URL, 0); err != nil && !errors.Is(err, errEnough) {
			yield(Item{}, err)
		}
	}
}

// Open implements Source.
func (s Sitemap) Open(ctx context.Context, item Item, have string) (*Content, error) {
	return s.Web.open(ctx, item, have)
}

// read reads a sitemap, and gives each of its entries to use.
func (s Sitemap) read(ctx context.Context, at string, use func(entry) error) error {
	in, err := s.open(ctx, at)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	var from io.Reader = in
	head := bufio.NewReader(from)
	from = head
	if magic, _ := head.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(head)
		if err != nil {
			return badMap(err)
		}
		from = z
	}
	body := bufio.NewReader(&bounded{ReadCloser: io.NopCloser(from), left: mostMap, over: func() error {
		return fault.New(fault.TooLarge, fmt.Sprintf("a sitemap has more than %d MiB: split it", mostMap>>20))
	}})
	if first, _ := body.Peek(512); !bytes.Contains(first, []byte("<")) {
		return readLines(body, use)
	}
	return readMap(body, use)
}

// open opens a sitemap at a URL; one without is the file.
func (s Sitemap) open(ctx context.Context, at string) (io.ReadCloser, error) {
	if at == "" {
		f, err := os.Open(s.Path)
		if err != nil {
			return nil, fault.Wrap(fault.NotFound, "there is no sitemap "+s.Path, err)
		}
		return f, nil
	}
	u, err := url.Parse(at)
	if err != nil {
		return nil, fault.New(fault.InvalidRequest, "the URL of a sitemap is not valid")
	}
	a, err := s.Web.get(ctx, u, nil)
	if err != nil {
		return nil, err
	}
	return a.Body, nil
}

func badMap(err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	return fault.Wrap(fault.InvalidRequest, "the sitemap is damaged: it is neither a urlset, a sitemapindex nor a list of URLs, or ends too early", err)
}

// readMap reads a sitemap or an index.
func readMap(in io.Reader, use func(entry) error) error {
	d := xml.NewDecoder(in)
	d.CharsetReader = func(string, io.Reader) (io.Reader, error) { return nil, errors.New("not UTF-8") }
	depth, count := 0, 0
	root := ""
	var e entry
	var field string
	var text strings.Builder
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && root != "" && depth == 0 {
			return nil
		}
		if err != nil {
			return badMap(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			name := token.Name.Local
			if depth++; depth > mostDepth {
				return badMap(errors.New("too deep"))
			}
			switch {
			case depth == 1:
				if root = name; root != "urlset" && root != "sitemapindex" {
					return badMap(errors.New("another document"))
				}
			case depth == 2:
				e = entry{isMap: name == "sitemap"}
			case depth == 3 && (name == "loc" || name == "lastmod"):
				field = name
				text.Reset()
			}
		case xml.CharData:
			if field != "" && depth == 3 && text.Len() < maxURLLength {
				text.Write(token)
			}
		case xml.EndElement:
			if depth == 3 && field != "" {
				if s := strings.TrimSpace(text.String()); field == "loc" {
					e.loc = s
				} else {
					e.modified = moment(s)
				}
				field = ""
			}
			if depth == 2 && e.loc != "" {
				if count++; count > max(mostURLs, mostMaps) {
					return fault.New(fault.TooLarge, fmt.Sprintf("a sitemap lists more than %d URLs: split it", mostURLs))
				}
				if err := use(e); err != nil {
					return err
				}
			}
			depth--
		}
	}
}

// readLines reads a sitemap that is plain text.
func readLines(in io.Reader, use func(entry) error) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxURLLength)
	for n := 0; lines.Scan(); {
		s := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if s == "" {
			continue
		}
		if !strings.HasPrefix(s, "http://") && !strings.HasPrefix(s, "https://") {
			return badMap(errors.New("a line is no URL"))
		}
		if n++; n > mostURLs {
			return fault.New(fault.TooLarge, fmt.Sprintf("a sitemap lists more than %d URLs: split it", mostURLs))
		}
		if err := use(entry{loc: s}); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return badMap(err)
	}
	return nil
}

// moment reads a date as W3C has it (Date and Time Formats); what is none is zero.
func moment(s string) time.Time {
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", time.DateOnly, "2006-01", "2006"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Time{}
}
