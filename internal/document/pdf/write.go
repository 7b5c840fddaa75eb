package pdf

import (
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"headworks/internal/document"
)

const (
	larger     = 1.15 // so many times as large as the text, a line is a heading
	maxHeading = 200  // bytes of one
	maxBold    = 100  // and of one that is only bolder than the text
	levels     = 4    // of headings by their size
	wide       = 1.35 // a distance of lines is wide at so many times the usual one
)

// write makes a document of the lines of pages. What stands at the top or the bottom
// of many pages is left out; lines are joined to paragraphs by their distance; lines
// that are larger than the text are headings, the larger the higher, and so are bold
// lines by themselves, on the level below.
func write(pages [][]line, title string) *document.Document {
	pages = within(pages)
	w := writer{title: title}
	w.measure(pages)
	for i, lines := range pages {
		w.out.Page = i + 1
		for k := range lines {
			w.line(lines, k)
		}
		w.flush()
	}
	if w.title == "" {
		w.title = w.largest
	}
	return w.out.Document(w.title)
}

// writer writes lines as blocks.
type writer struct {
	out         document.Builder
	title       string
	largest     string // line of the first page
	largestSize float64

	sizes []float64 // of headings, the largest first
	bolds bool      // that a line is bold tells something
	pitch float64   // the usual distance of lines

	now   strings.Builder // the block being read
	kind  document.Kind
	level int
	mark  float64 // where the mark of the item being read stands
}

func (w *writer) flush() {
	if text := w.now.String(); w.kind == document.Heading {
		w.out.Heading(w.level, text)
	} else {
		w.out.Add(w.kind, text)
	}
	w.now.Reset()
	w.kind, w.level = document.Paragraph, 0
}

// line takes the next line of a page.
func (w *writer) line(lines []line, k int) {
	l := lines[k]
	l.text = withoutLeaders(l.text)
	kind, level := w.look(lines, k)
	item := marked(l.text)
	apart := k > 0 && parted(lines[k-1], l, w.pitch)
	switch {
	case w.now.Len() == 0:
	case w.kind == document.List && kind == document.Paragraph && (item || !apart && l.left > w.mark+l.size/4):
		// The list goes on, or the item does.
		if item {
			w.now.WriteByte('\n')
			w.mark = l.left
		}
		join(&w.now, l.text)
		return
	case kind != w.kind, level != w.level, item, apart, kind == document.Heading && w.now.Len()+len(l.text) > maxHeading:
		w.flush()
	}
	if w.now.Len() == 0 {
		if w.kind, w.level = kind, level; item && kind == document.Paragraph {
			w.kind, w.mark = document.List, l.left
		}
	}
	join(&w.now, l.text)
}

// look finds out whether a line is a heading, and of which level.
func (w *writer) look(lines []line, k int) (document.Kind, int) {
	l := lines[k]
	if len(l.text) > maxHeading || !worded(l.text) || marked(l.text) {
		return document.Paragraph, 0
	}
	if n := slices.IndexFunc(w.sizes, func(s float64) bool { return near(s, l.size) }); n >= 0 {
		if w.out.Page == 1 && l.size > w.largestSize {
			w.largest, w.largestSize = document.Line(document.Clean(l.text)), l.size
		}
		return document.Heading, n + 1
	}
	alone := (k == 0 || !lines[k-1].bold || parted(lines[k-1], l, w.pitch)) && (k+1 == len(lines) || !lines[k+1].bold)
	if w.bolds && l.bold && alone && len(l.text) <= maxBold && !ends(l.text) && !strings.HasSuffix(strings.TrimSpace(l.text), ",") {
		return document.Heading, len(w.sizes) + 1
	}
	return document.Paragraph, 0
}

// marked reports whether a line begins an item of a list.
func marked(text string) bool {
	mark, size := utf8.DecodeRuneInString(strings.TrimSpace(text))
	return strings.ContainsRune("•◦▪‣●○■–", mark) && size < len(strings.TrimSpace(text))
}

// withoutLeaders makes one sign of the dots that lead to the number of a page.
func withoutLeaders(text string) string {
	if !strings.Contains(text, ". . .") && !strings.Contains(text, ".....") {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		n, dots := i, 0
		for n < len(text) && (text[n] == '.' || text[n] == ' ') {
			if text[n] == '.' {
				dots++
			}
			n++
		}
		switch {
		case dots > 3:
			b.WriteString(" … ")
			i = n
		case n > i:
			b.WriteString(text[i:n])
			i = n
		default:
			b.WriteByte(text[i])
			i++
		}
	}
	return b.String()
}

// measure finds out how the text of a document looks.
func (w *writer) measure(pages [][]line) {
	body := usual(pages)
	w.sizes, w.pitch = headingSizes(pages, body), usualPitch(pages, body)
	strong, all := 0, 0
	for _, lines := range pages {
		for _, l := range lines {
			if all += len(l.text); l.bold {
				strong += len(l.text)
			}
		}
	}
	w.bolds = strong*4 < all
}

// worded reports whether most of a text are letters, which a formula's are not.
func worded(text string) bool {
	letters, rest := 0, 0
	for _, r := range text {
		switch {
		case unicode.IsLetter(r):
			letters++
		case !unicode.IsSpace(r):
			rest++
		}
	}
	return letters > 1 && letters >= rest
}

