package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"headworks/internal/api/admin"
	"headworks/internal/config"
	"headworks/internal/fault"
	"headworks/internal/identity"
	"headworks/internal/meter"
	"headworks/internal/store/sqlite"
	"headworks/internal/tenant"
)

// keyring brings the keys of the file and those of the store together in the
// memory that requests are resolved from.
type keyring struct {
	resolver *identity.Resolver
	store    *sqlite.Store
	pepper   *identity.Pepper
	token    identity.AdminToken
	ledger   *meter.Ledger
	local    tenant.Secret // empty: none

	mu      sync.Mutex // guards all below, and keeps swaps in order
	config  *config.Config
	tiers   map[string]tenant.Tier
	pinned  []identity.Entry
	version int64
	known   int        // keys in memory
	bound   [][]string // regions that requests of some keys stay in, each set once
}

func newKeyring(s *sqlite.Store, p *identity.Pepper, t identity.AdminToken, l *meter.Ledger, local tenant.Secret) *keyring {
	return &keyring{resolver: identity.NewResolver(p), store: s, pepper: p, token: t, ledger: l, local: local}
}

func (k *keyring) none() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.known == 0
}

func (k *keyring) isAdmin(presented string) bool { return k.token.Check([]byte(presented)) }

// pin takes the keys and tiers of a configuration.
func (k *keyring) pin(c *config.Config) error {
	tiers := map[string]tenant.Tier{}
	for name, t := range c.Tiers {
		tiers[name] = tier(name, t)
	}
	var pinned []identity.Entry
	for _, key := range c.Keys {
		pinned = append(pinned, identity.Entry{
			Digest: k.pepper.Digest([]byte(key.Secret.Reveal())),
			Caller: tenant.Caller{
				KeyID: "file:" + key.Name, Key: key.Name, Tenant: key.Tenant, Project: key.Project,
				Tier: tierOf(tiers, key.Tier), Models: key.Models, Budget: key.Budget, Expires: key.Expires,
				Residency: residency(c, key.Tenant, key.Tier, key.Residency), Share: share(c, key.Tenant),
			},
		})
		at := key.At()
		last := &pinned[len(pinned)-1].Caller
		last.Region, last.Zone = at.Region, at.Zone
	}
	if local := k.local.Reveal(); local != "" {
		pinned = append(pinned, identity.Entry{
			Digest: k.pepper.Digest([]byte(local)),
			Caller: tenant.Caller{KeyID: "local", Key: "local", Tenant: "default", Tier: tierOf(tiers, ""), Residency: residency(c, "default", "", nil), Share: share(c, "default")},
		})
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	oldTiers, oldPinned, oldConfig := k.tiers, k.pinned, k.config
	k.tiers, k.pinned, k.config = tiers, pinned, c
	if err := k.swap(context.Background()); err != nil {
		k.tiers, k.pinned, k.config = oldTiers, oldPinned, oldConfig
		return err
	}
	return nil
}

// residency returns where the requests of a key may go.
func residency(c *config.Config, tenantName, tier string, own []string) tenant.Residency {
	regions, _ := c.Residency(tenantName, tier, own)
	return tenant.Residency{Bound: regions != nil, Regions: regions}
}

func tierOf(tiers map[string]tenant.Tier, name string) tenant.Tier {
	if t, ok := tiers[name]; ok {
		return t
	}
	return tenant.Tier{Name: name, Class: tenant.Standard}
}

// swap reads the store and replaces the keys in memory.
func (k *keyring) swap(ctx context.Context) error {
	version, err := k.store.Version(ctx)
	if err != nil {
		return err
	}
	stored, err := k.store.ListKeys(ctx)
	if err != nil {
		return err
	}
	entries := slices.Clone(k.pinned)
	for _, s := range stored {
		if !s.Revoked.IsZero() || s.Pepper != k.pepper.ID() || len(s.Digest) != len(identity.Digest{}) {
			continue
		}
		entries = append(entries, identity.Entry{
			Digest: identity.Digest(s.Digest),
			Caller: tenant.Caller{
				KeyID: s.ID, Key: s.Name, Tenant: s.Tenant, Project: s.Project,
				Tier: tierOf(k.tiers, s.Tier), Models: s.Models, Budget: s.Budget, Expires: s.Expires,
				Residency: residency(k.config, s.Tenant, s.Tier, nil), Share: share(k.config, s.Tenant),
			},
		})
	}
	if err := k.resolver.Swap(entries); err != nil {
		return err
	}
	k.version, k.known = version, len(entries)
	k.bound = nil
	for i := range entries {
		r := &entries[i].Caller.Residency
		if r.Bound && !slices.ContainsFunc(k.bound, func(b []string) bool { return slices.Equal(b, r.Regions) }) {
			k.bound = append(k.bound, r.Regions)
		}
	}
	return nil
}

// bounds returns the sets of regions that requests of some keys stay in.
func (k *keyring) bounds() [][]string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.bound
}

// look is how often the store is asked whether another process changed a key.
const look = time.Second

// run takes in what other processes change, until ctx ends.
func (k *keyring) run(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := k.refresh(ctx)
		if failing != (err != nil) && ctx.Err() == nil {
			failing = err != nil
			if failing {
				log.Error("keys cannot be read; those in memory stay valid", "cause", err.Error())
			} else {
				log.Info("keys can be read again")
			}
		}
	}
}

func (k *keyring) refresh(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	version, err := k.store.Version(ctx)
	if err != nil || version == k.version {
		return err
	}
	return k.swap(ctx)
}

