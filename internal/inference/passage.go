package inference

// Mode is what becomes of an answer whose documents cannot be searched.
type Mode uint8

// The modes.
const (
	ModelMode Mode = iota // as the model says
	Required              // there is none
	Optional              // it is given without them
)

// Knowledge is what a caller wants his answer to rest on.
type Knowledge struct {
	Collections []string // by name; none: those of the model
	None        bool     // not even those of the model
	Mode        Mode
	Passages    int    // at most; 0: as the model says
	Filter      []byte // JSON of what passages have to be like, in OpenAI's words; nil: anything
	Hosted      bool   // by a tool of his dialect, which is ours to run
	Results     bool   // the passages themselves are to be told with the answer
}

// Passage is a piece of a document that a model gets to read.
type Passage struct {
	Collection string
	Document   string // its id
	Chunk      string // id of the piece
	Version    uint64 // of the document
	Name       string // of the file, as it came
	URL        string // where the document is; empty: nowhere that a client could look
	Title      string
	Path       string // the headings over it: a > b > c
	Text       string
	Start, End int // bytes of the document's text
	Score      float64
}

// Citation ties a piece of an answer to the passage that it names. Bytes of the
// answer are those of the one text that it stands in.
type Citation struct {
	Block      int // which of the answer's texts, from 0
	Number     int // of the passage, from 1
	Passage    *Passage
	Mark       [2]int // bytes of the answer: [1], and behind it
	Claim      [2]int // bytes of the answer: the sentence that is cited, without its marks
	Source     [2]int // bytes of the document's text that say it best
	Quote      string // the same bytes
	Characters [2]int // Mark in Unicode code points, as dialects count
}
