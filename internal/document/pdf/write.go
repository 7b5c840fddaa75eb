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
	levels     = 4    // of headings
	wide       = 1.35 // a distance of lines is wide at so many times the usual one
)

// write makes a document of the lines of pages. What stands at the top or the bottom
// of most pages is left out; lines are joined to paragraphs by their distance; lines
// that are larger than the text are headings, the larger the higher.
func write(pages [][]line, title string) *document.Document {
	pages = within(pages)
	body := usual(pages)
	sizes := headingSizes(pages, body)
	pitch := usualPitch(pages, body)
	var b document.Builder
	largest, largestSize := "", 0.0
	for i, lines := range pages {
		b.Page = i + 1
		var now strings.Builder
		kind, level := document.Paragraph, 0
		flush := func() {
			if text := now.String(); kind == document.Heading {
				b.Heading(level, text)
			} else {
				b.Add(kind, text)
			}
			now.Reset()
		}
		for k, l := range lines {
			is, at := document.Paragraph, 0
			if n := slices.IndexFunc(sizes, func(s float64) bool { return near(s, l.size) }); n >= 0 && len(l.text) <= maxHeading && worded(l.text) {
				is, at = document.Heading, n+1
			}
			if i == 0 && is == document.Heading && l.size > largestSize {
				largest, largestSize = document.Line(document.Clean(l.text)), l.size
			}
			if k > 0 && (is != kind || at != level || parted(lines[k-1], l, pitch) || is == document.Heading && now.Len()+len(l.text) > maxHeading) {
				flush()
			}
			kind, level = is, at
			join(&now, l.text)
		}
		flush()
	}
	if title == "" {
		title = largest
	}
	return b.Document(title)
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
	case sofar == "":
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
	fewPages = 4 // of fewer, what stands on most is no header
	edge     = 2 // lines at the top and at the bottom that may be one
)

// within leaves out what stands at the top or the bottom of most pages, numbers being
// alike: headers, footers, page numbers.
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
	if full < fewPages {
		return pages
	}
	out := make([][]line, len(pages))
	for i, lines := range pages {
		for k, l := range lines {
			if (k < edge || k >= len(lines)-edge) && count[alike(l.text)]*2 > full {
				continue
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

// alike returns a line with its numbers made one.
func alike(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
		case !unicode.IsDigit(r):
			b.WriteRune(r)
		case !strings.HasSuffix(b.String(), "#"):
			b.WriteByte('#')
		}
	}
	return b.String()
}
