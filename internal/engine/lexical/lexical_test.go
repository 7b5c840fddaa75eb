package lexical

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"headworks/internal/dialect/openai/embeddings"
	"headworks/internal/dialect/openai/rerank"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

func cosine(t testing.TB, a, b string) float64 {
	t.Helper()
	sum := 0.0
	x, y := vector(a, Dimensions), vector(b, Dimensions)
	for i := range x {
		sum += float64(x[i]) * float64(y[i])
	}
	return sum
}

// Every text with anything in it has a vector of length one, and always the same.
func TestVector(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		dimensions := rapid.IntRange(1, 500).Draw(t, "dimensions")
		v := vector(text, dimensions)
		if v == nil {
			if strings.TrimSpace(text) != "" {
				t.Fatalf("%q has no vector", text)
			}
			return
		}
		norm := 0.0
		for _, x := range v {
			norm += float64(x) * float64(x)
		}
		if len(v) != dimensions || math.Abs(norm-1) > 1e-5 {
			t.Fatalf("%q: %d numbers of length %v", text, len(v), norm)
		}
		if !slices.Equal(v, vector(text, dimensions)) {
			t.Fatalf("%q has two vectors", text)
		}
	})
}

// The vectors that Model names never change: whoever kept some compares them with
// those of the next release. If this fails, Model needs another name.
func TestVectorIsTheSameForEver(t *testing.T) {
	got := fmt.Sprintf("%.4f", vector("The quick brown fox, 狐.", 8))
	const want = "[-0.1006 0.5533 -0.2517 0.4232 -0.4174 -0.4108 -0.2912 0.1164]"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Texts that share words and parts of words are nearer to each other than to others.
func TestNear(t *testing.T) {
	for _, tt := range [][3]string{
		{"how do I revoke an API key?", "Revoking API keys", "the weather in Paris is mild"},
		{"deploying models with vLLM", "vLLM model deployment", "a recipe for apple pie"},
		{"Datenschutzerklärung", "Datenschutz-Erklärung", "Fußballergebnisse"},
		{"機械学習モデルの評価", "学習モデル", "今日の天気は晴れ"},
		{"การเรียนรู้ของเครื่อง", "เครื่องเรียนรู้", "วันนี้อากาศดี"},
		{"colour", "colours", "number"},
	} {
		if near, far := cosine(t, tt[0], tt[1]), cosine(t, tt[0], tt[2]); near < far+0.2 {
			t.Errorf("%q is as near to %q (%.2f) as to %q (%.2f)", tt[0], tt[1], near, tt[2], far)
		}
	}
	if c := cosine(t, "Hello, World", "hello world"); c < 0.9 {
		t.Errorf("case and signs make texts differ: %.2f", c)
	}
}

func call(t testing.TB, d inference.Dialect, body string) *engine.Call {
	t.Helper()
	shape, read := embeddings.Shape(), embeddings.ReadRequest
	if d == inference.Rerank {
		shape, read = rerank.Shape(), rerank.ReadRequest
	}
	c := &engine.Call{Request: &inference.Request{ID: inference.NewID(time.Unix(1, 0), 2, 3)}, Doc: &scan.Doc{}, Model: "lexical-1", Body: []byte(body)}
	if err := c.Doc.Scan(c.Body, shape); err != nil {
		t.Fatal(err)
	}
	if err := read(c.Doc, c.Request); err != nil {
		t.Fatal(err)
	}
	return c
}

func do(t testing.TB, d inference.Dialect, body string) (engine.Chunk, error) {
	t.Helper()
	s, err := New().Open(t.Context(), call(t, d, body))
	if err != nil {
		return engine.Chunk{}, err
	}
	defer s.Close()
	return s.Next(time.Time{})
}

func TestEmbed(t *testing.T) {
	c, err := do(t, inference.Embeddings, `{"model":"m","input":["hello there","hello"]}`)
	if err != nil {
		t.Fatal(err)
	}
	var said struct {
		Model string
		Data  []struct{ Embedding []float32 }
	}
	if err := json.Unmarshal(c.Raw, &said); err != nil {
		t.Fatal(err)
	}
	if said.Model != Model || len(said.Data) != 2 || !slices.Equal(said.Data[1].Embedding, vector("hello", Dimensions)) {
		t.Errorf("got %.200s", c.Raw)
	}
	if want := (inference.Usage{Input: 3, Known: true}); c.Event.Usage != want || !c.Last {
		t.Errorf("usage %+v, last %v", c.Event.Usage, c.Last)
	}
}

// TestRank: what answers the query stands first, equals stand as they came, and no
// more than asked for is returned.
func TestRank(t *testing.T) {
	c, err := do(t, inference.Rerank, `{"model":"m","query":"how do I revoke a key?","documents":[
		"The weather is nice.","Keys are revoked with headworks keys revoke.","The weather is nice.","A key opens a door."],"top_n":3}`)
	if err != nil {
		t.Fatal(err)
	}
	var said struct {
		Results []struct {
			Index int
			Score float64 `json:"relevance_score"`
		}
	}
	if err := json.Unmarshal(c.Raw, &said); err != nil {
		t.Fatal(err)
	}
	var order []int
	for _, r := range said.Results {
		order = append(order, r.Index)
		if r.Score < 0 || r.Score > 1 {
			t.Errorf("a score of %v", r.Score)
		}
	}
	if !slices.Equal(order, []int{1, 3, 0}) {
		t.Errorf("order %v in %s", order, c.Raw)
	}
	if c.Event.Usage.Input == 0 || c.Event.Finishes != 3 {
		t.Errorf("%+v", c.Event)
	}
}

func TestRefuses(t *testing.T) {
	many := `"a"` + strings.Repeat(`,"a"`, maxTexts)
	for name, tt := range map[string]struct {
		d     inference.Dialect
		body  string
		kind  fault.Kind
		param string
	}{
		"tokens":             {inference.Embeddings, `"input":[1,2]`, fault.Unsupported, "input"},
		"an empty text":      {inference.Embeddings, `"input":["a"," "]`, fault.InvalidRequest, "input"},
		"too many texts":     {inference.Embeddings, `"input":[` + many + `]`, fault.InvalidRequest, "input"},
		"too many numbers":   {inference.Embeddings, `"input":["a","b","c","d","e"],"dimensions":1048576`, fault.InvalidRequest, "dimensions"},
		"a long text":        {inference.Embeddings, `"input":"` + strings.Repeat("a", maxText+1) + `"`, fault.ContextTooLong, "input"},
		"a long query":       {inference.Rerank, `"documents":["a"],"query":"` + strings.Repeat("a", maxQuery+1) + `"`, fault.ContextTooLong, "query"},
		"a long document":    {inference.Rerank, `"query":"a","documents":["` + strings.Repeat("a", maxText+1) + `"]`, fault.ContextTooLong, "documents"},
		"too many documents": {inference.Rerank, `"query":"a","documents":[` + many + `]`, fault.InvalidRequest, "documents"},
		"a picture":          {inference.Rerank, `"query":"a","documents":[{"image":"x"}]`, fault.Unsupported, "documents"},
	} {
		_, err := do(t, tt.d, `{"model":"m",`+tt.body+`}`)
		if err == nil || fault.Of(err).Kind != tt.kind || fault.Of(err).Param != tt.param {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := New().Open(t.Context(), &engine.Call{Request: &inference.Request{}}); err == nil || fault.Of(err).Kind != fault.Unsupported {
		t.Errorf("a chat: %v", err)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := New().Open(ctx, call(t, inference.Embeddings, `{"model":"m","input":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := s.Next(time.Time{}); err == nil {
		t.Error("a canceled call is answered")
	}
	if _, _, err := embed(ctx, &embeddings.Wanted{Texts: []string{"a"}, Dimensions: 1}); err == nil {
		t.Error("a canceled call goes on between texts")
	}
	if _, _, err := rank(ctx, "", &rerank.Wanted{Query: "a", Documents: []string{"a"}}); err == nil {
		t.Error("a canceled call goes on between documents")
	}
}

func FuzzVector(f *testing.F) {
	f.Add("Hello, World", 8)
	f.Add("狐\u0301 \xff", 1)
	f.Fuzz(func(t *testing.T, text string, dimensions int) {
		if dimensions < 1 || dimensions > 4096 {
			return
		}
		for _, x := range vector(text, dimensions) {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				t.Fatalf("%q has %v in its vector", text, x)
			}
		}
	})
}
