package config

import (
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"headworks/internal/catalog"
	"headworks/internal/tenant"
)

// span is a place in a file: line and column count from 1, columns and width count
// characters.
type span struct{ line, column, width int }

// origin is where a value of a Config comes from.
type origin struct {
	key   span   // its name, or the start of a list's entry
	value span   // what stands there
	raw   string // the text before its references were resolved, if it has any
	safe  string // raw without the texts of defaults
	many  bool   // a section or a list
}

// field is what the tags of a struct's field say.
type field struct {
	name     string
	typ      reflect.Type
	index    int
	required bool
	enum     []string
	min, max float64
	ranged   bool
}

func fieldsOf(t reflect.Type) []field {
	var all []field
	for i := range t.NumField() {
		sf := t.Field(i)
		name, options, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if !sf.IsExported() || name == "-" {
			continue
		}
		f := field{name: name, typ: sf.Type, index: i, required: options != "omitzero"}
		if e := sf.Tag.Get("enum"); e != "" {
			if f.enum = strings.Split(e, ","); e == "kinds" {
				f.enum = catalog.Names()
			}
		}
		if low, ok := sf.Tag.Lookup("min"); ok {
			f.ranged = true
			f.min, _ = strconv.ParseFloat(low, 64)
			f.max, _ = strconv.ParseFloat(sf.Tag.Get("max"), 64)
		}
		all = append(all, f)
	}
	return all
}

// fill sets the defaults of a section and of the sections in it.
func fill(section any) {
	v := reflect.ValueOf(section).Elem()
	for i := range v.NumField() {
		if _, scalar := formOf(v.Field(i).Type()); !scalar && v.Field(i).Kind() == reflect.Struct && v.Type().Field(i).IsExported() {
			fill(v.Field(i).Addr().Interface())
		}
	}
	if d, ok := section.(interface{ defaults() }); ok {
		d.defaults()
	}
}

// reader fills a Config from a tree and notes what is wrong with it.
type reader struct {
	report  *Report
	from    Lookup
	cfg     *Config
	anchors map[string]ast.Node
	given   map[string]bool // paths that the file has a value for, accepted or not
	left    int             // nodes that may still be read
}

func (r *reader) root(body ast.Node) {
	ast.Walk(gather(r.anchors), body)
	r.read(body, reflect.ValueOf(r.cfg).Elem(), field{}, "", span{line: 1, column: 1, width: 1})
	r.check()
}

// gather collects the anchors of a tree.
type gather map[string]ast.Node

func (g gather) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok && a.Name != nil {
		g[a.Name.GetToken().Value] = a.Value
	}
	return g
}

// problem notes what is wrong with the value at a path.
func (r *reader) problem(at span, path string, code Code, words string) {
	r.report.add(at, path, code, words, false)
}

// follow returns what a node stands for: the value of an anchor, the target of an
// alias. Nil, if it cannot be read.
func (r *reader) follow(n ast.Node, path string, at span) ast.Node {
	for range maxDepth {
		if r.left--; r.left < 0 {
			if r.left == -1 {
				r.problem(at, path, Syntax, "more values than any configuration has; are aliases nested?")
			}
			return nil
		}
		switch v := n.(type) {
		case *ast.AnchorNode:
			n = v.Value
		case *ast.AliasNode:
			target, ok := r.anchors[v.Value.GetToken().Value]
			if !ok {
				r.problem(r.spanOf(v), path, Syntax, "an alias of nothing: no & in this file has that name; a text that starts with * needs quotes")
				return nil
			}
			n = target
		case *ast.TagNode:
			r.problem(r.spanOf(v), path, Syntax, "a tag; configurations have none, and a text that starts with ! needs quotes")
			return nil
		default:
			return n
		}
	}
	r.problem(at, path, Syntax, "an alias that leads to itself")
	return nil
}

