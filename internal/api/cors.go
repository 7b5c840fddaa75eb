package api

import (
	"slices"
	"strings"

	"headworks/internal/wire"
)

// answerNames are the headers that an answer may have beside those of HTTP itself.
var answerNames = []string{
	"x-request-id", "request-id", "retry-after", "retry-after-ms", "x-should-retry",
	"x-headworks-model", "x-headworks-upstream", "x-headworks-region", "x-headworks-replica", "x-headworks-route", "x-headworks-arm",
	"x-headworks-config", "x-headworks-attempts", "x-headworks-cache", "cache-status", "age", "x-headworks-overhead-ms", "x-headworks-cost",
	"x-headworks-simulated", "x-headworks-degraded", "x-headworks-sources", "x-headworks-dropped", "x-headworks-lexical",
}

// The headers and methods that a page of another origin may read and use (Fetch,
// 3.3). What an answer says of itself is for whoever may read the answer.
var (
	corsMayRead = strings.Join(answerNames, ", ")
	corsMethods = "GET, POST, DELETE"
)

// corsAge is for how long, in seconds, a browser need not ask again.
const corsAge = 600

// cors lets pages of the origins that an operator listed read answers, and answers
// the question that browsers put before a request, which carries no key. It reports
// whether that was all.
func (f *Front) cors(x *wire.Exchange, origins []string) (done bool) {
	origin, ok := x.Header("origin")
	if !ok {
		return false
	}
	any := slices.Contains(origins, "*")
	if !any && !slices.Contains(origins, string(origin)) {
		return false
	}
	var h wire.Header
	if any {
		h.Add("Access-Control-Allow-Origin", "*")
	} else {
		h.Add("Access-Control-Allow-Origin", string(origin))
		h.Add("Vary", "Origin")
	}
	method, asks := x.Header("access-control-request-method")
	if x.Method() != "OPTIONS" || !asks || len(method) == 0 {
		h.Add("Access-Control-Expose-Headers", corsMayRead)
		x.Also(&h)
		return false
	}
	h.Add("Access-Control-Allow-Methods", corsMethods)
	if wanted, ok := x.Header("access-control-request-headers"); ok {
		h.Add("Access-Control-Allow-Headers", string(wanted)) // a page may send what it likes: what we read is on a list
	}
	h.AddInt("Access-Control-Max-Age", corsAge)
	_ = x.Respond(204, "", &h, nil) // fails only if the client is gone
	return true
}
