package config

import (
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"headworks/internal/tenant"
)

// check notes what no single value shows: references between sections, secrets that
// are no good, addresses that clash, settings without effect.
func (r *reader) check() {
	c := r.cfg
	r.address("listen", c.Listen)
	r.address("admin.listen", c.Admin.Listen)
	if c.Listen == c.Admin.Listen && !strings.HasSuffix(c.Listen, ":0") {
		r.at("admin.listen", BadValue, "the admin API cannot share the address of the API: both are "+c.Listen)
	}
	for at, t := range map[string]TLS{"tls": c.TLS, "admin.tls": c.Admin.TLS} {
		if (t.Cert == "") != (t.Key == "") {
			r.at(at, BadValue, "a certificate needs its key and a key its certificate: give "+at+".cert and "+at+".key, or neither")
		}
	}
	r.peers()
	r.cells()
	r.dns()
	r.sinks()
	r.shared()
	r.library()
	for _, name := range slices.Sorted(maps.Keys(c.Upstreams)) {
		r.upstream(join("upstreams", name), name, c.Upstreams[name])
	}
	for _, name := range slices.Sorted(maps.Keys(c.Models)) {
		r.model(name)
	}
	r.cards()
	for _, name := range slices.Sorted(maps.Keys(c.Tiers)) {
		at, t := join("tiers", name), c.Tiers[name]
		if t.Requests.Limited() {
			r.without(at, "requests")
		}
		if t.Tokens.Limited() {
			r.without(at, "tokens")
		}
	}
	for i, o := range c.CORS.Origins {
		u, err := url.Parse(o)
		if o != "*" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" || u.RawQuery != "" || u.User != nil) {
			r.at("cors.origins["+strconv.Itoa(i)+"]", BadValue, "no origin of a page; write one as https://app.example.com, without a path, or * for any")
		}
	}
	r.places()
	r.keys()
}

// at notes a problem with the value at a path, or with the nearest thing above it
// that the file has.
func (r *reader) at(path string, code Code, words string) {
	r.report.add(r.place(path), path, code, words, false)
}

// told reports whether a problem of a path is known: what it leads to is none more.
func (r *reader) told(path string) bool {
	return slices.ContainsFunc(r.report.Problems, func(p Problem) bool { return p.Path == path && !p.Warning })
}

func (r *reader) warn(path string, code Code, words string) {
	r.report.add(r.place(path), path, code, words, true)
}

// without warns of a setting that nothing enforces.
func (r *reader) without(path, field string) {
	r.warn(join(path, field), NotEnforced, field+": parsed, not enforced in this release")
}

func (r *reader) place(path string) span {
	o, ok := r.cfg.origins[path]
	switch {
	case !ok && path == "":
		return span{}
	case !ok:
		return r.place(parent(path))
	case o.many:
		return o.key
	default:
		return o.value
	}
}

func parent(path string) string {
	if strings.HasSuffix(path, "]") {
		return path[:strings.LastIndexByte(path, '[')]
	}
	return path[:max(0, strings.LastIndexByte(path, '.'))]
}

// address checks a listen address: a literal address or localhost, and a port.
func (r *reader) address(path, s string) {
	host, port, ok := cutPort(s)
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case !ok || err != nil || strconv.FormatUint(n, 10) != port:
		r.at(path, BadValue, r.shown(path, s)+" is no address; write one as 127.0.0.1:7300")
		return
	case host == "" || host == "localhost":
		return
	}
	if _, err := netip.ParseAddr(host); err != nil {
		r.at(path, BadValue, r.shown(path, s)+" is no address to listen on: its host is an IP address, localhost, or nothing for all addresses of the machine, as :"+port)
	}
}

// cutPort splits host:port and [host]:port.
func cutPort(s string) (host, port string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", "", false
	}
	host, port = s[:i], s[i+1:]
	if inner, bracket := strings.CutPrefix(host, "["); bracket {
		host, ok = strings.CutSuffix(inner, "]")
		return host, port, ok
	}
	return host, port, !strings.Contains(host, ":")
}

