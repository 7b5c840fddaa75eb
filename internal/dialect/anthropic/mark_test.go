package anthropic

import (
	"strings"
	"testing"

	"headworks/internal/scan"
)

// TestMark: the end of the system prompt is marked, else that of the tools, once, and
// only where the caller marked nothing.
func TestMark(t *testing.T) {
	long := strings.Repeat("Mind the rules. ", 300)
	const mark = `"cache_control":{"type":"ephemeral"}`
	for _, test := range []struct{ name, body, want string }{
		{"text", `{"system":"` + long + `","messages":[]}`, `{"system":[{"type":"text","text":"` + long + `",` + mark + `}],"messages":[]}`},
		{"blocks", `{"system":[{"type":"text","text":"a"},{"type":"text","text":"` + long + `"}]}`, `{"system":[{"type":"text","text":"a"},{"type":"text","text":"` + long + `",` + mark + `}]}`},
		{"tools", `{"tools":[{"name":"a"},{"name":"b","description":"` + long + `"}]}`, `{"tools":[{"name":"a"},{"name":"b","description":"` + long + `",` + mark + `}]}`},
		{"short", `{"system":"be brief"}`, ""},
		{"none", `{"messages":[{"role":"user","content":"` + long + `"}]}`, ""},
		{"the caller's own", `{"system":"` + long + `","messages":[{"role":"user","content":[{"type":"text","text":"a",` + mark + `}]}]}`, ""},
	} {
		var d scan.Doc
		if err := d.Scan([]byte(test.body), nil); err != nil {
			t.Fatal(test.name, err)
		}
		if test.want == "" {
			test.want = test.body
		}
		if got := string(scan.Splice(nil, []byte(test.body), Mark(nil, &d, "", ""))); got != test.want {
			t.Errorf("%s: %s", test.name, got)
		}
	}
}
