package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"slices"
	"strings"
)

// pkg is a package as go list tells of it, with its files read.
type pkg struct {
	ImportPath, Name, Dir, Doc string
	GoFiles, Imports           []string

	fset  *token.FileSet
	files []*ast.File
	scope *types.Scope
	uses  map[*ast.Ident]types.Object
}

// check returns all that is wrong with a package.
func check(p *pkg) (problems []string) {
	name, _ := place(p.ImportPath)
	say := func(format string, args ...any) {
		problems = append(problems, name+": "+fmt.Sprintf(format, args...))
	}
	if floor(name) < 0 && name != "docs" {
		say("no floor; add it to the table, or find the package it belongs to")
	}
	for element := range strings.SplitSeq(name, "/") {
		if slices.Contains(shapeless, element) {
			say("%q promises nothing; name it after what it is", element)
		}
	}
	switch {
	case p.Doc == "":
		say("no package comment")
	case p.Name != "main" && !strings.HasPrefix(p.Doc, "Package "+p.Name+" "):
		say("its comment does not begin with %q", "Package "+p.Name)
	}
	for _, imp := range p.Imports {
		if problem := checkImport(name, imp); problem != "" {
			say("%s", problem)
		}
	}
	for _, f := range p.files {
		for _, d := range p.deeds(name, f) {
			say("%s (%s)", d.what, p.fset.Position(d.at))
		}
	}
	return problems
}

// impure are the imports with which a decision could do more than decide.
var impure = []string{
	"context", "crypto/rand", "database/sql", "embed", "io", "log", "math/rand", "net", "os",
	"plugin", "runtime", "sync", "syscall", "unsafe",
}

// harmless lie below one of impure and perform nothing.
var harmless = []string{"math/rand/v2", "net/netip", "net/url"}

// checkImport returns what is wrong with an import, or nothing.
func checkImport(name, imp string) string {
	dep, ours := place(imp)
	switch {
	case !ours && pure(name):
		within := func(bad string) bool { return imp == bad || strings.HasPrefix(imp, bad+"/") }
		if !slices.Contains(harmless, imp) && slices.ContainsFunc(impure, within) {
			return "it decides, so it may not import " + imp
		}
		if host, _, _ := strings.Cut(imp, "/"); strings.Contains(host, ".") && libraries[imp] == "" {
			return "it decides, so it imports the standard library alone, or a library that only computes, not " + imp
		}
	case !ours:
		if imp == "net/http" && listed(noHTTP, name) {
			return "it may not know net/http"
		}
	case only[dep] != nil && !slices.Contains(only[dep], name):
		return fmt.Sprintf("only %s may import %s", strings.Join(only[dep], " and "), dep)
	case dep == "docs", strings.HasPrefix(name, dep+"/"):
	case floor(dep) < 0:
		return fmt.Sprintf("it imports %s, which has no floor", dep)
	case floor(dep) >= floor(name):
		return fmt.Sprintf("it lives on floor %d and imports %s on floor %d", floor(name), dep, floor(dep))
	case strings.HasSuffix(dep, "test"):
		return fmt.Sprintf("%s is for tests alone", dep)
	}
	return ""
}

// chain returns the longest chain of packages within the module that starts at a
// package, itself first. The packages stand by import path.
func chain(pkgs map[string]*pkg, importPath string, known map[string][]string) []string {
	if c, ok := known[importPath]; ok {
		return c
	}
	var below []string
	for _, imp := range pkgs[importPath].Imports {
		if pkgs[imp] == nil {
			continue
		}
		if c := chain(pkgs, imp, known); len(c) > len(below) {
			below = c
		}
	}
	name, _ := place(importPath)
	known[importPath] = append([]string{name}, below...)
	return known[importPath]
}

// deed is something that a file does and its package may not.
type deed struct {
	what string
	at   token.Pos
}

var (
	clock   = []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}
	console = []string{"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"}
	seeded  = []string{"ChaCha8", "New", "NewChaCha8", "NewPCG", "NewZipf", "PCG", "Rand", "Source", "Zipf"}
	dialing = map[string][]string{
		"net":        {"Dial", "DialIP", "DialTCP", "DialTimeout", "DialUDP", "DialUnix", "Dialer"},
		"net/http":   {"DefaultClient", "DefaultTransport", "Get", "Head", "Post", "PostForm"},
		"crypto/tls": {"Dial", "DialWithDialer", "Dialer"},
	}
	// needed is the field without which a value of net/http dials on its own.
	needed = map[string]string{"Client": "Transport", "Transport": "DialContext"}
)

