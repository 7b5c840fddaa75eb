package monitor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"headworks/internal/alert"
)

// How long an alarm goes on after what raised it was last seen.
const (
	holdChange    = 30 * time.Minute
	holdCondition = 3 * Every
	// lookBack bounds what is looked at for a cause.
	lookBack = time.Hour
)

// Check judges everything at a moment, and returns what somebody is to be told.
func (m *Monitor) Check(now time.Time) []alert.Notice {
	conditions := m.conditions(now) // it may ask others, who may hold locks
	m.mu.Lock()
	defer m.mu.Unlock()
	m.budgets(func(k key, of kind, b *alert.Budget) {
		goal := m.goal(of)
		if burn, ok := b.Burning(now, goal, m.rules); ok {
			m.burns(k, of, b, burn, now)
		}
	})
	for _, d := range append(slices.Collect(maps.Values(m.models)), m.all) {
		for i, s := range d.seasons {
			if c, ok := s.See(now, 0); ok { // silence is seen too
				m.unusual(d.key, measure(i), c, now)
			}
		}
	}
	for _, a := range conditions {
		m.board.Raise(now, a, holdCondition)
	}
	return m.board.Settle(now)
}

// budgets calls f with every budget, in an order that does not change.
func (m *Monitor) budgets(f func(k key, of kind, b *alert.Budget)) {
	for _, k := range slices.SortedFunc(maps.Keys(m.served), byName) {
		for of, b := range m.served[k].budgets {
			f(k, kind(of), b)
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(m.upstreams), byName) {
		f(k, attempts, m.upstreams[k].budget)
	}
}

func byName(a, b key) int {
	return cmp.Or(cmp.Compare(a.model, b.model), cmp.Compare(a.tier, b.tier), cmp.Compare(a.upstream, b.upstream), cmp.Compare(print(a, 0, 0), print(b, 0, 0)))
}

// Firing and Ended return what fires and what did; see alert.Board.
func (m *Monitor) Firing() []alert.Alert {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.board.Firing()
}

// Ended returns what fired before, the latest first.
func (m *Monitor) Ended() []alert.Alert {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.board.Ended()
}

// Silences returns what is silenced.
func (m *Monitor) Silences() []alert.Silence {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.board.Silences)
}

// Silence adds a silence, or ends the one of that id where it has no time left.
func (m *Monitor) Silence(s alert.Silence, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.board.Silences = slices.DeleteFunc(m.board.Silences, func(old alert.Silence) bool { return old.ID == s.ID })
	if now.Before(s.Until) {
		m.board.Silences = append(m.board.Silences, s)
	}
}

// Standing is how a budget stands.
type Standing struct {
	Objective string  `json:"objective"` // availability, first token, smoothness, attempts
	Model     string  `json:"model,omitempty"`
	Tier      string  `json:"tier,omitempty"`
	Upstream  string  `json:"upstream,omitempty"`
	Goal      float64 `json:"goal"`
	Bad       int64   `json:"bad"` // in the period
	All       int64   `json:"all"`
	Left      float64 `json:"budget_left"` // share of the period's budget
	Burn      float64 `json:"burn"`        // of the last hour; 1 uses it up in the period
	Simulated bool    `json:"simulated,omitempty"`
}

// Standings returns how all budgets stand.
func (m *Monitor) Standings(now time.Time) []Standing {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []Standing
	m.budgets(func(k key, of kind, b *alert.Budget) {
		goal := m.goal(of)
		whole, hour := b.Within(now, m.settings.Period), b.Within(now, time.Hour)
		if whole.All == 0 {
			return
		}
		s := Standing{
			Objective: names[of], Model: k.model, Tier: k.tier, Upstream: k.upstream, Goal: goal, Simulated: k.simulated,
			Bad: whole.Bad, All: whole.All, Left: b.Left(now, goal, m.settings.Period),
		}
		if hour.All > 0 {
			s.Burn = float64(hour.Bad) / float64(hour.All) / (1 - goal)
		}
		all = append(all, s)
	})
	return all
}

func (m *Monitor) goal(k kind) float64 {
	switch k {
	case availability:
		return m.settings.Availability.Goal
	case firstToken:
		return m.settings.FirstToken.Goal
	case smoothness:
		return m.settings.Smoothness.Goal
	default:
		return m.settings.Attempts.Goal
	}
}

var names = [...]string{
	availability: "availability", firstToken: "first token", smoothness: "smoothness", attempts: "attempts",
	cuts: "cut answers", refusals: "refusals", truncation: "answers cut at their limit", failovers: "failovers",
	tokenTime: "time per token", answerLength: "length of answers", promptLength: "length of prompts",
}

