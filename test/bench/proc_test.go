package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// statLine is as Linux writes it: the fields after the name are state, parent, ...,
// and times are the 14th to 17th.
func statLine(pid, name, parent, times string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(pid + " (" + name + ") S " + parent + " 1 1 0 -1 4194304 100 0 0 0 " + times + " 20 0 8 0 100 200 300\n")}
}

func machineOf(t *testing.T) proc {
	t.Helper()
	return proc{fstest.MapFS{
		"stat":            {Data: []byte("cpu  100 10 50 9000 300 2 3 5 7 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n")},
		"self/stat":       statLine("1", "bench", "0", "20 10 4 6"),
		"1/stat":          statLine("1", "bench", "0", "20 10 4 6"),
		"10/stat":         statLine("10", "headworks", "1", "5 3 0 0"),
		"11/stat":         statLine("11", "a (child) of it", "10", "1 1 0 0"),
		"12/stat":         statLine("12", "grand child)", "11", "100 0 0 0"),
		"20/stat":         statLine("20", "another", "1", "7 7 0 0"),
		"10/smaps_rollup": {Data: []byte("5581e0000000-7ffd ---p 00000000 00:00 0    [rollup]\nRss:   900 kB\nPss:                 400 kB\nPss_Dirty:   10 kB\n")},
		"11/smaps_rollup": {Data: []byte("Pss: 20 kB\n")},
		"12/smaps_rollup": {Data: []byte("Pss: 4 kB\n")},
		"meminfo":         {Data: []byte("MemTotal: 1 kB\n")},
		"self/status":     {Data: []byte("Name:\tbench\nCpus_allowed:\tf\nCpus_allowed_list:\t0-2,5\n")},
	}}
}

// The CPU time and the memory of a process are those of its descendants too, and
// of nobody else.
func TestTree(t *testing.T) {
	p := machineOf(t)
	if got, err := p.cpu(10); err != nil || got != 1100*time.Millisecond {
		t.Errorf("CPU time %v, %v; want 1.1 s", got, err)
	}
	if got, err := p.pss(10); err != nil || got != 424<<10 {
		t.Errorf("memory %d, %v; want 424 KiB", got, err)
	}
	if got, err := p.cpu(99); err == nil {
		t.Errorf("a process that is gone used %v", got)
	}
}

func TestSpent(t *testing.T) {
	all, own, err := machineOf(t).spent()
	if err != nil || all != 1700*time.Millisecond || own != 400*time.Millisecond {
		t.Errorf("%v of all, %v own, %v; idle and waiting are not spent, guests are in user time already", all, own, err)
	}
}

func TestParseStatRefuses(t *testing.T) {
	for _, bad := range []string{"", ")", "1 (x) S 1", "1 (x S 1 1 1 0 -1 0 0 0 0 0 1 1 1 1 1", "1 (x) S a 1 1 0 -1 0 0 0 0 0 1 1 1 1 1", "1 (x) S 1 1 1 0 -1 0 0 0 0 0 a 1 1 1 1"} {
		if s, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q is %+v", bad, s)
		}
	}
}

// Whatever a command is called, the fields after its name are read the same.
func FuzzStat(f *testing.F) {
	f.Add("a (b) c)", "S 1 1 1 0 -1 4194304 100 0 0 0 5 3 1 2 20 0")
	f.Add(") S 9 9 9 9", "S 1 1")
	f.Fuzz(func(t *testing.T, name, rest string) {
		if strings.Contains(rest, ")") {
			return
		}
		plain, err := parseStat([]byte("1 (x) " + rest))
		odd, oddErr := parseStat([]byte("1 (" + name + ") " + rest))
		if plain != odd || (err == nil) != (oddErr == nil) {
			t.Errorf("%q: %+v, %v; of a command called %q: %+v, %v", rest, plain, err, name, odd, oddErr)
		}
	})
}

func TestParsePSS(t *testing.T) {
	for _, bad := range []string{"", "Pss_Dirty: 5 kB\n", "Pss: kB\n", "Pss: 5 MB\n", "SwapPss: 5 kB\n"} {
		if n, err := parsePSS(bad); err == nil {
			t.Errorf("%q is %d", bad, n)
		}
	}
}

func TestParseCPUs(t *testing.T) {
	got, err := machineOf(t).cpus()
	if err != nil || !slices.Equal(got, []int{0, 1, 2, 5}) || listCPUs(got) != "0,1,2,5" {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "a", "3-1", "1-", "1,,2"} {
		if got, err := parseCPUs(bad); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
}

// Here, where there is one, the real /proc reads as the made one does.
func TestRealProc(t *testing.T) {
	p := proc{os.DirFS("/proc")}
	if p.word("self/smaps_rollup") == "" {
		t.Log("this system has no /proc/PID/smaps_rollup")
		return
	}
	if _, err := p.cpu(os.Getpid()); err != nil {
		t.Error(err)
	}
	if n, err := p.pss(os.Getpid()); err != nil || n < 1<<20 {
		t.Errorf("this process holds %d bytes, %v", n, err)
	}
	if all, own, err := p.spent(); err != nil || own > all {
		t.Errorf("of %v this process has spent %v, %v", all, own, err)
	}
	if cpus, err := p.cpus(); err != nil || len(cpus) == 0 {
		t.Errorf("CPUs %v, %v", cpus, err)
	}
}
