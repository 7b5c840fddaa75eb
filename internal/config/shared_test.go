package config

import (
	"strings"
	"testing"
)

func TestSharedStore(t *testing.T) {
	const secret = "cache: {secret: 0123456789abcdef}\n"
	for _, tt := range []struct {
		source string
		want   Store
		words  string // of the problem; empty: there is none
	}{
		{"", Store{}, ""},
		{"shared: none\n", Store{}, ""},
		{"shared: redis://10.0.0.5\n" + secret, Store{Addr: "10.0.0.5:6379"}, ""},
		{"shared: redis://cache.example.com:7000/3\n" + secret, Store{Addr: "cache.example.com:7000", DB: 3}, ""},
		{"shared: rediss://gateway@cache.example.com\n" + secret, Store{Addr: "cache.example.com:6379", TLS: true, User: "gateway"}, ""},
		{"shared: valkey://[::1]:6379/\n" + secret, Store{Addr: "[::1]:6379"}, ""},
		{"shared: valkeys://v\n" + secret, Store{Addr: "v:6379", TLS: true}, ""},
		{"shared: redis://r\nshared_password: geheim\n" + secret, Store{Addr: "r:6379"}, ""},

		{"shared: redis://r\n", Store{}, "give cache.secret"},
		{"shared: redis://r\ncache: {secret: short}\n", Store{}, "16 or more"},
		{"shared: redis://u:p@r\n" + secret, Store{}, "give it as shared_password"},
		{"shared: redis://a:1,b:2\n" + secret, Store{}, "give one address"},
		{"shared: redis://r:0\n" + secret, Store{}, "no port"},
		{"shared: redis://r/x\n" + secret, Store{}, "number of a database"},
		{"shared: redis://r/-1\n" + secret, Store{}, "number of a database"},
		{"shared: redis://r?db=1\n" + secret, Store{}, "neither none nor"},
		{"shared: redis://\n" + secret, Store{}, "neither none nor"},
		{"shared: memcached://m\n" + secret, Store{}, "neither none nor"},
		{"shared: r:6379\n" + secret, Store{}, "neither none nor"},
		{"shared_password: geheim\n", Store{}, "give shared too"},
		{"shared: redis://r\nshared_password: \"a b\"\n" + secret, Store{}, "space"},
	} {
		c, report := Parse("f.yaml", []byte(tt.source), lookup(nil))
		if tt.words != "" {
			if report.OK() || !strings.Contains(report.Text(""), tt.words) {
				t.Errorf("%q: %s", tt.source, report.Text(""))
			}
			if strings.Contains(report.Text(""), ":p@") {
				t.Errorf("%q: the report shows the password", tt.source)
			}
			continue
		}
		if !report.OK() {
			t.Errorf("%q: %s", tt.source, report.Text(""))
			continue
		}
		got, ok := c.SharedStore()
		if got != tt.want || ok != (tt.want != Store{}) {
			t.Errorf("%q: %+v, %v", tt.source, got, ok)
		}
	}
}

// Collections are kept in one place, and its address holds no key.
func TestKnowledge(t *testing.T) {
	for source, words := range map[string]string{
		"knowledge: {weaviate: \"https://w.example.com:8080\", weaviate_key: geheim}\n": "",
		"knowledge: {weaviate: \"http://[::1]:8080\"}\n":                                "",
		"knowledge: {postgres: \"postgres://u:p@db/x\"}\n":                              "",
		"knowledge: {postgres: \"postgres://u:p@db/x\", weaviate: \"http://w\"}\n":      "one place",
		"knowledge: {weaviate: w.example.com}\n":                                        "no address of a Weaviate",
		"knowledge: {weaviate: \"http://u:p@w\"}\n":                                     "give a key as weaviate_key",
		"knowledge: {weaviate: \"http://w?x=1\"}\n":                                     "no address of a Weaviate",
		"knowledge: {weaviate_key: geheim}\n":                                           "give knowledge.weaviate too",
		"knowledge: {weaviate: \"http://w\", weaviate_key: \"a b\"}\n":                  "space",
	} {
		_, report := Parse("f.yaml", []byte(source), lookup(nil))
		text := report.Text("")
		if report.OK() != (words == "") || !strings.Contains(text, words) || strings.Contains(text, ":p@") {
			t.Errorf("%q: %s", source, text)
		}
	}
}

// A tenant shares within itself unless the file says more.
func TestShare(t *testing.T) {
	c, report := Parse("f.yaml", []byte("tenants: {a: {}, b: {share: public}, c: {share: organisation}}\n"), lookup(nil))
	if !report.OK() {
		t.Fatal(report.Text(""))
	}
	for name, want := range map[string]string{"a": "organisation", "b": "public", "c": "organisation"} {
		if got := c.Tenants[name].Share; got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if _, report := Parse("f.yaml", []byte("tenants: {a: {share: project}}\n"), lookup(nil)); report.OK() {
		t.Error("project is taken")
	}
}
