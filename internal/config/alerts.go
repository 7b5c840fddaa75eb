package config

import "time"

// Alerts are the objectives of all models and tiers.
type Alerts struct {
	Period       time.Duration `json:"period,omitzero" min:"24h" max:"2160h" jsonschema:"of the budgets of objectives"`
	Availability float64       `json:"availability,omitzero" min:"0.5" max:"0.99999" jsonschema:"share of the requests that have to be answered; what callers do wrong does not count"`
	FirstToken   InTime        `json:"first_token,omitzero" jsonschema:"share of the streamed answers that have to begin in time"`
	Smoothness   InTime        `json:"smoothness,omitzero" jsonschema:"share of the streamed answers that may have no longer gap"`
	Attempts     float64       `json:"attempts,omitzero" min:"0.5" max:"0.99999" jsonschema:"share of what each upstream is asked that has to work, whether another one makes it good or not"`
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
