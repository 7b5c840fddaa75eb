package sim

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"headworks/internal/inference"
	"headworks/internal/latency"
	"headworks/internal/tenant"
)

// Format is how a file tells of requests that were made once.
type Format uint8

// The formats, with where they are described.
const (
	NoFormat Format = iota
	AzureLLM        // Azure LLM inference traces of 2023 and 2024: TIMESTAMP,ContextTokens,GeneratedTokens (Azure/AzurePublicDataset)
	Mooncake        // a JSON object a line with the hashes of 512 tokens each (kvcache-ai/Mooncake, FAST25-release/traces)
	BurstGPT        // Timestamp,...,Request tokens,Response tokens,... in seconds (HPMLL/BurstGPT)
)

func (f Format) String() string {
	return [...]string{"", "azure-llm", "mooncake", "burstgpt"}[f]
}

// mooncakeBlock is how many tokens one of Mooncake's hash_ids stands for.
const mooncakeBlock = 512

// Bounds of a trace in memory: about 128 MiB for its rows, and as much for hashes and
// for finding out which of them repeat.
const (
	maxTraceRows   = 1 << 22
	maxTraceHashes = 1 << 22
	maxTraceLine   = 1 << 20 // bytes
	maxRowTokens   = 1 << 27
)

// Trace is requests that were made once: when, and how many tokens they had. What
// they said is not in it.
type Trace struct {
	Format  Format
	Skipped int           // rows without a prompt or an answer: calls that failed
	Tick    time.Duration // how far apart two stamps are, as finely as the trace tells time

	rows   []traceRow
	hashes []uint64
}

type traceRow struct {
	at            time.Duration // since the first
	session       uint64        // 0: not known
	input, output int32
	first, end    int32 // its hashes
}

// Rows returns how many requests a trace has.
func (t *Trace) Rows() int { return len(t.rows) }

// Length returns the time from the first request to the last.
func (t *Trace) Length() time.Duration {
	if len(t.rows) == 0 {
		return 0
	}
	return t.rows[len(t.rows)-1].at
}

// Tokens returns the mean lengths of prompts and answers.
func (t *Trace) Tokens() (input, output float64) {
	for i := range t.rows {
		input += float64(t.rows[i].input)
		output += float64(t.rows[i].output)
	}
	n := float64(max(len(t.rows), 1))
	return input / n, output / n
}

// Ideal returns the share of the prompts' blocks that a cache without bounds would
// hold: those that an earlier request had, with all before them.
func (t *Trace) Ideal() float64 {
	seen, hits := map[uint64]struct{}{}, 0
	for i := range t.rows {
		chain, held := uint64(0), true
		for _, h := range t.hashes[t.rows[i].first:t.rows[i].end] {
			chain = link(chain, h)
			if _, ok := seen[chain]; !ok {
				seen[chain] = struct{}{}
				held = false
			} else if held {
				hits++
			}
		}
	}
	if len(t.hashes) == 0 {
		return 0
	}
	return float64(hits) / float64(len(t.hashes))
}

// ReadTrace reads a trace, gzipped or not, whose format it finds by looking. It
// stops after most requests; 0 is all. The name stands in front of errors, with the
// line where they are.
func ReadTrace(name string, r io.Reader, most int) (*Trace, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	if head, _ := in.Peek(2); bytes.Equal(head, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("%s: begins as gzip does and is none: %w", name, err)
		}
		in = bufio.NewReaderSize(z, 64<<10)
	}
	t := &tracer{name: name, most: most}
	if most <= 0 {
		t.most = math.MaxInt
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), maxTraceLine)
	for t.line = 1; len(t.trace.rows) < t.most && lines.Scan(); t.line++ {
		if err := t.read(bytes.TrimSpace(lines.Bytes())); err != nil {
			return nil, err
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, t.wrong("is longer than %d bytes", maxTraceLine)
	case err != nil:
		return nil, fmt.Errorf("%s:%d: cannot be read: %w", name, t.line, err)
	case len(t.trace.rows) == 0:
		return nil, fmt.Errorf("%s: no request in it", name)
	}
	t.finish()
	return &t.trace, nil
}

// tracer is a reading under way.
type tracer struct {
	name    string
	line    int
	most    int
	trace   Trace
	columns [3]int // time, input, output
	session int    // its column, or -1
	width   int    // columns that a line needs
}

func (t *tracer) wrong(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", t.name, t.line, fmt.Sprintf(format, args...))
}

func (t *tracer) read(line []byte) error {
	if len(line) == 0 {
		return nil
	}
	switch t.trace.Format {
	case NoFormat:
		if line[0] == '{' {
			t.trace.Format = Mooncake
			return t.object(line)
		}
		return t.header(string(line))
	case Mooncake:
		return t.object(line)
	default:
		return t.csv(string(line))
	}
}

