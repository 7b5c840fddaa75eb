package retrieve

import "strings"

// withoutTargets takes the targets of links out of a Markdown text: an address is
// not what a passage is about.
func withoutTargets(text string) string {
	var out strings.Builder
	for {
		words, rest, ok := strings.Cut(text, "](")
		out.WriteString(words)
		if !ok {
			return out.String()
		}
		out.WriteByte(']')
		end := strings.IndexAny(rest, ")\n")
		if end < 0 {
			return out.String()
		}
		text = rest[end:]
	}
}

// asking reports whether a term is one that questions are put with, as its stem.
func asking(term string) bool {
	switch term {
	case "am", "can", "could", "did", "do", "doe", "ha", "have", "how", "i", "me", "my",
		"should", "we", "what", "when", "where", "which", "who", "whi", "would", "you", "your":
		return true
	}
	return false
}
