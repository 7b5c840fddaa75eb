package extract

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/ground"
	"headworks/internal/inference"
)

var library = []Passage{
	{Path: "docs/keys.md", Heading: "Keys > Create", Text: "Run `keys create`.\n\nIt is shown once.", Score: 4, Cover: 0.9},
	{Path: "docs/config.md", Heading: "", Text: "```yaml\nkeys: []\n```", Score: 3, Cover: 0.6},
	{Path: "docs/other.md", Heading: "Other", Text: "far", Score: 1, Cover: 0.6},
}

// always finds the whole library, and notes what it was asked.
func always(asked *string) Find {
	return func(question string, n int) []Passage {
		*asked = question
		return library[:min(n, len(library))]
	}
}

func said(role inference.Role, texts ...string) inference.Message {
	m := inference.Message{Role: role}
	for _, t := range texts {
		m.Parts = append(m.Parts, inference.Part{Kind: inference.Text, Text: t})
	}
	return m
}

func call(r inference.Request, c inference.Conversation) *engine.Call {
	r.ID = inference.NewID(time.UnixMilli(1), 2, 3)
	return &engine.Call{
		Request: &r,
		Model:   "local-extract",
		Conversation: func() (*inference.Conversation, []string, error) {
			return &c, []string{"from_the_dialect"}, nil
		},
	}
}

// read reads an answer to its end, in whichever form it comes.
func read(t interface {
	Helper()
	Fatalf(string, ...any)
}, s engine.Stream,
) (text string, last engine.Chunk, chunks int) {
	t.Helper()
	for {
		c, err := s.Next(time.Time{})
		if err != nil {
			t.Fatalf("chunk %d: %v", chunks, err)
		}
		chunks++
		if c.Raw != nil {
			t.Fatalf("raw bytes %q from an engine that speaks no dialect", c.Raw)
		}
		if c.Answer != nil {
			for _, p := range c.Answer.Parts {
				text += p.Text
			}
		}
		for i, d := range c.Deltas {
			if (d.Kind == inference.Begin) != (chunks == 1 && i == 0) {
				t.Fatalf("delta %d of chunk %d is %v", i, chunks, d.Kind)
			}
			if (d.Kind == inference.End) != (c.Last && i == len(c.Deltas)-1) {
				t.Fatalf("delta %d of chunk %d is %v", i, chunks, d.Kind)
			}
			if d.Kind == inference.TextDelta {
				text += d.Text
			}
		}
		if c.Last {
			return text, c, chunks
		}
	}
}

const quoted = "Run `keys create`.\n\nIt is shown once. [1]\n\n" +
	"```yaml\nkeys: []\n```\n[2]\n\n" +
	"Sources, quoted word for word:\n1. docs/keys.md (Keys > Create)\n2. docs/config.md"

