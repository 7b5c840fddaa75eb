package app

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"

	"headworks/internal/api/admin"
	"headworks/internal/cache"
	"headworks/internal/config"
	"headworks/internal/fault"
	"headworks/internal/identity"
	"headworks/internal/store/redis"
	"headworks/internal/store/sqlite"
	"headworks/internal/tenant"
	"headworks/internal/wire"
)

var (
	_ cache.Epochs = (*sqlite.Store)(nil)
	_ cache.Shared = (*redis.Store)(nil)
)

// cacheSecretFile is where the secret of the cache is kept, unless the configuration
// has one.
const cacheSecretFile = "cache.secret"

// openCache makes the cache that everything in this process shares.
func (a *App) openCache(c *config.Config) (err error) {
	secret := c.Cache.Secret
	if secret.Empty() {
		if secret, err = identity.OpenSecret(a.data, cacheSecretFile, "cache"); err != nil {
			return err
		}
	}
	o := cache.Options{Memory: int64(c.Cache.Memory), Secret: secret, Epochs: a.store, Encrypt: c.Cache.Encrypt == "on", Log: a.log}
	if at, ok := c.SharedStore(); ok {
		d, err := wire.NewDialer([]string{at.Addr}, 0)
		if err != nil {
			return fmt.Errorf("shared: %w", err)
		}
		ro := redis.Options{Addr: at.Addr, User: at.User, Password: c.SharedSecret, DB: at.DB, Dial: d.Dial}
		if at.TLS {
			host, _, _ := net.SplitHostPort(at.Addr)
			ro.TLS = &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
		}
		a.shared = redis.New(ro)
		o.Shared = a.shared
	}
	if a.cache, err = cache.New(context.Background(), o); err != nil {
		return fmt.Errorf("the cache: %w", err)
	}
	return nil
}

// servedFile is where the data folder has how models were last served.
const servedFile = "served.json"

// served lets go of the answers of models that are served otherwise than when they were
// made, in this process or the one before it. A request that began before reads its
// epochs before its world, so what it keeps is gone too.
func (a *App) served(c *config.Config) {
	was := map[string]string{}
	if err := a.recall(servedFile, &was); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.log.Warn("how models were served cannot be read; their answers that are kept count no more", "cause", err.Error())
	}
	is, moved := waysOf(c), false
	for name, way := range is {
		if was[name] == way {
			continue
		}
		moved = true
		if err := a.cache.PurgeModel(name); err != nil && !errors.Is(err, cache.ErrUntold) {
			a.log.Warn("after a restart, a model's answers of before may be given", "model", name, "cause", err.Error())
		}
	}
	if !moved && len(was) == len(is) {
		return
	}
	if err := a.keep(servedFile, is); err != nil {
		a.log.Warn("how models are served cannot be written down; after a restart their answers that are kept count no more", "cause", err.Error())
	}
}

// waysOf returns a digest for each model of how it is served, and for each upstream,
// whose models callers may name themselves.
func waysOf(c *config.Config) map[string]string {
	ways := map[string]string{}
	digest := func(of ...any) string {
		h := sha256.New()
		for _, v := range of {
			b, err := json.Marshal(v) // credentials are redacted
			if err != nil {
				b = fmt.Append(nil, v)
			}
			h.Write(append(b, 0))
		}
		return hex.EncodeToString(h.Sum(nil)[:16])
	}
	for name, u := range c.Upstreams {
		ways[name] = digest(u)
	}
	for name, m := range c.Models {
		all := []any{m}
		for _, t := range m.Targets {
			all = append(all, c.Upstreams[t.Upstream])
		}
		ways[name] = digest(all...)
	}
	return ways
}

// share returns how far what is cached for a tenant may be used.
func share(c *config.Config, tenantName string) tenant.Reach {
	r, _ := tenant.ParseReach(c.Tenants[tenantName].Share)
	return r
}

// caching shows operators what is cached, and lets them let go of it.
type caching struct{ app *App }

// CacheReport implements admin.Caching.
func (x caching) CacheReport() admin.CacheReport {
	r := x.app.cache.Report()
	out := admin.CacheReport{Memory: r.Memory, Since: x.app.since, Semantic: x.app.semantics()}
	p := x.app.gateway.Prompts()
	out.Prompt = admin.CachePrompts{Answers: p.Answers, Hits: p.Hits, Read: p.Read, Written: p.Written, CostUSD: float64(p.Saved) / 1e6}
	if p.Answers > 0 {
		out.Prompt.Ratio = float64(p.Hits) / float64(p.Answers)
	}
	for l := range cache.Layers {
		n := &r.Layers[l]
		row := admin.CacheLayer{
			Layer: l.String(), Entries: n.Entries, Bytes: n.Bytes, Hits: n.Hits, Misses: n.Misses, Shared: n.Shared,
			Kept: n.Puts, Evicted: n.Evictions, Expired: n.Expired, Dead: n.Dead, Refused: n.Refused,
			Tokens: n.Tokens, CostUSD: float64(n.Cost) / 1e6, Seconds: n.Saved.Seconds(),
		}
		if asked := n.Hits + n.Misses; asked > 0 {
			row.Ratio = float64(n.Hits) / float64(asked)
		}
		out.Layers = append(out.Layers, row)
	}
	if s := r.Shared; s != nil {
		out.Shared = &admin.CacheShared{
			Looks: s.Loads, Failures: s.Failures, Tampered: s.Tampered, Dropped: s.Dropped, Waiting: s.Waiting, Resting: s.Resting,
		}
	}
	return out
}

// Purge implements admin.Caching.
func (x caching) Purge(ctx context.Context, p admin.Purge) (admin.Purged, error) {
	c, a := x.app.cache, x.app
	var what string
	var err error
	switch {
	case p.All:
		what, err = "everything", c.PurgeAll()
		a.alike.Again("", "")
	case p.Model != "":
		what = "model " + p.Model
		err = c.PurgeModel(p.Model)
		a.alike.Again("", p.Model)
	case p.Scope != "":
		what = "scope " + p.Scope
		err = c.PurgeScope(p.Scope)
		a.alike.Again(p.Scope, "")
	default:
		ids, lost := a.keys.ids(ctx, p.Key)
		if lost != nil {
			return admin.Purged{}, lost
		}
		if len(ids) == 0 {
			return admin.Purged{}, fault.New(fault.NotFound, "there is no key of that id or name; headworks keys list shows them")
		}
		what = "key " + p.Key
		for _, id := range ids {
			err = errors.Join(err, c.PurgeKey(id))
		}
	}
	done := admin.Purged{What: what}
	switch {
	case errors.Is(err, cache.ErrUntold):
		done.Untold = true
	case err != nil:
		return admin.Purged{}, fault.Wrap(fault.Internal, "it is purged here, and may be back after a restart: it could not be written down", err)
	}
	a.log.Info("the cache is purged", "what", what)
	return done, nil
}
