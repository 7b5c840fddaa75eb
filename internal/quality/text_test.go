package quality

import "testing"

func TestRefuses(t *testing.T) {
	for text, want := range map[string]bool{
		"I'm sorry, but I can't help with that.":                       true,
		"I’m unable to browse the internet.":                           true,
		"<think>Should I?</think>\nI cannot assist with this request.": true,
		"Es tut mir leid, aber ich kann das nicht tun.":                true,
		"Lo siento,  pero no\npuedo hacerlo.":                          true,
		"很抱歉，我无法回答。":                                                   true,
		"申し訳ありませんが、お答えできません。":                                          true,
		"The answer is 42.":                                            false,
		"":                                                             false,
		"She said she would come.":                                     false,
		"You can't divide by zero.":                                    false,
	} {
		if Refuses(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func TestSaid(t *testing.T) {
	for text, want := range map[string]string{
		" a ":                  "a",
		"<think>b</think> a":   "a",
		"b</think>a":           "a",
		"<think>b":             "",
		"a <think>b</think> c": "a <think>b</think> c",
	} {
		if got := Said(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestUnfenced(t *testing.T) {
	for text, want := range map[string]string{
		"```json\n{}\n```":              "{}",
		"```\n[1]```\n":                 "[1]",
		"{}":                            "{}",
		"Here:\n```json\n{}\n```":       "Here:\n```json\n{}\n```",
		"```a\n1\n```\nand\n```b\n```":  "```a\n1\n```\nand\n```b\n```",
		"```":                           "```",
		"```json\n{\"a\":\"```\"}\n```": "```json\n{\"a\":\"```\"}\n```",
	} {
		if got := Unfenced(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
