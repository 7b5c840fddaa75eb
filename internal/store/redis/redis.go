// Package redis keeps what gateways share in a Redis or a Valkey: entries of the cache,
// epochs, and leases by which they agree who does a piece of work.
//
// All names begin with headworks:. Values are the caller's to sign and to encrypt, since
// whoever else can write there can write anything. Every method takes as long as its
// context lets it, and an error is all that is to be known of a server that is gone.
package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"headworks/internal/tenant"
)

// Options say where the server is.
type Options struct {
	Addr     string // host:port
	TLS      *tls.Config
	User     string
	Password tenant.Secret
	DB       int
	// Dial opens connections.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Store is a server that gateways share. Its methods may be called at once from many
// goroutines.
type Store struct {
	options Options
	connect sync.Once
	client  rueidis.Client
	broken  error // of the options: nothing can be asked
}

const (
	cachePrefix = "headworks:cache:"
	leasePrefix = "headworks:lease:"
	epochsKey   = "headworks:epochs"
	versionKey  = "headworks:epochs:version" // grows with each raise

	dialTime = 2 * time.Second
	wireTime = 2 * time.Second // in which a connection answers, or is given up
	pollTime = time.Second     // from one look for missed raises to the next
	buffer   = 64 << 10        // of a connection, each way
)

// New returns the store at a server. Nothing is sent until something is asked, and a
// server that is not there is one that may come.
func New(o Options) *Store { return &Store{options: o} }

// ask returns the client, which opens its connections by itself, now and whenever they
// break.
func (s *Store) ask() (rueidis.Client, error) {
	s.connect.Do(func() {
		o := &s.options
		s.client, s.broken = rueidis.NewClient(rueidis.ClientOption{
			InitAddress: []string{o.Addr}, Username: o.User, Password: o.Password.Reveal(), SelectDB: o.DB,
			DialCtxFn: func(ctx context.Context, addr string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
				return s.dial(ctx, addr)
			},
			ClientName: "headworks", ClientSetInfo: rueidis.DisableClientSetInfo,
			// One server, no client-side cache: we have our own. A command that fails
			// is not tried again: it is a miss. Commands share connections, so one that
			// its caller gives up leaves its connection whole.
			ForceSingleClient: true, DisableCache: true, DisableRetry: true, AlwaysPipelining: true,
			PipelineMultiplex: 1, RingScaleEachConn: 9, ReadBufferEachConn: buffer, WriteBufferEachConn: buffer,
			ConnWriteTimeout: wireTime,
		})
		if s.client != nil {
			s.broken = nil // it was not there, and may come
		}
	})
	return s.client, s.broken
}

func (s *Store) dial(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	c, err := s.options.Dial(ctx, "tcp", addr)
	if err != nil || s.options.TLS == nil {
		return c, err
	}
	t := tls.Client(c, s.options.TLS)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return t, nil
}

// Close closes the connections.
func (s *Store) Close() {
	s.connect.Do(func() { s.broken = errors.New("redis: closed") })
	if s.client != nil {
		s.client.Close()
	}
}

// failed names the package in an error; a missing value is none.
func failed(err error) error {
	if err == nil || rueidis.IsRedisNil(err) {
		return nil
	}
	return fmt.Errorf("redis: %w", err)
}

// Load returns the value of a name; nil where there is none.
func (s *Store) Load(ctx context.Context, name string) ([]byte, error) {
	c, err := s.ask()
	if err != nil {
		return nil, failed(err)
	}
	b, err := c.Do(ctx, c.B().Get().Key(cachePrefix+name).Build()).AsBytes()
	return b, failed(err)
}

// Save keeps a value for a while, 1 ms at least.
func (s *Store) Save(ctx context.Context, name string, value []byte, life time.Duration) error {
	c, err := s.ask()
	if err != nil {
		return failed(err)
	}
	set := c.B().Set().Key(cachePrefix + name).Value(rueidis.BinaryString(value)).PxMilliseconds(max(life.Milliseconds(), 1))
	return failed(c.Do(ctx, set.Build()).Error())
}

// Remove lets a value go.
func (s *Store) Remove(ctx context.Context, name string) error {
	c, err := s.ask()
	if err != nil {
		return failed(err)
	}
	return failed(c.Do(ctx, c.B().Del().Key(cachePrefix+name).Build()).Error())
}

// The scripts run whole or not at all, with nothing between their commands. Counts are
// exact up to 2^53.
const (
	raiseScript = `
		local was = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
		local n = math.max(was, tonumber(ARGV[2])) + tonumber(ARGV[3])
		local text = string.format('%.0f', n)
		if n > was then
			redis.call('HSET', KEYS[1], ARGV[1], text)
			redis.call('INCR', KEYS[2])
			redis.call('PUBLISH', ARGV[4], text .. ' ' .. ARGV[1])
		end
		return text`
	renewScript   = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0`
	releaseScript = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`
)

// channel is where raises are told: channels know no databases.
func (s *Store) channel() string { return epochsKey + ":" + strconv.Itoa(s.options.DB) }

// Raise brings an epoch to least, if it is not further already, and by so much further;
// it returns where it is then.
func (s *Store) Raise(ctx context.Context, name string, least, by uint64) (uint64, error) {
	c, err := s.ask()
	if err != nil {
		return 0, failed(err)
	}
	text, err := c.Do(ctx, c.B().Eval().Script(raiseScript).Numkeys(2).Key(epochsKey, versionKey).
		Arg(name, strconv.FormatUint(least, 10), strconv.FormatUint(by, 10), s.channel()).Build()).ToString()
	if err != nil {
		return 0, failed(err)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	return n, failed(err)
}

// errEmptied ends Hear: what gateways know has to be told to the server again.
var errEmptied = errors.New("redis: the server has lost its epochs")

// Hear tells of all epochs there are, and of each that is raised, until ctx ends, the
// server is lost or has lost what it knew.
func (s *Store) Hear(ctx context.Context, tell func(name string, n uint64)) error {
	c, err := s.ask()
	if err != nil {
		return failed(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	defer func() { cancel(); <-ended }()
	go func() {
		ended <- c.Receive(ctx, c.B().Subscribe().Channel(s.channel()).Build(), func(m rueidis.PubSubMessage) {
			count, name, _ := strings.Cut(m.Message, " ")
			if n, err := strconv.ParseUint(count, 10, 64); err == nil {
				tell(name, n)
			}
		})
	}()
	// A message that nobody delivered is noticed by the version.
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for last := uint64(0); ; {
		version, err := s.version(ctx, c)
		switch {
		case err != nil:
			return failed(err)
		case version < last:
			return errEmptied
		case version > last:
			if err := s.all(ctx, c, tell); err != nil {
				return failed(err)
			}
			last = version
		}
		select {
		case <-tick.C:
		case err := <-ended:
			ended <- err
			return failed(err)
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Store) version(ctx context.Context, c rueidis.Client) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, wireTime)
	defer cancel()
	n, err := c.Do(ctx, c.B().Get().Key(versionKey).Build()).AsUint64()
	if rueidis.IsRedisNil(err) {
		return 0, nil
	}
	return n, err
}

func (s *Store) all(ctx context.Context, c rueidis.Client, tell func(name string, n uint64)) error {
	ctx, cancel := context.WithTimeout(ctx, wireTime)
	defer cancel()
	all, err := c.Do(ctx, c.B().Hgetall().Key(epochsKey).Build()).AsStrMap()
	if err != nil {
		return err
	}
	for name, count := range all {
		if n, err := strconv.ParseUint(count, 10, 64); err == nil {
			tell(name, n)
		}
	}
	return nil
}

// Lease takes a lease for a holder, and reports whether it has it: nobody else has until
// the time is over or it is released.
func (s *Store) Lease(ctx context.Context, name, holder string, life time.Duration) (bool, error) {
	c, err := s.ask()
	if err != nil {
		return false, failed(err)
	}
	err = c.Do(ctx, c.B().Set().Key(leasePrefix+name).Value(holder).Nx().PxMilliseconds(max(life.Milliseconds(), 1)).Build()).Error()
	return err == nil, failed(err)
}

// Renew lets a lease last for longer, and reports whether the holder still has it.
func (s *Store) Renew(ctx context.Context, name, holder string, life time.Duration) (bool, error) {
	return s.held(ctx, renewScript, name, holder, strconv.FormatInt(max(life.Milliseconds(), 1), 10))
}

// Release gives a lease back, and reports whether the holder still had it.
func (s *Store) Release(ctx context.Context, name, holder string) (bool, error) {
	return s.held(ctx, releaseScript, name, holder)
}

func (s *Store) held(ctx context.Context, script, name string, args ...string) (bool, error) {
	c, err := s.ask()
	if err != nil {
		return false, failed(err)
	}
	n, err := c.Do(ctx, c.B().Eval().Script(script).Numkeys(1).Key(leasePrefix+name).Arg(args...).Build()).AsInt64()
	return n == 1, failed(err)
}