// shown is a value as words may repeat it: by its reference, where it has one.
func (r *reader) shown(path, s string) string {
	if o := r.cfg.origins[path]; o.safe != "" {
		return "the value of " + o.safe
	}
	return repeat(s)
}

func (r *reader) upstream(path, name string, u Upstream) {
	if strings.Contains(name, "/") {
		r.at(path, BadValue, "an upstream's name has no /: callers ask for upstream/model")
	}
	if u.Kind != Vertex { // its key is a file, and never a header itself
		r.clean(join(path, "key"), u.Key)
	}
	r.cloud(path, u)
	if u.APIVersion != "" && u.Kind != Azure {
		r.at(join(path, "api_version"), BadValue, "api_version is for kind azure; kind is "+u.Kind)
	}
	r.credentials(join(path, "keys"), u)
	r.loras(path, name, u)
	if u.CacheSalt == SaltTenant && u.Kind != VLLM && u.Kind != SGLang {
		r.at(join(path, "cache_salt"), BadValue, "cache_salt is for kind vllm and sglang; kind is "+u.Kind)
	}
	if u.PromptCache == PromptCacheMark && !slices.Contains(marking, u.Kind) {
		r.at(join(path, "prompt_cache"), BadValue, "prompt_cache: mark is for kind "+strings.Join(marking, ", ")+"; kind is "+u.Kind)
	}
	r.prefill(path, name, u)
	u = r.cfg.Upstreams[name]
	urls := "urls"
	if len(u.Replicas) > 0 {
		r.replicas(path, &u)
		r.cfg.Upstreams[name], urls = u, "replicas"
	}
	switch {
	case u.Kind == "":
		return // reported where it was read
	case u.Discover != nil:
		r.discover(join(path, "discover"), urls, u)
	case BuiltIn(u.Kind):
		if len(u.URLs) > 0 {
			r.at(join(path, urls), BadValue, "kind "+u.Kind+" is inside this process and has no "+urls)
		}
		if !u.Key.Empty() || len(u.Keys) > 0 {
			r.warn(join(path, "key"), Pointless, "kind "+u.Kind+" is inside this process and needs no key")
		}
	case len(u.URLs) == 0:
		if DefaultURL(u.Kind) == "" {
			words := path + " has no urls, which kind " + u.Kind + " requires, as [http://127.0.0.1:8000]"
			if Found(u.Kind) {
				words += ", or discover"
			}
			r.at(path, Missing, words)
			return
		}
		if r.given[join(path, "urls")] {
			r.at(join(path, "urls"), BadValue, "an empty list; leave urls out for "+DefaultURL(u.Kind))
		}
		if !r.given[join(path, "key")] && len(u.Keys) == 0 {
			r.warn(path, Pointless, path+" has no key, and "+DefaultURL(u.Kind)+" answers nobody without one")
		}
		u.URLs = []string{DefaultURL(u.Kind)}
		if u.Kind == Vertex && u.Location != "" && u.Location != "global" {
			u.URLs = []string{"https://" + u.Location + "-aiplatform.googleapis.com"}
		}
		r.cfg.Upstreams[name] = u
	}
	seen := map[string]int{}
	for i, raw := range u.URLs {
		at := join(path, urls) + "[" + strconv.Itoa(i) + "]"
		if urls == "replicas" {
			at = join(at, "url")
		}
		if why := badURL(raw); why != "" {
			if !r.told(at) {
				r.at(at, BadValue, why)
			}
			continue
		}
		u.URLs[i] = strings.TrimRight(raw, "/")
		if first, twice := seen[u.URLs[i]]; twice {
			r.at(at, Duplicate, "the same URL as "+urls+"["+strconv.Itoa(first)+"]: each is one replica")
		}
		seen[u.URLs[i]] = i
	}
	r.watched(path, u)
	if u.Kind != Simulated {
		if r.given[join(path, "engine")] {
			r.modelled(path, u)
		}
		return
	}
	if u.Engine == nil {
		u.Engine = new(Engine)
		fill(u.Engine)
		r.cfg.Upstreams[name] = u
	}
	if u.Engine.MinOutputTokens > u.Engine.MaxOutputTokens {
		r.at(path+".engine.min_output_tokens", BadValue, "the shortest answer is longer than the longest: min_output_tokens "+
			strconv.Itoa(u.Engine.MinOutputTokens)+", max_output_tokens "+strconv.Itoa(u.Engine.MaxOutputTokens))
	}
	if err := u.Engine.Params().Check(); err != nil {
		r.at(join(path, "engine"), BadValue, strings.TrimPrefix(err.Error(), "latency: "))
	}
}

