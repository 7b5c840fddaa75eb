// Package config reads what an operator may set: strict, defaulted, checkable
// offline, and every value knows its origin.
//
// One struct a section, its defaults beside it; field names, descriptions, bounds
// and the JSON Schema come from the same struct tags: json is the name in the file
// (required without omitzero), jsonschema the description, enum, min and max what
// is accepted. Money is in USD, times are time.Duration, sizes are bytes.
//
// A file is read whole or not at all: a Config without problems, or every problem
// with its place. Secrets are a type of their own that never prints.
package config

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"headworks/internal/catalog"
	"headworks/internal/latency"
	"headworks/internal/tenant"
)

// Config is one file, read and checked. Nobody changes it afterwards.
type Config struct {
	Listen       string                              `json:"listen,omitzero" jsonschema:"address of the API and the console"`
	TLS          TLS                                 `json:"tls,omitzero" jsonschema:"encrypts what listen serves"`
	Admin        Admin                               `json:"admin,omitzero" jsonschema:"the admin API and /metrics, on a listener of their own"`
	Region       string                              `json:"region,omitzero" jsonschema:"the cell this process is"`
	Zone         string                              `json:"zone,omitzero" jsonschema:"the failure domain inside the region that this process is in"`
	Peers        Peers                               `json:"peers,omitzero" jsonschema:"the other gateways of this cell, who tell each other what they know"`
	Cells        map[string]Cell                     `json:"cells,omitzero" jsonschema:"the gateways of other regions, by region"`
	DNS          DNS                                 `json:"dns,omitzero" jsonschema:"the name under which callers find the nearest cell"`
	Data         string                              `json:"data,omitzero" jsonschema:"folder of everything that is kept; created where missing"`
	State        string                              `json:"state,omitzero" enum:"sqlite" jsonschema:"where what must survive is kept"`
	Shared       string                              `json:"shared,omitzero" jsonschema:"where what several processes share is kept: none, or a Redis or Valkey, as redis://host:6379/0"`
	SharedSecret tenant.Secret                       `json:"shared_password,omitzero" jsonschema:"the password of shared, best as a reference"`
	Cache        Cache                               `json:"cache,omitzero" jsonschema:"what keeps answers and what else was computed once"`
	Knowledge    Knowledge                           `json:"knowledge,omitzero" jsonschema:"where collections of documents are kept"`
	Upstreams    map[string]Upstream                 `json:"upstreams,omitzero" jsonschema:"engines and providers, by name"`
	Models       map[string]Model                    `json:"models,omitzero" jsonschema:"what callers ask for, by name"`
	Tiers        map[string]Tier                     `json:"tiers,omitzero" jsonschema:"what a class of callers may use, by name"`
	Tenants      map[string]Tenant                   `json:"tenants,omitzero" jsonschema:"what holds for all keys of an organisation, by name"`
	Keys         []Key                               `json:"keys,omitzero" jsonschema:"who may call; keys usually live in the store and may be pinned here"`
	Regions      map[string][]string                 `json:"regions,omitzero" jsonschema:"groups of regions, by name, for residency"`
	Distances    map[string]map[string]time.Duration `json:"distances,omitzero" jsonschema:"round trips between regions, such as eu-west: {us-east: 80ms}"`
	Places       map[string][]string                 `json:"places,omitzero" jsonschema:"where callers are by their address: ranges of addresses by region or region/zone; the smallest range that holds an address counts"`
	Proxies      []string                            `json:"trusted_proxies,omitzero" jsonschema:"ranges of addresses of proxies that are believed where a caller is: x-headworks-place and x-forwarded-for"`
	Limits       Limits                              `json:"limits,omitzero" jsonschema:"what this process takes on at once"`
	Responses    Responses                           `json:"responses,omitzero" jsonschema:"answers of the Responses API that callers ask to have kept"`
	CORS         CORS                                `json:"cors,omitzero" jsonschema:"which web pages of other origins may call the API from a browser"`
	Alerts       Alerts                              `json:"alerts,omitzero" jsonschema:"objectives, and what is told where they are missed"`
	Log          Log                                 `json:"log,omitzero" jsonschema:"what is written to the log"`
	DrainDelay   time.Duration                       `json:"drain_delay,omitzero" jsonschema:"how long a stopping process still accepts while it says that it is not ready"`
	DrainTimeout time.Duration                       `json:"drain_timeout,omitzero" jsonschema:"how long a stopping process lets answers finish"`

	name    string
	origins map[string]origin
	carded  map[string]bool // paths of what the model card says
}

func (c *Config) defaults() {
	c.Listen, c.Region, c.Data = "127.0.0.1:7300", "local", "./data"
	c.State, c.Shared = "sqlite", Apart
	c.DrainDelay, c.DrainTimeout = 5*time.Second, 10*time.Minute
}

// TLS is the certificate of a listener and its key; without one, what is served is
// not encrypted.
type TLS struct {
	Cert string `json:"cert,omitzero" jsonschema:"file of the certificate and those that lead to its authority, in PEM"`
	Key  string `json:"key,omitzero" jsonschema:"file of the certificate's private key, in PEM"`
}

