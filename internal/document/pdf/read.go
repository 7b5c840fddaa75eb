package pdf

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/klippa-app/go-pdfium"
	pdferr "github.com/klippa-app/go-pdfium/errors"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"

	"headworks/internal/document"
	"headworks/internal/fault"
)

// Bounds of a file.
const (
	MaxBytes = 256 << 20
	maxPages = 10_000
	maxText  = 64 << 20
)

// bold is the weight of a font from which on it is bold; 400 is the usual one.
const bold = 600

// line is a line of a page.
type line struct {
	text        string
	size        float64 // height of its letters, in points
	bold        bool    // all of it
	top, bottom float64 // from the bottom of the page
	left, right float64
}

// Read reads a file.
func (e *Engine) Read(ctx context.Context, source []byte) (*document.Document, error) {
	if len(source) > MaxBytes {
		return nil, fault.New(fault.TooLarge, fmt.Sprintf("has more than %d MiB, the most that is read of a PDF: split it", MaxBytes>>20))
	}
	var d *document.Document
	err := e.with(ctx, func(p pdfium.Pdfium) error {
		f, err := open(p, source)
		if err != nil {
			return err
		}
		d, err = f.read(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// file is an open file. Its instance ends with it, so nothing of it is closed by
// itself but what a page holds.
type file struct {
	pdfium.Pdfium
	document references.FPDF_DOCUMENT
	pages    int
}

func open(p pdfium.Pdfium, source []byte) (*file, error) {
	opened, err := p.OpenDocument(&requests.OpenDocument{File: &source})
	switch {
	case errors.Is(err, pdferr.ErrPassword):
		return nil, fault.Wrap(fault.InvalidRequest, "is protected by a password: save it without one", err)
	case errors.Is(err, pdferr.ErrSecurity):
		return nil, fault.Wrap(fault.Unsupported, "is encrypted in a way that is not known: save it without", err)
	case err != nil:
		return nil, fault.Wrap(fault.InvalidRequest, "is no PDF, or is damaged", err)
	}
	count, err := p.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: opened.Document})
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, "is damaged: it does not say how many pages it has", err)
	}
	if count.PageCount > maxPages {
		return nil, fault.New(fault.TooLarge, fmt.Sprintf("has %d pages, more than %d: split it", count.PageCount, maxPages))
	}
	return &file{Pdfium: p, document: opened.Document, pages: count.PageCount}, nil
}

func (f *file) read(ctx context.Context) (*document.Document, error) {
	pages := make([][]line, f.pages)
	var bare []int // pages without text
	broken := 0
	letters, strange, size := 0, 0, 0
	for i := range pages {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		lines, err := f.page(i)
		if err != nil {
			broken++
			continue
		}
		pages[i] = lines
		some := 0
		for _, l := range lines {
			size += len(l.text)
			for _, r := range l.text {
				switch {
				case r == unicode.ReplacementChar || unicode.Is(unicode.Co, r):
					strange++
				case unicode.IsLetter(r) || unicode.IsDigit(r):
					some++
				}
			}
		}
		letters += some
		if some == 0 {
			bare = append(bare, i+1)
		}
		if size > maxText {
			return nil, fault.New(fault.TooLarge, fmt.Sprintf("has more than %d MiB of text: split it", maxText>>20))
		}
	}
	switch {
	case f.pages > 0 && broken == f.pages:
		return nil, fault.New(fault.InvalidRequest, "is damaged: none of its pages can be read")
	case letters == 0 && strange > 0:
		return nil, fault.New(fault.Unsupported, "does not say which letters its fonts show: have its text recognised (OCR) first")
	case letters == 0:
		return nil, fault.New(fault.Unsupported, "has no text, only pictures, as scans have: have its text recognised (OCR) first")
	}
	d := write(pages, f.title())
	if author := f.meta("Author"); author != "" {
		d.Meta = map[string]string{"author": author}
	}
	if len(bare) > 0 {
		d.Note(fmt.Sprintf("%d of its %d pages have no text (%s); if they are scans, have their text recognised (OCR) first", len(bare), f.pages, ranges(bare)))
	}
	if broken > 0 {
		d.Note(fmt.Sprintf("%d of its %d pages are damaged and left out", broken, f.pages))
	}
	if strange*10 > letters {
		d.Note("some of its fonts do not say which letters they show, so words are missing")
	}
	return d, nil
}

