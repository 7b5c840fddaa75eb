package quality

import (
	"strings"
	"unicode"
)

// Said returns an answer without what its model thought aloud before it, between
// <think> and </think> at the beginning.
func Said(answer string) string {
	answer = strings.TrimSpace(answer)
	if !strings.HasPrefix(answer, "<think>") {
		// Some templates put the opening tag into the prompt.
		if before, after, ok := strings.Cut(answer, "</think>"); ok && !strings.Contains(before, "<think>") {
			return strings.TrimSpace(after)
		}
		return answer
	}
	_, after, ok := strings.Cut(answer, "</think>")
	if !ok {
		return "" // it never came to an end
	}
	return strings.TrimSpace(after)
}

// Unfenced returns what stands in the fence of an answer that is one fenced block, and
// any other answer as it is.
func Unfenced(answer string) string {
	answer = strings.TrimSpace(answer)
	rest, ok := strings.CutPrefix(answer, "```")
	if !ok {
		return answer
	}
	_, rest, ok = strings.Cut(rest, "\n")
	inner, fenced := strings.CutSuffix(rest, "```")
	if !ok || !fenced || strings.Contains(inner, "```") {
		return answer
	}
	return strings.TrimSpace(inner)
}

// refusals are how answers begin that decline what was asked. Each language has those
// that models use most.
var refusals = []string{
	// English
	"i can't help", "i cannot help", "i can't assist", "i cannot assist", "i'm unable to", "i am unable to",
	"i'm not able to", "i am not able to", "i can't provide", "i cannot provide", "i can't comply", "i cannot comply",
	"i can't fulfill", "i cannot fulfill", "i can't do that", "i can't answer", "i cannot answer", "i won't be able to", "i must decline",
	"i'm sorry, but i can", "i am sorry, but i can", "sorry, but i can't", "sorry, i can't", "as an ai language model, i", "as an ai, i can",
	// German
	"dabei kann ich nicht helfen", "ich kann dir dabei nicht helfen", "ich kann ihnen dabei nicht helfen", "es tut mir leid, aber ich kann",
	"tut mir leid, aber ich kann", "ich kann diese anfrage nicht", "das kann ich leider nicht",
	// French
	"je ne peux pas vous aider", "je ne peux pas répondre", "je ne peux pas fournir", "je suis désolé, mais je ne peux", "désolé, mais je ne peux", "je ne suis pas en mesure",
	// Spanish
	"no puedo ayudar", "no puedo proporcionar", "no puedo responder", "lo siento, pero no puedo", "lo siento, no puedo",
	// Italian
	"non posso aiutar", "non posso fornire", "mi dispiace, ma non posso", "non sono in grado di",
	// Portuguese
	"não posso ajudar", "não posso fornecer", "desculpe, mas não posso", "sinto muito, mas não posso",
	// Chinese
	"抱歉,我无法", "抱歉,我不能", "很抱歉,我无法", "很抱歉,我不能", "对不起,我无法", "对不起,我不能", "我无法提供", "我不能提供",
	// Japanese
	"申し訳ありませんが", "申し訳ございませんが", "お手伝いできません",
}

// opening is how far into an answer a refusal begins, in characters.
const opening = 200

// Refuses reports whether an answer begins as refusals do. It is a sign, not proof: an
// answer may quote one.
func Refuses(answer string) bool {
	var b strings.Builder
	n, space := 0, true
	for _, r := range Said(answer) {
		if n++; n > opening {
			break
		}
		switch r {
		case '’', 'ʼ':
			r = '\''
		case '，', '、':
			r = ','
		}
		if unicode.IsSpace(r) {
			if !space {
				b.WriteByte(' ')
			}
			space = true
			continue
		}
		space = false
		b.WriteRune(unicode.ToLower(r))
	}
	head := b.String()
	for _, words := range refusals {
		if strings.Contains(head, words) {
			return true
		}
	}
	return false
}
