package admin

import (
	"net/http"
	"time"

	"headworks/internal/fault"
	"headworks/internal/knowledge"
	"headworks/internal/knowledge/golden"
)

// Evaluation is what is to be measured of a collection: by questions and judgements that
// it brings, by a set that is made of the documents, or by the one that is kept.
type Evaluation struct {
	Queries   string `json:"queries,omitempty"` // {"id","text"} a line
	Qrels     string `json:"qrels,omitempty"`   // as TREC or BEIR has them
	Synthetic bool   `json:"synthetic,omitempty"`
	Ranker    string `json:"ranker,omitempty"`
	Save      bool   `json:"save,omitempty"`    // keep the set with the collection
	Tune      bool   `json:"tune,omitempty"`    // find what vectors shall count beside words, and keep to it
	Against   string `json:"against,omitempty"` // another collection, which may take the place of this one
}

// maxEvaluation bounds an Evaluation, in bytes.
const maxEvaluation = 96 << 20

const evaluatePattern = "POST /api/knowledge/{name}/eval"

func (l *Library) evaluate(w http.ResponseWriter, r *http.Request) (any, error) {
	var e Evaluation
	if err := strictly(r, &e); err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, `the body does not say what to measure: {"queries": ..., "qrels": ..., "ranker": "hybrid"}`, err)
	}
	ranker, ok := knowledge.ParseRanker(e.Ranker)
	if !ok {
		return nil, fault.New(fault.InvalidRequest, "the ranker is hybrid, bm25 or dense")
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // it may take long; one that cannot be set is not there
	ctx, name := r.Context(), r.PathValue("name")
	set, err := l.golden(r, name, &e)
	if err != nil {
		return nil, err
	}
	var tuned *float64
	if e.Tune {
		if ranker != knowledge.Hybrid {
			return nil, fault.New(fault.InvalidRequest, "what vectors count beside words is found with the ranker hybrid")
		}
		alpha, err := golden.Tune(ctx, set, l.Knowledge, name)
		if err != nil {
			return nil, err
		}
		tuned = &alpha
	}
	report, err := golden.Evaluate(ctx, set, golden.In(l.Knowledge, name, ranker))
	if err != nil {
		return nil, err
	}
	report.Tuned = tuned
	report.Collection, report.Ranker = name, ranker.String()
	if e.Against != "" {
		other, err := golden.Evaluate(ctx, set, golden.In(l.Knowledge, e.Against, ranker))
		if err != nil {
			return nil, err
		}
		other.Collection = e.Against
		report.Against = golden.Judge(report, other)
	}
	if e.Save {
		if err := l.Golden.Save(ctx, name, set, time.Now()); err != nil {
			return nil, err
		}
	}
	return report, nil
}

// golden returns the set to measure by.
func (l *Library) golden(r *http.Request, name string, e *Evaluation) (*golden.Set, error) {
	switch given := e.Queries != "" || e.Qrels != ""; {
	case given && e.Synthetic:
		return nil, fault.New(fault.InvalidRequest, "a set is given or made, not both")
	case given:
		return golden.Read([]byte(e.Queries), []byte(e.Qrels))
	case e.Synthetic:
		return golden.Synthesise(r.Context(), l.Knowledge, name)
	}
	return l.Golden.Load(r.Context(), name)
}
