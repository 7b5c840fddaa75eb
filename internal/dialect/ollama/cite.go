package ollama

import "headworks/internal/dialect"

// Ground says where passages have a place in a request. Answers of this dialect have no
// place for citations but their text.
func Ground(generate bool) *dialect.Turn {
	if generate {
		return &dialect.Turn{List: "prompt"}
	}
	return &dialect.Turn{List: "messages", Says: "content"}
}
