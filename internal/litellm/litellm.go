// Package litellm reads the configuration of LiteLLM's proxy and says it as a
// configuration of Headworks, with a note for all that it cannot carry.
//
// References to the environment stay references: no variable is read. A secret that
// stands in the file does not find its way into the other one; a reference takes
// its place, and a note says which variable to set.
//
// Its source is LiteLLM's documentation of config.yaml, in autumn 2026.
package litellm

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Note is something that the other file does not say, or says in another way.
type Note struct {
	Line  int    `json:"line"` // of LiteLLM's file
	Path  string `json:"path"`
	Words string `json:"words"` // what, why, and what to do
}

// Carried is what became of a file.
type Carried struct {
	Upstreams int
	Models    int
	Skipped   int // deployments that nothing here can serve
	Notes     []Note
}

// Import reads src and returns a configuration. Knows tells whether a kind of
// upstream exists here. The error is about a file that cannot be read at all.
func Import(src []byte, knows func(kind string) bool) ([]byte, Carried, error) {
	file, err := parser.ParseBytes(src, 0)
	if err != nil {
		return nil, Carried{}, fmt.Errorf("not YAML: %w", err)
	}
	if len(file.Docs) != 1 || len(node{file.Docs[0].Body}.members()) == 0 {
		return nil, Carried{}, fmt.Errorf("not a configuration of LiteLLM: it has no model_list")
	}
	m := &move{root: node{file.Docs[0].Body}, knows: knows, byName: map[string]*model{}, literals: map[string][]string{}}
	if !m.root.get("model_list").there() {
		return nil, Carried{}, fmt.Errorf("not a configuration of LiteLLM: it has no model_list")
	}
	m.deployments()
	m.join()
	m.router()
	m.settings()
	m.everyone()
	m.general()
	m.aliases()
	m.rest()
	var made []byte
	if len(m.upstreams) > 0 {
		made = m.write()
	}
	slices.SortStableFunc(m.notes, func(a, b Note) int { return a.Line - b.Line })
	c := Carried{Upstreams: len(m.upstreams), Models: len(m.models), Skipped: m.skipped, Notes: m.notes}
	if made == nil {
		return nil, c, fmt.Errorf("none of the models can be carried; the notes say why")
	}
	return made, c, nil
}

// provider is what LiteLLM writes before a model's name, and what it is here.
type provider struct {
	kind string
	name string // of the upstream
	env  string // variable that LiteLLM reads where the file names no key
	own  bool   // it runs anywhere, so its address has to be said
	base string // variable or text that LiteLLM takes where the file names no address
}

// providers are LiteLLM's that have a kind here.
var providers = map[string]provider{
	"openai":                 {kind: "openai", name: "openai", env: "OPENAI_API_KEY"},
	"text-completion-openai": {kind: "openai", name: "openai", env: "OPENAI_API_KEY"},
	"anthropic":              {kind: "anthropic", name: "anthropic", env: "ANTHROPIC_API_KEY"},
	"gemini":                 {kind: "gemini", name: "gemini", env: "GEMINI_API_KEY"},
	"azure":                  {kind: "azure", name: "azure", env: "AZURE_API_KEY", own: true, base: "${AZURE_API_BASE}"},
	"bedrock":                {kind: "bedrock", name: "bedrock"},
	"vertex_ai":              {kind: "vertex", name: "vertex"},
	"hosted_vllm":            {kind: "vllm", name: "vllm", own: true, base: "${HOSTED_VLLM_API_BASE}"},
	"vllm":                   {kind: "vllm", name: "vllm", own: true},
	"ollama":                 {kind: "ollama", name: "ollama", own: true, base: "http://127.0.0.1:11434"},
	"ollama_chat":            {kind: "ollama", name: "ollama", own: true, base: "http://127.0.0.1:11434"},
	"lm_studio":              {kind: "lmstudio", name: "lmstudio", own: true, base: "${LM_STUDIO_API_BASE}"},
	"huggingface":            {kind: "tgi", name: "tgi", own: true},
	"llamafile":              {kind: "llamacpp", name: "llamacpp", own: true},
	"groq":                   {kind: "groq", name: "groq", env: "GROQ_API_KEY"},
	"mistral":                {kind: "mistral", name: "mistral", env: "MISTRAL_API_KEY"},
	"deepseek":               {kind: "deepseek", name: "deepseek", env: "DEEPSEEK_API_KEY"},
	"xai":                    {kind: "xai", name: "xai", env: "XAI_API_KEY"},
	"openrouter":             {kind: "openrouter", name: "openrouter", env: "OPENROUTER_API_KEY"},
	"together_ai":            {kind: "together", name: "together", env: "TOGETHERAI_API_KEY"},
	"fireworks_ai":           {kind: "fireworks", name: "fireworks", env: "FIREWORKS_AI_API_KEY"},
	"cerebras":               {kind: "cerebras", name: "cerebras", env: "CEREBRAS_API_KEY"},
}

