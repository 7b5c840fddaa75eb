package dialect

import (
	"testing"

	"headworks/internal/scan"
)

func TestLay(t *testing.T) {
	chat := Turn{List: "messages", Says: "content", Open: `{"type":"text","text":`, Close: "}", Part: "text"}
	gemini := Turn{List: "contents", Says: "parts", Open: `{"text":`, Close: "}"}
	for _, test := range []struct {
		name       string
		turn       Turn
		body, want string
		front      bool
	}{
		{"a text", chat, `{"messages":[{"role":"system","content":"s"},{"role":"user","content":"q"}] , "x":1.0}`, `{"messages":[{"role":"system","content":"s"},{"role":"user","content":"A\"\nq"}] , "x":1.0}`, false},
		{"the last of two", chat, `{"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}`, `{"messages":[{"role":"user","content":"a"},{"role":"user","content":"A\"\nb"}]}`, false},
		{"the first of two", chat, `{"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}`, `{"messages":[{"role":"user","content":"A\"\na"},{"role":"user","content":"b"}]}`, true},
		{"parts", chat, `{"messages":[{"role":"user","content":[{"type":"image_url"},{"type":"text","text":"q"}]}]}`, `{"messages":[{"role":"user","content":[{"type":"image_url"},{"type":"text","text":"A\"\n"},{"type":"text","text":"q"}]}]}`, false},
		{"a result of a tool comes last", chat, `{"messages":[{"role":"user","content":"q"},{"role":"user","content":[{"type":"tool_result","content":"r"}]}]}`, `{"messages":[{"role":"user","content":"A\"\nq"},{"role":"user","content":[{"type":"tool_result","content":"r"}]}]}`, false},
		{"nobody said anything", chat, `{"messages":[{"role":"assistant","content":"q"},{"role":"user","content":""}]}`, "", false},
		{"no role, where users have none", gemini, `{"contents":[{"parts":[{"text":"q"}]}]}`, `{"contents":[{"parts":[{"text":"A\"\n"},{"text":"q"}]}]}`, false},
		{"a prompt", Turn{List: "prompt"}, `{"prompt":"q"}`, `{"prompt":"A\"\nq"}`, false},
		{"several prompts", Turn{List: "prompt"}, `{"prompt":["q","r"]}`, "", false},
		{"items", Turn{List: "input", Says: "content", Open: `{"type":"input_text","text":`, Close: "}", Part: "input_text"}, `{"input":[{"role":"user","content":"q"},{"type":"function_call_output","output":"o"}]}`, `{"input":[{"role":"user","content":"A\"\nq"},{"type":"function_call_output","output":"o"}]}`, false},
	} {
		var d scan.Doc
		if err := d.Scan([]byte(test.body), nil); err != nil {
			t.Fatal(err)
		}
		got, ok := test.turn.Lay(&d, "A\"\n", test.front)
		if string(got) != test.want || ok != (test.want != "") {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}
