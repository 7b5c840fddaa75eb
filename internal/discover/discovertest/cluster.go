package discovertest

import (
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Object is an object of Kubernetes' API.
type Object = map[string]any

// Cluster is a double of the API server of Kubernetes, as far as EndpointSlices go: it
// lists in pages and watches, with resource versions that grow, bookmarks once a
// minute, 410 Gone for what it no longer remembers, and the Status objects of the real
// one (API concepts of the Kubernetes documentation; apimachinery's Status). It lets
// callers list and watch endpointslices of its namespace, and nothing else.
type Cluster struct {
	Namespace string

	mu        sync.Mutex
	version   int
	objects   map[string]Object
	log       []event
	forgotten int      // versions up to this one cannot be watched from
	tokens    []string // that are accepted; none: every caller is
	refused   string
	broken    bool
	forbidden bool
	changed   chan struct{} // closed with every change
	watches   map[chan struct{}]bool
	pages     map[string][]any // what is left of a list, by its token
	asked     map[string]int   // requests by verb
	seen      []string         // what was asked, as verb?resourceVersion
}

// event is one change of an object.
type event struct {
	version  int
	was, now Object // nil: there was, or is, none
}

// NewCluster returns a cluster without slices.
func NewCluster(namespace string) *Cluster {
	return &Cluster{
		Namespace: namespace, version: 100, objects: map[string]Object{},
		changed: make(chan struct{}), watches: map[chan struct{}]bool{}, pages: map[string][]any{}, asked: map[string]int{},
	}
}

// Put creates or changes a slice, whose metadata has a name.
func (c *Cluster) Put(o Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(o)
	c.wake()
}

// Delete takes a slice away.
func (c *Cluster) Delete(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delete(name)
	c.wake()
}

// Replace makes these the slices there are.
func (c *Cluster) Replace(objects ...Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	keep := map[string]bool{}
	for _, o := range objects {
		keep[nameOf(o)] = true
		c.put(o)
	}
	for name := range maps.Clone(c.objects) {
		if !keep[name] {
			c.delete(name)
		}
	}
	c.wake()
}

// Forget makes the versions until now too old to be watched from.
func (c *Cluster) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++ // what callers know is older than what is remembered
	c.forgotten, c.log = c.version, nil
}

// Restore puts an older state of the cluster in its place, as from a backup: versions
// begin again below those that callers know, and these are the slices there are.
func (c *Cluster) Restore(objects ...Object) {
	c.mu.Lock()
	c.version, c.forgotten, c.log, c.objects = 10, 10, nil, map[string]Object{}
	for _, o := range objects {
		c.put(o)
	}
	c.mu.Unlock()
	c.Cut()
}

// Cut ends all watches, as a proxy in between does.
func (c *Cluster) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for w := range c.watches {
		close(w)
	}
	clear(c.watches)
}

// Break makes it answer nobody, and Mend answer again.
func (c *Cluster) Break() { c.set(func() { c.broken = true }); c.Cut() }

// Mend ends Break, Forbid and Refuse.
func (c *Cluster) Mend() { c.set(func() { c.broken, c.forbidden, c.refused = false, false, "" }) }

// Forbid takes the rights of all callers.
func (c *Cluster) Forbid() { c.set(func() { c.forbidden = true }); c.Cut() }

// Accept makes these the tokens that are accepted; until then every caller is.
func (c *Cluster) Accept(tokens ...string) { c.set(func() { c.tokens = tokens }) }

// Refuse makes it accept a token no longer.
func (c *Cluster) Refuse(token string) { c.set(func() { c.refused = token }) }

// Asked returns how many requests of a verb (list, watch) came.
func (c *Cluster) Asked(verb string) (n int) {
	c.set(func() { n = c.asked[verb] })
	return n
}

// Seen returns the requests that came, as list?resourceVersion=7.
func (c *Cluster) Seen() (seen []string) {
	c.set(func() { seen = slices.Clone(c.seen) })
	return seen
}

func (c *Cluster) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func nameOf(o Object) string {
	name, _ := o["metadata"].(Object)["name"].(string)
	return name
}

func (c *Cluster) put(o Object) {
	c.version++
	now := clone(o)
	meta := now["metadata"].(Object)
	meta["namespace"], meta["resourceVersion"], meta["uid"] = c.Namespace, strconv.Itoa(c.version), "uid-"+nameOf(o)
	now["kind"], now["apiVersion"] = "EndpointSlice", "discovery.k8s.io/v1"
	c.log = append(c.log, event{c.version, c.objects[nameOf(o)], now})
	c.objects[nameOf(o)] = now
}

