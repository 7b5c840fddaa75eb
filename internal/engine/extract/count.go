package extract

import (
	"headworks/internal/engine"
	"headworks/internal/inference"
)

// countParts counts what was said, and what tools answered.
func countParts(parts []inference.Part) int {
	sum := 0
	for _, p := range parts {
		n, _ := engine.Words(p.Text, -1)
		sum += n + countParts(p.Parts)
	}
	return sum
}
