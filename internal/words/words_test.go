package words

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// spell writes terms with their places; those beside others in brackets.
func spell(l Language, text string) string {
	var out []string
	last := -1
	for t := range l.Text(text) {
		switch {
		case t.Beside:
			out = append(out, "["+t.Text+"]")
		case int(t.At) > last+1:
			out = append(out, "_", t.Text)
		default:
			out = append(out, t.Text)
		}
		if !t.Beside {
			last = int(t.At)
		}
	}
	return strings.Join(out, " ")
}

func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "",
		"The keys are listed":   "_ kei _ list",
		"Connected connections": "connect connect",
		"user's users' don't":   "user user don't",
		"I'm O’Brien's":         "i'm o'brien",
		"the 1960's I.B.M., U.S. and e.g. J.R.Smith": "_ 1960 ibm us _ eg j r smith [jrsmith]",
		"'quoted' a.b(c) É.T.":                       "quot ab c et",
		"time-sharing":                               "time share [timeshar]",
		"`first_token: 10s`":                         "first token [firsttoken] 10s",
		"firstToken FirstToken":                      "first token [firsttoken] first token [firsttoken]",
		"HTTPServer getURLs":                         "http server [httpserver] get url [geturl]",
		"api.Chat, config.yaml.":                     "api chat [apichat] config yaml [configyaml]",
		"sha256 H100 gpt-4o":                         "sha256 h100 gpt 4o [gpt4o]",
		"x-headworks-cache.":                         "x headwork cach [xheadworkscach]",
		"1,000 3.14 v1.26.8":                         "1000 3.14 v1 26.8 [v126.8]",
		"1,2,3 1,0000 5.":                            "1 2 3 1 0000 5",
		"2026-11-25":                                 "2026 11 25 [20261125]",
		"C++ and C# not C":                           "c [c++] _ c [c#] _ c",
		"end- --start -":                             "end start",
		"café CAFÉ cafe\u0301":                       "cafe cafe cafe",
		"GRÖSSE Ελλάδα ёлка":                         "gross ελλάδα елк",
		"of\ufb01ce so\u00adft":                      "offic soft",
		"ＡＢＣ１２３":                                     "abc123",
		"bad\xff\xfebytes":                           "bad byte",
		"模型":                                         "[模] [型] 模型",
		"模 a":                                        "[模] 模",
		"東京都は":                                       "[東] [京] 東京 [都] 京都 [は] 都は",
		"हिन्दी भाषा":                                "हिन्दी भाषा",
		"שָׁלוֹם שלום":                               "שלום שלום",
		"in-memory to-do":                            "_ memori [inmemori] _ do [todo]",
		"AA\u0488a A\u0301Cat":                       "aa\u0488a _ cat [acat]",
		"naïve Ærø Łódź":                             "naiv aero lodz",
	} {
		if got := strings.TrimSpace(spell(English, text)); got != strings.TrimSpace(want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestLanguages(t *testing.T) {
	for l, forms := range map[Language][]string{
		Plain:     {"The Keys", "the keys"},
		French:    {"les continuations continuée", "_ continu continu"},
		German:    {"die Häuser Haus größer", "_ haus haus gross"},
		Spanish:   {"las naciones nación", "_ nacion nacion"},
		Russian:   {"и важными важное", "_ важн важн"},
		Swedish:   {"och flickorna flicka", "_ flick flick"},
		Norwegian: {"og havnene havn", "_ havn havn"},
		Hungarian: {"a házak ház", "_ haz haz"},
	} {
		if got := spell(l, forms[0]); got != forms[1] {
			t.Errorf("%s: %q: %q, want %q", l, forms[0], got, forms[1])
		}
	}
	for _, name := range Languages() {
		if l, ok := ParseLanguage(name); !ok || l.String() != name {
			t.Errorf("%q is read as %s", name, l)
		}
	}
	if l, ok := ParseLanguage(""); !ok || l != English {
		t.Error("no name is not English")
	}
	if _, ok := ParseLanguage("klingon"); ok {
		t.Error("klingon is a language")
	}
}

func TestQuestion(t *testing.T) {
	tests := []struct {
		text    string
		terms   string
		phrases string
		exact   bool
	}{
		{"a cut stream", "cut stream", "", false},
		{`"time sharing" systems`, "time share system", "time share", false},
		{`"time sharing" "of the art"`, "time share art", "time share", false},
		{`"time sharing"`, "time share", "time share", true},
		{`“time sharing”, «operating systems»`, "time share oper system", "time share|oper system", true},
		{`a 5" pipe and a 6" one`, "5 pipe 6 on", "", false},
		{`an open "quote`, "open quot", "", false},
		{`"" " a "`, "", "", false},
		{`"first_token"`, "first token firsttoken", "first token", true},
		{`東京都`, "東京 京都", "", false},
		{`猫`, "猫", "", false},
	}
	for _, test := range tests {
		q := Question(test.text)
		var terms, phrases []string
		for _, t := range q.Terms {
			terms = append(terms, t.Text)
		}
		for _, p := range q.Phrases {
			var words []string
			for _, t := range p {
				words = append(words, t.Text)
			}
			phrases = append(phrases, strings.Join(words, " "))
		}
		if strings.Join(terms, " ") != test.terms || strings.Join(phrases, "|") != test.phrases || q.Exact != test.exact {
			t.Errorf("%s: %q, phrases %q, exact %t", test.text, terms, phrases, q.Exact)
		}
	}
	if n := len(Question(strings.Repeat("word ", 3000)).Terms); n != maxQuery {
		t.Errorf("%d terms of a long question are read, want %d", n, maxQuery)
	}
}

// However an identifier is written, one way finds the others.
func TestWaysOfWriting(t *testing.T) {
	whole := func(text string) string {
		for term := range Text(text) {
			if term.Beside {
				return term.Text
			}
		}
		return ""
	}
	for _, text := range []string{"max_tokens", "max-tokens", "MaxTokens", "MAX_TOKENS", "max.tokens"} {
		if got := whole(text); got != whole("maxTokens") || got == "" {
			t.Errorf("%s as a whole is %q", text, got)
		}
	}
}

func TestTextKeepsItsWord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { check(t, rapid.String().Draw(t, "text")) })
}

func check(t interface{ Fatalf(string, ...any) }, text string) {
	for l := range languages {
		last := uint32(0)
		for term := range l.Text(text) {
			switch {
			case term.Text == "" || len(term.Text) > maxTerm || !utf8.ValidString(term.Text):
				t.Fatalf("%s: %q gives the term %q", l, text, term.Text)
			case !term.Beside && term.At < last:
				t.Fatalf("%s: %q gives %q at %d after %d", l, text, term.Text, term.At, last)
			case !term.Beside:
				last = term.At
			}
		}
	}
	whole := slices.Collect(Text(text))
	if again := slices.Collect(Text(text)); !slices.Equal(whole, again) {
		t.Fatalf("%q gives %v, then %v", text, whole, again)
	}
	for _, p := range Question(text).Phrases {
		if len(p) < 2 {
			t.Fatalf("%q has a phrase of %v", text, p)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, seed := range []string{"The HTTPServer's first_token", "1,000.5 C++ 模型の", "\"a phrase\" «x y»", "e\u0301\u200d\xffZ", strings.Repeat("a", 300)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) { check(t, text) })
}

func BenchmarkText(b *testing.B) {
	text := strings.Repeat("When a stream is cut in the middle, the gateway's first_token timeout says so: HTTPServer returns 502. ", 100)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		for range Text(text) {
		}
	}
}