// header finds the columns of a CSV file by their names.
func (t *tracer) header(line string) error {
	names := fields(strings.TrimPrefix(line, "\ufeff"))
	t.session = slices.Index(names, "Session ID")
	for _, f := range []struct {
		format  Format
		columns [3]string
	}{
		{AzureLLM, [3]string{"TIMESTAMP", "ContextTokens", "GeneratedTokens"}},
		{BurstGPT, [3]string{"Timestamp", "Request tokens", "Response tokens"}},
	} {
		t.width = 0
		for i, name := range f.columns {
			t.columns[i] = slices.Index(names, name)
			t.width = max(t.width, t.columns[i]+1)
		}
		if !slices.Contains(t.columns[:], -1) {
			t.trace.Format = f.format
			return nil
		}
	}
	return t.wrong("no trace of a known format; the first line is the header TIMESTAMP,ContextTokens,GeneratedTokens (Azure), a header with Timestamp, Request tokens and Response tokens (BurstGPT), or a JSON object with timestamp, input_length, output_length and hash_ids (Mooncake)")
}

// fields splits a line of CSV. No column of the known formats holds a comma.
func fields(line string) []string {
	all := strings.Split(line, ",")
	for i, f := range all {
		all[i] = strings.Trim(strings.TrimSpace(f), `"`)
	}
	return all
}

// azureTime is how Azure writes a moment; there are up to seven digits of a
// fraction, and in 2024 an offset.
const azureTime = "2006-01-02 15:04:05"

func (t *tracer) csv(line string) error {
	all := fields(line)
	if len(all) < t.width {
		return t.wrong("%d columns, and the header has %d that count", len(all), t.width)
	}
	var row traceRow
	stamp := all[t.columns[0]]
	if t.trace.Format == AzureLLM {
		at, err := time.Parse(azureTime, stamp)
		if err != nil {
			if at, err = time.Parse(azureTime+"Z07:00", stamp); err != nil {
				return t.wrong("TIMESTAMP is no moment such as 2023-11-16 18:17:03.9799600")
			}
		}
		row.at = time.Duration(at.UnixNano())
	} else {
		s, err := strconv.ParseFloat(stamp, 64)
		if err != nil || !(s >= 0 && s < 1e9) {
			return t.wrong("Timestamp is no number of seconds")
		}
		row.at = time.Duration(math.Round(s*1e6)) * 1000
	}
	for i, to := range []*int32{&row.input, &row.output} {
		n, err := strconv.ParseUint(strings.TrimSuffix(all[t.columns[i+1]], ".0"), 10, 32)
		if err != nil || n > maxRowTokens {
			return t.wrong("%s is no number of tokens", [...]string{"the prompt's length", "the answer's length"}[i])
		}
		*to = int32(n)
	}
	if t.session >= 0 && t.session < len(all) && all[t.session] != "" {
		for _, c := range []byte(all[t.session]) {
			row.session = spread(row.session ^ uint64(c) + 1)
		}
	}
	return t.add(row)
}

func (t *tracer) object(line []byte) error {
	var o struct {
		Timestamp *float64 `json:"timestamp"` // ms
		Input     *int64   `json:"input_length"`
		Output    *int64   `json:"output_length"`
		Hashes    []uint64 `json:"hash_ids"`
	}
	if err := json.Unmarshal(line, &o); err != nil {
		return t.wrong("no JSON object with timestamp, input_length, output_length and hash_ids")
	}
	switch {
	case o.Timestamp == nil || !(*o.Timestamp >= 0 && *o.Timestamp < 1e12):
		return t.wrong("timestamp is no number of milliseconds")
	case o.Input == nil || *o.Input < 0 || *o.Input > maxRowTokens:
		return t.wrong("input_length is no number of tokens")
	case o.Output == nil || *o.Output < 0 || *o.Output > maxRowTokens:
		return t.wrong("output_length is no number of tokens")
	}
	// One id stands for each begun block, or there are none at all.
	if n, want := int64(len(o.Hashes)), (*o.Input+mooncakeBlock-1)/mooncakeBlock; n > 0 && n != want {
		return t.wrong("%d hash_ids, and a prompt of %d tokens has %d: one for every %d", n, *o.Input, want, mooncakeBlock)
	}
	row := traceRow{at: time.Duration(*o.Timestamp * 1e6), input: int32(*o.Input), output: int32(*o.Output)}
	if row.input > 0 && row.output > 0 {
		if len(t.trace.hashes)+len(o.Hashes) > maxTraceHashes {
			return t.wrong("more than %d hash_ids up to here; simulate a part of the trace with --requests", maxTraceHashes)
		}
		row.first = int32(len(t.trace.hashes))
		t.trace.hashes = append(t.trace.hashes, o.Hashes...)
		row.end = int32(len(t.trace.hashes))
	}
	return t.add(row)
}

