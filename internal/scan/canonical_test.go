package scan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func canonicalOf(t tester, body string) string {
	t.Helper()
	var d Doc
	if err := d.Scan([]byte(body), nil); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	return string(d.Root().AppendCanonical(nil, nil))
}

func TestCanonical(t *testing.T) {
	for _, tt := range []struct{ body, want string }{
		{` { } `, `{}`},
		{"[ 1 ,\n2 ]", `[1,2]`},
		{`{"b":1,"a":{"d":null,"c":true}}`, `{"a":{"c":true,"d":null},"b":1}`},
		{`{"aa":1,"a":2,"B":3,"é":4,"z":5,"":6}`, `{"":6,"B":3,"a":2,"aa":1,"z":5,"é":4}`},
		{`{"\u0062":1,"a":2}`, `{"a":2,"b":1}`},
		{`"\u0041\/\u00e9\ud83d\ude00\b\f\n\r\t\u001f\"\\\u000a"`, `"A/é😀\u0008\u000c\n\r\t\u001f\"\\\n"`},
		{`"\u005c\u0022"`, `"\\\""`},

		{`0`, `0`},
		{`-0`, `0`},
		{`0.0`, `0`},
		{`-0e7`, `0`},
		{`0e99999999999999999999`, `0`},
		{`1`, `1`},
		{`1.0`, `1`},
		{`1e0`, `1`},
		{`10e-1`, `1`},
		{`0.1E+1`, `1`},
		{`-1.00`, `-1`},
		{`9007199254740992`, `9007199254740992`},
		{`9007199254740993`, `9007199254740993`},
		{`9007199254740993.0`, `9007199254740993`},
		{`0.7`, `0.7`},
		{`0.70`, `0.7`},
		{`7e-1`, `0.7`},
		{`12.50`, `12.5`},
		{`1250e-2`, `12.5`},
		{`0.0000012`, `0.0000012`},
		{`1.2e-6`, `0.0000012`},
		{`0.000000012`, `12e-9`},
		{`1.2E-8`, `12e-9`},
		{`12345678901234567890123456789012`, `12345678901234567890123456789012`},
		{`1e31`, `1` + strings.Repeat("0", 31)},
		{`1e32`, `1e32`},
		{`10e31`, `1e32`},
		{`1e-99999999999`, `1e-99999999999`},
		{`1.5e-0000000000099999999999`, `1.5e-0000000000099999999999`},
	} {
		got := canonicalOf(t, tt.body)
		if got != tt.want {
			t.Errorf("%s is %s, want %s", tt.body, got, tt.want)
		}
		if again := canonicalOf(t, got); again != got {
			t.Errorf("%s is %s, and that is %s", tt.body, got, again)
		}
	}
	var d Doc
	if got := d.Root().AppendCanonical([]byte("x"), nil); string(got) != "x" {
		t.Errorf("nothing is %q", got)
	}
}

