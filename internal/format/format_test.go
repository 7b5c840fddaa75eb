package format

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"headworks/internal/document"
	"headworks/internal/document/documenttest"
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
		{"a.bin", "application/octet-stream", "\x00\x01\x02", Unknown},
		{"empty", "", "", Text},
	} {
		if got := Detect(test.name, test.media, []byte(test.source)); got != test.want {
			t.Errorf("%s, %s is %s, want %s", test.name, test.media, got, test.want)
		}
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
	big := strings.Repeat("x", 2<<20)
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
		{"nobody waits", gone, "a.txt", "x", 1, fault.ClientClosed},
	} {
		if f := refusal(test.ctx, t, Limits{Bytes: 1 << 20}, test.name, test.source, test.size); f.Kind != test.kind {
			t.Errorf("%s: %s (%s), want %s", test.what, f.Kind, f.Words, test.kind)
		}
	}
	if f := refusal(t.Context(), t, Limits{Time: time.Nanosecond}, "slow.txt", "x", 1); f.Kind != fault.TooLarge {
		t.Errorf("over its time: %s", f.Kind)
	}
}
