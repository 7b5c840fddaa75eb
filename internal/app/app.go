// Package app builds the whole from a configuration, owns every goroutine that
// outlives a request, and takes it down in a written order.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"headworks/docs"
	"headworks/internal/admit"
	"headworks/internal/api"
	"headworks/internal/api/admin"
	"headworks/internal/api/anthropic"
	"headworks/internal/api/gemini"
	vectorstores "headworks/internal/api/knowledge"
	"headworks/internal/api/ollama"
	"headworks/internal/api/openai"
	"headworks/internal/api/responses"
	"headworks/internal/bridge"
	"headworks/internal/cache"
	"headworks/internal/config"
	"headworks/internal/discover"
	"headworks/internal/engine"
	"headworks/internal/engine/extract"
	"headworks/internal/facts"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/gateway"
	"headworks/internal/identity"
	"headworks/internal/inference"
	"headworks/internal/journal"
	"headworks/internal/meter"
	"headworks/internal/monitor"
	"headworks/internal/retrieve"
	"headworks/internal/scrape"
	"headworks/internal/store/redis"
	"headworks/internal/store/sqlite"
	"headworks/internal/telemetry"
	"headworks/internal/tenant"
	"headworks/internal/wire"
)

// storeFile is what must survive, in the data folder.
const storeFile = "headworks.db"

// Version is what this program calls itself.
const Version = "0.1.0"

// Options are what a process is started with.
type Options struct {
	Config *config.Config
	// Read reads the configuration again; nil where there is no file.
	Read func() (*config.Config, *config.Report)
	// File is watched for changes; empty for none.
	File string
	// Seen is what File was before it was read for Config.
	Seen os.FileInfo
	// LocalKey makes a key in the data folder for whoever may read that.
	LocalKey bool
	// Finder stands in for finders as the configuration has them; nil for none.
	Finder func(config.Discover) discover.Finder
	Log    io.Writer // JSON lines, without secrets
}

// App is the whole program, built and listening. Run serves until its context
// ends; Close gives up an App that is not run.
type App struct {
	options Options
	log     *slog.Logger
	level   slog.LevelVar
	hidden  telemetry.Redactor
	since   time.Time

	data      *os.Root
	store     *sqlite.Store
	facts     *facts.Store
	ledger    *meter.Ledger
	metrics   *telemetry.Metrics
	requests  *telemetry.RequestLog
	keys      *keyring
	answers   *shelf
	alike     *gateway.Resemblances
	library   *library
	cache     *cache.Cache
	shared    *redis.Store // nil where nothing is shared
	vigil     vigil
	gateway   *gateway.Gateway
	room      *fleetRoom
	finding   *finding
	trials    *trials
	scraper   *scrape.Scraper
	renewals  *gateway.Renewals
	shadows   *shadows
	drills    *drills
	health    *api.Health
	server    *wire.Server
	entrance  *api.Front
	bridge    *bridge.Bridge
	cert      *certificate // nil where the API is not encrypted
	adminCert *certificate // the same of the admin listener
	front     net.Listener
	back      net.Listener
	company   *company
	names     *names // nil where nobody asks
	monitor   *monitor.Monitor
	alarms    *alarms
	dropped   uint64                 // records that an alert told of
	notTaken  atomic.Pointer[string] // why the configuration file is not in use; nil: it is
	local     tenant.Secret
	found     Found

	limits  atomic.Pointer[api.Limits]
	reload  sync.Mutex // guards config, seen, restart, room
	config  *config.Config
	seen    os.FileInfo   // of the file, before it was last read
	restart []string      // fields that wait for one
	refused atomic.Uint64 // configurations that were not taken over
	noted   bool          // where this instance is, in the data folder
	drain   chan struct{}
	drained sync.Once
}