// move is a file on its way.
type move struct {
	root      node
	knows     func(string) bool
	upstreams []*upstream
	models    []*model
	byName    map[string]*model
	skipped   int
	notes     []Note
	key       string // of callers: a reference
	other     []alias

	tries    int
	total    string              // timeouts.total
	later    []general           // fallbacks of those that have none of their own
	reject   bool                // fields that cannot be told are refused
	literals map[string][]string // secrets in the file, by the variable that takes their place
}

// general is what every model falls back to that has nothing of its own.
type general struct {
	names node
	path  string
}

// alias is a name that stands for a model.
type alias struct {
	at             node
	path, name, of string
}

// upstream is one of ours.
type upstream struct {
	name, kind string
	keys, urls []string
	more       [][2]string // other fields and their values
	asked      bool        // callers are told to ask it by its name
}

// model is one of ours.
type model struct {
	name    string
	targets []target
	aside   []*target // to fall back to
	total   string
	first   string
	line    int
}

// target is one way to serve a model.
type target struct {
	upstream  *upstream
	model     string
	weight    int
	weighed   bool // the weight was said, and not made of limits
	order     int
	in, out   string // USD per million tokens
	window    int
	fallsBack bool
}

func (m *move) note(at node, path, format string, args ...any) {
	m.notes = append(m.notes, Note{Line: at.line(), Path: path, Words: fmt.Sprintf(format, args...)})
}

var reference = regexp.MustCompile(`^os\.environ/([A-Za-z_][A-Za-z0-9_]*)$`)

// secret returns a reference to what a value says, and notes one that stands in the
// file itself.
func (m *move) secret(v node, path, env string) string {
	text := v.text()
	switch ref := reference.FindStringSubmatch(text); {
	case !v.there() && env != "":
		return "${" + env + "}"
	case !v.there() || text == "" || text == "none" || text == "None":
		return ""
	case ref != nil:
		return "${" + ref[1] + "}"
	}
	if env == "" {
		env = "UPSTREAM_API_KEY"
	}
	at := slices.Index(m.literals[env], text)
	if at < 0 {
		at = len(m.literals[env])
		m.literals[env] = append(m.literals[env], text)
	}
	if at > 0 {
		env += "_" + strconv.Itoa(at+1)
	}
	m.note(v, path, "a secret stands in the file; it is not copied: set the variable %s", env)
	return "${" + env + "}"
}

// value returns a text, or a reference for one of LiteLLM's.
func (m *move) value(v node) string {
	if ref := reference.FindStringSubmatch(v.text()); ref != nil {
		return "${" + ref[1] + "}"
	}
	return v.text()
}