// maxName bounds the names that a key brings into records, in bytes.
const maxName = 64

// wrong says what keeps a key from being made; empty if nothing does.
func (k *keyring) wrong(n *admin.NewKey, now time.Time) string {
	printable := func(s string) bool {
		return len(s) <= maxName && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
	}
	switch _, tier := k.tiers[n.Tier]; {
	case n.Name == "" || !printable(n.Name):
		return "a key needs a name of 1 to 64 bytes, all of them printable"
	case !printable(n.Tenant) || !printable(n.Project):
		return "a tenant and a project have names of up to 64 bytes, all of them printable"
	case n.Tier != "" && !tier:
		return "no such tier; tiers are named in the configuration file"
	case n.Models != nil && len(n.Models) == 0:
		return "an empty list of models would allow nothing; leave models out to allow everything"
	case !n.Expires.IsZero() && !n.Expires.After(now):
		return "the key expires in the past"
	}
	for _, m := range n.Models {
		if m == "" || strings.Contains(strings.TrimSuffix(m, "*"), "*") {
			return "a model is a name, or the beginning of names with a * at its end"
		}
	}
	return ""
}

// Create implements admin.Keys.
func (k *keyring) Create(ctx context.Context, n admin.NewKey) (admin.CreatedKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if words := k.wrong(&n, time.Now()); words != "" {
		return admin.CreatedKey{}, fault.New(fault.InvalidRequest, words)
	}
	for _, p := range k.pinned {
		if p.Caller.Key == n.Name {
			return admin.CreatedKey{}, fault.New(fault.InvalidRequest, "a key of that name is pinned in the configuration file")
		}
	}
	made, err := identity.NewKey("")
	if err != nil {
		return admin.CreatedKey{}, err
	}
	digest := k.pepper.Digest([]byte(made.Secret.Reveal()))
	s := sqlite.Key{
		ID: made.ID, Name: n.Name, Digest: digest[:], Pepper: k.pepper.ID(), Tenant: n.Tenant, Project: n.Project,
		Tier: n.Tier, Models: n.Models, Created: time.Now().UTC().Truncate(time.Microsecond), Expires: n.Expires,
	}
	if s.Tenant == "" {
		s.Tenant = "default"
	}
	if err := k.store.CreateKey(ctx, s); err != nil {
		if errors.Is(err, sqlite.ErrTaken) {
			return admin.CreatedKey{}, fault.Wrap(fault.InvalidRequest, "there is a key of that name already; revoke it or choose another name", err)
		}
		return admin.CreatedKey{}, err
	}
	if err := k.swap(ctx); err != nil {
		return admin.CreatedKey{}, err
	}
	return admin.CreatedKey{Key: shown(s), Secret: made.Secret.Reveal()}, nil
}

// List implements admin.Keys.
func (k *keyring) List(ctx context.Context) ([]admin.Key, error) {
	stored, err := k.store.ListKeys(ctx)
	if err != nil {
		return nil, err
	}
	used := map[string]meter.Total{}
	for _, a := range k.ledger.Accounts(time.Time{}) {
		used[a.KeyID] = a.Total
	}
	list := []admin.Key{}
	add := func(s admin.Key) {
		u := used[s.ID]
		s.Requests, s.Input, s.Output, s.Cost = u.Requests, u.Input, u.Output, u.Cost
		list = append(list, s)
	}
	k.mu.Lock()
	pinned := k.pinned
	k.mu.Unlock()
	for _, p := range pinned {
		c := p.Caller
		add(admin.Key{
			ID: c.KeyID, Name: c.Key, Tenant: c.Tenant, Project: c.Project, Tier: c.Tier.Name,
			Models: c.Models, Expires: c.Expires, Pinned: true,
		})
	}
	for _, s := range stored {
		add(shown(s))
	}
	return list, nil
}

// ids returns the ids of the keys of that id, or of that name, the revoked ones too.
func (k *keyring) ids(ctx context.Context, idOrName string) (ids []string, err error) {
	all, err := k.List(ctx)
	for _, key := range all {
		if key.ID == idOrName || key.Name == idOrName {
			ids = append(ids, key.ID)
		}
	}
	return ids, err
}

// Revoke implements admin.Keys.
func (k *keyring) Revoke(ctx context.Context, idOrName string) (admin.Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.pinned {
		if p.Caller.KeyID == idOrName || p.Caller.Key == idOrName {
			return admin.Key{}, fault.New(fault.InvalidRequest, "this key is pinned in the configuration file or the data folder; take it out there")
		}
	}
	stored, err := k.store.ListKeys(ctx)
	if err != nil {
		return admin.Key{}, err
	}
	for _, s := range stored {
		if s.ID != idOrName && s.Name != idOrName || !s.Revoked.IsZero() {
			continue
		}
		s.Revoked = time.Now().UTC()
		if err := k.store.RevokeKey(ctx, s.ID, s.Revoked); err != nil {
			return admin.Key{}, err
		}
		return shown(s), k.swap(ctx)
	}
	return admin.Key{}, fault.New(fault.NotFound, "no live key of that id or name; headworks keys list shows them")
}

func shown(s sqlite.Key) admin.Key {
	return admin.Key{
		ID: s.ID, Name: s.Name, Tenant: s.Tenant, Project: s.Project, Tier: s.Tier, Models: s.Models,
		Created: s.Created, Expires: s.Expires, Revoked: s.Revoked,
	}
}