// The fits of what is built on lower floors into what is asked for above them.
var (
	_ gateway.Ledger  = (*meter.Ledger)(nil)
	_ api.Keys        = (*identity.Resolver)(nil)
	_ admin.Records   = (*facts.Store)(nil)
	_ admin.Keys      = (*keyring)(nil)
	_ responses.Store = (*shelf)(nil)
	_ admin.Process   = (*App)(nil)
	_ admin.Caching   = caching{}
)

// New builds an App and opens its listeners. Nothing is sent anywhere.
func New(o Options) (*App, error) {
	a := &App{options: o, since: time.Now(), config: o.Config, seen: o.Seen, drain: make(chan struct{}), health: &api.Health{Version: Version}}
	a.log = telemetry.NewLog(o.Log, &a.level, &a.hidden)
	if err := a.build(); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

func (a *App) build() error {
	if err := a.listen(); err != nil {
		return err
	}
	if err := a.open(); err != nil {
		return err
	}
	alarms, err := newAlarms(a)
	if err != nil {
		return err
	}
	a.alarms = alarms
	a.room = newFleetRoom(finder())
	a.room.knowledge = &shelves{docs: a.room.documents, library: a.library.knowledge}
	a.room.vouch = func(c *engine.Call, cell, target string, body []byte) (string, string, error) {
		return a.company.vouch(c, cell, target, body)
	}
	policy := flow.NewPolicy(admit.Limits{})
	policy.Rules.Seed = uint64(a.since.UnixNano())
	a.gateway = gateway.New(policy, a.ledger, a.facts.Put, a.failed)
	a.renewals = a.gateway.Reuse(a.cache)
	if a.shared != nil {
		a.gateway.Agree(a.shared)
	}
	a.openResemblances()
	a.shadows = &shadows{app: a}
	a.shadows.copies = a.gateway.Shadow(a.shadows)
	a.health.Serves = a.serves
	a.finding = newFinding(a.log, a.options.Finder, a.refind)
	a.room.found = a.finding.replicas
	a.room.idle = func(id fleet.ReplicaID) (idle bool) {
		a.gateway.Policy(func(p *flow.Policy) { idle = p.Load(id) == flow.Load{} })
		return idle
	}
	a.scraper = scrape.New(a.gateway.Policy, a.log)
	if err := a.meet(); err != nil {
		return err
	}
	a.drills = &drills{app: a}
	a.drills.restore()
	if err := a.nameCells(); err != nil {
		return err
	}
	if err := a.use(a.config); err != nil {
		return err
	}
	a.trials = &trials{app: a}
	a.trials.restore()
	a.entrance = api.NewFront(a.gateway, a.keys.resolver, a.health, func() api.Limits { return *a.limits.Load() }, a.routes()...)
	a.entrance.Cells = a.company
	a.server = wire.NewServer(a.entrance.Serve, wire.Limits{})
	a.server.Refuse = a.entrance.Misread
	a.server.Panicked = func(cause any, stack []byte) {
		a.log.Error("a request panicked", "cause", defect(cause), "stack", string(stack))
	}
	a.bridge = bridge.New(a.server, a.warnings())
	a.server.Other = a.bridge.Serve
	return nil
}

// warnings is the log as net/http wants it.
func (a *App) warnings() *log.Logger { return slog.NewLogLogger(a.log.Handler(), slog.LevelWarn) }

// routes returns the paths of all surfaces.
func (a *App) routes() [][]api.Route {
	return [][]api.Route{
		openai.Routes(), anthropic.Routes(), gemini.Routes(), ollama.Routes(), responses.Routes(a.answers, a.answers.keeps),
		vectorstores.Routes(a.library.knowledge, func() int64 { return a.limits.Load().Body }),
	}
}

// failed writes down the cause of a fault that is the operator's to mend. The record
// of the request, under the same id, tells the rest.
func (a *App) failed(id inference.ID, f *fault.Error) {
	cause := f.Words
	if f.Cause != nil {
		cause = f.Cause.Error()
	}
	a.log.Warn("a request failed", "request_id", id.String(), "fault", f.Kind.String(), "cause", cause)
}

// defect says what a panic was about. The runtime's own words hold no content; those
// of other panics may, so only their type is told.
func defect(cause any) string {
	if err, ok := cause.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("a %T", cause)
}

// finder lets the engine that quotes documents ask an index of the documentation
// inside the binary. It is built with the first question, not with the process.
func finder() extract.Find {
	index := sync.OnceValues(func() (*retrieve.Index, error) { return retrieve.New(docs.Files) })
	return func(question string, n int) []extract.Passage {
		x, err := index()
		if err != nil { // the files are part of the program: a test reads them all
			return nil
		}
		hits := x.Find(question, n)
		passages := make([]extract.Passage, len(hits))
		for i, h := range hits {
			passages[i] = extract.Passage{Path: "docs/" + h.Path, Heading: h.Heading, Text: h.Text, Start: h.Start, Score: h.Score, Cover: h.Cover}
		}
		return passages
	}
}

func (a *App) listen() (err error) {
	if a.front, err = listen(a.config.Listen, "--listen"); err != nil {
		return err
	}
	if a.config.TLS.On() {
		if a.cert, err = newCertificate("tls", a.config.TLS, a.log); err != nil {
			return err
		}
		a.front = a.cert.listener(a.front)
	}
	if a.back, err = listen(a.config.Admin.Listen, "--admin-listen"); err != nil {
		return err
	}
	if a.config.Admin.TLS.On() {
		if a.adminCert, err = newCertificate("admin.tls", a.config.Admin.TLS, a.log); err != nil {
			return err
		}
		a.back = a.adminCert.listener(a.back)
	}
	return nil
}

func listen(addr, setting string) (net.Listener, error) {
	var c net.ListenConfig
	ln, err := c.Listen(context.Background(), "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is taken by another process%s; choose another address with %s, or 127.0.0.1:0 for any free port", addr, holder(addr), setting)
	}
	return ln, err
}

