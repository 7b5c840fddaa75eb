package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

// proc is Linux's /proc: what the system knows of each process. Elsewhere it is
// empty.
type proc struct{ fs fs.FS }

// stat is what is used of a process's stat file.
type stat struct {
	parent int
	cpu    time.Duration // user and system time of all its threads
	waited time.Duration // the same of its children that have ended
}

// tick is the unit of times in /proc: USER_HZ, which is 100 on all that Go runs on.
const tick = 10 * time.Millisecond

// parseStat reads /proc/PID/stat, see proc_pid_stat(5). The second field is the
// name of the command in brackets; it may hold spaces and brackets itself.
func parseStat(line []byte) (stat, error) {
	i := bytes.LastIndexByte(line, ')')
	fields := bytes.Fields(line[i+1:])
	if i < 0 || len(fields) < 15 {
		return stat{}, fmt.Errorf("not a stat file: %q", line)
	}
	parent, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return stat{}, fmt.Errorf("not a stat file: %w", err)
	}
	cpu, err1 := sumTicks(fields[11:13])
	waited, err2 := sumTicks(fields[13:15])
	return stat{parent, cpu, waited}, errors.Join(err1, err2)
}

func sumTicks(fields [][]byte) (sum time.Duration, err error) {
	for _, f := range fields {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("not a time in ticks: %w", err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// tree returns a process and its descendants, each with its stat.
func (p proc) tree(root int) (map[int]stat, error) {
	all, err := p.all()
	if err != nil {
		return nil, err
	}
	if _, ok := all[root]; !ok {
		return nil, fmt.Errorf("process %d is gone", root)
	}
	within := map[int]stat{}
	for pid, s := range all {
		for at, up := pid, s; ; {
			if at == root {
				within[pid] = s
				break
			}
			next, ok := all[up.parent]
			if !ok {
				break
			}
			at, up = up.parent, next
		}
	}
	return within, nil
}

func (p proc) all() (map[int]stat, error) {
	entries, err := fs.ReadDir(p.fs, ".")
	if err != nil {
		return nil, err
	}
	all := map[int]stat{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, err := fs.ReadFile(p.fs, e.Name()+"/stat")
		if err != nil {
			continue // it has ended since
		}
		if all[pid], err = parseStat(line); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// cpu returns the CPU time that a process and its descendants have used.
func (p proc) cpu(root int) (time.Duration, error) {
	within, err := p.tree(root)
	var sum time.Duration
	for _, s := range within {
		sum += s.cpu
	}
	return sum, err
}

// spent returns the CPU time that the machine has used since it started, and how
// much of it was this process and its children that have ended; see proc_stat(5).
func (p proc) spent() (all, own time.Duration, err error) {
	text, err := fs.ReadFile(p.fs, "stat")
	if err != nil {
		return 0, 0, err
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	fields := bytes.Fields(first) // cpu user nice system idle iowait irq softirq steal ...
	if len(fields) < 9 || string(fields[0]) != "cpu" {
		return 0, 0, fmt.Errorf("not the time of all CPUs: %q", first)
	}
	all, err1 := sumTicks(slices.Concat(fields[1:4], fields[6:9]))
	line, err2 := fs.ReadFile(p.fs, "self/stat")
	if err := errors.Join(err1, err2); err != nil {
		return 0, 0, err
	}
	s, err := parseStat(line)
	return all, s.cpu + s.waited, err
}

// pss returns the bytes of memory that a process and its descendants hold; what is
// shared counts in parts, see proc_pid_smaps(5).
func (p proc) pss(root int) (int64, error) {
	within, err := p.tree(root)
	if err != nil {
		return 0, err
	}
	var sum int64
	for pid := range within {
		text, err := fs.ReadFile(p.fs, strconv.Itoa(pid)+"/smaps_rollup")
		if err != nil {
			return 0, err
		}
		n, err := parsePSS(string(text))
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func parsePSS(text string) (int64, error) {
	value := field(text, "Pss")
	n, err := strconv.ParseInt(strings.TrimSuffix(value, " kB"), 10, 64)
	if err != nil || !strings.HasSuffix(value, " kB") {
		return 0, errors.New("smaps_rollup has no Pss")
	}
	return n << 10, nil
}

// cpus returns the CPUs that this process may run on.
func (p proc) cpus() ([]int, error) {
	text, err := fs.ReadFile(p.fs, "self/status")
	if err != nil {
		return nil, err
	}
	return parseCPUs(field(string(text), "Cpus_allowed_list"))
}

// parseCPUs reads a list such as 0-3,8.
func parseCPUs(list string) (cpus []int, err error) {
	for part := range strings.SplitSeq(list, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		a, err1 := strconv.Atoi(first)
		b, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil || b < a {
			return nil, fmt.Errorf("not a list of CPUs: %q", list)
		}
		for ; a <= b; a++ {
			cpus = append(cpus, a)
		}
	}
	return cpus, nil
}

func listCPUs(cpus []int) string {
	words := make([]string, len(cpus))
	for i, n := range cpus {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words, ",")
}

// field returns what stands after a name and a colon at the start of a line.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(before) == name {
			return strings.TrimSpace(after)
		}
	}
	return ""
}
