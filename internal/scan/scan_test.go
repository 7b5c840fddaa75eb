package scan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var chat = Keys("model", "stream", "token", "max_tokens", "tool_choice").
	With("messages", Each(Keys("role", "content").With("parts", Each(Keys("type")))))

func nested(depth int) string {
	return strings.Repeat("[", depth) + strings.Repeat("]", depth)
}

func keys(n int) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"k%d":0`, i)
	}
	b.WriteByte('}')
	return b.String()
}

// TestScanRefuses holds every body on which parsers differ.
func TestScanRefuses(t *testing.T) {
	tests := []struct {
		name, body string
		offset     int
		path       string
		words      string
	}{
		{"case variant", `{"model":"a","MODEL":"b"}`, 13, "MODEL", "in case alone"},
		{"case variant alone", `{"Model":"a"}`, 1, "Model", "in case alone"},
		{"case variant below", `{"messages":[{"role":"user"},{"Role":"user"}]}`, 30, "messages[1].Role", "in case alone"},
		{"case variant twice below", `{"messages":[{"parts":[{"tYpe":1}]}]}`, 24, "messages[0].parts[0].tYpe", "in case alone"},
		{"long s", `{"\u017ftream":true}`, 1, "*", "in case alone"},
		{"long s, raw", `{"ſtream":true}`, 1, "*", "in case alone"},
		{"Kelvin", `{"to\u212Aen":1}`, 1, "*", "in case alone"},
		{"escaped case variant", `{"\u004dODEL":1}`, 1, "MODEL", "in case alone"},
		{"duplicate", `{"model":"a","model":"b"}`, 13, "model", "twice"},
		{"escaped duplicate", `{"model":"a","m\u006fdel":"b"}`, 13, "model", "twice"},
		{"deep duplicate", `{"x":{"y":[0,{"a":1,"b":2,"a":3}]}}`, 26, "x.y[1].a", "twice"},
		{"duplicate beyond what is known", `{"messages":[{"z":{"q":1,"q":1}}]}`, 25, "messages[0].z.q", "twice"},
		{"duplicate empty key", `{"":1,"":2}`, 6, "*", "twice"},
		{"duplicate among many", `{"z":1,` + keys(40)[1:len(keys(40))-1] + `,"k7":1}`, 317, "k7", "twice"},
		{"invalid UTF-8", "{\"model\":\"\xff\"}", 10, "", "UTF-8"},
		{"truncated UTF-8", "\"\xe2\x82", 1, "", "UTF-8"},
		{"encoded surrogate", "\"\xed\xa0\x80\"", 1, "", "UTF-8"},
		{"overlong UTF-8", "\"\xc0\xaf\"", 1, "", "UTF-8"},
		{"UTF-16", "{\x00\"\x00m\x00\"\x00", 1, "", "key"},
		{"UTF-16 with mark", "\xff\xfe{\x00", 0, "", "UTF-8"},
		{"byte order mark", "\xef\xbb\xbf{}", 0, "", "byte order mark"},
		{"lone high surrogate", `{"a":"\ud800"}`, 6, "a", "surrogate"},
		{"lone low surrogate", `["\udc00"]`, 2, "[0]", "surrogate"},
		{"two high surrogates", `["\ud800\ud800"]`, 2, "[0]", "surrogate"},
		{"high surrogate and text", `["\ud83dx"]`, 2, "[0]", "surrogate"},
		{"lone surrogate in a key", `{"\ud800":1}`, 2, "", "surrogate"},
		{"escaped NUL", `{"a":"x\u0000"}`, 7, "a", "U+0000"},
		{"raw NUL", "[\"\x00\"]", 2, "[0]", "control"},
		{"raw newline", "[\"a\nb\"]", 3, "[0]", "control"},
		{"raw tab in a key", "{\"a\tb\":1}", 3, "", "control"},
		{"NaN", `{"a":NaN}`, 5, "a", "begins like this"},
		{"Infinity", `[Infinity]`, 1, "[0]", "begins like this"},
		{"minus Infinity", `[-Infinity]`, 2, "[0]", "digits"},
		{"1e400", `{"temperature":1e400}`, 15, "temperature", "too large"},
		{"-1E+999", `[-1E+999]`, 1, "[0]", "too large"},
		{"long number", `[` + strings.Repeat("1", 33) + `]`, 1, "[0]", "32"},
		{"leading zero", `[01]`, 1, "[0]", "zero"},
		{"minus zero and more", `[-01]`, 2, "[0]", "zero"},
		{"plus", `[+1]`, 1, "[0]", "begins like this"},
		{"point first", `[.5]`, 1, "[0]", "begins like this"},
		{"point last", `[1.]`, 3, "[0]", "point"},
		{"empty exponent", `[1e]`, 3, "[0]", "exponent"},
		{"hexadecimal", `[0x10]`, 2, "", "comma"},
		{"deep", nested(65), 64, strings.Repeat("[0]", 64), "64"},
		{"very deep", strings.Repeat("[", 9000), 64, strings.Repeat("[0]", 64), "64"},
		{"too many keys", keys(10_001), 98891, "*", "10000"},
		{"long key", `{"` + strings.Repeat("a", 257) + `":1}`, 1, "*", "256"},
		{"long key in escapes", `{"` + strings.Repeat(`\u0061`, 257) + `":1}`, 1, "*", "256"},
		{"too many values", `[` + strings.Repeat("0,", 1<<20) + `0]`, 2097151, "", "too many"},
		{"two values", `{}{}`, 2, "", "follows"},
		{"something after", `{"model":"a"} x`, 14, "", "follows"},
		{"NUL after", "{}\x00", 2, "", "follows"},
		{"nothing", ``, 0, "", "no JSON"},
		{"white space", " \r\n\t", 4, "", "no JSON"},
		{"vertical tab", "\v{}", 0, "", "begins like this"},
		{"no-break space", "\u00a0{}", 0, "", "begins like this"},
		{"comment", `{/*x*/}`, 1, "", "key"},
		{"trailing comma", `{"a":1,}`, 7, "", "key"},
		{"trailing comma in an array", `[1,]`, 3, "[1]", "begins like this"},
		{"comma first", `[,1]`, 1, "[0]", "begins like this"},
		{"single quotes", `{'a':1}`, 1, "", "key"},
		{"no quotes", `{a:1}`, 1, "", "key"},
		{"no colon", `{"a" 1}`, 5, "a", "colon"},
		{"no comma", `{"a":1 "b":2}`, 7, "", "comma"},
		{"cut object", `{"a":1`, 6, "", "too early"},
		{"cut array", `{"a":[1`, 7, "a", "too early"},
		{"cut string", `{"a":"b`, 7, "a", "inside a string"},
		{"cut escape", `{"a":"b\`, 7, "a", "escape"},
		{"cut key", `{"a`, 3, "", "inside a string"},
		{"cut value", `{"a":`, 5, "a", "too early"},
		{"cut word", `{"a":tru`, 5, "a", "begins like this"},
		{"bad escape", `["\x41"]`, 2, "[0]", "escape"},
		{"bad hexadecimal", `["\u00g0"]`, 2, "[0]", "hexadecimal"},
		{"wrong bracket", `{"a":[1}}`, 7, "a", "comma"},
	}
	var d Doc
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := d.Scan([]byte(tt.body), chat)
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("got %v, want an *Error", err)
			}
			if e.Offset != tt.offset || e.Path != tt.path || !strings.Contains(e.Words, tt.words) {
				t.Errorf("got byte %d, path %q, %q; want byte %d, path %q, words with %q",
					e.Offset, e.Path, e.Words, tt.offset, tt.path, tt.words)
			}
			if d.Root().Exists() {
				t.Error("a refused document can be read")
			}
		})
	}
}

