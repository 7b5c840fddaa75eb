// Package csv reads a table of a file, a row a block: each cell on a line of its own
// after the name that the header gives its column, so that a row says by itself what
// it means.
//
// Its errors are *fault.Error whose words go on from the name of a file.
package csv

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"headworks/internal/document"
	"headworks/internal/fault"
)

const (
	maxColumns = 4096
	maxName    = 64 // bytes of a column's name, which each row repeats
	looked     = 20 // lines to find the separator by
)

// Read reads a table (RFC 4180, and what spreadsheets write beside it: semicolons,
// tabs or bars between cells). The first row is the header if all of its cells are
// words; else columns have numbers. The text may have so many bytes.
func Read(ctx context.Context, source string, most int64) (*document.Document, error) {
	r := csv.NewReader(strings.NewReader(source))
	r.Comma, r.FieldsPerRecord, r.LazyQuotes, r.ReuseRecord = separator(source), -1, true, true
	var names []string
	var b document.Builder
	var row strings.Builder
	for n := 0; ; n++ {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return b.Document(""), nil
		}
		if err != nil {
			return nil, fault.Wrap(fault.InvalidRequest, "is no table of cells with a separator", err)
		}
		if n%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if len(cells) > maxColumns {
			return nil, fault.New(fault.TooLarge, fmt.Sprintf("has a row of more than %d cells", maxColumns))
		}
		if n == 0 && header(cells) {
			for _, c := range cells {
				names = append(names, short(document.Line(document.Clean(c))))
			}
			continue
		}
		row.Reset()
		for i, c := range cells {
			if c = document.Line(c); c == "" {
				continue
			}
			if i < len(names) {
				row.WriteString(names[i])
			} else {
				row.WriteString("column " + strconv.Itoa(i+1))
			}
			row.WriteString(": " + c + "\n")
		}
		b.Add(document.Row, row.String())
		if int64(b.Len()) > most {
			return nil, fault.New(fault.TooLarge, fmt.Sprintf("becomes more than %d MiB of text: split it", most>>20))
		}
	}
}

// separator returns what parts cells: the one of which the first lines have the same
// number, at least one, and the largest if several do.
func separator(source string) rune {
	best, most := ',', 0
	for _, sep := range [...]rune{',', ';', '\t', '|'} {
		r := csv.NewReader(strings.NewReader(source))
		r.Comma, r.FieldsPerRecord, r.LazyQuotes, r.ReuseRecord = sep, -1, true, true
		width, same := 0, 0
		for range looked {
			cells, err := r.Read()
			if err != nil {
				break
			}
			if width == 0 {
				width = len(cells)
			}
			if len(cells) == width {
				same++
			}
		}
		if score := (width - 1) * same; score > most {
			best, most = sep, score
		}
	}
	return best
}

// header reports whether cells are names: none is empty, a number, or there twice.
func header(cells []string) bool {
	seen := map[string]bool{}
	for _, c := range cells {
		c = document.Line(c)
		if _, err := strconv.ParseFloat(strings.ReplaceAll(c, ",", "."), 64); err == nil || c == "" || seen[c] {
			return false
		}
		seen[c] = true
	}
	return true
}

func short(name string) string {
	if len(name) > maxName {
		name = strings.ToValidUTF8(name[:maxName], "")
	}
	return name
}
