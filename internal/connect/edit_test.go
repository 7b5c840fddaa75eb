package connect

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"
)

func TestSet(t *testing.T) {
	for name, tt := range map[string]struct{ was, at, to, want string }{
		"an empty file":           {"", "a/b", "1", "{\n  \"a\": {\n    \"b\": 1\n  }\n}\n"},
		"an empty object":         {"{}", "a", "1", "{\n  \"a\": 1\n}"},
		"a comment alone":         {"{\n  // mine\n}\n", "a", "1", "{\n  // mine\n  \"a\": 1\n}\n"},
		"a comment and no line":   {"{ /* mine */ }", "a", "1", "{ /* mine */\n  \"a\": 1\n}"},
		"the last one":            {"{\n    \"x\": 1\n}\n", "a", "{\"b\":[2]}", "{\n    \"x\": 1,\n    \"a\": {\n        \"b\": [\n            2\n        ]\n    }\n}\n"},
		"tabs":                    {"{\n\t\"x\": {}\n}", "x/a", "1", "{\n\t\"x\": {\n\t\t\"a\": 1\n\t}\n}"},
		"a last comma":            {"{\n  \"x\": 1, // one\n}", "a", "2", "{\n  \"x\": 1, // one\n  \"a\": 2,\n}"},
		"a comment after":         {"{\n  \"x\": 1 // one\n  // end\n}", "a", "2", "{\n  \"x\": 1, // one\n  // end\n  \"a\": 2\n}"},
		"in one line":             {`{"x": 1, "y": {"z": 2}}`, "y/a", "{ \"b\": 3 }", `{"x": 1, "y": {"z": 2, "a": {"b":3}}}`},
		"replaced":                {"{\n  \"x\": \"old\", // why\n  \"y\": 1\n}", "x", `"new"`, "{\n  \"x\": \"new\", // why\n  \"y\": 1\n}"},
		"the same":                {"{ \"x\" : 1 }", "x", "1", "{ \"x\" : 1 }"},
		"lines of Windows":        {"{\r\n  \"x\": 1\r\n}\r\n", "a", "{\"b\":1}", "{\r\n  \"x\": 1,\r\n  \"a\": {\r\n    \"b\": 1\r\n  }\r\n}\r\n"},
		"an element":              {"{\n  \"l\": [\n    {\"n\": \"x\", \"v\": 1},\n    {\"n\": \"y\"}\n  ]\n}", "l/[n=x]", `{"n":"x"}`, "{\n  \"l\": [\n    {\n      \"n\": \"x\"\n    },\n    {\"n\": \"y\"}\n  ]\n}"},
		"a new element":           {"{\n  \"l\": [\n    {\"n\": \"x\"}\n  ]\n}", "l/[n=y]", `{"n":"y"}`, "{\n  \"l\": [\n    {\"n\": \"x\"},\n    {\n      \"n\": \"y\"\n    }\n  ]\n}"},
		"the first element":       {"{}", "l/[n=y]", `{"n":"y"}`, "{\n  \"l\": [\n    {\n      \"n\": \"y\"\n    }\n  ]\n}"},
		"a name with an escape":   {"{\n  \"\\u0061\": 1\n}", "a", "2", "{\n  \"\\u0061\": 2\n}"},
		"a string with a bracket": {"{\n  \"x\": \"}//\"\n}", "a", "2", "{\n  \"x\": \"}//\",\n  \"a\": 2\n}"},
	} {
		got, err := set([]byte(tt.was), true, tt.at, json.RawMessage(tt.to))
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", name, err, got, tt.want)
		}
	}
}

