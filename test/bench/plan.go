package main

import "time"

// plan is how much is measured, and for how long.
type plan struct {
	limit  time.Duration // of the whole run
	rounds int           // of what is repeated; the median counts

	conns        int           // connections of the closed loop
	warm, window time.Duration // before and while it is measured

	streams                        int // at once
	streamRamp                     time.Duration
	streamWarm, streamWindow       time.Duration
	rate                           int // requests a second of the open loop
	rateWarm, rateWindow           time.Duration
	held                           int // slow streams, for their memory
	heldRamp, heldSettle           time.Duration
	starts, failovers, simRequests int
	watchWarm, watchWindow         time.Duration
}

// whole is the plan whose figures may be quoted; it takes under four minutes.
func whole() plan {
	return plan{
		limit: 4 * time.Minute, rounds: 3,
		conns: 64, warm: 500 * time.Millisecond, window: 3 * time.Second,
		streams: 200, streamRamp: time.Second, streamWarm: 1500 * time.Millisecond, streamWindow: 3 * time.Second,
		rate: 2000, rateWarm: 300 * time.Millisecond, rateWindow: 2 * time.Second,
		held: 2000, heldRamp: 2 * time.Second, heldSettle: 2 * time.Second,
		starts: 5, failovers: 10, simRequests: 300_000,
		watchWarm: time.Second, watchWindow: 6 * time.Second,
	}
}

// short is the plan that tells whether everything works; it takes under a minute.
func short() plan {
	return plan{
		limit: time.Minute, rounds: 1,
		conns: 64, warm: 300 * time.Millisecond, window: time.Second,
		streams: 200, streamRamp: 500 * time.Millisecond, streamWarm: 1200 * time.Millisecond, streamWindow: 1200 * time.Millisecond,
		rate: 500, rateWarm: 200 * time.Millisecond, rateWindow: time.Second,
		held: 500, heldRamp: 500 * time.Millisecond, heldSettle: time.Second,
		starts: 3, failovers: 4, simRequests: 100_000,
		watchWarm: time.Second, watchWindow: 2 * time.Second,
	}
}