// deeds returns what a file does that its package may not.
func (p *pkg) deeds(name string, f *ast.File) (found []deed) {
	say := func(n ast.Node, format string, args ...any) {
		found = append(found, deed{fmt.Sprintf(format, args...), n.Pos()})
	}
	decides, dials := pure(name), slices.Contains(dialers, name)
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				say(d, "init runs without being asked; write a constructor")
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				v, ok := s.(*ast.ValueSpec)
				if !ok || d.Tok != token.VAR {
					continue
				}
				for _, id := range v.Names {
					if id.IsExported() && !strings.HasPrefix(id.Name, "Err") && exported[name+"."+id.Name] == "" {
						say(id, "anyone may change %s; return it from a function", id.Name)
					}
				}
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.InterfaceType:
			if m := p.methods(n); m > mostMethods {
				say(n, "an interface of %d methods, where %d are the most", m, mostMethods)
			}
		case *ast.AssignStmt:
			for _, left := range n.Lhs {
				if v := p.global(left); v != "" {
					say(n, "it changes the package's variable %s; state belongs to a value", v)
				}
			}
		case *ast.IncDecStmt:
			if v := p.global(n.X); v != "" {
				say(n, "it changes the package's variable %s; state belongs to a value", v)
			}
		case *ast.GoStmt:
			if decides {
				say(n, "it decides, so it may not start a goroutine")
			}
		case *ast.ChanType, *ast.SelectStmt:
			if decides {
				say(n, "it decides, so it may not wait on a channel")
			}
		case *ast.CompositeLit:
			s, ok := n.Type.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if of, what := p.selected(s); of == "net/http" && needed[what] != "" && !dials && !sets(n, needed[what]) {
				say(n, "it dials through an http.%s without a %s; only wire dials", what, needed[what])
			}
		case *ast.SelectorExpr:
			of, what := p.selected(n)
			switch {
			case slices.Contains(dialing[of], what) && !dials:
				say(n, "it dials with %s.%s; only wire dials", path.Base(of), what)
			case !decides:
			case of == "time" && slices.Contains(clock, what):
				say(n, "it decides, so it takes now as an argument, not time.%s", what)
			case of == "fmt" && slices.Contains(console, what):
				say(n, "it decides, so it may not fmt.%s", what)
			case of == "math/rand/v2" && !slices.Contains(seeded, what):
				say(n, "it decides, so it takes a seeded source, not rand.%s", what)
			}
		}
		return true
	})
	return found
}

// selected returns the import path and the name of an expression such as
// time.Now, or nothing.
func (p *pkg) selected(s *ast.SelectorExpr) (of, what string) {
	on, ok := s.X.(*ast.Ident)
	if !ok {
		return "", ""
	}
	imported, ok := p.uses[on].(*types.PkgName)
	if !ok {
		return "", ""
	}
	return imported.Imported().Path(), s.Sel.Name
}

// sets reports whether a literal sets a field.
func sets(lit *ast.CompositeLit, field string) bool {
	return slices.ContainsFunc(lit.Elts, func(e ast.Expr) bool {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			return false
		}
		key, ok := kv.Key.(*ast.Ident)
		return ok && key.Name == field
	})
}

// methods counts what an interface asks for. One of the package that it embeds
// counts in full, one of another package as a single method.
func (p *pkg) methods(t *ast.InterfaceType) (n int) {
	for _, m := range t.Methods.List {
		switch e := m.Type.(type) {
		case *ast.FuncType:
			n += len(m.Names)
		case *ast.SelectorExpr:
			n++
		case *ast.Ident:
			if of := p.uses[e]; of != nil {
				if inner, ok := of.Type().Underlying().(*types.Interface); ok {
					n += inner.NumMethods()
				}
			}
		}
	}
	return n
}

// global returns the package's variable that an assignment to e changes, or
// nothing.
func (p *pkg) global(e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.Ident:
			if v, ok := p.uses[x].(*types.Var); ok && v.Parent() == p.scope {
				return x.Name
			}
			return ""
		default:
			return ""
		}
	}
}
