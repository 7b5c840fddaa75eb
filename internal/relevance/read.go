package relevance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"headworks/internal/fault"
)

// ReadQueries reads questions, one a line: {"id":"1","text":"..."}. As in BEIR's
// files "_id" stands for "id" too, and an id may be a number.
func ReadQueries(data []byte) ([]Query, error) {
	var queries []Query
	seen := map[string]bool{}
	n := 0
	for line := range lines(data) {
		if n++; len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var q struct {
			ID    json.RawMessage `json:"id"`
			Other json.RawMessage `json:"_id"`
			Text  string          `json:"text"`
		}
		if err := json.Unmarshal(line, &q); err != nil {
			return nil, fault.Wrap(fault.InvalidRequest, fmt.Sprintf(`Line %d of the questions is no JSON object {"id": "...", "text": "..."}.`, n), err)
		}
		if len(q.ID) == 0 {
			q.ID = q.Other
		}
		id := string(q.ID)
		if len(q.ID) > 0 && q.ID[0] == '"' {
			if err := json.Unmarshal(q.ID, &id); err != nil {
				return nil, fault.Wrap(fault.InvalidRequest, fmt.Sprintf("Line %d of the questions has an id that is no string.", n), err)
			}
		} else if _, err := strconv.ParseFloat(id, 64); err != nil {
			id = ""
		}
		switch {
		case id == "":
			return nil, fault.New(fault.InvalidRequest, fmt.Sprintf(`Line %d of the questions has no "id".`, n))
		case strings.TrimSpace(q.Text) == "":
			return nil, fault.New(fault.InvalidRequest, fmt.Sprintf(`Line %d of the questions has no "text".`, n))
		case seen[id]:
			return nil, fault.New(fault.InvalidRequest, fmt.Sprintf(`Line %d of the questions has an "id" that stands above already.`, n))
		}
		seen[id] = true
		queries = append(queries, Query{ID: id, Text: q.Text})
	}
	return queries, nil
}

// ReadJudgements reads TREC's qrels, "question iteration document grade" a line, or
// BEIR's, "question document grade", with or without a line of names. Blanks and
// tabs divide. Where a pair is judged twice, the last one counts.
func ReadJudgements(data []byte) (Judgements, error) {
	j := Judgements{}
	n := 0
	for line := range lines(data) {
		n++
		fields := strings.Fields(string(line))
		if len(fields) == 0 || n == 1 && names(fields) {
			continue
		}
		if len(fields) != 3 && len(fields) != 4 {
			return nil, fault.New(fault.InvalidRequest, fmt.Sprintf("Line %d of the judgements has %d fields. Write: question, 0, document, grade (or without the 0).", n, len(fields)))
		}
		query, document, last := fields[0], fields[len(fields)-2], fields[len(fields)-1]
		grade, err := strconv.ParseFloat(last, 64)
		if err != nil || grade != math.Trunc(grade) || math.Abs(grade) > 1000 {
			return nil, fault.New(fault.InvalidRequest, fmt.Sprintf("Line %d of the judgements ends with something that is no grade. Write a whole number; 0 is not relevant.", n))
		}
		if j[query] == nil {
			j[query] = map[string]int{}
		}
		j[query][document] = int(grade)
	}
	return j, nil
}

// names reports whether a line of judgements holds the names of the columns.
func names(fields []string) bool {
	_, err := strconv.ParseFloat(fields[len(fields)-1], 64)
	return err != nil && strings.Contains(strings.ToLower(fields[0]), "query")
}

// lines yields the lines of a file without their ends, and without the mark that
// some editors put before the first.
func lines(data []byte) func(func([]byte) bool) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	return bytes.SplitSeq(data, []byte("\n"))
}