// carried are the fields of a deployment that are read, or mean nothing here.
var carried = []string{
	"model", "api_base", "base_url", "api_key", "api_version", "rpm", "tpm", "weight", "order", "timeout", "stream_timeout",
	"input_cost_per_token", "output_cost_per_token", "aws_region_name", "vertex_project", "vertex_location", "region_name",
	"custom_llm_provider", "max_retries", "num_retries", "tags", "mock_timeout", "vertex_credentials", "vertex_ai_project", "vertex_ai_location",
	"aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_profile_name", "aws_role_name", "aws_session_name", "aws_web_identity_token",
}

// known are the fields of model_info that are read, or say nothing that has to be
// carried.
var known = []string{"id", "mode", "description", "max_input_tokens", "input_cost_per_token", "output_cost_per_token", "base_model"}

func (m *move) deployments() {
	for i, d := range m.root.get("model_list").items() {
		path := "model_list[" + strconv.Itoa(i) + "]"
		name := d.get("model_name").text()
		p := d.get("litellm_params")
		asked := p.get("model").text()
		if name == "" || asked == "" {
			m.note(d, path, "a deployment without model_name or litellm_params.model; left out")
			m.skipped++
			continue
		}
		if !m.deployment(d, p, path, name, asked) {
			m.skipped++
		}
	}
}

func (m *move) deployment(d, p node, path, name, asked string) bool {
	kind, of, ok := m.provider(p, path, asked)
	if !ok {
		return false
	}
	if of == "" {
		m.note(p.get("model"), path+".litellm_params.model", "it names no model of its provider; the deployment is left out")
		return false
	}
	u := m.upstream(p, path, kind)
	if u == nil {
		return false
	}
	if strings.Contains(name, "*") {
		m.wildcard(d.get("model_name"), path, name, of, u)
		return true
	}
	t := target{upstream: u, model: of, order: p.get("order").number(), weight: m.weight(d, p, path), weighed: p.get("weight").there()}
	info := d.get("model_info")
	t.in, t.out = perMillion(p.get("input_cost_per_token")), perMillion(p.get("output_cost_per_token"))
	if t.in == "" {
		t.in, t.out = perMillion(info.get("input_cost_per_token")), perMillion(info.get("output_cost_per_token"))
	}
	t.window = info.get("max_input_tokens").number()
	own := m.byName[name]
	if own == nil {
		own = &model{name: name, line: d.line()}
		m.byName[name] = own
		m.models = append(m.models, own)
	}
	if own.total == "" {
		own.total = m.seconds(p.get("timeout"), path+".litellm_params.timeout")
	}
	if own.first == "" {
		own.first = m.seconds(p.get("stream_timeout"), path+".litellm_params.stream_timeout")
	}
	if v := p.get("region_name"); v.there() {
		m.note(v, path+".litellm_params.region_name", "left out; an upstream has a region of its own")
	}
	for _, f := range p.members() {
		if !slices.Contains(carried, f.key) {
			m.note(f.value, path+".litellm_params."+f.key, "left out: what a request says is not changed here; let the caller say it")
		}
	}
	for _, f := range info.members() {
		if !slices.Contains(known, f.key) {
			m.note(f.value, path+".model_info."+f.key, "left out: what a model can do is taken from its card, or written as capabilities of the target")
		}
	}
	for _, f := range d.members() {
		if !slices.Contains([]string{"model_name", "litellm_params", "model_info", "rpm", "tpm"}, f.key) {
			m.note(f.value, path+"."+f.key, "left out: there is nothing like it here")
		}
	}
	own.targets = append(own.targets, t)
	return true
}

// weight returns the share of a deployment: what it says, else its limits, which
// LiteLLM draws by too.
func (m *move) weight(d, p node, path string) int {
	w := p.get("weight").number()
	for _, limit := range []struct {
		name string
		unit int
	}{{"rpm", 1}, {"tpm", 1000}} {
		v, at := p.get(limit.name), path+".litellm_params."+limit.name
		if !v.there() {
			v, at = d.get(limit.name), path+"."+limit.name
		}
		if !v.there() {
			continue
		}
		if limit.name == "tpm" && w > 0 {
			m.note(v, at, "limits of a deployment are not kept here")
			continue
		}
		m.note(v, at, "limits of a deployment are not kept here: what its provider refuses is tried elsewhere, and it rests for as long as it asks; where targets are drawn by weight, this is the weight")
		if w == 0 {
			w = max(v.number()/limit.unit, 1)
		}
	}
	return w
}

