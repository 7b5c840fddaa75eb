package responses

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"headworks/internal/dialect"
	"headworks/internal/scan"
)

// noted is what was rendered.
type noted []string

func (n *noted) Write(p []byte) {
	if len(p) > 0 {
		*n = append(*n, string(p))
	}
}

func (n *noted) Weigh(_ []byte, tokens int) { *n = append(*n, fmt.Sprint(tokens)) }

func TestRender(t *testing.T) {
	for _, tt := range []struct {
		body string
		want []string
	}{
		{`{"input":"hi"}`, []string{`"user"`, `"hi"`}},
		{`{"input":"hi","instructions":"be brief","tools":[{"type":"custom","name":"x"}]}`, []string{`[{"type":"custom","name":"x"}]`, `"system"`, `"be brief"`, `"user"`, `"hi"`}},
		{
			`{"input":[{"role":"user","content":"a"},{"type":"reasoning","summary":[]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},` +
				`{"type":"function_call_output","call_id":"c","output":"ok"},{"type":"custom_tool_call","call_id":"d","name":"g","input":"x"},` +
				`{"type":"custom_tool_call_output","call_id":"d","output":[{"type":"input_text","text":"b"}]},` +
				`{"type":"message","role":"assistant","content":[{"type":"output_text","text":"c"},{"type":"refusal","refusal":"no"}]},` +
				`{"role":"user","content":[{"type":"input_image","image_url":"u"},{"type":"input_file","file_id":"f"},{"type":"input_audio","input_audio":{}},{"type":"input_text","text":"d"}]}]}`,
			[]string{
				`"user"`, `"a"`, `{"type":"reasoning","summary":[]}`, `"assistant"`, `"f"`, `"{}"`, `"tool"`, `"ok"`, `"assistant"`, `"g"`, `"x"`, `"tool"`, `"b"`,
				`"assistant"`, `"c"`, `"no"`, `"user"`, fmt.Sprint(dialect.ImageTokens), fmt.Sprint(dialect.DocumentTokens), fmt.Sprint(dialect.AudioTokens), `"d"`,
			},
		},
	} {
		var d scan.Doc
		if err := d.Scan([]byte(tt.body), Shape()); err != nil {
			t.Fatal(err)
		}
		var got noted
		Render(&d, &got)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s renders\n%s, want\n%s", tt.body, strings.Join(got, "|"), strings.Join(tt.want, "|"))
		}
	}
}