// On reports whether there is a certificate.
func (t *TLS) On() bool { return t.Cert != "" }

// Admin is where operators and scrapers come in.
type Admin struct {
	Listen string `json:"listen,omitzero" jsonschema:"address of the admin API and /metrics"`
	TLS    TLS    `json:"tls,omitzero" jsonschema:"encrypts what the admin listener serves"`
}

func (a *Admin) defaults() { a.Listen = "127.0.0.1:7301" }

// The kinds of upstream.
const (
	OpenAI       = "openai"
	Anthropic    = "anthropic"
	Gemini       = "gemini"
	Azure        = "azure"
	Bedrock      = "bedrock"
	Vertex       = "vertex"
	VLLM         = "vllm"
	LlamaCpp     = "llamacpp"
	SGLang       = "sglang"
	TGI          = "tgi"
	Ollama       = "ollama"
	Simulated    = "simulated"
	LocalExtract = "local-extract"
	LocalEmbed   = "local-embed"
)

// SaltTenant keeps tenants apart in the caches of engines; see Upstream.CacheSalt.
const SaltTenant = "tenant"

// PromptCacheMark tells a provider which part of prompts stays the same; see
// Upstream.PromptCache.
const PromptCacheMark = "mark"

// Upstream is a pool of engines that serve the same models, or a provider.
type Upstream struct {
	Kind        string          `json:"kind" enum:"kinds" jsonschema:"what is spoken to"`
	Key         tenant.Secret   `json:"key,omitzero" jsonschema:"the credential to call it with, best as a reference"`
	Keys        []tenant.Secret `json:"keys,omitzero" jsonschema:"several credentials to call it with, in the place of key; one that fails or is at its limit rests while the others serve"`
	URLs        []string        `json:"urls,omitzero" jsonschema:"base URL of each replica, with or without /v1; a provider has a default"`
	Replicas    []Replica       `json:"replicas,omitzero" jsonschema:"the replicas one by one, in the place of urls, where they are not all in one place"`
	Discover    *Discover       `json:"discover,omitzero" jsonschema:"where its replicas are found, in the place of urls"`
	Project     string          `json:"project,omitzero" jsonschema:"the project of Google Cloud that a vertex upstream is asked in; that of its key unless given"`
	Location    string          `json:"location,omitzero" jsonschema:"the location of Google Cloud that a vertex upstream is asked in, such as europe-west4; global unless given"`
	APIVersion  string          `json:"api_version,omitzero" jsonschema:"the version of Azure's older API, such as 2024-10-21, where deployments stand in the path; the v1 API unless given"`
	Region      string          `json:"region,omitzero" jsonschema:"where it runs"`
	Zone        string          `json:"zone,omitzero" jsonschema:"the failure domain inside the region"`
	Hardware    string          `json:"hardware,omitzero" jsonschema:"what it runs on"`
	Schedule    string          `json:"schedule,omitzero" enum:"prefix,least-requests,two-choices,session,lmetric,round-robin,random" jsonschema:"how one of several replicas is chosen"`
	KVTokens    int             `json:"kv_tokens,omitzero" min:"1024" max:"1073741824" jsonschema:"tokens that the KV cache of each replica holds, where known"`
	CacheSalt   string          `json:"cache_salt,omitzero" enum:"off,tenant" jsonschema:"whether tenants share what engines keep of prompts: off (they do), or tenant: each has its own (vLLM, SGLang: cache_salt)"`
	PromptCache string          `json:"prompt_cache,omitzero" enum:"off,mark" jsonschema:"whether a provider is told which part of prompts stays the same, so that it keeps it: off (as callers say), or mark (openai, azure, anthropic, vertex, bedrock)"`
	MaxLoRAs    int             `json:"max_loras,omitzero" min:"1" max:"1024" jsonschema:"adapters that each replica holds at once, as its engine was told (vLLM: --max-loras, SGLang: --max-loras-per-batch)"`
	Prefill     string          `json:"prefill,omitzero" jsonschema:"name of another upstream of kind vllm, with the same models, whose replicas read prompts for those of this one"`
	PrefillRate float64         `json:"prefill_rate,omitzero" min:"1" max:"100000000" jsonschema:"prompt tokens that each replica reads a second, where known"`
	StepTokens  int             `json:"step_tokens,omitzero" min:"1" max:"134217728" jsonschema:"tokens that a step of each replica takes on, where known (vLLM: max_num_batched_tokens)"`
	Class       string          `json:"class,omitzero" jsonschema:"names engines that behave alike: what is learned of how fast one is holds for all upstreams of a class; its own name unless given"`
	Metrics     string          `json:"metrics,omitzero" jsonschema:"where each replica tells its load: on (where its kind does), off, a path such as /metrics, a port and a path such as :8002/metrics, or a whole URL"`
	GPU         []string        `json:"gpu,omitzero" jsonschema:"where an exporter of GPUs is: one for all replicas or one for each, as a port and a path such as :9400/metrics or a whole URL, and behind # the numbers of the GPUs, all unless given"`
	Engine      *Engine         `json:"engine,omitzero" jsonschema:"how a simulated engine behaves; of other kinds, how the simulator models theirs"`
}

