// Package local finds what is at hand on this machine: engines that listen on
// their usual loopback ports, and provider keys in the environment.
//
// Looking costs one GET /v1/models per port, on loopback only, all at once and
// bounded in time and bytes. For a key nothing is sent anywhere, and its value is
// not read into what is returned.
package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxBody   = 1 << 20
	maxModels = 512
	maxName   = 256 // bytes of a model's name
)

// Place is where an engine usually listens.
type Place struct {
	Name string // as people call the engine
	Kind string // of upstream, as the configuration names it
	Port uint16
}

// Places returns where engines listen unless somebody told them otherwise.
func Places() []Place {
	return []Place{
		{"Ollama", "ollama", 11434},
		{"vLLM", "vllm", 8000},
		{"llama.cpp", "llamacpp", 8080},
		{"llama.cpp", "llamacpp", 9931},
		{"LM Studio", "lmstudio", 1234},
		{"SGLang", "sglang", 30000},
	}
}

// State is what stands at a place.
type State uint8

// The states.
const (
	Absent State = iota // nothing listens
	Ready               // an engine that lists its models
	Locked              // it wants a key
	Silent              // it did not answer in time
	Odd                 // it answered, but not as an engine does
)

func (s State) String() string {
	return [...]string{"absent", "ready", "locked", "silent", "odd"}[s]
}

// Engine is what was found at a place. Name and Kind follow the answer where it
// tells who gave it, and the place where it does not.
type Engine struct {
	Name   string
	Kind   string
	URL    string // without a path
	State  State
	Models []string // in its own order; only when Ready
	Note   string   // what was odd, in words for the operator
}

// Dial opens a connection to an address of the form 127.0.0.1:port.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Search is a look at some places. The zero Search looks at Places() and gives
// each 300 ms.
type Search struct {
	Places   []Place
	Patience time.Duration
	Dial     Dial
}

// Find looks at all places at once and says of each, in their order, what stands
// there.
func (s Search) Find(ctx context.Context) []Engine {
	if s.Places == nil {
		s.Places = Places()
	}
	if s.Patience == 0 {
		s.Patience = 300 * time.Millisecond
	}
	if s.Dial == nil {
		s.Dial = new(net.Dialer).DialContext
	}
	transport := &http.Transport{
		Proxy:                  nil, // one named in the environment is not on loopback
		DialContext:            loopback(s.Dial),
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	ctx, cancel := context.WithTimeout(ctx, s.Patience)
	defer cancel()
	found := make([]Engine, len(s.Places))
	var probes sync.WaitGroup
	for i, place := range s.Places {
		probes.Go(func() { found[i] = probe(ctx, client, place) })
	}
	probes.Wait()
	return found
}

// loopback refuses to dial anything else.
func loopback(dial Dial) Dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !to.Addr().IsLoopback() {
			return nil, fmt.Errorf("%s is not a loopback address", address)
		}
		return dial(ctx, network, address)
	}
}

// probe asks one place for its models.
func probe(ctx context.Context, client *http.Client, place Place) Engine {
	e := Engine{
		Name: place.Name,
		Kind: place.Kind,
		URL:  "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(int(place.Port))),
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL+"/v1/models", nil)
	if err != nil {
		return e.odd("its address is not one: " + err.Error())
	}
	response, err := client.Do(request)
	if err != nil {
		return e.failed(err)
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		e.State, e.Note = Locked, "it wants a key"
		return e
	default:
		return e.odd(fmt.Sprintf("it answered %d to GET /v1/models", response.StatusCode))
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err != nil {
		return e.failed(err)
	}
	if len(body) > maxBody {
		return e.odd(fmt.Sprintf("its list of models has more than %d bytes", maxBody))
	}
	return e.listed(body, response.Header.Get("Server"))
}

// failed tells a place where nobody is from one that says nothing, and both from
// one that speaks something else.
func (e Engine) failed(err error) Engine {
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" && !dial.Timeout() {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		e.State, e.Note = Silent, "it did not answer in time"
		return e
	}
	return e.odd("it does not speak HTTP as an engine does")
}

func (e Engine) odd(note string) Engine {
	e.State, e.Note = Odd, note
	return e
}

// listed reads a list of models as OpenAI writes it (GET /v1/models).
func (e Engine) listed(body []byte, server string) Engine {
	var list struct {
		Object string `json:"object"`
		Data   []struct {
			ID      string `json:"id"`
			OwnedBy string `json:"owned_by"`
		} `json:"data"`
	}
	// Ollama without models writes "data": null.
	if err := json.Unmarshal(body, &list); err != nil || list.Data == nil && list.Object != "list" {
		return e.odd("its answer to GET /v1/models is no list of models")
	}
	owner := ""
	for _, m := range list.Data {
		if name(m.ID) && len(e.Models) < maxModels {
			e.Models = append(e.Models, m.ID)
		}
		if owner == "" {
			owner = m.OwnedBy
		}
	}
	e.State = Ready
	e.Name, e.Kind = identify(e, owner, server)
	return e
}

// name reports whether a model's name can be shown and asked for.
func name(id string) bool {
	return id != "" && len(id) <= maxName && utf8.ValidString(id) &&
		strings.IndexFunc(id, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// identify tells who answered. These engines sign: vLLM, SGLang, llama.cpp and Ollama in
// owned_by, llama.cpp in the Server header too. One of them whose signature is
// missing at its own port is somebody else.
func identify(e Engine, owner, server string) (name, kind string) {
	switch {
	case owner == "vllm":
		return "vLLM", "vllm"
	case owner == "sglang":
		return "SGLang", "sglang"
	case owner == "llamacpp", server == "llama.cpp":
		return "llama.cpp", "llamacpp"
	case owner == "library": // the namespace of Ollama's own models
		return "Ollama", "ollama"
	case owner == "":
		return e.Name, e.Kind
	}
	switch e.Name {
	case "vLLM", "SGLang", "llama.cpp":
		return "OpenAI-compatible server", "openai"
	}
	return e.Name, e.Kind
}