// open opens what is kept in the data folder.
func (a *App) open() error {
	dir := a.config.Data
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("the data folder: %w", err)
	}
	var err error
	if a.data, err = os.OpenRoot(dir); err != nil {
		return fmt.Errorf("the data folder: %w", err)
	}
	pepper, err := identity.OpenPepper(a.data)
	if err != nil {
		return err
	}
	token, err := identity.OpenAdminToken(a.data)
	if err != nil {
		return err
	}
	if a.options.LocalKey {
		if a.local, err = identity.OpenSecret(a.data, identity.LocalKeyFile, "local"); err != nil {
			return err
		}
	}
	if a.store, err = sqlite.Open(context.Background(), filepath.Join(dir, storeFile)); err != nil {
		return err
	}
	ledger, repairs, err := meter.Open(filepath.Join(dir, "ledger"), meter.Options{Log: a.log})
	if errors.Is(err, journal.ErrInUse) {
		return fmt.Errorf("the data folder %s is in use by another instance: headworks status --data %s shows it, --data chooses another folder", dir, dir)
	}
	if err != nil {
		return fmt.Errorf("the ledger: %w", err)
	}
	a.ledger = ledger
	for _, r := range repairs {
		a.log.Warn("the ledger was repaired", "repair", r.String())
	}
	if err := a.openCache(a.config); err != nil {
		return err
	}
	changed := func(collection string) error {
		if err := a.cache.Bump(cache.Knowledge, collection); !errors.Is(err, cache.ErrUntold) {
			return err
		}
		return nil // others hear of it once the shared store answers, and the cache says so
	}
	if a.library, err = openLibrary(context.Background(), dir, a.config.Knowledge, upstreams{app: a}, upstreams{app: a}, changed, a.log); err != nil {
		return inUse(dir, err)
	}
	a.library.follows = true
	a.library.knowledge.Keep(results{a.cache})
	a.keys = newKeyring(a.store, pepper, token, a.ledger, a.local)
	a.answers = &shelf{store: a.store, log: a.log}
	a.metrics = telemetry.New(telemetry.Coarse, a.sources())
	a.requests = telemetry.NewRequestLog(a.log, telemetry.Faults)
	a.monitor = monitor.New(monitor.Settings{}, a.conditions)
	a.facts, repairs, err = facts.Open(filepath.Join(dir, "facts", "wal"), facts.Options{
		Observers: []facts.Observer{a.metrics, a.requests, a.monitor, &a.vigil}, Log: a.log,
	})
	if err != nil {
		return fmt.Errorf("the records: %w", err)
	}
	for _, r := range repairs {
		a.log.Warn("the records were repaired", "repair", r.String())
	}
	before, _ := a.facts.Recent(recalls, grounds) // what cannot be read is told of by whoever asks for it
	a.vigil.recall(before)
	return nil
}