// Replica is one replica of an upstream, and where it is.
type Replica struct {
	URL    string `json:"url" jsonschema:"its base URL, with or without /v1"`
	Region string `json:"region,omitzero" jsonschema:"where it runs; as the upstream unless given"`
	Zone   string `json:"zone,omitzero" jsonschema:"the failure domain inside the region; as the upstream unless given"`
}

// Discover says where the replicas of an upstream are found, as they come and go: by one
// of DNS, SRV, Kubernetes and Local.
type Discover struct {
	DNS        string        `json:"dns,omitzero" jsonschema:"a name and a port, as vllm.example.com:8000: each address of the name is a replica"`
	SRV        string        `json:"srv,omitzero" jsonschema:"the name of service records, as _http._tcp.vllm.example.com: each target is a replica"`
	Kubernetes *Kubernetes   `json:"kubernetes,omitzero" jsonschema:"a service of Kubernetes: each of its ready endpoints is a replica"`
	Local      string        `json:"local,omitzero" jsonschema:"ports of this machine, as 8000-8007: each that an engine answers at is a replica"`
	Scheme     string        `json:"scheme,omitzero" enum:"http,https" jsonschema:"how replicas are spoken to"`
	Path       string        `json:"path,omitzero" jsonschema:"the path of each replica's base URL, as /v1"`
	Every      time.Duration `json:"every,omitzero" jsonschema:"from one look to the next, with dns, srv and local; 1s at least"`
	Most       int           `json:"max_replicas,omitzero" min:"1" max:"1024" jsonschema:"how many replicas count; what is found beyond is left out"`
}

func (d *Discover) defaults() { d.Scheme, d.Every, d.Most = "http", 5*time.Second, 256 }

// By names what the replicas are found by.
func (d *Discover) By() string {
	switch {
	case d.DNS != "":
		return "dns"
	case d.SRV != "":
		return "srv"
	case d.Kubernetes != nil:
		return "kubernetes"
	default:
		return "local"
	}
}

// mostPorts bounds the ports of this machine that are looked at.
const mostPorts = 64

// Ports returns the ports of this machine that Local names, as 8000-8007 or 8000,8080,
// or false if it does not.
func (d *Discover) Ports() ([]uint16, bool) {
	var ports []uint16
	for part := range strings.SplitSeq(d.Local, ",") {
		low, high, several := strings.Cut(strings.TrimSpace(part), "-")
		if !several {
			high = low
		}
		first, err := strconv.ParseUint(strings.TrimSpace(low), 10, 16)
		last, err2 := strconv.ParseUint(strings.TrimSpace(high), 10, 16)
		if err != nil || err2 != nil || first == 0 || last < first || last-first >= mostPorts {
			return nil, false
		}
		for n := first; n <= last; n++ {
			ports = append(ports, uint16(n))
		}
	}
	slices.Sort(ports)
	ports = slices.Compact(ports)
	return ports, len(ports) <= mostPorts
}

// Kubernetes is a service whose endpoints are replicas.
type Kubernetes struct {
	Service    string `json:"service" jsonschema:"the name of the service"`
	Namespace  string `json:"namespace,omitzero" jsonschema:"of the service; this pod's own unless given, or that of the kubeconfig's context"`
	Port       Port   `json:"port,omitzero" jsonschema:"name or number of the endpoints' port; may be left out where there is one"`
	Kubeconfig string `json:"kubeconfig,omitzero" jsonschema:"a file that says where the API server is and how to sign in; inside a pod nothing has to be said"`
}

// Port is a port by its name or its number.
type Port string

// DefaultURL returns where a kind is reached unless the file says otherwise; empty
// for kinds that run anywhere.
func DefaultURL(kind string) string {
	k, _ := catalog.Find(kind)
	return k.URL
}

// Credentials returns the credentials to call an upstream with: one that is empty,
// where it needs none.
func (u *Upstream) Credentials() []tenant.Secret {
	if len(u.Keys) > 0 {
		return u.Keys
	}
	return []tenant.Secret{u.Key}
}

// Found reports whether replicas of a kind can be found: it is one that runs
// anywhere.
func Found(kind string) bool {
	return Own(kind) || kind == OpenAI
}

// Own reports whether a kind is one of engines that one runs oneself, rather than of a
// provider or of whoever speaks OpenAI's dialect.
func Own(kind string) bool {
	k, _ := catalog.Find(kind)
	return k.Port > 0
}

// BuiltIn reports whether engines of a kind live inside this process and have no
// URL.
func BuiltIn(kind string) bool {
	k, _ := catalog.Find(kind)
	return k.BuiltIn
}

