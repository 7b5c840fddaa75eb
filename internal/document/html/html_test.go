package html

import (
	"fmt"
	"strings"
	"testing"

	"headworks/internal/document"
	"headworks/internal/document/documenttest"
)

func read(t *testing.T, source, media string) *document.Document {
	t.Helper()
	d, err := Read(t.Context(), []byte(source), media, 256)
	if err != nil {
		t.Fatal(err)
	}
	if err := documenttest.Check(d); err != nil {
		t.Fatal(err)
	}
	if err := documenttest.Covered(d); err != nil {
		t.Fatal(err)
	}
	return d
}

func blocks(d *document.Document) string {
	var b strings.Builder
	for _, k := range d.Blocks {
		fmt.Fprintf(&b, "%s %d %d %q\n", k.Kind, k.Level, k.Head, k.Text)
	}
	return b.String()
}

const whole = `<!doctype html><html lang="en"><head><title>Install &amp; run | The Site</title>
<meta name="description" content="How to install."><style>p{}</style></head>
<body><nav><a href="/">Home</a> <a href="/x">Other</a></nav><header>Banner</header>
<main><h1>Install &amp; run <a class="headerlink" href="#i">¶</a></h1>
<p>First   <b>bold</b><i>er</i> words<br>second line.</p><script>var x = "no"</script>
<p hidden>never</p><div style="display: none">nor this</div>
<h2>Code</h2><pre><code>a := 1

  b := 2
</code></pre>
<ul><li>one <ul><li>deep</li></ul></li><li><p>two</p><p>more</p></li></ul>
<ol start="3"><li>three<li>four</ol>
<table><caption>Fields</caption><thead><tr><th>Name<th>Means</tr></thead>
<tbody><tr><td rowspan=2>a</td><td>1</td></tr><tr><td>2 | 3</td></tr></table>
<blockquote>Quoted.</blockquote>Loose words
</main><aside>Read also</aside><footer>(c)</footer></body></html>`

func TestRead(t *testing.T) {
	d := read(t, whole, "")
	want := `heading 1 0 "Install & run"
paragraph 0 0 "First bolder words\nsecond line."
heading 2 0 "Code"
code 0 0 "a := 1\n\n  b := 2"
list 0 0 "- one\n  - deep\n- two more"
list 0 0 "3. three\n4. four"
paragraph 0 0 "Fields"
table 0 31 "| Name | Means |\n| --- | --- |\n| a | 1 |\n| a | 2 / 3 |"
paragraph 0 0 "Quoted."
paragraph 0 0 "Loose words"
`
	if got := blocks(d); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if d.Title != "Install & run" || d.Meta["language"] != "en" || d.Meta["description"] != "How to install." {
		t.Errorf("title %q, meta %q", d.Title, d.Meta)
	}
}

// TestWeighed reads a page that does not say where its content is.
func TestWeighed(t *testing.T) {
	words := strings.Repeat("<p>Water boils at one hundred degrees, which everybody knows, and freezes at zero, which is known as well.</p>", 12)
	source := `<title>Water - The Site</title><body><div class="menu"><ul>` + strings.Repeat(`<li><a href="/a">Another page</a></li>`, 30) +
		`</ul></div><div class="content"><h2>Water</h2>` + words + `</div><div class="sidebar"><a href="/b">Popular</a></div></body>`
	d := read(t, source, "")
	if strings.Contains(d.Text, "Another page") || strings.Contains(d.Text, "Popular") || strings.Count(d.Text, "Water boils") != 12 {
		t.Errorf("%q", d.Text)
	}
}

// TestWhole reads a page of which the weighing would leave out most.
func TestWhole(t *testing.T) {
	d := read(t, `<body><h1>Contact</h1><p>Call 1234.</p><table><tr><td>a<td>b</table></body>`, "")
	if want := "Contact\n\nCall 1234.\n\n| a | b |"; d.Text != want || d.Title != "Contact" {
		t.Errorf("%q, title %q", d.Text, d.Title)
	}
}

func TestLists(t *testing.T) {
	for source, want := range map[string]string{
		"<ul><li>a<pre>x\ny</pre></ul>":                               "a\n\nx\ny",
		"<dl><dt>k<dd>v</dl>":                                         "k\n\nv",
		"<table><tr><td><h2>In a layout</h2><td>words</table>":        "In a layout\n\nwords",
		"<p>a<table><tr><th>h</table>":                                "a\n\n| h |\n| --- |",
		"<p>x<sub>2</sub>y <code>a  b</code></p>":                     "x2y a b",
		"<details><summary>More</summary>inside</details>":            "More\n\ninside",
		"<h2><a href=#x>#</a> Title</h2>":                             "Title",
		"<table><tr><th>k<td>v<tr><th>l<td>w</table>":                 "| k | v |\n| l | w |",
		"<table><tr><th colspan=2>k<tr><td>v<td>w</table>":            "| k |  |\n| --- | --- |\n| v | w |",
		"<p>before<div>between</div>after":                            "before\n\nbetween\n\nafter",
		"<form><p>no</p></form><svg><text>no</text></svg><p>yes":      "yes",
		"<math><mi>x</mi><mo>=</mo><mn>1</mn></math>":                 "x=1",
		"<p>soft\u00adhyphen zero\u200bwidth no\u00a0break":           "softhyphen zerowidth no\u00a0break",
		"<noscript><p>no</p></noscript><template>no</template>yes":    "yes",
		"<div role=navigation>no</div><div aria-hidden=true>no</div>": "",
	} {
		if d := read(t, "<body><main>"+source+"</main>", ""); d.Text != want {
			t.Errorf("%s: %q, want %q", source, d.Text, want)
		}
	}
}

func TestEncodings(t *testing.T) {
	for _, test := range []struct{ name, source, media, want, note string }{
		{"in a meta element", "<meta charset=windows-1251><main>\xcf\xf0\xe8\xe2\xe5\xf2", "", "Привет", ""},
		{"of the media type", "<main>\x93\xfa\x96\x7b", "text/html; charset=shift_jis", "日本", ""},
		{"UTF-8 without a word of it", strings.Repeat(" ", 2000) + "<main>grün", "", "grün", ""},
		{"no UTF-8, and not said", "<main>gr\xfcn", "", "grün", "guess"},
		{"a mark", "\xef\xbb\xbf<main>grün", "", "grün", ""},
	} {
		d := read(t, test.source, test.media)
		if d.Text != test.want || (test.note != "") != (len(d.Notes) > 0) {
			t.Errorf("%s: %q %q, want %q", test.name, d.Text, d.Notes, test.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for name, source := range map[string]string{
		"elements in too many others":     strings.Repeat("<div>", 300) + "x",
		"in more than the parser follows": strings.Repeat("<div>", 3000) + "x",
	} {
		if d, err := Read(t.Context(), []byte(source), "", 256); err == nil {
			t.Errorf("%s: read as %q", name, d.Text)
		}
	}
	if _, err := Read(t.Context(), make([]byte, MaxBytes+1), "", 256); err == nil {
		t.Error("a page over the bound is read")
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{whole, "", "<table><tr><td rowspan=9999999 colspan=99999999>", "<ul><ul><ol>", "<h1>a<h2>b", "<pre>\n\nx", "<p>a<b>b<p>c</b>", "\xff\xfe<\x00p\x00>\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		d, err := Read(t.Context(), source, "", 256)
		if err != nil {
			return
		}
		if err := documenttest.Check(d); err != nil {
			t.Fatal(err)
		}
		if err := documenttest.Covered(d); err != nil {
			t.Fatal(err)
		}
	})
}