// provider returns the kind of a deployment, and the model's name there.
func (m *move) provider(p node, path, asked string) (provider, string, bool) {
	prefix, rest, has := strings.Cut(asked, "/")
	if said := p.get("custom_llm_provider").text(); said != "" {
		prefix, rest, has = said, strings.TrimPrefix(asked, said+"/"), true
	}
	k, known := providers[prefix]
	base := p.get("api_base").there() || p.get("base_url").there()
	switch {
	case has && known:
	case !has || base && !known:
		// A bare name is one of OpenAI's, and whatever is not known speaks as OpenAI
		// does if it has an address of its own.
		k = providers["openai"]
		if rest = asked; has && base {
			m.note(p.get("model"), path+".litellm_params.model", "provider %s is not known here; as it has an api_base it is taken to speak as OpenAI does", prefix)
			rest = strings.TrimPrefix(asked, prefix+"/")
		}
	default:
		m.note(p.get("model"), path+".litellm_params.model", "provider %s is not known here; the deployment is left out", prefix)
		return provider{}, "", false
	}
	if k.kind == "bedrock" { // how LiteLLM asks, which is always Converse here
		rest = strings.TrimPrefix(strings.TrimPrefix(rest, "converse/"), "invoke/")
	}
	if !m.knows(k.kind) {
		m.note(p.get("model"), path+".litellm_params.model", "this version has no kind %s; the deployment is left out", k.kind)
		return provider{}, "", false
	}
	return k, rest, true
}

// upstream returns the upstream of a deployment: one for each kind, address and
// credential. Some of them are joined afterwards.
func (m *move) upstream(p node, path string, k provider) *upstream {
	base := p.get("api_base")
	if !base.there() {
		base = p.get("base_url")
	}
	address := strings.TrimRight(m.value(base), "/")
	env := k.env
	if address != "" && k.kind == "openai" {
		env = "" // an engine of one's own may want none
	}
	if address == "" && k.own {
		if address = k.base; address == "" {
			m.note(p.get("model"), path+".litellm_params", "no api_base, and kind %s has no address of its own; the deployment is left out", k.kind)
			return nil
		}
	}
	u := &upstream{name: k.name, kind: k.kind}
	if address != "" {
		u.urls = []string{address}
		if k.kind == "openai" {
			u.name = "engine"
		}
	}
	field := func(name, value string) {
		if value != "" {
			u.more = append(u.more, [2]string{name, value})
		}
	}
	either := func(names ...string) node {
		for _, n := range names {
			if v := p.get(n); v.there() {
				return v
			}
		}
		return node{}
	}
	key := ""
	switch k.kind {
	case "bedrock":
		region := m.value(p.get("aws_region_name"))
		if region == "" {
			region = "${AWS_REGION}"
		}
		if address == "" {
			u.urls = []string{"https://bedrock-runtime." + region + ".amazonaws.com"}
		} else {
			field("region", region)
		}
		if !p.get("api_key").there() {
			key = m.signing(p, path+".litellm_params")
		}
	case "vertex":
		field("project", m.value(either("vertex_project", "vertex_ai_project")))
		field("location", m.value(either("vertex_location", "vertex_ai_location")))
		key = m.account(p, path+".litellm_params")
	case "azure":
		version := m.value(p.get("api_version"))
		field("api_version", version)
		if version != "" && version < "2024-09-01" {
			m.note(p.get("api_version"), path+".litellm_params.api_version", "a version that old does not tell usage in streams; leave api_version out for Azure's v1 API")
		}
	}
	if key == "" {
		key = m.secret(p.get("api_key"), path+".litellm_params.api_key", env)
	}
	if key != "" {
		u.keys = []string{key}
	}
	same := func(o *upstream) bool {
		return o.kind == u.kind && slices.Equal(o.keys, u.keys) && slices.Equal(o.urls, u.urls) && slices.Equal(o.more, u.more)
	}
	if i := slices.IndexFunc(m.upstreams, same); i >= 0 {
		return m.upstreams[i]
	}
	u.name = m.free(u.name)
	m.upstreams = append(m.upstreams, u)
	return u
}

