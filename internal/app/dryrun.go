package app

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"headworks/internal/admit"
	"headworks/internal/api"
	"headworks/internal/complexity"
	"headworks/internal/config"
	"headworks/internal/dialect"
	"headworks/internal/dialect/anthropic"
	"headworks/internal/dialect/gemini"
	"headworks/internal/dialect/ollama"
	"headworks/internal/dialect/openai"
	"headworks/internal/dialect/openai/completions"
	"headworks/internal/dialect/responses"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/inference"
	where "headworks/internal/place"
	"headworks/internal/prefix"
	"headworks/internal/record"
	"headworks/internal/route"
	"headworks/internal/scan"
	"headworks/internal/tenant"
)

// ErrDryRun marks what is wrong with the wish to try a decision, rather than with a
// configuration.
var ErrDryRun = errors.New("cannot be tried")

// DryRun says which decision to try: where a request would go, were it the first that
// a process with this configuration gets. Nothing is sent.
type DryRun struct {
	Config string // the file
	Body   []byte // of the request, or an envelope around it
	Circumstances
}

// Circumstances are what a decision goes by beside the body of a request.
type Circumstances struct {
	Dialect string   // of the body; empty is found out
	Model   string   // in the place of the one that the body names
	Key     string   // of the file; empty is a key without limits
	Tier    string   // of the file, in the place of the key's
	Place   string   // of the caller, REGION or REGION/ZONE, where the key has none
	Headers []string // of the request, as name: value
	Left    string   // of the budget of the key, as 10%; all of it where it is empty

	Down    []string // upstreams whose replicas are all out
	Waiting []string // UPSTREAM=TOKENS: prompt tokens that wait at each of its replicas
	Seen    []string // UPSTREAM/MODEL=ttft=800ms,tpot=40ms: how soon it answered lately
}

// envelope is a request with its circumstances, in one document.
type envelope struct {
	Request json.RawMessage   `json:"request"`
	Dialect string            `json:"dialect"`
	Model   string            `json:"model"`
	Key     string            `json:"key"`
	Tier    string            `json:"tier"`
	Place   string            `json:"place"`
	Headers map[string]string `json:"headers"`
	Left    string            `json:"budget_left"`
	Down    []string          `json:"down"`
	Waiting map[string]int    `json:"waiting"`
	Seen    map[string]string `json:"seen"`
}

