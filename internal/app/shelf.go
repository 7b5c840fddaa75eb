package app

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"headworks/internal/api/responses"
	"headworks/internal/config"
	"headworks/internal/store/sqlite"
)

// shelf keeps the responses of callers in the store, within the bounds of the
// configuration.
type shelf struct {
	store  *sqlite.Store
	log    *slog.Logger
	bounds atomic.Pointer[bounds]

	conversations, bytes atomic.Int64 // when they were last counted
	lost                 atomic.Uint64
}

// bounds are what is kept, and how long.
type bounds struct {
	on    bool
	keep  time.Duration // 0: no bound
	bytes int64
	body  int64 // of a request, with all that it goes on from
}

const (
	// longestChain bounds how many responses one may go on from.
	longestChain = 1000
	// prunes is how often what is too old or too much goes.
	prunes = time.Minute
)

func (s *shelf) bound(c *config.Config) {
	s.bounds.Store(&bounds{
		on: c.Responses.Store == config.StoreOn, keep: c.Responses.Keep, bytes: int64(c.Responses.Bytes), body: int64(c.Limits.Body),
	})
}

func (s *shelf) keeps() bool { return s.bounds.Load().on }

// kept returns how many conversations were kept when they were last counted, and
// their bytes.
func (s *shelf) kept() (n, bytes int64) { return s.conversations.Load(), s.bytes.Load() }

// Keep implements responses.Store.
func (s *shelf) Keep(ctx context.Context, key string, r *responses.Kept) error {
	err := s.store.KeepResponse(ctx, &sqlite.Response{
		Key: key, ID: r.ID, Previous: r.Previous, Created: r.Created, Input: r.Input, Answer: r.Answer, Items: r.Items,
	})
	if err != nil {
		s.lost.Add(1)
		s.log.Error("a response could not be kept", "cause", err.Error())
	}
	return err
}

// Load implements responses.Store.
func (s *shelf) Load(ctx context.Context, key, id string) (*responses.Kept, error) {
	return s.one(s.store.LoadResponse(ctx, key, id))
}

// Item implements responses.Store.
func (s *shelf) Item(ctx context.Context, key, item string) (*responses.Kept, error) {
	return s.one(s.store.LoadItem(ctx, key, item))
}

func (s *shelf) one(r *sqlite.Response, err error) (*responses.Kept, error) {
	if err != nil {
		return nil, s.told(err)
	}
	return &responses.Kept{ID: r.ID, Previous: r.Previous, Created: r.Created, Input: r.Input, Answer: r.Answer}, nil
}

// told turns the store's errors into those that the surface knows.
func (s *shelf) told(err error) error {
	switch {
	case errors.Is(err, sqlite.ErrNoResponse):
		return responses.ErrNone
	case errors.Is(err, sqlite.ErrLongChain):
		return responses.ErrLong
	}
	s.log.Error("what is kept of responses cannot be read", "cause", err.Error())
	return err
}

// Chain implements responses.Store.
func (s *shelf) Chain(ctx context.Context, key, id string) ([]*responses.Kept, error) {
	chain, err := s.store.LoadChain(ctx, key, id, longestChain, s.bounds.Load().body)
	if err != nil {
		return nil, s.told(err)
	}
	kept := make([]*responses.Kept, 0, len(chain))
	for _, r := range chain {
		k, err := s.one(r, nil)
		if err != nil {
			return nil, err
		}
		kept = append(kept, k)
	}
	return kept, nil
}

// Remove implements responses.Store.
func (s *shelf) Remove(ctx context.Context, key, id string) error {
	if err := s.store.RemoveResponse(ctx, key, id); err != nil {
		return s.told(err)
	}
	return nil
}

// run lets go of what is too old or too much, until ctx ends.
func (s *shelf) run(ctx context.Context) {
	tick := time.NewTicker(prunes)
	defer tick.Stop()
	for now := time.Now(); ; {
		s.prune(ctx, now)
		select {
		case <-ctx.Done():
			return
		case now = <-tick.C:
		}
	}
}

func (s *shelf) prune(ctx context.Context, now time.Time) {
	b := s.bounds.Load()
	before := time.Unix(0, 0)
	if b.keep > 0 {
		before = now.Add(-b.keep)
	}
	n, size, err := s.store.PruneResponses(ctx, before, b.bytes)
	switch {
	case err == nil:
		s.conversations.Store(n)
		s.bytes.Store(size)
	case ctx.Err() == nil:
		s.log.Error("responses that are too old or too much could not be removed", "cause", err.Error())
	}
}
