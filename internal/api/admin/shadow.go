package admin

// Shadow is a model that gets copies of another one's requests. Rates and medians are
// of the pairs that were compared last, as far as both answers were whole.
type Shadow struct {
	Model   string            `json:"model"`
	Shadow  string            `json:"shadow"`
	Share   float64           `json:"share"`   // of the model's requests, now; 0: it has none any more
	Copies  uint64            `json:"copies"`  // whose answer is at its end
	Failed  uint64            `json:"failed"`  // of them, with no whole answer
	Unsent  map[string]uint64 `json:"unsent"`  // copies that were not sent, by why
	Waiting int               `json:"waiting"` // now
	Running int               `json:"running"`
	Pairs   int               `json:"pairs"`       // that the rest is of
	Same    float64           `json:"same_finish"` // share that ended for the same reason
	TTFT    Pair              `json:"ttft_seconds"`
	Took    Pair              `json:"answer_seconds"`
	Output  Pair              `json:"output_tokens"`
	CostUSD float64           `json:"cost_usd"` // of the copies, since the process began
}

// Pair is the median of what callers had, and of the copies.
type Pair struct {
	Caller float64 `json:"caller"`
	Copy   float64 `json:"copy"`
}
