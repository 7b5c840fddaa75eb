package inference

// Apart is a set of reasons for which no earlier answer may stand in for the one that a
// request asks for, whatever a model's configuration says.
type Apart uint8

// The reasons.
const (
	Kept      Apart = 1 << iota // it is to be kept, or goes on from what is kept, or runs in the background
	HostedUse                   // tools run on the upstream's side, and may find something else each time
	Sounding                    // it is more than text: sound or pictures
	Elsewhere                   // the prompt refers to what lies elsewhere and may change there
)

// Why returns the first of the reasons in words; empty where there is none.
func (a Apart) Why() string {
	switch {
	case a&Kept != 0:
		return "it is kept, or goes on from what is kept"
	case a&HostedUse != 0:
		return "tools run on the upstream's side"
	case a&Sounding != 0:
		return "it is more than text"
	case a&Elsewhere != 0:
		return "the prompt refers to what lies elsewhere"
	}
	return ""
}