// discover checks where the replicas of an upstream are found.
func (r *reader) discover(path, urls string, u Upstream) {
	d := u.Discover
	if !Found(u.Kind) {
		r.at(path, BadValue, "discover is for engines of your own; kind "+u.Kind+" has urls or needs none")
		return
	}
	r.finds(path, urls, u.URLs, d)
}

// finds checks where replicas, or gateways of another cell, are found.
func (r *reader) finds(path, urls string, listed []string, d *Discover) {
	if len(listed) > 0 {
		r.at(path, BadValue, urls+" and discover: they are either listed or found")
	}
	ways := 0
	for _, given := range []bool{d.DNS != "", d.SRV != "", d.Kubernetes != nil, d.Local != ""} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		r.at(path, Missing, "discover takes one of dns, srv, kubernetes and local, as {dns: vllm.example.com:8000}")
		return
	}
	if d.DNS != "" {
		host, port, ok := cutPort(d.DNS)
		if n, err := strconv.ParseUint(port, 10, 16); !ok || err != nil || n == 0 || !hostName(host) {
			r.at(join(path, "dns"), BadValue, r.shown(join(path, "dns"), d.DNS)+" is not a name and a port; write vllm.example.com:8000")
		}
	}
	if d.SRV != "" && !hostName(d.SRV) {
		r.at(join(path, "srv"), BadValue, r.shown(join(path, "srv"), d.SRV)+" is not the name of a service record; write _http._tcp.vllm.example.com")
	}
	if d.Kubernetes != nil {
		r.kubernetes(join(path, "kubernetes"), d.Kubernetes)
		if r.given[join(path, "every")] {
			r.warn(join(path, "every"), Pointless, "Kubernetes says by itself what changes; every is for dns, srv and local")
		}
	}
	if d.Local != "" {
		if _, ok := d.Ports(); !ok {
			r.at(join(path, "local"), BadValue, r.shown(join(path, "local"), d.Local)+" is no list of ports; write 8000-8007 or 8000,8080, 64 ports at most")
		}
		if d.Scheme != "http" || d.Path != "" {
			r.at(path, BadValue, "engines of this machine are asked over http and without a path; list them as urls where that is otherwise")
		}
	}
	if d.Every < time.Second {
		r.at(join(path, "every"), BadValue, "every is 1s at least")
	}
	if d.Path != "" {
		if why := badURL("http://host" + d.Path); why != "" || d.Path[0] != '/' {
			r.at(join(path, "path"), BadValue, "no path of a base URL; write one as /v1")
		}
		d.Path = strings.TrimRight(d.Path, "/")
	}
}

// objectName is the name of a service or a namespace of Kubernetes.
var objectName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

// kubernetes checks which service is meant.
func (r *reader) kubernetes(path string, k *Kubernetes) {
	for _, f := range []struct{ name, value string }{{"namespace", k.Namespace}, {"service", k.Service}} {
		if f.value != "" && !objectName.MatchString(f.value) {
			r.at(join(path, f.name), BadValue, "a "+f.name+" of Kubernetes is called by lower-case letters, digits and -, as "+f.name+": vllm")
		}
	}
	if n, err := strconv.ParseUint(string(k.Port), 10, 64); err == nil && (n == 0 || n > 65535) {
		r.at(join(path, "port"), BadValue, "a port is a number from 1 to 65535, or its name")
	}
}