// use takes a configuration into use: all of it, or nothing.
func (a *App) use(c *config.Config) error {
	world, take, drop, err := a.room.build(c)
	if err != nil {
		return err
	}
	if err := a.keys.pin(c); err != nil {
		drop()
		return err
	}
	tell, err := sinks(c)
	if err != nil {
		drop()
		return err
	}
	if err := a.scraper.Use(watched(c, world.Fleet)); err != nil {
		drop()
		return err
	}
	a.answers.bound(c)
	a.cache.Limit(int64(c.Cache.Memory))
	a.limits.Store(&api.Limits{Body: int64(c.Limits.Body), Compress: int(c.Limits.Compress), Origins: c.CORS.Origins})
	a.gateway.Policy(func(p *flow.Policy) {
		p.Gate.Limits = admit.Limits{InFlight: c.Limits.InFlight, Queue: c.Limits.Queue}
		p.Rules.QueueWait = c.Limits.QueueWait
	})
	a.listenTo(c)
	a.monitor.Use(a.objectives(c))
	a.alarms.post.Use(tell)
	a.publish(world, take)
	a.served(c)
	a.company.use(c)
	a.names.use(c)
	a.config = c
	a.finding.follow(c)
	a.health.Ready(world.Config)
	return nil
}

// publish lets requests meet a world, and forgets what no longer holds.
func (a *App) publish(world *gateway.World, take func() moves) {
	a.gateway.Publish(world)
	m, now := take(), time.Now()
	a.gateway.Policy(func(p *flow.Policy) {
		for _, id := range m.rebuilt {
			p.Health.Forget(id, now)
		}
		for _, id := range m.joined {
			p.Health.Join(id, now)
		}
		a.drills.apply(world, p, now)
	})
}

// refind takes the replicas that were found into use. The configuration and all else
// stay as they are.
func (a *App) refind() {
	a.reload.Lock()
	defer a.reload.Unlock()
	world, take, _, err := a.room.build(a.config)
	if err != nil { // what is asked for was checked, and replicas that cannot be asked are left out
		a.log.Error("the replicas that were found are not taken over", "cause", err.Error())
		return
	}
	if err := a.scraper.Use(watched(a.config, world.Fleet)); err != nil {
		a.log.Error("the replicas that were found are not asked for their load", "cause", err.Error())
	}
	a.publish(world, take)
}

// listenTo sets what the log says, and what it never may.
func (a *App) listenTo(c *config.Config) {
	a.requests.Choose(map[string]telemetry.Requests{
		config.LogFaults: telemetry.Faults, config.LogAll: telemetry.All, config.LogOff: telemetry.Off,
	}[c.Log.Requests])
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Log.Level)); err == nil { // the configuration was checked
		a.level.Set(level)
	}
	secrets := []tenant.Secret{a.local, a.keys.token.Secret, c.Peers.Secret, c.Knowledge.Postgres, c.Knowledge.WeaviateKey, c.Cache.Secret, c.SharedSecret}
	for _, k := range c.Keys {
		secrets = append(secrets, tenant.NewSecret(k.Secret.Reveal()))
	}
	for _, s := range c.Alerts.Sinks {
		secrets = append(secrets, s.URL, s.Key, s.Secret, s.Password)
	}
	for _, u := range c.Upstreams {
		for _, k := range u.Credentials() {
			secrets = append(secrets, tenant.NewSecret(k.Reveal()))
		}
	}
	a.hidden.Hide(secrets...)
}