// account returns a reference to a service account of Google's.
func (m *move) account(p node, path string) string {
	v := p.get("vertex_credentials")
	text := v.text()
	switch {
	case strings.HasPrefix(text, "/") && !strings.ContainsAny(text, "{}"):
		return "${file:" + text + "}"
	case text != "" && reference.MatchString(text):
		m.note(v, path+".vertex_credentials", "the variable has to hold the JSON of the account's file itself; for a file write ${file:/path}")
		return m.value(v)
	default:
		m.note(p, path, "the account is read from the variable VERTEX_CREDENTIALS: the JSON of its file; for a file write ${file:/path}")
		return "${VERTEX_CREDENTIALS}"
	}
}

// signing returns references to the parts of an access key of AWS.
func (m *move) signing(p node, path string) string {
	for _, name := range []string{"aws_profile_name", "aws_role_name", "aws_session_name", "aws_web_identity_token"} {
		if v := p.get(name); v.there() {
			m.note(v, path+"."+name, "left out: roles and profiles are not looked up; give an access key, or a key of Bedrock's own")
		}
	}
	if !p.get("aws_access_key_id").there() {
		m.note(p, path, "the access key is read from the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; roles and profiles are not looked up")
	}
	key := m.secret(p.get("aws_access_key_id"), path+".aws_access_key_id", "AWS_ACCESS_KEY_ID") +
		":" + m.secret(p.get("aws_secret_access_key"), path+".aws_secret_access_key", "AWS_SECRET_ACCESS_KEY")
	if v := p.get("aws_session_token"); v.there() {
		key += ":" + m.secret(v, path+".aws_session_token", "AWS_SESSION_TOKEN")
	}
	return key
}

// join makes one upstream of those that serve the same to the same models: engines
// that differ in their address become its replicas, credentials that differ rotate.
func (m *move) join() {
	for i := 0; i < len(m.upstreams); i++ {
		u := m.upstreams[i]
		for j := i + 1; j < len(m.upstreams); j++ {
			o := m.upstreams[j]
			replicas := slices.Equal(u.keys, o.keys) && len(u.urls) > 0 && len(o.urls) > 0 && u.kind != "azure"
			credentials := slices.Equal(u.urls, o.urls) && len(u.keys) > 0 && len(o.keys) > 0 && u.kind != "vertex"
			if u.kind != o.kind || !slices.Equal(u.more, o.more) || !replicas && !credentials || o.asked || !m.alike(u, o) {
				continue
			}
			if replicas {
				u.urls = append(u.urls, o.urls...)
			} else {
				u.keys = append(u.keys, o.keys...)
			}
			m.dissolve(u, o)
			m.upstreams = slices.Delete(m.upstreams, j, j+1)
			j--
		}
	}
}

// alike reports whether two upstreams are targets of the same models, by the same
// names and in the same order.
func (m *move) alike(u, o *upstream) bool {
	some := false
	for _, mo := range m.models {
		of := func(up *upstream) (names []string) {
			for _, t := range mo.targets {
				if t.upstream == up {
					names = append(names, strconv.Itoa(t.order)+" "+t.model)
				}
			}
			slices.Sort(names)
			return names
		}
		a, b := of(u), of(o)
		if !slices.Equal(a, b) {
			return false
		}
		some = some || len(a) > 0
	}
	return some
}