// read fills v with what stands at n. The place at stands for values that have none
// of their own.
func (r *reader) read(n ast.Node, v reflect.Value, f field, path string, at span) {
	place := r.spanOf(n)
	if n = r.follow(n, path, at); n == nil {
		return
	}
	if t, ok := n.(*ast.NullNode); ok && (t.Token == nil || t.Token.Type == token.ImplicitNullType) {
		place = at
	}
	o := origin{key: at, value: place}
	form, scalar := formOf(v.Type())
	if scalar {
		r.scalar(n, v, f, form, path, o)
		return
	}
	o.many = true
	r.cfg.origins[path] = o
	if n.Type() == ast.NullType {
		return // an empty section: every entry may be commented out
	}
	switch v.Kind() {
	case reflect.Pointer:
		if _, scalar := formOf(v.Type().Elem()); !scalar {
			to := reflect.New(v.Type().Elem())
			fill(to.Interface())
			v.Set(to)
			r.read(n, to.Elem(), f, path, at)
			return
		}
		to := reflect.New(v.Type().Elem())
		r.read(n, to.Elem(), f, path, at)
		v.Set(to)
	case reflect.Struct:
		r.section(n, v, path, o)
	case reflect.Map:
		r.entries(n, v, path, o)
	case reflect.Slice:
		r.list(n, v, f, path, o)
	default:
		panic("config: a field of type " + v.Type().String())
	}
}

// section reads the fields of a struct.
func (r *reader) section(n ast.Node, v reflect.Value, path string, o origin) {
	pairs, ok := r.pairs(n, path, o)
	if !ok {
		return
	}
	fields := fieldsOf(v.Type())
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	for _, p := range pairs {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == p.name })
		if i < 0 {
			r.problem(p.at, join(path, name(p.name)), UnknownField, "unknown field"+quoted(p.name)+meant(p.name, names, "known here:"))
			continue
		}
		f := fields[i]
		if p.value.Type() != ast.NullType {
			r.given[join(path, f.name)] = true
		}
		r.read(p.value, v.Field(f.index), f, join(path, f.name), p.at)
	}
	for _, f := range fields {
		if f.required && !r.given[join(path, f.name)] {
			r.missing(o, path, f.name)
		}
	}
}

func (r *reader) missing(o origin, path, field string) {
	r.problem(o.key, join(path, field), Missing, strings.TrimSpace(path+" has no "+field)+", which is required")
}

