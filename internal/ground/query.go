package ground

import (
	"strings"

	"headworks/internal/inference"
)

// Bounds of what is searched for.
const (
	maxQuery = 2 << 10 // bytes
	maxTurns = 3       // earlier turns that a question may lean on
)

// Query is what to search for.
type Query struct {
	Text    string
	Carried bool // the last turn does not stand by itself: earlier ones speak, too
}

// Ask returns what a conversation asks of documents: the text of the last turn of the
// user without its courtesies. A turn that does not stand by itself, as "and for
// trains?" or "how long does it take?", takes along the one before it, up to one that
// does. It is empty where nothing is asked.
func Ask(messages []inference.Message) Query {
	var turns []string // the last one first
	for i := len(messages) - 1; i >= 0 && len(turns) <= maxTurns; i-- {
		if messages[i].Role != inference.User {
			continue
		}
		if text := said(&messages[i]); text != "" {
			turns = append(turns, text)
		}
	}
	if len(turns) == 0 {
		return Query{}
	}
	q := Query{Text: plain(turns[0])}
	parts := []string{q.Text}
	for i := 1; i < len(turns) && leans(turns[i-1]); i++ {
		parts = append(parts, plain(turns[i]))
		q.Carried = true
	}
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	q.Text = clip(strings.Join(parts, " "))
	return q
}

// said returns the text of a turn.
func said(m *inference.Message) string {
	var b strings.Builder
	for i := range m.Parts {
		if p := &m.Parts[i]; p.Kind == inference.Text {
			if b.Len() > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(p.Text)
		}
	}
	return strings.TrimSpace(b.String())
}

// plain returns a text as a question: of a long one the sentences that ask, with the
// first and the last one, and all without courtesies.
func plain(text string) string {
	if len(text) > maxQuery/4 {
		text = gist(text)
	}
	var kept []string
	all := sentences(text)
	for _, s := range all {
		sentence := strings.TrimSpace(text[s.start:s.end])
		bare := uncouth(sentence)
		if bare != "" {
			kept = append(kept, bare)
		}
	}
	if len(kept) == 0 {
		return clip(strings.TrimSpace(text))
	}
	return clip(strings.Join(kept, " "))
}

// gist returns of a long text the sentences that ask, the first one and the last one.
func gist(text string) string {
	all := sentences(text)
	var b strings.Builder
	for i, s := range all {
		sentence := strings.TrimSpace(text[s.start:s.end])
		if i > 0 && i < len(all)-1 && !strings.HasSuffix(sentence, "?") {
			continue
		}
		if len(sentence) > maxQuery/4 {
			sentence = strings.ToValidUTF8(sentence[:maxQuery/4], "")
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(sentence)
	}
	return b.String()
}

func clip(text string) string {
	if len(text) > maxQuery {
		text = strings.ToValidUTF8(text[len(text)-maxQuery:], "")
	}
	return text
}

// courtesies are what a question is put in and does not mean, as sentences begin. A
// longer one stands before a shorter one that it begins with.
var courtesies = [...]string{
	"good morning", "good afternoon", "good evening", "hello there", "hi there", "hello", "hey", "hi", "dear all",
	"thank you very much", "thank you", "thanks a lot", "thanks", "please", "kindly", "sorry", "excuse me",
	"could you please tell me", "can you please tell me", "could you tell me", "can you tell me", "would you tell me",
	"could you please explain", "can you please explain", "could you explain", "can you explain",
	"could you please", "can you please", "would you please", "could you", "can you", "would you",
	"i would like to know", "i'd like to know", "i want to know", "i was wondering", "i wonder", "i am wondering", "i'm wondering",
	"do you know", "tell me", "let me know", "i have a question", "quick question", "just a quick question",
	"in advance", "so much", "very much", "for your help", "for the help", "a lot",
}

// uncouth takes the courtesies off both ends of a sentence.
func uncouth(sentence string) string {
	const edge = " ,;:!.\t\n-"
	for again := true; again; {
		again = false
		sentence = strings.TrimLeft(sentence, edge)
		for _, c := range courtesies {
			if rest, ok := cutPrefixFold(sentence, c); ok && (rest == "" || strings.IndexByte(edge+"?", rest[0]) >= 0) {
				sentence, again = rest, true
				break
			}
		}
	}
	for _, c := range [...]string{"please", "thanks", "thank you"} {
		bare := strings.TrimRight(sentence, edge+"?")
		if n := len(bare) - len(c); n > 0 && strings.EqualFold(bare[n:], c) && strings.IndexByte(edge, bare[n-1]) >= 0 {
			sentence = strings.TrimRight(bare[:n], edge) + strings.TrimLeft(sentence[len(bare):], edge)
		}
	}
	if strings.Trim(sentence, edge+"?") == "" {
		return ""
	}
	return sentence
}

func cutPrefixFold(text, prefix string) (string, bool) {
	if len(text) < len(prefix) || !strings.EqualFold(text[:len(prefix)], prefix) {
		return text, false
	}
	return text[len(prefix):], true
}

// leaning are words by which a question speaks of what was said before.
func leaning(word string) bool {
	switch word {
	case "it", "its", "they", "them", "their", "theirs", "this", "that", "these", "those",
		"he", "she", "him", "her", "his", "hers", "one", "ones", "former", "latter", "same", "there", "else", "other", "others", "so":
		return true
	}
	return false
}

// openings are how a question goes on from another one.
var openings = [...]string{
	"and ", "but ", "or ", "so ", "then ", "what about", "how about", "what if", "what else", "why not", "also ",
}

// leans reports whether a turn does not stand by itself.
func leans(text string) bool {
	text = strings.ToLower(plain(text))
	for _, o := range openings {
		if strings.HasPrefix(text, o) {
			return true
		}
	}
	var content [8]string
	matter := terms(content[:0], text, true)
	if len(matter) == 0 {
		return true
	}
	pointing := false
	words := strings.FieldsFunc(text, func(r rune) bool { return !wordly(r) })
	for i, w := range words {
		if !leaning(w) {
			continue
		}
		// "that" and "this" before a noun of the question's own, "is it possible",
		// "is there" point at nothing.
		switch {
		case w == "there" && i > 0 && (words[i-1] == "is" || words[i-1] == "are" || words[i-1] == "was" || words[i-1] == "were"):
		case w == "there" && i+1 < len(words) && (words[i+1] == "is" || words[i+1] == "are"):
		case w == "one" && i == 0, w == "so" && i+1 < len(words) && words[i+1] == "that":
		case w == "it" && i > 0 && i+1 < len(words) && words[i-1] == "is" && (words[i+1] == "possible" || words[i+1] == "true" || words[i+1] == "necessary"):
		case (w == "that" || w == "which") && i > 0 && i+1 < len(words) && !light(words[i-1]): // a clause: a key that expires
		default:
			pointing = true
		}
	}
	return pointing
}
