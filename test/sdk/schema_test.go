package sdk

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// shapes reads the vendors' documents out of their clients for Go: OpenAI's and
// Anthropic's are made from the OpenAPI documents, with what is required, what is
// constant and what may be said in their types and comments; Google's has the same
// names and types as its discovery document. So the document is the one of the
// version in go.mod, and nothing is copied.
type shapes struct {
	mu    sync.Mutex
	words map[string]map[string][]string // of a package: what may be said in TYPE.FIELD
	// Members as TYPE.member, with the reason: those that no document knows and that
	// are written all the same, and those that must be there and are not.
	beyond, absent map[string]string
	seen           map[string]bool         // those that were met
	wider          map[string]reflect.Type // what a member may be as well
}

// check tells all that is wrong with a JSON text for a type of a vendor's client.
func (s *shapes) check(text []byte, as reflect.Type) (wrong []string) {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return []string{err.Error()}
	}
	s.value("", v, as, nil, &wrong)
	return wrong
}

var (
	moment = reflect.TypeFor[time.Time]()
	text   = reflect.TypeFor[string]()
	raw    = reflect.TypeFor[json.RawMessage]()
)

func (s *shapes) value(at string, v any, as reflect.Type, words []string, wrong *[]string) {
	say := func(format string, more ...any) { *wrong = append(*wrong, at+": "+fmt.Sprintf(format, more...)) }
	for as.Kind() == reflect.Pointer {
		as = as.Elem()
	}
	if strings.HasSuffix(as.PkgPath(), "/packages/param") && strings.HasPrefix(as.Name(), "Opt[") {
		f, _ := as.FieldByName("Value")
		as = f.Type
	}
	switch {
	case as == raw || as.Kind() == reflect.Interface:
		return
	case v == nil: // whether it may be null is not told of members that must be there
		if as.Kind() == reflect.Slice {
			say("null in the place of a list")
		}
		return
	case as == moment:
		if _, err := time.Parse(time.RFC3339, fmt.Sprint(v)); err != nil {
			say("%v is no moment", v)
		}
		return
	}
	switch as.Kind() {
	case reflect.String:
		got, ok := v.(string)
		if !ok {
			say("%v is no string", v)
		} else if len(words) > 0 && !slices.Contains(words, got) {
			say("%q is none of %q", got, words)
		}
	case reflect.Bool:
		if _, ok := v.(bool); !ok {
			say("%v is no boolean", v)
		}
	case reflect.Int, reflect.Int32, reflect.Int64:
		if n, ok := v.(float64); !ok || n != math.Trunc(n) {
			say("%v is no integer", v)
		}
	case reflect.Float32, reflect.Float64:
		if _, ok := v.(float64); !ok {
			say("%v is no number", v)
		}
	case reflect.Slice:
		if as.Elem().Kind() == reflect.Uint8 { // base64
			s.value(at, v, text, nil, wrong)
			return
		}
		list, ok := v.([]any)
		if !ok {
			say("%v is no list", v)
		}
		for i, e := range list {
			s.value(fmt.Sprintf("%s[%d]", at, i), e, as.Elem(), words, wrong)
		}
	case reflect.Map:
		members, ok := v.(map[string]any)
		if !ok {
			say("%v is no object", v)
		}
		for name, e := range members {
			s.value(at+"."+name, e, as.Elem(), nil, wrong)
		}
	case reflect.Struct:
		if variants := s.variants(as); variants != nil {
			s.oneOf(at, v, as, variants, wrong)
			return
		}
		members, ok := v.(map[string]any)
		if !ok {
			say("%v is no object", v)
			return
		}
		s.object(at, members, as, wrong)
	default:
		say("nothing is known of %v", as)
	}
}

// object checks the members of an object.
func (s *shapes) object(at string, members map[string]any, as reflect.Type, wrong *[]string) {
	known := map[string]bool{}
	for _, f := range reflect.VisibleFields(as) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || f.Anonymous || name == "" || name == "-" {
			continue
		}
		known[name] = true
		v, there := members[name]
		only, constant := f.Tag.Lookup("default")
		switch {
		case !there && (constant || strings.Contains(f.Tag.Get("api"), "required")):
			if !s.lenient(s.absent, as, name) {
				*wrong = append(*wrong, at+": "+name+" is missing")
			}
		case !there:
		case constant:
			if fmt.Sprint(v) != only {
				*wrong = append(*wrong, fmt.Sprintf("%s.%s: %v is not %s", at, name, v, only))
			}
		default:
			owner := as // of a member that comes with an embedded type
			for _, i := range f.Index[:len(f.Index)-1] {
				owner = owner.Field(i).Type
			}
			if also := s.wider[owner.Name()+"."+name]; also != nil {
				var w []string
				if s.value(at+"."+name, v, also, nil, &w); len(w) == 0 {
					continue
				}
			}
			s.value(at+"."+name, v, f.Type, s.may(owner, f.Name), wrong)
		}
	}
	if extra, ok := as.FieldByName("ExtraFields"); ok && extra.Type.Kind() == reflect.Map {
		return // it is open
	}
	for name := range members {
		if !known[name] && !s.lenient(s.beyond, as, name) {
			*wrong = append(*wrong, at+": "+as.Name()+"."+name+" is not in the document")
		}
	}
}

