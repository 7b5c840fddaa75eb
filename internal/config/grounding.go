package config

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"headworks/internal/tenant"
)

// What becomes of an answer whose documents cannot be searched.
const (
	GroundRequired = "required"
	GroundOptional = "optional"
)

// DocsCollection is the collection that is the documentation inside the program.
const DocsCollection = "headworks-docs"

// Knowledge is where collections of documents are kept: in the data folder, or in a
// PostgreSQL or a Weaviate that several gateways share.
type Knowledge struct {
	Postgres    tenant.Secret `json:"postgres,omitzero" jsonschema:"URL of a PostgreSQL with pgvector 0.8 or later, as postgres://user:password@host:5432/database, best as a reference; in the data folder unless given"`
	Weaviate    string        `json:"weaviate,omitzero" jsonschema:"URL of a Weaviate of version 1.35 or later, as https://weaviate.example.com:8080, in place of a PostgreSQL"`
	WeaviateKey tenant.Secret `json:"weaviate_key,omitzero" jsonschema:"the key of that Weaviate, best as a reference"`
}

// Grounding is which documents a model answers from, and how.
type Grounding struct {
	Collections []string      `json:"collections" jsonschema:"names of collections; a caller gets what he may read of them"`
	Mode        string        `json:"mode,omitzero" enum:"required,optional" jsonschema:"what becomes of an answer whose documents cannot be searched: an error, or an answer without them that says so in x-headworks-degraded"`
	Ranker      string        `json:"ranker,omitzero" enum:"bm25,dense,hybrid" jsonschema:"by words, by vectors, or by both; hybrid unless given"`
	Passages    int           `json:"passages,omitzero" min:"1" max:"50" jsonschema:"passages that the model gets to read at most"`
	Tokens      int           `json:"tokens,omitzero" min:"200" max:"1000000" jsonschema:"tokens that they take at most"`
	Whole       int           `json:"whole,omitzero" min:"0" max:"1000000" jsonschema:"up to so many tokens collections are read whole, in the place of a search; as tokens unless given, 0 never"`
	Timeout     time.Duration `json:"timeout,omitzero" jsonschema:"how long the search is waited for, with what comes before it"`
	Rewrite     *Rewrite      `json:"rewrite,omitzero" jsonschema:"a model that says what to search for; rules do without one"`
}

func (g *Grounding) defaults() {
	g.Mode, g.Passages, g.Tokens, g.Whole, g.Timeout = GroundRequired, 20, 4000, 4000, 2*time.Second
}

// Rewrite is a model that says what to search for.
type Rewrite struct {
	Upstream string        `json:"upstream" jsonschema:"name of an upstream"`
	Model    string        `json:"model" jsonschema:"the upstream's name for the model"`
	Timeout  time.Duration `json:"timeout,omitzero" jsonschema:"how long its word is waited for; without one the rules' query is searched for"`
	Price    *Price        `json:"price,omitzero" jsonschema:"what its tokens cost, USD per million"`
}

func (w *Rewrite) defaults() { w.Timeout = time.Second }

// grounding checks that there is something to search, and time for it.
func (r *reader) grounding(path string, g *Grounding) {
	at := join(path, "collections")
	switch {
	case len(g.Collections) == 0 && !r.given[at]: // reported where it was read
	case len(g.Collections) == 0:
		r.at(at, Missing, "an empty list, so nothing is searched; name a collection, or leave knowledge out")
	case len(g.Collections) > 16:
		r.at(at, BadValue, "16 collections at most are searched for one answer")
	}
	for i, name := range g.Collections {
		if strings.TrimSpace(name) == "" || len(name) > 128 {
			r.at(at+"["+strconv.Itoa(i)+"]", BadValue, "not a name of a collection; headworks knowledge list shows them")
		}
	}
	if g.Timeout < 10*time.Millisecond || g.Timeout > time.Minute {
		r.at(join(path, "timeout"), BadValue, "every answer waits for the search, so it is 10ms at least and 1m at most")
	}
	if !r.given[join(path, "whole")] {
		g.Whole = g.Tokens
	}
	w := g.Rewrite
	if w == nil {
		return
	}
	if _, known := r.cfg.Upstreams[w.Upstream]; !known && w.Upstream != "" {
		at := join(path, "rewrite.upstream")
		r.at(at, UnknownName, "no upstream has the name "+r.shown(at, w.Upstream)+meant(w.Upstream, slices.Sorted(maps.Keys(r.cfg.Upstreams)), "upstreams are"))
	}
	if w.Timeout < time.Millisecond || w.Timeout > time.Minute {
		r.at(join(path, "rewrite.timeout"), BadValue, "answers wait for it, so it is 1ms at least and 1m at most")
	}
}

// library checks where collections are kept.
func (r *reader) library() {
	k := &r.cfg.Knowledge
	u, err := url.Parse(k.Weaviate)
	switch {
	case k.Weaviate == "" && !k.WeaviateKey.Empty():
		r.at("knowledge.weaviate_key", BadValue, "there is no Weaviate that is asked with it; give knowledge.weaviate too")
		return
	case k.Weaviate == "":
		return
	case !k.Postgres.Empty():
		r.at("knowledge.weaviate", BadValue, "collections are kept in one place: give knowledge.postgres or knowledge.weaviate")
	case err == nil && u.User != nil:
		r.at("knowledge.weaviate", BadValue, "a password in the address would be shown wherever the address is; give a key as weaviate_key")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		r.at("knowledge.weaviate", BadValue, "no address of a Weaviate; write it as https://weaviate.example.com:8080")
	}
	if !k.WeaviateKey.Empty() {
		r.clean("knowledge.weaviate_key", k.WeaviateKey)
	}
}
