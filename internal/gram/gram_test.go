package gram

import "testing"

// The numbers never change: vectors that were kept are compared with those of the
// next release.
func TestHashIsTheSameForEver(t *testing.T) {
	for _, tt := range []struct {
		kind  byte
		runes string
		want  uint64
	}{
		{'w', "", 0x436b07a81e11261d},
		{'w', "fox", 0xb8b165d776edc19e},
		{'p', "fox", 0x94a214853221d9d0},
		{'p', "狐", 0x4d604ed0a77497f7},
	} {
		if got := Hash(tt.kind, []rune(tt.runes)); got != tt.want {
			t.Errorf("Hash(%q, %q) = %#x, want %#x", tt.kind, tt.runes, got, tt.want)
		}
	}
}

func TestAdd(t *testing.T) {
	sums := make([]float64, 4)
	Add(sums, 6, 1)
	Add(sums, 1<<63|6, 0.25)
	if want := [4]float64{0, 0, 0.75, 0}; [4]float64(sums) != want {
		t.Errorf("got %v, want %v", sums, want)
	}
}
