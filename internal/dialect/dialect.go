// Package dialect holds what the dialects of all vendors share: exact types for
// the fields of a request, what an upstream's error means, and the words for it.
//
// Nothing of what a caller or an upstream wrote is kept in an error: params are
// names of known fields, words are ours.
package dialect

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// What a piece of a prompt weighs in tokens, for an estimate before any
// tokenizer has seen it. OpenAI counts 765 for a picture of a megapixel,
// Anthropic up to 1,600; a page of a document is about as much.
const (
	BytesPerToken  = 4
	ImageTokens    = 1000
	DocumentTokens = 3000
	AudioTokens    = 500
)

// ByGoogle begins a signature of Gemini's on its way through another dialect: a
// signature is for its maker alone, and a caller may hold those of several.
const ByGoogle = "gemini:"

// Rendering takes what a model is going to read; see prefix.Hasher.
type Rendering interface {
	Write(p []byte)
	Weigh(p []byte, tokens int) // what is no text
}

// Session returns the hash of an affinity hint, the same in every process, and 0
// for none (FNV-1a, 64 bits).
func Session(hint []byte) uint64 {
	if len(hint) == 0 {
		return 0
	}
	h := uint64(14695981039346656037)
	for _, c := range hint {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return max(h, 1)
}

// Invalid returns the error of a field that is missing, of the wrong type or out
// of range.
func Invalid(param, words string) *fault.Error {
	return &fault.Error{Kind: fault.InvalidRequest, Param: param, Words: words}
}

// Fields reads fields with exact types. The first one that is wrong stays in
// Err, and from then on reading goes on without meaning. Null is as good as
// absent.
type Fields struct {
	Err     *fault.Error
	Dropped []string // names of fields that cannot be carried
}

const maxDropped = 32

// Failed returns Err as an error.
func (f *Fields) Failed() error {
	if f.Err == nil {
		return nil
	}
	return f.Err
}

// Wrong notes that a field is wrong.
func (f *Fields) Wrong(param, words string) {
	if f.Err == nil {
		f.Err = Invalid(param, param+" "+words)
	}
}

// Want reports whether v is given, and notes it as wrong if it is of another
// kind.
func (f *Fields) Want(v scan.Value, kind scan.Kind, param string) bool {
	switch {
	case !v.Given():
		return false
	case v.Kind() != kind:
		f.Wrong(param, "must be "+articled(kind))
		return false
	}
	return true
}

func articled(k scan.Kind) string {
	if k == scan.Array || k == scan.Object {
		return "an " + k.String()
	}
	return "a " + k.String()
}

// Bool reads a boolean.
func (f *Fields) Bool(v scan.Value, param string) bool {
	f.Want(v, scan.Bool, param)
	b, _ := v.Bool()
	return b
}

// OptionalBool reads a boolean; nil if it is not given.
func (f *Fields) OptionalBool(v scan.Value, param string) *bool {
	if !f.Want(v, scan.Bool, param) {
		return nil
	}
	return new(f.Bool(v, param))
}

// Int reads an integer within bounds; 0 if it is not given.
func (f *Fields) Int(v scan.Value, param string, low, high int64) int {
	if !f.Want(v, scan.Number, param) {
		return 0
	}
	n, ok := v.Int()
	switch {
	case !ok:
		f.Wrong(param, "must be a whole number of at most 64 bits, written without fraction or exponent")
	case n < low || n > high:
		f.Wrong(param, fmt.Sprintf("must be from %d to %d", low, high))
	}
	return int(n)
}

// Float reads a number; nil if it is not given.
func (f *Fields) Float(v scan.Value, param string) *float64 {
	if !f.Want(v, scan.Number, param) {
		return nil
	}
	x, ok := v.Float()
	if !ok {
		f.Wrong(param, "is too large")
	}
	return &x
}

// Text reads a string; empty if it is not given.
func (f *Fields) Text(v scan.Value, param string) string {
	f.Want(v, scan.String, param)
	return v.Text()
}

// Zero reports whether v is the number 0.
func Zero(v scan.Value) bool {
	x, ok := v.Float()
	return ok && x == 0
}

// Lies reports whether a URL says where something is, rather than what it is (a data
// URI, RFC 2397).
func Lies(url scan.Value) bool {
	const scheme = "data:"
	b := url.Bytes()
	return len(b) > 0 && (len(b) < len(scheme) || !bytes.EqualFold(b[:len(scheme)], []byte(scheme)))
}

// Texts reads an array of strings.
func (f *Fields) Texts(v scan.Value, param string) []string {
	if !f.Want(v, scan.Array, param) {
		return nil
	}
	var texts []string
	for e := range v.All() {
		if e.Kind() != scan.String {
			f.Wrong(param, "must hold strings")
		}
		texts = append(texts, e.Text())
	}
	return texts
}

// Drop notes that a field cannot be carried. Names are known ones, or have
// passed scan.Name: they leave in a header.
func (f *Fields) Drop(name string) { f.Dropped = Drop(f.Dropped, name) }

// DropMember notes that the member of an object at path cannot be carried,
// unless its value asks for nothing.
func (f *Fields) DropMember(path string, m scan.Value) {
	if !idle(m.Raw()) {
		f.Drop(path + scan.Name(m.Key()))
	}
}

// idle reports whether the value of a field asks for nothing.
func idle(raw []byte) bool {
	switch string(raw) {
	case "null", "false", "0", "0.0", `""`, "[]", "{}":
		return true
	}
	return false
}

// Cache reads how long a prefix is to be kept that ends here, as Anthropic writes
// it and others have taken over: {"type":"ephemeral","ttl":"1h"}.
func Cache(v scan.Value) string {
	switch ttl := v.Get("ttl").Text(); {
	case !v.Given():
		return ""
	case ttl != "":
		return ttl
	}
	return "default"
}

// AppendCache appends what Cache reads as a member.
func AppendCache(dst []byte, ttl string) []byte {
	dst = append(scan.AppendKey(dst, "cache_control"), `{"type":"ephemeral"`...)
	if ttl != "default" {
		dst = scan.AppendString(scan.AppendKey(dst, "ttl"), ttl)
	}
	return append(dst, '}')
}

// Private returns the member of an object at path as what only its dialect has.
func Private(path string, m scan.Value) inference.Private {
	return inference.Private{Path: path, Key: string(m.Key()), Raw: m.Raw()}
}

// AppendPrivate appends, as members of the object that is being written, what a
// list holds of the object at path.
func AppendPrivate(dst []byte, list []inference.Private, path string) []byte {
	for _, p := range list {
		if p.Path == path {
			dst = append(scan.AppendString(scan.AppendComma(dst), p.Key), ':')
			dst = append(dst, p.Raw...)
		}
	}
	return dst
}

// Common returns the parts of a turn that other dialects have as well; false if that
// leaves nothing of it, and the turn is to be left out.
func Common(parts []inference.Part) ([]inference.Part, bool) {
	if !slices.ContainsFunc(parts, isForeign) {
		return parts, true
	}
	rest := slices.DeleteFunc(slices.Clone(parts), isForeign)
	return rest, len(rest) > 0
}

func isForeign(p inference.Part) bool { return p.Kind == inference.Foreign }

// Lost adds the names of all that c has of its own dialect and another one cannot
// carry: private fields that ask for something, foreign parts, tools that run on
// the upstream's side.
func Lost(dropped []string, c *inference.Conversation) []string {
	l := lost{dropped}
	l.private(c.Private)
	l.parts(c.System)
	for _, m := range c.Messages {
		l.private(m.Private)
		l.parts(m.Parts)
	}
	for _, t := range c.Tools {
		if t.Hosted != nil {
			l.name("tools." + scan.Name([]byte(t.Name)))
		}
		l.private(t.Private)
	}
	return l.names
}

type lost struct{ names []string }

func (l *lost) name(name string) { l.names = Drop(l.names, name) }

func (l *lost) private(list []inference.Private) {
	for _, p := range list {
		if !idle(p.Raw) {
			l.name(p.Path + scan.Name([]byte(p.Key)))
		}
	}
}

func (l *lost) parts(parts []inference.Part) {
	for _, p := range parts {
		if p.Kind == inference.Foreign {
			kind, form, _ := strings.Cut(p.Name, ".")
			if kind = scan.Name([]byte(kind)); form != "" {
				kind += "." + scan.Name([]byte(form))
			}
			l.name("content." + kind)
		}
		l.private(p.Private)
		l.parts(p.Parts)
	}
}

// Drop adds a name to those of fields that cannot be carried, once.
func Drop(dropped []string, name string) []string {
	if slices.Contains(dropped, name) {
		return dropped
	}
	if len(dropped) == maxDropped {
		dropped[maxDropped-1] = "*"
		return dropped
	}
	return append(dropped, name)
}

// DataURI reads a data URI (RFC 2397) as its media type, without parameters, and its
// data in base64; false if it is none. One that cannot be read is noted as wrong.
func (f *Fields) DataURI(uri, param string) (media, data string, ok bool) {
	const scheme = "data:"
	if len(uri) < len(scheme) || !strings.EqualFold(uri[:len(scheme)], scheme) {
		return "", "", false
	}
	head, data, ok := strings.Cut(uri[len(scheme):], ",")
	if ok && strings.IndexByte(data, '%') >= 0 {
		var err error
		data, err = url.PathUnescape(data)
		ok = err == nil
	}
	head, coded := cutCoding(head)
	if !coded {
		data = base64.StdEncoding.EncodeToString([]byte(data))
	} else if strings.ContainsAny(data, " \t\r\n") {
		data = strings.Join(strings.Fields(data), "")
	}
	media, _, _ = strings.Cut(head, ";")
	if media = strings.ToLower(strings.TrimSpace(media)); media == "" {
		media = "text/plain"
	}
	if kind, form, _ := strings.Cut(media, "/"); !ok || kind == "" || form == "" || !isBase64(data) {
		f.Wrong(param, "is a data URI that cannot be read; write data:image/png;base64, with the media type that it is, and then the base64")
		return "", "", false
	}
	return media, data, true
}

// cutCoding takes off what tells that the data of a URI are in base64.
func cutCoding(head string) (rest string, coded bool) {
	i := strings.LastIndexByte(head, ';')
	if i < 0 || !strings.EqualFold(strings.TrimSpace(head[i+1:]), "base64") {
		return head, false
	}
	return head[:i], true
}

// isBase64 reports whether s may be base64 of the standard alphabet, and of something.
func isBase64(s string) bool {
	s = strings.TrimSuffix(strings.TrimSuffix(s, "="), "=")
	for i := range len(s) {
		if c := s[i]; c != '+' && c != '/' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return s != ""
}

// Broken returns the fault of an answer that does not keep to its dialect: one of
// Malformed, Mismatch, Incomplete, Interrupted.
func Broken(kind fault.Kind, why string) *fault.Error {
	words := "the upstream sent something that its protocol does not know"
	switch kind {
	case fault.Mismatch:
		words = "the upstream mixed another answer into this one"
	case fault.Incomplete:
		words = "the upstream ended the answer without saying why it was finished"
	case fault.Interrupted:
		words = "the upstream's answer was cut off before its end"
	}
	return fault.Wrap(kind, words, errors.New(why))
}

// Once returns a fault where one of the keys stands twice in an object that an
// upstream wrote: of two values one would be checked, and another might be read.
func Once(object scan.Value, keys ...string) *fault.Error {
	seen := 0
	for m := range object.All() {
		for i, k := range keys {
			if string(m.Key()) != k {
				continue
			}
			if seen&(1<<i) != 0 {
				return Broken(fault.Malformed, "the key "+k+" stands twice")
			}
			seen |= 1 << i
		}
	}
	return nil
}

// Unreadable returns the fault of an answer that is not JSON.
func Unreadable(cause error) *fault.Error {
	f := Broken(fault.Malformed, "")
	f.Cause = cause
	return f
}

// Said is an upstream's error in its own words. They lead to a kind, and only
// that is kept.
type Said struct {
	Status  int // of HTTP, or as the error says; 0 if unknown
	Type    []byte
	Code    []byte
	Message []byte
	Param   string // a known field, or empty
	Prompt  string // the dialect's name for the field that holds the prompt
}

// tooLong are the codes and phrases by which engines say that a prompt does not
// fit, in lower case.
var tooLong = []string{
	"context_length_exceeded",          // OpenAI
	"maximum context length",           // OpenAI, vLLM, and most providers
	"maximum model length",             // vLLM
	"context length is only",           // vLLM
	"exceed_context_size_error",        // llama.cpp
	"exceeds the available context",    // llama.cpp
	"model's context length",           // SGLang
	"prompt is too long",               // Anthropic
	"exceed context limit",             // Anthropic
	"exceeds the context window",       // OpenAI
	"maximum number of tokens allowed", // Gemini
	"maximum prompt length",            // xAI
	"input is too long",                // Bedrock
	"reduce the length of the",         // Groq, Cerebras
	"tokens + `max_new_tokens`",        // Together, TGI
	"exceeds the context length",       // Ollama
	"longer than the context length",   // Ollama
	"`inputs` must have less than",     // TGI
}

// denied are phrases by which a provider says with another status than 401 that it
// does not accept our credential, in lower case.
var denied = []string{
	"incorrect api key provided", // xAI, with 400
}

// unlucky are codes that say that a model wrote what its provider could not use:
// another try may go well, and nobody is at fault.
var unlucky = []string{"tool_use_failed", "json_validate_failed"} // Groq

// codes are those of rejections that mean the same from us.
var codes = []string{
	"model_not_found", "invalid_value", "invalid_type", "missing_required_parameter", "unknown_parameter",
	"unsupported_parameter", "unsupported_value", "integer_above_max_value", "integer_below_min_value",
	"string_above_max_length", "array_above_max_length", "content_policy_violation", "content_filter", "invalid_prompt",
	"invalid_image", "invalid_image_format", "invalid_function_parameters", "image_too_large",
}

// Fault returns what the upstream's error means here.
func (s Said) Fault() *fault.Error {
	if s.Status < 300 {
		s.Status = s.status()
	}
	cause := fmt.Errorf("the upstream's error has status %d", s.Status)
	switch {
	case s.Status < 400:
		return fault.Wrap(fault.Redirected, "the upstream sent a redirect, which is never followed", cause)
	case s.Status == 429, s.Status == 529:
		return fault.Wrap(fault.UpstreamCapacity, "the upstream is at its limit; try again later", cause)
	case s.Status == 403:
		// Others of the same upstream may be served: one model, one region or one
		// prompt is not for us, and no caller may put the upstream out for all.
		return fault.Wrap(fault.UpstreamForbidden, "the upstream does not let Headworks do this; its operator can tell why", cause)
	case s.Status == 401, s.Status == 402:
		return fault.Wrap(fault.UpstreamAuth, "the upstream does not accept the credential that Headworks holds for it; its operator must mend this", cause)
	case s.Status == 400 && s.says(denied):
		s.Status = 401
		return s.Fault()
	case s.Status == 400 && slices.Contains(unlucky, string(s.Code)):
		return fault.Wrap(fault.UpstreamTransient, "the model wrote a tool call or JSON that its provider could not use; another try may go well", cause)
	case s.Status == 498: // Groq's flex tier
		s.Status = 429
		return s.Fault()
	case s.tooLong(), s.Status == 413 && string(s.Code) == "rate_limit_exceeded": // Groq: more at once than it ever takes
		f := fault.Wrap(fault.ContextTooLong, "the prompt and the answer asked for do not fit the model's window; shorten one of them", cause)
		f.Param = s.Prompt
		return f
	case s.Status == 408, s.Status == 409:
		return fault.Wrap(fault.UpstreamTransient, "the upstream could not take the request at this moment", cause)
	case s.Status >= 500:
		return fault.Wrap(fault.UpstreamError, "the upstream failed", cause)
	}
	return s.rejection(cause)
}

func (s Said) tooLong() bool {
	return s.says(tooLong)
}

// says reports whether the error has one of the codes, or of the phrases.
func (s Said) says(signs []string) bool {
	message := bytes.ToLower(s.Message)
	for _, sign := range signs {
		if string(s.Code) == sign || string(s.Type) == sign || bytes.Contains(message, []byte(sign)) {
			return true
		}
	}
	return false
}

func (s Said) rejection(cause error) *fault.Error {
	f := fault.Wrap(fault.UpstreamRejected, "the upstream refused the request as invalid", cause)
	f.Status, f.Param = s.Status, s.Param
	switch s.Status {
	case 404:
		f.Code, f.Words = "not_found", "the upstream does not know the model, or what was asked of it"
	case 413:
		f.Code, f.Words = "request_too_large", "the request is too large for the upstream"
	}
	if slices.Contains(codes, string(s.Code)) {
		f.Code = string(s.Code)
	}
	if s.Param != "" {
		f.Words += "; see " + s.Param
	}
	return f
}

// status returns the HTTP status that the error's type and code stand for.
func (s Said) status() int {
	if n := number(s.Code); n >= 400 && n < 600 {
		return n
	}
	for _, word := range [][]byte{s.Type, s.Code} {
		word = bytes.ToLower(word)
		for _, sign := range []struct {
			part   string
			status int
		}{
			{"rate_limit", 429},
			{"insufficient_quota", 429},
			{"overloaded", 529},
			{"too_many_requests", 429},
			{"authentication", 401},
			{"invalid_api_key", 401},
			{"billing", 402},
			{"permission", 403},
			{"not_found", 404},
			{"request_too_large", 413},
			{"invalid_request", 400},
			{"badrequest", 400},
		} {
			if bytes.Contains(word, []byte(sign.part)) {
				return sign.status
			}
		}
	}
	return 500
}

func number(digits []byte) int {
	n := 0
	for _, c := range digits {
		if c < '0' || c > '9' || n > 1000 {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// Function reads a tool as OpenAI writes it; one that is no function runs at the
// provider.
func (f *Fields) Function(t scan.Value) inference.Tool {
	if kind := t.Get("type"); !kind.Is("function") {
		return inference.Tool{Name: kind.Text(), Hosted: t.Raw()}
	}
	var tool inference.Tool
	for m := range t.All() {
		switch string(m.Key()) {
		case "type", "function":
		case "cache_control":
			tool.Cache = Cache(m)
		default:
			tool.Private = append(tool.Private, Private("tools.", m))
		}
	}
	for m := range t.Get("function").All() {
		switch string(m.Key()) {
		case "name":
			tool.Name = f.Text(m, "tools.function.name")
		case "description":
			tool.Description = f.Text(m, "tools.function.description")
		case "parameters":
			if f.Want(m, scan.Object, "tools.function.parameters") {
				tool.Schema = m.Raw()
			}
		case "strict":
			tool.Strict = f.OptionalBool(m, "tools.function.strict")
		default:
			tool.Private = append(tool.Private, Private("tools.function.", m))
		}
	}
	return tool
}

// MaxName bounds what is remembered of an id or a model's name, in bytes.
const MaxName = 512

// Same reports whether v is what it was in the events before. Azure leaves both id and
// model empty in some.
func Same(known *[]byte, v scan.Value) bool {
	now := v.Bytes()
	switch {
	case len(now) == 0:
		return true
	case len(now) > MaxName:
		return false
	case len(*known) == 0:
		*known = append(*known, now...)
		return true
	}
	return bytes.Equal(*known, now)
}

// IsObject reports whether JSON that a model wrote, the arguments of a call, is an
// object.
func IsObject(text string) bool {
	var d scan.Doc
	return d.ScanLax([]byte(text)) == nil && d.Root().Kind() == scan.Object
}
