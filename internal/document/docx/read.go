package docx

import (
	"strconv"
	"strings"

	"headworks/internal/document"
)

// reader makes blocks of the text.
type reader struct {
	out    document.Builder
	styles map[string]style             // by id
	kinds  map[string]map[string]string // of numbering: by its id, the form of each level
	counts map[string][9]int            // of numbering: by its id, how far each level is

	title, author string // as the properties say
	called        string // a paragraph in the style Title
	kind          document.Kind
	lines         []string // of a list or of code that goes on
}

// style is what a style of paragraphs means.
type style struct {
	heading int // its level; 0: none
	title   bool
	code    bool
	number  string // numbering that it brings
	base    string
}

func (d *reader) readStyles(t *tree) {
	for _, s := range t.kids {
		if s.name != "style" || s.attrs["type"] != "paragraph" {
			continue
		}
		name := strings.ToLower(s.value("name"))
		var is style
		is.base = s.value("basedOn")
		is.title = name == "title"
		is.code = strings.Contains(name, "code") || strings.Contains(name, "preformatted") || strings.Contains(name, "source")
		if level, ok := strings.CutPrefix(name, "heading "); ok {
			is.heading, _ = strconv.Atoi(level)
		}
		props := s.find("pPr")
		if level, err := strconv.Atoi(props.value("outlineLvl")); err == nil && is.heading == 0 && level >= 0 && level < 9 {
			is.heading = level + 1
		}
		is.number = props.find("numPr").value("numId")
		d.styles[s.attrs["styleId"]] = is
	}
	for id, s := range d.styles {
		base := s
		for range 16 { // a style may be based on another
			if s.heading != 0 || base.base == "" {
				break
			}
			base = d.styles[base.base]
			s.heading, s.code = base.heading, s.code || base.code
		}
		d.styles[id] = s
	}
}

func (d *reader) readNumbering(t *tree) {
	levels := map[string]map[string]string{}
	for _, n := range t.kids {
		switch n.name {
		case "abstractNum":
			kinds := map[string]string{}
			for _, l := range n.kids {
				if l.name == "lvl" {
					kinds[l.attrs["ilvl"]] = l.value("numFmt")
				}
			}
			levels[n.attrs["abstractNumId"]] = kinds
		case "num":
			d.kinds[n.attrs["numId"]] = levels[n.value("abstractNumId")]
		}
	}
}

func (d *reader) readCore(t *tree) {
	for _, k := range t.kids {
		switch k.name {
		case "title":
			d.title = document.Line(document.Clean(k.text))
		case "creator":
			d.author = document.Line(document.Clean(k.text))
		}
	}
}

// blocks reads what the body holds, or what wraps parts of it.
func (d *reader) blocks(t *tree) {
	for _, k := range t.kids {
		switch k.name {
		case "p":
			d.paragraph(k)
		case "tbl":
			d.flush()
			d.table(k)
		case "sdt", "sdtContent", "ins", "moveTo", "customXml", "smartTag", "AlternateContent", "Choice":
			d.blocks(k)
		}
	}
}

func (d *reader) paragraph(p *tree) {
	props := p.find("pPr")
	id := props.value("pStyle")
	s := d.styles[id]
	text := textOf(p)
	level := s.heading
	if n, err := strconv.Atoi(props.value("outlineLvl")); err == nil && n >= 0 && n < 9 {
		level = n + 1
	}
	if strings.TrimSpace(text) == "" {
		if d.kind == document.Code && len(d.lines) > 0 && s.code {
			d.lines = append(d.lines, "")
		}
		return
	}
	number := props.find("numPr")
	switch {
	case s.title && d.called == "":
		d.flush()
		d.called = document.Line(document.Clean(text))
		d.out.Heading(1, text)
	case level > 0:
		d.flush()
		d.out.Heading(level, text)
	case s.code:
		d.more(document.Code, text)
	case number.value("numId") != "" && number.value("numId") != "0" || number == nil && s.number != "":
		n := number.value("numId")
		if number == nil {
			n = s.number
		}
		d.more(document.List, d.mark(n, number.value("ilvl"))+document.Line(text))
	default:
		d.flush()
		d.out.Add(document.Paragraph, text)
	}
	for _, box := range boxes(p, nil) {
		d.blocks(box)
	}
}