// burns raises an alarm of a budget that burns.
func (m *Monitor) burns(k key, of kind, budget *alert.Budget, b alert.Burn, now time.Time) {
	goal := m.goal(of)
	lately, left := budget.Within(now, 5*time.Minute), budget.Left(now, goal, m.settings.Period)
	a := alert.Alert{
		Fingerprint: "slo:" + print(k, of, 0), Severity: b.Severity, Simulated: k.simulated,
		Title:  fmt.Sprintf("%s: %s of %s (objective %s)", subject(k, of, 0), percent(float64(lately.Bad)/float64(max(lately.All, 1))), what[of], percent(1-goal)),
		Method: fmt.Sprintf("burn rate over %g, for %s and %s", b.Factor, span(b.Long), span(b.Short)),
		N:      b.All, Baseline: 1 - goal, Current: float64(b.Bad) / float64(b.All),
		Scope: scope(k, of), Impact: fmt.Sprintf("%d of %d in %s; %s of the budget of %s is left", b.Bad, b.All, span(b.Long), percent(max(left, 0)), span(m.settings.Period)),
	}
	if of == attempts {
		a.Severity = alert.Ticket // whoever asked was served by another, or his own objective pages
	}
	m.blame(&a, k, now.Add(-min(b.Long, lookBack)))
	m.board.Raise(now, a, 2*b.Short)
}

// what is what a share of is bad.
var what = [...]string{
	availability: "requests fail", firstToken: "first tokens are late", smoothness: "answers pause", attempts: "attempts fail",
	promptLength: "",
}

// changed raises an alarm of a detector of rates or levels.
func (m *Monitor) changed(k key, of kind, size int, c alert.Change, now time.Time) {
	a := alert.Alert{
		Fingerprint: "change:" + print(k, of, size), Severity: alert.Ticket, Simulated: k.simulated,
		Method: c.Method, N: c.N, Baseline: c.Baseline, Current: c.Current, Weekly: c.Weekly, Scope: scope(k, of),
	}
	switch of {
	case firstToken, tokenTime:
		a.Title = fmt.Sprintf("%s: %s rose from %s to %s", subject(k, of, size), names[of], micros(c.Baseline), micros(c.Current))
	case answerLength, promptLength:
		a.Title = fmt.Sprintf("%s: the %s rose from %.0f to %.0f tokens", subject(k, of, size), names[of], c.Baseline, c.Current)
	default:
		a.Title = fmt.Sprintf("%s: %s rose from %s to %s", subject(k, of, size), names[of], percent(c.Baseline), percent(c.Current))
	}
	m.blame(&a, k, now.Add(-lookBack))
	m.board.Raise(now, a, holdChange)
}

// unusual raises an alarm of traffic that is not as it is at this hour.
func (m *Monitor) unusual(k key, of measure, c alert.Change, now time.Time) {
	a := alert.Alert{
		Fingerprint: "traffic:" + k.model + ":" + strings.ReplaceAll(measured[of], " ", "_"), Severity: alert.Ticket, Simulated: k.simulated,
		Method: c.Method, N: c.N, Baseline: c.Baseline, Current: c.Current, Scope: map[string]string{"signal": measured[of]},
	}
	subject, scale := "all models", 1.0
	if k.model != "" {
		subject, a.Scope["model"] = k.model, k.model
	}
	if of == money {
		scale = 1e-3
	}
	a.Title = fmt.Sprintf("%s: %.4g %s in five minutes, where %.4g are usual", subject, c.Current*scale, measured[of], c.Baseline*scale)
	if c.Learning {
		a.Title += " (still learning what is)"
	}
	a.Cause = "no single cause"
	if c.Current <= c.Baseline {
		a.Cause = "callers ask less, or do not reach this process"
	} else if who, part := m.traffic.grew(k.model); part > 0 {
		a.Cause = fmt.Sprintf("%s %s is %s of what is more", who.column, who.value, percent(part))
	}
	a.Evidence = []string{"headworks status"}
	a.Next = "headworks top"
	m.board.Raise(now, a, holdChange)
}

// each hands over what requests were.
func each(s []sampled) func(yield func(alert.Sample) bool) {
	return func(yield func(alert.Sample) bool) {
		for i := range s {
			if !yield(s[i].of) {
				return
			}
		}
	}
}

