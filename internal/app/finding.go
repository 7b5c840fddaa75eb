package app

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"headworks/internal/config"
	"headworks/internal/discover"
	"headworks/internal/discover/dns"
	"headworks/internal/discover/kubernetes"
	"headworks/internal/discover/local"
)

const (
	// firstLook is how long a process that starts waits for the first answers before
	// it takes requests.
	firstLook = 3 * time.Second
	// calmly is the least time between two worlds that differ in their replicas: a
	// rollout changes many.
	calmly = 250 * time.Millisecond
)

// finding watches where the replicas of upstreams are.
type finding struct {
	log    *slog.Logger
	finder func(config.Discover) discover.Finder
	use    func() // takes what is known into use

	changed chan struct{} // something is to be taken into use; has room for one
	news    chan struct{} // for whoever waits until all is settled; has room for one
	running sync.WaitGroup

	mu      sync.Mutex // guards what follows
	ctx     context.Context
	watches map[string]*watch // by upstream
	changes int               // of what is known
	used    int               // of them, taken into use
}

// watch is what is known of one upstream's replicas.
type watch struct {
	of    config.Discover
	known discover.Known
	said  bool // it answered once, with replicas or not
	stop  context.CancelFunc
}

func newFinding(log *slog.Logger, finder func(config.Discover) discover.Finder, use func()) *finding {
	if finder == nil {
		finder = replicaFinder
	}
	return &finding{
		log: log, finder: finder, use: use, watches: map[string]*watch{},
		changed: make(chan struct{}, 1), news: make(chan struct{}, 1),
	}
}

// replicaFinder makes a finder as the configuration has it, which was checked.
func replicaFinder(d config.Discover) discover.Finder {
	form := discover.Form{Scheme: d.Scheme, Path: d.Path}
	switch {
	case d.DNS != "":
		host, port, _ := net.SplitHostPort(d.DNS)
		n, _ := strconv.ParseUint(port, 10, 16)
		return dns.New(dns.Options{Name: host, Port: uint16(n), Form: form, Every: d.Every}, net.DefaultResolver)
	case d.SRV != "":
		return dns.New(dns.Options{Name: d.SRV, Form: form, Every: d.Every}, net.DefaultResolver)
	case d.Kubernetes != nil:
		k := d.Kubernetes
		return kubernetes.New(kubernetes.Options{Service: k.Service, Namespace: k.Namespace, Port: string(k.Port), Kubeconfig: k.Kubeconfig, Form: form})
	}
	ports, _ := d.Ports()
	return local.New(ports, d.Every, local.Search{})
}