// modelled checks how the simulator models an upstream that is none of its own. A
// profile is only assumed for what is simulated anyway.
func (r *reader) modelled(path string, u Upstream) {
	at := join(path, "engine")
	if BuiltIn(u.Kind) || u.Engine == nil {
		r.at(at, BadValue, "engine describes an engine that runs a model; kind is "+u.Kind)
		return
	}
	for _, name := range []string{"replicas", "min_output_tokens", "max_output_tokens"} {
		if r.given[join(at, name)] && (name != "replicas" || u.Discover == nil) {
			r.at(join(at, name), BadValue, name+" is for kind simulated; kind is "+u.Kind)
		}
	}
	if !r.given[join(at, "profile")] {
		for _, name := range []string{"prefill", "step_base", "kv_tokens"} {
			if !r.given[join(at, name)] {
				r.at(at, BadValue, "an engine needs a profile to start from, or prefill, step_base and kv_tokens at least")
				return
			}
		}
	}
	if err := u.Engine.Params().Check(); err != nil {
		r.at(at, BadValue, strings.TrimPrefix(err.Error(), "latency: "))
	}
}

// cloudName is a name of Google Cloud's, of a project or a location.
// marking are the kinds that can be told which part of prompts stays the same.
var marking = []string{OpenAI, Azure, Anthropic, Vertex, Bedrock}

var cloudName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// cloud checks where a vertex upstream is asked.
func (r *reader) cloud(path string, u Upstream) {
	for _, f := range []struct{ name, value string }{{"project", u.Project}, {"location", u.Location}} {
		switch {
		case f.value == "":
		case u.Kind != Vertex:
			r.at(join(path, f.name), BadValue, f.name+" is for kind vertex; kind is "+u.Kind)
		case !cloudName.MatchString(strings.TrimPrefix(f.value, "google.com:")):
			r.at(join(path, f.name), BadValue, "a "+f.name+" of Google Cloud is made of lower-case letters, digits and -, and starts with a letter")
		}
	}
	if u.Kind != Vertex {
		return
	}
	at := join(path, "key")
	for i, k := range u.Credentials() {
		if len(u.Keys) > 0 {
			at = join(path, "keys") + "[" + strconv.Itoa(i) + "]"
		}
		if !strings.HasPrefix(strings.TrimSpace(k.Reveal()), "{") && !r.told(at) {
			r.at(at, BadSecret, "the key of a vertex upstream is the JSON of a service account's file, as ${file:/path/to/key.json}")
		}
	}
}

// credentials checks the credentials of an upstream that has several.
func (r *reader) credentials(path string, u Upstream) {
	if len(u.Keys) > 0 && !u.Key.Empty() {
		r.at(path, BadValue, "key and keys: write all credentials into keys")
	}
	seen := map[string]int{}
	for i, k := range u.Keys {
		at := path + "[" + strconv.Itoa(i) + "]"
		if u.Kind != Vertex {
			r.clean(at, k)
		}
		if first, twice := seen[k.Reveal()]; twice && !k.Empty() {
			r.at(at, Duplicate, "the same credential as keys["+strconv.Itoa(first)+"]: each has limits of its own")
		}
		seen[k.Reveal()] = i
	}
}

// badURL returns what is wrong with the base URL of an engine, without repeating it:
// it may hold a password.
func badURL(s string) string {
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Host == "" && u.Opaque == "" && u.Scheme == "", u.Scheme != "http" && u.Scheme != "https":
		return "no URL of an engine; it starts with http:// or https://"
	case u.Hostname() == "":
		return "a URL without a host"
	case u.User != nil:
		return "a URL with a user or password in it; put the credential into key"
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return "a base URL has no ? and no #"
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return "a URL with a port that does not exist"
		}
	}
	for _, end := range []string{"/chat/completions", "/completions", "/messages", "/models", "/embeddings", "/responses"} {
		if strings.HasSuffix(strings.TrimRight(u.Path, "/"), end) {
			return "a base URL ends before " + end + ", as in http://127.0.0.1:8000/v1"
		}
	}
	return ""
}