// open takes the body out of an envelope, if there is one, and what it says of the
// circumstances, as far as the caller does not.
func (d *DryRun) open() error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(d.Body, &fields); err != nil || fields["request"] == nil || talk(fields) != "" {
		return nil //nolint:nilerr // what is no envelope is a body, and read as one
	}
	var e envelope
	from := json.NewDecoder(bytes.NewReader(d.Body))
	from.DisallowUnknownFields()
	if err := from.Decode(&e); err != nil {
		return cannotTry("the envelope around the request: %s; beside request it has dialect, model, key, tier, place, headers, budget_left, down, waiting and seen", strings.TrimPrefix(err.Error(), "json: "))
	}
	d.Body = e.Request
	d.Dialect = cmp.Or(d.Dialect, e.Dialect)
	d.Model = cmp.Or(d.Model, e.Model)
	d.Key = cmp.Or(d.Key, e.Key)
	d.Tier = cmp.Or(d.Tier, e.Tier)
	d.Place = cmp.Or(d.Place, e.Place)
	d.Left = cmp.Or(d.Left, e.Left)
	// Of what is said twice the last one holds, and that is the caller's.
	var headers, waiting, seen []string
	for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
		headers = append(headers, name+": "+e.Headers[name])
	}
	for _, name := range slices.Sorted(maps.Keys(e.Waiting)) {
		waiting = append(waiting, name+"="+strconv.Itoa(e.Waiting[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(e.Seen)) {
		seen = append(seen, name+"="+e.Seen[name])
	}
	d.Headers, d.Waiting, d.Seen = append(headers, d.Headers...), append(waiting, d.Waiting...), append(seen, d.Seen...)
	d.Down = append(e.Down, d.Down...)
	return nil
}

// talk returns the dialect of a body by its fields, empty if it is none.
func talk(fields map[string]json.RawMessage) string {
	has := func(name string) bool { return fields[name] != nil }
	switch {
	case has("contents"):
		return "gemini"
	case has("input"):
		return "responses"
	case has("prompt"):
		return "completions"
	case has("messages") && (has("system") || has("anthropic_version") || has("stop_sequences") || has("thinking")):
		return "anthropic"
	case has("messages"):
		return "openai"
	}
	return ""
}

// Decision is what came of it.
type Decision struct {
	DryRun     bool              `json:"dry_run"` // always
	Model      string            `json:"model"`
	Chosen     *Candidate        `json:"chosen"` // null: it would go nowhere
	Reason     string            `json:"reason"`
	Policy     string            `json:"policy"`
	Candidates []Candidate       `json:"candidates"` // in the order in which they are asked
	Rejected   []Rejected        `json:"rejected"`
	Judged     *record.Judged    `json:"judged,omitempty"`
	Objective  *record.Objective `json:"objective,omitempty"`
	Request    Facts             `json:"request"`
	Fault      string            `json:"fault,omitempty"` // where it would go nowhere
	Words      string            `json:"message,omitempty"`
}

// Facts are what is known of a request before it is decided on.
type Facts struct {
	Input     int      `json:"input_tokens"` // estimated
	MaxTokens int      `json:"max_tokens"`
	Tools     int      `json:"tools"`
	Needs     []string `json:"needs"`
	Tier      string   `json:"tier"`
	From      string   `json:"from"`      // region or region/zone of the caller
	PlacedBy  string   `json:"placed_by"` // how that is known
}

// Candidate is a target that could serve.
type Candidate struct {
	Upstream      string             `json:"upstream"`
	Model         string             `json:"model"`
	Replica       string             `json:"replica,omitempty"` // of the chosen
	At            string             `json:"at,omitempty"`      // region or region/zone
	Hardware      string             `json:"hardware,omitempty"`
	Precision     string             `json:"precision,omitempty"`
	Quality       float64            `json:"quality,omitempty"`
	Window        int                `json:"window,omitempty"`
	Capabilities  []string           `json:"capabilities,omitempty"`
	Price         *Price             `json:"price,omitempty"`
	Score         *float64           `json:"score,omitempty"` // under policy best: 0 is best, less is worse
	Contributions map[string]float64 `json:"contributions,omitempty"`
	TTFT          float64            `json:"expected_ttft_ms,omitempty"`
	TPOT          float64            `json:"expected_tpot_ms,omitempty"`
	WhyNot        string             `json:"why_not,omitempty"` // of those that are not the chosen one
	Out           string             `json:"out,omitempty"`     // why all replicas of the chosen one are out, which is then the last resort
}

// Price is what a target's tokens cost, in USD per million.
type Price struct {
	Input  float64 `json:"input"`
	Output float64 `json:"output"`
}

// Rejected is a target that is not asked.
type Rejected struct {
	Upstream string `json:"upstream"`
	Model    string `json:"model"`
	Why      string `json:"why"`
}

// reading is how the requests of a dialect are read.
type reading struct {
	shape  *scan.Shape
	read   func(*scan.Doc, *inference.Request) error
	render func(*scan.Doc, dialect.Rendering)
}

var readings = map[string]reading{
	"openai":      {openai.Shape(), openai.ReadRequest, openai.Render},
	"completions": {completions.Shape(), completions.ReadRequest, completions.Render},
	"anthropic":   {anthropic.Shape(), anthropic.ReadRequest, anthropic.Render},
	"responses":   {responses.Shape(), responses.ReadRequest, responses.Render},
	"gemini":      {gemini.Shape(), gemini.ReadRequest, gemini.Render},
	"ollama":      {ollama.Shape(), ollama.ReadRequest, ollama.Render},
}

// DryRunDialects returns the dialects whose requests can be tried.
func DryRunDialects() []string { return slices.Sorted(maps.Keys(readings)) }

// TryDecision decides on a request and sends nothing.
func TryDecision(d DryRun) (Decision, error) {
	c, report := config.Load(d.Config)
	if !report.OK() {
		return Decision{}, fmt.Errorf("%w\n%s", ErrConfig, report.Text(""))
	}
	w, _, drop, err := assumedRoom(c).build(c)
	if err != nil {
		return Decision{}, err
	}
	drop()
	if err := d.open(); err != nil {
		return Decision{}, err
	}
	t := &rehearsal{fleet: w.Fleet, config: c, now: time.Unix(0, 0).UTC(), policy: flow.NewPolicy(admit.Limits{InFlight: 1})}
	if err := t.read(&d); err != nil {
		return Decision{}, err
	}
	if err := t.state(&d); err != nil {
		return Decision{}, err
	}
	return t.decide(), nil
}

// rehearsal is a decision that is tried.
type rehearsal struct {
	fleet   *fleet.Snapshot
	config  *config.Config
	now     time.Time
	policy  *flow.Policy
	request inference.Request
	wish    tenant.Wish
	caller  tenant.Caller

	from     where.Place
	placedBy string
}

// placeHeader is how a trusted proxy says where a caller is.
const placeHeader = "x-headworks-place"

func cannotTry(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDryRun, fmt.Sprintf(format, args...))
}

// read reads the request and who sends it.
func (t *rehearsal) read(d *DryRun) error {
	name := d.Dialect
	if name == "" {
		var fields map[string]json.RawMessage
		_ = json.Unmarshal(d.Body, &fields) // what is wrong with it is told below
		name = cmp.Or(talk(fields), "openai")
	}
	how, ok := readings[name]
	if !ok {
		return cannotTry("no dialect is called %q; there are %s", name, strings.Join(DryRunDialects(), ", "))
	}
	var doc scan.Doc
	if err := doc.Scan(d.Body, how.shape); err != nil {
		return cannotTry("the request is not JSON with a single reading: %v", err)
	}
	t.request.Model = d.Model
	if err := how.read(&doc, &t.request); err != nil {
		return cannotTry("the request is none of the dialect %s: %s", name, fault.Of(err).Words)
	}
	if d.Model != "" {
		t.request.Model = d.Model
	}
	if t.request.Model == "" {
		return cannotTry("the request names no model; give one with --model")
	}
	var m complexity.Meter
	how.render(&doc, &m)
	t.request.Features = m.Features()
	var h prefix.Hasher
	how.render(&doc, &h)
	t.request.Blocks = h.Blocks()
	for _, h := range d.Headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return cannotTry("a header is written as name: value")
		}
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if name == placeHeader {
			d.Place = cmp.Or(d.Place, value)
			continue
		}
		known, err := api.ReadWish(name, []byte(value), &t.wish)
		switch {
		case err != nil:
			return cannotTry("%s", fault.Of(err).Words)
		case !known:
			return cannotTry("the header %s changes no decision; there are %s and %s", name, strings.Join(api.WishHeaders(), ", "), placeHeader)
		}
	}
	api.Hint(&t.request, &t.wish)
	return t.call(d)
}