func (t *tracer) add(row traceRow) error {
	if row.input == 0 || row.output == 0 {
		t.trace.Skipped++
		return nil
	}
	if len(t.trace.rows) == maxTraceRows {
		return t.wrong("more than %d requests up to here; simulate a part of the trace with --requests", maxTraceRows)
	}
	t.trace.rows = append(t.trace.rows, row)
	return nil
}

// finish orders the rows, lets time begin with the first, and finds out how finely
// the trace tells time.
func (t *tracer) finish() {
	rows := t.trace.rows
	slices.SortStableFunc(rows, func(a, b traceRow) int { return cmp.Compare(a.at, b.at) })
	start, shared := rows[0].at, 0
	var gaps []time.Duration
	for i := range rows {
		rows[i].at -= start
		if i > 0 && rows[i].at > rows[i-1].at {
			gaps = append(gaps, rows[i].at-rows[i-1].at)
		}
		if i > 0 && rows[i].at == rows[i-1].at || i+1 < len(rows) && rows[i].at == rows[i+1].at-start {
			shared++
		}
	}
	if len(gaps) == 0 {
		return
	}
	slices.Sort(gaps)
	t.trace.Tick = gaps[0]
	if 2*shared >= len(rows) {
		t.trace.Tick = gaps[len(gaps)/2]
	}
}

// Replay is a trace as a load.
//
// A trace tells time in stamps, up to seconds apart; requests of one stamp did not
// come at once. They are spread, in their order, evenly at random over the time to
// the next stamp, at most Trace.Tick. Tick is the median distance between two stamps
// where at least half of the requests share theirs, and otherwise the smallest.
type Replay struct {
	Trace  *Trace
	Speed  float64 // how many times as fast as it was; 0 counts as 1
	Raw    bool    // all requests of a stamp at once
	Seed   uint64
	Start  time.Time // of the run, for the ids
	Model  string
	Caller *tenant.Caller

	n    int
	next []time.Duration // of the stamp at hand
	src  *rand.Rand
	one  rand.PCG
}

// Next returns the next request.
func (r *Replay) Next() (Arrival, bool) {
	t := r.Trace
	if r.n == len(t.rows) {
		return Arrival{}, false
	}
	row := &t.rows[r.n]
	at := row.at
	if !r.Raw {
		if len(r.next) == 0 {
			r.stamp()
		}
		at, r.next = r.next[0], r.next[1:]
	}
	if r.Speed > 0 {
		at = time.Duration(float64(at) / r.Speed)
	}
	r.n++
	r.one.Seed(r.Seed, uint64(r.n))
	return Arrival{
		At: at, Caller: r.Caller, Output: int(row.output), Same: t.same(row),
		Request: inference.Request{
			ID:    inference.NewID(r.Start.Add(at), uint16(r.one.Uint64()), r.one.Uint64()),
			Model: r.Model, Session: row.session, Input: int(row.input), N: 1, Stream: true,
			Blocks: t.blocks(row),
		},
	}, true
}

// same returns what names the prompt of a row, equal for prompts of equal hashes; 0 where
// a trace has none.
func (t *Trace) same(row *traceRow) uint64 {
	chain := uint64(0)
	for _, h := range t.hashes[row.first:row.end] {
		chain = link(chain, h)
	}
	if chain == 0 {
		return 0
	}
	return link(chain, uint64(row.input))
}

// stamp spreads the requests of the stamp at hand.
func (r *Replay) stamp() {
	if r.src == nil {
		r.src = rand.New(rand.NewPCG(r.Seed, 0))
	}
	rows := r.Trace.rows[r.n:]
	n := 1
	for n < len(rows) && rows[n].at == rows[0].at {
		n++
	}
	room := r.Trace.Tick
	if n < len(rows) {
		room = min(room, rows[n].at-rows[0].at)
	}
	r.next = r.next[:0]
	for range n {
		at := rows[0].at
		if room > 0 {
			at += time.Duration(r.src.Int64N(int64(room)))
		}
		r.next = append(r.next, at)
	}
	slices.Sort(r.next)
}

// blocks returns the chained hashes of a row's prompt, latency.PrefixTokens each.
// Each id stands for eight of them; a last block that is not whole is left out.
func (t *Trace) blocks(row *traceRow) []uint64 {
	if row.first == row.end {
		return nil
	}
	const per = mooncakeBlock / latency.PrefixTokens
	out := make([]uint64, 0, int(row.input)/latency.PrefixTokens)
	chain := uint64(0)
	for i := range cap(out) {
		if i%per == 0 {
			chain = link(chain, t.hashes[int(row.first)+i/per])
		}
		out = append(out, spread(chain+uint64(i%per)))
	}
	return out
}

// link hashes what one more id makes of a prompt's beginning.
func link(chain, id uint64) uint64 { return spread(spread(id+1) ^ chain*0x9e3779b97f4a7c15) }