func (r *reader) model(name string) {
	path, m := join("models", name), r.cfg.Models[name]
	_, m.Timeouts.FirstTokenSet = r.cfg.origins[path+".timeouts.first_token"]
	if m.Cache.Exact == ExactOff && !r.given[join(path, "cache.embeddings")] {
		m.Cache.Embeddings = EmbeddingsOff
	}
	r.cfg.Models[name] = m
	if r.given[join(path, "targets")] && len(m.Targets) == 0 {
		r.at(join(path, "targets"), Missing, path+" has no targets: nothing could serve it")
	}
	r.fits(path, m)
	r.reuse(path, m.Cache)
	upstreams := slices.Sorted(maps.Keys(r.cfg.Upstreams))
	r.arms(path, m)
	r.choice(path, &m, slices.Sorted(maps.Keys(r.cfg.Tiers)))
	for i, t := range m.Targets {
		at := join(path, "targets") + "[" + strconv.Itoa(i) + "]"
		r.adapter(at, t)
		if _, ok := r.cfg.Upstreams[t.Upstream]; !ok && t.Upstream != "" {
			r.at(join(at, "upstream"), UnknownName, "no upstream "+r.shown(join(at, "upstream"), t.Upstream)+meant(t.Upstream, upstreams, "there are"))
		}
		if r.given[join(at, "weight")] && m.Policy != ByWeight && m.Policy != ByDistance {
			r.warn(join(at, "weight"), Pointless, "weight counts under policy: weight and nearest, and the policy here is "+m.Policy)
		}
	}
	if to := m.Timeouts; to.Total > 0 {
		if to.FirstTokenSet && to.FirstToken > to.Total {
			r.warn(path+".timeouts.first_token", Pointless, "longer than total, "+showDuration(to.Total)+", which ends the answer before")
		}
		if r.given[path+".timeouts.idle"] && to.Idle > to.Total {
			r.warn(path+".timeouts.idle", Pointless, "longer than total, "+showDuration(to.Total)+", which ends the answer before")
		}
	}
}

// MaxTargets bounds the targets of a model, together with the cells that stand behind
// them.
const MaxTargets = 16

// fits checks that a model has no more targets than count.
func (r *reader) fits(path string, m Model) {
	cells := len(r.cfg.Cells)
	if !slices.ContainsFunc(m.Targets, func(t Target) bool { return !BuiltIn(r.cfg.Upstreams[t.Upstream].Kind) }) {
		cells = 0 // what is inside each process is asked of no other
	}
	n, room := len(m.Targets), max(MaxTargets-cells, 1)
	if n <= room {
		return
	}
	words := "a model has " + strconv.Itoa(MaxTargets) + " targets at most, and this one has " + strconv.Itoa(n)
	if cells > 0 {
		words = "a model has " + strconv.Itoa(MaxTargets) + " targets at most, each of the " + strconv.Itoa(cells) + " cells is one, and this model has " + strconv.Itoa(n) + " of its own"
	}
	r.at(join(path, "targets")+"["+strconv.Itoa(room)+"]", BadValue, words+"; replicas of the same engine are one target: write their addresses into the urls of one upstream")
}

// shortest is the least number of characters of a secret of the file's: fewer can
// be guessed.
const shortest = 16