func TestScanAccepts(t *testing.T) {
	tests := []struct{ name, body string }{
		{"scalar", ` "x" `},
		{"empty", "{}\n"},
		{"depth 64", nested(64)},
		{"10000 keys", keys(10_000)},
		{"long key", `{"` + strings.Repeat("a", 256) + `":1}`},
		{"long number", `[` + strings.Repeat("1", 32) + `,-0.5e-307,1e308,0,-0]`},
		{"pair of surrogates", `["\ud83d\ude00"]`},
		{"case variant of an unknown key", `{"extra":1,"EXTRA":2}`},
		{"case variant at a level that is not known", `{"metadata":{"MODEL":1,"model":2}}`},
		{"delete and friends", "[\"\x7f\u2028\U0010ffff\"]"},
		{"Kelvin beyond what is known", `{"\u212Aey":1,"key":2}`},
	}
	var d Doc
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := d.Scan([]byte(tt.body), chat); err != nil {
				t.Fatal(err)
			}
			agree(t, &d, []byte(tt.body))
		})
	}
}

// TestScanLax lists what only the strict reading refuses.
func TestScanLax(t *testing.T) {
	var d Doc
	for _, body := range []string{
		`{"a":1,"a":2}`, `{"model":1,"MODEL":2}`, `["\ud800","\u0000"]`,
		`[` + strings.Repeat("1", 40) + `,1e400]`, keys(10_001),
	} {
		if err := d.ScanLax([]byte(body)); err != nil {
			t.Errorf("%.30s: %v", body, err)
		}
		if err := d.Scan([]byte(body), chat); err == nil {
			t.Errorf("%.30s: the strict reading accepts it", body)
		}
	}
	for _, body := range []string{"\xef\xbb\xbf{}", "\"\xff\"", nested(65), `{"a":1,}`, `[01]`, ``, `{}{}`, "\"\n\""} {
		if err := d.ScanLax([]byte(body)); err == nil {
			t.Errorf("%.30q: accepted", body)
		}
	}
	if err := d.ScanLax([]byte(`{"a":1,"a":"\ud800"}`)); err != nil {
		t.Fatal(err)
	}
	if got := d.Root().Get("a").Text(); got != "\uFFFD" { // as encoding/json reads both
		t.Errorf("the last of two keys: got %q, want U+FFFD", got)
	}
}

