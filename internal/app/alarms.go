package app

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"headworks/internal/alert"
	"headworks/internal/api/admin"
	"headworks/internal/config"
	"headworks/internal/fault"
	"headworks/internal/incident"
	"headworks/internal/monitor"
	"headworks/internal/notify"
	"headworks/internal/tenant"
)

// The kinds of what the store keeps of alarms.
const (
	keptIncident = "incident"
	keptSilence  = "silence"
)

// alarms carries what the monitor says to people: into the log, to sinks, and into the
// incident under way.
type alarms struct {
	app  *App
	post *notify.Post

	mu        sync.Mutex
	incidents incident.Log
}

// newAlarms goes on where an earlier process ended.
func newAlarms(a *App) (*alarms, error) {
	ctx := context.Background()
	letters, err := a.store.Kept(ctx, notify.Kind)
	if err != nil {
		return nil, err
	}
	var left [][]byte
	for _, l := range letters {
		left = append(left, l.Body)
	}
	k := &alarms{app: a, post: notify.New(a.store, left, a.log)}
	kept, err := a.store.Kept(ctx, keptIncident)
	if err != nil {
		return nil, err
	}
	var all []incident.Incident
	for _, e := range kept {
		var x incident.Incident
		if err := json.Unmarshal(e.Body, &x); err != nil {
			a.log.Warn("an incident cannot be read", "id", e.ID, "cause", err.Error())
			continue
		}
		all = append(all, x)
	}
	k.incidents.Load(all)
	silences, err := a.store.Kept(ctx, keptSilence)
	if err != nil {
		return nil, err
	}
	for _, e := range silences {
		var s alert.Silence
		if json.Unmarshal(e.Body, &s) == nil { // another version's: it ends with this start
			a.monitor.Silence(s, time.Now())
		}
	}
	return k, nil
}

// sinks builds the sinks of a configuration; it was checked.
func sinks(c *config.Config) (map[string]notify.Place, error) {
	all := map[string]notify.Place{}
	for name, s := range c.Alerts.Sinks {
		var to notify.Sink
		var err error
		switch s.Kind {
		case config.SinkWebhook:
			to, err = notify.NewWebhook(s.URL, s.Secret)
		case config.SinkAlertmanager:
			to, err = notify.NewAlertmanager(s.URL)
		case config.SinkSlack:
			to, err = notify.NewSlack(s.URL)
		case config.SinkPagerDuty:
			at := s.URL
			if at.Empty() {
				at = tenant.NewSecret(notify.PagerDuty)
			}
			to, err = notify.NewPagerDuty(at, s.Key)
		default:
			to, err = notify.NewMail(s.Server, s.From, s.To, s.User, s.Password)
		}
		if err != nil {
			return nil, fmt.Errorf("alerts.sinks.%s: %w", name, err)
		}
		least := alert.Ticket
		if s.Severity == config.SeverityPage {
			least = alert.Page
		}
		all[name] = notify.Place{Sink: to, Least: least}
	}
	return all, nil
}

// run judges every ten seconds and tells what came of it, until ctx ends.
func (k *alarms) run(ctx context.Context) {
	var posting sync.WaitGroup
	posting.Go(func() { k.post.Run(ctx) })
	defer posting.Wait()
	tick := time.NewTicker(monitor.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			k.look(ctx, now)
		}
	}
}

func (k *alarms) look(ctx context.Context, now time.Time) {
	for _, n := range k.app.monitor.Check(now) {
		say := k.app.log.Warn
		if n.Why == alert.Resolved {
			say = k.app.log.Info
		}
		say("alert", "why", n.Why, "severity", n.Alert.Urgency, "title", n.Alert.Title, "cause", n.Alert.Cause, "next", n.Alert.Next, "id", n.Alert.ID)
		k.post.Tell(ctx, n, now)
		k.mu.Lock()
		k.incidents.See(now, n)
		k.mu.Unlock()
	}
	k.keep(ctx)
}

