// Package extract answers from documents, word for word, with the source named:
// the best passages as they stand, and nothing of its own.
//
// The same question over the same documents gives the same bytes. Tokens are
// counted as runs of letters and digits plus single signs; a caller's max_tokens
// holds in that count.
package extract

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/ground"
	"headworks/internal/inference"
)

const (
	passages = 3
	minCover = 0.45 // of the question, for a passage to count as an answer
	nearBest = 0.6  // of the best passage's score, to stand beside it

	// A long message asks at its end.
	questionBytes = 1 << 10

	nothing = "The documents say nothing that fits this question. " +
		"This model quotes its documents word for word and writes nothing of its own: " +
		"ask in other words, or ask another model."
)

// Passage is a piece of a document.
type Passage struct {
	Path    string  // of the document
	Heading string  // the headings over the passage, from the title down
	Text    string  // as it stands in the document
	Start   int     // where it stands there, in bytes
	Score   float64 // comparable within one question
	Cover   float64 // share of the question found here, 0 to 1
	Number  int     // by which it was told; 0: it was not
}

// Find returns the at most n passages that fit a question best, the best first.
// It is called by many goroutines at once.
type Find func(question string, n int) []Passage

// Engine answers from documents.
type Engine struct {
	find Find
}

var _ engine.Engine = (*Engine)(nil)

// New returns an Engine that quotes what find returns.
func New(find Find) *Engine { return &Engine{find} }

// Open finds the passages for the last thing the user said.
func (e *Engine) Open(ctx context.Context, c *engine.Call) (engine.Stream, error) {
	if s, ok := engine.Estimate(c); ok {
		return s, nil
	}
	conversation, dropped, err := c.Conversation()
	if err != nil {
		return nil, fault.Of(err)
	}
	dropped = append(dropped, engine.Ignored(c.Request, conversation)...)
	if err := c.Keep(dropped); err != nil {
		return nil, err
	}
	var found []Passage
	switch told, question, ok := framed(conversation.Messages); {
	case ok:
		found = fitting(told, question)
	default:
		if question := lastQuestion(conversation.Messages); question != "" {
			found = Choose(e.find(question, passages))
		}
	}
	pieces, usage, finish := limit(quote(found), c.Request.MaxTokens)
	usage.Input = countParts(conversation.System)
	for _, m := range conversation.Messages {
		usage.Input += countParts(m.Parts)
	}
	return &stream{
		ctx:     ctx,
		call:    c,
		pieces:  pieces,
		usage:   usage,
		finish:  finish,
		dropped: dropped,
	}, nil
}

// framed returns the passages that stand before something the user said, and what he said
// last.
func framed(messages []inference.Message) (told []ground.Told, question string, ok bool) {
	asked := false
	for _, m := range slices.Backward(messages) {
		if m.Role != inference.User {
			continue
		}
		var whole strings.Builder
		for _, p := range m.Parts {
			if p.Kind == inference.Text {
				whole.WriteString(p.Text)
			}
		}
		if whole.Len() == 0 {
			continue
		}
		found, said, here := ground.Unframe(whole.String())
		switch {
		case here && asked:
			return found, question, true
		case here:
			return found, said, true
		case !asked:
			asked, question = true, whole.String()
		}
	}
	return nil, "", false
}

// fitting returns of passages that somebody found the first ones that say enough of what
// was asked.
func fitting(told []ground.Told, question string) (found []Passage) {
	for _, t := range told {
		if len(found) == passages {
			break
		}
		if cover := ground.Covers(question, t.Heading+"\n"+t.Text); cover >= minCover {
			found = append(found, Passage{Path: t.Heading, Text: t.Text, Cover: cover, Number: t.Number})
		}
	}
	return found
}

// lastQuestion returns the end of the last text that the user wrote.
func lastQuestion(messages []inference.Message) string {
	for _, v := range slices.Backward(messages) {
		if v.Role != inference.User {
			continue
		}
		var texts []string
		for _, p := range v.Parts {
			if p.Kind == inference.Text && strings.TrimSpace(p.Text) != "" {
				texts = append(texts, p.Text)
			}
		}
		if len(texts) == 0 {
			continue
		}
		text := strings.Join(texts, "\n")
		if cut := len(text) - questionBytes; cut > 0 {
			for cut < len(text) && !utf8.RuneStart(text[cut]) {
				cut++
			}
			text = text[cut:]
		}
		return text
	}
	return ""
}

