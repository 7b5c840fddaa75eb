package config

import (
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"headworks/internal/tenant"
)

// Bytes is a size.
type Bytes int64

func (b Bytes) String() string {
	for _, u := range []struct {
		name string
		size Bytes
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if b >= u.size && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// Share is a part of a whole, 0 to 1; files write it in percent.
type Share float64

func (s Share) String() string {
	return strconv.FormatFloat(math.Round(float64(s)*1e8)/1e6, 'f', -1, 64) + "%"
}

func parseShare(s string) (any, bool) {
	number, percent := strings.CutSuffix(s, "%")
	f, err := strconv.ParseFloat(number, 64)
	return Share(f / 100), percent && err == nil && plain(number) && f <= 100
}

// Factor is how many times as much; files write it with an x.
type Factor float64

func (f Factor) String() string { return strconv.FormatFloat(float64(f), 'f', -1, 64) + "x" }

func parseFactor(s string) (any, bool) {
	number, times := strings.CutSuffix(s, "x")
	f, err := strconv.ParseFloat(number, 64)
	return Factor(f), times && err == nil && plain(number) && f <= 1000
}

// plain reports whether a number is written in digits and a point alone.
func plain(s string) bool { return strings.Trim(s, "0123456789.") == "" }

// portName is the name of a port as Kubernetes has it (RFC 6335), or its number.
var portName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

const redacted = "[redacted]"

// form is how a file writes values of one type.
type form struct {
	want   string // what a text must be, with an example
	number bool   // YAML numbers are meant, not texts
	either bool   // a text or a number
	parse  func(string) (any, bool)
	show   func(any) string
	schema jsonschema.Schema // without references, bounds and enum
}

// formOf returns how values of type t are written, or false for sections, maps and
// lists.
func formOf(t reflect.Type) (form, bool) {
	switch t {
	case reflect.TypeFor[string]():
		return form{
			want:   "a text",
			parse:  func(s string) (any, bool) { return s, true },
			show:   func(v any) string { return v.(string) },
			schema: jsonschema.Schema{Type: "string"},
		}, true
	case reflect.TypeFor[Port]():
		return form{
			want:   "a port's name or number",
			either: true,
			parse:  func(s string) (any, bool) { return Port(s), portName.MatchString(s) },
			show:   func(v any) string { return string(v.(Port)) },
			schema: jsonschema.Schema{Types: []string{"string", "integer"}, Examples: []any{"http"}},
		}, true
	case reflect.TypeFor[tenant.Secret]():
		return form{
			want:   "a text",
			parse:  func(s string) (any, bool) { return tenant.NewSecret(s), true },
			show:   func(any) string { return redacted },
			schema: jsonschema.Schema{Type: "string", WriteOnly: true},
		}, true
	case reflect.TypeFor[int]():
		return form{
			want:   "a whole number",
			number: true,
			parse: func(s string) (any, bool) {
				n, err := strconv.Atoi(s)
				return n, err == nil && strconv.Itoa(n) == s
			},
			show:   func(v any) string { return strconv.Itoa(v.(int)) },
			schema: jsonschema.Schema{Type: "integer"},
		}, true
	case reflect.TypeFor[float64]():
		return form{
			want:   "a number",
			number: true,
			parse: func(s string) (any, bool) {
				f, err := strconv.ParseFloat(s, 64)
				plain := strings.Trim(s, "0123456789+-.eE") == ""
				return f, err == nil && plain && !math.IsInf(f, 0)
			},
			show:   func(v any) string { return strconv.FormatFloat(v.(float64), 'g', -1, 64) },
			schema: jsonschema.Schema{Type: "number"},
		}, true
	case reflect.TypeFor[time.Duration]():
		return form{
			want:   "a duration with its unit, such as 30s, 1m30s or 250ms",
			parse:  parseDuration,
			show:   func(v any) string { return showDuration(v.(time.Duration)) },
			schema: jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$`, Examples: []any{"30s"}},
		}, true
	case reflect.TypeFor[Bytes]():
		return form{
			want:   "a size, such as 32MiB, 512KiB or a number of bytes",
			either: true,
			parse:  parseBytes,
			show:   func(v any) string { return v.(Bytes).String() },
			schema: jsonschema.Schema{Types: []string{"string", "integer"}, Pattern: `^[0-9]+ ?(KiB|MiB|GiB|kB|KB|MB|GB|B)?$`, Examples: []any{"32MiB"}},
		}, true
	case reflect.TypeFor[Share]():
		return form{
			want:   "a share in percent, 100% at most, such as 5% or 0.5%",
			parse:  parseShare,
			show:   func(v any) string { return v.(Share).String() },
			schema: jsonschema.Schema{Type: "string", Pattern: `^[0-9]+(\.[0-9]+)?%$`, Examples: []any{"5%"}},
		}, true
	case reflect.TypeFor[Factor]():
		return form{
			want:   "how many times as much, such as 1.5x",
			parse:  parseFactor,
			show:   func(v any) string { return v.(Factor).String() },
			schema: jsonschema.Schema{Type: "string", Pattern: `^[0-9]+(\.[0-9]+)?x$`, Examples: []any{"1.5x"}},
		}, true
	case reflect.TypeFor[tenant.Class]():
		return form{
			want: "one of critical, standard, sheddable, batch",
			parse: func(s string) (any, bool) {
				for c := tenant.Critical; c <= tenant.Batch; c++ {
					if c.String() == s {
						return c, true
					}
				}
				return nil, false
			},
			show:   func(v any) string { return v.(tenant.Class).String() },
			schema: jsonschema.Schema{Type: "string"},
		}, true
	case reflect.TypeFor[tenant.Rate]():
		return form{
			want: "a rate, such as 60/m (s, m, h or d)",
			parse: func(s string) (any, bool) {
				n, per, ok := parsePer(s)
				count, err := strconv.ParseInt(n, 10, 64)
				return tenant.Rate{Count: count, Per: per}, ok && err == nil && count > 0
			},
			show: func(v any) string {
				r := v.(tenant.Rate)
				if !r.Limited() {
					return "no limit"
				}
				return strconv.FormatInt(r.Count, 10) + "/" + perName(r.Per)
			},
			schema: jsonschema.Schema{Type: "string", Pattern: `^[1-9][0-9]*/(` + perNames + `)$`, Examples: []any{"60/m"}},
		}, true
	case reflect.TypeFor[tenant.Budget]():
		return form{
			want:  "an amount in USD per day or month, such as 10/day or 250/month",
			parse: parseBudget,
			show: func(v any) string {
				b := v.(tenant.Budget)
				if !b.Limited() {
					return "no limit"
				}
				per := "day"
				if b.Per == month {
					per = "month"
				}
				return strconv.FormatFloat(float64(b.Amount)/1e6, 'f', -1, 64) + "/" + per
			},
			schema: jsonschema.Schema{Type: "string", Pattern: `^[0-9]+(\.[0-9]{1,6})?/(d|day|month)$`, Examples: []any{"10/day"}},
		}, true
	case reflect.TypeFor[time.Time]():
		return form{
			want:  "a day or a moment, such as 2030-01-31 or 2030-01-31T12:00:00Z",
			parse: parseTime,
			show: func(v any) string {
				t := v.(time.Time)
				if t.IsZero() {
					return "never"
				}
				return t.Format(time.RFC3339)
			},
			schema: jsonschema.Schema{Type: "string", Pattern: `^[0-9]{4}-[0-9]{2}-[0-9]{2}(T.+)?$`, Examples: []any{"2030-01-31"}},
		}, true
	default:
		return form{}, false
	}
}

// bounded reports a value's size for the min and max tags.
func bounded(v any) (float64, bool) {
	switch n := v.(type) {
	case int:
		return float64(n), true
	case float64:
		return n, true
	case Bytes:
		return float64(n), true
	default:
		return 0, false
	}
}

func parseDuration(s string) (any, bool) {
	d, err := time.ParseDuration(s)
	// The signs and shorthands that the parser knows beside plain numbers are
	// typing errors more often than meant.
	return d, err == nil && d >= 0 && s != "0" && '0' <= s[0] && s[0] <= '9'
}

// showDuration is Duration.String without its zero parts: 10m, not 10m0s.
func showDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func parseBytes(s string) (any, bool) {
	number := strings.TrimRight(s, "KMGkiB ")
	n, err := strconv.ParseInt(number, 10, 64)
	unit := int64(1)
	switch strings.TrimPrefix(s[len(number):], " ") {
	case "", "B":
	case "KiB":
		unit = 1 << 10
	case "MiB":
		unit = 1 << 20
	case "GiB":
		unit = 1 << 30
	case "kB", "KB":
		unit = 1e3
	case "MB":
		unit = 1e6
	case "GB":
		unit = 1e9
	default:
		return nil, false
	}
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return nil, false
	}
	return Bytes(n * unit), true
}

const (
	day   = 24 * time.Hour
	month = 30 * day // as tenant.Budget counts it

	perNames = "s|sec|second|m|min|minute|h|hour|d|day"
)

func parsePer(s string) (number string, per time.Duration, ok bool) {
	number, unit, ok := strings.Cut(s, "/")
	switch unit {
	case "s", "sec", "second":
		per = time.Second
	case "m", "min", "minute":
		per = time.Minute
	case "h", "hour":
		per = time.Hour
	case "d", "day":
		per = day
	default:
		ok = false
	}
	return number, per, ok
}

func perName(d time.Duration) string {
	switch d {
	case time.Second:
		return "s"
	case time.Minute:
		return "m"
	case time.Hour:
		return "h"
	default:
		return "d"
	}
}

// parseBudget reads USD exactly: a budget is counted in millionths.
func parseBudget(s string) (any, bool) {
	amount, unit, ok := strings.Cut(s, "/")
	var per time.Duration
	switch unit {
	case "d", "day":
		per = day
	case "month":
		per = month
	default:
		return nil, false
	}
	whole, part, point := strings.Cut(amount, ".")
	if point && (part == "" || len(part) > 6) {
		return nil, false
	}
	part += strings.Repeat("0", 6-len(part))
	if strings.Trim(whole+part, "0123456789") != "" || len(whole) > 12 {
		return nil, false
	}
	micro, err := strconv.ParseInt(whole+part, 10, 64)
	return tenant.Budget{Amount: micro, Per: per}, ok && err == nil && whole != "" && micro > 0
}

func parseTime(s string) (any, bool) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return nil, false
}
