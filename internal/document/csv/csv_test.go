package csv

import (
	"context"
	"errors"
	"strings"
	"testing"

	"headworks/internal/document"
	"headworks/internal/document/documenttest"
	"headworks/internal/fault"
)

func TestRead(t *testing.T) {
	for _, test := range []struct{ name, source, want string }{
		{"commas", "Name,City\nAda,London\n\"Bob, Jr.\",\"New\nYork\"\n", "Name: Ada\nCity: London\n\nName: Bob, Jr.\nCity: New York"},
		{"semicolons", "Name;Preis\r\nTee;1,50\r\nBrot;3,00\r\n", "Name: Tee\nPreis: 1,50\n\nName: Brot\nPreis: 3,00"},
		{"tabs", "k\tv\na, b\tc\n", "k: a, b\nv: c"},
		{"no header", "1,2\n3,4\n", "column 1: 1\ncolumn 2: 2\n\ncolumn 1: 3\ncolumn 2: 4"},
		{"a cell without a name", "a,b\n1,2,3\n4\n", "a: 1\nb: 2\ncolumn 3: 3\n\na: 4"},
		{"empty cells", "a,b\n,2\n,\n", "b: 2"},
		{"one column", "word\nx\ny\n", "word: x\n\nword: y"},
		{"a quote inside", "a,b\n5\" disk,2\n", "a: 5\" disk\nb: 2"},
		{"a header alone", "a,b\n", ""},
		{"nothing", "", ""},
	} {
		d, err := Read(t.Context(), test.source, 1<<20)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if err := documenttest.Check(d); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if d.Text != test.want {
			t.Errorf("%s: %q, want %q", test.name, d.Text, test.want)
		}
		for _, b := range d.Blocks {
			if b.Kind != document.Row {
				t.Errorf("%s: a block is a %s", test.name, b.Kind)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	for name, source := range map[string]string{
		"more text than it may be": strings.Repeat("a name of a column,b\n", 1) + strings.Repeat("1,2\n", 100),
		"more cells than a row":    strings.Repeat(",", maxColumns+1),
	} {
		_, err := Read(t.Context(), source, 1000)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(gone, "a,b", 1000); err == nil {
		t.Error("read though nobody waits")
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{"a,b\n1,2", "a;b;\"c\n\"", "\"", "a\tb\r\n\"x\"\"y\"\t", "|||"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		d, err := Read(t.Context(), document.Clean(source), 1<<20)
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