func TestErrorWords(t *testing.T) {
	var d Doc
	err := d.Scan([]byte(`{"messages":[{"role":tru}]}`), chat)
	want := "no JSON value begins like this (byte 21, in messages[0].role)"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestInt(t *testing.T) {
	tests := []struct {
		json string
		want int64
		ok   bool
	}{
		{"0", 0, true},
		{"-0", 0, true},
		{"4096", 4096, true},
		{"9223372036854775807", 1<<63 - 1, true},
		{"-9223372036854775808", -1 << 63, true},
		{"9223372036854775808", 0, false},
		{"-9223372036854775809", 0, false},
		{"18446744073709551616", 0, false},
		{"99999999999999999999999", 0, false},
		{"1.0", 0, false},
		{"1e2", 0, false},
		{`"1"`, 0, false},
		{"true", 0, false},
	}
	var d Doc
	for _, tt := range tests {
		if err := d.Scan([]byte(tt.json), nil); err != nil {
			t.Fatal(err)
		}
		if got, ok := d.Root().Int(); got != tt.want || ok != tt.ok {
			t.Errorf("%s: got %d, %v, want %d, %v", tt.json, got, ok, tt.want, tt.ok)
		}
	}
}

func TestValue(t *testing.T) {
	body := []byte(`{"s":"a\nb","t":"plain","n":1.5,"b":true,"z":null,"o":{"k":[1,[2],{}]}}`)
	var d Doc
	if err := d.Scan(body, nil); err != nil {
		t.Fatal(err)
	}
	root := d.Root()
	if s := root.Get("s"); s.Text() != "a\nb" || !s.Is("a\nb") || s.Is(`a\nb`) || s.TextLen() != 4 {
		t.Errorf("s: got %q", s.Text())
	}
	if b := root.Get("t").Bytes(); &b[0] != &body[17] {
		t.Error("a string without escapes was copied")
	}
	if f, ok := root.Get("n").Float(); f != 1.5 || !ok {
		t.Errorf("n: got %v, %v", f, ok)
	}
	if b, ok := root.Get("b").Bool(); !b || !ok {
		t.Errorf("b: got %v, %v", b, ok)
	}
	if z := root.Get("z"); !z.Exists() || z.Given() {
		t.Error("z: null is there, and not given")
	}
	if k := root.Get("o").Get("k"); k.Len() != 3 || string(k.Raw()) != "[1,[2],{}]" {
		t.Errorf("k: got %d elements, %s", k.Len(), k.Raw())
	}
	var absent Value
	if v := root.Get("none").Get("below"); v != absent || v.Kind() != Absent || v.Text() != "" || v.Len() != 0 || v.Raw() != nil {
		t.Errorf("what is absent: got %v", v)
	}
	if _, ok := absent.Bool(); ok {
		t.Error("an absent value is a boolean")
	}
}

func TestEdits(t *testing.T) {
	tests := []struct {
		name, body string
		edit       func(root Value) Edit
		want       string
	}{
		{"replace", `{ "model" : "a" , "x":1}`, func(r Value) Edit { return Replace(r.Get("model"), []byte(`"b"`)) }, `{ "model" : "b" , "x":1}`},
		{"insert", `{"a":1 }`, func(r Value) Edit { return Insert(r, []byte(`,"b":2`)) }, `{"a":1 ,"b":2}`},
		{"insert first", `{ }`, func(r Value) Edit { return Insert(r, []byte(`,"b":2`)) }, `{ "b":2}`},
		{"cut only", `{ "a": 1 }`, func(r Value) Edit { return Cut(r, r.Get("a")) }, `{  }`},
		{"cut first", `{"a":1, "b":2}`, func(r Value) Edit { return Cut(r, r.Get("a")) }, `{"b":2}`},
		{"cut middle", `{"a":1, "b":[2] ,"c":3}`, func(r Value) Edit { return Cut(r, r.Get("b")) }, `{"a":1, "c":3}`},
		{"cut last", `{"a":1, "b":2 }`, func(r Value) Edit { return Cut(r, r.Get("b")) }, `{"a":1 }`},
	}
	var d Doc
	for _, tt := range tests {
		if err := d.Scan([]byte(tt.body), nil); err != nil {
			t.Fatal(err)
		}
		got := string(Splice(nil, d.Bytes(), []Edit{tt.edit(d.Root())}))
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestSpliceKeepsTheRest edits random members of random objects: what was not
// named stays, byte for byte.
func TestSpliceKeepsTheRest(t *testing.T) {
	space := rapid.StringMatching(`[ \n\t]{0,2}`)
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,6}`), 1, 6, rapid.ID[string]).Draw(t, "names")
		var body []byte
		body = append(body, '{')
		for i, name := range names {
			if i > 0 {
				body = append(body, ',')
			}
			value := rapid.SampledFrom([]string{`1`, `"x,}"`, `[{"a":[]}]`, `{"q":null}`, `"\u00e9\""`}).Draw(t, "value")
			body = fmt.Appendf(body, `%s"%s"%s:%s%s%s`, space.Draw(t, "s"), name, space.Draw(t, "s"), space.Draw(t, "s"), value, space.Draw(t, "s"))
		}
		body = append(body, '}')
		var d Doc
		if err := d.Scan(body, nil); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		var want map[string]any
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatal(err)
		}
		var edits []Edit
		for m := range d.Root().All() {
			if rapid.Bool().Draw(t, "edit") {
				edits = append(edits, Replace(m, []byte(`"edited"`)))
				want[string(m.Key())] = "edited"
			}
		}
		edits = append(edits, Insert(d.Root(), []byte(`,"a new one":{}`)))
		want["a new one"] = map[string]any{}
		out := Splice(nil, body, edits)
		var got map[string]any
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		for _, e := range edits {
			_, after, ok := bytes.Cut(out, e.With)
			if !ok {
				t.Fatalf("%s lacks %s", out, e.With)
			}
			out = after
		}
		if rest := body[len(body)-1:]; !bytes.Equal(out, rest) {
			t.Fatalf("behind the last edit: got %s, want %s", out, rest)
		}
	})
}

// TestCutAll takes random members out of random objects, and puts one in.
func TestCutAll(t *testing.T) {
	space := rapid.StringMatching(`[ \n\t]{0,2}`)
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,3}`), 1, 8, rapid.ID[string]).Draw(t, "names")
		stays := rapid.IntRange(0, len(names)-1).Draw(t, "stays")
		body, want := []byte{'{'}, map[string]any{"new one": true}
		goes := map[string]bool{}
		for i, name := range names {
			if i > 0 {
				body = append(body, ',')
			}
			body = append(body, space.Draw(t, "space")...)
			body = append(body, `"`+name+`":`+space.Draw(t, "space")+`[1]`+space.Draw(t, "space")...)
			if goes[name] = i != stays && rapid.Bool().Draw(t, "goes"); !goes[name] {
				want[name] = []any{1.0}
			}
		}
		body = append(body, '}')
		var d Doc
		if err := d.Scan(body, nil); err != nil {
			t.Fatal(err)
		}
		edits := CutAll(nil, d.Root(), func(m Value) bool { return goes[string(m.Key())] })
		edits = append(edits, Insert(d.Root(), []byte(`,"new one":true`)))
		out := Splice(nil, body, edits)
		var got map[string]any
		if err := json.Unmarshal(out, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s became %s: %v", body, out, err)
		}
	})
}