// TestSetKeeps draws documents with comments and odd spaces: an edit means what it
// says, and takes nothing away.
func TestSetKeeps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		space := func() string {
			return rapid.SampledFrom([]string{"", "", " ", "\n", "\n\t ", "/* c */", " // c\n", "\n// \"}\n"}).Draw(t, "space")
		}
		name := func() string { return rapid.SampledFrom([]string{"a", "b", "c", "d e", "é\"", "//"}).Draw(t, "name") }
		var doc func(depth int) string
		doc = func(depth int) string {
			switch n := rapid.IntRange(0, 5).Draw(t, "kind"); {
			case n < 3 && depth < 4:
				var b strings.Builder
				b.WriteString("{" + space())
				seen := map[string]bool{}
				for range rapid.IntRange(0, 3).Draw(t, "members") {
					if k := name(); !seen[k] {
						if len(seen) > 0 {
							b.WriteString("," + space())
						}
						seen[k] = true
						b.WriteString(quote(k) + space() + ":" + space() + doc(depth+1) + space())
					}
				}
				if len(seen) > 0 && rapid.Bool().Draw(t, "comma") {
					b.WriteString("," + space())
				}
				return b.String() + "}"
			case n == 3 && depth < 4:
				return "[" + space() + doc(depth+1) + space() + "]"
			default:
				return rapid.SampledFrom([]string{"1", "-2.5e3", "null", "true", `"x"`, `"//"`, `"\"}"`, `"\u00e9"`}).Draw(t, "leaf")
			}
		}
		src := []byte("{" + space() + `"top":` + doc(0) + space() + "}" + space())
		var path []string
		for range rapid.IntRange(1, 3).Draw(t, "steps") {
			path = append(path, strings.ReplaceAll(name(), "/", "s"))
		}
		if rapid.Bool().Draw(t, "below") {
			path = append([]string{"top"}, path...)
		}
		to := rapid.SampledFrom([]string{"1", `"new"`, `{"x":{"y":[1]}}`, "[]"}).Draw(t, "to")
		was, err := plain(src, true)
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		got, err := set(src, true, strings.Join(path, "/"), json.RawMessage(to))
		if err != nil {
			if u, ok := errors.AsType[*unreadable](err); ok && strings.Contains(u.words, "is expected here, to hold") {
				return // it leads through what is no object
			}
			t.Fatalf("%s\nset %q: %v", src, path, err)
		}
		is, err := plain(got, true)
		if err != nil {
			t.Fatalf("%s\nbecame\n%s\n%v", src, got, err)
		}
		v, err := decode([]byte(to))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(is, assign(was, path, v)) {
			t.Fatalf("%s\nbecame\n%s", src, got)
		}
	})
}

func FuzzReadJSON(f *testing.F) {
	for _, s := range []string{"{}", `{"a": [1, {"b": null}], }`, "// c\n{/* */}", `{"a":"\ud800"}`, "[1,2]", "{\"a\":1}{", "\xef\xbb\xbf{}", "{\"a\":1E700}"} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, src []byte, comments bool) {
		v, err := readJSON(src, comments)
		if err != nil {
			return
		}
		is, err := meaning(src, v)
		if err != nil {
			t.Fatalf("read but not understood: %v", err)
		}
		if !comments {
			want, err := decode(src)
			if err != nil || !json.Valid(src) || !reflect.DeepEqual(is, want) {
				t.Fatalf("%q means %v here and %v (%v) elsewhere", src, is, want, err)
			}
		}
		if v.kind != '{' {
			return
		}
		if out, err := set(src, comments, "new/deep", json.RawMessage(`{"x":1}`)); err == nil {
			if _, err := readJSON(out, comments); err != nil {
				t.Fatalf("%q became %q: %v", src, out, err)
			}
		}
	})
}