// A name in the file is one word. A model may be called whatever an engine calls it,
// a path with spaces too, as long as it prints.
var (
	entryName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$`)
	modelName = regexp.MustCompile(`^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]{0,254}[^\s\x00-\x1f\x7f])?$`)
)

// naming returns what names in a map of sections look like, and says it in words.
func naming(section reflect.Type) (pattern *regexp.Regexp, words string) {
	if section == reflect.TypeFor[Model]() {
		return modelName, "a model's name prints, does not start or end with a space, and has 256 characters at most"
	}
	return entryName, "a name here is made of letters, digits and . _ : / @ + -, starts with a letter or digit, and has 128 characters at most"
}

// entries reads the named entries of a map.
func (r *reader) entries(n ast.Node, v reflect.Value, path string, o origin) {
	pairs, ok := r.pairs(n, path, o)
	if !ok {
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(pairs)))
	pattern, words := naming(v.Type().Elem())
	for _, p := range pairs {
		if !pattern.MatchString(p.name) {
			r.problem(p.at, path, BadValue, words)
			continue
		}
		entry := reflect.New(v.Type().Elem())
		section := entry.Elem().Kind() == reflect.Struct
		if section {
			fill(entry.Interface())
		}
		at := join(path, p.name)
		if p.value.Type() == ast.NullType && section {
			r.cfg.origins[at] = origin{key: p.at, value: p.at, many: true}
			r.section(&ast.MappingNode{}, entry.Elem(), at, origin{key: p.at, value: p.at})
		} else {
			r.read(p.value, entry.Elem(), field{}, at, p.at)
		}
		v.SetMapIndex(reflect.ValueOf(p.name), entry.Elem())
	}
}

// list reads the entries of a slice.
func (r *reader) list(n ast.Node, v reflect.Value, f field, path string, o origin) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		r.problem(o.value, path, WrongType, path+" is "+describe(n)+"; it must be a list: [first, second], or a line with - for each")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values)))
	for i, n := range s.Values {
		if v.Type().Elem().Kind() == reflect.Struct {
			fill(v.Index(i).Addr().Interface())
		}
		at := path + "[" + strconv.Itoa(i) + "]"
		place := r.spanOf(n)
		if n.Type() == ast.NullType {
			r.problem(place, at, WrongType, at+" is empty")
			continue
		}
		r.read(n, v.Index(i), field{name: f.name, enum: f.enum}, at, place)
	}
}

// scalar reads one value.
func (r *reader) scalar(n ast.Node, v reflect.Value, f field, form form, path string, o origin) {
	text, number := "", false
	switch s := n.(type) {
	case *ast.StringNode:
		text = unshield(s.Value)
	case *ast.LiteralNode:
		text = unshield(s.Value.Value)
	case *ast.IntegerNode, *ast.FloatNode:
		text, number = s.GetToken().Value, true
	default:
		r.problem(o.value, path, WrongType, path+" is "+describe(n)+"; it must be "+form.want)
		return
	}
	secret := v.Type() == reflect.TypeFor[tenant.Secret]()
	show := func() string {
		switch {
		case o.safe != "":
			return "the value of " + o.safe
		case secret:
			return "the text"
		default:
			return repeat(text)
		}
	}
	if !number {
		e, why := expand(text, r.from)
		if why != "" {
			r.problem(o.value, path, Unresolved, why)
			return
		}
		if e.raw == "" && e.text == "" {
			code := BadValue
			if secret {
				code = BadSecret
			}
			r.problem(o.value, path, code, path+" is empty; leave it out, or give it a value")
			return
		}
		text, o.raw, o.safe = e.text, e.raw, e.safe
		if text == "" {
			if f.required {
				r.problem(o.value, path, Missing, path+" is required, and "+o.safe+" comes out empty")
			}
			return // what a reference leaves empty has its default
		}
	}
	switch plain := o.raw == ""; {
	case number && !form.number && !form.either:
		hint := "; put it in quotes if it is meant so"
		if _, isText := v.Interface().(string); !isText && !secret {
			hint = "; it must be " + form.want
		}
		r.problem(o.value, path, WrongType, path+" is a number"+hint)
		return
	case !number && form.number && plain:
		words := path + " is a text; it must be " + form.want
		if _, ok := form.parse(text); ok {
			words += ", without quotes"
		}
		r.problem(o.value, path, WrongType, words)
		return
	}
	got, ok := form.parse(text)
	switch size, sized := bounded(got); {
	case len(f.enum) > 0 && !slices.Contains(f.enum, text):
		if words, known := notYet(path, f.name, text); known {
			r.problem(o.value, path, NotYet, words)
			return
		}
		r.problem(o.value, path, BadValue, show()+" is no "+f.name+meant(text, f.enum, "it is one of"))
		return
	case !ok:
		r.problem(o.value, path, BadValue, show()+" is not "+form.want)
		return
	case sized && f.ranged && (size < f.min || size > f.max):
		r.problem(o.value, path, BadValue, path+" is between "+strconv.FormatFloat(f.min, 'f', -1, 64)+" and "+strconv.FormatFloat(f.max, 'f', -1, 64))
		return
	}
	r.cfg.origins[path] = o
	v.Set(reflect.ValueOf(got).Convert(v.Type()))
}

// pair is one line of a section.
type pair struct {
	name  string
	at    span
	value ast.Node
}

// pairs returns the lines of a section, those that are merged into it (<<) last and
// without the ones it has itself.
func (r *reader) pairs(n ast.Node, path string, o origin) ([]pair, bool) {
	lines, ok := mapping(n)
	if !ok {
		what := path
		if what == "" {
			what = "the file"
		}
		r.problem(o.value, path, WrongType, what+" is "+describe(n)+"; it must be a section with `name: value` lines")
		return nil, false
	}
	var all []pair
	first := map[string]span{}
	for _, l := range lines {
		if l.Key.IsMergeKey() {
			continue
		}
		k, ok := l.Key.(ast.Node)
		if _, complex := k.(*ast.MappingKeyNode); !ok || complex {
			r.problem(r.spanOf(l.Key), path, Syntax, "a name after ?; write `name: value`")
			continue
		}
		p := pair{name: unshield(l.Key.GetToken().Value), at: r.spanOf(l.Key), value: l.Value}
		if was, twice := first[p.name]; twice {
			r.problem(p.at, join(path, name(p.name)), Duplicate, "the name"+quoted(p.name)+" stands twice, first in line "+strconv.Itoa(was.line))
			continue
		}
		first[p.name] = p.at
		all = append(all, p)
	}
	for _, l := range lines {
		if l.Key.IsMergeKey() {
			r.merge(l.Value, path, r.spanOf(l.Key), first, &all, 0)
		}
	}
	return all, true
}

// merge adds the lines of what a << names.
func (r *reader) merge(n ast.Node, path string, at span, first map[string]span, all *[]pair, depth int) {
	if depth > maxMerge {
		r.problem(at, path, Syntax, "a merge of merges that leads to itself, or too deep")
		return
	}
	if n = r.follow(n, path, at); n == nil {
		return
	}
	if s, ok := n.(*ast.SequenceNode); ok {
		for _, n := range s.Values {
			r.merge(n, path, at, first, all, depth+1)
		}
		return
	}
	lines, ok := mapping(n)
	if !ok {
		r.problem(at, path, WrongType, "<< takes an alias of a section")
		return
	}
	for _, l := range lines {
		if r.left--; r.left < 0 {
			return
		}
		if l.Key.IsMergeKey() {
			r.merge(l.Value, path, at, first, all, depth+1)
			continue
		}
		p := pair{name: unshield(l.Key.GetToken().Value), at: r.spanOf(l.Key), value: l.Value}
		if _, has := first[p.name]; !has {
			first[p.name] = p.at
			*all = append(*all, p)
		}
	}
}

func mapping(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	default:
		return nil, false
	}
}

func describe(n ast.Node) string {
	switch n.Type() {
	case ast.StringType, ast.LiteralType:
		return "a text"
	case ast.IntegerType, ast.FloatType, ast.InfinityType, ast.NanType:
		return "a number"
	case ast.BoolType:
		return "true or false"
	case ast.NullType:
		return "empty"
	case ast.SequenceType:
		return "a list"
	case ast.MappingType, ast.MappingValueType:
		return "a section"
	default:
		return "something else"
	}
}

// spanOf returns where a node starts, and how wide it is if it is one word.
func (r *reader) spanOf(n ast.Node) span {
	switch v := n.(type) {
	case *ast.MappingNode:
		if !v.IsFlowStyle && len(v.Values) > 0 {
			return r.spanOf(v.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return r.spanOf(v.Key)
	case *ast.AnchorNode:
		if v.Value != nil {
			return r.spanOf(v.Value)
		}
	case *ast.AliasNode:
		s := spanOfToken(v.Start)
		s.width += len([]rune(v.Value.GetToken().Value))
		return s
	}
	if n == nil {
		return span{}
	}
	return spanOfToken(n.GetToken())
}

func spanOfToken(t *token.Token) span {
	if t == nil || t.Position == nil {
		return span{}
	}
	text, _, _ := strings.Cut(strings.TrimSpace(t.Origin), "\n")
	return span{line: t.Position.Line, column: t.Position.Column, width: max(1, len([]rune(strings.TrimRight(text, " \r"))))}
}

// join adds a name to a path: plain where it reads well, in brackets where a dot in
// the name would not.
func join(path, name string) string {
	switch {
	case path == "":
		return name
	case plainName.MatchString(name), strings.ContainsAny(name, "[]"):
		return path + "." + name
	default:
		return path + "[" + name + "]"
	}
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_:/@+-]+$`)

var printable = regexp.MustCompile(`^[A-Za-z0-9_./-]{1,40}$`)

// name returns a name of the file's as far as it may be repeated: one that looks
// like a name and not like a value that lost its colon.
func name(s string) string {
	if printable.MatchString(s) {
		return s
	}
	return "..."
}

func quoted(s string) string {
	if n := name(s); n == s {
		return ` "` + n + `"`
	}
	return ""
}

// repeat quotes a value of the file's in words.
func repeat(s string) string {
	r := []rune(userinfo.ReplaceAllString(s, "//***@"))
	if len(r) > 60 {
		r = append(r[:60:60], '…')
	}
	return strconv.Quote(string(r))
}
