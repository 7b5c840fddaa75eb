// Package fault says why something failed, whose fault it is, and whether
// another try can help.
package fault

import (
	"errors"
	"time"
)

// Kind is the reason of a failure. The zero Kind means that nothing failed. The
// set is closed: its names are metric labels and columns of a Record.
type Kind uint8

// The kinds of failure. What each means for the caller, for another try and for
// the health of a replica stands in one table, see Info.
const (
	None Kind = iota

	// The caller's.
	InvalidRequest   // a field is missing, of the wrong type or out of range
	InvalidJSON      // the body has no single reading
	Unsupported      // a field that no target can carry
	Unauthenticated  // no key, or one that is not valid
	Forbidden        // the key may not do this
	Residency        // nothing in the regions that the caller's requests stay in
	NotFound         // no such path
	MethodNotAllowed // the path exists, the method does not
	ModelNotFound    // no such model, or not for this key: the same words
	NotCached        // only a kept answer is wanted, and none is kept
	TooLarge         // the body is over the bound
	SlowRequest      // head or body came too slowly
	ContextTooLong   // the prompt does not fit the model's window
	RateLimited      // requests or tokens per time
	Concurrency      // too many requests of this key at once
	Quota            // the budget is spent
	ClientClosed     // the caller left

	// The upstream's, or the network's before it.
	Connect           // refused, unreachable, no address
	TLS               // handshake or certificate
	Interrupted       // reset, or cut before its own terminal
	FirstTokenTimeout // nothing in time
	NoProgress        // nothing, while others like it answered
	Stalled           // silence in the middle of an answer
	Malformed         // not what the dialect says
	Incomplete        // ended in form, without a finish reason
	Oversized         // an event or an answer over the bound
	Mismatch          // an answer to another request
	Redirected        // a redirect, never followed
	UpstreamError     // 5xx
	UpstreamTransient // 408, 409
	UpstreamCapacity  // 429, 529
	UpstreamAuth      // 401, 402: our credential, never the caller's
	UpstreamForbidden // 403: our credential may not do this, though perhaps another thing
	UpstreamRejected  // 400, 404, 413, 422: passed on

	// Ours.
	TotalTimeout      // the whole answer took longer than the model allows
	NoReplica         // nothing healthy can serve this
	Overloaded        // the queue is full, or the wait was too long
	TooLate           // nobody is predicted to begin the answer in time
	Draining          // this process is going away
	BudgetUnavailable // the ledger cannot be written
	NoKnowledge       // the documents that the answer rests on cannot be searched
	Internal          // a defect

	kinds // how many there are

	// Count is how many kinds there are, None among them.
	Count = int(kinds)
)

// Owner is whose fault a failure is.
type Owner uint8

// The owners of failures.
const (
	Nobody Owner = iota
	Caller
	Headworks
	Upstream
	Network
)

func (o Owner) String() string {
	return [...]string{"none", "caller", "headworks", "upstream", "network"}[o]
}

// Effect is what a failure teaches about the replica it happened on.
type Effect uint8

// The effects on health.
const (
	NoEffect   Effect = iota
	Counts            // one more failure
	Down              // out at once: nobody is there
	CoolDown          // out for as long as it asked
	Credential        // the credential is out, not the replica
	Denied            // the credential is out for this model, if it happens again and again
)

// Info is what is known of a Kind.
type Info struct {
	Name    string // metric label and Record column
	Code    string // the code of an OpenAI-shaped error body
	Status  int    // HTTP status, where nothing was sent yet
	InBand  string // the code after content was sent; Code if empty
	Owner   Owner
	Effect  Effect
	Another bool // another replica or target may do better
	Retry   bool // a client may come back with the same request
}