// Choose keeps the passages that answer enough of the question, and of those the
// ones that are nearly as good as the best.
func Choose(found []Passage) []Passage {
	var chosen []Passage
	for _, p := range found {
		if p.Cover >= minCover && (len(chosen) == 0 || p.Score >= nearBest*chosen[0].Score) {
			chosen = append(chosen, p)
		}
	}
	return chosen
}

// quote writes an answer in pieces: each passage under its number, then where
// they stand.
func quote(found []Passage) []string {
	if len(found) == 0 {
		return []string{nothing}
	}
	pieces := make([]string, 0, len(found)+1)
	var sources strings.Builder
	sources.WriteString("Sources, quoted word for word:")
	for i, p := range found {
		number := strconv.Itoa(cmp.Or(p.Number, i+1))
		pieces = append(pieces, p.Text+behind(p.Text)+"["+number+"]\n\n")
		sources.WriteString("\n" + number + ". " + p.Path)
		if p.Heading != "" {
			sources.WriteString(" (" + p.Heading + ")")
		}
	}
	return append(pieces, sources.String())
}

// behind returns what stands between a text and the mark behind it: a line end, where the
// mark would take a fence or a row of a table apart.
func behind(text string) string {
	last := strings.TrimLeft(text[strings.LastIndexByte(text, '\n')+1:], " ")
	if strings.HasPrefix(last, "```") || strings.HasPrefix(last, "~~~") || strings.HasPrefix(last, "|") {
		return "\n"
	}
	return " "
}

// limit cuts an answer after so many tokens, 0 being no limit, and counts it.
func limit(pieces []string, tokens int) ([]string, inference.Usage, inference.Finish) {
	usage := inference.Usage{Known: true}
	for i, piece := range pieces {
		left := -1
		if tokens > 0 {
			left = tokens - usage.Output
		}
		n, end := engine.Words(piece, left)
		usage.Output += n
		if end < len(piece) {
			if end > 0 {
				return append(pieces[:i:i], piece[:end]), usage, inference.Length
			}
			return pieces[:i], usage, inference.Length
		}
	}
	return pieces, usage, inference.Stop
}

// stream hands out an answer that is there already.
type stream struct {
	ctx     context.Context
	call    *engine.Call
	pieces  []string
	usage   inference.Usage
	finish  inference.Finish
	dropped []string
	next    int
}

// Next returns the next piece of a streamed answer, or the whole answer.
func (s *stream) Next(time.Time) (engine.Chunk, error) {
	if s.ctx.Err() != nil {
		return engine.Chunk{}, fault.Wrap(fault.ClientClosed, "the call was canceled", context.Cause(s.ctx))
	}
	if s.next == len(s.pieces) {
		return engine.Chunk{}, fault.New(fault.Interrupted, "the answer is at its end already")
	}
	if !s.call.Request.Stream {
		return s.whole(), nil
	}
	return s.piece(), nil
}

func (s *stream) whole() engine.Chunk {
	s.next = len(s.pieces)
	text := strings.Join(s.pieces, "")
	return engine.Chunk{
		Answer: &inference.Answer{
			ID:     s.call.Request.ID.String(),
			Model:  s.call.Model,
			Parts:  []inference.Part{{Kind: inference.Text, Text: text}},
			Finish: s.finish,
			Usage:  s.usage,
		},
		Event: s.end(len(text)),
		Last:  true,
	}
}

func (s *stream) piece() engine.Chunk {
	text := s.pieces[s.next]
	c := engine.Chunk{Event: inference.Event{Content: text != "", Text: len(text)}}
	if s.next == 0 {
		c.Deltas = append(c.Deltas, inference.Delta{
			Kind:  inference.Begin,
			ID:    s.call.Request.ID.String(),
			Model: s.call.Model,
			Usage: inference.Usage{Input: s.usage.Input, Known: true},
		})
	}
	if text != "" {
		c.Deltas = append(c.Deltas, inference.Delta{Kind: inference.TextDelta, Text: text})
	}
	if s.next++; s.next == len(s.pieces) {
		c.Deltas = append(c.Deltas, inference.Delta{Kind: inference.End, Finish: s.finish, Usage: s.usage})
		c.Event, c.Last = s.end(len(text)), true
	}
	return c
}

func (s *stream) end(text int) inference.Event {
	return inference.Event{Content: true, Text: text, Finishes: 1, Finish: s.finish, Usage: s.usage, Terminal: true}
}

// Dropped names what the caller asked for and a quotation cannot follow.
func (s *stream) Dropped() []string { return s.dropped }

// Close has nothing to give back.
func (s *stream) Close() error { return nil }
