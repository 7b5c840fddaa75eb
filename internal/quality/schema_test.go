package quality

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"headworks/internal/scan"
)

func parse(t testing.TB, src string) scan.Value {
	t.Helper()
	var d scan.Doc
	if err := d.ScanLax([]byte(src)); err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return d.Root()
}

// TestCheck has cases of the JSON Schema test suite, draft 2020-12
// (json-schema-org/JSON-Schema-Test-Suite), by keyword, and some that answers of
// models are refused for.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		schema             string
		fits, misfits, not []string
	}{
		{`{"type":"integer"}`, []string{"1", "1.0", "-3e2"}, []string{"1.1", `"1"`, "null", "{}"}, nil},
		{`{"type":["integer","null"]}`, []string{"1", "null"}, []string{"1.5", "true"}, nil},
		{
			`{"type":"object","properties":{"a":{"type":"string"},"b":{"enum":[1,"x",null,[2]]}},"required":["a"],"additionalProperties":false}`,
			[]string{`{"a":"x"}`, `{"b":[2.0],"a":""}`, `{"a":"x","b":null}`},
			[]string{`{}`, `{"a":1}`, `{"a":"x","c":1}`, `{"a":"x","b":2}`, `"a"`},
			nil,
		},
		{`{"properties":{"a":{"type":"string"}}}`, []string{`{"b":1}`, "3", "[]"}, []string{`{"a":3}`}, nil},
		{`{"const":{"a":[1,{"b":false}]}}`, []string{`{"a":[1.0,{"b":false}]}`}, []string{`{"a":[1,{"b":0}]}`, `{"a":[1]}`}, nil},
		{`{"items":{"minimum":0,"exclusiveMaximum":10},"minItems":1,"maxItems":2,"uniqueItems":true}`, []string{"[0]", "[1,9.9]"}, []string{"[]", "[1,2,3]", "[-1]", "[10]", "[1,1.0]"}, nil},
		{`{"prefixItems":[{"type":"string"}],"items":{"type":"number"}}`, []string{`["a",1,2]`, "[]"}, []string{`[1]`, `["a","b"]`}, nil},
		{`{"contains":{"const":3}}`, []string{"[1,3]"}, []string{"[]", "[1]"}, nil},
		{`{"minLength":2,"maxLength":3,"pattern":"^[a-zß]+$"}`, []string{`"ab"`, `"ßß"`, "5"}, []string{`"a"`, `"abcd"`, `"A1"`}, nil},
		{`{"multipleOf":0.01}`, []string{"4.35", "0"}, []string{"0.0075"}, nil},
		{`{"anyOf":[{"type":"integer"},{"minimum":2}]}`, []string{"1", "2.5"}, []string{"1.5"}, nil},
		{`{"oneOf":[{"type":"integer"},{"minimum":2}]}`, []string{"1", "2.5"}, []string{"3", "1.5"}, nil},
		{`{"allOf":[{"minimum":1},{"maximum":2}],"not":{"const":1.5}}`, []string{"1", "2"}, []string{"0", "3", "1.5"}, nil},
		{
			`{"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]},"v":{"type":"number"}},"required":["v","next"],"additionalProperties":false}}}`,
			[]string{`{"v":1,"next":{"v":2,"next":null}}`},
			[]string{`{"v":1,"next":{"v":"2","next":null}}`, `{"v":1}`},
			nil,
		},
		{`{"$defs":{"a/b":{"const":1}},"$ref":"#/$defs/a~1b"}`, []string{"1"}, []string{"2"}, nil},
		{`{"patternProperties":{"^x":{"type":"number"}},"additionalProperties":{"type":"string"}}`, []string{`{"x1":1,"y":"z"}`}, []string{`{"x1":"1"}`, `{"y":1}`}, nil},
		{`{"minProperties":1,"maxProperties":1}`, []string{`{"a":1}`}, []string{`{}`, `{"a":1,"b":2}`}, nil},
		{`true`, []string{"1"}, nil, nil},
		{`false`, nil, []string{"1"}, nil},
		{`{"format":"email","title":"t","x-ours":1}`, []string{`"no address"`}, nil, nil},
		{`{"$ref":"https://example.com/schema"}`, nil, nil, []string{"1"}},
		{`{"$ref":"#/$defs/gone"}`, nil, nil, []string{"1"}},
		{`{"$ref":"#"}`, nil, nil, []string{"1"}},
		{`{"if":{"type":"string"},"then":{"minLength":1}}`, nil, nil, []string{`""`}},
		{`{"pattern":"(?=a)"}`, nil, nil, []string{`"a"`}},
		{`3`, nil, nil, []string{"1"}},
		{`{"maximum":1e99999}`, nil, nil, []string{"1"}},
	} {
		schema := parse(t, c.schema)
		for want, values := range map[Fit][]string{Fits: c.fits, Misfits: c.misfits, Unknown: c.not} {
			for _, v := range values {
				if got := Check(schema, parse(t, v)); got != want {
					t.Errorf("%s: %s %v, want %v", c.schema, v, got, want)
				}
			}
		}
	}
}

