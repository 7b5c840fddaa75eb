package engine

import (
	"slices"
	"strings"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
)

// addressed returns a conversation that has a turn, and how the caller's dialect calls
// what had to be moved for it: most dialects want one, and some callers send nothing
// but words of the system. Where the system speaks between turns it keeps its role.
func addressed(to inference.Dialect, talk *inference.Conversation) (*inference.Conversation, string) {
	role := inference.User
	switch to {
	case inference.Anthropic, inference.Gemini, inference.GeminiCount, inference.Converse:
	case inference.Responses:
		role = inference.System
	default:
		return talk, ""
	}
	if len(talk.Messages) > 0 || len(talk.System) == 0 {
		return talk, ""
	}
	c := *talk
	c.Messages, c.System = []inference.Message{{Role: role, Parts: talk.System}}, nil
	switch {
	case role == inference.System:
		return &c, ""
	case talk.From == inference.Responses:
		return &c, "instructions"
	case talk.From == inference.Gemini:
		return &c, "systemInstruction"
	case talk.From == inference.Anthropic, talk.From == inference.OllamaGenerate:
		return &c, "system"
	}
	return &c, "messages.role"
}

// unsaid returns the fault of a conversation of whose last turn nothing can be told in
// a protocol, or nil: what is left would be another question, or none. Nothing is
// unsaid where nothing was dropped.
func unsaid(p *Protocol, c *Call, talk *inference.Conversation) error {
	n := len(talk.Messages) - 1
	if n < 0 || talk.Messages[n].Role != inference.User || slices.ContainsFunc(talk.Messages[n].Parts, isPlain) {
		return nil
	}
	turn := func(parts []inference.Part) (int, []string) {
		last := &inference.Conversation{From: talk.From, Messages: []inference.Message{{Role: inference.User, Parts: parts}}}
		body, dropped := p.Encode(last, c.Model, c.Request.Stream)
		return len(body), dialect.Lost(dropped, last)
	}
	empty, _ := turn(nil)
	said, lost := turn(talk.Messages[n].Parts)
	if said > empty || len(lost) == 0 {
		return nil
	}
	f := fault.New(fault.Unsupported, "no upstream of this model that is left can be told "+strings.Join(lost, ", ")+
		", and the last message has nothing else; say it in text, or ask another model")
	f.Param = lost[0]
	return f
}

// isPlain reports whether every dialect has a place for a part.
func isPlain(p inference.Part) bool {
	return p.Kind == inference.Text && p.Text != "" || p.Kind == inference.ToolUse || p.Kind == inference.ToolResult
}