func TestAppendString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		if rapid.Bool().Draw(t, "runes") {
			text = rapid.String().Draw(t, "text")
		}
		out := AppendString(nil, text)
		if again := AppendString(nil, []byte(text)); !bytes.Equal(out, again) {
			t.Fatalf("bytes: got %s, want %s", again, out)
		}
		var got string
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		if want := string([]rune(text)); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

// TestShapeMembers: what a shape tells of itself is what it knows.
func TestShapeMembers(t *testing.T) {
	var walk func(s *Shape, path string) int
	walk = func(s *Shape, path string) (n int) {
		if path != "" && chat.Known(path) != path {
			t.Errorf("%s is told, and not known", path)
		}
		for name, value := range s.Members() {
			n += 1 + walk(value, strings.TrimPrefix(path+"."+name, "."))
		}
		if e := s.Element(); e != nil {
			n += walk(e, path+"[0]")
		}
		return n
	}
	if walk(chat, "") == 0 {
		t.Error("a shape with keys tells none")
	}
	if walk(nil, "") != 0 {
		t.Error("no shape tells a key")
	}
}

func TestShapeKnown(t *testing.T) {
	for path, want := range map[string]string{
		"model":                           "model",
		"messages[12].content":            "messages[12].content",
		"messages[0].parts[3].type":       "messages[0].parts[3].type",
		"messages[0].parts[3].sk-secret":  "messages[0].parts[3]",
		"messages.0.content":              "messages",
		"messages[secret].content":        "messages",
		"messages[99999999999999].role":   "messages",
		"sk-secret":                       "",
		"model.deep":                      "model",
		"modelx":                          "",
		"messages[0]content":              "messages[0]",
		"":                                "",
		"[0]":                             "",
		"messages[0].parts[1].type.extra": "messages[0].parts[1].type",
	} {
		if got := chat.Known(path); got != want {
			t.Errorf("%q: got %q, want %q", path, got, want)
		}
	}
}

