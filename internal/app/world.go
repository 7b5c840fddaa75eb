package app

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"reflect"
	"slices"
	"time"

	"headworks/internal/catalog"
	"headworks/internal/catalog/card"
	"headworks/internal/config"
	"headworks/internal/discover"
	"headworks/internal/engine"
	"headworks/internal/engine/anthropic"
	"headworks/internal/engine/azure"
	"headworks/internal/engine/bedrock"
	"headworks/internal/engine/extract"
	"headworks/internal/engine/gemini"
	"headworks/internal/engine/headworks"
	"headworks/internal/engine/lexical"
	"headworks/internal/engine/llamacpp"
	"headworks/internal/engine/ollama"
	"headworks/internal/engine/openai"
	"headworks/internal/engine/sglang"
	"headworks/internal/engine/simulated"
	"headworks/internal/engine/tgi"
	"headworks/internal/engine/vertex"
	"headworks/internal/engine/vllm"
	"headworks/internal/fleet"
	"headworks/internal/gateway"
	"headworks/internal/inference"
	"headworks/internal/tenant"
)

// fleetRoom turns configurations into worlds, one generation after the other. A
// replica keeps its place, and an upstream that did not change its engine, so
// that what is known of them and what runs on them stays.
type fleetRoom struct {
	vouch     func(c *engine.Call, cell, target string, body []byte) (name, value string, err error) // nil where nothing is sent
	documents extract.Find
	knowledge gateway.Knowledge                        // nil: there is none
	found     func(upstream string) []discover.Replica // of one whose replicas are found
	idle      func(fleet.ReplicaID) bool               // nothing is in flight there
	places    map[place]fleet.ReplicaID
	gone      map[fleet.ReplicaID]departure
	targets   map[aim]fleet.TargetID
	engines   map[string]*built
	number    uint64
	config    *config.Config // of that generation
	since     int64          // Unix seconds
}

// departure is which replica went, and when.
type departure struct {
	place place
	at    time.Time
}

// quarantine is how long the place of a replica that went stays its own. After that
// another may have it, or replicas that come and go would take ever more room.
const quarantine = time.Hour

// place is what makes a replica the same over reloads.
type place struct {
	upstream, url string
	key           int // of its credentials
}

// aim is what makes a target the same over reloads, and of several models.
type aim struct{ upstream, model string }

// built is an engine and what it was built from.
type built struct {
	engine   engine.Engine
	from     config.Upstream
	replicas []fleet.Replica
	close    func()
}

// alike reports whether both speak to a replica in the same way, whichever they
// have.
func (b *built) alike(other *built) bool {
	x, y := b.from, other.from
	x.URLs, y.URLs, x.Replicas, y.Replicas, x.Discover, y.Discover = nil, nil, nil, nil, nil, nil
	return reflect.DeepEqual(x, y)
}

func newFleetRoom(documents extract.Find) *fleetRoom {
	return &fleetRoom{
		documents: documents, places: map[place]fleet.ReplicaID{}, gone: map[fleet.ReplicaID]departure{},
		targets: map[aim]fleet.TargetID{}, engines: map[string]*built{}, since: time.Now().Unix(),
		found: func(string) []discover.Replica { return nil },
		idle:  func(fleet.ReplicaID) bool { return false },
	}
}

// assumedRoom returns a room for worlds that nobody serves: replicas that would be found
// are assumed, as many as the file says of their engine, or one.
func assumedRoom(c *config.Config) *fleetRoom {
	r := newFleetRoom(func(string, int) []extract.Passage { return nil })
	r.found = func(upstream string) []discover.Replica {
		n := 1
		if e := c.Upstreams[upstream].Engine; e != nil {
			n = e.Replicas
		}
		all := make([]discover.Replica, n)
		for i := range all {
			all[i].URL = fmt.Sprintf("http://replica-%d.invalid", i+1)
		}
		return all
	}
	return r
}

// moves are what a new generation changes of the replicas.
type moves struct {
	rebuilt []fleet.ReplicaID // spoken to in another way now, with another key perhaps
	joined  []fleet.ReplicaID // came to others that were there
}

// upstream notes what moved in one upstream.
func (m *moves) upstream(old, next *built) {
	had := map[fleet.ReplicaID]bool{}
	if old != nil {
		for _, r := range old.replicas {
			had[r.ID] = true
		}
	}
	for _, r := range next.replicas {
		switch {
		case old != nil && len(old.replicas) > 0 && !had[r.ID]:
			m.joined = append(m.joined, r.ID)
		case old == nil || !old.alike(next) || !had[r.ID]:
			m.rebuilt = append(m.rebuilt, r.ID)
		}
	}
}

