// Package quality tells from an answer's own text what it is worth: whether it is
// what was asked for in form, cut, or a refusal. It asks nobody and promises no
// truth: an answer that passes may still be wrong.
package quality

import (
	"math/big"
	"regexp"
	"strings"
	"unicode/utf8"

	"headworks/internal/scan"
)

// MaxSchema bounds the schemas that are read, in bytes.
const MaxSchema = 256 << 10

// How much work one check is: a schema may ask for more than there are atoms.
const (
	maxSteps   = 200_000
	maxDepth   = 128
	maxPattern = 1 << 10 // bytes of a regular expression
	maxRegex   = 64      // expressions read in one check
)

// Fit is whether a value is as a schema wants it.
type Fit uint8

// The answers.
const (
	Unknown Fit = iota // the schema says more than is read here, or asks for too much work
	Fits
	Misfits
)

func (f Fit) String() string { return [...]string{"unknown", "fits", "misfits"}[f] }

// Check tells whether a value fits a schema (JSON Schema 2020-12). It reads type,
// enum, const, properties, required, additionalProperties, patternProperties, items,
// prefixItems, contains, allOf, anyOf, oneOf, not, $ref within the document, and the
// bounds of numbers, lengths and counts. With another keyword that asserts something
// the answer is Unknown; formats and annotations assert nothing.
func Check(schema, value scan.Value) Fit {
	if len(schema.Raw()) > MaxSchema {
		return Unknown
	}
	c := checker{root: schema}
	ok := c.holds(schema, value, 0)
	switch {
	case c.lost:
		return Unknown
	case ok:
		return Fits
	}
	return Misfits
}

type checker struct {
	root  scan.Value
	steps int
	regex int
	lost  bool // what is returned counts for nothing
}

// lose gives up.
func (c *checker) lose() bool {
	c.lost = true
	return false
}

// holds reports whether a value is as a schema wants it.
func (c *checker) holds(s, v scan.Value, depth int) bool {
	c.steps++
	if c.lost || c.steps > maxSteps || depth > maxDepth {
		return c.lose()
	}
	if b, ok := s.Bool(); ok {
		return b
	}
	if s.Kind() != scan.Object {
		return c.lose()
	}
	for rule := range s.All() {
		if !c.keyword(s, rule, v, depth) {
			return false
		}
	}
	return !c.lost
}

// keyword reports whether a value is as one member of a schema wants it.
func (c *checker) keyword(s, rule, v scan.Value, depth int) bool {
	if c.steps++; c.steps > maxSteps {
		return c.lose()
	}
	all := func() bool {
		for each := range rule.All() {
			if !c.holds(each, v, depth+1) {
				return false
			}
		}
		return true
	}
	switch string(rule.Key()) {
	case "$ref":
		to, ok := c.find(rule.Text())
		if !ok {
			return c.lose()
		}
		return c.holds(to, v, depth+1)
	case "$dynamicRef", "$recursiveRef", "dependentSchemas", "unevaluatedProperties", "unevaluatedItems", "propertyNames", "dependentRequired", "if":
		return c.lose()
	case "type":
		if rule.Kind() == scan.String {
			return is(rule.Text(), v)
		}
		for each := range rule.All() {
			if is(each.Text(), v) {
				return true
			}
		}
		return false
	case "enum":
		for each := range rule.All() {
			if c.equal(each, v) {
				return true
			}
		}
		return false
	case "const":
		return c.equal(rule, v)
	case "allOf":
		return all()
	case "anyOf":
		return c.count(rule, v, depth) > 0
	case "oneOf":
		return c.count(rule, v, depth) == 1
	case "not":
		return !c.holds(rule, v, depth+1) && !c.lost
	}
	switch v.Kind() {
	case scan.Object:
		return c.object(s, rule, v, depth)
	case scan.Array:
		return c.array(s, rule, v, depth)
	case scan.String:
		return c.text(rule, v)
	case scan.Number:
		return c.number(rule, v)
	default:
		return true
	}
}

// count returns how many of some schemas a value fits.
func (c *checker) count(schemas, v scan.Value, depth int) (n int) {
	for each := range schemas.All() {
		if c.holds(each, v, depth+1) {
			n++
		}
	}
	return n
}

// find follows a reference within the schema: a JSON Pointer (RFC 6901).
func (c *checker) find(ref string) (scan.Value, bool) {
	rest, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return scan.Value{}, false
	}
	at := c.root
	for token := range strings.SplitSeq(strings.TrimPrefix(rest, "/"), "/") {
		if rest == "" {
			break
		}
		at = at.Get(strings.NewReplacer("~1", "/", "~0", "~").Replace(token))
	}
	return at, at.Exists()
}

func is(kind string, v scan.Value) bool {
	if kind == "integer" {
		r, ok := rational(v)
		return ok && r.IsInt()
	}
	return v.Exists() && v.Kind().String() == kind
}

