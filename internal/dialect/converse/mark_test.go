package converse

import (
	"strings"
	"testing"

	"headworks/internal/scan"
)

// TestMark: the system prompt of a model that keeps prompts ends with a cachePoint.
func TestMark(t *testing.T) {
	long := `{"text":"` + strings.Repeat("Mind the rules. ", 300) + `"}`
	for _, test := range []struct{ model, body, want string }{
		{"eu.anthropic.claude-sonnet-5-v1:0", `{"system":[` + long + `]}`, `{"system":[` + long + `,{"cachePoint":{"type":"default"}}]}`},
		{"amazon.nova-pro-v1:0", `{"system":[{"text":"a"},` + long + `],"messages":[]}`, `{"system":[{"text":"a"},` + long + `,{"cachePoint":{"type":"default"}}],"messages":[]}`},
		{"meta.llama3", `{"system":[` + long + `]}`, ""},
		{"amazon.nova-pro-v1:0", `{"system":[{"text":"a"}]}`, ""},
		{"amazon.nova-pro-v1:0", `{"messages":[` + long + `]}`, ""},
		{"amazon.nova-pro-v1:0", `{"system":[` + long + `,{"cachePoint":{"type":"default"}}]}`, ""},
	} {
		var d scan.Doc
		if err := d.Scan([]byte(test.body), nil); err != nil {
			t.Fatal(err)
		}
		if test.want == "" {
			test.want = test.body
		}
		if got := string(scan.Splice(nil, []byte(test.body), Mark(nil, &d, test.model, ""))); got != test.want {
			t.Errorf("%s: %s", test.model, got)
		}
	}
}
