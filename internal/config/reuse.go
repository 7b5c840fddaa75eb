package config

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// When earlier answers stand in for new ones.
const (
	ExactAuto = "auto"
	ExactOn   = "on"
	ExactOff  = "off"

	EmbeddingsOff = "off"
)

// What is done with answers to other questions that ask for the same.
const (
	SemanticOff    = "off"
	SemanticShadow = "shadow"
	SemanticOn     = "on"
)

// ModelCache says which earlier answers of a model may stand in for new ones.
type ModelCache struct {
	Exact      string        `json:"exact,omitzero" enum:"auto,on,off" jsonschema:"when an earlier answer to the same request is given: auto (temperature is 0, the engine always gives the same answer, or the caller sends max-age), on, or off"`
	Semantic   string        `json:"semantic,omitzero" enum:"off,shadow,on" jsonschema:"whether an answer to another question that asks for the same is given: off, shadow (found and compared, never given), or on (given once enough of them were compared and all but none was wrong)"`
	Embedder   string        `json:"embedder,omitzero" jsonschema:"an upstream and its model that makes vectors of questions, as upstream/model; without one they are compared by their letters"`
	TTL        time.Duration `json:"ttl,omitzero" jsonschema:"how long an answer is fresh; 24h at most"`
	Scope      string        `json:"scope,omitzero" enum:"user,key,project,organisation,public" jsonschema:"who may be given an answer that was made for another: the same user, key, project, organisation, or everybody"`
	Revalidate time.Duration `json:"stale_while_revalidate,omitzero" jsonschema:"how much longer it is given while a new one is made"`
	Embeddings string        `json:"embeddings,omitzero" enum:"user,key,project,organisation,public,off" jsonschema:"for whom the vectors of texts are kept, each text by itself, or off; off too where exact is, unless it is given"`
	IfError    time.Duration `json:"stale_if_error,omitzero" jsonschema:"how much longer it is given where no new one can be had"`
}

func (c *ModelCache) defaults() {
	c.Exact, c.Semantic, c.TTL, c.Scope, c.Revalidate, c.IfError = ExactAuto, SemanticOff, time.Hour, "project", 5*time.Minute, time.Hour
	c.Embeddings = "organisation"
}

// longest is how long an answer may be kept.
const longest = 24 * time.Hour

// reuse checks which answers of a model are kept.
func (r *reader) reuse(path string, c ModelCache) {
	at := func(key string) string { return join(join(path, "cache"), key) }
	for key, d := range map[string]time.Duration{"ttl": c.TTL, "stale_while_revalidate": c.Revalidate, "stale_if_error": c.IfError} {
		switch {
		case d > longest:
			r.at(at(key), BadValue, "an answer is kept for "+showDuration(longest)+" at most")
		case key == "ttl" && d <= 0:
			r.at(at(key), BadValue, "an answer that is never fresh is never given; write exact: off to keep none")
		}
	}
	if c.Embedder != "" {
		name, model, ok := strings.Cut(c.Embedder, "/")
		_, known := r.cfg.Upstreams[name]
		switch {
		case !ok || model == "":
			r.at(at("embedder"), BadValue, "an embedder is an upstream and its model, as in upstream/model")
		case !known:
			names := slices.Sorted(maps.Keys(r.cfg.Upstreams))
			r.at(at("embedder"), UnknownName, "no upstream has the name "+r.shown(at("embedder"), name)+meant(name, names, "upstreams are"))
		case c.Semantic == SemanticOff:
			r.warn(at("embedder"), Pointless, "questions are not compared: semantic is off")
		}
	}
	if c.Exact == ExactOff {
		for _, key := range []string{"semantic", "embedder", "ttl", "scope", "stale_while_revalidate", "stale_if_error"} {
			if r.given[at(key)] {
				r.warn(at(key), Pointless, "no answer is kept: exact is off")
			}
		}
	}
}