// blame says what most of the trouble has in common, where it can be seen, and what to
// do.
func (m *Monitor) blame(a *alert.Alert, k key, since time.Time) {
	match := func(s *sampled) bool {
		return (k.model == "" || s.of[modelColumn] == k.model) && (k.tier == "" || s.of[tierColumn] == k.tier)
	}
	bad := m.bad.within(since, func(s *sampled) bool {
		return match(s) && (k.upstream == "" || s.of[upstreamColumn] == k.upstream)
	})
	good := m.good.within(since, match)
	causes, named := alert.Causes(each(bad), each(good), columns, owners...)
	a.Causes = causes
	faults := map[string]int{}
	for _, s := range bad {
		if s.fault != "" {
			faults[s.fault]++
		}
	}
	worst := ""
	for _, f := range slices.Sorted(maps.Keys(faults)) {
		if faults[f] > faults[worst] {
			worst = f
		}
	}
	a.Cause = "no single cause"
	if named {
		c := causes[0]
		a.Cause = fmt.Sprintf("%s %s has %s of it (%d of %d)", c.Column, c.Value, percent(c.Share), c.Bad, len(bad))
		if worst != "" {
			a.Cause += ", mostly " + worst
		}
	} else if worst != "" {
		a.Cause = fmt.Sprintf("no single place; %d of %d are %s", faults[worst], len(bad), worst)
	}
	for i := len(bad) - 1; i >= 0 && i >= len(bad)-3; i-- {
		a.Evidence = append(a.Evidence, "headworks explain "+bad[i].id)
	}
	a.Next = m.next(causes, named, worst, bad)
}

// next returns the command that helps most, as it can be given.
func (m *Monitor) next(causes []alert.Cause, named bool, worst string, bad []sampled) string {
	upstream, replica := "", ""
	if named {
		switch c := causes[0]; c.Column {
		case "replica":
			upstream, replica, _ = strings.Cut(c.Value, "/")
		case "upstream":
			upstream = c.Value
		case "region":
			return "headworks drain --region " + c.Value + " --for 30m"
		case "zone":
			return "headworks drain --zone " + c.Value + " --for 30m"
		}
	}
	switch worst {
	case "credential", "upstream_403":
		return "headworks models --discover" // says what each upstream answers to its credential
	case "overloaded", "too_late", "no_replica":
		return "headworks status"
	}
	spare := m.settings.Spare == nil || upstream == "" || m.settings.Spare(upstream, replica)
	switch {
	case !spare && len(bad) > 0:
		return "headworks explain " + bad[len(bad)-1].id
	case replica != "":
		return "headworks drain --upstream " + upstream + " --replica " + replica + " --for 30m"
	case upstream != "":
		return "headworks drain --upstream " + upstream + " --for 30m"
	case len(bad) > 0:
		return "headworks explain " + bad[len(bad)-1].id
	}
	return "headworks status"
}

func subject(k key, of kind, size int) string {
	name := k.model
	if k.upstream != "" {
		name = k.upstream
	}
	if k.tier != "" {
		name += ", tier " + k.tier
	}
	if of == firstToken && size > 0 {
		name += ", prompts of " + [sizes]string{"", "512", "4,096", "32,768"}[size] + " tokens or more"
	}
	if k.simulated {
		name += " (simulated)"
	}
	return name
}

func scope(k key, of kind) map[string]string {
	s := map[string]string{"signal": names[of]}
	for name, v := range map[string]string{"model": k.model, "tier": k.tier, "upstream": k.upstream} {
		if v != "" {
			s[name] = v
		}
	}
	return s
}

func print(k key, of kind, size int) string {
	s := k.model + "/" + k.tier + "/" + k.upstream + ":" + strings.ReplaceAll(names[of], " ", "_")
	if size > 0 {
		s += ":" + strconv.Itoa(size)
	}
	if k.simulated {
		s += ":simulated"
	}
	return s
}

func percent(share float64) string {
	p := 100 * share
	switch {
	case p >= 9.95:
		return strconv.FormatFloat(p, 'f', 0, 64) + " %"
	case p >= 0.995:
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	default:
		return strconv.FormatFloat(p, 'g', 2, 64) + " %"
	}
}

func micros(us float64) string {
	return time.Duration(us * float64(time.Microsecond)).Round(100 * time.Microsecond).String()
}

func span(d time.Duration) string {
	switch {
	case d >= 24*time.Hour && d%(24*time.Hour) == 0:
		return strconv.Itoa(int(d/(24*time.Hour))) + " d"
	case d >= time.Hour && d%time.Hour == 0:
		return strconv.Itoa(int(d/time.Hour)) + " h"
	default:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	}
}