// keep writes down what changed of incidents.
func (k *alarms) keep(ctx context.Context) {
	k.mu.Lock()
	changed, gone := k.incidents.Changed()
	k.mu.Unlock()
	for _, x := range changed {
		body, err := json.Marshal(x)
		if err == nil {
			err = k.app.store.Keep(ctx, keptIncident, x.ID, body)
		}
		if err != nil {
			k.app.log.Warn("an incident cannot be written down", "id", x.ID, "cause", err.Error())
		}
	}
	for _, id := range gone {
		if err := k.app.store.Forget(ctx, keptIncident, id); err != nil {
			k.app.log.Warn("an old incident cannot be removed", "id", id, "cause", err.Error())
		}
	}
}

// happened notes a change for the incidents that are open, and those that follow.
func (k *alarms) happened(kind, text string) {
	if k == nil { // while the process begins
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.incidents.Happened(incident.Entry{Time: time.Now(), Kind: kind, Text: text})
}

// Incidents implements admin.Incidents.
func (k *alarms) Incidents() []incident.Incident {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.incidents.All()
}

// Incident implements admin.Incidents.
func (k *alarms) Incident(id string) (incident.Incident, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.incidents.Find(id)
}

// Edit implements admin.Incidents.
func (k *alarms) Edit(ctx context.Context, id string, e incident.Edit) (incident.Incident, bool) {
	k.mu.Lock()
	x, ok := k.incidents.Do(time.Now(), id, e)
	k.mu.Unlock()
	k.keep(ctx)
	return x, ok
}

// TestSinks implements admin.Incidents.
func (k *alarms) TestSinks(ctx context.Context) []admin.TriedSink {
	now := time.Now()
	n := alert.Notice{Why: "test", Alert: alert.Alert{
		ID: "al_test", Fingerprint: "test", State: "test", Severity: alert.Ticket, Urgency: alert.Ticket.String(), Title: "a test: nothing is wrong",
		Since: now, Cause: "headworks doctor --send", Evidence: []string{}, Next: "headworks alerts", Scope: map[string]string{"signal": "test"},
	}}
	tried := []admin.TriedSink{}
	for name, problem := range k.post.Test(ctx, n, now) {
		tried = append(tried, admin.TriedSink{Sink: name, Problem: problem})
	}
	slices.SortFunc(tried, func(a, b admin.TriedSink) int { return strings.Compare(a.Sink, b.Sink) })
	return tried
}

// Silence implements admin.Alerts: what is silenced stays so over a restart.
func (k *alarms) Silence(ctx context.Context, s alert.Silence, now time.Time) error {
	k.app.monitor.Silence(s, now)
	if !now.Before(s.Until) {
		return k.unkept(k.app.store.Forget(ctx, keptSilence, s.ID))
	}
	body, err := json.Marshal(s)
	if err == nil {
		err = k.app.store.Keep(ctx, keptSilence, s.ID, body)
	}
	return k.unkept(err)
}

func (k *alarms) unkept(err error) error {
	if err != nil {
		return fault.Wrap(fault.Internal, "it holds until this process ends, since it cannot be written down", err)
	}
	return nil
}

// Firing, Ended, Silences and Standings implement admin.Alerts.
func (k *alarms) Firing() []alert.Alert { return k.app.monitor.Firing() }

// Ended implements admin.Alerts.
func (k *alarms) Ended() []alert.Alert { return k.app.monitor.Ended() }

// Silences implements admin.Alerts.
func (k *alarms) Silences() []alert.Silence { return k.app.monitor.Silences() }

// Standings implements admin.Alerts.
func (k *alarms) Standings(now time.Time) []monitor.Standing { return k.app.monitor.Standings(now) }

var (
	_ admin.Alerts    = (*alarms)(nil)
	_ admin.Incidents = (*alarms)(nil)
)
