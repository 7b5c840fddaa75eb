package record

import (
	"fmt"
	"slices"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/tenant"
)

// Kind is the type of a column's values.
type Kind uint8

// The kinds of columns.
const (
	Text Kind = iota // a string out of a small set
	Flag             // true or false
	ID               // 16 bytes
	Int              // 64 bits, signed
)

// Column is one column of a Record.
type Column struct {
	Name string
	Unit string // us, tokens, bytes, micro_usd, thousandths; empty for what has none
	Kind Kind

	// The column's place in the binary form, from 1; 0 is derived from other
	// columns and not written. A number is never given to another column.
	number byte

	text func(*Record) *string
	num  func(*Record) *int64
	none int64 // of num, where nothing was counted
	flag func(*Record) *bool
	id   func(*Record) *[16]byte
	word closed
}

// closed gives access to a column whose values are a closed set. The binary form
// holds names, so the order of a set may change.
type closed struct {
	get  func(*Record) string
	set  func(*Record, []byte)
	zero string // the name of the blank value
}

// Columns returns the table of columns, in the order in which people read them.
func Columns() []Column { return slices.Clone(table) }

// Text returns r's value in a column of kind Text.
func (c *Column) Text(r *Record) string {
	if c.word.get != nil {
		return c.word.get(r)
	}
	return *c.text(r)
}

// Int returns r's value in a column of kind Int; -1 is not measured.
func (c *Column) Int(r *Record) int64 { return *c.num(r) }

// Flag returns r's value in a column of kind Flag.
func (c *Column) Flag(r *Record) bool { return *c.flag(r) }

// ID returns r's value in a column of kind ID.
func (c *Column) ID(r *Record) [16]byte { return *c.id(r) }