// TestCheckEnds gives schemas that double the work with each level: who writes one may
// not keep us busy.
func TestCheckEnds(t *testing.T) {
	var src strings.Builder
	src.WriteString(`{"$ref":"#/$defs/a","$defs":{"z":{}`)
	for c := 'a'; c < 'y'; c++ {
		next := `{"$ref":"#/$defs/` + string(c+1) + `"}`
		src.WriteString(`,"` + string(c) + `":{"anyOf":[` + next + `,` + next + `]}`)
	}
	src.WriteString(`,"y":{"type":"null"}}}`)
	if got := Check(parse(t, src.String()), parse(t, "1")); got != Unknown {
		t.Errorf("%v", got)
	}
	if got := Check(parse(t, `{"enum":[`+strings.Repeat("0,", MaxSchema)+`1]}`), parse(t, "1")); got != Unknown {
		t.Errorf("a large schema: %v", got)
	}
}

func TestEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawJSON(t, 3)
		var x, y scan.Doc
		if x.ScanLax([]byte(a)) != nil || y.ScanLax([]byte(" "+a+" ")) != nil {
			t.Fatalf("%s is not JSON", a)
		}
		if !Equal(x.Root(), y.Root()) {
			t.Fatalf("%s is not itself", a)
		}
		if y.ScanLax([]byte("["+a+"]")) == nil && Equal(x.Root(), y.Root()) {
			t.Fatalf("%s is a list of itself", a)
		}
	})
}

func drawJSON(t *rapid.T, depth int) string {
	kinds := 4
	if depth == 0 {
		kinds = 2
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return rapid.SampledFrom([]string{"0", "1.50", "-2e3", "null", "true", "1e999"}).Draw(t, "atom")
	case 1:
		return `"` + rapid.StringMatching(`[a-z]{0,3}`).Draw(t, "text") + `"`
	case 2:
		var parts []string
		for range rapid.IntRange(0, 3).Draw(t, "n") {
			parts = append(parts, drawJSON(t, depth-1))
		}
		return "[" + strings.Join(parts, ",") + "]"
	default:
		var parts []string
		for i := range rapid.IntRange(0, 3).Draw(t, "n") {
			parts = append(parts, `"k`+string(rune('a'+i))+`":`+drawJSON(t, depth-1))
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(`{"type":"object","required":["a"]}`, `{"a":1}`)
	f.Add(`{"$ref":"#"}`, `1`)
	f.Add(`{"items":{"multipleOf":1e-9}}`, `[1,2]`)
	f.Fuzz(func(t *testing.T, schema, value string) {
		var s, v scan.Doc
		if s.Scan([]byte(schema), nil) != nil || v.ScanLax([]byte(value)) != nil {
			return
		}
		Check(s.Root(), v.Root())
		if !Equal(v.Root(), v.Root()) && v.Size() < 1<<16 {
			t.Errorf("%s is not itself", value)
		}
	})
}
