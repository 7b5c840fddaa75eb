package gateway

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/flow"
	"headworks/internal/record"
)

// visit is what becomes of one request of many.
type visit struct {
	at     time.Duration // when it comes
	leaves time.Duration // when its client does; 0: never
	stream bool
	failAt string        // the line that the client does not get any more
	slow   time.Duration // for each write
	breaks bool          // its surface has a defect, which shows at the end
}

// TestEverythingIsGivenBack: requests that come together, with engines that answer,
// fail, hang and panic, and clients that stay, leave and panic, count for nothing once
// they are over, and each has one record with one end.
func TestEverythingIsGivenBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		millis := func(most int) *rapid.Generator[time.Duration] {
			return rapid.Custom(func(t *rapid.T) time.Duration {
				return time.Duration(rapid.IntRange(0, most).Draw(t, "ms")) * time.Millisecond
			})
		}
		var plays [][]beat
		for range rapid.IntRange(1, 3).Draw(rt, "replicas") {
			var beats []beat
			for range rapid.IntRange(0, 4).Draw(rt, "beats") {
				b := rapid.SampledFrom([]beat{
					text("a"), role(), ping(), finish("z"),
					{panic: true},
					breaks(fault.Connect), breaks(fault.Interrupted), breaks(fault.UpstreamError),
					breaks(fault.UpstreamCapacity), breaks(fault.UpstreamAuth), breaks(fault.UpstreamRejected),
				}).Draw(rt, "beat")
				if !refuses(b) {
					b.after = rapid.OneOf(millis(50), millis(40_000)).Draw(rt, "after")
				}
				beats = append(beats, b)
			}
			plays = append(plays, append(beats, later(time.Hour, ping()))) // it hangs in the end
		}
		lives := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) visit {
			return visit{
				at: millis(1000).Draw(t, "at"), stream: rapid.Bool().Draw(t, "stream"), slow: millis(20).Draw(t, "slow"),
				leaves: rapid.OneOf(rapid.Just(time.Duration(0)), millis(100), millis(60_000)).Draw(t, "leaves"),
				failAt: rapid.SampledFrom([]string{"", "", "open", "alive", "send", "end", "fault"}).Draw(t, "fails at"),
				breaks: rapid.IntRange(0, 9).Draw(t, "breaks") == 0,
			}
		}), 1, 8).Draw(rt, "lives")
		limits := admit.Limits{InFlight: rapid.IntRange(1, 8).Draw(rt, "in flight"), Queue: rapid.IntRange(0, 8).Draw(rt, "queue")}
		wrong := ""
		synctest.Test(t, func(t *testing.T) { wrong = live(t.Context(), limits, plays, lives) })
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

// live lets requests live, and tells what is left of them that should not be.
func live(ctx context.Context, limits admit.Limits, plays [][]beat, lives []visit) string {
	b := newBench(limits, plays...)
	var wg sync.WaitGroup
	for _, l := range lives {
		wg.Go(func() {
			defer func() { _ = recover() }() // as the server does, which ends the connection
			time.Sleep(l.at)
			ctx, leave := context.WithCancel(ctx)
			defer leave()
			if l.leaves > 0 {
				time.AfterFunc(l.leaves, leave)
			}
			p := &page{failAt: l.failAt, slow: l.slow}
			if l.breaks {
				p.atEnd = func() { panic("a defect in a surface") }
			}
			b.do(ctx, l.stream, p)
		})
	}
	wg.Wait()
	wrong := ""
	b.g.Policy(func(p *flow.Policy) {
		for id := range b.engine.plays {
			if n := p.Load(id); n != (flow.Load{}) {
				wrong = fmt.Sprintf("replica %d still counts %+v", id, n)
			}
		}
		if p.Gate.InFlight() != 0 || p.Gate.Waiting() != 0 || p.Retries() != 0 {
			wrong = fmt.Sprintf("%d inside, %d wait, %d second tries", p.Gate.InFlight(), p.Gate.Waiting(), p.Retries())
		}
	})
	if len(b.records) != len(lives) {
		return fmt.Sprintf("%d records of %d requests", len(b.records), len(lives))
	}
	for _, r := range b.records {
		if r.End == record.Open {
			return "a record has no end"
		}
	}
	opened := 0
	for _, id := range b.engine.opened {
		if !refuses(plays[id][0]) {
			opened++
		}
	}
	if b.engine.closed != opened {
		return fmt.Sprintf("%d streams closed, %d opened", b.engine.closed, opened)
	}
	return wrong
}

// refuses reports whether nobody answers.
func refuses(b beat) bool { return b.err != nil && fault.Of(b.err).Kind == fault.Connect }
