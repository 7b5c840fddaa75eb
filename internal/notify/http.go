package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"headworks/internal/alert"
	"headworks/internal/tenant"
	"headworks/internal/wire"
)

// Web is a sink that is posted to over HTTP.
type Web struct {
	url    string
	client *http.Client
	body   func(l *Letter) (any, error)
	sign   tenant.Secret
}

func newWeb(at tenant.Secret, body func(l *Letter) (any, error)) (*Web, error) {
	u, err := url.Parse(at.Reveal())
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("the URL of a sink is http:// or https://, a host and perhaps a path")
	}
	dialer, err := wire.NewDialer([]string{wire.HostPort(u)}, 5*time.Second)
	if err != nil {
		return nil, fmt.Errorf("the URL of a sink: %w", err)
	}
	return &Web{url: u.String(), body: body, client: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return dialer.Dial(ctx, network, addr)
			},
			TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10, MaxIdleConns: 1, IdleConnTimeout: 30 * time.Second,
		},
	}}, nil
}

// Close implements Sink.
func (w *Web) Close() { w.client.CloseIdleConnections() }

// Send implements Sink. The URL, which may be a secret, is in no error.
func (w *Web) Send(ctx context.Context, l *Letter) error {
	v, err := w.body(l)
	if err != nil {
		return err
	}
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return &refusal{"the URL of the sink cannot be asked"}
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "headworks")
	r.Header.Set("X-Headworks-Delivery", l.ID)
	if secret := w.sign.Reveal(); secret != "" {
		at := strconv.FormatInt(time.Now().Unix(), 10)
		r.Header.Set("X-Headworks-Timestamp", at)
		r.Header.Set("X-Headworks-Signature", "sha256="+Sign(secret, at, body))
	}
	answer, err := w.client.Do(r)
	if err != nil {
		return fmt.Errorf("the sink is not reached: %s", plain(err))
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // so that the connection is kept
	switch s := answer.StatusCode; {
	case s >= 200 && s < 300:
		return nil
	case s == http.StatusTooManyRequests, s == http.StatusRequestTimeout, s >= 500:
		return fmt.Errorf("the sink answers %d", s)
	default:
		return &refusal{fmt.Sprintf("the sink answers %d, which another try does not change", s)}
	}
}

// plain leaves out of an error what names the URL.
func plain(err error) string {
	for {
		u, ok := errors.AsType[*url.Error](err)
		if !ok {
			break
		}
		err = u.Err
	}
	return err.Error()
}

// Sign returns the HMAC-SHA256 of a time, in seconds since 1970, a dot and a body, in
// hex: by it a receiver knows who sent it and that it is not an old one.
func Sign(secret, at string, body []byte) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(at + "."))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// NewWebhook returns a sink that gets each notice as it is, signed where there is a
// secret.
func NewWebhook(at, secret tenant.Secret) (*Web, error) {
	w, err := newWeb(at, func(l *Letter) (any, error) { return l.Notice, nil })
	if err == nil {
		w.sign = secret
	}
	return w, err
}

// NewAlertmanager returns a sink that gets what Alertmanager sends its webhooks,
// version 4.
func NewAlertmanager(at tenant.Secret) (*Web, error) {
	return newWeb(at, func(l *Letter) (any, error) {
		a := &l.Notice.Alert
		status := "firing"
		if l.Notice.Why == alert.Resolved {
			status = "resolved"
		}
		labels := map[string]string{"alertname": firstOf(a.Scope["signal"], "headworks"), "severity": a.Urgency}
		maps.Copy(labels, a.Scope)
		notes := map[string]string{"summary": a.Title, "description": words(a), "next": a.Next}
		type item struct {
			Status      string            `json:"status"`
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
			StartsAt    time.Time         `json:"startsAt"`
			EndsAt      time.Time         `json:"endsAt"`
			Fingerprint string            `json:"fingerprint"`
		}
		return map[string]any{
			"version": "4", "groupKey": a.Fingerprint, "truncatedAlerts": 0, "status": status, "receiver": l.Sink,
			"groupLabels": labels, "commonLabels": labels, "commonAnnotations": notes, "externalURL": "",
			"alerts": []item{{status, labels, notes, a.Since, a.Until, a.Fingerprint}},
		}, nil
	})
}

// Slack takes sections of at most 3,000 characters, and a text of 40,000.
const mostSection = 3000

// NewSlack returns a sink of Slack's incoming webhooks, and of those that take the same.
func NewSlack(at tenant.Secret) (*Web, error) {
	return newWeb(at, func(l *Letter) (any, error) {
		a := &l.Notice.Alert
		mark := map[alert.Severity]string{alert.Page: ":red_circle:", alert.Ticket: ":large_orange_circle:"}[a.Severity]
		if l.Notice.Why == alert.Resolved {
			mark = ":large_green_circle:"
		}
		escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
		section := func(text string) map[string]any {
			return map[string]any{"type": "section", "text": map[string]string{"type": "mrkdwn", "text": cut(text, mostSection)}}
		}
		return map[string]any{
			"text": cut(fmt.Sprintf("%s %s: %s", mark, l.Notice.Why, escape.Replace(a.Title)), mostSection),
			"blocks": []any{
				section(fmt.Sprintf("%s *%s*: %s", mark, l.Notice.Why, escape.Replace(a.Title))),
				section(escape.Replace(words(a)) + "\n`" + strings.ReplaceAll(a.Next, "`", "'") + "`"),
			},
		}, nil
	})
}

// PagerDuty is where events go unless another URL is given (Events API v2).
const PagerDuty = "https://events.pagerduty.com/v2/enqueue"

// NewPagerDuty returns a sink of PagerDuty's Events API v2; key is the integration's.
func NewPagerDuty(at, key tenant.Secret) (*Web, error) {
	return newWeb(at, func(l *Letter) (any, error) {
		a := &l.Notice.Alert
		if l.Notice.Why == alert.Resolved {
			return map[string]any{"routing_key": key.Reveal(), "event_action": "resolve", "dedup_key": cut(a.ID, 255)}, nil
		}
		severity := "warning"
		if a.Severity == alert.Page {
			severity = "critical"
		}
		return map[string]any{
			"routing_key": key.Reveal(), "event_action": "trigger", "dedup_key": cut(a.ID, 255),
			"payload": map[string]any{
				"summary": cut(a.Title, 1024), "source": "headworks", "severity": severity, "timestamp": a.Since.UTC().Format(time.RFC3339),
				"component": firstOf(a.Scope["upstream"], a.Scope["model"], "headworks"), "custom_details": a,
			},
		}, nil
	})
}

func firstOf(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}

// words says in plain text what is known of an alert.
func words(a *alert.Alert) string {
	var b strings.Builder
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, text)
		}
	}
	line("cause", a.Cause)
	line("impact", a.Impact)
	line("found by", a.Method)
	line("evidence", strings.Join(a.Evidence, "; "))
	line("next", a.Next)
	return b.String()
}

// cut cuts a text to so many characters.
func cut(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}
