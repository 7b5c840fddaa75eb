package sim

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/flow"
	"headworks/internal/latency"
)

// EventKind is what can befall a replica.
type EventKind uint8

// The kinds of events.
const (
	Crash EventKind = iota // its KV cache and what it has in work are gone, and nobody answers
	Hang                   // it takes requests and makes nothing of them; then it goes on
	Slow                   // everything takes Factor times as long
	Fail                   // it turns a share of the requests away, with an error of its own
	Drain                  // an operator lets it have no more requests; those that it has go on
	Cut                    // it goes on, and no packet comes through to it or from it
	Stale                  // its metrics stand still: it tells what it told when this began
	Mute                   // it tells no metrics
)

// kinds names them, in that order.
var kinds = [...]string{"crash", "hang", "slow", "fail", "drain", "cut", "stale", "mute"}

func (k EventKind) String() string { return kinds[k] }

// Event is something that befalls replicas for a time.
type Event struct {
	Kind     EventKind
	Replicas []fleet.ReplicaID
	From, To time.Duration // from the start of the run
	Factor   float64       // of Slow: above 1; of Fail: the share
}

// lost names what an event does to all of a zone or a region: they crash.
const lost = "lost"

const eventForm = "an event is FROM..TO WHAT WHERE, such as \"60s..120s crash gpu/2\": WHAT is crash, cut, hang, slow, fail, drain, stale, mute or lost; WHERE is UPSTREAM, UPSTREAM/REPLICA (its name or its number from 1), zone/ZONE (or zone/REGION/ZONE) or region/REGION; behind slow stands how much, such as x3, and behind fail which share, such as 5%"

// ParseEvent reads an event of the form FROM..TO WHAT WHERE [xFACTOR]; see
// docs/howto/simulate.md. What it names is looked up in the fleet.
func ParseEvent(text string, s *fleet.Snapshot) (Event, error) {
	var e Event
	words := strings.Fields(text)
	if len(words) != 3 && len(words) != 4 {
		return e, errors.New(eventForm)
	}
	from, to, ok := strings.Cut(words[0], "..")
	if !ok {
		return e, errors.New(eventForm)
	}
	for _, b := range []struct {
		text string
		to   *time.Duration
	}{{from, &e.From}, {to, &e.To}} {
		d, err := time.ParseDuration(b.text)
		if err != nil || d < 0 {
			return e, fmt.Errorf("%q is no time from the start, such as 90s or 2m", b.text)
		}
		*b.to = d
	}
	if e.To <= e.From {
		return e, errors.New("the event ends before it begins")
	}
	what := words[1]
	if what == lost {
		what = Crash.String()
	}
	kind := slices.Index(kinds[:], what)
	if kind < 0 {
		return e, fmt.Errorf("nothing is called %q; %s", what, eventForm)
	}
	e.Kind = EventKind(kind)
	if (e.Kind == Slow || e.Kind == Fail) != (len(words) == 4) {
		return e, errors.New("slow is followed by how much, such as x3, fail by which share, such as 5%, and nothing else by anything")
	}
	if e.Kind == Fail {
		number, percent := strings.CutSuffix(words[3], "%")
		f, err := strconv.ParseFloat(number, 64)
		if err != nil || !percent || !(f > 0 && f <= 100) {
			return e, errors.New("which share fails is above 0% and up to 100%, such as 5%")
		}
		e.Factor = f / 100
	}
	if e.Kind == Slow {
		f, err := strconv.ParseFloat(strings.TrimPrefix(words[3], "x"), 64)
		if err != nil || !(f > 1 && f <= 1000) {
			return e, errors.New("how much slower is a number above 1 and up to 1000, such as x3")
		}
		e.Factor = f
	}
	e.Replicas = find(words[2], s)
	if len(e.Replicas) == 0 {
		return e, fmt.Errorf("nothing is at %q: it is UPSTREAM, UPSTREAM/REPLICA, zone/ZONE or region/REGION, as the configuration and headworks status name them", words[2])
	}
	return e, nil
}