var table = [kinds]Info{
	None: {Name: "none", Status: 200},

	InvalidRequest:   {Name: "invalid_request", Code: "invalid_request", Status: 400, Owner: Caller},
	InvalidJSON:      {Name: "invalid_json", Code: "invalid_json", Status: 400, Owner: Caller},
	Unsupported:      {Name: "unsupported_parameter", Code: "unsupported_parameter", Status: 400, Owner: Caller, Another: true},
	Unauthenticated:  {Name: "unauthenticated", Code: "invalid_api_key", Status: 401, Owner: Caller},
	Forbidden:        {Name: "forbidden", Code: "permission_denied", Status: 403, Owner: Caller},
	Residency:        {Name: "residency", Code: "residency", Status: 403, Owner: Caller},
	NotFound:         {Name: "not_found", Code: "not_found", Status: 404, Owner: Caller},
	MethodNotAllowed: {Name: "method_not_allowed", Code: "method_not_allowed", Status: 405, Owner: Caller},
	ModelNotFound:    {Name: "model_not_found", Code: "model_not_found", Status: 404, Owner: Caller},
	NotCached:        {Name: "not_cached", Code: "not_cached", Status: 504, Owner: Caller},
	TooLarge:         {Name: "too_large", Code: "request_too_large", Status: 413, Owner: Caller},
	SlowRequest:      {Name: "slow_request", Code: "request_timeout", Status: 408, Owner: Caller},
	ContextTooLong:   {Name: "context_too_long", Code: "context_length_exceeded", Status: 400, Owner: Caller, Another: true},
	RateLimited:      {Name: "rate_limited", Code: "rate_limit_exceeded", Status: 429, Owner: Caller, Retry: true},
	Concurrency:      {Name: "concurrency", Code: "concurrency_limit", Status: 429, Owner: Caller, Retry: true},
	Quota:            {Name: "quota", Code: "insufficient_quota", Status: 429, Owner: Caller},
	ClientClosed:     {Name: "client_closed", Code: "client_closed", Status: 499, Owner: Caller},

	Connect:           {Name: "connect", Code: "no_healthy_upstream", Status: 503, Owner: Network, Effect: Down, Another: true},
	TLS:               {Name: "tls", Code: "upstream_tls", Status: 503, Owner: Upstream, Effect: Counts, Another: true},
	Interrupted:       {Name: "abnormal_end", Code: "upstream_error", Status: 502, InBand: "upstream_stream_interrupted", Owner: Upstream, Effect: Counts, Another: true},
	FirstTokenTimeout: {Name: "first_token_timeout", Code: "upstream_timeout", Status: 504, Owner: Upstream, Effect: Counts, Another: true},
	NoProgress:        {Name: "no_progress", Code: "upstream_timeout", Status: 504, Owner: Upstream, Effect: Counts, Another: true},
	Stalled:           {Name: "stall", Code: "upstream_timeout", Status: 504, InBand: "upstream_stream_stalled", Owner: Upstream, Effect: Counts, Another: true},
	Malformed:         {Name: "malformed", Code: "upstream_malformed", Status: 502, Owner: Upstream, Effect: Counts, Another: true},
	Incomplete:        {Name: "incomplete", Code: "upstream_incomplete", Status: 502, Owner: Upstream, Effect: Counts, Another: true},
	Oversized:         {Name: "oversized", Code: "upstream_response_too_large", Status: 502, Owner: Upstream, Effect: Counts, Another: true},
	Mismatch:          {Name: "mismatch", Code: "upstream_mismatch", Status: 502, Owner: Upstream, Effect: Counts, Another: true},
	Redirected:        {Name: "redirect", Code: "upstream_redirect", Status: 502, Owner: Upstream, Effect: Counts, Another: true},
	UpstreamError:     {Name: "upstream_5xx", Code: "upstream_error", Status: 502, Owner: Upstream, Effect: Counts, Another: true},
	UpstreamTransient: {Name: "upstream_transient", Code: "upstream_error", Status: 502, Owner: Upstream, Another: true},
	UpstreamCapacity:  {Name: "capacity", Code: "upstream_rate_limited", Status: 429, Owner: Upstream, Effect: CoolDown, Another: true, Retry: true},
	UpstreamAuth:      {Name: "credential", Code: "upstream_auth", Status: 502, Owner: Headworks, Effect: Credential, Another: true},
	UpstreamForbidden: {Name: "upstream_403", Code: "upstream_auth", Status: 502, Owner: Headworks, Effect: Denied, Another: true},
	UpstreamRejected:  {Name: "upstream_4xx", Code: "invalid_request", Status: 400, Owner: Caller},

	TotalTimeout:      {Name: "total_timeout", Code: "answer_timeout", Status: 504, Owner: Headworks},
	NoReplica:         {Name: "no_replica", Code: "no_healthy_upstream", Status: 503, Owner: Headworks, Retry: true},
	Overloaded:        {Name: "overloaded", Code: "overloaded", Status: 503, Owner: Headworks, Retry: true},
	TooLate:           {Name: "too_late", Code: "deadline_unreachable", Status: 503, Owner: Headworks},
	Draining:          {Name: "draining", Code: "server_draining", Status: 503, Owner: Headworks, Retry: true},
	BudgetUnavailable: {Name: "budget_unavailable", Code: "budget_unavailable", Status: 503, Owner: Headworks},
	NoKnowledge:       {Name: "no_knowledge", Code: "knowledge_unavailable", Status: 503, Owner: Headworks, Retry: true},
	Internal:          {Name: "internal", Code: "internal_error", Status: 500, Owner: Headworks},
}

// Info returns what is known of k.
func (k Kind) Info() Info {
	if k >= kinds {
		return table[Internal]
	}
	return table[k]
}

func (k Kind) String() string { return k.Info().Name }

// Kinds returns every kind of failure, None left out.
func Kinds() []Kind {
	all := make([]Kind, 0, kinds-1)
	for k := None + 1; k < kinds; k++ {
		all = append(all, k)
	}
	return all
}

// Error is a failure on its way to whoever asked.
type Error struct {
	Kind   Kind
	Words  string        // for the caller: what happened, how to mend it; no secrets, no upstream's text
	Param  string        // the field at fault, in the caller's dialect
	Code   string        // overrides the kind's code, for a rejection that is passed on
	Status int           // overrides the kind's status, for a rejection that is passed on
	After  time.Duration // when another try may help; 0 if unknown
	Again  bool          // another try may help, though the kind says no
	Cause  error         // for the operator; never sent
}

// New returns an Error of a kind with words for the caller.
func New(k Kind, words string) *Error { return &Error{Kind: k, Words: words} }

// Wrap returns an Error of a kind with words for the caller and a cause for the
// operator.
func Wrap(k Kind, words string, cause error) *Error {
	return &Error{Kind: k, Words: words, Cause: cause}
}

// Error tells the operator; a caller is told Words alone.
func (e *Error) Error() string {
	s := e.Kind.String() + ": " + e.Words
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// HTTPStatus returns the status to answer with, where nothing was sent yet.
func (e *Error) HTTPStatus() int {
	if e.Status != 0 {
		return e.Status
	}
	return e.Kind.Info().Status
}

// HTTPCode returns the code of the error body; inBand is whether content was
// sent before it.
func (e *Error) HTTPCode(inBand bool) string {
	i := e.Kind.Info()
	switch {
	case e.Code != "":
		return e.Code
	case inBand && i.InBand != "":
		return i.InBand
	default:
		return i.Code
	}
}

// Of returns err as an Error; one of another type becomes Internal.
func Of(err error) *Error {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*Error](err); ok {
		return f
	}
	return Wrap(Internal, "something went wrong inside Headworks; the request id finds it in the log", err)
}