// call finds out who sends the request.
func (t *rehearsal) call(d *DryRun) error {
	tiers := map[string]tenant.Tier{}
	for name, to := range t.config.Tiers {
		tiers[name] = tier(name, to)
	}
	own := []string(nil)
	t.caller = tenant.Caller{KeyID: "dry-run", Key: "dry-run", Tenant: "default", Tier: tierOf(tiers, "")}
	if d.Key != "" {
		i := slices.IndexFunc(t.config.Keys, func(k config.Key) bool { return k.Name == d.Key })
		if i < 0 {
			return cannotTry("the file has no key %q", d.Key)
		}
		k := &t.config.Keys[i]
		t.caller = tenant.Caller{
			KeyID: "file:" + k.Name, Key: k.Name, Tenant: k.Tenant, Project: k.Project,
			Tier: tierOf(tiers, k.Tier), Models: k.Models, Budget: k.Budget,
		}
		own = k.Residency
		if t.from = k.At(); t.from != (where.Place{}) {
			t.placedBy = where.ByKey
		}
	}
	if d.Tier != "" {
		if _, ok := tiers[d.Tier]; !ok {
			return cannotTry("the file has no tier %q", d.Tier)
		}
		t.caller.Tier = tiers[d.Tier]
	}
	t.caller.Residency = residency(t.config, t.caller.Tenant, t.caller.Tier.Name, own)
	return t.locate(d.Place)
}