// build returns the next generation's world, and what takes it into use: take
// keeps its engines for the generation after, closes those that are no longer in
// use and returns what moved; drop closes those that were made in vain.
func (r *fleetRoom) build(c *config.Config) (w *gateway.World, take func() moves, drop func(), err error) {
	s := &fleet.Snapshot{Generation: r.number + 1, Since: r.since}
	if c == r.config { // replicas came or went, and nothing else
		s.Generation = r.number
	}
	cards, err := card.All()
	if err != nil {
		return nil, nil, nil, err
	}
	prices := priced(c)
	s.Known = func(t *fleet.Target) {
		name := s.Upstreams[t.Upstream].Name
		u := c.Upstreams[name]
		if p, ok := prices[listed{name, t.Model}]; ok {
			defer func() { t.Price = price(p) }() // before what the card says
		}
		if u.Discover != nil {
			return
		}
		if k, ok := cards.Of(u.Kind, u.URLs, t.Model); ok {
			t.Price, t.Window, t.Carded = k.Price, k.Window, k.Window > 0
			t.Output, t.Can, t.Released = k.Output, k.Abilities, k.Released
		}
	}
	s.Atlas = c.Atlas()
	w = &gateway.World{Fleet: s, Region: c.Region, Config: c.Fingerprint(), Places: c.Finder(), Knowledge: r.knowledge}
	next := map[string]*built{}
	drop = func() {
		for name, b := range next {
			if b != r.engines[name] {
				b.close()
			}
		}
	}
	upstreams := map[string]int{}
	for i, name := range slices.Sorted(maps.Keys(c.Upstreams)) {
		u := c.Upstreams[name]
		if config.BuiltIn(u.Kind) && u.Region == "" { // it is inside this process
			u.Region, u.Zone = c.Region, c.Zone
		}
		replicas := r.replicas(name, i, &u)
		b, err := r.engine(name, u, replicas)
		if err != nil {
			drop()
			return nil, nil, nil, fmt.Errorf("upstream %s: %w", name, err)
		}
		upstreams[name] = i
		next[name] = b
		w.Engines = append(w.Engines, b.engine)
		s.Upstreams = append(s.Upstreams, fleet.Upstream{
			Name: name, Kind: u.Kind, Region: u.Region, Zone: u.Zone, Hardware: u.Hardware,
			Schedule: schedules[u.Schedule], KVTokens: u.KVTokens, Adapters: u.MaxLoRAs, Rate: u.PrefillRate, Own: config.Own(u.Kind), Class: u.Class, StepTokens: u.StepTokens,
			Speaks: speaks(&u), Replicas: replicas, Apart: u.CacheSalt == config.SaltTenant, Simulated: u.Kind == config.Simulated, Lexical: u.Kind == config.LocalEmbed,
		})
		s.Upstreams[i].Locate(s.Atlas)
	}
	cells := slices.Sorted(maps.Keys(c.Cells))
	for _, region := range cells {
		u := config.Upstream{Kind: headworksKind, URLs: c.Cells[region].URLs, Discover: c.Cells[region].Discover, Region: region}
		name, i := cellUpstream(region), len(s.Upstreams)
		replicas := r.replicas(name, i, &u)
		b, err := r.engine(name, u, replicas)
		if err != nil {
			drop()
			return nil, nil, nil, fmt.Errorf("cell %s: %w", region, err)
		}
		upstreams[name] = i
		next[name] = b
		w.Engines = append(w.Engines, b.engine)
		s.Upstreams = append(s.Upstreams, fleet.Upstream{
			Name: name, Kind: u.Kind, Region: region, Schedule: fleet.LeastRequests,
			Speaks: b.engine.(*engine.HTTP).Speaks(), Replicas: replicas, Away: true,
		})
		s.Upstreams[i].Locate(s.Atlas)
	}
	for i := range s.Upstreams {
		if from, ok := upstreams[c.Upstreams[s.Upstreams[i].Name].Prefill]; ok {
			s.Upstreams[i].Prefill = from + 1
		}
	}
	s.Replicas = len(r.places)
	s.Foresees = slices.ContainsFunc(s.Upstreams, func(u fleet.Upstream) bool {
		return (len(u.Replicas) > 1 || u.Prefill > 0) && (u.Schedule == fleet.ByPrefix || u.Schedule == fleet.LMetric)
	})
	for _, name := range slices.Sorted(maps.Keys(c.Models)) {
		m := model(name, c.Models[name])
		for i, t := range c.Models[name].Targets {
			to := target(upstreams[t.Upstream], t)
			adapt(&to, c.Upstreams[t.Upstream].Kind, t.Adapter)
			to.Salt = salt(name, c.Models[name], i)
			to.Speaks = s.Upstreams[to.Upstream].Speaks
			to.ID = r.targetID(t.Upstream, to.Model)
			if u := &s.Upstreams[to.Upstream]; u.Pace == (fleet.Pace{}) {
				u.Pace = pace(u, c.Upstreams[t.Upstream], t.Model)
			}
			m.Targets = append(m.Targets, to)
		}
		kin(&m, c.Models[name].Policy == config.ByDistance)
		m.Canary = trial(name, c.Models[name])
		m.Reuse = keeping(name, c.Models[name], c, upstreams)
		m.Cascade = cascade(c.Models[name].Cascade, upstreams)
		m.Classifier = classifier(c, c.Models[name].Classifier, upstreams)
		m.Knowledge = grounding(c, c.Models[name], upstreams)
		for _, region := range cells {
			if len(m.Targets) < fleet.MaxTargets && !inside(s, m.Targets) {
				to := fleet.Target{Upstream: upstreams[cellUpstream(region)], Model: name, Away: true}
				for _, here := range m.Targets {
					to.Speaks |= here.Speaks // it has the same models, and no others are asked of it
				}
				m.Targets = append(m.Targets, to)
			}
		}
		if m.Canary != nil {
			m.Targets[m.Canary.Target].Kin = 0 // it is not equal until it was promoted
		}
		if d := c.Models[name].Shadow; d != nil {
			m.Shadow = &fleet.Shadow{Model: d.Model, Share: float64(d.Share), Parallel: d.Parallel}
		}
		s.Models = append(s.Models, m)
	}
	s.Judges = slices.ContainsFunc(s.Models, func(m fleet.Model) bool { return m.Policy == fleet.Best })
	s.Direct = model("", config.DefaultModel())
	s.Direct.Reuse = keeping(c.Fingerprint(), config.DefaultModel(), c, nil)
	take = func() (m moves) {
		for name, old := range r.engines {
			if old != next[name] {
				old.close()
			}
		}
		for name, b := range next {
			m.upstream(r.engines[name], b)
		}
		r.engines = next
		r.number, r.config = s.Generation, c
		r.depart(s)
		return m
	}
	return w, take, drop, nil
}