func TestEnter(t *testing.T) {
	e := Entry{List: "models", Name: "name", Is: "H"}
	const item = "name: H\nroles:\n  - chat\n"
	for name, tt := range map[string]struct{ was, want string }{
		"an empty file":   {"", "models:\n  - name: H\n    roles:\n      - chat\n"},
		"no list":         {"# top\na: 1\n", "# top\na: 1\nmodels:\n  - name: H\n    roles:\n      - chat\n"},
		"no end of line":  {"a: 1", "a: 1\nmodels:\n  - name: H\n    roles:\n      - chat\n"},
		"an empty list":   {"models: [] # none yet\na: 1\n", "models: # none yet\n  - name: H\n    roles:\n      - chat\na: 1\n"},
		"a list of null":  {"models:\na: 1\n", "models:\n  - name: H\n    roles:\n      - chat\na: 1\n"},
		"not indented":    {"models:\n- name: A # a\n  x: |\n    text\n\n    # text\n# of b\nb: 1\n", "models:\n- name: A # a\n  x: |\n    text\n\n    # text\n- name: H\n  roles:\n    - chat\n# of b\nb: 1\n"},
		"replaced":        {"models:\n  - name: H\n    old: 1\n    x: 2\n  # of b\n  - name: B\n", "models:\n  - name: H\n    roles:\n      - chat\n  # of b\n  - name: B\n"},
		"replaced at end": {"models:\n  # a\n  - name: A\n  - name: H\n    old: 1\n\n# of z\nz: 1\n", "models:\n  # a\n  - name: A\n  - name: H\n    roles:\n      - chat\n\n# of z\nz: 1\n"},
		"Windows":         {"a: 1\r\nmodels:\r\n  - name: A\r\n", "a: 1\r\nmodels:\r\n  - name: A\r\n  - name: H\r\n    roles:\r\n      - chat\r\n"},
	} {
		got, err := enter([]byte(tt.was), e, item)
		if name == "not indented" && errors.Is(err, errNotSame) {
			// A line of a text that looks like a comment: refused rather than torn.
			continue
		}
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", name, err, got, tt.want)
		}
		again, err := enter(got, e, item)
		if err != nil || !bytes.Equal(again, got) {
			t.Errorf("%s: a second time gives\n%s\n%v", name, again, err)
		}
	}
	top := Entry{Name: "id", Is: "h"}
	for was, want := range map[string]string{
		"":                       "- id: h\n",
		"# mine\n":               "# mine\n- id: h\n",
		"---\n- id: a\n  x: 1\n": "---\n- id: a\n  x: 1\n- id: h\n",
		"[]\n":                   "", // refused
	} {
		got, err := enter([]byte(was), top, "id: h\n")
		if (want == "") != (err != nil) || string(got) != want {
			t.Errorf("%q: %q, %v", was, got, err)
		}
	}
}

func FuzzEnter(f *testing.F) {
	for _, s := range []string{"", "models: []\n", "models:\n  - name: A\n", "models:\n- a\n", "a: |\n  models:\nb: 1\n", "models: &x\n  - *x\n", "? models\n: - 1\n", "!", "!0\n0:"} {
		f.Add([]byte(s))
	}
	e := Entry{List: "models", Name: "name", Is: "H"}
	f.Fuzz(func(t *testing.T, src []byte) {
		out, err := enter(src, e, "name: H\n")
		if err != nil {
			return
		}
		var is map[string]any
		if err := yaml.Unmarshal(out, &is); err != nil {
			t.Fatalf("%q became %q: %v", src, out, err)
		}
		list, _ := is["models"].([]any)
		if place(list, e) < 0 {
			t.Fatalf("%q became %q", src, out)
		}
	})
}

func TestDiff(t *testing.T) {
	for name, tt := range map[string]struct{ was, is, want string }{
		"nothing":  {"a\n", "a\n", ""},
		"new":      {"", "a\nb\n", "--- /dev/null\n+++ b/f\n@@ -0,0 +1,2 @@\n+a\n+b\n"},
		"gone":     {"a\n", "", "--- a/f\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-a\n"},
		"middle":   {"1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n", "--- a/f\n+++ b/f\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"},
		"two":      {"1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n", "one\n2\n3\n4\n5\n6\n7\n8\n9\nten\n", "--- a/f\n+++ b/f\n@@ -1,4 +1,4 @@\n-1\n+one\n 2\n 3\n 4\n@@ -7,4 +7,4 @@\n 7\n 8\n 9\n-10\n+ten\n"},
		"near":     {"1\n2\n3\n", "one\n2\nthree\n", "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n-1\n+one\n 2\n-3\n+three\n"},
		"last end": {"a", "a\n", "--- a/f\n+++ b/f\n@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+a\n"},
	} {
		if got := Diff("f", tt.was, tt.is); got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, tt.want)
		}
	}
}

// TestDiffIsWhole draws two texts: the lines that stay and go are the first, those
// that stay and come the second.
func TestDiffIsWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", ""}), 0, 30)
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		var was, is []string
		for _, o := range middle(a, b) {
			if o.sign != '+' {
				was = append(was, o.line)
			}
			if o.sign != '-' {
				is = append(is, o.line)
			}
		}
		if strings.Join(was, "\n") != strings.Join(a, "\n") || strings.Join(is, "\n") != strings.Join(b, "\n") || len(was) != len(a) || len(is) != len(b) {
			t.Fatalf("%q, %q: %q, %q", a, b, was, is)
		}
	})
}