// TestFoldsAsUnicodeDoes: every variant of every known key is refused.
func TestFoldsAsUnicodeDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := []rune(rapid.SampledFrom(chat.names).Draw(t, "name"))
		folds := map[rune][]rune{'s': []rune("Sſ"), 'k': []rune("K\u212a")}
		i := rapid.IntRange(0, len(name)-1).Draw(t, "i")
		if name[i] == '_' {
			return
		}
		others := append([]rune{name[i] - 32}, folds[name[i]]...)
		name[i] = rapid.SampledFrom(others).Draw(t, "fold")
		body := AppendString([]byte("{"), string(name))
		if err := new(Doc).Scan(append(body, ":1}"...), chat); err == nil {
			t.Fatalf("%s is accepted", body)
		}
	})
}

// TestReusedDoc: nothing of one document shows in the next, and none allocates.
func TestReusedDoc(t *testing.T) {
	var d Doc
	bodies := [][]byte{request(4096), []byte(`{"\u0061":1}`), []byte(`{"a":`), request(1024), chunk}
	for range 2 {
		for _, b := range bodies {
			if err := d.Scan(b, benchShape); err == nil {
				agree(t, &d, b)
			}
		}
	}
	if n := testing.AllocsPerRun(100, func() { _ = d.Scan(bodies[3], benchShape) }); n != 0 {
		t.Errorf("a scan allocates %v times", n)
	}
	if got, least := d.Size(), 20*int(reflect.TypeFor[node]().Size()); got < least || nodeBytes != reflect.TypeFor[node]().Size() {
		t.Errorf("size: got %d, want at least %d", got, least)
	}
}

