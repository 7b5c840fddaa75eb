// Package eval measures what a target's answers are worth on a data set, beside
// those of another target, and how sure that is.
//
// Both targets are asked the same questions, so what is compared are pairs: the
// share of right answers of each, and the interval of their difference. Shares are 0
// to 1, money is in micro-USD.
package eval

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"headworks/internal/quality"
	"headworks/internal/scan"
)

// How an answer is compared with the one that is wanted.
const (
	Exact    = "exact"    // the same words
	Contains = "contains" // the words are in it
	Number   = "number"   // its last number
	Regex    = "regex"    // an expression finds something in it
	Choice   = "choice"   // the letter of one of several
	JSON     = "json"     // an object with these members, and of the schema
	Judge    = "judge"    // a model finds that it says the same
)

var ways = []string{Exact, Contains, Number, Regex, Choice, JSON, Judge}

// The bounds of a data set.
const (
	MaxItems = 200_000
	maxLine  = 8 << 20
)

// Message is a turn of a conversation. Content may be parts, as OpenAI has them.
type Message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// Item is one question and what a right answer is.
type Item struct {
	ID       string                     `json:"id,omitempty"`
	Prompt   string                     `json:"prompt,omitempty"`
	System   string                     `json:"system,omitempty"`
	Messages []Message                  `json:"messages,omitempty"`
	Choices  []string                   `json:"choices,omitempty"`
	Answer   json.RawMessage            `json:"answer,omitempty"` // a text, a number, an object; or a list, of which any is right
	Match    string                     `json:"match,omitempty"`
	Schema   json.RawMessage            `json:"schema,omitempty"`
	Request  map[string]json.RawMessage `json:"request,omitempty"` // further fields of the request

	Print string `json:"-"` // tells items apart by all that they hold

	want   []string // texts
	number []float64
	regex  []*regexp.Regexp
	letter int // of Choices
}

// Problem is what is wrong with a line of a data set.
type Problem struct {
	Line  int
	Words string
}

func (p *Problem) Error() string { return fmt.Sprintf("line %d: %s", p.Line, p.Words) }

// Read reads a data set: a JSON object a line. It ends with the first that is no item.
func Read(r io.Reader) ([]Item, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	var items []Item
	ids := map[string]int{}
	n := 0
	for lines.Scan() {
		n++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		it, err := read(line)
		if err != nil {
			return nil, &Problem{n, err.Error()}
		}
		if it.ID == "" {
			it.ID = strconv.Itoa(n)
		}
		if first, twice := ids[it.ID]; twice {
			return nil, &Problem{n, fmt.Sprintf("the id of line %d again", first)}
		}
		ids[it.ID] = n
		if items = append(items, it); len(items) > MaxItems {
			return nil, &Problem{n, fmt.Sprintf("more than %d items", MaxItems)}
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, &Problem{n + 1, "longer than 8 MiB"}
	case err != nil:
		return nil, err
	case len(items) == 0:
		return nil, errors.New("there is no item in it; each line is one, as {\"prompt\": \"2 + 2?\", \"answer\": 4}")
	}
	return items, nil
}

func read(line []byte) (Item, error) {
	var doc scan.Doc
	if err := doc.Scan(line, nil); err != nil {
		return Item{}, err
	}
	var it Item
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&it); err != nil {
		return Item{}, fmt.Errorf("no item: %s; its members are id, prompt, system, messages, choices, answer, match, schema, request", strings.TrimPrefix(err.Error(), "json: "))
	}
	sum := sha256.Sum256(line)
	it.Print = hex.EncodeToString(sum[:8])
	return it, it.prepare(doc.Root())
}

// prepare checks an item, and makes ready what answers are compared with.
func (it *Item) prepare(v scan.Value) error {
	if (it.Prompt == "") == (len(it.Messages) == 0) {
		return errors.New("an item has either a prompt or messages")
	}
	if it.System != "" && len(it.Messages) > 0 {
		return errors.New("system goes with prompt; among messages it is one of role system")
	}
	for name := range it.Request {
		if slices.Contains([]string{"model", "messages", "stream", "n"}, name) {
			return fmt.Errorf("request.%s is not the item's to say", name)
		}
	}
	answer := v.Get("answer")
	if it.Match == "" {
		it.Match = usual(it, answer)
	}
	if !slices.Contains(ways, it.Match) {
		return fmt.Errorf("match is one of %s", strings.Join(ways, ", "))
	}
	if !answer.Given() && (it.Match != JSON || it.Schema == nil) {
		return errors.New("no answer to compare with")
	}
	wanted := []scan.Value{answer}
	if answer.Kind() == scan.Array && it.Match != JSON {
		wanted = slices.Collect(answer.All())
	}
	for _, w := range wanted {
		if err := it.accept(w); err != nil {
			return err
		}
	}
	if it.Match != JSON && len(wanted) == 0 {
		return errors.New("no answer to compare with")
	}
	if it.Schema != nil && v.Get("schema").Kind() != scan.Object {
		return errors.New("schema is a JSON Schema, an object")
	}
	return nil
}

// usual returns how an answer is compared where the item does not say.
func usual(it *Item, answer scan.Value) string {
	switch {
	case len(it.Choices) > 0:
		return Choice
	case it.Schema != nil, answer.Kind() == scan.Object:
		return JSON
	case answer.Kind() == scan.Number:
		return Number
	}
	return Exact
}

