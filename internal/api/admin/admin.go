// Package admin is the surface for operators, on a listener of its own: status,
// requests and the reasons behind them, keys, reload, drain, metrics. All but
// health and metrics want the admin token. What it answers is JSON; its shapes
// are declared here, and the client reads the same.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"headworks/internal/api"
	"headworks/internal/cell"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/peer"
	"headworks/internal/record"
)

// Records finds what was kept of requests.
type Records interface {
	Find(id inference.ID) (record.Record, bool, error)
	Recent(n int, match func(*record.Record) bool) ([]record.Record, error)
}

// Keys creates, lists and revokes keys. Its errors are *fault.Error where the
// operator can mend them.
type Keys interface {
	Create(ctx context.Context, k NewKey) (CreatedKey, error)
	List(ctx context.Context) ([]Key, error)
	Revoke(ctx context.Context, idOrName string) (Key, error)
}

// Process is the running program.
type Process interface {
	Status() Status
	Fits() Fits
	Reload(ctx context.Context) (Reloaded, error)
	Discover(ctx context.Context, upstream string) ([]Discovered, error)
	Drain()
}

// NewKey is what a key is created with.
type NewKey struct {
	Name    string    `json:"name"`
	Tenant  string    `json:"tenant,omitempty"`
	Project string    `json:"project,omitempty"`
	Tier    string    `json:"tier,omitempty"`
	Models  []string  `json:"models,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

// Key is a key as it may be seen: never with its secret.
type Key struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Tenant   string    `json:"tenant"`
	Project  string    `json:"project,omitempty"`
	Tier     string    `json:"tier,omitempty"`
	Models   []string  `json:"models,omitempty"`
	Created  time.Time `json:"created,omitzero"`
	Expires  time.Time `json:"expires,omitzero"`
	Revoked  time.Time `json:"revoked,omitzero"`
	Pinned   bool      `json:"pinned"` // in the file, and managed there
	Requests int64     `json:"requests"`
	Input    int64     `json:"input_tokens"`
	Output   int64     `json:"output_tokens"`
	Cost     int64     `json:"cost_micro_usd"`
}

// CreatedKey is a key with its secret, which is shown this once.
type CreatedKey struct {
	Key
	Secret string `json:"key"`
}

// Status is what runs, and how it is.
type Status struct {
	Version    string       `json:"version"`
	Status     string       `json:"status"` // ok, draining
	BaseURL    string       `json:"base_url"`
	Cert       string       `json:"certificate_sha256,omitempty"` // of the API, where it is encrypted
	Region     string       `json:"region"`
	Generation uint64       `json:"generation"`
	Config     string       `json:"config"`
	Since      time.Time    `json:"since"`
	InFlight   int          `json:"in_flight"`
	Waiting    int          `json:"waiting"`
	Dropped    uint64       `json:"records_dropped"`
	Models     []Model      `json:"models"`
	Canaries   []Canary     `json:"canaries,omitempty"`
	Shadows    []Shadow     `json:"shadows,omitempty"`
	Drains     []Drain      `json:"drains,omitempty"` // parts of the fleet that get no requests
	Upstreams  []Upstream   `json:"upstreams"`
	Peers      []peer.Link  `json:"peers,omitempty"` // the other gateways of the cell
	Cells      []cell.State `json:"cells,omitempty"` // the gateways of other cells
}

// Model is what callers may ask for.
type Model struct {
	Name      string   `json:"name"`
	Targets   []string `json:"targets"` // upstream/model, in order
	Does      []string `json:"does"`    // operations that one of them serves at least
	Simulated bool     `json:"simulated"`
	Window    int      `json:"window,omitempty"` // tokens of prompt and answer that every target takes; 0 is not known
}

// Upstream is a pool of replicas.
type Upstream struct {
	Name      string    `json:"name"`
	Kind      string    `json:"kind"`
	Region    string    `json:"region,omitempty"`
	Zone      string    `json:"zone,omitempty"`
	Simulated bool      `json:"simulated"`
	Finding   *Finding  `json:"finding,omitempty"` // where its replicas are found
	Replicas  []Replica `json:"replicas"`
}

// Finding is how an upstream's replicas are found.
type Finding struct {
	By       string    `json:"by"`                // dns, srv, kubernetes, local
	Answered time.Time `json:"answered,omitzero"` // when an answer came last that counted
	Failures uint64    `json:"failures"`          // answers that did not count
	Why      string    `json:"why,omitempty"`     // why the last one did not; absent where it did
	Failed   time.Time `json:"failed,omitzero"`   // when one did not last, and why, over or not
	Failure  string    `json:"failure,omitempty"`
	Left     int       `json:"left_out,omitempty"` // replicas that were found and do not count
}

// Fits is what was learned of the engines, and what is foreseen of them now.
type Fits struct {
	Fits     []Fit      `json:"fits"`
	Replicas []Foreseen `json:"replicas"`
}

// Foreseen is what a replica has before it of what this process sent there, and how
// soon it would begin one more answer.
type Foreseen struct {
	Upstream string  `json:"upstream"`
	Replica  string  `json:"replica"`
	Class    string  `json:"class"`
	Waiting  int     `json:"waiting"`        // prompts without a first token
	Prompt   int     `json:"prompt_tokens"`  // of theirs that are not read yet
	Decodes  int     `json:"decodes"`        // answers under way
	Next     float64 `json:"first_token_ms"` // of a prompt of 1,000 tokens that comes now
}

// Fit is what was learned of a class of engines from the streams they answered.
type Fit struct {
	Class     string   `json:"class"`
	Upstreams []string `json:"upstreams"`
	Base      float64  `json:"step_base_ms"`      // of a step that only reads the weights
	Kappa     float64  `json:"kappa_ns"`          // that a step takes longer for each KV token it reads
	Rate      float64  `json:"prefill_rate"`      // prompt tokens a second
	Overhead  float64  `json:"overhead_ms"`       // to the first token, of no step
	Samples   int      `json:"samples"`           // streams
	Error     float64  `json:"error"`             // mean relative error of the time per token, before learning
	Firsts    int      `json:"first_tokens"`      // that were foreseen
	First     float64  `json:"first_token_error"` // mean relative error of them
	Trusted   bool     `json:"trusted"`           // it decides
}

// Discovered is what an upstream said when it was asked for its models, now.
type Discovered struct {
	Upstream string   `json:"upstream"`
	Kind     string   `json:"kind"`
	Models   []string `json:"models"`
	Problem  string   `json:"problem,omitempty"` // why there is no list
}

// Replica is one engine, and whether it deserves traffic.
type Replica struct {
	Name     string    `json:"name"`
	URL      string    `json:"url,omitempty"`
	Found    time.Time `json:"found,omitzero"` // since when it is known, where replicas are found
	Region   string    `json:"region,omitempty"`
	Zone     string    `json:"zone,omitempty"`
	InFlight int       `json:"in_flight"`
	Failures int       `json:"failures"`           // since the last success
	Adapters []string  `json:"adapters,omitempty"` // that it is thought to hold
	Up       bool      `json:"up"`
	Why      string    `json:"why,omitempty"`
	Until    time.Time `json:"until,omitzero"`
	Engine   *Engine   `json:"engine,omitempty"` // what it says of itself; absent where nobody asks
	GPUs     []GPU     `json:"gpus,omitempty"`
}

// Engine is what a replica says of itself, for all who send requests there. What it
// does not tell is absent.
type Engine struct {
	Name     string    `json:"name,omitempty"` // whose metrics they are
	Running  *int      `json:"running,omitempty"`
	Waiting  *int      `json:"waiting,omitempty"`
	KVUse    *float64  `json:"kv_use,omitempty"` // 0 to 1
	KVTokens int       `json:"kv_tokens,omitempty"`
	Loaded   []string  `json:"loaded,omitempty"` // models in memory
	Asked    time.Time `json:"asked,omitzero"`
	Trouble  string    `json:"trouble,omitempty"` // why nothing newer is known
}

// GPU is one of those that a replica runs on. What its exporter does not tell is
// absent.
type GPU struct {
	Index       int      `json:"index"`
	Utilization *float64 `json:"utilization,omitempty"` // 0 to 1
	MemoryUsed  *int64   `json:"memory_used,omitempty"` // bytes
	MemoryTotal *int64   `json:"memory_total,omitempty"`
	Power       *float64 `json:"power,omitempty"` // watts
	Throttled   bool     `json:"throttled"`
	XID         int      `json:"xid,omitempty"`    // the driver's last error
	ECC         int      `json:"ecc,omitempty"`    // memory errors that could not be corrected, so far
	Failed      bool     `json:"failed,omitempty"` // a row of its memory could not be replaced
}

// Instance is what a running process leaves in its data folder, in InstanceFile, so
// that commands find it.
type Instance struct {
	BaseURL   string `json:"base_url"`
	Admin     string `json:"admin"`
	AdminCert string `json:"admin_certificate,omitempty"` // file of the certificate that Admin shows
	PID       int    `json:"pid"`
}

// InstanceFile is the file of an Instance.
const InstanceFile = "instance.json"

// Reloaded is what a reload changed.
type Reloaded struct {
	Generation uint64   `json:"generation"`
	Config     string   `json:"config"`
	Changes    []string `json:"changes"`
	Restart    []string `json:"restart,omitempty"` // changed in the file, and only a restart takes them
	Warnings   []string `json:"warnings,omitempty"`
}

// Requests is a list of records, the one that ended last first.
type Requests struct {
	Requests []*record.Record `json:"requests"`
}

// Surface answers operators.
type Surface struct {
	Health    *api.Health
	Records   Records
	Keys      Keys
	Process   Process
	Canaries  Canaries
	Drains    Drains
	Library   *Library
	Alerts    Alerts
	Cache     Caching
	Incidents Incidents
	Retrieval func() []Retrieval
	Metrics   http.Handler
	Token     func(presented string) bool
	Log       *slog.Logger // of what operators asked for and Headworks failed to do
}

// maxBody bounds what an operator sends.
const maxBody = 1 << 20

// Handler returns the surface as one handler.
func (s *Surface) Handler() http.Handler {
	mux := http.NewServeMux()
	methods := map[string]string{} // of a path
	takes := func(pattern string) {
		method, path, _ := strings.Cut(pattern, " ")
		if method == http.MethodGet {
			method = "GET, HEAD"
		}
		if methods[path] != "" {
			method = methods[path] + ", " + method
		}
		methods[path] = method
	}
	takes("GET /metrics")
	mux.Handle("GET /metrics", s.Metrics)
	origins := http.NewCrossOriginProtection()
	guard := func(pattern string, h func(w http.ResponseWriter, r *http.Request) (any, error)) {
		most := int64(maxBody)
		if pattern == evaluatePattern {
			most = maxEvaluation
		}
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			asWrite := r.WithContext(r.Context()) // what is read here is no page's of another origin either
			asWrite.Method = http.MethodPost
			if err := origins.Check(asWrite); err != nil {
				s.answer(w, r, nil, fault.Wrap(fault.Forbidden, "the admin API answers no page of another origin", err))
				return
			}
			token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if !ok || !s.Token(token) {
				w.Header().Set("WWW-Authenticate", "Bearer")
				s.answer(w, r, nil, fault.New(fault.Unauthenticated, "the admin API wants the token of <data>/admin.token as Authorization: Bearer"))
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, most)
			v, err := h(w, r)
			s.answer(w, r, v, err)
		})
	}
	guarded := func(pattern string, h func(w http.ResponseWriter, r *http.Request) (any, error)) {
		takes(pattern)
		guard(pattern, h)
	}
	guarded("GET /api/status", func(http.ResponseWriter, *http.Request) (any, error) { return s.Process.Status(), nil })
	guarded("GET /api/fits", func(http.ResponseWriter, *http.Request) (any, error) {
		return s.Process.Fits(), nil
	})
	guarded("GET /api/requests", s.requests)
	guarded("GET /api/requests/{id}", s.request)
	guarded("GET /api/requests/{id}/explanation", s.explanation)
	guarded("GET /api/keys", func(_ http.ResponseWriter, r *http.Request) (any, error) {
		keys, err := s.Keys.List(r.Context())
		return map[string][]Key{"keys": keys}, err
	})
	guarded("POST /api/keys", s.createKey)
	guarded("DELETE /api/keys/{id}", func(_ http.ResponseWriter, r *http.Request) (any, error) {
		return s.Keys.Revoke(r.Context(), r.PathValue("id"))
	})
	guarded("GET /api/upstreams/models", func(_ http.ResponseWriter, r *http.Request) (any, error) {
		found, err := s.Process.Discover(r.Context(), r.URL.Query().Get("upstream"))
		return map[string][]Discovered{"upstreams": found}, err
	})
	guarded("GET /api/canaries", func(http.ResponseWriter, *http.Request) (any, error) {
		return map[string][]Canary{"canaries": s.Canaries.Canaries()}, nil
	})
	guarded("POST /api/canaries", s.moveCanary)
	guarded("POST /api/verdicts", s.judge)
	guarded("GET /api/alerts", s.alerts)
	guard("GET /api/knowledge/quality", s.quality) // other methods are those of a collection
	guarded("GET /api/incidents", s.incidents)
	guarded("POST /api/sinks/test", func(_ http.ResponseWriter, r *http.Request) (any, error) {
		return map[string][]TriedSink{"sinks": s.Incidents.TestSinks(r.Context())}, nil
	})
	guarded("GET /api/incidents/{id}", s.incident)
	guarded("POST /api/incidents/{id}", s.editIncident)
	guarded("GET /api/incidents/{id}/export", s.postMortem)
	guarded("GET /api/objectives", s.objectives)
	guarded("POST /api/silences", s.silence)
	guarded("DELETE /api/silences/{id}", s.unsilence)
	guarded("GET /api/cache", func(http.ResponseWriter, *http.Request) (any, error) { return s.Cache.CacheReport(), nil })
	guarded("POST /api/cache/purge", s.purge)
	guarded("GET /api/drains", func(http.ResponseWriter, *http.Request) (any, error) {
		return map[string][]Drain{"drains": s.Drains.Drains()}, nil
	})
	guarded("POST /api/drains", s.orderDrain)
	if s.Library != nil {
		for pattern, h := range s.Library.handlers() {
			guarded(pattern, h)
		}
	}
	guarded("DELETE /api/drains", s.undrain)
	guarded("POST /api/reload", func(_ http.ResponseWriter, r *http.Request) (any, error) { return s.Process.Reload(r.Context()) })
	guarded("POST /api/drain", func(http.ResponseWriter, *http.Request) (any, error) {
		s.Process.Drain()
		return map[string]string{"status": "draining"}, nil
	})
	other := func(w http.ResponseWriter, allow string) error {
		w.Header().Set("Allow", allow)
		return fault.New(fault.MethodNotAllowed, "this path takes "+allow)
	}
	for path, allow := range methods {
		if path == "/metrics" {
			mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, nil, other(w, allow)) })
			continue
		}
		guard(path, func(w http.ResponseWriter, _ *http.Request) (any, error) { return nil, other(w, allow) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		p, ok := s.Health.Page(r.URL.Path)
		switch {
		case !ok:
			s.answer(w, r, nil, fault.New(fault.NotFound, "no such path on the admin listener; see docs/reference/http.md"))
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			s.answer(w, r, nil, other(w, "GET, HEAD"))
		default:
			w.Header().Set("Content-Type", p.Type)
			w.WriteHeader(p.Status)
			_, _ = w.Write(p.Body) // fails only if the client is gone
		}
	})
	return origins.Handler(mux)
}

func (s *Surface) requests(_ http.ResponseWriter, r *http.Request) (any, error) {
	q := r.URL.Query()
	n := 50
	if v := q.Get("limit"); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil || n < 1 || n > 1000 {
			return nil, fault.New(fault.InvalidRequest, "limit is a number from 1 to 1000")
		}
	}
	model, upstream, kind, key, origin := q.Get("model"), q.Get("upstream"), q.Get("fault"), q.Get("key"), q.Get("origin")
	fits := func(want, is string) bool { return want == "" || want == is }
	found, err := s.Records.Recent(n, func(r *record.Record) bool {
		if origin == "" && r.Origin == record.Shadow { // nobody asked for it
			return false
		}
		return fits(origin, r.Origin) && fits(model, r.Model) && fits(upstream, r.Upstream) && fits(kind, r.Fault.String()) && fits(key, r.Key)
	})
	if err != nil && len(found) == 0 {
		return nil, err
	}
	list := Requests{Requests: make([]*record.Record, len(found))}
	for i := range found {
		list.Requests[i] = &found[i]
	}
	return list, nil
}

func (s *Surface) find(r *http.Request) (*record.Record, error) {
	id, err := inference.ParseID(r.PathValue("id"))
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, err.Error(), err)
	}
	return s.record(id)
}

func (s *Surface) record(id inference.ID) (*record.Record, error) {
	found, ok, err := s.Records.Find(id)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, fault.New(fault.NotFound, "no record of this request; records are kept for a time, and by the instance that served it")
	}
	return &found, nil
}

func (s *Surface) request(_ http.ResponseWriter, r *http.Request) (any, error) { return s.find(r) }

func (s *Surface) explanation(_ http.ResponseWriter, r *http.Request) (any, error) {
	found, err := s.find(r)
	if err != nil {
		return nil, err
	}
	return found.Explain(), nil
}

func (s *Surface) createKey(_ http.ResponseWriter, r *http.Request) (any, error) {
	var k NewKey
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&k); err != nil {
		return nil, fault.Wrap(fault.InvalidJSON, "the body is not a key: {\"name\": ..., \"tenant\": ..., \"tier\": ..., \"models\": [...]}", err)
	}
	return s.Keys.Create(r.Context(), k)
}

// Failure is the body of an answer that is an error.
type Failure struct {
	Error Problem `json:"error"`
}

// Problem says what happened and how to mend it.
type Problem struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

func (s *Surface) answer(w http.ResponseWriter, r *http.Request, v any, err error) {
	status := http.StatusOK
	if errors.Is(err, errTold) {
		return
	}
	if err != nil {
		f := fault.Of(err)
		status, v = f.HTTPStatus(), Failure{Problem{f.Kind.String(), f.Words}}
		if errors.Is(err, context.Canceled) {
			status = 499
		}
		if status >= 500 {
			s.Log.Error("an admin request failed", "request", r.Pattern, "cause", err.Error())
		}
	}
	body, err := json.Marshal(v)
	if err != nil {
		status, body = 500, []byte(`{"error":{"kind":"internal","message":"the answer has no JSON form"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // fails only if the client is gone
}