func TestCanonicalLeaves(t *testing.T) {
	var d Doc
	body := `{"stream":true,"n":null,"messages":[{"role":"user","cache_control":{"type":"ephemeral"},"stream":1,"content":null}],"user":"u","a":{"user":"v"}}`
	if err := d.Scan([]byte(body), nil); err != nil {
		t.Fatal(err)
	}
	got := d.Root().AppendCanonical(nil, func(depth int, m Value) bool {
		return depth == 0 && (m.Kind() == Null || slices.Contains([]string{"stream", "user"}, string(m.Key()))) || string(m.Key()) == "cache_control"
	})
	if want := `{"a":{"user":"v"},"messages":[{"content":null,"role":"user","stream":1}]}`; string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := string(d.Root().Get("messages").AppendCanonical(nil, nil)), `[{"cache_control":{"type":"ephemeral"},"content":null,"role":"user","stream":1}]`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What ScanLax and ScanLean admit has one form too.
func TestCanonicalLax(t *testing.T) {
	long := strings.Repeat("7", 40)
	for _, tt := range []struct {
		body, want string
		lean       bool
	}{
		{`{"a":1,"b":2,"a":3}`, `{"a":3,"b":2}`, false},
		{`{"a":1,"a":3}`, `{"a":3}`, false},
		{`"\ud800x\udc00\ud83d\ude00"`, "\"\uFFFDx\uFFFD😀\"", false},
		{`[1.0, -2.50,3e2 ]`, `[1,-2.5,300]`, true},
		{`{"b":[[ 1.0],[]],"a":[0.10]}`, `{"a":[0.1],"b":[[1],[]]}`, true},
		{long, long, false},
		{long + "00", long + "e2", false},
		{"1" + strings.Repeat("0", 40), "1e40", false},
		{`1e400`, `1e400`, false},
	} {
		var d Doc
		scan := d.ScanLax
		if tt.lean {
			scan = d.ScanLean
		}
		if err := scan([]byte(tt.body)); err != nil {
			t.Fatal(err)
		}
		if got := string(d.Root().AppendCanonical(nil, nil)); got != tt.want {
			t.Errorf("%s is %s, want %s", tt.body, got, tt.want)
		}
	}
}

// number is a decimal: its digits, and a power of ten.
type number struct {
	digits string
	power  int
}

func (n number) value() *big.Rat {
	r, _ := new(big.Rat).SetString(fmt.Sprintf("%se%d", n.digits, n.power))
	return r
}

// tree draws a value: nil, bool, number, string, []any or members, without equal keys.
type members map[string]any

func tree(t *rapid.T, depth int) any {
	kinds := 6
	if depth == 0 {
		kinds = 4
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return number{rapid.StringMatching(`-?(0|[1-9][0-9]{0,17})`).Draw(t, "digits"), rapid.IntRange(-9, 9).Draw(t, "power")}
	case 3:
		return text.Draw(t, "text")
	case 4:
		a := make([]any, rapid.IntRange(0, 4).Draw(t, "elements"))
		for i := range a {
			a[i] = tree(t, depth-1)
		}
		return a
	}
	m := members{}
	for range rapid.IntRange(0, 5).Draw(t, "members") {
		m[text.Draw(t, "key")] = tree(t, depth-1)
	}
	return m
}

var text = rapid.StringOfN(rapid.RuneFrom([]rune("ab\"\\/\n\t\b\u001fé\u2028\u007f😀")), 0, 6, -1)

// spell writes a value in one of its many spellings.
func spell(t *rapid.T, b *bytes.Buffer, v any) {
	space := func() { b.WriteString(rapid.SampledFrom([]string{"", "", " ", "\n\t"}).Draw(t, "space")) }
	space()
	defer space()
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		fmt.Fprint(b, v)
	case number:
		spellNumber(t, b, v)
	case string:
		spellText(t, b, v)
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			spell(t, b, e)
		}
		b.WriteByte(']')
	case members:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		b.WriteByte('{')
		for i, k := range rapid.Permutation(keys).Draw(t, "order") {
			if i > 0 {
				b.WriteByte(',')
			}
			space()
			spellText(t, b, k)
			space()
			b.WriteByte(':')
			spell(t, b, v[k])
		}
		b.WriteByte('}')
	}
}

