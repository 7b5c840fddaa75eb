package jsonl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"headworks/internal/document"
	"headworks/internal/document/documenttest"
	"headworks/internal/fault"
)

// told returns a line for each document or error.
func told(ctx context.Context, source string) (out []string) {
	for d, err := range Read(ctx, strings.NewReader(source), 8) {
		if err != nil {
			f, ok := errors.AsType[*fault.Error](err)
			if !ok {
				f = &fault.Error{Words: err.Error()}
			}
			out = append(out, fmt.Sprintf("%s: %s", f.Kind, f.Words))
			continue
		}
		parts := []string{d.ID, d.Title, d.Text}
		for _, k := range slices.Sorted(maps.Keys(d.Meta)) {
			parts = append(parts, k+"="+d.Meta[k])
		}
		out = append(out, strings.Join(parts, "|"))
	}
	return out
}

func TestRead(t *testing.T) {
	source := "\ufeff" + `{"id":"1","title":"T","text":"a\n\nb","year":1958,"tags":["x"],"none":null}
{"_id":2,"contents":"words"}

{"id":"3","title":"no text"}
{"text":"same"}
[1]
{"text":"same"}
{"text":{"a":1}}
{"id":"4","text":"x","deep":[[[[[[[[[1]]]]]]]]]}
{"id":"5","text":"{[[[[[[[[[[ \" {{{{{{{{{","title":7}
{"id":"6","text":"last"}`
	want := []string{
		`1|T|a` + "\n\n" + `b|tags=["x"]|year=1958`,
		"2||words",
		`invalid_request: has no "text" on line 4`,
		"7aa2d0a05e58bd8b8b8fcb1d5a3b40f8||same",
		`invalid_json: is no JSONL: line 6 is not one JSON object, such as {"id": "1", "title": "...", "text": "..."}`,
		"7aa2d0a05e58bd8b8b8fcb1d5a3b40f8||same",
		`invalid_request: has a "text" on line 8 that is no string`,
		"too_large: has values in more than 8 others on line 9",
		`invalid_request: has a "title" on line 10 that is no string`,
		"6||last",
	}
	got := told(t.Context(), source)
	// The id of a document without one is the same for the same content.
	if len(got) == len(want) && got[3] == got[5] {
		want[3], want[5] = got[3], got[5]
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestLongLine(t *testing.T) {
	got := told(t.Context(), `{"id":"1","text":"`+strings.Repeat("x", MaxLine)+"\"}\n"+`{"id":"2","text":"y"}`)
	if want := []string{"too_large: has more than 32 MiB on line 1", "2||y"}; !slices.Equal(got, want) {
		t.Errorf("%.200q, want %q", got, want)
	}
}

func TestGivenUp(t *testing.T) {
	got := told(t.Context(), strings.Repeat("x\n", 3*maxBad))
	if len(got) != maxBad+2 || !strings.Contains(got[len(got)-1], "rest is not read") {
		t.Errorf("%d times, at last %q", len(got), got[len(got)-1])
	}
	broken := errors.New("broken")
	for _, err := range Read(t.Context(), iotest.ErrReader(broken), 8) {
		if !errors.Is(err, broken) {
			t.Errorf("%v, want %v", err, broken)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if got := told(gone, `{"text":"x"}`); len(got) != 1 || !strings.Contains(got[0], "canceled") {
		t.Errorf("%q", got)
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{`{"id":"1","title":"a","text":"b"}`, "{}\n\n[", `{"text":"\ud800\u0000","x":"\u00e9"}`, `{"_id":1e400,"contents":""}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		for d, err := range Read(t.Context(), strings.NewReader(source), 8) {
			if err != nil {
				continue
			}
			if d.ID == "" {
				t.Fatal("a document without an id")
			}
			for _, check := range []func(*document.Document) error{documenttest.Check, documenttest.Covered} {
				if err := check(d); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
