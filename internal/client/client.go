// Package client is what commands use to talk to a running instance: its admin
// API, and its API as any application would.
package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"headworks/internal/alert"
	"headworks/internal/api/admin"
	"headworks/internal/identity"
	"headworks/internal/incident"
	"headworks/internal/monitor"
	"headworks/internal/record"
	"headworks/internal/wire"
)

// ErrAbsent means that no instance answers.
var ErrAbsent = errors.New("no instance is running")

// Admin talks to an instance's admin API.
type Admin struct {
	URL   string
	Token string
	http  *http.Client
}

// Find returns the client of the instance whose data folder is dir, at the given
// admin URL or, where that is empty, at the one the instance wrote down.
func Find(dir, adminURL string) (*Admin, error) {
	token, err := os.ReadFile(filepath.Join(dir, identity.AdminTokenFile))
	if err != nil {
		return nil, fmt.Errorf("%w with its data in %s: start one with headworks up, or name its folder with --data", ErrAbsent, dir)
	}
	certificate := ""
	if adminURL == "" {
		written, err := os.ReadFile(filepath.Join(dir, admin.InstanceFile))
		if err != nil {
			return nil, fmt.Errorf("%w with its data in %s: start one with headworks up, or name it with --admin", ErrAbsent, dir)
		}
		var i admin.Instance
		if err := json.Unmarshal(written, &i); err != nil {
			return nil, fmt.Errorf("reading %s: %w", admin.InstanceFile, err)
		}
		adminURL = i.Admin
		if certificate, err = fingerprint(i.AdminCert); err != nil {
			return nil, err
		}
	}
	web, err := to(adminURL, certificate)
	if err != nil {
		return nil, err
	}
	web.Timeout = 30 * time.Second
	return &Admin{URL: strings.TrimRight(adminURL, "/"), Token: strings.TrimSpace(string(token)), http: web}, nil
}

// fingerprint returns the SHA-256 of the first certificate of a file, in hex; nothing
// of no file.
func fingerprint(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("the certificate of the admin API: %w", err)
	}
	p, rest := pem.Decode(b)
	for p != nil && p.Type != "CERTIFICATE" {
		p, rest = pem.Decode(rest)
	}
	if p == nil {
		return "", fmt.Errorf("the certificate of the admin API: there is none in %s", file)
	}
	sum := sha256.Sum256(p.Bytes)
	return hex.EncodeToString(sum[:]), nil
}

// to returns a client that reaches the host of a URL and no other: a token and a
// key belong to one origin. A certificate, where it is given by its SHA-256, is the
// only one that is trusted, whatever name it was issued for.
func to(base, certificate string) (*http.Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%q is not the URL of an instance, such as http://127.0.0.1:7301", base)
	}
	d, err := wire.NewDialer([]string{wire.HostPort(u)}, 0)
	if err != nil {
		return nil, err
	}
	web := &http.Transport{DialContext: d.Dial, DisableKeepAlives: true} // a command asks once or twice
	if certificate != "" {
		web.TLSClientConfig = &tls.Config{
			InsecureSkipVerify: true, // VerifyConnection is stricter
			VerifyConnection: func(s tls.ConnectionState) error {
				if sum := sha256.Sum256(s.PeerCertificates[0].Raw); hex.EncodeToString(sum[:]) != certificate {
					return errors.New("the certificate is not that of the instance")
				}
				return nil
			},
		}
	}
	return &http.Client{
		Transport:     web,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// Error is an answer that is an error.
type Error struct {
	Status int
	admin.Problem
}

func (e *Error) Error() string { return e.Message }

// Do sends a request and reads the JSON answer into v, if that is not nil.
func (a *Admin) Do(ctx context.Context, method, path string, body, v any) error {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.URL+path, r)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+a.Token)
	resp, err := a.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w at %s: %w", ErrAbsent, a.URL, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", a.URL, err)
	}
	if resp.StatusCode != http.StatusOK {
		var f admin.Failure
		if json.Unmarshal(answer, &f) != nil || f.Error.Message == "" {
			f.Error.Message = fmt.Sprintf("%s answered %s, which is no answer of Headworks", a.URL, resp.Status)
		}
		return &Error{Status: resp.StatusCode, Problem: f.Error}
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(answer, v)
}

// get sends a request and returns the answer as a T.
func get[T any](ctx context.Context, a *Admin, method, path string, body any) (v T, err error) {
	err = a.Do(ctx, method, path, body, &v)
	return v, err
}

// Status returns what runs.
func (a *Admin) Status(ctx context.Context) (admin.Status, error) {
	return get[admin.Status](ctx, a, "GET", "/api/status", nil)
}

// Fits returns what was learned of the engines.
func (a *Admin) Fits(ctx context.Context) (admin.Fits, error) {
	return get[admin.Fits](ctx, a, "GET", "/api/fits", nil)
}

// Discover asks the instance's upstreams which models they have; an empty name is
// all of them.
func (a *Admin) Discover(ctx context.Context, upstream string) ([]admin.Discovered, error) {
	list, err := get[map[string][]admin.Discovered](ctx, a, "GET", "/api/upstreams/models?upstream="+url.QueryEscape(upstream), nil)
	return list["upstreams"], err
}

// Explain returns why a request went where it went.
func (a *Admin) Explain(ctx context.Context, id string) (record.Explanation, error) {
	return get[record.Explanation](ctx, a, "GET", "/api/requests/"+url.PathEscape(id)+"/explanation", nil)
}