func spellText(t *rapid.T, b *bytes.Buffer, s string) {
	b.WriteByte('"')
	for _, r := range s {
		must := r < ' ' || r == '"' || r == '\\'
		short := map[rune]string{'"': `\"`, '\\': `\\`, '/': `\/`, '\n': `\n`, '\t': `\t`, '\b': `\b`}[r]
		switch how := rapid.IntRange(0, 2).Draw(t, "escape"); {
		case how == 0 && !must:
			b.WriteRune(r)
		case how <= 1 && short != "":
			b.WriteString(short)
		case r > 0xffff:
			fmt.Fprintf(b, `\u%04x\u%04X`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		default:
			fmt.Fprintf(b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
}

// spellNumber moves the point and adds zeros.
func spellNumber(t *rapid.T, b *bytes.Buffer, n number) {
	digits, power := n.digits, n.power
	if zeros := rapid.IntRange(0, 2).Draw(t, "zeros"); digits != "0" && digits != "-0" {
		digits, power = digits+strings.Repeat("0", zeros), power-zeros
	}
	if power >= 0 && power < 6 && digits != "0" && digits != "-0" && rapid.Bool().Draw(t, "plain") {
		b.WriteString(digits + strings.Repeat("0", power))
		return
	}
	if size := len(strings.TrimLeft(digits, "-")); size > 1 && rapid.Bool().Draw(t, "point") {
		i := len(digits) - rapid.IntRange(1, size-1).Draw(t, "after")
		power += len(digits) - i
		digits = digits[:i] + "." + digits[i:]
	}
	b.WriteString(digits)
	if power != 0 || rapid.Bool().Draw(t, "exponent") {
		fmt.Fprintf(b, rapid.SampledFrom([]string{"e%d", "E%d", "e%+d", "E%+03d"}).Draw(t, "form"), power)
	}
}

func alike(a, b any) bool {
	switch a := a.(type) {
	case number:
		b, ok := b.(number)
		return ok && a.value().Cmp(b.value()) == 0
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, alike)
	case members:
		b, ok := b.(members)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			if w, ok := b[k]; !ok || !alike(v, w) {
				return false
			}
		}
		return true
	}
	switch b.(type) {
	case number, []any, members:
		return false
	}
	return a == b
}

// TestCanonicalMeans: all spellings of a value have one form, and values that are not
// the same have two.
func TestCanonicalMeans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := tree(t, 3)
		b := a
		if rapid.Bool().Draw(t, "another") {
			b = tree(t, 3)
		}
		var x, y bytes.Buffer
		spell(t, &x, a)
		spell(t, &y, b)
		var dx, dy Doc
		if err := dx.Scan(x.Bytes(), nil); err != nil {
			t.Fatalf("%q: %v", x.String(), err)
		}
		if err := dy.Scan(y.Bytes(), nil); err != nil {
			t.Fatalf("%q: %v", y.String(), err)
		}
		fx, fy := dx.Root().AppendCanonical(nil, nil), dy.Root().AppendCanonical(nil, nil)
		if bytes.Equal(fx, fy) != alike(a, b) {
			t.Fatalf("%s is %s, %s is %s; the same: %v", x.String(), fx, y.String(), fy, alike(a, b))
		}
		if err := dy.Scan(fx, nil); err != nil || !bytes.Equal(dy.Root().AppendCanonical(nil, nil), fx) {
			t.Fatalf("%s is no form of its own (%v)", fx, err)
		}
	})
}

// TestCanonicalNear: values that differ in one digit, one letter or the order of an
// array differ, next to each other as they are.
func TestCanonicalNear(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64().Draw(t, "n")
		if a, b := canonicalOf(t, fmt.Sprint(n)), canonicalOf(t, new(big.Int).Add(big.NewInt(n), big.NewInt(1)).String()); a == b {
			t.Fatalf("%d and one more are %s", n, a)
		}
		if a, b := canonicalOf(t, fmt.Sprint("0.", uint64(n))), canonicalOf(t, fmt.Sprint("0.", uint64(n), "1")); a == b {
			t.Fatalf("0.%d and more are %s", uint64(n), a)
		}
	})
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{
		`{"b":[1,-2.5e3,"\ud83d\ude00",null,true],"a":{}}`, `9007199254740993`, `-0.0e-12`, `1e-400`, `123.4560e+07`, `"\u0041\/\\"`, string(request(512)),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var d, again Doc
		if d.Scan(body, nil) != nil {
			return
		}
		form := d.Root().AppendCanonical(nil, nil)
		if !utf8.Valid(form) || !json.Valid(form) {
			t.Fatalf("%q is %q", body, form)
		}
		// A number may grow by its zeros and texts by their escapes, so the bounds of
		// Scan do not hold for the form.
		if err := again.ScanLax(form); err != nil {
			t.Fatalf("%q is %q: %v", body, form, err)
		}
		if twice := again.Root().AppendCanonical(nil, nil); !bytes.Equal(twice, form) {
			t.Fatalf("%q is %q, and that is %q", body, form, twice)
		}
		if !equal(t, decoded(t, body), decoded(t, form)) {
			t.Fatalf("%q is %q, which means something else", body, form)
		}
	})
}

func decoded(t *testing.T, b []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func equal(t *testing.T, a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		if !ok {
			return false
		}
		x, errX := a.Float64()
		y, errY := b.Float64()
		return x == y && (errX == nil) == (errY == nil)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, func(x, y any) bool { return equal(t, x, y) })
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			if w, ok := b[k]; !ok || !equal(t, v, w) {
				return false
			}
		}
		return true
	}
	switch b.(type) {
	case json.Number, []any, map[string]any:
		return false
	}
	return a == b
}
