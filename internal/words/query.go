package words

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxQuery bounds the terms that are read of a question.
const maxQuery = 1024

// Query is what a question asks an index for.
type Query struct {
	Terms   []Term   // of the whole question, those of the phrases among them
	Phrases [][]Term // what stands between quotation marks, where it is more than one word
	Exact   bool     // the question is nothing but phrases
}

// Question reads an English question.
func Question(text string) Query { return English.Question(text) }

// Question reads a question: its terms, and as phrases what stands in double
// quotation marks. The 1,024 first terms count.
func (l Language) Question(text string) Query {
	var q Query
	s := splitter{language: l, yield: func(t Term) bool {
		q.Terms = append(q.Terms, t)
		return len(q.Terms) < maxQuery
	}}
	outside := 0
	for text != "" && !s.done {
		before, phrase, after := quoted(text)
		first := len(q.Terms)
		s.text = before
		s.run()
		outside += len(q.Terms) - first
		first = len(q.Terms)
		s.text = phrase
		s.run()
		var firm []Term
		for _, t := range q.Terms[first:] {
			if !t.Beside {
				firm = append(firm, t)
			}
		}
		if len(firm) > 1 {
			q.Phrases = append(q.Phrases, firm)
		} else {
			outside += len(firm)
		}
		text = after
	}
	q.Exact = len(q.Phrases) > 0 && outside == 0
	return q
}

// quoted cuts a text around its first phrase in quotation marks. A mark opens where
// a word could begin and closes where one could end, so inches are none.
func quoted(text string) (before, phrase, after string) {
	for at := 0; ; {
		i := strings.IndexAny(text[at:], "\"\u201c\u201e\u201f\u00ab")
		if i < 0 {
			return text, "", ""
		}
		open := at + i
		_, size := utf8.DecodeRuneInString(text[open:])
		at = open + size
		last, _ := utf8.DecodeLastRuneInString(text[:open])
		next, _ := utf8.DecodeRuneInString(text[at:])
		if letter(last) && !unspaced(last) || unicode.IsSpace(next) {
			continue
		}
		j := strings.IndexAny(text[at:], "\"\u201c\u201d\u00bb")
		if j < 0 {
			return text, "", ""
		}
		_, size = utf8.DecodeRuneInString(text[at+j:])
		return text[:open], text[at : at+j], text[at+j+size:]
	}
}
