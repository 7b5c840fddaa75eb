package config

import (
	"net/url"
	"strings"
	"time"

	"headworks/internal/tenant"
)

// Alerts are the objectives of all models and tiers.
type Alerts struct {
	Period       time.Duration   `json:"period,omitzero" min:"24h" max:"2160h" jsonschema:"of the budgets of objectives"`
	Availability float64         `json:"availability,omitzero" min:"0.5" max:"0.99999" jsonschema:"share of the requests that have to be answered; what callers do wrong does not count"`
	FirstToken   InTime          `json:"first_token,omitzero" jsonschema:"share of the streamed answers that have to begin in time"`
	Smoothness   InTime          `json:"smoothness,omitzero" jsonschema:"share of the streamed answers that may have no longer gap"`
	Sinks        map[string]Sink `json:"sinks,omitzero" jsonschema:"who is told of alerts, by name"`
	Attempts     float64         `json:"attempts,omitzero" min:"0.5" max:"0.99999" jsonschema:"share of what each upstream is asked that has to work, whether another one makes it good or not"`
}

func (a *Alerts) defaults() {
	a.Period, a.Availability, a.Attempts = 30*24*time.Hour, 0.999, 0.99
	a.FirstToken.Goal, a.Smoothness = 0.99, InTime{Goal: 0.99, Within: 2 * time.Second}
}

// InTime is a share and a time.
type InTime struct {
	Goal   float64       `json:"goal,omitzero" min:"0.5" max:"0.99999" jsonschema:"the share"`
	Within time.Duration `json:"within,omitzero" min:"1ms" max:"1h" jsonschema:"the time; of first tokens, unless given: what the request or its model aims at, else 1s for the class critical and 3s for others"`
}

// The kinds of sinks, and the severities.
const (
	SinkWebhook      = "webhook"
	SinkAlertmanager = "alertmanager"
	SinkSlack        = "slack"
	SinkPagerDuty    = "pagerduty"
	SinkEmail        = "email"
	SeverityPage     = "page"
)

// Sink is one place that is told of alerts.
type Sink struct {
	Kind     string        `json:"kind" enum:"webhook,alertmanager,slack,pagerduty,email" jsonschema:"what it takes"`
	Severity string        `json:"severity,omitzero" enum:"ticket,page" jsonschema:"the least that it is told of"`
	URL      tenant.Secret `json:"url,omitzero" jsonschema:"where to post; of Slack and others it is a secret, best as a reference"`
	Secret   tenant.Secret `json:"secret,omitzero" jsonschema:"of a webhook: what the posts are signed with"`
	Key      tenant.Secret `json:"key,omitzero" jsonschema:"of PagerDuty: the integration key"`
	Server   string        `json:"server,omitzero" jsonschema:"of email: host:port of the SMTP server; port 587 unless given"`
	From     string        `json:"from,omitzero" jsonschema:"of email: the sender"`
	To       []string      `json:"to,omitzero" jsonschema:"of email: who gets it"`
	User     string        `json:"user,omitzero" jsonschema:"of email: whom the server knows"`
	Password tenant.Secret `json:"password,omitzero" jsonschema:"of email: the user's password, best as a reference"`
}

func (s *Sink) defaults() { s.Severity = "ticket" }

// sinks checks who is told of alerts.
func (r *reader) sinks() {
	for name, s := range r.cfg.Alerts.Sinks {
		path := join("alerts.sinks", name)
		need := func(field string, there bool) {
			if !there {
				r.at(path, Missing, "a sink of kind "+s.Kind+" needs "+field)
			}
		}
		if !s.URL.Empty() {
			u, err := url.Parse(s.URL.Reveal())
			if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				r.at(join(path, "url"), BadValue, "the URL of a sink is http:// or https://, a host and perhaps a path")
			}
		}
		switch s.Kind {
		case SinkEmail:
			need("server", s.Server != "")
			need("from", strings.Contains(s.From, "@"))
			need("to", len(s.To) > 0)
		case SinkPagerDuty:
			need("key", !s.Key.Empty())
		case SinkWebhook, SinkAlertmanager, SinkSlack:
			need("url", !s.URL.Empty())
		}
	}
}
