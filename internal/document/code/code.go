// Package code reads source code as blocks of what belongs together: a declaration
// with the comment over it. The text is the source itself, byte for byte.
package code

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strings"

	"headworks/internal/document"
)

// maxGo bounds Go source that is parsed; what is longer is cut by its looks.
const maxGo = 4 << 20

// Read reads the source of a file. Go is cut at its declarations, as its parser finds
// them; other languages, and Go that does not parse, where a line that is not
// indented follows an empty one.
func Read(name, source string) *document.Document {
	if strings.HasSuffix(name, ".go") && len(source) <= maxGo {
		if blocks := golang(source); blocks != nil {
			return document.New("", source, blocks)
		}
	}
	return document.New("", source, byLooks(source))
}

// golang returns a block for each declaration, or nothing where it does not parse.
func golang(source string) []document.Block {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "", source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil
	}
	file := fset.File(f.Package)
	at := func(p token.Pos) int { return file.Offset(p) }
	var cuts []cut
	for _, d := range f.Decls {
		start := d.Pos()
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Doc != nil {
				start = d.Doc.Pos()
			}
			name := d.Name.Name
			if d.Recv != nil && len(d.Recv.List) == 1 {
				name = receiver(d.Recv.List[0].Type) + "." + name
			}
			cuts = append(cuts, cut{at(start), name})
		case *ast.GenDecl:
			if d.Tok == token.IMPORT {
				continue // it goes with the package clause
			}
			if d.Doc != nil {
				start = d.Doc.Pos()
			}
			name := ""
			if len(d.Specs) == 1 {
				switch s := d.Specs[0].(type) {
				case *ast.TypeSpec:
					name = s.Name.Name
				case *ast.ValueSpec:
					name = s.Names[0].Name
				}
			}
			cuts = append(cuts, cut{at(start), name})
		}
	}
	return blocksAt(source, cuts)
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// cut is where a block begins, and what it defines.
type cut struct {
	at   int
	name string
}

// defined matches the line of a definition in most languages, the name in it.
var defined = regexp.MustCompile(`(?:^|\s)(?:func|function|def|class|fn|struct|interface|type|enum|trait|impl|module|namespace|object|record|procedure|sub)\s+([A-Za-z_$][\w$.:]*)`)

// byLooks cuts where a line that is not indented, and closes nothing, follows an
// empty one.
func byLooks(source string) []document.Block {
	var cuts []cut
	at, empty, named := 0, true, false
	for line := range strings.Lines(source) {
		bare := strings.TrimSpace(line)
		if bare != "" {
			if empty && line[0] != ' ' && line[0] != '\t' && !strings.ContainsRune("})]", rune(line[0])) {
				cuts = append(cuts, cut{at: at})
				named = false
			}
			if n := len(cuts); n > 0 && !named && len(line) < 512 {
				if m := defined.FindStringSubmatch(strings.TrimRight(line, "\r\n")); m != nil {
					cuts[n-1].name, named = m[1], true
				}
			}
		}
		empty = bare == ""
		at += len(line)
	}
	return blocksAt(source, cuts)
}

// blocksAt returns the blocks between cuts; what comes before the first one is a
// block too.
func blocksAt(source string, cuts []cut) []document.Block {
	blocks := []document.Block{}
	add := func(start, end int, name string) {
		s := source[start:end]
		end = start + len(strings.TrimRight(s, " \t\r\n"))
		for line := range strings.Lines(s) {
			if strings.TrimSpace(line) != "" {
				break
			}
			start += len(line)
		}
		if start < end {
			blocks = append(blocks, document.Block{Kind: document.Code, Name: name, Start: start, End: end})
		}
	}
	at, name := 0, ""
	for _, c := range cuts {
		if c.at > at {
			add(at, c.at, name)
		}
		at, name = c.at, c.name
	}
	add(at, len(source), name)
	return blocks
}