// headworksKind is the kind of the upstreams that are other cells. No file names it.
const headworksKind = "headworks"

// cellUpstream is what the upstream is called that is a region's cell.
func cellUpstream(region string) string { return "cell:" + region }

// inside reports whether nothing but engines inside the process serves a model:
// each process has its own.
func inside(s *fleet.Snapshot, targets []fleet.Target) bool {
	return !slices.ContainsFunc(targets, func(t fleet.Target) bool {
		return t.Away || !config.BuiltIn(s.Upstreams[t.Upstream].Kind)
	})
}

// depart notes which replicas went with a generation.
func (r *fleetRoom) depart(s *fleet.Snapshot) {
	here := map[fleet.ReplicaID]bool{}
	for _, u := range s.Upstreams {
		for _, replica := range u.Replicas {
			here[replica.ID] = true
			delete(r.gone, replica.ID)
		}
	}
	for p, id := range r.places {
		if _, noted := r.gone[id]; !noted && !here[id] {
			r.gone[id] = departure{p, time.Now()}
		}
	}
}

// lists returns where the replicas of an upstream are, as the file has it or as they
// were found.
func (r *fleetRoom) lists(name string, u *config.Upstream) discover.List {
	switch {
	case u.Discover != nil:
		return r.found(name)
	case config.BuiltIn(u.Kind):
		n := 1
		if u.Engine != nil {
			n = u.Engine.Replicas
		}
		list := make(discover.List, n)
		for i := range list {
			list[i].URL = fmt.Sprint("#", i)
		}
		return list
	}
	list := make(discover.List, len(u.URLs))
	for i, url := range u.URLs {
		list[i].URL = url
	}
	return list
}

func (r *fleetRoom) replicas(name string, upstream int, u *config.Upstream) []fleet.Replica {
	list := r.lists(name, u)
	replicas := make([]fleet.Replica, 0, len(list))
	for n, at := range list {
		where := u.Place(n)
		where.Zone = cmp.Or(at.Zone, where.Zone)
		for key := range u.Credentials() {
			p := place{name, at.URL, key}
			replicas = append(replicas, fleet.Replica{
				ID: r.id(p), Upstream: upstream, Key: key, Name: opaque(p), URL: at.URL, Host: at.Name, Place: where,
			})
		}
	}
	return replicas
}

