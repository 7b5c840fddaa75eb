package main

import (
	"fmt"
	"io"
	"time"

	"headworks/internal/api/admin"
)

func ago(t, now time.Time) string { return now.Sub(t).Round(time.Second).String() + " ago" }

// unfound says what is wrong with how the replicas of an upstream are found.
func unfound(u *admin.Upstream, now time.Time) string {
	f := u.Finding
	words := fmt.Sprintf("%s: %s by %s", u.Name, count(len(u.Replicas), "replica"), f.By)
	if f.Why != "" {
		words += ", " + f.Why
	}
	switch {
	case f.Answered.IsZero():
		words += "; there was no answer yet"
	case f.Why != "":
		words += "; the last known ones of " + ago(f.Answered, now) + " stay"
	}
	return words
}

// found writes where the replicas that were found are, by what, and since when, and
// what went wrong last.
func found(w io.Writer, upstreams []admin.Upstream, now time.Time) {
	var rows [][]string
	var failures []string
	for _, u := range upstreams {
		f := u.Finding
		if f == nil {
			continue
		}
		for _, r := range u.Replicas {
			since := "-"
			if !r.Found.IsZero() {
				since = ago(r.Found, now)
			}
			rows = append(rows, []string{u.Name, r.Name, r.URL, f.By, since})
		}
		if f.Why == "" && !f.Failed.IsZero() {
			failures = append(failures, fmt.Sprintf("%s: %s of %s did not count, the last one %s: %s", u.Name, count(int(f.Failures), "answer"), f.By, ago(f.Failed, now), f.Failure))
		}
		if f.Left > 0 {
			failures = append(failures, fmt.Sprintf("%s: %s left out, beyond max_replicas or without an address that can be asked", u.Name, count(f.Left, "replica")))
		}
	}
	if len(rows) == 0 {
		return
	}
	fmt.Fprintln(w)
	list(w, []string{"UPSTREAM", "REPLICA", "URL", "FOUND BY", "SINCE"}, rows)
	for _, line := range failures {
		fmt.Fprintln(w, line)
	}
}
