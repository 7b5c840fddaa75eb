package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"headworks/internal/api/admin"
)

// shadows writes what came of copies, beside what callers had.
func shadows(w io.Writer, all []admin.Shadow) {
	var rows [][]string
	for _, s := range all {
		var unsent []string
		for _, why := range slices.Sorted(maps.Keys(s.Unsent)) {
			unsent = append(unsent, fmt.Sprintf("%d %s", s.Unsent[why], why))
		}
		row := []string{
			s.Model, s.Shadow, fmt.Sprintf("%.4g%%", 100*s.Share), fmt.Sprint(s.Copies), fmt.Sprint(s.Failed),
			strings.Join(unsent, ", "), "-", "-", "-", "-",
		}
		if row[5] == "" {
			row[5] = "none"
		}
		if s.Pairs > 0 {
			row[6] = fmt.Sprintf("%.0f%% of %d", 100*s.Same, s.Pairs)
			row[7] = fmt.Sprintf("%.0f -> %.0f ms", 1e3*s.TTFT.Caller, 1e3*s.TTFT.Copy)
			row[8] = fmt.Sprintf("%.2f -> %.2f s", s.Took.Caller, s.Took.Copy)
			row[9] = fmt.Sprintf("%.0f -> %.0f", s.Output.Caller, s.Output.Copy)
		}
		rows = append(rows, row)
	}
	list(w, []string{"MODEL", "SHADOW", "SHARE", "COPIES", "FAILED", "NOT SENT", "SAME FINISH", "FIRST TOKEN", "ANSWER", "TOKENS"}, rows)
}