// The request id comes first, so that a reader may look for one record without
// reading the others; see PeekID. 24 and 37 are of columns that are no more.
var table = []Column{
	ids(1, "request_id", func(r *Record) *[16]byte { return (*[16]byte)(&r.ID) }),
	ids(2, "trace_id", func(r *Record) *[16]byte { return &r.Trace }),
	ints(3, "ts", "us", func(r *Record) *int64 { return &r.Time }),
	counts(4, "seq", func(r *Record) *int64 { return &r.Seq }),
	texts(5, "tenant", func(r *Record) *string { return &r.Tenant }),
	texts(6, "project", func(r *Record) *string { return &r.Project }),
	texts(56, "key_id", func(r *Record) *string { return &r.KeyID }),
	texts(7, "key", func(r *Record) *string { return &r.Key }),
	texts(8, "tier", func(r *Record) *string { return &r.Tier }),
	texts(9, "origin", func(r *Record) *string { return &r.Origin }),
	texts(68, "shadow_of", func(r *Record) *string { return &r.ShadowOf }),
	flags(10, "simulated", func(r *Record) *bool { return &r.Simulated }),

	texts(11, "cell", func(r *Record) *string { return &r.Cell }),
	texts(12, "region", func(r *Record) *string { return &r.Region }),
	texts(13, "zone", func(r *Record) *string { return &r.Zone }),
	texts(14, "hardware", func(r *Record) *string { return &r.Hardware }),
	texts(64, "from_region", func(r *Record) *string { return &r.FromRegion }),
	texts(65, "from_zone", func(r *Record) *string { return &r.FromZone }),
	texts(66, "placed_by", func(r *Record) *string { return &r.PlacedBy }),
	ints(15, "generation", "", func(r *Record) *int64 { return &r.Generation }),

	texts(16, "surface", func(r *Record) *string { return &r.Surface }),
	texts(17, "operation", func(r *Record) *string { return &r.Operation }),
	flags(18, "stream", func(r *Record) *bool { return &r.Stream }),
	texts(19, "asked_model", func(r *Record) *string { return &r.AskedModel }),
	words(20, "class", func(r *Record) *tenant.Class { return &r.Class }, tenant.Critical, tenant.Batch),
	ints(21, "max_tokens", "tokens", func(r *Record) *int64 { return &r.MaxTokens }),
	ints(22, "estimated_input", "tokens", func(r *Record) *int64 { return &r.EstimatedInput }),
	ints(23, "bytes_in", "bytes", func(r *Record) *int64 { return &r.BytesIn }),
	ints(25, "tools_offered", "", func(r *Record) *int64 { return &r.ToolsOffered }),

	texts(26, "admit", func(r *Record) *string { return &r.Admit }),
	texts(27, "model", func(r *Record) *string { return &r.Model }),
	texts(28, "upstream", func(r *Record) *string { return &r.Upstream }),
	texts(29, "upstream_model", func(r *Record) *string { return &r.UpstreamModel }),
	texts(30, "replica", func(r *Record) *string { return &r.Replica }),
	texts(31, "route_reason", func(r *Record) *string { return &r.RouteReason }),
	texts(67, "locality", func(r *Record) *string { return &r.Locality }),
	counts(32, "candidates", func(r *Record) *int64 { return &r.Considered }),
	counts(33, "attempts", func(r *Record) *int64 { return &r.Tried }),
	texts(34, "failover_from", func(r *Record) *string { return &r.FailoverFrom }),
	texts(106, "cache", func(r *Record) *string { return &r.Cache }),
	texts(107, "cache_tier", func(r *Record) *string { return &r.CacheTier }),
	texts(108, "cache_why_not", func(r *Record) *string { return &r.CacheWhy }),
	ints(109, "cache_age", "us", func(r *Record) *int64 { return &r.CacheAge }),
	ints(122, "cache_similarity", "thousandths", func(r *Record) *int64 { return &r.CacheSimilarity }),
	texts(58, "arm", func(r *Record) *string { return &r.Arm }),
	texts(57, "gave_up", func(r *Record) *string { return &r.GaveUp }),
	ints(70, "complexity", "thousandths", func(r *Record) *int64 { return &r.Complexity }),
	texts(71, "prefer", func(r *Record) *string { return &r.Prefer }),
	texts(100, "classified", func(r *Record) *string { return &r.Classified }),
	texts(101, "unclassified", func(r *Record) *string { return &r.Unclassified }),
	ints(102, "classifier_time", "us", func(r *Record) *int64 { return &r.ClassifierTime }),
	ints(103, "classifier_cost", "micro_usd", func(r *Record) *int64 { return &r.ClassifierCost }),
	texts(110, "collections", func(r *Record) *string { return &r.Collections }),
	ints(111, "passages", "", func(r *Record) *int64 { return &r.Passages }),
	ints(112, "passage_tokens", "tokens", func(r *Record) *int64 { return &r.PassageTokens }),
	ints(113, "top_score", "thousandths", func(r *Record) *int64 { return &r.TopScore }),
	ints(114, "retrieval", "us", func(r *Record) *int64 { return &r.Retrieval }),
	ints(115, "rewriter_cost", "micro_usd", func(r *Record) *int64 { return &r.RewriterCost }),
	texts(116, "ungrounded", func(r *Record) *string { return &r.Ungrounded }),
	ints(117, "citations", "", func(r *Record) *int64 { return &r.Citations }),
	ints(118, "cited", "thousandths", func(r *Record) *int64 { return &r.Cited }),
	ints(119, "support", "thousandths", func(r *Record) *int64 { return &r.Support }),
	ints(104, "judge_time", "us", func(r *Record) *int64 { return &r.JudgeTime }),
	ints(105, "judge_cost", "micro_usd", func(r *Record) *int64 { return &r.JudgeCost }),
	ints(72, "objective_ttft", "us", func(r *Record) *int64 { return &r.ObjectiveTTFT }),
	ints(73, "objective_tpot", "us", func(r *Record) *int64 { return &r.ObjectiveTPOT }),

	ints(35, "scan", "us", func(r *Record) *int64 { return &r.Scan }),
	ints(36, "queue", "us", func(r *Record) *int64 { return &r.Queue }),
	ints(38, "ttft", "us", func(r *Record) *int64 { return &r.TTFT }),
	ints(39, "upstream_ttft", "us", func(r *Record) *int64 { return &r.UpstreamTTFT }),
	ints(59, "predicted_ttft", "us", func(r *Record) *int64 { return &r.Predicted }),
	ints(40, "tpot", "us", func(r *Record) *int64 { return &r.TPOT }),
	ints(41, "gap_max", "us", func(r *Record) *int64 { return &r.GapMax }),
	ints(42, "total", "us", func(r *Record) *int64 { return &r.Total }),
	ints(43, "overhead", "us", func(r *Record) *int64 { return &r.Overhead }),

	ints(44, "input", "tokens", func(r *Record) *int64 { return &r.Input }),
	ints(45, "output", "tokens", func(r *Record) *int64 { return &r.Output }),
	ints(46, "cache_read", "tokens", func(r *Record) *int64 { return &r.CacheRead }),
	ints(47, "cache_write", "tokens", func(r *Record) *int64 { return &r.CacheWrite }),
	ints(48, "reasoning", "tokens", func(r *Record) *int64 { return &r.Reasoning }),
	words(49, "usage_source", func(r *Record) *UsageSource { return &r.UsageSource }, NoUsage, Estimated),
	ints(50, "cost", "micro_usd", func(r *Record) *int64 { return &r.Cost }),
	ints(120, "saved_tokens", "tokens", func(r *Record) *int64 { return &r.SavedTokens }),
	ints(121, "saved_cost", "micro_usd", func(r *Record) *int64 { return &r.SavedCost }),

	ints(51, "status", "", func(r *Record) *int64 { return &r.Status }),
	faults(52, "fault"),
	derived("owner", func(r *Record) string { return r.Fault.Info().Owner.String() }),
	words(53, "finish", func(r *Record) *inference.Finish { return &r.Finish }, inference.Unfinished, inference.Pause),
	words(54, "end", func(r *Record) *End { return &r.End }, Open, ClientClosed),
	flags(55, "committed", func(r *Record) *bool { return &r.Committed }),
}