type tester interface {
	Helper()
	Fatalf(string, ...any)
}

// agree compares a document with what encoding/json reads.
func agree(t tester, d *Doc, body []byte) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var want any
	if err := dec.Decode(&want); err != nil {
		t.Fatalf("encoding/json refuses %q: %v", body, err)
	}
	same(t, d.Root(), want)
}

func same(t tester, v Value, want any) {
	t.Helper()
	switch want := want.(type) {
	case nil:
		if v.Kind() != Null {
			t.Fatalf("got %v, want null", v.Kind())
		}
	case bool:
		if got, ok := v.Bool(); got != want || !ok {
			t.Fatalf("got %s, want %v", v.Raw(), want)
		}
	case string:
		if got := v.Text(); v.Kind() != String || got != want || !v.Is(want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	case json.Number:
		if string(v.Raw()) != want.String() {
			t.Fatalf("got %s, want %s", v.Raw(), want)
		}
		n, ok := v.Int()
		if i, err := want.Int64(); ok != (err == nil) || ok && n != i {
			t.Fatalf("%s as an integer: got %d, %v, want %d, %v", want, n, ok, i, err)
		}
		f, ok := v.Float()
		if g, err := want.Float64(); ok != (err == nil) || ok && f != g {
			t.Fatalf("%s as a float: got %v, %v, want %v, %v", want, f, ok, g, err)
		}
	case []any:
		if v.Kind() != Array || v.Len() != len(want) {
			t.Fatalf("got %v of %d, want an array of %d", v.Kind(), v.Len(), len(want))
		}
		i := 0
		for e := range v.All() {
			same(t, e, want[i])
			i++
		}
	case map[string]any:
		if v.Kind() != Object || v.Len() < len(want) {
			t.Fatalf("got %v of %d, want an object of %d", v.Kind(), v.Len(), len(want))
		}
		members := make(map[string]Value)
		for m := range v.All() {
			members[string(m.Key())] = m // of duplicates the last counts
		}
		for name, value := range want {
			same(t, members[name], value)
		}
	}
}

// leaner checks that a lean reading is the lax one but for what arrays of nothing
// but numbers hold.
func leaner(t tester, lean, lax Value) {
	t.Helper()
	if lean.Kind() != lax.Kind() || lean.Len() != lax.Len() || !bytes.Equal(lean.Raw(), lax.Raw()) || !bytes.Equal(lean.Key(), lax.Key()) {
		t.Fatalf("%s reads leanly as %v of %d, %s", lax.Raw(), lean.Kind(), lean.Len(), lean.Raw())
	}
	var inner []Value
	numbers := lax.Kind() == Array && lax.Len() > 0
	for e := range lax.All() {
		inner = append(inner, e)
		numbers = numbers && e.Kind() == Number
	}
	if lean.Numbers() != numbers || lax.Numbers() {
		t.Fatalf("%s holds numbers alone: %v, told %v", lax.Raw(), numbers, lean.Numbers())
	}
	i := 0
	for e := range lean.All() {
		leaner(t, e, inner[i])
		i++
	}
	if i != len(inner) && !numbers || i > 0 && numbers {
		t.Fatalf("%s has %d children, leanly %d", lax.Raw(), len(inner), i)
	}
}

// TestScanLean: what is left out takes no room.
func TestScanLean(t *testing.T) {
	body := []byte(`{"a":[` + strings.Repeat("1.5,", 100_000) + `2],"b":[[1,2],[3,"x"],[],[[4]]],"c":5}`)
	var lean, lax Doc
	if err := errors.Join(lean.ScanLean(body), lax.ScanLax(body)); err != nil {
		t.Fatal(err)
	}
	leaner(t, lean.Root(), lax.Root())
	if got := len(lean.nodes); got > 20 {
		t.Errorf("%d values on the tape", got)
	}
	if v := lean.Root().Get("c"); !v.Exists() || string(v.Raw()) != "5" {
		t.Errorf("what follows is %s", v.Raw())
	}
}

func FuzzScan(f *testing.F) {
	for _, s := range []string{
		`{"model":"a","m\u006fdel":"b"}`, `{"a":[1,-2.5e3,"\ud83d\ude00",null,true]}`, `"\u0000"`, `1e400`,
		string(chunk), string(request(512)), "\xef\xbb\xbf{}", `{"\u017ftream":1}`, `[[[[]]]]`, `{"a":{"b":{}},"c":[{}]}`,
		`[[1,2],[3,[4]],[5,null]]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var strict, lax Doc
		errStrict, errLax := strict.Scan(body, chat), lax.ScanLax(body)
		if errStrict == nil {
			if errLax != nil {
				t.Fatalf("the strict reading accepts %q, the lax one says %v", body, errLax)
			}
			agree(t, &strict, body)
			n := 0
			for m := range strict.Root().All() {
				n++
				if strict.Root().Kind() == Object && strict.Root().Get(string(m.Key())) != m {
					t.Fatalf("%q: the key %q finds another member", body, m.Key())
				}
			}
			if n != strict.Root().Len() {
				t.Fatalf("%q: %d children, told %d", body, n, strict.Root().Len())
			}
			var edits []Edit
			for m := range strict.Root().All() {
				edits = append(edits, Replace(m, m.Raw()))
			}
			if out := Splice(nil, body, edits); !bytes.Equal(out, body) {
				t.Fatalf("got %q, want %q", out, body)
			}
		}
		var lean Doc
		if errLean := lean.ScanLean(body); (errLean == nil) != (errLax == nil) {
			t.Fatalf("%q: the lax reading says %v, the lean one %v", body, errLax, errLean)
		}
		if errLax == nil {
			leaner(t, lean.Root(), lax.Root())
			agree(t, &lax, body)
		} else if e, ok := errors.AsType[*Error](errLax); !ok || e.Offset < 0 || e.Offset > len(body) {
			t.Fatalf("%q: %v", body, errLax)
		}
	})
}
