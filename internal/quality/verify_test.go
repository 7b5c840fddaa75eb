package quality

import (
	"regexp"
	"testing"

	"headworks/internal/fleet"
	"headworks/internal/inference"
)

func TestVerify(t *testing.T) {
	all := &fleet.Cascade{Whole: true, Refusal: true, JSON: true}
	schema := []byte(`{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}`)
	tools := []inference.Tool{{Name: "add", Schema: schema}}
	said := func(text string) Answer { return Answer{Text: text, Finish: inference.Stop} }
	call := func(name, args string) Answer {
		return Answer{Finish: inference.ToolCalls, Calls: []Call{{name, args}}}
	}
	for _, c := range []struct {
		what  string
		rules *fleet.Cascade
		a     Answer
		asked Asked
		want  string
	}{
		{"a plain answer", all, said("42"), Asked{}, ""},
		{"cut", all, Answer{Text: "4", Finish: inference.Length}, Asked{}, Cut},
		{"filtered", all, Answer{Text: "4", Finish: inference.ContentFilter}, Asked{}, Filtered},
		{"nothing", all, said(""), Asked{}, Empty},
		{"a thought alone", all, said("<think>hm</think>"), Asked{}, Empty},
		{"a refusal", all, said("I'm sorry, but I can't help with that."), Asked{}, Refused},
		{"a refusal that says so", all, Answer{Text: "No.", Refusal: true, Finish: inference.Stop}, Asked{}, Refused},
		{"no JSON", all, said("n is 3"), Asked{JSON: true}, NoJSON},
		{"fenced JSON is none", all, said("```json\n{}\n```"), Asked{JSON: true}, NoJSON},
		{"JSON", all, said(`{"n":3}`), Asked{JSON: true, Schema: schema}, ""},
		{"of another schema", all, said(`{"n":"3"}`), Asked{Schema: schema}, Misfitted},
		{"of a schema that nobody can read", all, said(`{"n":"3"}`), Asked{Schema: []byte(`{"$ref":"http://x/y"}`)}, ""},
		{"a call", all, call("add", `{"n":3}`), Asked{Tools: tools}, ""},
		{"a call in the place of JSON", all, call("add", `{"n":3}`), Asked{JSON: true, Tools: tools}, ""},
		{"a call without arguments", all, call("add", ``), Asked{Tools: tools}, BadCall},
		{"a call that misfits", all, call("add", `{"n":3.5}`), Asked{Tools: tools}, BadCall},
		{"a call that is cut", all, call("add", `{"n":3`), Asked{Tools: tools}, BadCall},
		{"a call of no tool", all, call("sub", `{"n":3}`), Asked{Tools: tools}, BadCall},
		{"arguments that are no object", all, call("add", `[3]`), Asked{Tools: tools}, BadCall},
		{"match", &fleet.Cascade{Match: regexp.MustCompile(`\[\d+\]`)}, said("so it is [1]"), Asked{}, ""},
		{"no match", &fleet.Cascade{Match: regexp.MustCompile(`\[\d+\]`)}, said("so it is"), Asked{}, NoMatch},
		{"rejected", &fleet.Cascade{Reject: regexp.MustCompile(`(?i)not sure`)}, said("I am Not sure"), Asked{}, Rejected},
		{"a thought counts for nothing", &fleet.Cascade{Reject: regexp.MustCompile(`unsure`)}, said("<think>unsure</think>4"), Asked{}, ""},
		{"nothing is asked", &fleet.Cascade{}, Answer{Finish: inference.Length}, Asked{JSON: true}, ""},
	} {
		if got := Verify(c.rules, &c.a, &c.asked); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}
