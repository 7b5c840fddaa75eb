package api

import (
	"testing"
	"time"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/tenant"
)

func TestReadWish(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		want        tenant.Wish
		wrong       bool
	}{
		{preferHeader, "price", tenant.Wish{Prefer: tenant.Price}, false},
		{preferHeader, "quality", tenant.Wish{Prefer: tenant.Quality}, false},
		{preferHeader, "speed", tenant.Wish{}, true},
		{preferHeader, "", tenant.Wish{}, true},
		{objectiveHeader, "ttft=800ms", tenant.Wish{Objective: tenant.Objective{TTFT: 800 * time.Millisecond}}, false},
		{objectiveHeader, "tpot=40ms, ttft=1.5s", tenant.Wish{Objective: tenant.Objective{TTFT: 1500 * time.Millisecond, TPOT: 40 * time.Millisecond}}, false},
		{objectiveHeader, "ttft=60m", tenant.Wish{Objective: tenant.Objective{TTFT: time.Hour}}, false},
		{objectiveHeader, "ttft=61m", tenant.Wish{}, true},
		{objectiveHeader, "ttft=800", tenant.Wish{}, true},
		{objectiveHeader, "ttft=0s", tenant.Wish{}, true},
		{objectiveHeader, "ttft=-1s", tenant.Wish{}, true},
		{objectiveHeader, "ttft=1s,ttft=2s", tenant.Wish{}, true},
		{objectiveHeader, "total=1s", tenant.Wish{}, true},
		{objectiveHeader, "", tenant.Wish{}, true},
	} {
		var w tenant.Wish
		known, err := ReadWish(tt.name, []byte(tt.value), &w)
		if !known || (err != nil) != tt.wrong || err == nil && w != tt.want {
			t.Errorf("%s: %s is %+v, %v; want %+v", tt.name, tt.value, w, err, tt.want)
		}
		if err != nil && (fault.Of(err).Kind != fault.InvalidRequest || fault.Of(err).Param != tt.name) {
			t.Errorf("%s: %s fails with %+v", tt.name, tt.value, fault.Of(err))
		}
	}
	if known, err := ReadWish("x-headworks-place", nil, &tenant.Wish{}); known || err != nil {
		t.Errorf("another header: %v, %v", known, err)
	}
}

// TestHint: the body says what is preferred where no header does.
func TestHint(t *testing.T) {
	for _, tt := range []struct {
		service inference.Service
		said    tenant.Preference
		want    tenant.Preference
	}{
		{inference.AnyService, 0, 0},
		{inference.CheapService, 0, tenant.Price},
		{inference.FastService, 0, tenant.Latency},
		{inference.FastService, tenant.Quality, tenant.Quality},
	} {
		w := tenant.Wish{Prefer: tt.said}
		if Hint(&inference.Request{Service: tt.service}, &w); w.Prefer != tt.want {
			t.Errorf("%v beside %v: %v, want %v", tt.service, tt.said, w.Prefer, tt.want)
		}
	}
}

func FuzzParseObjective(f *testing.F) {
	f.Add([]byte("ttft=800ms,tpot=40ms"))
	f.Add([]byte("ttft=1e999s"))
	f.Add([]byte("ttft=NaNs"))
	f.Fuzz(func(t *testing.T, v []byte) {
		if o, ok := ParseObjective(v); ok && (o.TTFT < 0 || o.TPOT < 0 || o.TTFT > mostObjective || o.TPOT > mostObjective || o == tenant.Objective{}) {
			t.Fatalf("%q is %+v", v, o)
		}
	})
}