// follow watches what a configuration asks for, and no longer what it does not. What
// is asked for as before stays known.
func (f *finding) follow(c *config.Config) {
	f.mu.Lock()
	defer f.mu.Unlock()
	wanted := finds(c)
	for name, w := range f.watches {
		d := wanted[name]
		if d != nil && reflect.DeepEqual(*d, w.of) {
			continue
		}
		w.end()
		delete(f.watches, name)
		if d != nil { // what was known holds until there is another answer
			f.watches[name] = &watch{of: *d, known: discover.Known{Replicas: w.known.Replicas, Since: w.known.Since}}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if f.watches[name] == nil {
			f.watches[name] = &watch{of: *wanted[name]}
		}
	}
	f.start()
}

// finds returns what is to be found, by upstream.
func finds(c *config.Config) map[string]*config.Discover {
	all := map[string]*config.Discover{}
	for name, u := range c.Upstreams {
		if u.Discover != nil {
			all[name] = u.Discover
		}
	}
	for region, cell := range c.Cells {
		if cell.Discover != nil {
			all[cellUpstream(region)] = cell.Discover
		}
	}
	return all
}

func (w *watch) end() {
	if w.stop != nil {
		w.stop()
	}
}

// start starts the watches that do not run, once there is a context to run in.
func (f *finding) start() {
	if f.ctx == nil {
		return
	}
	for name, w := range f.watches {
		if w.stop != nil {
			continue
		}
		var ctx context.Context
		ctx, w.stop = context.WithCancel(f.ctx)
		f.running.Go(func() {
			f.finder(w.of).Watch(ctx, func(found []discover.Replica, err error) { f.learn(name, w, found, err) })
		})
	}
}

// run watches until ctx ends.
func (f *finding) run(ctx context.Context) {
	f.mu.Lock()
	f.ctx = ctx
	f.start()
	f.mu.Unlock()
	defer f.running.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.changed:
			f.mu.Lock()
			changes := f.changes
			f.mu.Unlock()
			f.use()
			f.mu.Lock()
			f.used = changes
			f.mu.Unlock()
			signal(f.news)
		}
		pause := time.NewTimer(calmly)
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

// learn takes an answer, and says in the log what it changes.
func (f *finding) learn(name string, w *watch, found []discover.Replica, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watches[name] != w {
		return // of a configuration that no longer holds
	}
	was := w.known
	changed := w.known.Learn(found, err, w.of.Most, time.Now())
	w.said = true
	defer signal(f.news)
	is := &w.known
	log := f.log.With("upstream", name, "by", w.of.By())
	if is.Why != was.Why {
		if is.Why != "" {
			args := []any{"cause", is.Why, "last_known", len(is.Replicas)}
			if err != nil {
				args = append(args, "detail", detail(err))
			}
			words := "the replicas could not be found; the last known ones stay"
			if len(is.Replicas) == 0 {
				words = "no replicas were found yet"
			}
			log.Warn(words, args...)
		} else {
			log.Info("the replicas are found again", "replicas", len(is.Replicas))
		}
	}
	if is.Left > was.Left {
		log.Warn("more replicas were found than count; raise discover.max_replicas, or split the upstream", "left_out", is.Left, "max_replicas", w.of.Most)
	}
	if is.Odd > was.Odd {
		log.Warn("some replicas that were found have no address that can be asked", "left_out", is.Odd)
	}
	if !changed {
		return
	}
	came, went := apart(was.Replicas, is.Replicas), apart(is.Replicas, was.Replicas)
	log.Info("the replicas changed", "replicas", len(is.Replicas), "came", came, "went", went)
	f.changes++
	signal(f.changed)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // somebody said so already
	}
}

// detail is the cause behind the words of an error.
func detail(err error) string {
	if cause, ok := err.(interface{ Unwrap() error }); ok && cause.Unwrap() != nil {
		return cause.Unwrap().Error()
	}
	return err.Error()
}

// shownReplicas bounds the replicas that a line of the log names.
const shownReplicas = 16

// apart returns the URLs of those that are in b and not in a.
func apart(a, b []discover.Replica) []string {
	urls := []string{}
	for _, r := range b {
		if !slices.ContainsFunc(a, func(other discover.Replica) bool { return other.URL == r.URL }) && len(urls) < shownReplicas {
			urls = append(urls, r.URL)
		}
	}
	return urls
}

// first waits until every watch had an answer, with replicas or without, so that the
// first requests meet replicas where there are any. It waits so long at most.
func (f *finding) first(ctx context.Context, patience time.Duration) {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for !f.settled() {
		select {
		case <-ctx.Done():
			return
		case <-f.news:
		}
	}
}

// settled reports whether every watch had an answer, and all of them are in use.
func (f *finding) settled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.watches {
		if !w.said {
			return false
		}
	}
	return f.used == f.changes
}

// replicas returns what is known of an upstream's replicas.
func (f *finding) replicas(upstream string) []discover.Replica {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w := f.watches[upstream]; w != nil {
		return w.known.Replicas
	}
	return nil
}

// all returns what is known of every upstream whose replicas are found.
func (f *finding) all() map[string]watch {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make(map[string]watch, len(f.watches))
	for name, w := range f.watches {
		all[name] = *w
	}
	return all
}