// accept adds one answer that is right.
func (it *Item) accept(w scan.Value) error {
	text := w.Text()
	if w.Kind() == scan.Number {
		text = string(w.Raw())
	}
	switch it.Match {
	case JSON:
		return nil // compared as it stands
	case Number:
		f, ok := w.Float()
		if !ok {
			if f, ok = lastNumber(text); !ok {
				return errors.New("an answer that is compared as a number has none")
			}
		}
		it.number = append(it.number, f)
	case Regex:
		re, err := regexp.Compile(text)
		if err != nil || text == "" {
			return errors.New("answer is no regular expression, in the syntax of RE2")
		}
		it.regex = append(it.regex, re)
	case Choice:
		return it.choose(w)
	default:
		if text == "" || it.Match != Judge && normal(text) == "" {
			return errors.New("an answer is a text, with a letter or a digit in it")
		}
		it.want = append(it.want, text)
	}
	return nil
}

const maxChoices = 26

// choose finds the choice that is right: by its place from 0, its letter or its text.
func (it *Item) choose(w scan.Value) error {
	if len(it.Choices) < 2 || len(it.Choices) > maxChoices {
		return fmt.Errorf("a choice is among 2 to %d choices", maxChoices)
	}
	text := w.Text()
	it.letter = slices.Index(it.Choices, text)
	if n, ok := w.Int(); ok {
		it.letter = int(n)
	} else if it.letter < 0 && len(text) == 1 {
		it.letter = int(text[0]|0x20) - 'a'
	}
	if it.letter < 0 || it.letter >= len(it.Choices) {
		return errors.New("answer is none of the choices: give its text, its letter, or its place from 0")
	}
	return nil
}

// Ask returns the messages to send.
func (it *Item) Ask() []Message {
	if len(it.Messages) > 0 && it.Match != Choice {
		return it.Messages
	}
	messages := slices.Clone(it.Messages)
	text := it.Prompt
	if it.Match == Choice {
		var b strings.Builder
		if text != "" {
			b.WriteString(text + "\n\n")
		}
		for i, c := range it.Choices {
			fmt.Fprintf(&b, "%c. %s\n", 'A'+i, c)
		}
		b.WriteString("\nAnswer with the letter alone.")
		text = b.String()
	}
	if it.System != "" {
		messages = append(messages, say("system", it.System))
	}
	return append(messages, say("user", text))
}

func say(role, text string) Message {
	b, err := json.Marshal(text)
	if err != nil { // a string always has a form
		b = []byte(`""`)
	}
	return Message{role, b}
}

// Question returns what is asked as a judge is told of it.
func (it *Item) Question() string {
	if it.Prompt != "" {
		return it.Prompt
	}
	var b strings.Builder
	for _, m := range it.Messages {
		var text string
		if json.Unmarshal(m.Content, &text) != nil {
			text = string(m.Content)
		}
		fmt.Fprintf(&b, "%s: %s\n", m.Role, text)
	}
	return b.String()
}

// Want returns the answer that is wanted, as a judge is told of it.
func (it *Item) Want() string { return strings.Join(it.want, "\nor: ") }

// Right reports whether an answer is as the item wants it. It is not for items that a
// judge has to see.
func (it *Item) Right(answer string) bool {
	answer = quality.Said(answer)
	switch it.Match {
	case Exact:
		return slices.ContainsFunc(it.want, func(w string) bool { return normal(w) == normal(answer) })
	case Contains:
		words := " " + normal(answer) + " "
		return slices.ContainsFunc(it.want, func(w string) bool { return strings.Contains(words, " "+normal(w)+" ") })
	case Number:
		f, ok := lastNumber(answer)
		return ok && slices.ContainsFunc(it.number, func(w float64) bool { return same(w, f) })
	case Regex:
		return slices.ContainsFunc(it.regex, func(re *regexp.Regexp) bool { return re.MatchString(answer) })
	case Choice:
		return chosen(answer, it.Choices) == it.letter
	case JSON:
		return it.object(answer)
	}
	return false
}

// object reports whether an answer is JSON of the item's schema, with its members.
func (it *Item) object(answer string) bool {
	var is, want scan.Doc
	if is.ScanLax([]byte(quality.Unfenced(answer))) != nil {
		return false
	}
	if it.Schema != nil {
		if want.Scan(it.Schema, nil) != nil || quality.Check(want.Root(), is.Root()) == quality.Misfits {
			return false
		}
	}
	if it.Answer == nil || want.Scan(it.Answer, nil) != nil {
		return it.Answer == nil
	}
	w := want.Root()
	if w.Kind() != scan.Object {
		return quality.Equal(w, is.Root())
	}
	for member := range w.All() {
		if got := is.Root().Get(string(member.Key())); !got.Exists() || !quality.Equal(member, got) {
			return false
		}
	}
	return true
}

// Sample returns n of the items, drawn by seed, in the order of the set; all, where
// there are no more.
func Sample(items []Item, n int, seed uint64) []Item {
	if n <= 0 || n >= len(items) {
		return items
	}
	drawn := rand.New(rand.NewPCG(seed, 0)).Perm(len(items))[:n]
	slices.Sort(drawn)
	some := make([]Item, n)
	for i, at := range drawn {
		some[i] = items[at]
	}
	return some
}