func (c *Cluster) delete(name string) {
	if was, ok := c.objects[name]; ok {
		c.version++
		c.log = append(c.log, event{c.version, was, nil})
		delete(c.objects, name)
	}
}

func (c *Cluster) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func clone(o Object) (copied Object) {
	b, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(b, &copied)
	}
	if err != nil {
		panic(err) // a test gave what is no JSON
	}
	return copied
}

// ServeHTTP answers as the API server does.
func (c *Cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	verb := "list"
	if watch := q.Get("watch"); watch == "true" || watch == "1" {
		verb = "watch"
	}
	c.mu.Lock()
	c.asked[verb]++
	c.seen = append(c.seen, verb+"?resourceVersion="+q.Get("resourceVersion"))
	broken, forbidden, tokens, refused := c.broken, c.forbidden, c.tokens, c.refused
	c.mu.Unlock()
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case broken:
		panic(http.ErrAbortHandler) // hangs up
	case token != "" && token == refused, len(tokens) > 0 && !slices.Contains(tokens, token):
		refuse(w, 401, "Unauthorized", "Unauthorized")
	case !strings.HasPrefix(r.URL.Path, "/apis/discovery.k8s.io/v1/"):
		refuse(w, 404, "NotFound", "the server could not find the requested resource")
	case forbidden, r.Method != http.MethodGet, r.URL.Path != "/apis/discovery.k8s.io/v1/namespaces/"+c.Namespace+"/endpointslices":
		refuse(w, 403, "Forbidden", "endpointslices.discovery.k8s.io is forbidden")
	case q.Get("sendInitialEvents") != "":
		refuse(w, 422, "Invalid", "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled")
	case verb == "watch":
		c.watch(w, r)
	default:
		c.list(w, r)
	}
}

func status(code int, reason, message string) Object {
	return Object{"kind": "Status", "apiVersion": "v1", "metadata": Object{}, "status": "Failure", "message": message, "reason": reason, "code": code}
}

// tooLarge is said of a version that is not reached yet.
func tooLarge() Object {
	s := status(504, "Timeout", "Too large resource version")
	s["details"] = Object{"causes": []any{Object{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}}, "retryAfterSeconds": 1}
	return s
}

func refuse(w http.ResponseWriter, code int, reason, message string) {
	reply(w, code, status(code, reason, message))
}

func reply(w http.ResponseWriter, code int, o Object) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(o) // the client may be gone
}

// matches reports whether an object has the labels of a selector, as a=b,c=d.
func matches(o Object, selector string) bool {
	if o == nil {
		return false
	}
	have, _ := o["metadata"].(Object)["labels"].(Object)
	for want := range strings.SplitSeq(selector, ",") {
		if name, value, ok := strings.Cut(want, "="); ok && have[name] != value {
			return false
		}
	}
	return true
}

// list answers a list, whole or a page of it. Pages go on from what the first had.
func (c *Cluster) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("limit"))
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, _ := strconv.Atoi(q.Get("resourceVersion")); v > c.version {
		reply(w, 504, tooLarge())
		return
	}
	version := c.version
	items := []any{}
	if token := q.Get("continue"); token != "" {
		version, _ = strconv.Atoi(token)
		if version <= c.forgotten || c.pages[token] == nil {
			refuse(w, 410, "Expired", "The provided continue parameter is too old")
			return
		}
		items = c.pages[token]
	} else {
		for _, name := range slices.Sorted(maps.Keys(c.objects)) {
			if o := c.objects[name]; matches(o, q.Get("labelSelector")) {
				items = append(items, o)
			}
		}
	}
	meta := Object{"resourceVersion": strconv.Itoa(version)}
	if limit > 0 && len(items) > limit {
		token := strconv.Itoa(version)
		meta["continue"], c.pages[token] = token, items[limit:]
		items = items[:limit]
	}
	reply(w, 200, Object{"kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1", "metadata": meta, "items": items})
}

