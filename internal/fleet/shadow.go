package fleet

// Shadow says which requests for a model are asked of another model a second time,
// without anybody seeing that answer.
type Shadow struct {
	Model    string  // whose answers are looked at
	Share    float64 // of the requests, 0 to 1
	Parallel int     // copies that may be under way at once
}
