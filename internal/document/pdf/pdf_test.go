package pdf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"headworks/internal/document"
	"headworks/internal/document/documenttest"
	"headworks/internal/fault"
)

// TestMain starts one engine for all tests. To compile it takes seconds, and a minute
// with the race detector, so that the result is kept in the user's cache beside Go's.
func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared().Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var shared = sync.OnceValue(func() *Engine {
	dir, err := os.UserCacheDir()
	if err == nil {
		dir = filepath.Join(dir, "headworks-test")
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return new(Engine)
	}
	return &Engine{Cache: dir}
})

func read(t *testing.T, m *maker) *document.Document {
	t.Helper()
	d, err := shared().Read(t.Context(), m.bytes())
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range []func(*document.Document) error{documenttest.Check, documenttest.Covered} {
		if err := check(d); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func blocks(d *document.Document) string {
	var b strings.Builder
	for _, k := range d.Blocks {
		fmt.Fprintf(&b, "%s %d p%d %q\n", k.Kind, k.Level, k.Page, k.Text)
	}
	return b.String()
}

// paper is set as TeX sets one: words without spaces, moved to their places.
func paper() *maker {
	return &maker{info: "/Title (paper.dvi) /Author (Ada)", pages: []string{
		at("/F2", 24, 72, top, "On the Flow of Water") +
			at("/F2", 16, 72, 700, "1 Introduction") +
			tex(10, 72, 680, "Water flows from above to below, which everybody knows, and the amount of infor-") +
			tex(10, 72, 668, "mation that it carries is small. This is the second sentence of the first para-") +
			tex(10, 72, 656, "graph.") +
			tex(10, 72, 632, "A second paragraph stands apart (with parentheses).") +
			at("/F2", 16, 72, 600, "2 Methods") +
			at("/F1", 10, 72, 580, "We looked at it."),
		tex(10, 72, top, "The last page."),
	}}
}

func TestRead(t *testing.T) {
	d := read(t, paper())
	want := `heading 1 p1 "On the Flow of Water"
heading 2 p1 "1 Introduction"
paragraph 0 p1 "Water flows from above to below, which everybody knows, and the amount of information that it carries is small. This is the second sentence of the first paragraph."
paragraph 0 p1 "A second paragraph stands apart (with parentheses)."
heading 2 p1 "2 Methods"
paragraph 0 p1 "We looked at it."
paragraph 0 p2 "The last page."
`
	if got := blocks(d); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	// The title that the file says is the name of the file it was made of.
	if d.Title != "On the Flow of Water" || d.Meta["author"] != "Ada" || len(d.Notes) > 0 {
		t.Errorf("title %q, meta %q, notes %q", d.Title, d.Meta, d.Notes)
	}
}

// TestRunningHeads: what stands on most pages, but for its number, is left out.
func TestRunningHeads(t *testing.T) {
	m := maker{info: "/Title (A Book)"}
	for i := range 6 {
		m.pages = append(m.pages, at("/F1", 8, 72, 770, "A Book, page "+fmt.Sprint(i+1))+
			at("/F1", 10, 72, 700, "Words of page "+string(rune('a'+i))+".")+
			at("/F1", 10, 72, 688, "More of them.")+
			at("/F1", 10, 72, 400, "And the last ones, "+string(rune('f'-i))+".")+
			at("/F1", 8, 300, 20, fmt.Sprint(i+1)))
	}
	d := read(t, &m)
	if strings.Contains(d.Text, "A Book") || d.Title != "A Book" || !strings.Contains(d.Text, "Words of page c.") || len(d.Blocks) != 12 {
		t.Errorf("%q\n%s", d.Title, blocks(d))
	}
	for _, b := range d.Blocks {
		if strings.TrimFunc(b.Text, func(r rune) bool { return r >= '0' && r <= '9' }) == "" {
			t.Errorf("a page number is left: %q", b.Text)
		}
	}
}

// TestLooks: headings that are only bold, items of lists, dots that lead to a page.
func TestLooks(t *testing.T) {
	d := read(t, &maker{info: `/Title (C:\\docs\\a.wpd [x])`, pages: []string{
		at("/F2", 10, 72, 700, "A bold heading") +
			at("/F1", 10, 72, 688, "Words below it, as many as a line of text has in most documents.") +
			at("/F1", 10, 72, 676, "They go on here.") +
			at("/F1", 10, 72, 664, "\\225 one item, which goes on") +
			at("/F1", 10, 82, 652, "on its second line") +
			at("/F1", 10, 72, 640, "\\225 two") +
			at("/F1", 10, 72, 628, "Words after the list.") +
			at("/F1", 10, 72, 616, "Introduction . . . . . . . . 1"),
	}})
	want := `heading 1 p1 "A bold heading"
paragraph 0 p1 "Words below it, as many as a line of text has in most documents. They go on here."
list 0 p1 "• one item, which goes on on its second line\n• two"
paragraph 0 p1 "Words after the list. Introduction … 1"
`
	if got := blocks(d); got != want || d.Title != "A bold heading" {
		t.Errorf("title %q\n%s\nwant\n%s", d.Title, got, want)
	}
}

// TestColumns: a sentence goes on at the top of the next column.
func TestColumns(t *testing.T) {
	var page strings.Builder
	for i, s := range []string{"The left column begins here and it", "goes on for some lines until it", "ends, and the sentence goes on"} {
		page.WriteString(tex(10, 72, 700-float64(12*i), s))
	}
	for i, s := range []string{"in the right column, where it", "ends."} {
		page.WriteString(tex(10, 320, 700-float64(12*i), s))
	}
	d := read(t, &maker{pages: []string{page.String()}})
	if want := "The left column begins here and it goes on for some lines until it ends, and the sentence goes on in the right column, where it ends."; d.Text != want {
		t.Errorf("%q, want %q", d.Text, want)
	}
}

func TestScans(t *testing.T) {
	scan := "q 612 0 0 792 0 0 cm /Im Do Q\n"
	_, err := shared().Read(t.Context(), (&maker{pages: []string{scan, scan}}).bytes())
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Unsupported || !strings.Contains(f.Words, "OCR") {
		t.Errorf("a scan: %v", err)
	}
	d := read(t, &maker{pages: []string{scan, tex(10, 72, top, "A page with words."), scan, scan, scan}})
	if notes := strings.Join(d.Notes, " "); !strings.Contains(notes, "4 of its 5 pages have no text (1, 3-5)") {
		t.Errorf("notes %q", notes)
	}
}

func TestRefusals(t *testing.T) {
	whole := paper().bytes()
	many := maker{}
	for range 3 {
		many.pages = append(many.pages, "")
	}
	locked := paper()
	locked.password = "secret"
	for _, test := range []struct {
		name   string
		source []byte
		kind   fault.Kind
		words  string
	}{
		{"a password", locked.bytes(), fault.InvalidRequest, "password"},
		{"nothing", nil, fault.InvalidRequest, "no PDF"},
		{"its first line alone", whole[:9], fault.InvalidRequest, "no PDF"},
		{"no page with text", many.bytes(), fault.Unsupported, "no text"},
		{"too much", make([]byte, MaxBytes+1), fault.TooLarge, "MiB"},
	} {
		_, err := shared().Read(t.Context(), test.source)
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != test.kind || !strings.Contains(f.Words, test.words) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	// A table of contents that is wrong is mended, as readers do.
	if _, err := shared().Read(t.Context(), bytes.Replace(whole, []byte("startxref\n"), []byte("startxref\n9"), 1)); err != nil {
		t.Errorf("a wrong place of the table: %v", err)
	}
}

// TestGivenUp: an instance that is ended takes no other file with it.
func TestGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := shared().Read(ctx, paper().bytes()); !errors.Is(err, context.Canceled) {
		t.Errorf("read though nobody waits: %v", err)
	}
	read(t, paper())
}

// TestTooSlow: a file that takes longer than it may is ended from outside, wherever
// it is.
func TestTooSlow(t *testing.T) {
	letters := strings.Repeat(tex(1, 72, 72, "a b c d e f g h i j k l m n o p q r s t"), 2000)
	long := maker{pages: slices.Repeat([]string{letters}, 200)}
	source := long.bytes()
	read(t, paper()) // so that the engine runs
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := shared().Read(ctx, source); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	read(t, paper())
}

// TestWrite draws pages of lines.
func TestWrite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := rapid.Custom(func(t *rapid.T) line {
			text := strings.Join(rapid.SliceOfN(rapid.OneOf(
				rapid.StringMatching(`[A-Za-z]{1,9}[.\x02-]?`), rapid.SampledFrom([]string{"\ufffe", "12", "=", "ﬁ", "\u00ad", "日本"})), 1, 9).Draw(t, "words"), " ")
			size := rapid.SampledFrom([]float64{0, 8, 10, 10.1, 12, 16, 24}).Draw(t, "size")
			y := rapid.Float64Range(-10, 800).Draw(t, "y")
			return line{text: text, size: size, bottom: y, top: y + size, left: rapid.Float64Range(0, 600).Draw(t, "x")}
		})
		pages := rapid.SliceOfN(rapid.SliceOfN(draw, 0, 8), 0, 7).Draw(t, "pages")
		d := write(pages, "")
		for _, check := range []func(*document.Document) error{documenttest.Check, documenttest.Covered} {
			if err := check(d); err != nil {
				t.Fatal(err)
			}
		}
		if strings.ContainsRune(d.Text, hyphen) {
			t.Fatalf("%q has PDFium's mark of a hyphen", d.Text)
		}
	})
}

func TestTogether(t *testing.T) {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if d, err := shared().Read(t.Context(), paper().bytes()); err != nil || d.Title == "" {
				t.Errorf("%v", err)
			}
		})
	}
	all.Wait()
}

// TestKept: what was compiled is kept, and an engine that is closed reads no more.
func TestKept(t *testing.T) {
	dir := shared().Cache
	if dir == "" {
		t.Skip("this user has no cache")
	}
	read(t, paper())
	if kept, err := os.ReadDir(dir); err != nil || len(kept) == 0 {
		t.Errorf("%v, %v", kept, err)
	}
	e := Engine{Cache: dir}
	if _, err := e.Read(t.Context(), paper().bytes()); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if _, err := e.Read(t.Context(), paper().bytes()); err == nil {
		t.Error("a closed engine reads")
	}
}

func TestRanges(t *testing.T) {
	for want, n := range map[string][]int{"": nil, "1": {1}, "1-3, 7": {1, 2, 3, 7}, "2, 4, 6-7": {2, 4, 6, 7}} {
		if got := ranges(n); got != want {
			t.Errorf("%v: %q, want %q", n, got, want)
		}
	}
}
