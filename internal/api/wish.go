package api

import (
	"bytes"
	"strconv"
	"time"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/tenant"
)

// The headers by which a caller says what he wants of an answer.
const (
	preferHeader    = "x-headworks-prefer"
	objectiveHeader = "x-headworks-objective"
)

// mostObjective bounds an objective: beyond it, it means nothing.
const mostObjective = time.Hour

// wishHeaders are all of them.
var wishHeaders = [...]string{preferHeader, objectiveHeader}

// WishHeaders returns the headers that ReadWish knows.
func WishHeaders() []string { return wishHeaders[:] }

// wishes reads what the caller asks for in headers.
func (k *call) wishes() error {
	for _, name := range wishHeaders {
		if v, ok := k.x.Header(name); ok {
			if _, err := ReadWish(name, v, &k.req.Wish); err != nil {
				return err
			}
		}
	}
	Hint(&k.req.Request, &k.req.Wish)
	return nil
}

// Hint takes from the body what a caller wants who does not say so in a header.
func Hint(r *inference.Request, w *tenant.Wish) {
	if w.Prefer != tenant.NoPreference {
		return
	}
	switch r.Service {
	case inference.CheapService:
		w.Prefer = tenant.Price
	case inference.FastService:
		w.Prefer = tenant.Latency
	case inference.AnyService:
	}
}

// ReadWish reads a header by which a caller says what he wants of an answer. It
// reports whether it is one.
func ReadWish(name string, value []byte, w *tenant.Wish) (known bool, err error) {
	var ok bool
	switch name {
	case preferHeader:
		if w.Prefer, ok = tenant.ParsePreference(value); !ok {
			return true, unwished(name, "is quality, price or latency")
		}
	case objectiveHeader:
		if w.Objective, ok = ParseObjective(value); !ok {
			return true, unwished(name, "is ttft=800ms, tpot=40ms, or both with a comma between, each up to 1h")
		}
	default:
		return false, nil
	}
	return true, nil
}

func unwished(header, words string) error {
	f := fault.New(fault.InvalidRequest, "the header "+header+" "+words+"; leave it out where nothing is asked for")
	f.Param = header
	return f
}

// ParseObjective reads an objective as callers write it: ttft=800ms, tpot=40ms, or
// both with a comma between.
func ParseObjective(v []byte) (o tenant.Objective, ok bool) {
	for part := range bytes.SplitSeq(v, []byte(",")) {
		name, value, _ := bytes.Cut(bytes.TrimSpace(part), []byte("="))
		to := &o.TTFT
		switch string(name) {
		case "ttft":
		case "tpot":
			to = &o.TPOT
		default:
			return tenant.Objective{}, false
		}
		d, good := duration(value)
		if !good || *to != 0 {
			return tenant.Objective{}, false
		}
		*to = d
	}
	return o, true
}

// duration reads a time with one unit, as 800ms, above 0.
func duration(v []byte) (time.Duration, bool) {
	unit := bytes.TrimLeft(v, "0123456789.")
	n, err := strconv.ParseFloat(string(v[:len(v)-len(unit)]), 64)
	if err != nil {
		return 0, false
	}
	var of time.Duration
	switch string(unit) {
	case "us":
		of = time.Microsecond
	case "ms":
		of = time.Millisecond
	case "s":
		of = time.Second
	case "m":
		of = time.Minute
	default:
		return 0, false
	}
	if n *= float64(of); n < 1 || n > float64(mostObjective) {
		return 0, false
	}
	return time.Duration(n), true
}
