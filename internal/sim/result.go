package sim

import (
	"encoding/hex"
	"slices"
	"time"

	"headworks/internal/fault"
	"headworks/internal/record"
)

// Result sums a run up. Runs of equal input have equal results, but for the two
// figures of the wall clock.
type Result struct {
	Requests       int            `json:"requests"`
	Served         int            `json:"served"`
	Failed         int            `json:"failed"`
	Faults         map[string]int `json:"faults"` // by the kind's name
	Steps          int64          `json:"steps"`  // calls of flow.Step
	StepsPerSecond float64        `json:"steps_per_second"`
	WallSeconds    float64        `json:"wall_seconds"` // of the loop alone
	Hash           string         `json:"hash"`         // SHA-256 over all records, in the order of their ends
	Seconds        float64        `json:"simulated_seconds"`
	TTFT           Percentiles    `json:"ttft_ms"`
	TPOT           Percentiles    `json:"tpot_ms"`
	Replicas       []ReplicaLoad  `json:"replicas"`
}

// Percentiles are of the answers that were served, in milliseconds.
type Percentiles struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
}

// ReplicaLoad is what one replica had to do.
type ReplicaLoad struct {
	Upstream     string  `json:"upstream"`
	Replica      string  `json:"replica"`
	Sent         int     `json:"sent"`
	Served       int     `json:"served"`
	Share        float64 `json:"share"` // of all that was served
	InFlight     float64 `json:"in_flight"`
	InFlightPeak int     `json:"in_flight_peak"`
}

// tally counts while a run is under way.
type tally struct {
	steps      int64
	requests   int
	served     int
	faults     [256]int // by fault.Kind
	ttft, tpot []int64  // microseconds
}

func (t *tally) add(r *record.Record) {
	t.requests++
	t.faults[r.Fault]++
	if r.End != record.OK {
		return
	}
	t.served++
	if r.TTFT >= 0 && r.Stream {
		t.ttft = append(t.ttft, r.TTFT)
	}
	if r.TPOT >= 0 {
		t.tpot = append(t.tpot, r.TPOT)
	}
}

// replicaTally counts what happens at a replica.
type replicaTally struct {
	sent, served   int
	inFlight, peak int
	area           float64 // requests in flight over time, in seconds
	changed        time.Duration
}

func (t *replicaTally) add(now time.Duration, n int) {
	t.area += float64(t.inFlight) * (now - t.changed).Seconds()
	t.changed = now
	t.inFlight += n
	t.peak = max(t.peak, t.inFlight)
}

func (s *run) result() Result {
	t := &s.tally
	r := Result{
		Requests:    t.requests,
		Served:      t.served,
		Failed:      t.requests - t.served,
		Faults:      map[string]int{},
		Steps:       t.steps,
		WallSeconds: s.wall.Seconds(),
		Hash:        hex.EncodeToString(s.digest.Sum(nil)),
		Seconds:     s.now.Seconds(),
		TTFT:        percentiles(t.ttft),
		TPOT:        percentiles(t.tpot),
	}
	if s.wall > 0 {
		r.StepsPerSecond = float64(t.steps) / s.wall.Seconds()
	}
	for _, k := range fault.Kinds() {
		if n := t.faults[k]; n > 0 {
			r.Faults[k.String()] = n
		}
	}
	for _, p := range s.replicas {
		if p == nil {
			continue
		}
		load := ReplicaLoad{
			Upstream: s.Fleet.Upstreams[p.of.Upstream].Name, Replica: p.of.Name,
			Sent: p.tally.sent, Served: p.tally.served, InFlightPeak: p.tally.peak,
		}
		if t.served > 0 {
			load.Share = float64(p.tally.served) / float64(t.served)
		}
		if s.now > 0 {
			load.InFlight = p.tally.area / s.now.Seconds()
		}
		r.Replicas = append(r.Replicas, load)
	}
	return r
}

// percentiles sorts what it is given.
func percentiles(us []int64) Percentiles {
	if len(us) == 0 {
		return Percentiles{}
	}
	slices.Sort(us)
	at := func(q float64) float64 { return float64(us[int(q*float64(len(us)-1))]) / 1000 }
	var sum float64
	for _, v := range us {
		sum += float64(v)
	}
	return Percentiles{sum / float64(len(us)) / 1000, at(.5), at(.9), at(.95), at(.99)}
}