// dissolve takes out the targets of o, which u stands for now: it gets their share.
// Shares between the two are left to load and caches.
func (m *move) dissolve(u, o *upstream) {
	for _, mo := range m.models {
		for _, t := range mo.targets {
			for i := range mo.targets {
				if x := &mo.targets[i]; t.upstream == o && x.upstream == u && x.model == t.model && x.order == t.order {
					if x.weighed || t.weighed {
						m.apart(mo)
					}
					x.weight += t.weight
				}
			}
		}
		mo.targets = slices.DeleteFunc(mo.targets, func(t target) bool { return t.upstream == o })
	}
}

// apart notes that deployments that became one upstream had weights of their own.
func (m *move) apart(mo *model) {
	words := mo.name + " has deployments with a weight that serve the same and are one upstream here: each of its replicas and credentials gets what its load and caches allow, and the weights between them are left out"
	if n := len(m.notes) - 1; n < 0 || m.notes[n].Words != words {
		m.notes = append(m.notes, Note{mo.line, "model_list", words})
	}
}

// free returns a name that no upstream has.
func (m *move) free(name string) string {
	taken := func(n string) bool {
		return slices.ContainsFunc(m.upstreams, func(u *upstream) bool { return u.name == n })
	}
	if !taken(name) {
		return name
	}
	for i := 2; ; i++ {
		if next := name + "-" + strconv.Itoa(i); !taken(next) {
			return next
		}
	}
}

// wildcard says what to ask for in the place of a pattern.
func (m *move) wildcard(at node, path, name, of string, u *upstream) {
	if prefix, ok := strings.CutSuffix(name, "/*"); ok && prefix == u.name && of == "*" {
		u.asked = true
		return // whoever asks for upstream/model gets it anyway
	}
	u.asked = true
	m.note(at, path+".model_name", "patterns are no names here: ask for %s/MODEL, which reaches whatever the upstream has", u.name)
}

func (m *move) router() {
	r := m.root.get("router_settings")
	for _, f := range r.members() {
		path := "router_settings." + f.key
		switch f.key {
		case "routing_strategy":
			if s := f.value.text(); s != "simple-shuffle" {
				m.note(f.value, path, "%s is left out: targets stand in order or are drawn by weight, and replicas of an upstream are chosen by their load and caches", s)
			}
		case "model_group_alias":
			for _, a := range f.value.members() {
				of := a.value.text()
				if of == "" {
					of = a.value.get("model").text()
				}
				m.other = append(m.other, alias{a.value, path + "." + a.key, a.key, of})
			}
		case "fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "default_fallbacks":
			m.fallbacks(f, path)
		case "num_retries":
			m.retries(f.value, path)
		case "timeout":
			m.total = m.seconds(f.value, path)
		case "allowed_fails", "cooldown_time", "retry_after", "allowed_fails_policy", "retry_policy":
			m.note(f.value, path, "left out: when a replica rests is decided by rules that are the same for all, see explanation/health-and-retries.md")
		case "redis_host", "redis_password", "redis_port", "redis_url":
			m.note(f.value, path, "left out: one process needs no Redis")
		case "enable_pre_call_checks":
			// prompts are compared with windows that are known in any case
		default:
			m.note(f.value, path, "left out: there is nothing like it here")
		}
	}
}

func (m *move) retries(v node, path string) {
	if m.tries = max(v.number()+1, 1); m.tries > 3 {
		m.note(v, path, "three tries on one target are the most; after them the next target is asked")
		m.tries = 3
	}
}

// aliases makes a model of each name that stands for another, with all that the
// other falls back to.
func (m *move) aliases() {
	for _, o := range m.other {
		from := m.byName[o.of]
		if from == nil || m.byName[o.name] != nil {
			m.note(o.at, o.path, "left out: there is no model %s to stand for, or %s is one already", o.of, o.name)
			continue
		}
		a := *from
		a.name = o.name
		m.byName[o.name] = &a
		m.models = append(m.models, &a)
	}
}