// locate finds out where the request comes from: the key's place, else the one that
// is given, else that of the process.
func (t *rehearsal) locate(given string) error {
	switch {
	case t.placedBy != "":
	case given == "":
		t.from, t.placedBy = where.Place{Region: t.config.Region, Zone: t.config.Zone}, where.ByCell
	default:
		if _, err := where.Parse(given); err != nil {
			return cannotTry("the place of the caller is written as REGION or REGION/ZONE")
		}
		known := t.config.Finder()
		at, ok := known.Named(given)
		if !ok {
			return cannotTry("the file has no place %q; it has %s", given, strings.Join(slices.Sorted(maps.Keys(known.Known)), ", "))
		}
		t.from, t.placedBy = at, where.ByHeader
	}
	return nil
}

// state brings about what is so when the request comes.
func (t *rehearsal) state(d *DryRun) error {
	if d.Left != "" {
		number, percent := strings.CutSuffix(d.Left, "%")
		left, err := strconv.ParseFloat(number, 64)
		if !percent || err != nil || !(left >= 0 && left <= 100) {
			return cannotTry("what is left of the budget is written as 10%%, from 0%% to 100%%")
		}
		if !t.caller.Budget.Limited() { // whose does not matter then
			t.caller.Budget = tenant.Budget{Amount: 1, Per: day}
		}
		t.policy.Spent(t.caller.Slot, 1-left/100)
	}
	for _, name := range d.Down {
		u, err := t.upstream(name)
		if err != nil {
			return err
		}
		f := fault.New(fault.Connect, "")
		for _, r := range u.Replicas {
			for range downs {
				t.policy.Health.Failed(r.ID, "", nil, f, t.now, t.now, 0)
			}
		}
	}
	waits := map[string]int{}
	for _, s := range d.Waiting {
		name, count, _ := strings.Cut(s, "=")
		tokens, err := strconv.Atoi(count)
		if err != nil || tokens < 0 || tokens > mostWaiting {
			return cannotTry("what waits is written as UPSTREAM=TOKENS, from 0 to %d tokens", mostWaiting)
		}
		waits[name] = tokens
	}
	for _, name := range slices.Sorted(maps.Keys(waits)) {
		u, err := t.upstream(name)
		if err != nil {
			return err
		}
		if waits[name] == 0 {
			continue
		}
		for _, r := range u.Replicas {
			t.policy.Occupy(r.ID, flow.Load{Requests: 1, Prefill: waits[name], KV: waits[name]})
		}
	}
	for _, s := range d.Seen {
		if err := t.seen(s); err != nil {
			return err
		}
	}
	return nil
}

// mostWaiting bounds the prompt tokens that wait at a replica.
const mostWaiting = 1_000_000_000

// downs is how many failures in a row put a replica out.
const downs = 5

func (t *rehearsal) upstream(name string) (*fleet.Upstream, error) {
	for i := range t.fleet.Upstreams {
		if u := &t.fleet.Upstreams[i]; u.Name == name {
			return u, nil
		}
	}
	return nil, cannotTry("the file has no upstream %q", name)
}

func (t *rehearsal) seen(s string) error {
	target, value, _ := strings.Cut(s, "=")
	o, ok := api.ParseObjective([]byte(value))
	if !ok || o.TTFT == 0 || o.TPOT == 0 {
		return cannotTry("how soon a target answered is written as UPSTREAM/MODEL=ttft=800ms,tpot=40ms")
	}
	found := false
	for i := range t.fleet.Models {
		for _, to := range t.fleet.Models[i].Targets {
			if t.fleet.Upstreams[to.Upstream].Name+"/"+to.Model == target {
				t.policy.Saw(to.ID, o.TTFT, o.TPOT, t.now)
				found = true
			}
		}
	}
	if !found {
		return cannotTry("no model has a target %q", target)
	}
	return nil
}

