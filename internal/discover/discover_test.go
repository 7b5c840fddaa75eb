package discover

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"headworks/internal/fault"
)

func at(urls ...string) []Replica {
	var all []Replica
	for _, u := range urls {
		all = append(all, Replica{URL: "http://" + u})
	}
	return all
}

func TestLearn(t *testing.T) {
	noon := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	down := fault.Wrap(fault.Connect, "DNS did not answer", errors.New("10.0.0.53: refused"))
	type answer struct {
		found   []Replica
		err     error
		changed bool
		want    Known
	}
	known := at("a:1", "b:1")
	for _, tt := range []struct {
		name    string
		answers []answer
	}{
		{"in any order, twice or once", []answer{
			{at("b:1", "a:1", "b:1"), nil, true, Known{Replicas: known, Answered: noon}},
			{at("a:1", "b:1"), nil, false, Known{Replicas: known, Answered: noon.Add(time.Second)}},
		}},
		{"nothing is no answer", []answer{
			{nil, nil, false, Known{Failures: 1, Why: Empty}},
			{known, nil, true, Known{Replicas: known, Answered: noon.Add(time.Second), Failures: 1}},
			{nil, nil, false, Known{Replicas: known, Answered: noon.Add(time.Second), Failures: 2, Why: Empty}},
			{nil, down, false, Known{Replicas: known, Answered: noon.Add(time.Second), Failures: 3, Why: "DNS did not answer"}},
			{at("c:1"), nil, true, Known{Replicas: at("c:1"), Answered: noon.Add(4 * time.Second), Failures: 3}},
		}},
		{"who is known stays where there is no room for all", []answer{
			{at("c:1", "d:1"), nil, true, Known{Replicas: at("c:1", "d:1"), Answered: noon}},
			{at("a:1", "b:1", "c:1", "d:1"), nil, true, Known{Replicas: at("a:1", "c:1", "d:1"), Answered: noon.Add(time.Second), Left: 1}},
		}},
		{"what cannot be asked is left out", []answer{
			{append(at("a:1", "a b:1", "", "[fe80::1%25eth0]:80", "0.0.0.0:80", "x@b:1", "b:0", "b..c:1", "b:1/?x"), Replica{URL: "ftp://b"}), nil, true, Known{Replicas: at("a:1"), Answered: noon, Odd: 9}},
			{at("a b:1"), nil, false, Known{Replicas: at("a:1"), Answered: noon, Odd: 9, Failures: 1, Why: Useless}},
		}},
		{"a zone is news", []answer{
			{at("a:1"), nil, true, Known{Replicas: at("a:1"), Answered: noon}},
			{[]Replica{{URL: "http://a:1", Zone: "b"}}, nil, true, Known{Replicas: []Replica{{URL: "http://a:1", Zone: "b"}}, Answered: noon.Add(time.Second)}},
		}},
	} {
		var k Known
		for i, a := range tt.answers {
			if changed := k.Learn(a.found, a.err, 3, noon.Add(time.Duration(i)*time.Second)); changed != a.changed {
				t.Errorf("%s, answer %d: changed is %v", tt.name, i, changed)
			}
			if diff := cmp.Diff(a.want, k, cmpopts.IgnoreFields(Known{}, "Since", "Failed", "Failure")); diff != "" {
				t.Errorf("%s, answer %d (-want +got):\n%s", tt.name, i, diff)
			}
		}
	}
}

// TestSince: a replica is known since it came, whatever comes and goes beside it, and
// the last failure is known when it is over.
func TestSince(t *testing.T) {
	var k Known
	moment := func(n int) time.Time { return time.Unix(int64(n), 0) }
	k.Learn(at("b:1"), nil, 2, moment(1))
	k.Learn(at("a:1", "b:1", "c:1"), nil, 2, moment(2))
	k.Learn(nil, fault.New(fault.Connect, "broken"), 2, moment(3))
	k.Learn(at("b:1", "c:1"), nil, 2, moment(4))
	for url, want := range map[string]time.Time{"http://b:1": moment(1), "http://c:1": moment(4), "http://a:1": {}} {
		if got := k.FoundAt(url); !got.Equal(want) {
			t.Errorf("%s since %v, want %v", url, got, want)
		}
	}
	if k.Why != "" || k.Failure != "broken" || !k.Failed.Equal(moment(3)) {
		t.Errorf("%+v", k)
	}
}

// TestLearnProperties: whatever is answered, what is known is sorted, each once, no
// more than count, and never nothing once there was something; a replica that every
// answer names is never lost.
func TestLearnProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var k Known
		most := rapid.IntRange(1, 5).Draw(t, "most")
		faithful := Replica{URL: "http://m:1"}
		now := time.Unix(0, 0)
		had := false
		for range rapid.IntRange(1, 20).Draw(t, "answers") {
			now = now.Add(time.Second)
			before := k.Replicas
			snapshot := slices.Clone(before)
			var found []Replica
			var err error
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
			case 1:
				err = errors.New("broken")
			default:
				found = append(found, faithful)
				for _, n := range rapid.SliceOfN(rapid.IntRange(0, 30), 0, 8).Draw(t, "names") {
					found = append(found, Replica{URL: fmt.Sprintf("http://%c:1", 'a'+n)})
				}
			}
			changed := k.Learn(found, err, most, now)
			if !slices.Equal(before, snapshot) {
				t.Fatal("a slice that was handed out changed")
			}
			if changed == slices.Equal(before, k.Replicas) {
				t.Fatalf("changed is %v: %v, %v", changed, before, k.Replicas)
			}
			if len(k.Replicas) > most {
				t.Fatalf("%d replicas, where %d count", len(k.Replicas), most)
			}
			if had && len(k.Replicas) == 0 {
				t.Fatal("scaled to nothing")
			}
			for i := 1; i < len(k.Replicas); i++ {
				if k.Replicas[i-1].URL >= k.Replicas[i].URL {
					t.Fatalf("not in order, or twice: %v", k.Replicas)
				}
			}
			if slices.Contains(before, faithful) && !slices.Contains(k.Replicas, faithful) {
				t.Fatalf("a replica that is always there was lost: %v", k.Replicas)
			}
			if (k.Why == "") != (err == nil && len(found) > 0) {
				t.Fatalf("why is %q", k.Why)
			}
			if len(k.Since) != len(k.Replicas) {
				t.Fatalf("%d replicas known since %d moments", len(k.Replicas), len(k.Since))
			}
			had = had || len(k.Replicas) > 0
		}
	})
}

func TestForm(t *testing.T) {
	for _, tt := range []struct {
		form    Form
		address string
		port    uint16
		want    string
	}{
		{Form{Scheme: "http"}, "10.0.0.1", 8000, "http://10.0.0.1:8000"},
		{Form{Scheme: "http"}, "::ffff:10.0.0.1", 8000, "http://10.0.0.1:8000"},
		{Form{Scheme: "https", Path: "/v1"}, "2001:db8::1", 443, "https://[2001:db8::1]:443/v1"},
		{Form{Scheme: "http"}, "Pod-0.vllm.example.com.", 80, "http://pod-0.vllm.example.com:80"},
	} {
		if got := tt.form.At(tt.address, tt.port); got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.address, got, tt.want)
		}
	}
}