// Engine says how fast an engine is, as the simulator models it, and how much it holds. What is zero
// is the profile's.
type Engine struct {
	Profile         string        `json:"profile,omitzero" enum:"demo-small,demo-large,qwen3-32b-2xh100" jsonschema:"the engine to start from"`
	Replicas        int           `json:"replicas,omitzero" min:"1" max:"1024" jsonschema:"how many of them"`
	Prefill         float64       `json:"prefill,omitzero" min:"100" max:"10000000" jsonschema:"prompt tokens read a second"`
	StepBase        time.Duration `json:"step_base,omitzero" jsonschema:"time of a step that only reads the weights"`
	Kappa           float64       `json:"kappa,omitzero" min:"0" max:"10000" jsonschema:"nanoseconds a step takes longer for each KV token it reads"`
	PerSequence     time.Duration `json:"per_sequence,omitzero" jsonschema:"time a step takes longer for each sequence in it"`
	Overhead        time.Duration `json:"overhead,omitzero" jsonschema:"time to the first token that no step explains"`
	KVTokens        int           `json:"kv_tokens,omitzero" min:"16" max:"134217728" jsonschema:"tokens the KV cache holds"`
	StepTokens      int           `json:"step_tokens,omitzero" min:"1" max:"134217728" jsonschema:"tokens a step takes on (vLLM: max_num_batched_tokens)"`
	MaxBatch        int           `json:"max_batch,omitzero" min:"1" max:"65536" jsonschema:"sequences a step takes on (vLLM: max_num_seqs)"`
	MinOutputTokens int           `json:"min_output_tokens,omitzero" min:"1" max:"1000000" jsonschema:"the shortest answer"`
	MaxOutputTokens int           `json:"max_output_tokens,omitzero" min:"1" max:"1000000" jsonschema:"the longest answer"`
}

func (e *Engine) defaults() {
	e.Profile, e.Replicas = latency.DemoSmall, 1
	e.MinOutputTokens, e.MaxOutputTokens = 40, 120
}

// Params returns the engine model: the profile with what the file changes.
func (e *Engine) Params() latency.Params {
	p, _ := latency.Profile(e.Profile)
	time := func(to *latency.Picoseconds, d time.Duration) {
		if d > 0 {
			*to = latency.Picoseconds(min(d.Nanoseconds(), 1e9*1000)) * latency.Nanosecond
		}
	}
	count := func(to *int, n int) {
		if n > 0 {
			*to = n
		}
	}
	time(&p.Base, e.StepBase)
	time(&p.PerSequence, e.PerSequence)
	if e.Prefill > 0 {
		p.PerPrefillToken = latency.Picoseconds(float64(latency.Second) / e.Prefill)
	}
	if e.Kappa > 0 {
		p.PerKVToken = latency.Picoseconds(e.Kappa * float64(latency.Nanosecond))
	}
	if e.Overhead > 0 {
		p.Overhead = e.Overhead
	}
	count(&p.KVTokens, e.KVTokens)
	count(&p.StepTokens, e.StepTokens)
	count(&p.MaxSequences, e.MaxBatch)
	return p
}

// The policies of a model.
const (
	ByOrder    = "order"
	ByWeight   = "weight"
	ByDistance = "nearest"
	Best       = "best"
)

// Model is what callers ask for by name.
type Model struct {
	Targets    []Target    `json:"targets" jsonschema:"ways to serve it"`
	Policy     string      `json:"policy,omitzero" enum:"order,weight,nearest,best" jsonschema:"the first available target, drawn by weight, the nearest to the caller that has capacity, or the best for each request"`
	Sticky     string      `json:"sticky,omitzero" enum:"request,session,user,key" jsonschema:"whom a target is drawn for, so that the same one comes first each time"`
	Salt       string      `json:"salt,omitzero" jsonschema:"what sets an experiment apart: another one draws everybody anew"`
	Canary     *Canary     `json:"canary,omitzero" jsonschema:"a target that gets a growing share of the requests, and none once it does worse than the others"`
	Shadow     *Shadow     `json:"shadow,omitzero" jsonschema:"another model that is asked the same, whose answers nobody sees"`
	Cascade    *Cascade    `json:"cascade,omitzero" jsonschema:"the answer of each target but the last is looked at before anybody gets it; what does not pass is asked of the next one"`
	Classifier *Classifier `json:"classifier,omitzero" jsonschema:"a model that says how hard a request is, as one more signal under policy best"`
	Cache      ModelCache  `json:"cache,omitzero" jsonschema:"which earlier answers may stand in for new ones"`
	Knowledge  *Grounding  `json:"knowledge,omitzero" jsonschema:"documents that it answers from"`
	Timeouts   Timeouts    `json:"timeouts,omitzero" jsonschema:"bounds on the phases of an answer; 0s is no bound"`
	Choice     Choice      `json:"choice,omitzero" jsonschema:"what counts under policy best"`
	Objectives Objectives  `json:"objectives,omitzero" jsonschema:"how soon answers should come; under policy best they count, and replicas that are predicted to miss them are passed over"`
	Late       string      `json:"late,omitzero" enum:"serve,refuse" jsonschema:"what becomes of a stream that no replica is predicted to begin within its objective"`
	Tries      int         `json:"tries,omitzero" min:"1" max:"3" jsonschema:"tries on one target, once an engine got the work"`
	Card       string      `json:"card,omitzero" enum:"on,off" jsonschema:"whether what the file does not say of a target is taken from the model card inside the program: price, window, longest answer, capabilities"`
	Dropped    string      `json:"dropped,omitzero" enum:"warn,drop,reject" jsonschema:"fields that a target cannot be told: named in x-headworks-dropped, left out without a word, or a reason to ask another target or none"`
}

