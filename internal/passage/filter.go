package passage

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Kind is the type of a Value.
type Kind uint8

// The kinds of values.
const (
	String Kind = iota
	Number
	Bool
)

// Value is what an attribute may be: a text, a number or a truth value.
type Value struct {
	Kind   Kind
	Text   string
	Number float64
	Bool   bool
}

// Text, Num and Truth return values.
func Text(s string) Value { return Value{Kind: String, Text: s} }
func Num(n float64) Value { return Value{Kind: Number, Number: n} }
func Truth(b bool) Value  { return Value{Kind: Bool, Bool: b} }
func (v Value) String() string {
	switch v.Kind {
	case Number:
		return strconv.FormatFloat(v.Number, 'g', -1, 64)
	case Bool:
		return strconv.FormatBool(v.Bool)
	default:
		return v.Text
	}
}

// Compare orders values of one kind: texts by their bytes, false before true. Values
// of two kinds have no order: comparable is false.
func (v Value) Compare(w Value) (order int, comparable bool) {
	if v.Kind != w.Kind {
		return 0, false
	}
	switch v.Kind {
	case Number:
		return cmp.Compare(v.Number, w.Number), true
	case Bool:
		switch {
		case v.Bool == w.Bool:
			return 0, true
		case w.Bool:
			return -1, true
		}
		return 1, true
	default:
		return strings.Compare(v.Text, w.Text), true
	}
}

// MarshalJSON writes the value alone.
func (v Value) MarshalJSON() ([]byte, error) {
	switch v.Kind {
	case Number:
		return json.Marshal(v.Number)
	case Bool:
		return json.Marshal(v.Bool)
	default:
		return json.Marshal(v.Text)
	}
}

// UnmarshalJSON reads a text, a number or a truth value.
func (v *Value) UnmarshalJSON(b []byte) error {
	var x any
	if err := json.Unmarshal(b, &x); err != nil {
		return err
	}
	switch x := x.(type) {
	case string:
		*v = Text(x)
	case float64:
		*v = Num(x)
	case bool:
		*v = Truth(x)
	default:
		return fmt.Errorf("an attribute is a text, a number or a truth value")
	}
	return nil
}

// Attributes are what a document is chosen by beside its text.
type Attributes map[string]Value

// Bounds of Attributes: OpenAI's vector stores have the same for files.
const (
	MaxAttributes     = 16
	maxAttributeName  = 64  // characters
	maxAttributeValue = 512 // of a text
)

// Check says what is wrong with attributes, in words for whoever gave them.
func (a Attributes) Check() error {
	if len(a) > MaxAttributes {
		return fmt.Errorf("a document has at most %d attributes", MaxAttributes)
	}
	for name, v := range a {
		switch {
		case name == "" || len([]rune(name)) > maxAttributeName:
			return fmt.Errorf("the name of an attribute has 1 to %d characters", maxAttributeName)
		case v.Kind == String && len([]rune(v.Text)) > maxAttributeValue:
			return fmt.Errorf("the text of an attribute has at most %d characters", maxAttributeValue)
		case v.Kind == Number && (math.IsNaN(v.Number) || math.IsInf(v.Number, 0)):
			return fmt.Errorf("the number of an attribute is finite")
		}
	}
	return nil
}

// Op is how a Filter compares.
type Op uint8

// The operations of filters, by the names of OpenAI's vector stores.
const (
	And Op = iota
	Or
	Eq
	Ne
	Gt
	Gte
	Lt
	Lte
	In
	Nin
	ops
)

var opNames = [ops]string{"and", "or", "eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"}

func (o Op) String() string { return opNames[min(o, ops-1)] }

// Filter chooses documents by their attributes. A document without the attribute, or
// with one of another kind, is chosen by ne and nin alone.
type Filter struct {
	Op     Op
	Of     []Filter // of And and Or; And of nothing is true, Or of nothing is false
	Name   string   // of the attribute
	Values []Value  // one, but for In and Nin
}

// Match reports whether a document of these attributes is chosen.
func (f *Filter) Match(a Attributes) bool {
	if f == nil {
		return true
	}
	switch f.Op {
	case And:
		return !slices.ContainsFunc(f.Of, func(g Filter) bool { return !g.Match(a) })
	case Or:
		return slices.ContainsFunc(f.Of, func(g Filter) bool { return g.Match(a) })
	default:
	}
	v, has := a[f.Name]
	return f.MatchValue(v, has)
}

// MatchValue reports whether a comparison holds of the value of its attribute; has is
// whether the document has one.
func (f *Filter) MatchValue(v Value, has bool) bool {
	in := has && slices.Contains(f.Values, v)
	switch f.Op {
	case Eq, In:
		return in
	case Ne, Nin:
		return !in
	default:
	}
	if !has || len(f.Values) == 0 {
		return false
	}
	order, ok := v.Compare(f.Values[0])
	if !ok {
		return false
	}
	switch f.Op {
	case Gt:
		return order > 0
	case Gte:
		return order >= 0
	case Lt:
		return order < 0
	case Lte:
		return order <= 0
	default:
		return false
	}
}

// Bounds of a filter that somebody sends.
const (
	maxFilters      = 256
	maxFilterDepth  = 8
	maxFilterValues = 256
)

// ParseFilter reads a filter as OpenAI's vector stores have it:
// {"type":"eq","key":"lang","value":"en"} and {"type":"and","filters":[...]}, with
// the operations eq, ne, gt, gte, lt, lte, in and nin. Its errors are in words for
// whoever sent it.
func ParseFilter(b []byte) (*Filter, error) {
	n := 0
	f, err := parseFilter(b, 1, &n)
	if err != nil {
		return nil, err
	}
	return &f, nil
}

func parseFilter(b []byte, depth int, n *int) (f Filter, err error) {
	if *n++; *n > maxFilters || depth > maxFilterDepth {
		return f, fmt.Errorf("a filter has at most %d parts, up to %d inside each other", maxFilters, maxFilterDepth)
	}
	var w struct {
		Type    string            `json:"type"`
		Key     string            `json:"key"`
		Value   json.RawMessage   `json:"value"`
		Filters []json.RawMessage `json:"filters"`
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return f, fmt.Errorf(`a filter is of the form {"type": "eq", "key": "lang", "value": "en"} or {"type": "and", "filters": [...]}`)
	}
	op := slices.Index(opNames[:], w.Type)
	if op < 0 {
		return f, fmt.Errorf("the type of a filter is one of %s", strings.Join(opNames[:], ", "))
	}
	f.Op = Op(op)
	if f.Op == And || f.Op == Or {
		if len(w.Filters) == 0 {
			return f, fmt.Errorf("a filter of type %s holds filters", w.Type)
		}
		for _, each := range w.Filters {
			g, err := parseFilter(each, depth+1, n)
			if err != nil {
				return f, err
			}
			f.Of = append(f.Of, g)
		}
		return f, nil
	}
	if w.Key == "" {
		return f, fmt.Errorf("a filter of type %s names the attribute as its key", w.Type)
	}
	f.Name = w.Key
	if f.Op == In || f.Op == Nin {
		if err := json.Unmarshal(w.Value, &f.Values); err != nil || len(f.Values) > maxFilterValues {
			return f, fmt.Errorf("the value of a filter of type %s is a list of up to %d texts, numbers or truth values", w.Type, maxFilterValues)
		}
		return f, nil
	}
	f.Values = make([]Value, 1)
	if err := json.Unmarshal(w.Value, &f.Values[0]); err != nil {
		return f, fmt.Errorf("the value of a filter of type %s is a text, a number or a truth value", w.Type)
	}
	return f, nil
}