// The numbers of the parts of the binary form that are no columns.
const (
	candidateNumber = 62
	attemptNumber   = 63
	signalsNumber   = 74

	most = 127
)

// blank is what a column holds that nobody filled, and what a reader finds where
// the writer did not know the column.
var blank = func() Record {
	var r Record
	for _, c := range table {
		if c.Kind == Int {
			*c.num(&r) = c.none
		}
	}
	return r
}()

func texts(n byte, name string, at func(*Record) *string) Column {
	return Column{Name: name, Kind: Text, number: n, text: at}
}

func ints(n byte, name, unit string, at func(*Record) *int64) Column {
	return Column{Name: name, Unit: unit, Kind: Int, number: n, num: at, none: -1}
}

func counts(n byte, name string, at func(*Record) *int64) Column {
	return Column{Name: name, Kind: Int, number: n, num: at}
}

func flags(n byte, name string, at func(*Record) *bool) Column {
	return Column{Name: name, Kind: Flag, number: n, flag: at}
}

func ids(n byte, name string, at func(*Record) *[16]byte) Column {
	return Column{Name: name, Kind: ID, number: n, id: at}
}

// words is a column over the closed set first..last. A name that this program
// does not know, because a later one wrote it, reads as blank.
func words[T interface {
	~uint8
	fmt.Stringer
}](n byte, name string, at func(*Record) *T, first, last T) Column {
	return Column{Name: name, Kind: Text, number: n, word: closed{
		zero: T(0).String(),
		get:  func(r *Record) string { return (*at(r)).String() },
		set: func(r *Record, b []byte) {
			for v := first; v <= last; v++ {
				if v.String() == string(b) {
					*at(r) = v
					return
				}
			}
		},
	}}
}

// faults is the column of the fault. An unknown name is still a fault.
func faults(n byte, name string) Column {
	return Column{Name: name, Kind: Text, number: n, word: closed{
		zero: fault.None.String(),
		get:  func(r *Record) string { return r.Fault.String() },
		set:  func(r *Record, b []byte) { r.Fault = faultNamed(b) },
	}}
}

func faultNamed(b []byte) fault.Kind {
	if len(b) == 0 || string(b) == fault.None.String() {
		return fault.None
	}
	for k := fault.None + 1; ; k++ {
		switch k.String() {
		case string(b):
			return k
		case fault.Internal.String(): // the last
			return fault.Internal
		}
	}
}

func derived(name string, get func(*Record) string) Column {
	return Column{Name: name, Kind: Text, word: closed{get: get}}
}
