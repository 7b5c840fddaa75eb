package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"headworks/internal/fault"
	"headworks/internal/wire"
)

const (
	maxHops        = 5
	connectTimeout = 10 * time.Second
	headTimeout    = 30 * time.Second // until the head of an answer
	bodyTimeout    = 5 * time.Minute  // until its end
	maxAfter       = 24 * time.Hour   // of a Retry-After that is believed
	agent          = "Headworks"
	maxURLLength   = 8 << 10
)

// Web asks servers for files. It reaches the hosts that the operator listed and no
// others, wherever a list or a redirect points.
type Web struct {
	client        *http.Client
	hosts         []string
	authorization string
	most          int64
}

// WebOptions say how a Web asks.
type WebOptions struct {
	Hosts         []string // host, or host:port where the port is not that of the scheme
	Authorization string   // sent as the field of this name to the listed hosts; may be empty
	Most          int64    // bytes of a file; 0: 512 MiB
}

// NewWeb returns a Web. Close it.
func NewWeb(o WebOptions) (*Web, error) {
	var listed []string
	for _, h := range o.Hosts {
		h = strings.ToLower(strings.TrimSpace(h))
		if _, _, err := net.SplitHostPort(h); err == nil {
			listed = append(listed, h)
			continue
		}
		name := strings.Trim(h, "[]")
		if name == "" || strings.ContainsAny(name, "/@ ") {
			return nil, fault.New(fault.InvalidRequest, fmt.Sprintf("%q is no host: write it as in docs.example.com or docs.example.com:8443", h))
		}
		listed = append(listed, net.JoinHostPort(name, "443"), net.JoinHostPort(name, "80"))
	}
	dialer, err := wire.NewDialer(listed, connectTimeout)
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, "a host of the list is not valid: write it as in docs.example.com or docs.example.com:8443", err)
	}
	w := &Web{hosts: listed, authorization: o.Authorization, most: o.Most}
	if w.most <= 0 {
		w.most = mostBytes
	}
	w.client = &http.Client{
		Timeout:       bodyTimeout,
		CheckRedirect: w.follow,
		Transport: &http.Transport{
			DialContext:            dialer.Dial,
			TLSHandshakeTimeout:    10 * time.Second,
			ResponseHeaderTimeout:  headTimeout,
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost:    4,
			IdleConnTimeout:        30 * time.Second,
			ForceAttemptHTTP2:      true,
		},
	}
	return w, nil
}

// Close ends the connections that are kept.
func (w *Web) Close() { w.client.CloseIdleConnections() }

// follow allows a redirect that stays with the listed hosts, and with TLS where the
// request had it.
func (w *Web) follow(r *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxHops:
		return fault.New(fault.Redirected, fmt.Sprintf("the server redirects more than %d times", maxHops))
	case via[0].URL.Scheme == "https" && r.URL.Scheme != "https":
		return fault.New(fault.Redirected, "the server redirects from https to http, which is not followed")
	}
	return w.allowed(r.URL)
}

func (w *Web) allowed(u *url.URL) error {
	addr := address(u)
	switch {
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return fault.New(fault.InvalidRequest, "a URL begins with https:// or http:// and a host")
	case u.User != nil:
		return fault.New(fault.InvalidRequest, "a URL with a password in it is not asked for: give the credential beside it")
	case !slices.Contains(w.hosts, addr):
		return fault.New(fault.Forbidden, fmt.Sprintf("the host %s is not one of those that this source lists: add it to hosts if that is meant", strings.ToValidUTF8(u.Host, "?")))
	}
	return nil
}

// address returns what the host of a URL is dialed by.
func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
		if u.Scheme == "http" {
			port = "80"
		}
	}
	return strings.ToLower(net.JoinHostPort(u.Hostname(), port))
}

// get asks for a URL with fields beside its own. The answer is of status 200, 304 or
// one of those that may be asked about; others are errors.
func (w *Web) get(ctx context.Context, u *url.URL, fields [][2]string, also ...int) (*http.Response, error) {
	if err := w.allowed(u); err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, "a URL is not valid", err)
	}
	r.URL = u // with the escapes it came with
	r.Header.Set("User-Agent", agent)
	if w.authorization != "" {
		r.Header.Set("Authorization", w.authorization)
	}
	for _, f := range fields {
		r.Header.Set(f[0], f[1])
	}
	a, err := w.client.Do(r)
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	if a.StatusCode == http.StatusOK || a.StatusCode == http.StatusNotModified || slices.Contains(also, a.StatusCode) {
		return a, nil
	}
	_ = a.Body.Close()
	return nil, refused(a)
}

// unreachable says why there was no answer.
func unreachable(ctx context.Context, err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok && (f.Kind == fault.Redirected || f.Kind == fault.Forbidden || f.Kind == fault.InvalidRequest) {
		return f
	}
	if ctx.Err() != nil {
		return fault.Wrap(fault.ClientClosed, "asking the server was given up", ctx.Err())
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return fault.Wrap(fault.Stalled, "the server did not answer in time", err)
	}
	return fault.Wrap(fault.Connect, "the server cannot be reached: look at its name, its port and its certificate", err)
}