func TestQuotesWithSources(t *testing.T) {
	var asked string
	e := New(always(&asked))
	for _, stream := range []bool{false, true} {
		c := call(inference.Request{Stream: stream}, inference.Conversation{
			System:   []inference.Part{{Kind: inference.Text, Text: "Be brief."}},
			Messages: []inference.Message{said(inference.User, "how do I make a key?")},
		})
		s, err := e.Open(context.Background(), c)
		if err != nil {
			t.Fatal(err)
		}
		text, last, chunks := read(t, s)
		if diff := cmp.Diff(quoted, text); diff != "" {
			t.Errorf("stream %v, answer (-want +got):\n%s", stream, diff)
		}
		if asked != "how do I make a key?" {
			t.Errorf("searched for %q", asked)
		}
		// "Be brief." is 3 tokens, the question 7.
		want := inference.Usage{Known: true, Input: 10, Output: tokens(quoted)}
		if last.Event.Usage != want || last.Event.Finish != inference.Stop {
			t.Errorf("stream %v: usage %+v finish %v, want %+v stop", stream, last.Event.Usage, last.Event.Finish, want)
		}
		if a := last.Answer; !stream && (a.Usage != want || a.Finish != inference.Stop || a.Model != "local-extract" || a.ID == "") {
			t.Errorf("answer %+v", a)
		}
		if wantChunks := map[bool]int{false: 1, true: 3}[stream]; chunks != wantChunks {
			t.Errorf("%d chunks, want %d", chunks, wantChunks)
		}
		if _, err := s.Next(time.Time{}); err == nil {
			t.Error("Next after the end gave something")
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func tokens(text string) int {
	n, _ := engine.Words(text, -1)
	return n
}

func TestCount(t *testing.T) {
	for _, test := range []struct {
		text       string
		limit      int
		tokens, to int
	}{
		{"", -1, 0, 0},
		{"one two", -1, 2, 7},
		{"a-b, c.", -1, 6, 7},
		{"größe 模型!", -1, 3, 15},
		{"one two three", 2, 2, 8},
		{"one two", 0, 0, 0},
		{" \n", 0, 0, 2},
	} {
		if n, end := engine.Words(test.text, test.limit); n != test.tokens || end != test.to {
			t.Errorf("Words(%q, %d) = %d, %d, want %d, %d", test.text, test.limit, n, end, test.tokens, test.to)
		}
	}
}

func TestSaysThatNothingFits(t *testing.T) {
	for name, e := range map[string]*Engine{
		"nothing found":  New(func(string, int) []Passage { return nil }),
		"too little fit": New(func(string, int) []Passage { return []Passage{{Text: "x", Score: 9, Cover: minCover / 2}} }),
	} {
		s, err := e.Open(context.Background(), call(inference.Request{}, inference.Conversation{
			Messages: []inference.Message{said(inference.User, "weather?")},
		}))
		if err != nil {
			t.Fatal(err)
		}
		if text, last, _ := read(t, s); text != nothing || last.Event.Finish != inference.Stop {
			t.Errorf("%s: %q, finish %v", name, text, last.Event.Finish)
		}
	}
}

func TestTheLastUserTextIsTheQuestion(t *testing.T) {
	image := inference.Message{Role: inference.User, Parts: []inference.Part{{Kind: inference.Image, URL: "data:"}}}
	result := inference.Message{Role: inference.User, Parts: []inference.Part{{Kind: inference.ToolResult, Parts: []inference.Part{{Text: "tool"}}}}}
	for _, test := range []struct {
		name     string
		messages []inference.Message
		want     string
	}{
		{"one turn", []inference.Message{said(inference.User, "q")}, "q"},
		{"later turn", []inference.Message{said(inference.User, "first"), said(inference.Assistant, "a"), said(inference.User, "second")}, "second"},
		{"text parts", []inference.Message{said(inference.User, "context", " ", "question")}, "context\nquestion"},
		{"image last", []inference.Message{said(inference.User, "q"), image}, "q"},
		{"tool result last", []inference.Message{said(inference.User, "q"), said(inference.Assistant, "a"), result}, "q"},
		{"end of a long text", []inference.Message{said(inference.User, "é"+strings.Repeat("x", questionBytes-1))}, strings.Repeat("x", questionBytes-1)},
		{"no user", []inference.Message{said(inference.Assistant, "a")}, ""},
		{"empty", nil, ""},
	} {
		if got := lastQuestion(test.messages); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestNothingIsAskedOfTheDocumentsWithoutAQuestion(t *testing.T) {
	e := New(func(string, int) []Passage {
		t.Error("searched without a question")
		return nil
	})
	s, err := e.Open(context.Background(), call(inference.Request{}, inference.Conversation{}))
	if err != nil {
		t.Fatal(err)
	}
	if text, _, _ := read(t, s); text != nothing {
		t.Errorf("answer %q", text)
	}
}

func TestDroppedNamesWhatAQuotationIgnores(t *testing.T) {
	half := 0.5
	one := 1
	seed := int64(1)
	all := inference.Conversation{
		Tools: []inference.Tool{{Name: "t"}}, JSON: true, Stop: []string{"."},
		Temperature: &half, TopP: &half, TopK: &one, Seed: &seed, Thinking: 1,
	}
	var asked string
	for _, test := range []struct {
		dialect inference.Dialect
		c       inference.Conversation
		want    []string
	}{
		{inference.OpenAI, inference.Conversation{}, []string{"from_the_dialect"}},
		{inference.OpenAI, all, []string{"from_the_dialect", "tools", "response_format", "stop", "n", "temperature", "top_p", "top_k", "seed", "reasoning_effort"}},
		{inference.Anthropic, all, []string{"from_the_dialect", "tools", "output_config", "stop_sequences", "n", "temperature", "top_p", "top_k", "seed", "thinking"}},
	} {
		n := 1
		if test.c.JSON {
			n = 2
		}
		s, err := New(always(&asked)).Open(context.Background(), call(inference.Request{Dialect: test.dialect, N: n}, test.c))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Dropped(); !slices.Equal(got, test.want) {
			t.Errorf("%v: %q, want %q", test.dialect, got, test.want)
		}
	}
}

func TestErrorsAreFaults(t *testing.T) {
	var asked string
	e := New(always(&asked))
	c := call(inference.Request{}, inference.Conversation{})
	bad := fault.New(fault.InvalidRequest, "messages is missing")
	c.Conversation = func() (*inference.Conversation, []string, error) { return nil, nil, bad }
	if _, err := e.Open(context.Background(), c); !errors.Is(err, bad) {
		t.Errorf("Open: %v, want the dialect's own error", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s, err := e.Open(ctx, call(inference.Request{Stream: true}, inference.Conversation{}))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_, err = s.Next(time.Time{})
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.ClientClosed {
		t.Errorf("Next after cancel: %v, want client_closed", err)
	}
}

// Whatever was found: both forms say the same, say it again on the next call, and
// hold to max_tokens; a whole answer quotes every passage byte for byte.
func TestAnswers(t *testing.T) {
	passage := rapid.Custom(func(t *rapid.T) Passage {
		return Passage{
			Path:    "docs/x.md",
			Heading: rapid.StringN(0, 10, 20).Draw(t, "heading"),
			Text:    rapid.StringN(1, 200, 400).Draw(t, "text"),
			Score:   rapid.Float64Range(0.1, 10).Draw(t, "score"),
			Cover:   rapid.Float64Range(0, 1).Draw(t, "cover"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		found := rapid.SliceOfN(passage, 0, passages).Draw(t, "found")
		limit := rapid.IntRange(0, 200).Draw(t, "max tokens")
		e := New(func(string, int) []Passage { return found })
		answer := func(stream bool) (string, engine.Chunk) {
			s, err := e.Open(context.Background(), call(
				inference.Request{Stream: stream, MaxTokens: limit},
				inference.Conversation{Messages: []inference.Message{said(inference.User, "q")}},
			))
			if err != nil {
				t.Fatalf("%v", err)
			}
			text, last, _ := read(t, s)
			return text, last
		}
		whole, end := answer(false)
		again, _ := answer(false)
		streamed, streamEnd := answer(true)
		if whole != again || whole != streamed {
			t.Fatalf("three answers:\n%q\n%q\n%q", whole, again, streamed)
		}
		if end.Event.Usage != streamEnd.Event.Usage || end.Event.Finish != streamEnd.Event.Finish {
			t.Fatalf("whole ends with %+v, stream with %+v", end.Event, streamEnd.Event)
		}
		usage, finish := end.Event.Usage, end.Event.Finish
		switch {
		case limit > 0 && usage.Output > limit:
			t.Fatalf("%d tokens, max_tokens was %d", usage.Output, limit)
		case finish == inference.Length && usage.Output != limit:
			t.Fatalf("cut at %d tokens, max_tokens was %d", usage.Output, limit)
		case finish == inference.Stop:
			for _, p := range Choose(found) {
				if !strings.Contains(whole, p.Text) {
					t.Fatalf("%q is not in the answer %q", p.Text, whole)
				}
			}
		}
	})
}

// Passages that stand before the question are quoted in the place of the documents, under
// the numbers that they have there.
func TestQuotesWhatItWasGiven(t *testing.T) {
	told := ground.Frame([]inference.Passage{
		{Title: "Canteen", Text: "Lunch is served at noon."},
		{Name: "travel.md", Title: "Travel", Path: "Travel > Hotels", Text: "A hotel is paid up to 120 euros a night."},
	})
	e := New(func(string, int) []Passage {
		t.Error("the documents were searched again")
		return nil
	})
	for question, want := range map[string]string{
		"How many euros is a hotel paid a night?": "A hotel is paid up to 120 euros a night. [2]\n\nSources, quoted word for word:\n2. travel.md (Travel > Hotels)",
		"Who won the football match?":             nothing,
	} {
		for _, talk := range [][]inference.Message{
			{said(inference.User, told+question)},
			{said(inference.User, told, question)},
			{said(inference.User, told, "Who cooks lunch?"), said(inference.Assistant, "Nobody."), said(inference.User, question)},
		} {
			s, err := e.Open(context.Background(), call(inference.Request{}, inference.Conversation{Messages: talk}))
			if err != nil {
				t.Fatal(err)
			}
			if text, _, _ := read(t, s); text != want {
				t.Errorf("%q: got\n%s", question, text)
			}
		}
	}
}
