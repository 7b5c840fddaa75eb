package app

import (
	"path/filepath"
	"testing"
	"time"

	"headworks/internal/meter"
	"headworks/internal/record"
	"headworks/internal/tenant"
)

func TestSpent(t *testing.T) {
	l, _, err := meter.Open(filepath.Join(t.TempDir(), "ledger"), meter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for i, cost := range []int64{4_000_000, 1_000_000} { // two days ago, and today
		var r record.Record
		r.Reset()
		r.Tenant, r.KeyID, r.Time, r.Cost = "acme", "k", now.AddDate(0, 0, 2*i-2).UnixMicro(), cost
		if err := l.Charge(&r); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		of   tenant.Budget
		want float64
		ok   bool
	}{
		{"by the day", tenant.Budget{Amount: 10_000_000, Per: day}, 0.1, true},
		{"by the month", tenant.Budget{Amount: 10_000_000, Per: 30 * day}, 0.5, true},
		{"by the hour", tenant.Budget{Amount: 10_000_000, Per: time.Hour}, 0, false},
		{"none", tenant.Budget{}, 0, false},
	} {
		got, ok := spent(l, &tenant.Caller{Tenant: "acme", KeyID: "k", Budget: tt.of}, now)
		if got != tt.want || ok != tt.ok {
			t.Errorf("%s: %v, %v, want %v, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}