func (c *checker) object(s, rule, v scan.Value, depth int) bool {
	switch string(rule.Key()) {
	case "required":
		c.steps += rule.Len() * v.Len() / 8
		for each := range rule.All() {
			if !v.Get(each.Text()).Exists() {
				return false
			}
		}
	case "properties":
		c.steps += rule.Len() * v.Len() / 8
		for each := range rule.All() {
			if member := v.Get(string(each.Key())); member.Exists() && !c.holds(each, member, depth+1) {
				return false
			}
		}
	case "patternProperties":
		for each := range rule.All() {
			for member := range v.All() {
				if c.matches(string(each.Key()), string(member.Key())) && !c.holds(each, member, depth+1) {
					return false
				}
			}
		}
	case "additionalProperties":
		c.steps += s.Get("properties").Len() * v.Len() / 8
		for member := range v.All() {
			if !c.named(s, string(member.Key())) && !c.holds(rule, member, depth+1) {
				return false
			}
		}
	case "minProperties":
		return c.bound(rule, v.Len()) >= 0
	case "maxProperties":
		return c.bound(rule, v.Len()) <= 0
	}
	return true
}

// named reports whether a schema speaks of a member by its name.
func (c *checker) named(s scan.Value, key string) bool {
	if s.Get("properties").Get(key).Exists() {
		return true
	}
	for each := range s.Get("patternProperties").All() {
		if c.matches(string(each.Key()), key) {
			return true
		}
	}
	return false
}

func (c *checker) array(s, rule, v scan.Value, depth int) bool {
	switch string(rule.Key()) {
	case "items":
		i, first := 0, s.Get("prefixItems").Len()
		for each := range v.All() {
			if i++; i > first && !c.holds(rule, each, depth+1) {
				return false
			}
		}
	case "prefixItems":
		i := 0
		for each := range v.All() {
			j := 0
			for want := range rule.All() {
				if j == i && !c.holds(want, each, depth+1) {
					return false
				}
				j++
			}
			i++
		}
	case "contains":
		for each := range v.All() {
			if c.holds(rule, each, depth+1) {
				return true
			}
		}
		return false
	case "minItems":
		return c.bound(rule, v.Len()) >= 0
	case "maxItems":
		return c.bound(rule, v.Len()) <= 0
	case "uniqueItems":
		if unique, _ := rule.Bool(); !unique {
			return true
		}
		var before []scan.Value
		for each := range v.All() {
			for _, other := range before {
				if c.equal(each, other) {
					return false
				}
			}
			before = append(before, each)
		}
	case "minContains", "maxContains":
		return c.lose()
	}
	return true
}

func (c *checker) text(rule, v scan.Value) bool {
	switch string(rule.Key()) {
	case "minLength":
		return c.bound(rule, utf8.RuneCount(v.Bytes())) >= 0
	case "maxLength":
		return c.bound(rule, utf8.RuneCount(v.Bytes())) <= 0
	case "pattern":
		return c.matches(rule.Text(), v.Text())
	}
	return true
}

func (c *checker) number(rule, v scan.Value) bool {
	key := string(rule.Key())
	switch key {
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf":
	default:
		return true
	}
	is, ok := rational(v)
	want, also := rational(rule)
	if !ok || !also {
		return c.lose()
	}
	switch order := is.Cmp(want); key {
	case "minimum":
		return order >= 0
	case "maximum":
		return order <= 0
	case "exclusiveMinimum":
		return order > 0
	case "exclusiveMaximum":
		return order < 0
	}
	return want.Sign() != 0 && is.Quo(is, want).IsInt()
}

// bound compares a count with the number that a rule gives.
func (c *checker) bound(rule scan.Value, n int) int {
	want, ok := rational(rule)
	if !ok {
		c.lost = true
		return 0
	}
	return new(big.Rat).SetInt64(int64(n)).Cmp(want)
}

// matches reports whether a text has what a regular expression describes, in the
// syntax that both ECMA 262 and RE2 know.
func (c *checker) matches(pattern, text string) bool {
	if c.regex++; c.regex > maxRegex || len(pattern) > maxPattern {
		return c.lose()
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return c.lose()
	}
	return re.MatchString(text)
}

// maxDigits bounds the numbers that are read exactly: an exponent makes of a few
// characters more digits than there is room for.
const maxDigits = 64

// rational returns a number as it is.
func rational(v scan.Value) (*big.Rat, bool) {
	raw := string(v.Raw())
	if v.Kind() != scan.Number || len(raw) > maxDigits {
		return nil, false
	}
	if at := strings.IndexAny(raw, "eE"); at >= 0 && len(strings.TrimLeft(raw[at+1:], "+-0")) > 3 {
		return nil, false
	}
	return new(big.Rat).SetString(raw)
}

// equal reports whether two values are the same, whatever the order of members.
func (c *checker) equal(a, b scan.Value) bool {
	if c.steps++; c.steps > maxSteps {
		return c.lose()
	}
	if a.Kind() != b.Kind() || a.Len() != b.Len() {
		return false
	}
	switch a.Kind() {
	case scan.String:
		return a.Is(b.Text())
	case scan.Number:
		x, ok := rational(a)
		y, also := rational(b)
		if !ok || !also {
			return string(a.Raw()) == string(b.Raw())
		}
		return x.Cmp(y) == 0
	case scan.Object:
		for member := range a.All() {
			if other := b.Get(string(member.Key())); !other.Exists() || !c.equal(member, other) {
				return false
			}
		}
		return true
	case scan.Array:
		var others []scan.Value
		for each := range b.All() {
			others = append(others, each)
		}
		i := 0
		for each := range a.All() {
			if !c.equal(each, others[i]) {
				return false
			}
			i++
		}
		return true
	default:
		return string(a.Raw()) == string(b.Raw())
	}
}

// Equal reports whether two values are the same, whatever the order of members and
// however numbers are written.
func Equal(a, b scan.Value) bool {
	var c checker
	return c.equal(a, b) && !c.lost
}