// page returns the lines of a page, in the order of its text.
func (f *file) page(index int) ([]line, error) {
	loaded, err := f.FPDF_LoadPage(&requests.FPDF_LoadPage{Document: f.document, Index: index})
	if err != nil {
		return nil, err
	}
	defer func() { _, _ = f.FPDF_ClosePage(&requests.FPDF_ClosePage{Page: loaded.Page}) }()
	text, err := f.FPDFText_LoadPage(&requests.FPDFText_LoadPage{Page: requests.Page{ByReference: &loaded.Page}})
	if err != nil {
		return nil, err
	}
	defer func() { _, _ = f.FPDFText_ClosePage(&requests.FPDFText_ClosePage{TextPage: text.TextPage}) }()
	count, err := f.FPDFText_CountChars(&requests.FPDFText_CountChars{TextPage: text.TextPage})
	if err != nil {
		return nil, err
	}
	var lines []line
	var now strings.Builder
	first, last := -1, -1 // letters of the line
	end := func() {
		l := line{text: now.String()}
		now.Reset()
		if strings.TrimSpace(l.text) != "" && first >= 0 {
			f.look(text.TextPage, first, last, &l)
			lines = append(lines, l)
		}
		first, last = -1, -1
	}
	for i := range count.Count {
		c, err := f.FPDFText_GetUnicode(&requests.FPDFText_GetUnicode{TextPage: text.TextPage, Index: i})
		if err != nil {
			return nil, err
		}
		switch r := rune(c.Unicode); r {
		case '\n', '\r':
			end()
		case 0:
		default:
			if !unicode.IsSpace(r) {
				if first < 0 {
					first = i
				}
				last = i
			}
			now.WriteRune(r)
		}
	}
	end()
	return lines, nil
}

// look finds out how a line looks by a letter in its middle, and where it lies by
// those at its ends. The size is that of the letter's box: what the font is set to
// may be scaled.
func (f *file) look(text references.FPDF_TEXTPAGE, first, last int, l *line) {
	mid := (first + last) / 2
	l.bold = true
	for _, index := range [...]int{first, mid, last} {
		l.bold = l.bold && f.bold(text, index)
	}
	box := func(index int) (left, top, right, bottom float64) {
		b, err := f.FPDFText_GetLooseCharBox(&requests.FPDFText_GetLooseCharBox{TextPage: text, Index: index})
		if err != nil {
			return 0, 0, 0, 0
		}
		return float64(b.Rect.Left), float64(b.Rect.Top), float64(b.Rect.Right), float64(b.Rect.Bottom)
	}
	var top, bottom float64
	l.left, l.top, _, l.bottom = box(first)
	_, _, l.right, _ = box(last)
	if _, top, _, bottom = box(mid); top > bottom {
		l.size = top - bottom
	}
}

// bold reports whether a letter is, by the weight of its font or by its name: fonts
// that every reader has say no weight.
func (f *file) bold(text references.FPDF_TEXTPAGE, index int) bool {
	w, err := f.FPDFText_GetFontWeight(&requests.FPDFText_GetFontWeight{TextPage: text, Index: index})
	if err == nil && w.FontWeight >= bold {
		return true
	}
	n, err := f.FPDFText_GetFontInfo(&requests.FPDFText_GetFontInfo{TextPage: text, Index: index})
	return err == nil && strings.Contains(strings.ToLower(n.FontName), "bold")
}

func (f *file) meta(tag string) string {
	m, err := f.FPDF_GetMetaText(&requests.FPDF_GetMetaText{Document: f.document, Tag: tag})
	if err != nil {
		return ""
	}
	return document.Line(document.Clean(m.Value))
}

// title returns the title that the file says, unless it is the name of the file that
// it was made of.
func (f *file) title() string {
	t := f.meta("Title")
	low := strings.ToLower(t)
	for _, junk := range [...]string{"untitled", "microsoft word -", "microsoft powerpoint -"} {
		if strings.HasPrefix(low, junk) {
			return ""
		}
	}
	if strings.Contains(t, `\`) {
		return ""
	}
	for word := range strings.FieldsSeq(low) {
		if slices.Contains(fileEnds[:], path.Ext(word)) {
			return ""
		}
	}
	return t
}

// fileEnds are ends of the names of files that PDF is made of.
var fileEnds = [...]string{".doc", ".docx", ".dvi", ".eps", ".indd", ".odt", ".pdf", ".pptx", ".ps", ".qxd", ".rtf", ".tex", ".wpd"}

// ranges writes numbers as in 1-3, 7.
func ranges(n []int) string {
	const most = 10
	var b strings.Builder
	for i, parts := 0, 0; i < len(n); parts++ {
		if parts == most {
			return b.String() + ", and more"
		}
		j := i
		for j+1 < len(n) && n[j+1] == n[j]+1 {
			j++
		}
		if i > 0 {
			b.WriteString(", ")
		}
		if fmt.Fprintf(&b, "%d", n[i]); j > i {
			fmt.Fprintf(&b, "-%d", n[j])
		}
		i = j + 1
	}
	return b.String()
}