// fallbacks puts the targets of other models behind those of a model.
func (m *move) fallbacks(f member, path string) {
	switch f.key {
	case "content_policy_fallbacks":
		m.note(f.value, path, "left out: an answer that a provider's filter refused is an answer")
		return
	case "default_fallbacks":
		m.later = append(m.later, general{f.value, path})
		return
	}
	for _, pair := range f.value.items() {
		for _, one := range pair.members() {
			if one.key == "*" {
				m.later = append(m.later, general{one.value, path})
				continue
			}
			m.fallback(f.key, path, one)
		}
	}
}

// everyone gives each model something to fall back to that has nothing of its own.
func (m *move) everyone() {
	var bare []*model
	for _, mo := range m.models {
		if len(mo.aside) == 0 {
			bare = append(bare, mo)
		}
	}
	for _, g := range m.later {
		for _, mo := range bare {
			m.behind(mo, g.names, g.path)
		}
	}
}

func (m *move) fallback(key, path string, one member) {
	own := m.byName[one.key]
	if own == nil {
		m.note(one.value, path, "left out: there is no model %s", one.key)
		return
	}
	if key == "context_window_fallbacks" {
		m.note(one.value, path, "%s: a prompt that is too long for a target goes to the next one with a larger window; these targets also answer where the others cannot", one.key)
	}
	m.behind(own, one.value, path)
}

// behind puts the targets of the named models behind those of a model.
func (m *move) behind(own *model, names node, path string) {
	for _, name := range names.items() {
		other := m.byName[name.text()]
		if other == nil {
			m.note(name, path, "left out: there is no model %s to fall back to", name.text())
			continue
		}
		for i := range other.targets {
			t := other.targets[i]
			had := func(x *target) bool { return x.upstream == t.upstream && x.model == t.model }
			if !slices.ContainsFunc(own.aside, had) && !slices.ContainsFunc(own.targets, func(x target) bool { return had(&x) }) {
				t.fallsBack = true
				own.aside = append(own.aside, &t)
			}
		}
	}
}

func (m *move) settings() {
	for _, f := range m.root.get("litellm_settings").members() {
		path := "litellm_settings." + f.key
		switch f.key {
		case "num_retries":
			m.retries(f.value, path)
		case "request_timeout":
			m.total = m.seconds(f.value, path)
		case "fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "default_fallbacks":
			m.fallbacks(f, path)
		case "drop_params":
			// Fields that a target cannot be told are left out and named, unless they are
			// to be refused.
			m.reject = f.value.text() == "false" || f.value.text() == "False"
		case "set_verbose", "telemetry", "json_logs", "turn_off_message_logging":
		case "callbacks", "success_callback", "failure_callback":
			m.note(f.value, path, "left out: metrics are at /metrics of the admin listener, each request in headworks requests")
		case "cache", "cache_params":
			if f.value.text() != "false" && f.value.text() != "False" {
				m.note(f.value, path, "left out: this version caches no answers")
			}
		case "max_budget", "budget_duration":
			m.note(f.value, path, "left out: budgets belong to keys")
		default:
			m.note(f.value, path, "left out: there is nothing like it here")
		}
	}
}

// leastSecret is how long a key of a caller is at least.
const leastSecret = 16

