package ground

import (
	"strings"
	"unicode/utf8"

	"headworks/internal/inference"
)

// maxCitations bounds the citations of an answer.
const maxCitations = 200

// mark is what an answer names passages by.
type mark struct {
	start, end int
	numbers    []int
}

// markAt returns how many bytes of a mark a text begins with; 0: none. A mark is [1],
// [1, 2] or [1-3], or as OpenAI's file search writes it: 【4:0†name】. Brackets that
// open a link, or end in a colon as the note of a list of sources does, are none.
func markAt(text string) int {
	_, n := readMark(text)
	return n
}

func readMark(text string) (numbers []int, n int) {
	const open, cross, shut = "【", "†", "】"
	if rest, ok := strings.CutPrefix(text, open); ok {
		inside, _, ok := strings.Cut(rest, shut)
		if !ok || len(inside) > 256 {
			return nil, 0
		}
		first, _, ok := strings.Cut(inside, cross)
		if !ok {
			return nil, 0
		}
		number, _, _ := strings.Cut(first, ":")
		k, m := digits(number)
		if m == 0 || m != len(number) {
			return nil, 0
		}
		return []int{k}, len(open) + len(inside) + len(shut)
	}
	if text == "" || text[0] != '[' {
		return nil, 0
	}
	at, from := 1, 0
	for {
		at += blanks(text[at:])
		if at < len(text) && text[at] == '^' { // a footnote
			at++
		}
		k, m := digits(text[at:])
		if m == 0 {
			return nil, 0
		}
		at += m
		if from > 0 && k > from && k-from < 20 {
			for ; from+1 < k; from++ {
				numbers = append(numbers, from+1)
			}
		}
		numbers, from = append(numbers, k), 0
		at += blanks(text[at:])
		switch rest := text[at:]; {
		case rest == "":
			return nil, 0
		case rest[0] == ']':
			at++
			if at < len(text) && (text[at] == '(' || text[at] == ':' && (at+1 == len(text) || text[at+1] == ' ')) {
				return nil, 0
			}
			return numbers, at
		case rest[0] == ',' || rest[0] == ';':
			at++
		case rest[0] == '-':
			at, from = at+1, k
		case strings.HasPrefix(rest, "–"):
			at, from = at+len("–"), k
		default:
			return nil, 0
		}
		if len(numbers) > 20 {
			return nil, 0
		}
	}
}

func blanks(text string) (n int) {
	for n < len(text) && text[n] == ' ' {
		n++
	}
	return n
}

// digits reads a number of at most three digits that a text begins with.
func digits(text string) (k, n int) {
	for n < len(text) && n < 4 && text[n] >= '0' && text[n] <= '9' {
		k = 10*k + int(text[n]-'0')
		n++
	}
	if n > 3 {
		return 0, 0
	}
	return k, n
}

// marks returns the marks of an answer that name one of so many passages. Within code
// there are none: a[1] is an element there.
func marks(answer string, passages int) (found []mark) {
	fenced, coded := false, false
	for i := 0; i < len(answer); {
		switch c := answer[i]; {
		case c == '`':
			n := 1
			for i+n < len(answer) && answer[i+n] == '`' {
				n++
			}
			if n >= 3 {
				fenced, coded = !fenced, false
			} else if !fenced {
				coded = !coded
			}
			i += n
			continue
		case c == '\n':
			coded = false
		case fenced || coded:
		case c == '[' || c == "【"[0]:
			if numbers, n := readMark(answer[i:]); n > 0 {
				m := mark{start: i, end: i + n}
				for _, k := range numbers {
					if k >= 1 && k <= passages {
						m.numbers = append(m.numbers, k)
					}
				}
				if len(m.numbers) > 0 {
					found = append(found, m)
				}
				i += n
				continue
			}
		}
		i++
	}
	return found
}

// Cite returns the citations of an answer, in their order. A mark cites the sentence that
// it stands in or directly behind, from the mark before it within the same sentence on.
func Cite(answer string, passages []inference.Passage) []inference.Citation {
	found := marks(answer, len(passages))
	if len(found) == 0 {
		return nil
	}
	var (
		all   []inference.Citation
		whole = sentences(answer)
		at    = 0
		looks = make([]*look, len(passages))
		chars = counter{text: answer}
	)
	for i, m := range found {
		for at < len(whole)-1 && whole[at].end <= m.start {
			at++
		}
		start, end := whole[at].start, m.start
		if i > 0 && found[i-1].end > start && strings.TrimSpace(answer[found[i-1].end:m.start]) != "" {
			start = found[i-1].end
		} else if i > 0 && found[i-1].end > start {
			if last := len(all) - 1; last >= 0 && found[i-1].end <= m.start { // [1][2]: one claim
				start, end = all[last].Claim[0], all[last].Claim[1]
			}
		}
		for start < end && (space(answer[start]) || strings.IndexByte(".,;:", answer[start]) >= 0) {
			start++
		}
		end = start + len(strings.TrimRight(answer[start:end], " \n\t"))
		for _, k := range m.numbers {
			if len(all) == maxCitations {
				return all
			}
			p := &passages[k-1]
			if looks[k-1] == nil {
				looks[k-1] = newLook(p.Text)
			}
			s := looks[k-1].best(answer[start:end])
			all = append(all, inference.Citation{
				Number: k, Passage: p,
				Mark: [2]int{m.start, m.end}, Claim: [2]int{start, end},
				Source: [2]int{p.Start + s.start, p.Start + s.end}, Quote: p.Text[s.start:s.end],
				Characters: [2]int{chars.at(m.start), chars.at(m.end)},
			})
		}
	}
	return all
}

// counter counts code points up to a byte, from where it was asked last.
type counter struct {
	text         string
	bytes, runes int
}

func (c *counter) at(i int) int {
	if i < c.bytes {
		c.bytes, c.runes = 0, 0
	}
	c.runes += utf8.RuneCountInString(c.text[c.bytes:i])
	c.bytes = i
	return c.runes
}
