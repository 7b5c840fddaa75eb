package completions

import "headworks/internal/dialect"

// Ground says where passages have a place in a request: before its one prompt.
func Ground() *dialect.Turn { return &dialect.Turn{List: "prompt"} }