// Whom a target is drawn for.
const (
	ByRequest = "request"
	BySession = "session"
	ByUser    = "user"
	ByKey     = "key"
)

// What becomes of streams that no replica is predicted to begin within their objective.
const (
	LateServe  = "serve"
	LateRefuse = "refuse"
)

// Whether the model card counts.
const (
	CardOn  = "on"
	CardOff = "off"
)

// What becomes of fields that a target cannot be told.
const (
	DroppedWarn   = "warn"
	DroppedDrop   = "drop"
	DroppedReject = "reject"
)

func (m *Model) defaults() {
	m.Policy, m.Sticky, m.Tries, m.Dropped, m.Card, m.Late = ByOrder, ByRequest, 2, DroppedWarn, CardOn, LateServe
}

// DefaultModel returns what holds for a model that the file does not name, as one
// asked for as upstream/model. It has no targets.
func DefaultModel() Model {
	var m Model
	fill(&m)
	return m
}

// How a classifier is asked.
const (
	AsClasses = "classify"
	AsChat    = "chat"
)

// Classifier is a model that says how hard a request is. It is one more signal: without
// its word requests are served all the same.
type Classifier struct {
	Upstream string             `json:"upstream" jsonschema:"name of an upstream"`
	Model    string             `json:"model" jsonschema:"the upstream's name for the model"`
	As       string             `json:"as,omitzero" enum:"classify,chat" jsonschema:"by the path of vLLM and SGLang for models that classify, or as a chat that answers with a label; classify for those kinds unless given, chat for others"`
	Labels   map[string]float64 `json:"labels" min:"0" max:"1" jsonschema:"what it may say, and how hard a request is then, 0 to 1"`
	Timeout  time.Duration      `json:"timeout,omitzero" jsonschema:"how long its word is waited for"`
	Price    *Price             `json:"price,omitzero" jsonschema:"what its tokens cost, USD per million"`
}

func (c *Classifier) defaults() { c.Timeout = 50 * time.Millisecond }

// Classes reports whether it is asked by the path of models that classify.
func (c *Classifier) Classes(kind string) bool {
	if c.As == "" {
		return kind == VLLM || kind == SGLang
	}
	return c.As == AsClasses
}

// What the answer of a target has to pass.
const (
	VerifyWhole   = "whole"
	VerifyRefusal = "refusal"
	VerifyJSON    = "json"
)

// Cascade is what the answer of a target has to pass where another one comes behind it.
type Cascade struct {
	Verify []string `json:"verify,omitzero" enum:"whole,refusal,json" jsonschema:"what is looked at: that it is neither cut nor empty, that it does not begin as refusals do, that it is JSON where that was asked for, of the schema asked for, and calls tools with arguments that are theirs"`
	Match  string   `json:"match,omitzero" jsonschema:"a regular expression (RE2) that finds something in its text"`
	Reject string   `json:"reject,omitzero" jsonschema:"a regular expression (RE2) that finds nothing in its text"`
	Judge  *Judge   `json:"judge,omitzero" jsonschema:"a model that is asked whether an answer that passed the rest answers its question"`
}

func (c *Cascade) defaults() { c.Verify = []string{VerifyWhole, VerifyRefusal, VerifyJSON} }

// Judge is a model that says whether an answer answers its question.
type Judge struct {
	Upstream string        `json:"upstream" jsonschema:"name of an upstream"`
	Model    string        `json:"model" jsonschema:"the upstream's name for the model"`
	Timeout  time.Duration `json:"timeout,omitzero" jsonschema:"how long its verdict is waited for"`
	Price    *Price        `json:"price,omitzero" jsonschema:"what its tokens cost, USD per million"`
}

func (j *Judge) defaults() { j.Timeout = 5 * time.Second }

