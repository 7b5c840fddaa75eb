package cachetest

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"
)

// Store is a cache.Shared in memory, which can be made to fail. The zero Store is
// empty and whole.
type Store struct {
	mu     sync.Mutex
	values map[string]value
	epochs map[string]uint64
	ears   map[chan string]struct{}

	down, slow bool
	tamper     func([]byte) []byte
	calls      int
}

type value struct {
	bytes []byte
	until time.Time
}

var errDown = errors.New("cachetest: the store is down")

// Break makes the store fail, or be whole again.
func (s *Store) Break(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
	if down {
		for ear := range s.ears {
			close(ear)
		}
		s.ears = nil
	}
}

// Stall makes the store answer nobody before his patience ends.
func (s *Store) Stall(slow bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow = slow
}

// Tamper changes what Load returns from now on.
func (s *Store) Tamper(f func([]byte) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tamper = f
}

// Empty makes the store forget everything.
func (s *Store) Empty() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values, s.epochs = nil, nil
}

// Calls returns how often it was asked for a value.
func (s *Store) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// Values returns what is there.
func (s *Store) Values() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string][]byte{}
	for name, v := range s.values {
		all[name] = v.bytes
	}
	return all
}

// enter waits as the store is told to, and returns with its lock held unless it fails.
func (s *Store) enter(ctx context.Context) error {
	s.mu.Lock()
	slow := s.slow
	if s.down {
		s.mu.Unlock()
		return errDown
	}
	if slow {
		s.mu.Unlock()
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// Load implements cache.Shared.
func (s *Store) Load(ctx context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	s.calls++
	s.mu.Unlock()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	v, ok := s.values[name]
	if !ok || time.Now().After(v.until) {
		return nil, nil
	}
	if s.tamper != nil {
		return s.tamper(append([]byte(nil), v.bytes...)), nil
	}
	return v.bytes, nil
}

// Save implements cache.Shared.
func (s *Store) Save(ctx context.Context, name string, b []byte, life time.Duration) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if s.values == nil {
		s.values = map[string]value{}
	}
	s.values[name] = value{append([]byte(nil), b...), time.Now().Add(life)}
	return nil
}

// Remove implements cache.Shared.
func (s *Store) Remove(ctx context.Context, name string) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	delete(s.values, name)
	return nil
}

// Raise implements cache.Shared.
func (s *Store) Raise(ctx context.Context, name string, least, by uint64) (uint64, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	if s.epochs == nil {
		s.epochs = map[string]uint64{}
	}
	s.epochs[name] = max(s.epochs[name], least) + by
	for ear := range s.ears {
		select {
		case ear <- name:
		default:
		}
	}
	return s.epochs[name], nil
}

// Hear implements cache.Shared.
func (s *Store) Hear(ctx context.Context, tell func(name string, n uint64)) error {
	ear := make(chan string, 64)
	if err := s.enter(ctx); err != nil {
		return err
	}
	if s.ears == nil {
		s.ears = map[chan string]struct{}{}
	}
	s.ears[ear] = struct{}{}
	all := maps.Clone(s.epochs)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.ears, ear)
		s.mu.Unlock()
	}()
	for name, n := range all {
		tell(name, n)
	}
	for {
		select {
		case name, ok := <-ear:
			if !ok {
				return errDown
			}
			s.mu.Lock()
			n := s.epochs[name]
			s.mu.Unlock()
			tell(name, n)
		case <-ctx.Done():
			return nil
		}
	}
}
