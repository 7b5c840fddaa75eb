// Package ground decides how what was found enters a conversation, and what an answer
// makes of it: which question to search for, which passages there is room for, how they
// are told to a model as data that somebody else wrote, which of them an answer cites,
// and how well it is supported by them.
//
// A text of a passage is never trusted: it stands between marks that it cannot hold,
// and without the characters that nobody sees.
package ground

import (
	"unicode"
	"unicode/utf8"

	"headworks/internal/inference"
)

// What a model gets to read unless its configuration says otherwise: of the twenty best
// passages as many as four thousand tokens hold.
const (
	Passages = 20
	Tokens   = 4000
)

// fewest are the tokens below which a passage is not worth its place.
const fewest = 32

// Budget is what there is room for.
type Budget struct {
	Passages int // 0: Passages
	Tokens   int // 0: Tokens
	Room     int // tokens that the model's window has left; 0: not known
}

// Fit returns the passages that there is room for, in their order, and the tokens that
// they take with what stands around them. One that is too long for what is left gives
// way to shorter ones behind it; the first one is cut instead, at the end of a sentence.
func (b Budget) Fit(found []inference.Passage) (fit []inference.Passage, tokens int) {
	most, left := b.Passages, b.Tokens
	if most <= 0 {
		most = Passages
	}
	if left <= 0 {
		left = Tokens
	}
	if b.Room != 0 {
		left = min(left, b.Room)
	}
	left -= fixed()
	for i := range found {
		if len(fit) == most {
			break
		}
		p := found[i]
		size := around + headed(&p) + Count(p.Text)
		if size > left && len(fit) == 0 {
			room := left - around - headed(&p)
			if room < fewest {
				continue
			}
			text := head(p.Text, room)
			p.End -= len(p.Text) - len(text)
			p.Text, size = text, left
		}
		if size > left {
			continue
		}
		left -= size
		tokens += size
		fit = append(fit, p)
	}
	if len(fit) > 0 {
		tokens += fixed()
	}
	return fit, tokens
}

// headed returns the tokens of what a passage is introduced by.
func headed(p *inference.Passage) int { return Count(p.Name) + Count(p.Title) + Count(p.Path) }

// head returns the beginning of a text that has at most so many tokens: whole sentences
// of it, or words where the first sentence is longer.
func head(text string, tokens int) string {
	end := 0
	for _, s := range sentences(text) {
		n := Count(text[s.start:s.end])
		if n > tokens {
			break
		}
		tokens -= n
		end = s.end
	}
	if end > 0 {
		return text[:end]
	}
	for i, r := range text {
		if unicode.IsSpace(r) {
			if Count(text[:i]) > tokens {
				break
			}
			end = i
		}
	}
	return text[:end]
}

// Count estimates the tokens of a text: one for each run of letters and digits and one
// more for every six characters of it, and one for each sign. For English and code it
// is some 4 % above what o200k counts.
func Count(text string) (n int) {
	run := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
				if run++; run%6 == 1 {
					n++
				}
				continue
			case c != ' ' && c != '\n' && c != '\t' && c != '\r':
				n++
			}
			run = 0
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		i += size
		switch {
		case r >= 0x2e80 && unicode.IsLetter(r): // scripts without spaces: about one a character
			n++
			run = 0
		case unicode.IsLetter(r), unicode.IsDigit(r):
			if run++; run%6 == 1 {
				n++
			}
		case unicode.IsSpace(r):
			run = 0
		default:
			n++
			run = 0
		}
	}
	return n
}