// Canary is a target that gets a share of a model's requests, which grows by steps as
// long as the target does no worse than the others.
type Canary struct {
	Target  string        `json:"target" jsonschema:"the name of one of the model's targets"`
	Steps   []Share       `json:"steps,omitzero" jsonschema:"its share of the requests, one step after the other; 100% at the end makes it the first target for good"`
	Every   time.Duration `json:"every,omitzero" jsonschema:"how long a step lasts at least"`
	Min     int           `json:"min,omitzero" min:"1" max:"1000000" jsonschema:"how many of its answers a step needs at least"`
	Errors  Share         `json:"errors,omitzero" jsonschema:"an error rate so far above that of the others is too much; 0% is not compared"`
	TTFT    Factor        `json:"ttft,omitzero" jsonschema:"so many times the others' median time to the first token is too much; 0x is not compared"`
	TPOT    Factor        `json:"tpot,omitzero" jsonschema:"so many times the others' median time of a token is too much; 0x is not compared"`
	Quality Share         `json:"quality,omitzero" jsonschema:"a rate of bad verdicts so far above that of the others is too much, and so is one of answers that verify finds wanting; 0% is not compared"`
	Verify  []string      `json:"verify,omitzero" enum:"whole,refusal,json" jsonschema:"what each answer is looked at for: that it is neither cut nor empty, that it does not begin as refusals do, that it is JSON where that was asked for, of the schema asked for, and calls tools with arguments that are theirs; an empty list for nothing"`
}

func (c *Canary) defaults() {
	c.Steps, c.Every, c.Min = []Share{0.05, 0.25, 0.5, 1}, 10*time.Minute, 50
	c.Errors, c.TTFT, c.TPOT, c.Quality = 0.05, 1.5, 1.5, 0.05
	c.Verify = []string{VerifyWhole, VerifyRefusal, VerifyJSON}
}

// Shadow is another model that gets copies of a model's requests. Nobody sees its
// answers.
type Shadow struct {
	Model    string `json:"model" jsonschema:"the name of another model of this file"`
	Share    Share  `json:"share,omitzero" jsonschema:"of how many requests a copy is made"`
	Parallel int    `json:"parallel,omitzero" min:"1" max:"256" jsonschema:"how many copies are asked for at once"`
}

func (s *Shadow) defaults() { s.Share, s.Parallel = 0.01, 4 }

// Target is one way to serve a model.
type Target struct {
	Name     string  `json:"name,omitzero" jsonschema:"what it is called in records, metrics and a canary"`
	Upstream string  `json:"upstream" jsonschema:"name of an upstream"`
	Model    string  `json:"model" jsonschema:"the upstream's name for the model"`
	Adapter  string  `json:"adapter,omitzero" jsonschema:"the upstream's name for a LoRA adapter of the model"`
	Quality  float64 `json:"quality,omitzero" min:"0" max:"1" jsonschema:"how good its answers are, 0 to 1; 0 is not measured"`
	Price    *Price  `json:"price,omitzero" jsonschema:"what its tokens cost, USD per million"`
	Weight   int     `json:"weight,omitzero" min:"1" max:"1000000" jsonschema:"share of requests under policy weight"`
	Window   int     `json:"window,omitzero" min:"0" max:"1000000000" jsonschema:"tokens of prompt and answer together; 0 is not known"`
	Output   int     `json:"max_output,omitzero" min:"0" max:"1000000000" jsonschema:"tokens of the longest answer; 0 is not known"`

	Capabilities []string `json:"capabilities,omitzero" enum:"tools,vision,documents,audio,json_schema,thinking" jsonschema:"what its model can do; nothing is known unless given"`

	Precision string `json:"precision,omitzero" enum:"fp32,fp16,bf16,fp8,int8,fp4,int4" jsonschema:"of its weights; a compressed variant is a target with a quality of its own"`

	// Carded tells that Window is of the model card, Able that Capabilities are, and
	// Released is when the card says that the model came out.
	Carded   bool  `json:"-"`
	Able     bool  `json:"-"`
	Released int64 `json:"-"`
}

func (t *Target) defaults() { t.Weight = 1 }

// Price is what tokens cost, in USD per million.
type Price struct {
	Input     float64  `json:"input" min:"0" max:"1000000" jsonschema:"USD per million prompt tokens"`
	Output    float64  `json:"output" min:"0" max:"1000000" jsonschema:"USD per million tokens of the answer"`
	CacheRead *float64 `json:"cache_read,omitzero" min:"0" max:"1000000" jsonschema:"USD per million prompt tokens read from the provider's cache; the input price unless given"`

	CacheWrite     *float64 `json:"cache_write,omitzero" min:"0" max:"1000000" jsonschema:"USD per million prompt tokens written to the provider's cache; the input price unless given"`
	CacheWriteHour *float64 `json:"cache_write_1h,omitzero" min:"0" max:"1000000" jsonschema:"USD per million prompt tokens written to it for an hour; as cache_write unless given"`
	Long           *Long    `json:"long,omitzero" jsonschema:"what requests with long prompts cost"`
}

// Long is what all tokens of a request cost whose prompt is longer than Above, in USD
// per million.
type Long struct {
	Above     int      `json:"above" min:"1" max:"1000000000" jsonschema:"tokens of the prompt beyond which this holds"`
	Input     float64  `json:"input" min:"0" max:"1000000" jsonschema:"USD per million prompt tokens"`
	Output    float64  `json:"output" min:"0" max:"1000000" jsonschema:"USD per million tokens of the answer"`
	CacheRead *float64 `json:"cache_read,omitzero" min:"0" max:"1000000" jsonschema:"USD per million prompt tokens read from the provider's cache; this input price unless given"`
}