// id returns the place of a replica among all: its own, that of one that went long
// ago and of which nothing runs any more, or a new one.
func (r *fleetRoom) id(p place) fleet.ReplicaID {
	id, known := r.places[p]
	if known {
		return id
	}
	id = fleet.ReplicaID(len(r.places))
	for old, d := range r.gone {
		if time.Since(d.at) > quarantine && r.idle(old) {
			id = old
			delete(r.places, d.place)
			delete(r.gone, old)
			break
		}
	}
	r.places[p] = id
	return id
}

// speaks returns the dialects of an upstream.
func speaks(u *config.Upstream) inference.Set {
	k, _ := catalog.Find(u.Kind)
	switch {
	case u.APIVersion != "":
		return k.Speaks | k.Versioned
	case u.Discover != nil: // an engine of one's own
		return k.Speaks
	case len(u.URLs) == 0:
		return k.Speaks
	}
	return k.At(u.URLs[0])
}

// schedules are the ways to choose a replica, as the configuration names them.
var schedules = map[string]fleet.Schedule{
	fleet.ByPrefix.String(): fleet.ByPrefix, fleet.LeastRequests.String(): fleet.LeastRequests,
	fleet.TwoChoices.String(): fleet.TwoChoices, fleet.SessionHash.String(): fleet.SessionHash, fleet.LMetric.String(): fleet.LMetric,
	fleet.RoundRobin.String(): fleet.RoundRobin, fleet.Random.String(): fleet.Random,
}

// opaque names a replica to callers without telling where it is.
func opaque(p place) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(p.upstream + "\x00" + p.url)) // never fails
	if p.key > 0 {
		_, _ = fmt.Fprintf(h, "\x00%d", p.key)
	}
	return fmt.Sprintf("r%06x", h.Sum64()&0xffffff)
}

// engine returns the engine of an upstream: the one that is in use, if nothing
// of it changed.
func (r *fleetRoom) engine(name string, u config.Upstream, replicas []fleet.Replica) (*built, error) {
	if old, ok := r.engines[name]; ok && reflect.DeepEqual(old.from, u) && sameReplicas(old.replicas, replicas) {
		return old, nil
	}
	b := &built{from: u, replicas: replicas, close: func() {}}
	if old, ok := r.engines[name]; ok && old.from.Discover != nil && u.Discover != nil && old.alike(b) {
		if e, ok := old.engine.(*engine.HTTP); ok { // others come and go beside those that stay
			next, err := e.With(replicas)
			if err != nil {
				return nil, err
			}
			b.engine, b.close = next, next.Close
			return b, nil
		}
	}
	over := func(e *engine.HTTP, err error) (*built, error) {
		if err != nil {
			return nil, err
		}
		if u.PromptCache == config.PromptCacheMark {
			e.MarkPrompts()
		}
		b.engine, b.close = e, e.Close
		return b, nil
	}
	var keys []string
	for _, k := range u.Credentials() {
		keys = append(keys, k.Reveal())
	}
	if u.Kind == headworksKind {
		region := u.Region
		return over(headworks.New(replicas, func(c *engine.Call, target string, body []byte) (name, value string, err error) {
			return r.vouch(c, region, target, body)
		}))
	}
	kind, _ := catalog.Find(u.Kind)
	switch kind.Engine {
	case config.OpenAI:
		if kind.Name != kind.Engine {
			return over(openai.Preset(kind, replicas, keys))
		}
		return over(openai.New(replicas, keys))
	case config.Anthropic:
		return over(anthropic.New(replicas, keys))
	case config.Gemini:
		return over(gemini.New(replicas, keys))
	case config.Vertex:
		e, err := vertex.New(replicas, keys, vertex.Options{Project: u.Project, Location: u.Location})
		if err != nil {
			return nil, err
		}
		if u.PromptCache == config.PromptCacheMark {
			e.MarkPrompts()
		}
		b.engine, b.close = e, e.Close
		return b, nil
	case config.Azure:
		return over(azure.New(replicas, keys, u.APIVersion))
	case config.Bedrock:
		return over(bedrock.New(replicas, keys, u.Region))
	case config.VLLM:
		return over(vllm.New(replicas, keys, u.CacheSalt == config.SaltTenant))
	case config.LlamaCpp:
		return over(llamacpp.New(replicas, keys))
	case config.SGLang:
		return over(sglang.New(replicas, keys, u.CacheSalt == config.SaltTenant))
	case config.TGI:
		return over(tgi.New(replicas, keys))
	case config.Ollama:
		return over(ollama.New(replicas, keys))
	case config.Simulated:
		b.engine = simulated.New(replicas, simulated.Options{
			Params: u.Engine.Params(), MinTokens: u.Engine.MinOutputTokens, MaxTokens: u.Engine.MaxOutputTokens,
		})
		return b, nil
	case config.LocalExtract:
		b.engine = extract.New(r.documents)
		return b, nil
	case config.LocalEmbed:
		b.engine = lexical.New()
		return b, nil
	default:
		return nil, fmt.Errorf("no engine of kind %q", u.Kind)
	}
}