// refused says why an answer is none.
func refused(a *http.Response) error {
	e := fault.Error{Kind: fault.UpstreamRejected}
	switch s := a.StatusCode; {
	case s == http.StatusUnauthorized:
		e.Kind, e.Words = fault.UpstreamAuth, "the server asks for a credential (401)"
	case s == http.StatusForbidden:
		e.Kind, e.Words = fault.UpstreamForbidden, "the server does not let this credential read it (403)"
	case s == http.StatusTooManyRequests, s == http.StatusServiceUnavailable:
		e.Kind, e.Words = fault.UpstreamCapacity, fmt.Sprintf("the server asks for later (%d)", s)
		if n, err := strconv.Atoi(a.Header.Get("Retry-After")); err == nil && n > 0 {
			e.After = min(time.Duration(n)*time.Second, maxAfter)
		}
	case s >= 500:
		e.Kind, e.Words = fault.UpstreamError, fmt.Sprintf("the server failed (%d)", s)
	case s >= 300 && s < 400:
		e.Kind, e.Words = fault.Redirected, fmt.Sprintf("the server redirects nowhere (%d)", s)
	default:
		e.Words = fmt.Sprintf("the server answered with %d in the place of a file", s)
	}
	return &e
}

// open asks for an item by its URL, unless it is the version have.
func (w *Web) open(ctx context.Context, item Item, have string) (*Content, error) {
	u, err := url.Parse(item.ID)
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, "a URL is not valid", err)
	}
	a, err := w.get(ctx, u, conditions(have), http.StatusNotFound, http.StatusGone)
	if err != nil {
		return nil, err
	}
	switch a.StatusCode {
	case http.StatusOK:
		return w.content(a, validator(a.Header))
	case http.StatusNotModified:
		_ = a.Body.Close()
		return nil, ErrUnchanged
	default:
		_ = a.Body.Close()
		return nil, ErrGone
	}
}

func (w *Web) content(a *http.Response, version string) (*Content, error) {
	if a.ContentLength > w.most {
		_ = a.Body.Close()
		return nil, w.tooLarge()
	}
	return &Content{
		Body: &bounded{ReadCloser: a.Body, left: w.most, over: w.tooLarge}, Version: version,
		Media: a.Header.Get("Content-Type"), Size: a.ContentLength,
	}, nil
}

func (w *Web) tooLarge() error {
	return fault.New(fault.TooLarge, fmt.Sprintf("has more than %d MiB, the most that a file may have", w.most>>20))
}

// bounded reads so many bytes; where there are more, that is an error and no end.
type bounded struct {
	io.ReadCloser
	left int64
	over func() error
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, b.over()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fault.Wrap(fault.Interrupted, "the server's answer was cut", err)
	}
	return n, err
}

// A version of a file of the web is what the server tells to recognise it by: its
// ETag, else when it was modified (RFC 9110 8.8).
const (
	byTag  = "etag "
	byTime = "modified "
)

func validator(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" {
		return byTag + tag
	}
	if at := h.Get("Last-Modified"); at != "" {
		if _, err := http.ParseTime(at); err == nil {
			return byTime + at
		}
	}
	return ""
}

func conditions(have string) [][2]string {
	if tag, ok := strings.CutPrefix(have, byTag); ok {
		return [][2]string{{"If-None-Match", tag}}
	}
	if at, ok := strings.CutPrefix(have, byTime); ok {
		return [][2]string{{"If-Modified-Since", at}}
	}
	return nil
}

// Pages are files at URLs that somebody wrote down. Since they did, what robots.txt
// says to those who follow links is not asked for.
type Pages struct {
	Web  *Web
	URLs []string
}

// List implements Source. It asks for nothing: what became of a page is known when it
// is opened.
func (p Pages) List(context.Context) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		seen := map[string]bool{}
		for _, s := range p.URLs {
			item, err := p.Web.item(s)
			if seen[item.ID] {
				continue
			}
			seen[item.ID] = true
			if !yield(item, err) {
				return
			}
		}
	}
}

// Open implements Source.
func (p Pages) Open(ctx context.Context, item Item, have string) (*Content, error) {
	return p.Web.open(ctx, item, have)
}

// item returns the item of a URL, and why it cannot be asked for.
func (w *Web) item(s string) (Item, error) {
	s = strings.TrimSpace(s)
	item := Item{ID: s, Name: s, Size: -1}
	if len(s) > maxURLLength {
		item.ID, item.Name = s[:maxURLLength], s[:maxURLLength]
		return item, fault.New(fault.InvalidRequest, "a URL is too long")
	}
	u, err := url.Parse(s)
	if err != nil {
		return item, fault.New(fault.InvalidRequest, "a URL is not valid: write it as in https://docs.example.com/page")
	}
	u.Fragment, u.RawFragment = "", ""
	if u.Path == "" {
		u.Path = "/"
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	item.ID = u.String()
	if item.Name = path.Base(u.Path); item.Name == "/" || item.Name == "." {
		item.Name = u.Host
	}
	return item, w.allowed(u)
}