// decide takes the first step and tells what it went by.
func (t *rehearsal) decide() Decision {
	var k flow.Ticket
	t.policy.Begin(&k, &t.request, &t.caller, nil)
	k.Wish, k.From, k.PlacedBy = t.wish, t.from, t.placedBy
	a := t.policy.Step(&k, flow.Event{Kind: flow.Arrived}, t.fleet, t.now)
	if a.Kind == flow.Retrieve { // nothing is searched, either
		a = t.policy.Step(&k, flow.Event{Kind: flow.Retrieved}, t.fleet, t.now)
	}
	if a.Kind == flow.Classify { // nothing is sent
		a = t.policy.Step(&k, flow.Event{Kind: flow.Classified, Class: &flow.Class{WhyNot: "a dry run asks nobody"}}, t.fleet, t.now)
	}
	out := Decision{
		DryRun: true, Model: t.request.Model, Reason: k.Why, Candidates: []Candidate{}, Rejected: []Rejected{},
		Request: Facts{
			Input: t.request.Input, MaxTokens: t.request.MaxTokens, Tools: t.request.Tools,
			Needs: append([]string{}, t.request.Needs.Names()...), Tier: t.caller.Tier.Name,
			From: t.from.String(), PlacedBy: t.placedBy,
		},
	}
	var r record.Record
	r.Reset()
	k.Record(&r, t.fleet, t.now, a.Fault)
	t.policy.Step(&k, flow.Event{Kind: flow.Left}, t.fleet, t.now) // gives back what it took
	e := r.Explain()
	out.Judged, out.Objective = e.Judged, e.Objective
	if a.Fault != nil {
		out.Fault, out.Words = a.Fault.Kind.String(), a.Fault.Words
		out.Reason = a.Fault.Words
	}
	if k.Model == nil {
		return out
	}
	out.Policy = k.Model.Policy.String()
	if k.Why == k.Order.Why && k.Locality != "" && k.Locality != k.Why {
		out.Reason += "; " + k.Locality
	}
	for _, at := range k.Turns() {
		to := &k.Model.Targets[at]
		c := t.candidate(&k, int(at))
		switch {
		case a.Kind == flow.Send && to == a.Target:
			c.Replica, c.At, c.Out = a.Replica.Name, a.Replica.Place.String(), t.out(to)
			out.Chosen = &c
		case t.out(to) != "":
			out.Rejected = append(out.Rejected, Rejected{c.Upstream, c.Model, t.out(to)})
			continue
		case out.Chosen == nil:
			out.Rejected = append(out.Rejected, Rejected{c.Upstream, c.Model, t.whyNot(&k, to)})
			continue
		default:
			c.WhyNot = t.whyNot(&k, to)
		}
		out.Candidates = append(out.Candidates, c)
	}
	for i := range k.Model.Targets[:min(len(k.Model.Targets), route.MaxTargets)] {
		if why := k.Order.Left[i]; why != "" {
			to := &k.Model.Targets[i]
			out.Rejected = append(out.Rejected, Rejected{t.fleet.Upstreams[to.Upstream].Name, to.Model, why})
		}
	}
	return out
}

func (t *rehearsal) candidate(k *flow.Ticket, place int) Candidate {
	to := &k.Model.Targets[place]
	u := &t.fleet.Upstreams[to.Upstream]
	c := Candidate{
		Upstream: u.Name, Model: to.Model, At: where.Place{Region: u.Region, Zone: u.Zone}.String(), Hardware: u.Hardware,
		Precision: to.Precision, Quality: to.Quality, Window: to.Window, Capabilities: to.Can.Names(),
	}
	if to.Price.Known {
		c.Price = &Price{to.Price.Input, to.Price.Output}
	}
	round := func(v float64) float64 { return math.Round(v*1000) / 1000 }
	p := t.policy.Foresee(to, t.fleet, t.request.Input, t.now)
	c.TTFT, c.TPOT = round(float64(p.TTFT)/1e6), round(float64(p.TPOT)/1e6)
	if !k.Order.Judged {
		return c
	}
	s := &k.Order.Scores[place]
	c.Score, c.Contributions = new(round(float64(s.Total))), map[string]float64{}
	for term, v := range s.Parts {
		if v != 0 {
			c.Contributions[inference.Term(term).String()] = round(float64(v))
		}
	}
	return c
}

// out returns why all replicas of a target are out, empty if one is not.
func (t *rehearsal) out(to *fleet.Target) string {
	why := "it has no replica"
	for _, r := range t.fleet.Upstreams[to.Upstream].Replicas {
		if why = t.policy.Health.Of(r.ID, to.Model, t.now).Why; why == "" {
			return ""
		}
	}
	return why
}

// whyNot returns why no replica of a target was chosen.
func (t *rehearsal) whyNot(k *flow.Ticket, to *fleet.Target) string {
	for i := range k.Candidates[:k.Considered] {
		if c := &k.Candidates[i]; c.Target == to && c.WhyNot != "" {
			return c.WhyNot
		}
	}
	return "no replica is available"
}