func sameReplicas(a, b []fleet.Replica) bool {
	return slices.EqualFunc(a, b, func(x, y fleet.Replica) bool {
		return x.ID == y.ID && x.URL == y.URL && x.Key == y.Key && x.Host == y.Host
	})
}

func model(name string, m config.Model) fleet.Model {
	f := fleet.Model{
		Name: name, Tries: m.Tries,
		Timeouts: fleet.Timeouts{
			FirstToken: m.Timeouts.FirstToken, Idle: m.Timeouts.Idle, Total: m.Timeouts.Total,
			FirstTokenSet: m.Timeouts.FirstTokenSet,
		},
	}
	switch m.Policy {
	case config.ByWeight:
		f.Policy = fleet.Weighted
	case config.Best:
		f.Policy, f.Choice = fleet.Best, choice(&m.Choice)
	}
	f.Aim, f.RefuseLate = tenant.Objective(m.Objectives), m.Late == config.LateRefuse
	f.Sticky = sticks[m.Sticky]
	switch m.Dropped {
	case config.DroppedDrop:
		f.Loss = fleet.Untold
	case config.DroppedReject:
		f.Loss = fleet.Rejected
	}
	return f
}

// kin numbers the targets of a model that are equal but for where they are: all, where
// the nearest shall serve, or the same variant at several upstreams, where the best.
func kin(m *fleet.Model, nearest bool) {
	last := uint8(0)
	for i := range m.Targets {
		t := &m.Targets[i]
		switch {
		case nearest:
			t.Kin = 1
		case m.Policy == fleet.Best && t.Kin == 0:
			for j := range m.Targets[i+1:] {
				if other := &m.Targets[i+1+j]; other.Kin == 0 && other.Upstream != t.Upstream && equal(t, other) {
					if t.Kin == 0 {
						last++
						t.Kin = last
					}
					other.Kin = last
				}
			}
		}
	}
}

func equal(a, b *fleet.Target) bool {
	return a.Model == b.Model && a.Quality == b.Quality && a.Price == b.Price && a.Precision == b.Precision && a.Window == b.Window && a.Can == b.Can
}

func target(upstream int, t config.Target) fleet.Target {
	f := fleet.Target{
		Name: t.Name, Upstream: upstream, Model: t.Model, Quality: t.Quality, Weight: t.Weight,
		Window: t.Window, Carded: t.Carded, Output: t.Output, Released: t.Released,
		Precision: t.Precision,
	}
	if t.Capabilities != nil {
		f.Can, _ = inference.ParseAbilities(t.Capabilities) // config knows no others
		f.Told = !t.Able
	}
	if t.Price != nil {
		f.Price = price(t.Price)
	}
	return f
}

func price(p *config.Price) inference.Price {
	f := inference.Price{Known: true, Input: p.Input, Output: p.Output}
	f.CacheRead = or(p.CacheRead, p.Input)
	f.CacheWrite = or(p.CacheWrite, p.Input)
	f.CacheWriteHour = or(p.CacheWriteHour, f.CacheWrite)
	if l := p.Long; l != nil {
		f.Above = l.Above
		f.Long = inference.Rates{Input: l.Input, Output: l.Output, CacheRead: or(l.CacheRead, l.Input)}
	}
	return f
}

// listed is a model of an upstream, as both are called in the file.
type listed struct{ upstream, model string }

// priced returns what the file says that an upstream's model costs, wherever it is a
// target, so that it costs the same when it is asked for by name. Where the file has
// two prices for one, it has none.
func priced(c *config.Config) map[listed]*config.Price {
	prices := map[listed]*config.Price{}
	for _, m := range c.Models {
		for _, t := range m.Targets {
			if t.Price == nil {
				continue
			}
			at := listed{t.Upstream, calls(c, &t)}
			if p, twice := prices[at]; twice && !reflect.DeepEqual(p, t.Price) {
				prices[at] = nil
			} else if !twice {
				prices[at] = t.Price
			}
		}
	}
	maps.DeleteFunc(prices, func(_ listed, p *config.Price) bool { return p == nil })
	return prices
}

func or(given *float64, otherwise float64) float64 {
	if given != nil {
		return *given
	}
	return otherwise
}