func (r *reader) keys() {
	c := r.cfg
	tiers := slices.Sorted(maps.Keys(c.Tiers))
	names, secrets := map[string]int{}, map[string]int{}
	for i, k := range c.Keys {
		path := "keys[" + strconv.Itoa(i) + "]"
		if first, twice := names[k.Name]; twice && k.Name != "" {
			r.at(join(path, "name"), Duplicate, "the name of keys["+strconv.Itoa(first)+"] too; each key has a name of its own")
		} else {
			names[k.Name] = i
		}
		if k.Name != "" && !entryName.MatchString(k.Name) {
			r.at(join(path, "name"), BadValue, "a key's name is made of letters, digits and . _ : / @ + -, starts with a letter or digit, and has 128 characters at most")
		}
		r.secret(join(path, "secret"), k.Secret, i, secrets)
		if _, ok := c.Tiers[k.Tier]; !ok && k.Tier != "" {
			r.at(join(path, "tier"), UnknownName, "no tier "+r.shown(join(path, "tier"), k.Tier)+meant(k.Tier, tiers, "there are"))
		}
		if k.Budget.Limited() {
			r.without(path, "budget")
		}
		if r.given[join(path, "models")] && len(k.Models) == 0 {
			r.at(join(path, "models"), BadValue, "an empty list would allow nothing; leave models out, or write [\"*\"], to allow everything")
		}
		r.stays(path, k.Residency)
		if k.Place != "" {
			r.located(join(path, "place"), k.Place)
		}
		if _, ok := c.Residency(k.Tenant, k.Tier, k.Residency); !ok {
			r.at(path, BadValue, path+" may go nowhere: its residency, that of its tenant and that of its tier have no region in common")
		}
		for j, m := range k.Models {
			r.allowed(join(path, "models")+"["+strconv.Itoa(j)+"]", m)
		}
	}
}

func (r *reader) secret(path string, s tenant.Secret, i int, secrets map[string]int) {
	if s.Empty() {
		return // reported where it was read
	}
	r.clean(path, s)
	if n := len([]rune(s.Reveal())); n < shortest {
		r.at(path, BadSecret, "a secret of "+strconv.Itoa(n)+" characters; "+strconv.Itoa(shortest)+" or more cannot be guessed")
	}
	if first, twice := secrets[s.Reveal()]; twice {
		r.at(path, BadSecret, "the same secret as keys["+strconv.Itoa(first)+"]; it would be unclear who calls")
	} else {
		secrets[s.Reveal()] = i
	}
}

// clean refuses a credential that no HTTP header can carry.
func (r *reader) clean(path string, s tenant.Secret) {
	if strings.ContainsFunc(s.Reveal(), func(c rune) bool { return c > unicode.MaxASCII || !unicode.IsPrint(c) || c == ' ' }) {
		r.at(path, BadSecret, "a secret with a space, a line end or another character that no HTTP header carries")
	}
}

// allowed warns of a pattern that no model of the file matches.
func (r *reader) allowed(path, pattern string) {
	c := r.cfg
	prefix, wild := strings.CutSuffix(pattern, "*")
	if strings.Contains(prefix, "*") {
		r.at(path, BadValue, "a * stands at the end of a name, or alone")
		return
	}
	if upstream, _, ok := strings.Cut(pattern, "/"); ok {
		if _, known := c.Upstreams[upstream]; known {
			return
		}
	}
	names := slices.Sorted(maps.Keys(c.Models))
	for _, n := range append(names, slices.Collect(maps.Keys(c.Upstreams))...) {
		if n == pattern || wild && (strings.HasPrefix(n, prefix) || strings.HasPrefix(prefix, n+"/")) {
			return
		}
	}
	if pattern != "*" {
		r.warn(path, Pointless, "no model "+r.shown(path, pattern)+" in this file"+meant(pattern, names, "there are"))
	}
}

// notYet says what to use instead of what is known and not in this release.
func notYet(path, field, value string) (string, bool) {
	scheme, _, _ := strings.Cut(value, ":")
	switch {
	case path == "state" && slices.Contains([]string{"postgres", "postgresql"}, scheme):
		return "PostgreSQL is not in this release; write state: sqlite", true
	case path == "state" || field != "kind":
		return "", false
	case slices.Contains([]string{"cohere", "perplexity"}, value):
		return "kind " + value + " is not in this release; where it speaks the OpenAI dialect, write kind: openai and its urls", true
	default:
		return "", false
	}
}