// find returns the replicas at a place. An upstream's own name comes first.
func find(place string, s *fleet.Snapshot) (ids []fleet.ReplicaID) {
	first, second, _ := strings.Cut(place, "/")
	for _, u := range s.Upstreams {
		for i, r := range u.Replicas {
			at := r.Place
			if at.Region == "" {
				at.Region, at.Zone = u.Region, u.Zone
			}
			switch {
			case u.Name == place:
			case u.Name == first && (r.Name == second || strconv.Itoa(i+1) == second):
			case u.Name == first:
				continue
			case first == "zone" && second != "" && (at.Zone == second || at.String() == second):
			case first == "region" && second != "" && at.Region == second:
			default:
				continue
			}
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// moment is the begin or the end of an event.
type moment struct {
	at    time.Duration
	event *Event
	ends  bool
}

// moments returns the begins and ends of events in the order of time; of one moment
// what ends first.
func moments(events []Event) []moment {
	var all []moment
	for i := range events {
		e := &events[i]
		all = append(all, moment{e.From, e, false}, moment{e.To, e, true})
	}
	slices.SortStableFunc(all, func(a, b moment) int {
		order := cmp.Compare(a.at, b.at)
		if order == 0 && a.ends != b.ends {
			order = 1
			if a.ends {
				order = -1
			}
		}
		return order
	})
	return all
}

// strike lets an event begin or end.
func (s *run) strike(m moment) {
	for _, id := range m.event.Replicas {
		r := s.replicas[id]
		switch {
		case m.event.Kind == Drain:
			s.drain(r, m.ends)
		case m.event.Kind == Cut:
			s.cut(r, m.ends)
		case m.event.Kind != Crash:
			if m.event.Kind == Stale && !m.ends {
				r.said = s.metrics(r)
			}
			s.hold(r, m)
		case m.ends:
			r.down--
		default:
			r.down++
			s.crash(r)
		}
	}
}

// drain keeps a replica from requests, or no longer.
func (s *run) drain(r *replica, ends bool) {
	if ends {
		if r.drains--; r.drains > 0 {
			return
		}
	} else {
		r.drains++
	}
	for _, p := range s.gateways {
		if ends {
			p.Health.Undrain(r.of.ID, s.clock())
		} else {
			p.Health.Drain(r.of.ID, time.Time{})
		}
	}
}

// How long nothing has to come back until a connection counts as failed, as wire has
// it.
const (
	unanswered = 2 * time.Second // one that is being opened
	unheard    = 8 * time.Second // one that is open
)

// cut lets no packet through to a replica, or through again. What it said meanwhile
// comes as soon as it can, on the connections that have not ended until then.
func (s *run) cut(r *replica, ends bool) {
	if ends {
		if r.cuts--; r.cuts > 0 {
			return
		}
	} else {
		r.cuts++
	}
	var heard []*exchange
	for i := range s.actors {
		x := s.actors[i].exchange
		switch {
		case x == nil || x.replica != r || !x.working:
		case !ends && x.fails == unset:
			x.fails, x.failure = s.now+unheard, fault.New(fault.Interrupted, "nothing was heard of the replica")
			s.wake(x)
		case ends:
			x.fails = unset
			s.wake(x)
			if x.missed.ID != 0 {
				heard = append(heard, x)
			}
		}
	}
	for _, x := range heard {
		p := x.missed
		x.missed = latency.Progress{}
		s.made(x, p)
	}
}

// hold slows an engine down, or lets it go on.
func (s *run) hold(r *replica, m moment) {
	if m.ends {
		for i := range r.held {
			if r.held[i] == m.event {
				r.held = slices.Delete(r.held, i, i+1)
				break
			}
		}
	} else {
		r.held = append(r.held, m.event)
	}
	pace := 1.0
	for _, e := range r.held {
		switch e.Kind {
		case Hang:
			pace = 0
		case Slow:
			pace /= e.Factor
		case Crash, Fail, Drain, Cut, Stale, Mute:
		}
	}
	r.clock.set(s.now, pace)
	s.plan(r)
}

// crash takes away what a replica holds and has in work.
func (s *run) crash(r *replica) {
	var broken []*exchange
	for i := range s.actors {
		if x := s.actors[i].exchange; x != nil && x.replica == r && x.working {
			s.drop(x)
			broken = append(broken, x)
		}
	}
	r.anew = true
	s.renew(r)
	for _, x := range broken {
		s.step(x, flow.Event{Kind: flow.Failed, Fault: fault.New(fault.Interrupted, "the replica went away")})
	}
}

// renew gives a replica an engine that holds nothing.
func (s *run) renew(r *replica) {
	r.tally.engine(r.engine.Load(r.clock.local(s.now)))
	r.engine = latency.New(r.params, latency.Ends)
	s.plan(r)
}

// clock is an engine's own time. It is the run's, but that it stands still while
// the engine hangs and lags while it is slow.
type clock struct {
	pieces []piece // in the order of time; none: the run's time
}

// piece is a time in which an engine's clock goes at one pace.
type piece struct {
	at, local time.Duration // of its begin
	pace      float64       // 1: as the run's; 0: it stands
}

// set changes the pace.
func (c *clock) set(now time.Duration, pace float64) {
	c.pieces = append(c.pieces, piece{now, c.local(now), pace})
}

// local returns what the engine's clock shows.
func (c *clock) local(now time.Duration) time.Duration {
	n := len(c.pieces)
	if n == 0 {
		return now
	}
	p := c.pieces[n-1]
	if p.pace == 1 {
		return p.local + now - p.at
	}
	return p.local + time.Duration(float64(now-p.at)*p.pace)
}

// when returns when the clock shows a time that it has not shown before this pace;
// never if it stands.
func (c *clock) when(local time.Duration) int64 {
	n := len(c.pieces)
	if n == 0 {
		return int64(local)
	}
	return c.pieces[n-1].when(local)
}

func (p piece) when(local time.Duration) int64 {
	switch d := local - p.local; {
	case d <= 0:
		return int64(p.at)
	case p.pace == 1:
		return int64(p.at + d)
	case p.pace == 0:
		return never
	default:
		return int64(p.at) + int64(math.Ceil(float64(d)/p.pace))
	}
}

// showed returns when the clock first showed a time that is past.
func (c *clock) showed(local time.Duration) time.Duration {
	i := len(c.pieces) - 1
	for i >= 0 && c.pieces[i].local >= local {
		i--
	}
	if i < 0 {
		return local
	}
	return time.Duration(c.pieces[i].when(local))
}

// fails reports whether a replica turns a request away: the same one each time.
func (s *run) fails(r *replica, x *exchange) bool {
	share := 0.0
	for _, e := range r.held {
		if e.Kind == Fail {
			share = max(share, e.Factor)
		}
	}
	return share > 0 && float64(spread(x.request.ID.Seed()+uint64(x.ticket.Tries))>>11)/(1<<53) < share
}
