package app

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"headworks/internal/catalog"
	"headworks/internal/config"
	"headworks/internal/fleet"
	"headworks/internal/tenant"
)

// exacts are when earlier answers stand in, as the configuration names it.
var exacts = map[string]fleet.Exact{config.ExactAuto: fleet.ExactAuto, config.ExactOn: fleet.ExactOn, config.ExactOff: fleet.ExactOff}

// semantics are what is done with answers to other questions, as the configuration names
// it.
var semantics = map[string]fleet.Semantic{config.SemanticOff: fleet.SemanticOff, config.SemanticShadow: fleet.SemanticShadow, config.SemanticOn: fleet.SemanticOn}

// embedIn is how long a request waits for the vector of its question.
const embedIn = 250 * time.Millisecond

// keeping returns which answers of a model are kept; nil: none.
func keeping(name string, m config.Model, c *config.Config, upstreams map[string]int) *fleet.Reuse {
	f := &fleet.Reuse{Exact: exacts[m.Cache.Exact], Semantic: semantics[m.Cache.Semantic], TTL: m.Cache.TTL, Revalidate: m.Cache.Revalidate, IfError: m.Cache.IfError}
	if m.Cache.Embeddings != config.EmbeddingsOff {
		f.Vectors, _ = tenant.ParseReach(m.Cache.Embeddings) // as below
	}
	if f.Exact == fleet.ExactOff && f.Vectors == 0 {
		return nil
	}
	f.Reach, _ = tenant.ParseReach(m.Cache.Scope) // config knows no others
	f.Repeats = len(m.Targets) > 0
	for _, t := range m.Targets {
		k, _ := catalog.Find(c.Upstreams[t.Upstream].Kind)
		f.Repeats = f.Repeats && k.Repeats
	}
	if name, model, ok := strings.Cut(m.Cache.Embedder, "/"); ok {
		f.Embedder = &fleet.Embedder{Upstream: upstreams[name], Model: model, Timeout: embedIn}
	}
	f.Mark = answering(name, m, c)
	return f
}

// answering returns a text that differs where something is configured otherwise that can
// change what a model answers: its own section, and what its upstreams are. Where
// engines of one's own are does not count: they come and go.
func answering(name string, m config.Model, c *config.Config) string {
	m.Cache = config.ModelCache{}
	of, err := json.Marshal(m)
	if err != nil { // it was read from such a text
		of = []byte(c.Fingerprint())
	}
	texts := []string{name, string(of)}
	for _, t := range m.Targets {
		u := c.Upstreams[t.Upstream]
		texts = append(texts, u.Kind, u.APIVersion, u.Project, u.Location)
		if !config.Own(u.Kind) {
			texts = append(texts, fmt.Sprint(u.URLs))
		}
	}
	return strconv.FormatUint(hashed(texts...), 36)
}