// Timeouts bound the phases of an answer; 0 is no bound.
type Timeouts struct {
	FirstToken time.Duration `json:"first_token,omitzero" jsonschema:"a stream's first content; where set here, a whole answer's first byte too"`
	Idle       time.Duration `json:"idle,omitzero" jsonschema:"silence in the middle of an answer"`
	Total      time.Duration `json:"total,omitzero" jsonschema:"the whole answer"`

	// FirstTokenSet tells that the file sets FirstToken, which then bounds answers
	// that do not stream as well.
	FirstTokenSet bool `json:"-"`
}

// Without a measured distribution the first token has the upper end of what is
// ever granted: a long prompt on a slow machine is no failure.
func (t *Timeouts) defaults() {
	t.FirstToken, t.Idle, t.Total = 5*time.Minute, 30*time.Second, 10*time.Minute
}

// Tier is what a class of callers may use. What is zero is not limited.
type Tier struct {
	Priority    tenant.Class `json:"priority,omitzero" enum:"critical,standard,sheddable,batch" jsonschema:"who is served first when there is not room for all"`
	Requests    tenant.Rate  `json:"requests,omitzero" jsonschema:"requests per time of one key"`
	Tokens      tenant.Rate  `json:"tokens,omitzero" jsonschema:"tokens per time of one key"`
	Concurrency int          `json:"concurrency,omitzero" min:"0" max:"10000000" jsonschema:"requests of one key at once; 0 is no limit"`
	Residency   []string     `json:"residency,omitzero" jsonschema:"regions and groups of regions that its requests stay in; anywhere unless given"`
	Prefer      string       `json:"prefer,omitzero" enum:"quality,price,latency" jsonschema:"what counts most for its callers, where a model has policy best and they do not say"`
	MayPrefer   []string     `json:"may_prefer,omitzero" enum:"quality,price,latency" jsonschema:"what its callers may ask for with x-headworks-prefer; all unless given"`
	Objectives  Objectives   `json:"objectives,omitzero" jsonschema:"how soon answers should come for its callers, in the place of the model's"`
	Fastest     Objectives   `json:"fastest_objectives,omitzero" jsonschema:"the shortest times that its callers may ask for with x-headworks-objective"`
}

func (t *Tier) defaults() { t.Priority = tenant.Standard }

// Tenant is an organisation.
type Tenant struct {
	Residency []string `json:"residency,omitzero" jsonschema:"regions and groups of regions that its requests stay in; anywhere unless given"`
	Share     string   `json:"share,omitzero" enum:"organisation,public" jsonschema:"the widest scope in which what is cached for it may be used: its own keys', or everybody's where a model is cached publicly"`
}

func (t *Tenant) defaults() { t.Share = tenant.Organisation.String() }

// Key is who calls.
type Key struct {
	Name      string        `json:"name" jsonschema:"what it is called in logs and records"`
	Secret    tenant.Secret `json:"secret" jsonschema:"what the caller sends, 16 characters or more, best as a reference"`
	Tenant    string        `json:"tenant,omitzero" jsonschema:"the organisation"`
	Project   string        `json:"project,omitzero" jsonschema:"the project inside it"`
	Tier      string        `json:"tier,omitzero" jsonschema:"name of a tier; without one nothing is limited"`
	Models    []string      `json:"models,omitzero" jsonschema:"what it may ask for: names, or beginnings with a trailing *; everything unless given"`
	Place     string        `json:"place,omitzero" jsonschema:"where the caller is: a region, or region/zone; found out with each request unless given"`
	Residency []string      `json:"residency,omitzero" jsonschema:"regions and groups of regions that its requests stay in, within what its tenant and tier allow; anywhere unless given"`
	Budget    tenant.Budget `json:"budget,omitzero" jsonschema:"USD per time"`
	Expires   time.Time     `json:"expires,omitzero" jsonschema:"when it stops working"`
}

func (k *Key) defaults() { k.Tenant = "default" }

// Limits bound what this process takes on at once.
type Limits struct {
	InFlight  int           `json:"in_flight,omitzero" min:"1" max:"10000000" jsonschema:"requests served at once"`
	Queue     int           `json:"queue,omitzero" min:"0" max:"10000000" jsonschema:"requests that wait for a place"`
	QueueWait time.Duration `json:"queue_wait,omitzero" jsonschema:"how long one waits at most"`
	Body      Bytes         `json:"body,omitzero" min:"1024" max:"1073741824" jsonschema:"the largest request body"`
	Compress  Bytes         `json:"compress,omitzero" min:"0" max:"1073741824" jsonschema:"whole answers from this size on are compressed for clients that take gzip; 0 is never"`
}

