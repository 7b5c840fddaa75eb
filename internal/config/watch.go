package config

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Whether the metrics of an upstream are read.
const (
	MetricsOn  = "on"
	MetricsOff = "off"
)

// page is where each kind of engine has its metrics, beside /v1.
var page = map[string]string{VLLM: "/metrics", SGLang: "/metrics", TGI: "/metrics", LlamaCpp: "/metrics", Ollama: "/api/ps"}

// MetricsAt returns where a replica tells its load; empty where nobody is to ask.
func (u *Upstream) MetricsAt(replica string) string {
	base, err := url.Parse(replica)
	if err != nil || base.Host == "" {
		return ""
	}
	switch at := u.Metrics; {
	case at == MetricsOff, BuiltIn(u.Kind):
		return ""
	case at == "", at == MetricsOn:
		if page[u.Kind] == "" {
			return ""
		}
		below, last := strings.TrimRight(base.Path, "/"), ""
		if i := strings.LastIndexByte(below, '/'); i >= 0 {
			last = below[i+1:]
		}
		if len(last) > 1 && last[0] == 'v' && last[1] >= '0' && last[1] <= '9' {
			below = below[:len(below)-len(last)-1]
		}
		return base.Scheme + "://" + base.Host + below + page[u.Kind]
	case strings.HasPrefix(at, "/"):
		return base.Scheme + "://" + base.Host + at
	default:
		return beside(base, at)
	}
}

// beside returns what a port and a path mean at a replica's host; a whole URL is what
// it is.
func beside(base *url.URL, at string) string {
	if !strings.HasPrefix(at, ":") {
		return at
	}
	host := base.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return "http://" + host + at
}

// GPUAt returns where the exporter of a replica's GPUs is, and their numbers; all,
// where there are none. Place is that of its URL among the upstream's. Empty is no
// exporter.
func (u *Upstream) GPUAt(replica string, place int) (at string, gpus []int) {
	switch {
	case len(u.GPU) == 0 || BuiltIn(u.Kind):
		return "", nil
	case len(u.GPU) == 1:
		place = 0
	case place < 0 || place >= len(u.GPU):
		return "", nil
	}
	base, err := url.Parse(replica)
	if err != nil {
		return "", nil
	}
	at, numbers, _ := strings.Cut(u.GPU[place], "#")
	gpus, _ = numbered(numbers) // they were checked
	return beside(base, at), gpus
}

// numbered reads the numbers of GPUs, such as 0,1.
func numbered(s string) (gpus []int, ok bool) {
	if s == "" {
		return nil, true
	}
	for n := range strings.SplitSeq(s, ",") {
		i, err := strconv.Atoi(n)
		if err != nil || i < 0 || i >= 64 || slices.Contains(gpus, i) {
			return nil, false
		}
		gpus = append(gpus, i)
	}
	return gpus, true
}

// watched checks where an upstream's metrics are.
func (r *reader) watched(path string, u Upstream) {
	at := join(path, "metrics")
	switch m := u.Metrics; {
	case m == "" || m == MetricsOff:
	case BuiltIn(u.Kind):
		r.at(at, BadValue, "kind "+u.Kind+" is inside this process, which knows its load")
	case m == MetricsOn:
		if page[u.Kind] == "" {
			r.at(at, BadValue, "kind "+u.Kind+" has no metrics of its own; say where they are, as /metrics or :8002/metrics")
		}
	case badPage(m, true):
		r.at(at, BadValue, "metrics is on, off, a path as /metrics, a port and a path as :8002/metrics, or a URL as http://10.0.0.11:8002/metrics")
	case strings.HasPrefix(m, "http") && len(u.URLs) > 1:
		r.at(at, BadValue, "one URL cannot tell the load of "+strconv.Itoa(len(u.URLs))+" replicas; write a path or a port and a path, which is asked at each of them")
	}
	at = join(path, "gpu")
	if len(u.GPU) > 0 && BuiltIn(u.Kind) {
		r.at(at, BadValue, "kind "+u.Kind+" is inside this process and has no GPU")
	}
	if len(u.GPU) > 1 && len(u.GPU) != len(u.URLs) {
		r.at(at, BadValue, "one exporter for all replicas or one for each: "+strconv.Itoa(len(u.GPU))+" for "+strconv.Itoa(len(u.URLs))+" urls")
	}
	for i, g := range u.GPU {
		where, numbers, _ := strings.Cut(g, "#")
		if _, ok := numbered(numbers); !ok || badPage(where, false) {
			r.at(at+"["+strconv.Itoa(i)+"]", BadValue, "an exporter of GPUs is a port and a path as :9400/metrics or a URL, and behind # perhaps numbers of GPUs, as :9400/metrics#0,1")
		}
	}
}

// badPage reports whether no page can be asked for there.
func badPage(s string, path bool) bool {
	if strings.HasPrefix(s, "/") && !path {
		return true
	}
	if strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return true
	}
	full := s
	switch {
	case strings.HasPrefix(s, "/"):
		full = "http://h" + s
	case strings.HasPrefix(s, ":"):
		full = "http://h" + s
	}
	u, err := url.Parse(full)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return true
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || n == 0) {
		return true
	}
	return strings.HasPrefix(s, ":") && u.Port() == ""
}
