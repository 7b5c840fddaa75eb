package catalog

import (
	"net/url"
	"testing"

	"headworks/internal/inference"
)

// TestKinds: names are unique, engines exist, a kind is reached somewhere or runs
// anywhere, and each speaks something.
func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Kinds() {
		if seen[k.Name] || k.Name == "" || k.Title == "" {
			t.Errorf("%q (%s) is there twice or has no name", k.Name, k.Title)
		}
		seen[k.Name] = true
		if of, ok := Find(k.Engine); !ok || of.Engine != of.Name {
			t.Errorf("%s: its engine is %q, which is none", k.Name, k.Engine)
		}
		if k.Speaks == 0 {
			t.Errorf("%s speaks nothing", k.Name)
		}
		if k.BuiltIn && (k.URL != "" || k.Env != "" || k.Port != 0) {
			t.Errorf("%s is inside this process and has an address", k.Name)
		}
		if u, err := url.Parse(k.URL); err != nil || k.URL != "" && (u.Scheme != "https" || u.Host == "") {
			t.Errorf("%s: %q is no address", k.Name, k.URL)
		}
	}
	if _, ok := Find("nothing"); ok {
		t.Error("found what is not there")
	}
	if len(Names()) != len(seen) {
		t.Errorf("%d names of %d kinds", len(Names()), len(seen))
	}
	if k, _ := Find("vllm"); !k.Speaks.Serves(inference.Anthropic) {
		t.Error("vllm cannot serve messages")
	}
}

// TestAt: what only the provider itself speaks is not expected of another that speaks
// alike.
func TestAt(t *testing.T) {
	k, _ := Find("openai")
	for url, own := range map[string]bool{
		"https://api.openai.com/v1": true, "https://eu.api.openai.com": true, "http://127.0.0.1:8000": false,
		"https://api.openai.com.evil.example": false, "https://xapi.openai.com": false, "": false, ":": false,
	} {
		if got := k.At(url); k.Itself(url) != own || got.Has(inference.Responses) != own || !got.Has(inference.OpenAI) {
			t.Errorf("%q: itself %v, speaks %b", url, k.Itself(url), got)
		}
	}
	if k, _ := Find("vllm"); k.Itself("http://127.0.0.1:8000") || k.Itself("") {
		t.Error("a kind that runs anywhere is at home somewhere")
	}
}