func (l *Limits) defaults() {
	l.InFlight, l.Queue, l.QueueWait, l.Body, l.Compress = 10_000, 1_000, 2*time.Second, 32<<20, 16<<10
}

// Whether responses are kept.
const (
	StoreOn  = "on"
	StoreOff = "off"
)

// Responses are answers of the Responses API that are kept for their callers, so that
// they can be read again and gone on from.
type Responses struct {
	Store string        `json:"store,omitzero" enum:"on,off" jsonschema:"whether responses are kept whose caller does not say store false"`
	Keep  time.Duration `json:"keep,omitzero" jsonschema:"how long a conversation is kept after its last answer; 0s is no bound"`
	Bytes Bytes         `json:"bytes,omitzero" min:"1048576" max:"1099511627776" jsonschema:"how much is kept of all conversations; those that were not used for longest go first"`
}

func (r *Responses) defaults() { r.Store, r.Keep, r.Bytes = StoreOn, 30*24*time.Hour, 1<<30 }

// CORS says which web pages may call the API from a browser.
type CORS struct {
	Origins []string `json:"origins,omitzero" jsonschema:"origins of pages, such as https://app.example.com; * is any; none unless given"`
}

// What the log says of requests.
const (
	LogFaults = "faults"
	LogAll    = "all"
	LogOff    = "off"
)

// Log is what is written to the log.
type Log struct {
	Requests string `json:"requests,omitzero" enum:"faults,all,off" jsonschema:"a line for each request, for those that failed, or for none"`
	Level    string `json:"level,omitzero" enum:"debug,info,warn,error" jsonschema:"the least that is worth a line"`
}

func (l *Log) defaults() { l.Requests, l.Level = LogFaults, "info" }

// Default returns what holds where the file says nothing.
func Default() *Config {
	c := &Config{origins: map[string]origin{}, carded: map[string]bool{}}
	fill(c)
	return c
}

// Name returns the file's name as it was given; empty for defaults.
func (c *Config) Name() string { return c.name }

// Counts is how much a file holds.
type Counts struct{ Upstreams, Replicas, Models, Targets, Tiers, Keys int }

// Counts returns how much c holds.
func (c *Config) Counts() Counts {
	n := Counts{Upstreams: len(c.Upstreams), Models: len(c.Models), Tiers: len(c.Tiers), Keys: len(c.Keys)}
	for _, u := range c.Upstreams {
		switch {
		case u.Engine != nil && u.Kind == Simulated:
			n.Replicas += u.Engine.Replicas
		case BuiltIn(u.Kind):
			n.Replicas++
		default:
			n.Replicas += len(u.URLs) * len(u.Credentials())
		}
	}
	for _, m := range c.Models {
		n.Targets += len(m.Targets)
	}
	return n
}

// doubled is how many entries a file must have before twice as many is suspicious;
// below it, files grow by hand.
const doubled = 100

// Guard returns why next looks like an accident beside the running file: empty, or
// more than twice as large; nil if it does not. A start has no running file and
// needs no guard.
func Guard(running, next *Config) *Problem {
	was, is := running.Counts(), next.Counts()
	for _, n := range []struct {
		what    string
		was, is int
	}{
		{"upstreams", was.Upstreams, is.Upstreams},
		{"replicas", was.Replicas, is.Replicas},
		{"models", was.Models, is.Models},
		{"targets", was.Targets, is.Targets},
		{"keys", was.Keys, is.Keys},
	} {
		if n.is > doubled && n.is > 2*n.was {
			return &Problem{File: next.name, Code: Suspicious, Words: wordsf(
				"%d %s, the running configuration has %d: more than twice as many looks like an accident; restart to take it", n.is, n.what, n.was)}
		}
	}
	if was.Upstreams > 0 && is.Upstreams == 0 {
		return &Problem{File: next.name, Code: Suspicious, Words: wordsf(
			"no upstreams, the running configuration has %d: an empty file looks like an accident; restart to take it", was.Upstreams)}
	}
	return nil
}

// Restart returns the paths among changes that a reload cannot bring about.
func Restart(changes []Change) []string {
	var paths []string
	for _, c := range changes {
		if slices.Contains([]string{"listen", "tls.cert", "tls.key", "admin.listen", "admin.tls.cert", "admin.tls.key", "data", "state", "shared", "shared_password", "cache.secret", "cache.encrypt", "knowledge.postgres", "knowledge.weaviate", "knowledge.weaviate_key", "peers.listen", "peers.tls.cert", "peers.tls.key", "peers.tls.ca", "dns.listen"}, c.Path) {
			paths = append(paths, c.Path)
		}
	}
	return paths
}

// Override puts what a command line says in the file's stead; what is empty says
// nothing.
func (c *Config) Override(listen, admin, data string) {
	for path, v := range map[string]struct {
		to  *string
		say string
	}{"listen": {&c.Listen, listen}, "admin.listen": {&c.Admin.Listen, admin}, "data": {&c.Data, data}} {
		if v.say != "" {
			*v.to = v.say
			delete(c.origins, path)
		}
	}
}