func (m *move) general() {
	for _, f := range m.root.get("general_settings").members() {
		path := "general_settings." + f.key
		switch f.key {
		case "master_key":
			m.key = m.secret(f.value, path, "LITELLM_MASTER_KEY")
			if text := f.value.text(); !reference.MatchString(text) && len(text) < leastSecret {
				m.note(f.value, path, "the one in the file is shorter than %d characters, which is too short here; choose another", leastSecret)
			}
			m.note(f.value, path, "it becomes the key of a caller who may ask for everything; operators have a token of their own, in admin.token of the data folder")
		case "database_url", "store_model_in_db", "database_connection_pool_limit", "proxy_batch_write_at",
			"proxy_budget_rescheduler_min_time", "proxy_budget_rescheduler_max_time":
			m.note(f.value, path, "left out: what must survive is in the data folder; virtual keys and teams of the database are not read, make keys with headworks keys create")
		case "pass_through_endpoints":
			m.note(f.value, path, "left out: a path that is not on the list does not exist, and none can be added")
		case "alerting", "alerting_threshold", "alert_types":
			m.note(f.value, path, "left out: alarms come from the metrics")
		default:
			m.note(f.value, path, "left out: there is nothing like it here")
		}
	}
}

// rest names the sections that nothing of is read.
func (m *move) rest() {
	for _, f := range m.root.members() {
		switch f.key {
		case "model_list", "router_settings", "litellm_settings", "general_settings":
		case "include":
			m.note(f.value, f.key, "left out: import the files that it names one by one, or put them together first")
		case "environment_variables":
			m.note(f.value, f.key, "left out: set variables in the environment of the process; secrets in a file come in as ${file:/path}")
		default:
			m.note(f.value, f.key, "left out: there is nothing like it here")
		}
	}
}

// seconds returns a time as our file writes it; empty for what is none, which is
// noted.
func (m *move) seconds(v node, path string) string {
	if !v.there() {
		return ""
	}
	f, err := strconv.ParseFloat(v.text(), 64)
	if err != nil || f <= 0 || f > 1e6 {
		m.note(v, path, "left out: it is no number of seconds; write it as a time, such as 30s")
		return ""
	}
	if f < 1 {
		return strconv.FormatFloat(f*1000, 'f', -1, 64) + "ms"
	}
	return strconv.FormatFloat(f, 'f', -1, 64) + "s"
}

// perMillion returns a price of tokens as our file writes it; empty for what is
// none.
func perMillion(v node) string {
	f, err := strconv.ParseFloat(v.text(), 64)
	if err != nil || f < 0 {
		return ""
	}
	return strconv.FormatFloat(f*1e6, 'g', 6, 64)
}

// node is a value of the file, or nothing.
type node struct{ ast.Node }

// member is a key of a mapping and its value.
type member struct {
	key   string
	value node
}

func (n node) there() bool {
	_, null := n.plain().(*ast.NullNode)
	return n.Node != nil && !null
}

// plain returns the node behind an anchor, a tag.
func (n node) plain() ast.Node {
	switch v := n.Node.(type) {
	case *ast.AnchorNode:
		return node{v.Value}.plain()
	case *ast.TagNode:
		return node{v.Value}.plain()
	}
	return n.Node
}

func (n node) line() int {
	if n.Node == nil || n.GetToken() == nil {
		return 0
	}
	return n.GetToken().Position.Line
}

func (n node) members() []member {
	var values []*ast.MappingValueNode
	switch v := n.plain().(type) {
	case *ast.MappingNode:
		values = v.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{v}
	}
	var all []member
	for _, v := range values {
		all = append(all, member{node{v.Key}.text(), node{v.Value}})
	}
	return all
}

func (n node) get(key string) node {
	for _, m := range n.members() {
		if m.key == key {
			return m.value
		}
	}
	return node{}
}

func (n node) items() []node {
	s, ok := n.plain().(*ast.SequenceNode)
	if !ok {
		return nil
	}
	var all []node
	for _, v := range s.Values {
		all = append(all, node{v})
	}
	return all
}

func (n node) text() string {
	switch v := n.plain().(type) {
	case *ast.StringNode:
		return v.Value
	case *ast.LiteralNode:
		return v.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return v.GetToken().Value
	}
	return ""
}

func (n node) number() int {
	f, err := strconv.ParseFloat(n.text(), 64)
	if err != nil || f < 0 || f > 1e9 {
		return 0
	}
	return int(f)
}