// lenient: a member is on a list.
func (s *shapes) lenient(list map[string]string, as reflect.Type, name string) bool {
	place := as.Name() + "." + name
	if list[place] == "" {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[place] = true
	return true
}

// variants are what a union is one of: the results of its As methods, or its members
// whose names begin with Of.
func (*shapes) variants(as reflect.Type) (all []reflect.Type) {
	for m := range as.Methods() {
		if strings.HasPrefix(m.Name, "As") && m.Name != "AsAny" && m.Type.NumIn() == 1 && m.Type.NumOut() == 1 {
			all = append(all, m.Type.Out(0))
		}
	}
	if all != nil {
		return all
	}
	for _, f := range reflect.VisibleFields(as) {
		if strings.HasPrefix(f.Name, "Of") && strings.HasSuffix(f.Tag.Get("json"), "inline") {
			all = append(all, f.Type)
		}
	}
	return all
}

// oneOf checks that a value is one of the variants, and else tells what is wrong with
// the one that it is closest to: of the same type, and then with the least wrong.
func (s *shapes) oneOf(at string, v any, as reflect.Type, variants []reflect.Type, wrong *[]string) {
	best, closest := []string{"is no " + as.Name()}, 1<<30
	for _, variant := range variants {
		var w []string
		s.value(at, v, variant, nil, &w)
		if len(w) == 0 {
			return
		}
		distance := len(w)
		if slices.ContainsFunc(w, func(line string) bool {
			return strings.HasPrefix(line, at+".type: ") || strings.HasPrefix(line, at+".role: ") || strings.HasPrefix(line, at+": ") && strings.Contains(line, " is no ")
		}) {
			distance += 1 << 20
		}
		if distance < closest {
			best, closest = w, distance
		}
	}
	*wrong = append(*wrong, best...)
}

var anyOf = regexp.MustCompile(`(?s)Any of ("[^.]*")\.`)

// may returns what the document allows in a member, nil for whatever it likes.
func (s *shapes) may(as reflect.Type, field string) []string {
	pkg := as.PkgPath()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.words[pkg] == nil {
		s.words[pkg] = map[string][]string{}
		out, err := exec.Command("go", "list", "-f", "{{.Dir}}", pkg).Output()
		if err != nil {
			panic(fmt.Sprintf("%s: %v", pkg, err))
		}
		files := must(filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "*.go")))
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			tree := must(parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution))
			ast.Inspect(tree, func(n ast.Node) bool {
				t, ok := n.(*ast.TypeSpec)
				if !ok {
					return true
				}
				body, ok := t.Type.(*ast.StructType)
				if !ok {
					return false
				}
				for _, f := range body.Fields.List {
					if m := anyOf.FindStringSubmatch(strings.Join(strings.Fields(f.Doc.Text()), " ")); m != nil {
						for _, name := range f.Names {
							s.words[pkg][t.Name.Name+"."+name.Name] = quoted(m[1])
						}
					}
				}
				return false
			})
		}
	}
	return s.words[pkg][as.Name()+"."+field]
}

// quoted takes the words out of a list of them.
func quoted(list string) (all []string) {
	for _, word := range strings.Split(list, ", ") {
		all = append(all, strings.Trim(word, `"`))
	}
	return all
}

// The checker finds what is wrong with an answer, or it judges nothing.
func TestShapes(t *testing.T) {
	t.Parallel()
	s := newShapes()
	good := func(body string, as reflect.Type) {
		t.Helper()
		if wrong := s.check([]byte(body), as); len(wrong) > 0 {
			t.Errorf("%q are wrong with %s", wrong, body)
		}
	}
	bad := func(body string, as reflect.Type, want string) {
		t.Helper()
		if wrong := s.check([]byte(body), as); !slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, want) }) {
			t.Errorf("%q are wrong with %s, and not %q", wrong, body, want)
		}
	}
	plain := strings.Replace(chatAnswer, `,"vendor_extra":{"a":[1,2.50]}`, "", 1)
	good(plain, chatType)
	bad(chatTools, chatType, "refusal is missing")
	bad(chatAnswer, chatType, "vendor_extra is not in the document")
	bad(strings.Replace(plain, `"created":1790000000,`, "", 1), chatType, "created is missing")
	bad(strings.Replace(plain, "chat.completion", "completion", 1), chatType, "completion is not chat.completion")
	bad(strings.Replace(plain, `"finish_reason":"stop"`, `"finish_reason":"done"`, 1), chatType, `"done" is none of`)
	bad(strings.Replace(chatTools, `"type":"function"`, `"type":"func"`, 1), chatType, "func")
	bad(strings.Replace(chatTools, `"id":"call_1",`, "", 1), chatType, "id is missing")
	bad(strings.Replace(messagesTools, `"signature":"c2ln"`, `"signature":7`, 1), messageType, "7 is no string")
	bad(strings.Replace(geminiAnswer, `"promptTokenCount":9`, `"promptTokenCount":"9"`, 1), geminiType, "9 is no integer")
	good(`{"error":{"message":"m","type":"t","param":null,"code":null}}`, openaiErrorType)
	bad(`{"error":{"message":"m","type":"t"}}`, openaiErrorType, "param is missing")
	good(`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}`, chatRequestType)
	bad(`{"model":"m","messages":[{"role":"user","content":[{"type":"text","txt":"hi"}]}]}`, chatRequestType, "text is missing")
	bad(`{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":1.5}`, chatRequestType, "1.5 is no integer")
	bad(`{"model":"m","messages":[{"role":"user","content":"hi"}]}`, messageRequestType, "max_tokens is missing")
}