// watch answers a watch: what changed since a version, and what changes.
func (c *Cluster) watch(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	seconds, err := strconv.Atoi(q.Get("timeoutSeconds"))
	if err != nil || seconds <= 0 {
		seconds = 1800
	}
	end := time.NewTimer(time.Duration(seconds) * time.Second)
	defer end.Stop()
	bookmarks := time.NewTicker(time.Minute)
	defer bookmarks.Stop()
	cut := make(chan struct{})
	c.set(func() { c.watches[cut] = true })
	defer c.set(func() { delete(c.watches, cut) })

	w.Header().Set("Content-Type", "application/json")
	out := json.NewEncoder(w)
	send := func(kind string, o Object) {
		_ = out.Encode(Object{"type": kind, "object": o}) // the client may be gone
	}
	flush := func() { _ = http.NewResponseController(w).Flush() }
	bookmark := func(version int) {
		if q.Get("allowWatchBookmarks") == "true" {
			send("BOOKMARK", Object{"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "metadata": Object{"resourceVersion": strconv.Itoa(version), "creationTimestamp": nil}})
		}
	}
	selector := q.Get("labelSelector")
	c.mu.Lock()
	since, _ := strconv.Atoi(q.Get("resourceVersion"))
	if since == 0 { // from anywhere: what there is comes first
		for _, name := range slices.Sorted(maps.Keys(c.objects)) {
			if o := c.objects[name]; matches(o, selector) {
				send("ADDED", o)
			}
		}
		since = c.version
	} else if since > c.version {
		reply(w, 504, tooLarge())
		c.mu.Unlock()
		return
	} else if since < c.forgotten {
		send("ERROR", status(410, "Expired", "too old resource version"))
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	for {
		c.mu.Lock()
		changed, version := c.changed, c.version
		if since < c.forgotten && len(c.log) == 0 {
			since = c.forgotten
		}
		for _, e := range c.log {
			if e.version <= since {
				continue
			}
			switch was, is := matches(e.was, selector), matches(e.now, selector); {
			case was && is:
				send("MODIFIED", e.now)
			case is:
				send("ADDED", e.now)
			case was: // deleted, or of other labels now; it bears the version of its end
				gone := clone(e.was)
				gone["metadata"].(Object)["resourceVersion"] = strconv.Itoa(e.version)
				send("DELETED", gone)
			}
			since = e.version
		}
		c.mu.Unlock()
		flush()
		select {
		case <-r.Context().Done():
			return
		case <-cut:
			panic(http.ErrAbortHandler)
		case <-end.C:
			bookmark(version)
			return
		case <-bookmarks.C:
			bookmark(version)
			flush()
		case <-changed:
		}
	}
}

// EndpointSlice returns a slice of a service, whose endpoints are those given.
func EndpointSlice(name, service, family string, ports []any, endpoints ...any) Object {
	if endpoints == nil {
		endpoints = []any{}
	}
	return Object{
		"metadata":    Object{"name": name, "labels": Object{"kubernetes.io/service-name": service}},
		"addressType": family, "ports": ports, "endpoints": endpoints,
	}
}

// Endpoint returns an endpoint; conditions are ready, serving and terminating.
func Endpoint(address, zone, pod string, conditions Object) Object {
	o := Object{"addresses": []any{address}, "conditions": conditions}
	if zone != "" {
		o["zone"] = zone
	}
	if pod != "" {
		o["targetRef"] = Object{"kind": "Pod", "name": pod, "uid": "uid-" + pod, "namespace": "any"}
	}
	return o
}

// Ready are the conditions of an endpoint that serves.
func Ready() Object { return Object{"ready": true, "serving": true, "terminating": false} }

// Ending are those of one that serves what it has and ends.
func Ending() Object { return Object{"ready": false, "serving": true, "terminating": true} }

// Unready are those of one that does not serve.
func Unready() Object { return Object{"ready": false, "serving": false, "terminating": false} }

// Ports returns the ports of a slice, by their names.
func Ports(ports map[string]int) (all []any) {
	for _, name := range slices.Sorted(maps.Keys(ports)) {
		all = append(all, Object{"name": name, "port": ports[name], "protocol": "TCP"})
	}
	return all
}

// Kubeconfig returns a kubeconfig for a server with TLS of its own, whose token is in a
// file.
func Kubeconfig(s *httptest.Server, namespace, token string) string {
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	text, err := json.Marshal(Object{
		"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"clusters": []any{Object{"name": "k", "cluster": Object{"server": s.URL, "certificate-authority-data": authority}}},
		"users":    []any{Object{"name": "u", "user": Object{"tokenFile": token}}},
		"contexts": []any{Object{"name": "c", "context": Object{"cluster": "k", "user": "u", "namespace": namespace}}},
	})
	if err != nil {
		panic(err) // these are texts
	}
	return string(text)
}
