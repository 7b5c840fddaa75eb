package telemetry

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"headworks/internal/fault"
	"headworks/internal/record"
	"headworks/internal/tenant"
)

// minHidden is the fewest bytes of a text that is taken out of the log: less
// would be found in every other word.
const minHidden = 6

// Redactor takes registered secrets out of what is written through it. The zero
// Redactor knows none.
type Redactor struct {
	mu       sync.Mutex
	known    map[string]bool
	replacer atomic.Pointer[strings.Replacer]
}

// Hide registers secrets, also while others write. One of under 6 bytes is not
// taken out.
func (r *Redactor) Hide(secrets ...tenant.Secret) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = make(map[string]bool)
	}
	for _, s := range secrets {
		if text := s.Reveal(); len(text) >= minHidden {
			for _, form := range forms(text) {
				r.known[form] = true
			}
		}
	}
	// The longest first: where one secret begins another, no end of it is left.
	all := make([]string, 0, len(r.known))
	for form := range r.known {
		all = append(all, form)
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	pairs := make([]string, 0, 2*len(all))
	for _, form := range all {
		pairs = append(pairs, form, "[redacted]")
	}
	r.replacer.Store(strings.NewReplacer(pairs...))
}

// forms returns how a text may stand in a line: as it is, and as JSON writes it,
// once and, inside a quoted value, twice.
func forms(text string) []string {
	all := []string{text}
	for range 2 {
		for _, s := range slices.Clone(all) {
			for _, html := range []bool{false, true} {
				var b bytes.Buffer
				e := json.NewEncoder(&b)
				e.SetEscapeHTML(html)
				if e.Encode(s) == nil {
					quoted := strings.TrimSuffix(b.String(), "\n")
					all = append(all, quoted[1:len(quoted)-1])
				}
			}
		}
	}
	return all
}

// Writer returns w behind the Redactor. A secret is found within one Write: a
// slog handler writes a line at a time.
func (r *Redactor) Writer(w io.Writer) io.Writer { return &redacted{r, w} }

type redacted struct {
	r *Redactor
	w io.Writer
}

func (w *redacted) Write(line []byte) (int, error) {
	replacer := w.r.replacer.Load()
	if replacer == nil {
		return w.w.Write(line)
	}
	// In one write, as it came: lines of several writers do not mix.
	if _, err := io.WriteString(w.w, replacer.Replace(string(line))); err != nil {
		return 0, err
	}
	return len(line), nil
}

// NewLog returns a log of JSON lines on w from a level on, behind the Redactor.
func NewLog(w io.Writer, level slog.Leveler, r *Redactor) *slog.Logger {
	return slog.New(slog.NewJSONHandler(r.Writer(w), &slog.HandlerOptions{Level: level}))
}

// Requests is which requests get a line in the log.
type Requests uint32

// The choices.
const (
	Faults Requests = iota // those that failed
	All
	Off
)

// RequestLog writes a line for requests. It is an observer of Records.
type RequestLog struct {
	log   *slog.Logger
	which atomic.Uint32
}

// NewRequestLog returns a RequestLog that writes to log.
func NewRequestLog(log *slog.Logger, which Requests) *RequestLog {
	l := &RequestLog{log: log}
	l.Choose(which)
	return l
}

// Choose changes which requests get a line.
func (l *RequestLog) Choose(which Requests) { l.which.Store(uint32(which)) }

// Observe writes a Record's line, if it gets one: names, codes and times.
func (l *RequestLog) Observe(r *record.Record) {
	switch Requests(l.which.Load()) {
	case All:
	case Faults:
		if r.Fault == fault.None || r.Origin == record.Shadow {
			return
		}
	default:
		return
	}
	level, ctx := levelOf(r.Fault), context.Background()
	if !l.log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 20)
	text := func(name, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(name, value))
		}
	}
	number := func(name string, value int64) {
		if value >= 0 {
			attrs = append(attrs, slog.Int64(name, value))
		}
	}
	millis := func(name string, us int64) {
		if us >= 0 {
			attrs = append(attrs, slog.Float64(name, float64(us)/1e3))
		}
	}
	text("request_id", r.ID.String())
	if r.Trace != [16]byte{} {
		text("trace_id", hex.EncodeToString(r.Trace[:]))
	}
	text("surface", r.Surface)
	text("tenant", r.Tenant)
	text("key", r.Key)
	text("model", r.Model)
	text("upstream", r.Upstream)
	text("replica", r.Replica)
	text("end", r.End.String())
	number("status", r.Status)
	if r.Fault != fault.None {
		text("fault", r.Fault.String())
		text("owner", r.Fault.Info().Owner.String())
	}
	text("finish", r.Finish.String())
	number("attempts", r.Tried)
	number("input_tokens", r.Input)
	number("output_tokens", r.Output)
	millis("first_token_ms", r.TTFT)
	millis("total_ms", r.Total)
	if r.Simulated {
		attrs = append(attrs, slog.Bool("simulated", true))
	}
	line := slog.NewRecord(time.UnixMicro(r.Time+max(r.Total, 0)), level, "request", 0)
	line.AddAttrs(attrs...)
	// A log that cannot be written has nobody left to tell.
	_ = l.log.Handler().Handle(ctx, line)
}

func levelOf(k fault.Kind) slog.Level {
	switch {
	case k == fault.Internal:
		return slog.LevelError
	case k == fault.None || k.Info().Owner == fault.Caller:
		return slog.LevelInfo
	default:
		return slog.LevelWarn
	}
}
