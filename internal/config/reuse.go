package config

import (
	"time"
)

// When earlier answers stand in for new ones.
const (
	ExactAuto = "auto"
	ExactOn   = "on"
	ExactOff  = "off"

	EmbeddingsOff = "off"
)

// ModelCache says which earlier answers of a model may stand in for new ones.
type ModelCache struct {
	Exact      string        `json:"exact,omitzero" enum:"auto,on,off" jsonschema:"when an earlier answer to the same request is given: auto (temperature is 0, the engine always gives the same answer, or the caller sends max-age), on, or off"`
	TTL        time.Duration `json:"ttl,omitzero" jsonschema:"how long an answer is fresh; 24h at most"`
	Scope      string        `json:"scope,omitzero" enum:"user,key,project,organisation,public" jsonschema:"who may be given an answer that was made for another: the same user, key, project, organisation, or everybody"`
	Revalidate time.Duration `json:"stale_while_revalidate,omitzero" jsonschema:"how much longer it is given while a new one is made"`
	Embeddings string        `json:"embeddings,omitzero" enum:"user,key,project,organisation,public,off" jsonschema:"for whom the vectors of texts are kept, each text by itself, or off; off too where exact is, unless it is given"`
	IfError    time.Duration `json:"stale_if_error,omitzero" jsonschema:"how much longer it is given where no new one can be had"`
}

func (c *ModelCache) defaults() {
	c.Exact, c.TTL, c.Scope, c.Revalidate, c.IfError = ExactAuto, time.Hour, "project", 5*time.Minute, time.Hour
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
	if c.Exact == ExactOff {
		for _, key := range []string{"ttl", "scope", "stale_while_revalidate", "stale_if_error"} {
			if r.given[at(key)] {
				r.warn(at(key), Pointless, "no answer is kept: exact is off")
			}
		}
	}
}