// more adds a line to a block that goes on over several paragraphs.
func (d *reader) more(kind document.Kind, line string) {
	if d.kind != kind {
		d.flush()
	}
	d.kind = kind
	d.lines = append(d.lines, line)
}

func (d *reader) flush() {
	d.out.Add(d.kind, strings.Join(d.lines, "\n"))
	d.lines = d.lines[:0]
}

// mark returns what an item of a list begins with.
func (d *reader) mark(id, level string) string {
	l, err := strconv.Atoi(level)
	if err != nil || l < 0 || l > 8 {
		l = 0
	}
	indent := strings.Repeat("  ", l)
	if kind := d.kinds[id][strconv.Itoa(l)]; kind == "" || kind == "bullet" || kind == "none" {
		return indent + "- "
	}
	counts := d.counts[id]
	counts[l]++
	clear(counts[l+1:])
	d.counts[id] = counts
	return indent + strconv.Itoa(counts[l]) + ". "
}

// textOf returns what the runs of a paragraph say, without the text boxes in it.
func textOf(p *tree) string {
	var b strings.Builder
	var walk func(t *tree)
	walk = func(t *tree) {
		for _, k := range t.kids {
			switch k.name {
			case "t":
				b.WriteString(k.text)
			case "tab", "ptab":
				b.WriteByte('\t')
			case "br", "cr":
				b.WriteByte('\n')
			case "noBreakHyphen":
				b.WriteByte('-')
			case "pPr", "rPr", "txbxContent":
			default:
				walk(k)
			}
		}
	}
	walk(p)
	return b.String()
}

// boxes returns the contents of the text boxes in a paragraph.
func boxes(t *tree, found []*tree) []*tree {
	for _, k := range t.kids {
		if k.name == "txbxContent" {
			found = append(found, k)
		} else {
			found = boxes(k, found)
		}
	}
	return found
}

const (
	maxCells = 256
	maxAgain = 256 // bytes of a cell that stands in several rows
)

// table reads a table: the first row is the header if it is marked so, or if it is
// the only one that is set apart, which is how most are.
func (d *reader) table(t *tree) {
	var rows [][]string
	var above []string
	var gather func(t *tree)
	gather = func(t *tree) {
		for _, tr := range t.kids {
			if tr.name != "tr" {
				if tr.name == "sdt" || tr.name == "sdtContent" || tr.name == "ins" {
					gather(tr)
				}
				continue
			}
			row := cells(tr, above, nil)
			above = row
			if strings.TrimSpace(strings.Join(row, "")) != "" {
				rows = append(rows, row)
			}
		}
	}
	gather(t)
	switch {
	case len(rows) == 0:
	case len(rows) == 1 || len(rows[0]) == 1:
		for _, r := range rows { // it frames text
			d.out.Add(document.Paragraph, strings.TrimSpace(strings.Join(r, "\n")))
		}
	default:
		d.out.Table(rows[0], rows[1:])
	}
}

// cells returns what the cells of a row say. One that goes on from the row above says
// what that one says.
func cells(tr *tree, above, row []string) []string {
	for _, tc := range tr.kids {
		if tc.name == "sdt" || tc.name == "sdtContent" {
			row = cells(tc, above, row)
			continue
		}
		if tc.name != "tc" || len(row) >= maxCells {
			continue
		}
		props := tc.find("tcPr")
		words := strings.TrimSpace(cellText(tc))
		if merge := props.find("vMerge"); merge != nil && merge.attrs["val"] != "restart" && len(row) < len(above) && len(above[len(row)]) <= maxAgain {
			words = above[len(row)]
		}
		row = append(row, words)
		for n, _ := strconv.Atoi(props.value("gridSpan")); n > 1 && len(row) < maxCells; n-- {
			row = append(row, "")
		}
	}
	return row
}

func cellText(t *tree) string {
	var b strings.Builder
	for _, k := range t.kids {
		if k.name == "p" {
			b.WriteString(textOf(k))
		} else {
			b.WriteString(cellText(k))
		}
		b.WriteByte(' ')
	}
	return document.Line(b.String())
}

// notes adds footnotes, which have no place in the text.
func (d *reader) notes(t *tree) {
	for _, n := range t.kids {
		if kind := n.attrs["type"]; kind != "" && kind != "normal" {
			continue // the line above footnotes
		}
		d.blocks(n)
		d.flush()
	}
}
