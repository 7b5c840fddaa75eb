package inference

import (
	"slices"
	"testing"
)

// What can be asked of a set is what it serves: a request in a dialect of its own,
// and for chats in any.
func TestOperations(t *testing.T) {
	for _, tt := range []struct {
		set  Set
		want []Operation
	}{
		{0, nil},
		{SetOf(Anthropic, AnthropicCount), []Operation{Chat}},
		{SetOf(Embeddings, Rerank), []Operation{Embed, Rank}},
		{SetOf(OpenAI, Completions, Embeddings), []Operation{Chat, Embed}},
		{SetOf(Dialects()...), []Operation{Chat, Embed, Rank, Moderate, Draw, Hear}},
	} {
		if got := tt.set.Operations(); !slices.Equal(got, tt.want) {
			t.Errorf("%b: %v, want %v", tt.set, got, tt.want)
		}
		for _, d := range Dialects() {
			asked := slices.Contains(tt.want, d.Operation()) || d.Operation() == Count && slices.Contains(tt.want, Chat)
			if tt.set.Serves(d) && !asked {
				t.Errorf("%b serves %v, and is not said to", tt.set, d)
			}
			if asked && d.Operation() == Chat && !tt.set.Serves(d) {
				t.Errorf("%b chats, but not in %v", tt.set, d)
			}
		}
	}
}