// Keys returns all keys.
func (a *Admin) Keys(ctx context.Context) ([]admin.Key, error) {
	list, err := get[map[string][]admin.Key](ctx, a, "GET", "/api/keys", nil)
	return list["keys"], err
}

// CreateKey creates a key; its secret is in the answer this once.
func (a *Admin) CreateKey(ctx context.Context, k admin.NewKey) (admin.CreatedKey, error) {
	return get[admin.CreatedKey](ctx, a, "POST", "/api/keys", k)
}

// RevokeKey ends a key at once.
func (a *Admin) RevokeKey(ctx context.Context, idOrName string) (admin.Key, error) {
	return get[admin.Key](ctx, a, "DELETE", "/api/keys/"+url.PathEscape(idOrName), nil)
}

// Canaries returns the canaries.
func (a *Admin) Canaries(ctx context.Context) ([]admin.Canary, error) {
	all, err := get[map[string][]admin.Canary](ctx, a, "GET", "/api/canaries", nil)
	return all["canaries"], err
}

// Alerts returns what deserves attention, and what did.
func (a *Admin) Alerts(ctx context.Context) (admin.AlertList, error) {
	return get[admin.AlertList](ctx, a, "GET", "/api/alerts", nil)
}

// TestSinks sends each sink of alerts a test, and returns what became of it.
func (a *Admin) TestSinks(ctx context.Context) ([]admin.TriedSink, error) {
	all, err := get[map[string][]admin.TriedSink](ctx, a, "POST", "/api/sinks/test", nil)
	return all["sinks"], err
}

// Incidents returns the incidents, the latest first.
func (a *Admin) Incidents(ctx context.Context) ([]incident.Incident, error) {
	all, err := get[map[string][]incident.Incident](ctx, a, "GET", "/api/incidents", nil)
	return all["incidents"], err
}

// Incident returns one by its id; latest is the last one.
func (a *Admin) Incident(ctx context.Context, id string) (incident.Incident, error) {
	return get[incident.Incident](ctx, a, "GET", "/api/incidents/"+url.PathEscape(id), nil)
}

// EditIncident writes into an incident.
func (a *Admin) EditIncident(ctx context.Context, id string, e incident.Edit) (incident.Incident, error) {
	return get[incident.Incident](ctx, a, "POST", "/api/incidents/"+url.PathEscape(id), e)
}

// PostMortem returns the draft of what is written after an incident.
func (a *Admin) PostMortem(ctx context.Context, id string) (admin.PostMortem, error) {
	return get[admin.PostMortem](ctx, a, "GET", "/api/incidents/"+url.PathEscape(id)+"/export", nil)
}

// Objectives returns how the budgets of objectives stand.
func (a *Admin) Objectives(ctx context.Context) ([]monitor.Standing, error) {
	all, err := get[map[string][]monitor.Standing](ctx, a, "GET", "/api/objectives", nil)
	return all["objectives"], err
}

// Silence keeps alerts from being told for a while.
func (a *Admin) Silence(ctx context.Context, s admin.NewSilence) (alert.Silence, error) {
	return get[alert.Silence](ctx, a, "POST", "/api/silences", s)
}

// Unsilence ends a silence.
func (a *Admin) Unsilence(ctx context.Context, id string) (alert.Silence, error) {
	return get[alert.Silence](ctx, a, "DELETE", "/api/silences/"+url.PathEscape(id), nil)
}

// Judge says what somebody thinks of the answer to a request.
func (a *Admin) Judge(ctx context.Context, v admin.Verdict) (admin.Judged, error) {
	return get[admin.Judged](ctx, a, "POST", "/api/verdicts", v)
}

// MoveCanary does with a canary what an operator wants.
func (a *Admin) MoveCanary(ctx context.Context, m admin.Move) (admin.Canary, error) {
	return get[admin.Canary](ctx, a, "POST", "/api/canaries", m)
}

// Reload reads the configuration file again.
func (a *Admin) Reload(ctx context.Context) (admin.Reloaded, error) {
	return get[admin.Reloaded](ctx, a, "POST", "/api/reload", nil)
}

// Drain makes the instance finish what runs and end.
func (a *Admin) Drain(ctx context.Context) error { return a.Do(ctx, "POST", "/api/drain", nil, nil) }

// DrainPart lets a part of the fleet have no more requests.
func (a *Admin) DrainPart(ctx context.Context, o admin.DrainOrder) (admin.Drain, error) {
	return get[admin.Drain](ctx, a, "POST", "/api/drains", o)
}

// CacheReport returns what is cached, and what it was good for.
func (a *Admin) CacheReport(ctx context.Context) (admin.CacheReport, error) {
	return get[admin.CacheReport](ctx, a, "GET", "/api/cache", nil)
}

// Purge lets go of what is cached.
func (a *Admin) Purge(ctx context.Context, p admin.Purge) (admin.Purged, error) {
	return get[admin.Purged](ctx, a, "POST", "/api/cache/purge", p)
}

// Undrain ends the drain of a part, or all drains, and returns which.
func (a *Admin) Undrain(ctx context.Context, p admin.Part, all bool) ([]admin.Drain, error) {
	q := url.Values{}
	for name, v := range map[string]string{"upstream": p.Upstream, "replica": p.Replica, "region": p.Region, "zone": p.Zone} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if all {
		q.Set("all", "true")
	}
	ended, err := get[map[string][]admin.Drain](ctx, a, "DELETE", "/api/drains?"+q.Encode(), nil)
	return ended["ended"], err
}