// parted reports whether a line begins a paragraph: it stands apart from the one
// before, or at the top of another column after a whole sentence.
func parted(before, l line, pitch float64) bool {
	step := before.bottom - l.bottom
	switch {
	case step < -l.size/2: // up: another column
		return !runsOn(before.text, l.text)
	case step > pitch*wide && step > l.size*wide:
		return !runsOn(before.text, l.text) || step > 3*pitch
	case step > l.size/2 && l.left-before.left > l.size/2 && l.left-before.left < 4*l.size:
		return ends(before.text) // the first line of a paragraph is set in
	}
	return false
}

// runsOn reports whether a sentence goes on from one line to the next.
func runsOn(before, text string) bool {
	first, _ := utf8.DecodeRuneInString(strings.TrimSpace(text))
	return !ends(before) && unicode.IsLower(first)
}

func ends(text string) bool {
	last, _ := utf8.DecodeLastRuneInString(strings.TrimRight(text, " \t\"')]”’"))
	return strings.ContainsRune(".!?:;。", last)
}

// hyphen is what PDFium has in the place of a hyphen at the end of a line.
const hyphen = '\x02'

// join adds a line to a paragraph. A word that a hyphen cuts in two at the end of a
// line is one again.
func join(b *strings.Builder, text string) {
	text = strings.TrimSpace(text)
	sofar := b.String()
	last, size := utf8.DecodeLastRuneInString(sofar)
	first, _ := utf8.DecodeRuneInString(text)
	switch {
	case sofar == "" || last == '\n':
	case last == hyphen || last == '\u00ad' || last == '\ufffe':
		b.Reset()
		b.WriteString(sofar[:len(sofar)-size])
		if !unicode.IsLower(first) {
			b.WriteByte('-')
		}
	case last == '-' || last == '\u2010':
		if !unicode.IsLetter(first) {
			b.WriteByte(' ')
		}
	default:
		b.WriteByte(' ')
	}
	b.WriteString(text)
}

// usual returns the size that most letters have.
func usual(pages [][]line) float64 {
	counts := map[float64]int{}
	for _, lines := range pages {
		for _, l := range lines {
			counts[round(l.size)] += len(l.text)
		}
	}
	return mostOf(counts)
}

// usualPitch returns the distance that most lines of the text have.
func usualPitch(pages [][]line, body float64) float64 {
	counts := map[float64]int{}
	for _, lines := range pages {
		for i := 1; i < len(lines); i++ {
			if step := lines[i-1].bottom - lines[i].bottom; near(lines[i].size, body) && step > body/2 && step < 4*body {
				counts[round(step)]++
			}
		}
	}
	if len(counts) == 0 {
		return body * 1.2
	}
	return mostOf(counts)
}

// mostOf returns the key with the highest count, the smallest of several.
func mostOf(counts map[float64]int) (best float64) {
	most := 0
	for k, n := range counts {
		if n > most || n == most && k < best {
			best, most = k, n
		}
	}
	return best
}

// headingSizes returns the sizes of headings, the largest first.
func headingSizes(pages [][]line, body float64) (sizes []float64) {
	if body <= 0 {
		return nil
	}
	for _, lines := range pages {
		for _, l := range lines {
			if l.size >= body*larger && len(l.text) <= maxHeading && worded(l.text) && !slices.ContainsFunc(sizes, func(s float64) bool { return near(s, l.size) }) {
				sizes = append(sizes, l.size)
			}
		}
	}
	slices.SortFunc(sizes, func(a, b float64) int {
		switch {
		case a > b:
			return -1
		case a < b:
			return 1
		}
		return 0
	})
	return sizes[:min(len(sizes), levels)]
}

func round(x float64) float64 { return math.Round(x*2) / 2 }

// near reports whether two sizes are meant to be the same.
func near(a, b float64) bool { return math.Abs(a-b) <= 0.04*max(a, b) }

const (
	fewPages = 3 // on so many a line has to stand to be a running head
	edge     = 2 // lines at the top and at the bottom that may be one
)

// within leaves out what stands at the top or the bottom of many pages, numbers being
// alike: headers, footers, page numbers. What stands on fewer than half of them, such
// as the name of a chapter, is left where it stands first.
func within(pages [][]line) [][]line {
	count, full := map[string]int{}, 0
	for _, lines := range pages {
		if len(lines) > 0 {
			full++
		}
		seen := map[string]bool{}
		for _, l := range edges(lines) {
			if k := alike(l.text); !seen[k] {
				seen[k] = true
				count[k]++
			}
		}
	}
	out := make([][]line, len(pages))
	seen := map[string]bool{}
	for i, lines := range pages {
		for k, l := range lines {
			if is := alike(l.text); (k < edge || k >= len(lines)-edge) && count[is] >= max(fewPages, full/5) {
				if is == aNumber || count[is]*2 > full || seen[is] {
					continue
				}
				seen[is] = true
			}
			out[i] = append(out[i], l)
		}
	}
	return out
}

func edges(lines []line) []line {
	if len(lines) <= 2*edge {
		return lines
	}
	return slices.Concat(lines[:edge], lines[len(lines)-edge:])
}

// aNumber is what numbers are made.
const aNumber = "#"

// alike returns a line with its numbers made one.
func alike(text string) string {
	if roman := strings.TrimSpace(text); roman != "" && strings.Trim(roman, "ivxlc") == "" {
		return aNumber
	}
	var b strings.Builder
	digits := false
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
			continue
		case !unicode.IsDigit(r):
			b.WriteRune(r)
		case !digits:
			b.WriteString(aNumber)
		}
		digits = unicode.IsDigit(r)
	}
	return b.String()
}
