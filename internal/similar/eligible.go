package similar

import (
	"strings"

	"headworks/internal/inference"
)

// Bounds of a question that may be compared with others. Below, a text says too little by
// itself ("Why?"); above, it is rather matter to work on than a question.
const (
	MinTokens = 5
	MaxTokens = 512
	MaxTurns  = 4
)

// Last returns the last text of a conversation that may be compared with others: of few
// turns, all of plain text, of which a user's is the last, and without tools.
func Last(c *inference.Conversation) (string, bool) {
	n := len(c.Messages)
	if n == 0 || n > MaxTurns || len(c.Tools) > 0 || c.Messages[n-1].Role != inference.User {
		return "", false
	}
	for i := range c.Messages {
		for j := range c.Messages[i].Parts {
			if c.Messages[i].Parts[j].Kind != inference.Text {
				return "", false
			}
		}
	}
	if len(c.Messages[n-1].Parts) != 1 {
		return "", false
	}
	text := c.Messages[n-1].Parts[0].Text
	return text, strings.TrimSpace(text) != ""
}

// Why a question is not compared with others.
const (
	Short    = "the question is too short"
	Long     = "the question is too long"
	Somebody = "the question seems to hold data of a person"
	Moving   = "its answer changes with the day"
)

// WhyNot returns why a question is not compared with others; empty where it is.
func (q *Question) WhyNot() string {
	switch {
	case q.tokens < MinTokens:
		return Short
	case q.tokens > MaxTokens:
		return Long
	case q.personal:
		return Somebody
	case q.moving != "":
		return Moving
	}
	return ""
}