// Close closes what New opened.
func (a *App) Close() {
	for _, ln := range []net.Listener{a.front, a.back} {
		if ln != nil {
			ln.Close()
		}
	}
	a.company.close()
	a.names.close()
	closing := func(what string, c interface{ Close() error }) {
		if err := c.Close(); err != nil {
			a.log.Error("closing failed", "what", what, "cause", err.Error())
		}
	}
	if a.noted {
		a.removeNote() // first: once the folder is let go, the note may be another instance's
	}
	if a.facts != nil {
		closing("records", a.facts)
	}
	if a.shared != nil {
		a.shared.Close()
	}
	if a.ledger != nil {
		closing("ledger", a.ledger)
	}
	if a.library != nil {
		closing("collections", a.library)
	}
	if a.store != nil {
		closing("store", a.store)
	}
	if a.data != nil {
		closing("data folder", a.data)
	}
}

// BaseURL is what OpenAI's clients on this machine are given.
func (a *App) BaseURL() string {
	return scheme(a.cert) + reached(a.front.Addr()) + "/v1"
}

func scheme(c *certificate) string {
	if c != nil {
		return "https://"
	}
	return "http://"
}

// AdminURL is where the admin API is, seen from this machine.
func (a *App) AdminURL() string { return scheme(a.adminCert) + reached(a.back.Addr()) }

// reached returns where a listener is reached from this machine: one that listens
// on all addresses has no URL that says so.
func reached(a net.Addr) string {
	to, err := netip.ParseAddrPort(a.String())
	if err != nil || !to.Addr().IsUnspecified() {
		return a.String()
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), to.Port()).String()
}

// NoKeys reports whether there is no key that a caller could use.
func (a *App) NoKeys() bool { return a.keys.none() }

// LocalKey returns the key in the data folder; empty unless asked for.
func (a *App) LocalKey() string { return a.local.Reveal() }

// Config returns the configuration that is in use.
func (a *App) Config() *config.Config {
	a.reload.Lock()
	defer a.reload.Unlock()
	return a.config
}

// Drain begins the end, as the first signal does.
func (a *App) Drain() { a.drained.Do(func() { close(a.drain) }) }

// inBand is how long the last answers have to say that this process goes away.
const inBand = 5 * time.Second

