package format

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"headworks/internal/document"
	"headworks/internal/document/documenttest"
	"headworks/internal/document/markdown"
	"headworks/internal/fault"
)

// read reads a file that holds one document.
func read(t *testing.T, name, media, source string) *document.Document {
	t.Helper()
	r := New(Limits{})
	defer func() { _ = r.Close() }()
	var all []*document.Document
	for d, err := range r.Read(t.Context(), name, media, strings.NewReader(source), int64(len(source))) {
		if err != nil {
			t.Fatal(err)
		}
		if err := documenttest.Check(d); err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	if len(all) != 1 {
		t.Fatalf("%s holds %d documents", name, len(all))
	}
	return all[0]
}

func TestEncodings(t *testing.T) {
	for _, test := range []struct{ name, source, text, note string }{
		{"UTF-8", "grün ✓", "grün ✓", ""},
		{"UTF-8 with a mark", "\xef\xbb\xbfgrün", "grün", ""},
		{"UTF-16, little endian", "\xff\xfeg\x00r\x00\xfc\x00n\x00=\xd8\x00\xde", "grün\U0001f600", ""},
		{"UTF-16, big endian", "\xfe\xff\x00g\x00r\x00\xfc\x00n", "grün", ""},
		{"Latin-1", "gr\xfcn \x93so\x94", "grün “so”", "guess"},
		{"UTF-8 with a broken byte", strings.Repeat("grün ", 20) + "\xff!", strings.Repeat("grün ", 20) + "\ufffd!", "not UTF-8"},
		{"ends of lines", "a\r\nb\rc\u200bd\x01", "a\nb\ncd", ""},
	} {
		d := read(t, "a.txt", "", test.source)
		if d.Text != test.text {
			t.Errorf("%s: %q, want %q", test.name, d.Text, test.text)
		}
		if notes := strings.Join(d.Notes, " "); (test.note == "") != (notes == "") || !strings.Contains(notes, test.note) {
			t.Errorf("%s: the notes %q, want %q", test.name, notes, test.note)
		}
	}
}

func TestDetect(t *testing.T) {
	for _, test := range []struct {
		name, media, source string
		want                Format
	}{
		{"a.md", "", "x", Markdown},
		{"A.MD", "text/plain", "x", Markdown},
		{"README", "text/markdown; charset=utf-8", "x", Markdown},
		{"README", "", "words", Text},
		{"README", "", "gr\xfcn", Text},
		{"a.bin", "application/octet-stream", "\x00\x01\x02", Unknown},
		{"a.txt", "", "\x00\x01\x02", Unknown},
		{"a.txt", "", "junk\n%PDF-1.4\n", PDF},
		{"index", "", "  <!DOCTYPE HTML><p>", HTML},
		{"a.txt", "", "<html>", Text},
		{"page", "text/html; charset=latin1", "x", HTML},
		{"a.docx", "", "PK\x03\x04", DOCX},
		{"letter", "", "PK\x03\x04....word/document.xml", DOCX},
		{"a.zip", "", "PK\x03\x04", Unknown},
		{"a.docx", "", "\xd0\xcf\x11\xe0", DOCX},
		{"a.doc", "", "\xd0\xcf\x11\xe0\x00", Unknown},
		{"a.tsv", "", "a\tb", CSV},
		{"a", "text/csv", "a,b", CSV},
		{"a.ndjson", "", "{}", JSONL},
		{"src/a.Go", "text/plain", "package a", Code},
		{"Dockerfile", "", "FROM x", Code},
		{"empty", "", "", Text},
	} {
		if got := Detect(test.name, test.media, []byte(test.source)); got != test.want {
			t.Errorf("%s, %s, %q is %s, want %s", test.name, test.media, test.source, got, test.want)
		}
	}
}

// TestEach reads a file of each format that needs no packing.
func TestEach(t *testing.T) {
	for _, test := range []struct{ name, source, title, text string }{
		{"a.html", "<title>T</title><main><p>one<p>two", "T", "one\n\ntwo"},
		{"a.csv", "Name,City\nAda,London\n", "a", "Name: Ada\nCity: London"},
		{"my_notes.txt", "one\n\ntwo", "my notes", "one\n\ntwo"},
		{"cmd/my_main.go", "package main\n", "my_main.go", "package main\n"},
		{"a.md", "# T\n\nwords\n", "T", "# T\n\nwords\n"},
		{"a.jsonl", `{"id":"1","title":"T","text":"one"}`, "T", "one"},
	} {
		d := read(t, test.name, "", test.source)
		if d.Title != test.title || d.Text != test.text {
			t.Errorf("%s: %q, %q", test.name, d.Title, d.Text)
		}
	}
}

// TestLines: a line that is no document does not end the others, and names its file.
func TestLines(t *testing.T) {
	r := New(Limits{Bytes: 1 << 20})
	source := "{\"id\":\"1\",\"text\":\"a\"}\n{}\n{\"id\":\"3\",\"text\":\"c\"}\n"
	var got []string
	for d, err := range r.Read(t.Context(), "a.jsonl", "", strings.NewReader(source), -1) {
		if err != nil {
			f, _ := errors.AsType[*fault.Error](err)
			got = append(got, f.Words)
			continue
		}
		got = append(got, d.ID)
	}
	if want := []string{"1", `a.jsonl has no "text" on line 2`, "3"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	long := strings.Repeat("{\"text\":\"a\"}\n", 100_000)
	var last error
	for _, err := range r.Read(t.Context(), "a.jsonl", "", strings.NewReader(long), -1) {
		last = err
	}
	if f, ok := errors.AsType[*fault.Error](last); !ok || f.Kind != fault.TooLarge {
		t.Errorf("more than it may have: %v", last)
	}
}

func TestTitles(t *testing.T) {
	for name, source := range map[string]string{
		"docs/how-to_run.txt": "words",
		`docs\how to run.md`:  "words",
	} {
		if d := read(t, name, "", source); d.Title != "how to run" {
			t.Errorf("%s has the title %q", name, d.Title)
		}
	}
}

// refusal returns why a file cannot be read.
func refusal(ctx context.Context, t *testing.T, l Limits, name, source string, size int64) *fault.Error {
	t.Helper()
	r := New(l)
	defer func() { _ = r.Close() }()
	var first error
	n := 0
	for d, err := range r.Read(ctx, name, "", strings.NewReader(source), size) {
		if n++; err == nil || d != nil {
			t.Fatalf("%s was read: %v", name, d)
		}
		first = err
	}
	f, ok := errors.AsType[*fault.Error](first)
	if !ok || n != 1 {
		t.Fatalf("%d times, %v", n, first)
	}
	if !strings.Contains(f.Words, name) {
		t.Errorf("the words do not name the file: %s", f.Words)
	}
	return f
}

func TestRefusals(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	big := strings.Repeat("x", 33<<20)
	for _, test := range []struct {
		what   string
		ctx    context.Context
		name   string
		source string
		size   int64
		kind   fault.Kind
	}{
		{"larger than it may be, as it says", t.Context(), "a.txt", big, int64(len(big)), fault.TooLarge},
		{"larger, though it does not say", t.Context(), "a.txt", big, -1, fault.TooLarge},
		{"of no format", t.Context(), "a.bin", "\x00\x00", 2, fault.Unsupported},
		{"an archive", t.Context(), "a.xlsx", "PK\x03\x04", 4, fault.Unsupported},
		{"an old format", t.Context(), "a.doc", "\xd0\xcf\x11\xe0\x00", 5, fault.Unsupported},
		{"compressed", t.Context(), "a.txt.gz", "\x1f\x8b\x00", 3, fault.Unsupported},
		{"a damaged document", t.Context(), "a.docx", "PK\x03\x04", 4, fault.InvalidRequest},
		{"a page that is too deep", t.Context(), "a.html", strings.Repeat("<div>", 400), -1, fault.TooLarge},
		{"long Markdown", t.Context(), "a.md", strings.Repeat("x", markdown.MaxBytes+1), -1, fault.TooLarge},
		{"nobody waits", gone, "a.txt", "x", 1, fault.ClientClosed},
	} {
		if f := refusal(test.ctx, t, Limits{Bytes: 32 << 20}, test.name, test.source, test.size); f.Kind != test.kind {
			t.Errorf("%s: %s (%s), want %s", test.what, f.Kind, f.Words, test.kind)
		}
	}
	if f := refusal(t.Context(), t, Limits{Time: time.Nanosecond}, "slow.txt", "x", 1); f.Kind != fault.TooLarge {
		t.Errorf("over its time: %s", f.Kind)
	}
}
