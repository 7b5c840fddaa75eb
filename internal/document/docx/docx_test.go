package docx

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"headworks/internal/document"
	"headworks/internal/document/documenttest"
	"headworks/internal/fault"
)

// file packs parts as Word does.
func file(t testing.TB, parts map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range parts {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const (
	namespaces = `xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" xmlns:wps="x" xmlns:v="y"`
	relations  = `<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>`
	styles     = `<w:styles ` + namespaces + `>
<w:style w:type="paragraph" w:styleId="Kop1"><w:name w:val="heading 1"/></w:style>
<w:style w:type="paragraph" w:styleId="Own"><w:name w:val="Chapter"/><w:basedOn w:val="Kop2"/></w:style>
<w:style w:type="paragraph" w:styleId="Kop2"><w:name w:val="Heading 2"/></w:style>
<w:style w:type="paragraph" w:styleId="T"><w:name w:val="Title"/></w:style>
<w:style w:type="paragraph" w:styleId="C"><w:name w:val="Source Code"/></w:style>
<w:style w:type="paragraph" w:styleId="LB"><w:name w:val="List Bullet"/><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>
<w:style w:type="character" w:styleId="X"><w:name w:val="heading 3"/></w:style></w:styles>`
	numbering = `<w:numbering ` + namespaces + `><w:abstractNum w:abstractNumId="0"><w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/></w:lvl></w:abstractNum>
<w:abstractNum w:abstractNumId="7"><w:lvl w:ilvl="0"><w:numFmt w:val="decimal"/></w:lvl><w:lvl w:ilvl="1"><w:numFmt w:val="lowerLetter"/></w:lvl></w:abstractNum>
<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num><w:num w:numId="2"><w:abstractNumId w:val="7"/></w:num></w:numbering>`
	core  = `<cp:coreProperties xmlns:cp="a" xmlns:dc="b"><dc:title>The  report</dc:title><dc:creator>Ada</dc:creator></cp:coreProperties>`
	notes = `<w:footnotes ` + namespaces + `><w:footnote w:type="separator"><w:p><w:r><w:t>----</w:t></w:r></w:p></w:footnote><w:footnote w:id="2"><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote></w:footnotes>`
)

func p(style, text string) string {
	return `<w:p><w:pPr><w:pStyle w:val="` + style + `"/></w:pPr><w:r><w:t>` + text + `</w:t></w:r></w:p>`
}

func item(id, level, text string) string {
	return `<w:p><w:pPr><w:numPr><w:ilvl w:val="` + level + `"/><w:numId w:val="` + id + `"/></w:numPr></w:pPr><w:r><w:t>` + text + `</w:t></w:r></w:p>`
}

func cell(props, text string) string {
	return `<w:tc><w:tcPr>` + props + `</w:tcPr><w:p><w:r><w:t>` + text + `</w:t></w:r></w:p></w:tc>`
}

func whole() map[string]string {
	return map[string]string{
		"_rels/.rels": relations, "word/styles.xml": styles, "word/numbering.xml": numbering,
		"docProps/core.xml": core, "word/footnotes.xml": notes,
		"word/document.xml": `<?xml version="1.0"?><w:document ` + namespaces + `><w:body>` +
			p("T", "Report") + p("Kop1", "First") +
			`<w:p><w:r><w:t xml:space="preserve">Glued </w:t></w:r><w:r><w:rPr><w:b/></w:rPr><w:t>to</w:t></w:r><w:r><w:t>gether</w:t><w:tab/><w:t>tab</w:t><w:br/><w:t>line</w:t></w:r>` +
			`<w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:ins><w:r><w:t> new</w:t></w:r></w:ins>` +
			`<w:r><w:instrText>PAGEREF x</w:instrText></w:r><w:hyperlink><w:r><w:t> link</w:t></w:r></w:hyperlink></w:p>` +
			p("Own", "Second level") +
			item("1", "0", "one") + item("1", "1", "deep") + p("LB", "two") +
			item("2", "0", "n") + item("2", "1", "na") + item("2", "1", "nb") + item("2", "0", "m") +
			p("C", "func f() {") + p("C", "}") +
			`<w:tbl><w:tr>` + cell("", "Name") + cell("", "Means") + `</w:tr>` +
			`<w:tr>` + cell(`<w:vMerge w:val="restart"/>`, "a") + cell("", "1") + `</w:tr>` +
			`<w:tr>` + cell(`<w:vMerge/>`, "") + cell("", "2") + `</w:tr></w:tbl>` +
			`<w:p><w:r><mc:AlternateContent><mc:Choice><wps:txbx><w:txbxContent>` + p("", "In a box") + `</w:txbxContent></wps:txbx></mc:Choice>` +
			`<mc:Fallback><v:textbox><w:txbxContent>` + p("", "In a box") + `</w:txbxContent></v:textbox></mc:Fallback></mc:AlternateContent></w:r><w:r><w:t>Around it.</w:t></w:r></w:p>` +
			`<w:sectPr/></w:body></w:document>`,
	}
}

func limits() Limits { return Limits{Bytes: 8 << 20, Ratio: 100, Depth: 64} }

func TestRead(t *testing.T) {
	d, err := Read(t.Context(), file(t, whole()), limits())
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range []func(*document.Document) error{documenttest.Check, documenttest.Covered} {
		if err := check(d); err != nil {
			t.Fatal(err)
		}
	}
	var got strings.Builder
	for _, b := range d.Blocks {
		fmt.Fprintf(&got, "%s %d %d %q\n", b.Kind, b.Level, b.Head, b.Text)
	}
	want := `heading 1 0 "Report"
heading 1 0 "First"
paragraph 0 0 "Glued together\ttab\nline new link"
heading 2 0 "Second level"
list 0 0 "- one\n  - deep\n- two\n1. n\n  1. na\n  2. nb\n2. m"
code 0 0 "func f() {\n}"
table 0 31 "| Name | Means |\n| --- | --- |\n| a | 1 |\n| a | 2 |"
paragraph 0 0 "Around it."
paragraph 0 0 "In a box"
paragraph 0 0 "A note."
`
	if got.String() != want {
		t.Errorf("%s\nwant\n%s", got.String(), want)
	}
	if d.Title != "The report" || d.Meta["author"] != "Ada" {
		t.Errorf("title %q, meta %q", d.Title, d.Meta)
	}
}

// TestBare reads a document that has none of the parts that need not be there.
func TestBare(t *testing.T) {
	d, err := Read(t.Context(), file(t, map[string]string{
		"word/document.xml": `<document><body>` + strings.ReplaceAll(p("Heading1", "x"), "w:", "") + `</body></document>`,
	}), limits())
	if err != nil || d.Text != "x" {
		t.Fatalf("%v, %v", d, err)
	}
}

func TestRefusals(t *testing.T) {
	body := func(s string) map[string]string {
		return map[string]string{"word/document.xml": `<w:document ` + namespaces + `><w:body>` + s + `</w:body></w:document>`}
	}
	for _, test := range []struct {
		name   string
		source []byte
		kind   fault.Kind
		words  string
	}{
		{"no archive", []byte("PK\x03\x04 and then nothing"), fault.InvalidRequest, "not a whole ZIP"},
		{"a password", []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), fault.Unsupported, "password"},
		{"another archive", file(t, map[string]string{"a.txt": "x"}), fault.InvalidRequest, "no text"},
		{"no XML", file(t, map[string]string{"word/document.xml": "<w:document"}), fault.InvalidRequest, "no XML"},
		{"a bomb", file(t, body(p("", strings.Repeat("x", 4<<20)))), fault.TooLarge, "100 times"},
		{"too deep", file(t, body(strings.Repeat("<w:p>", 100)+strings.Repeat("</w:p>", 100))), fault.TooLarge, "more than 64"},
		{"too deep in what is left out", file(t, body(strings.Repeat("<w:del>", 100)+strings.Repeat("</w:del>", 100))), fault.TooLarge, "more than 64"},
		{"entities", file(t, map[string]string{"word/document.xml": `<!DOCTYPE x [<!ENTITY a "aaaa">]><w:document ` + namespaces + `><w:body><w:p>&a;</w:p></w:body></w:document>`}), fault.InvalidRequest, "no XML"},
	} {
		_, err := Read(t.Context(), test.source, limits())
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != test.kind || !strings.Contains(f.Words, test.words) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if _, err := Read(t.Context(), file(t, whole()), Limits{Bytes: 1000, Ratio: 100, Depth: 64}); err == nil || !strings.Contains(err.Error(), "unpacks") {
		t.Errorf("more than it may unpack to: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(gone, file(t, whole()), limits()); err == nil {
		t.Error("read though nobody waits")
	}
}

// FuzzRead draws the part with the text.
func FuzzRead(f *testing.F) {
	f.Add(whole()["word/document.xml"])
	f.Add(`<document><body><tbl><tr><tc><tcPr><gridSpan val="99999999"/><vMerge/></tcPr></tc></tr></tbl></body></document>`)
	f.Add(`<document><body><p><pPr><numPr><ilvl val="-3"/><numId val="2"/></numPr><outlineLvl val="8"/></pPr><r><t>x</t></r></p></body></document>`)
	f.Fuzz(func(t *testing.T, text string) {
		parts := whole()
		parts["word/document.xml"] = text
		d, err := Read(t.Context(), file(t, parts), limits())
		if err != nil {
			return
		}
		for _, check := range []func(*document.Document) error{documenttest.Check, documenttest.Covered} {
			if err := check(d); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzFile draws the archive.
func FuzzFile(f *testing.F) {
	f.Add(file(f, whole()))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, source []byte) {
		if d, err := Read(t.Context(), source, limits()); err == nil {
			if err := documenttest.Check(d); err != nil {
				t.Fatal(err)
			}
		}
	})
}