// Run serves until ctx ends or Drain is called, then takes everything down in
// this order:
//
//  1. readiness says no, while requests are still accepted, for drain_delay; not
//     at all where the listener failed
//  2. no more connections; answers finish, for drain_timeout at most
//  3. the rest end with an honest error in their dialect
//  4. the admin listener closes, the background loops end
//  5. records and ledger reach the disk, stores close
//
// ready is called once requests are answered.
func (a *App) Run(ctx context.Context, ready func()) error {
	defer a.Close()
	loops, stopLoops := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLoops()
	var running sync.WaitGroup
	failed := make(chan error, 8)
	start := func(name string, f func() error) {
		running.Go(func() {
			if err := f(); err != nil {
				failed <- fmt.Errorf("%s: %w", name, err)
			}
		})
	}
	start("records", func() error { a.facts.Run(loops); return nil })
	start("ledger", func() error { return a.ledger.Run(loops) })
	start("keys", func() error { a.keys.run(loops, a.log); return nil })
	start("budgets", func() error { a.budgets(loops); return nil })
	start("responses", func() error { a.answers.run(loops); return nil })
	start("collections", func() error { a.library.run(loops); return nil })
	start("cache", func() error { a.cache.Run(loops); return nil })
	start("similar answers", func() error { a.keepResemblances(loops); return nil })
	start("canaries", func() error { a.trials.run(loops); return nil })
	start("alerts", func() error { a.alarms.run(loops); return nil })
	start("renewals", func() error { <-loops.Done(); a.renewals.End(); return nil })
	start("shadows", func() error { <-loops.Done(); a.shadows.copies.End(); return nil })
	start("upkeep", func() error { a.upkeep(loops); return nil })
	start("finding replicas", func() error { a.finding.run(loops); return nil })
	start("engines' metrics", func() error { a.scraper.Run(loops); return nil })
	if a.options.File != "" {
		start("watching the configuration", func() error { a.watch(loops); return nil })
	}
	operators := &http.Server{
		Handler: (&admin.Surface{
			Health: a.health, Records: a.facts, Keys: a.keys, Process: a, Canaries: a.trials, Drains: a.drills, Cache: caching{a}, Alerts: a.alarms, Incidents: a.alarms, Retrieval: a.Retrieval, Library: a.library.surface(),
			Metrics: a.metrics.Handler(), Token: a.keys.isAdmin, Log: a.log,
		}).Handler(),
		ErrorLog:          a.warnings(),
		ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, ReadTimeout: 30 * time.Second,
	}
	start("the admin listener", func() error {
		if err := operators.Serve(a.back); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	a.finding.first(ctx, firstLook)
	var deaf atomic.Bool // nobody can ask any more
	start("the listener", func() error {
		err := a.server.Serve(a.front)
		deaf.Store(err != nil)
		return err
	})
	start("HTTP/2", a.bridge.Run)
	start("peers", func() error { return a.company.run(loops) })
	start("DNS", func() error { return a.names.run(loops) })
	a.leaveNote()
	if ready != nil {
		ready()
	}

	var err error
	select {
	case <-ctx.Done():
	case <-a.drain:
	case err = <-failed:
		a.log.Error("going down", "cause", err.Error())
	}
	c := a.Config()
	a.health.Drain()
	a.log.Info("draining", "in_flight", a.server.InFlight(), "drain_delay", c.DrainDelay.String(), "drain_timeout", c.DrainTimeout.String())
	if !deaf.Load() {
		time.Sleep(c.DrainDelay)
	}
	patience, stop := context.WithTimeout(context.WithoutCancel(ctx), c.DrainTimeout)
	running.Go(func() { _ = a.bridge.Shutdown(patience) }) // what is left then is the server's to end
	if a.server.Drain(patience) != nil {
		a.log.Warn("answers did not finish in time", "in_flight", a.server.InFlight())
		a.server.Cancel(gateway.ErrDraining)
		last, stop := context.WithTimeout(context.WithoutCancel(ctx), inBand)
		_ = a.server.Drain(last) // whoever still does not read is cut by Close
		stop()
	}
	stop()
	a.server.Close()
	a.bridge.Close()
	// Whoever asked for the drain is told so first.
	answered, stop := context.WithTimeout(context.WithoutCancel(ctx), inBand)
	if operators.Shutdown(answered) != nil {
		operators.Close()
	}
	stop()
	stopLoops()
	running.Wait()
	return err
}

// leaveNote tells commands where this instance is.
func (a *App) leaveNote() {
	a.noted = true
	if err := a.keep(admin.InstanceFile, admin.Instance{BaseURL: a.BaseURL(), Admin: a.AdminURL(), AdminCert: a.adminCert.file(), PID: os.Getpid()}); err != nil {
		a.log.Warn("commands will not find this instance by its data folder", "cause", err.Error())
	}
}

func (a *App) removeNote() {
	if err := a.data.Remove(admin.InstanceFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		a.log.Warn("a stale note is left behind", "file", admin.InstanceFile, "cause", err.Error())
	}
}
