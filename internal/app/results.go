package app

import (
	"time"

	"headworks/internal/cache"
	"headworks/internal/tenant"
)

// results keeps what searches found in the cache that everything shares, for the project
// of who asked.
type results struct{ cache *cache.Cache }

// resultsLive is for how long, where no collection changes.
const resultsLive = 5 * time.Minute

// Recall implements knowledge.Results.
func (r results) Recall(c *tenant.Caller, collections []string, key []byte) ([]byte, func([]byte, time.Duration)) {
	scope, ok := c.Scope(tenant.Project)
	if !ok {
		return nil, nil
	}
	names := make([]cache.EpochName, len(collections))
	for i, id := range collections {
		names[i] = cache.EpochName{Kind: cache.Knowledge, Name: id}
	}
	marks := r.cache.Begin(c, scope, names...)
	k, err := r.cache.Key(cache.Passages, scope, key)
	if err != nil {
		return nil, nil
	}
	now := time.Now()
	if e, ok := r.cache.Get(cache.Passages, scope, k, now); ok {
		return e.Value, nil
	}
	return nil, func(found []byte, took time.Duration) {
		now := time.Now()
		r.cache.Put(cache.Passages, scope, k, cache.Entry{Value: found, Stored: now, Expires: now.Add(resultsLive), Took: took, Marks: marks}, now)
	}
}
