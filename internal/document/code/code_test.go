package code

import (
	"fmt"
	"strings"
	"testing"

	"headworks/internal/document"
	"headworks/internal/document/documenttest"
)

func TestRead(t *testing.T) {
	for _, test := range []struct{ name, source, want string }{
		{"a.go", `// Package a is.
package a

import "fmt"

// T is a type.
type T[K any] struct {
	a int

	b int
}

const one = 1

// M does.
func (t *T[K]) M() { fmt.Println() }
// after

var (
	x int
	y int
)
`, `"// Package a is.\npackage a\n\nimport \"fmt\"" 
"// T is a type.\ntype T[K any] struct {\n\ta int\n\n\tb int\n}" T
"const one = 1" one
"// M does.\nfunc (t *T[K]) M() { fmt.Println() }\n// after" T.M
"var (\n\tx int\n\ty int\n)" 
`},
		{"broken.go", "package a\n\nfunc f( {\n\n}\n\nfunc g() {}\n", `"package a" 
"func f( {\n\n}" f
"func g() {}" g
`},
		{"a.py", "import os\n\n\nclass A(B):\n    def f(self):\n\n        return 1\n\ndef g():\n    pass\n", `"import os" 
"class A(B):\n    def f(self):\n\n        return 1" A
"def g():\n    pass" g
`},
		{"a.c", "#include <x.h>\n\nint main(void) {\n  return 0;\n\n}\n\nstruct s {\n};\n", `"#include <x.h>" 
"int main(void) {\n  return 0;\n\n}" 
"struct s {\n};" s
`},
		{"empty.py", "\n\n", ""},
	} {
		d := Read(test.name, test.source)
		if d.Text != test.source {
			t.Errorf("%s: the text is not the source", test.name)
		}
		var got strings.Builder
		for _, b := range d.Blocks {
			fmt.Fprintf(&got, "%q %s\n", b.Text, b.Name)
		}
		if got.String() != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", test.name, got.String(), test.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{"package a\nfunc f() {}", "package a;func(", "\n\nclass x\n\n}\n", "\r\n\ta", "//line x:9\npackage a\n/*line :1:1*/func F(){}"} {
		f.Add("a.go", seed)
		f.Add("a.py", seed)
	}
	f.Fuzz(func(t *testing.T, name, source string) {
		d := Read(name, document.Clean(source))
		if err := documenttest.Check(d); err != nil {
			t.Fatal(err)
		}
		if err := documenttest.Covered(d); err != nil {
			t.Fatal(err)
		}
	})
}
