package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"headworks/internal/fault"
)

// CacheReport is what the cache holds, and what it was good for since the process
// began.
type CacheReport struct {
	Since  time.Time    `json:"since"`
	Memory int64        `json:"memory_bytes"` // that all layers share, now
	Layers []CacheLayer `json:"layers"`
	Shared *CacheShared `json:"shared,omitempty"` // absent where gateways share nothing

	Semantic []CacheSemantic `json:"semantic,omitempty"` // by scope and model

	Prompt CachePrompts `json:"prompt_caches"`
}

// CacheSemantic is what became of answers to similar questions of a model in a scope.
// Hits, misses and what was saved count since the process began, the rest for as long as
// the same rules held.
type CacheSemantic struct {
	Scope     string  `json:"scope"`
	Model     string  `json:"model"`
	Mode      string  `json:"mode"`      // off, shadow, on
	State     string  `json:"state"`     // idle, shadow, serving, stopped
	Questions int     `json:"questions"` // that are kept
	Hits      uint64  `json:"hits"`
	Misses    uint64  `json:"misses"`
	Ratio     float64 `json:"hit_ratio"`
	Tokens    int64   `json:"tokens_saved"`
	CostUSD   float64 `json:"cost_usd_saved"`
	Seconds   float64 `json:"seconds_saved"`

	Candidates uint64      `json:"candidates"`
	Compared   uint64      `json:"compared"`       // with a new answer
	False      uint64      `json:"false"`          // of these, that said something else
	Exact      uint64      `json:"exact_compared"` // exact hits, for the comparison's own error
	ExactFalse uint64      `json:"exact_false"`
	FalseRate  float64     `json:"false_rate"` // less the comparison's own error, as far as it is certain
	Lower      float64     `json:"false_rate_lower"`
	Upper      float64     `json:"false_rate_upper"` // at most 0.01 while answers are given
	StoppedAt  time.Time   `json:"stopped_at,omitzero"`
	Curve      []CacheStep `json:"curve,omitempty"`
}

// CacheStep are the candidates of a range of similarity, from the one here to the next
// step's.
type CacheStep struct {
	Similarity float64 `json:"similarity"`
	Compared   uint64  `json:"compared"`
	False      uint64  `json:"false"`
}

// CachePrompts is what upstreams' own caches of prompts were good for, as they tell.
type CachePrompts struct {
	Answers uint64  `json:"answers"` // whose upstream counted the tokens of the prompt
	Hits    uint64  `json:"hits"`    // of which some were read from its cache
	Ratio   float64 `json:"hit_ratio"`
	Read    int64   `json:"tokens_read"`
	Written int64   `json:"tokens_written"`
	CostUSD float64 `json:"cost_usd_saved"` // what reading saved, less what writing cost more
}

// CacheLayer is one kind of what is kept.
type CacheLayer struct {
	Layer   string  `json:"layer"` // answers, similar, embeddings, passages, tools, steps
	Entries int64   `json:"entries"`
	Bytes   int64   `json:"bytes"` // with what each entry is charged beside its value
	Hits    uint64  `json:"hits"`
	Misses  uint64  `json:"misses"`
	Ratio   float64 `json:"hit_ratio"`
	Shared  uint64  `json:"shared_hits"` // of the hits: from what gateways share
	Kept    uint64  `json:"kept"`
	Evicted uint64  `json:"evicted"` // others needed the room
	Expired uint64  `json:"expired"` // the time was over
	Dead    uint64  `json:"dead"`    // depended on what moved
	Refused uint64  `json:"refused"` // too large, or over already
	Tokens  int64   `json:"tokens_saved"`
	CostUSD float64 `json:"cost_usd_saved"`
	Seconds float64 `json:"seconds_saved"` // that making it took
}

// CacheShared is how the store that gateways share does.
type CacheShared struct {
	Looks    uint64 `json:"looks"`
	Failures uint64 `json:"failures"`
	Tampered uint64 `json:"tampered"` // entries that no gateway wrote, and none used
	Dropped  uint64 `json:"dropped"`  // writes that were given up
	Waiting  int    `json:"waiting"`  // writes
	Resting  bool   `json:"resting"`  // it failed of late, and nobody asks for a while
}

// Purge says what the cache lets go of: one of these.
type Purge struct {
	Model string `json:"model,omitempty"`
	Scope string `json:"scope,omitempty"` // such as project:acme/web
	Key   string `json:"key,omitempty"`   // id or name of a key: what was written by it
	All   bool   `json:"all,omitempty"`
}

// Purged is what nobody finds any more.
type Purged struct {
	What   string `json:"what"`
	Untold bool   `json:"untold,omitempty"` // other gateways hear of it once the shared store answers
}

// Caching shows what is cached, and lets go of it. Its errors are *fault.Error.
type Caching interface {
	CacheReport() CacheReport
	Purge(ctx context.Context, p Purge) (Purged, error)
}

const purgeForm = `it is one of {"model": "assistant"}, {"scope": "project:acme/web"}, {"key": "ci"} and {"all": true}`

// check returns what is wrong with p.
func (p *Purge) check() error {
	named := 0
	for _, given := range []bool{p.Model != "", p.Scope != "", p.Key != "", p.All} {
		if given {
			named++
		}
	}
	kind, _, _ := strings.Cut(p.Scope, ":")
	switch {
	case named != 1:
		return fault.New(fault.InvalidRequest, "the body does not say what to purge; "+purgeForm)
	case p.Scope != "" && kind != "user" && kind != "key" && kind != "project" && kind != "organisation" && p.Scope != "public":
		return fault.New(fault.InvalidRequest, "no scope begins like this; one is user:TENANT/PROJECT/KEY, key:TENANT/PROJECT/KEY, project:TENANT/PROJECT, organisation:TENANT or public")
	}
	return nil
}

func (s *Surface) purge(_ http.ResponseWriter, r *http.Request) (any, error) {
	var p Purge
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, "the body does not say what to purge; "+purgeForm, err)
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return s.Cache.Purge(r.Context(), p)
}
