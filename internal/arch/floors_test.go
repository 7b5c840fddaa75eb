// Package arch keeps the house in order: packages look only down, decisions stay
// pure, and every package says what it promises. It holds tests alone.
package arch

import (
	"path"
	"slices"
	"strings"
)

const module = "headworks"

// floors lists the packages from the ground up, by their path below internal. A
// package imports only packages on floors below its own, or those it lies below. A
// star stands for every child of a family. A package is listed before its first
// code is written, each on a line of its own; one that is not listed has no place in the
// house.
var floors = [][]string{
	{
		"inference",
		"tenant",
		"fault",
		"scan",
		"form",
		"place",
		"gram",
		"document",
		"words",
		"rank",
	},
	{
		"fleet",
		"catalog",
		"catalog/card",
		"prefix",
		"vitals",
		"complexity",
		"dialect",
		"dialect/*",
		"dialect/openai/*",
		"latency",
		"record",
		"evict",
		"chunk",
		"passage",
		"bm25",
		"dense",
	},
	{
		"admit",
		"route",
		"locality",
		"schedule",
		"health",
		"price",
		"canary",
		"lora",
		"quality",
		"reuse",
		"similar",
		"ground",
		"drift",
		"relevance",
		"alert",
	},
	{
		"incident",
		"flow",
		"wire",
		"bridge",
		"journal",
		"engine/bedrock/sigv4",
		"document/*",
	},
	{
		"engine",
		"engine/*",
		"scrape",
		"identity",
		"store",
		"store/*",
		"store/redis/*",
		"facts",
		"meter",
		"telemetry",
		"peer",
		"cell",
		"nameserver",
		"retrieve",
		"discover",
		"discover/*",
		"config",
		"eval",
		"monitor",
		"notify",
		"cache",
		"cache/*",
		"format",
		"source",
		"knowledge",
		"knowledge/*",
	},
	{
		"gateway",
		"sim",
	},
	{
		"api",
		"api/*",
	},
	{
		"app",
		"client",
		"connect",
		"litellm",
		"doctor",
	},
	{
		"cmd/*",
		"test/bench",
		"test/prefixes",
		"test/regions",
	},
}

// lastPure is the last floor on which nothing but decisions live; flow, above it,
// decides as well.
const lastPure = 2

// libraries are what decisions may import beside the standard library: they compute
// and perform nothing.
var libraries = map[string]string{
	"github.com/RoaringBitmap/roaring/v2":     "which of many ids, compressed; the filter of every search",
	"github.com/blevesearch/go-porterstemmer": "Porter's stemmer",
	"github.com/kljensen/snowball/french":     "Snowball's stemmer of a language",
	"github.com/kljensen/snowball/hungarian":  "Snowball's stemmer of a language",
	"github.com/kljensen/snowball/norwegian":  "Snowball's stemmer of a language",
	"github.com/kljensen/snowball/russian":    "Snowball's stemmer of a language",
	"github.com/kljensen/snowball/spanish":    "Snowball's stemmer of a language",
	"github.com/kljensen/snowball/swedish":    "Snowball's stemmer of a language",
}

// longest bounds a chain of imports within the module.
const longest = 9

// mostMethods bounds an interface.
const mostMethods = 5

// only names who may import a package, where the floors alone do not say.
var only = map[string][]string{
	"config": {"app"}, // no package depends on the shape of the file
	"docs":   {"app"}, // the documentation inside the binary
}

// noHTTP names packages that do not know net/http, so that the front and the way
// to the engines can be replaced without touching behaviour. A star stands for
// every child.
var noHTTP = []string{"gateway", "wire", "engine", "engine/*", "api/openai", "api/anthropic", "api/gemini", "api/ollama", "api/responses", "api/knowledge"}

// dialers open connections; everyone else is given a way to.
var dialers = []string{
	"wire",
	"discover/local", // its own guard lets it reach loopback alone
	"store/redis",    // its library names net.Dialer, and is given a way to dial
	"test/bench",     // a load and a proxy that share nothing with what they measure
	"test/prefixes",  // a client, that shares nothing with it
	"test/regions",   // callers that share nothing with it either
}

// exported names the variables that other packages may see though they are no
// errors, with the reason.
var exported = map[string]string{
	"docs.Files": "go:embed fills a variable",
}

// shapeless are names that promise nothing.
var shapeless = []string{"base", "common", "core", "helper", "helpers", "manager", "misc", "shared", "types", "util", "utils"}

// place returns a package's name in the tables above, and whether it is of this
// module.
func place(importPath string) (string, bool) {
	rest, ours := strings.CutPrefix(importPath, module+"/")
	return strings.TrimPrefix(rest, "internal/"), ours
}

// floor returns where a package lives, or -1.
func floor(name string) int {
	return slices.IndexFunc(floors, func(row []string) bool { return listed(row, name) })
}

func listed(row []string, name string) bool {
	return slices.Contains(row, name) || slices.Contains(row, path.Dir(name)+"/*")
}

func pure(name string) bool {
	f := floor(name)
	return f >= 0 && f <= lastPure || name == "flow"
}
