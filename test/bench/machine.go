package main

import (
	"debug/buildinfo"
	"io/fs"
	"runtime"
	"slices"
	"strings"
)

// machine is what a figure depends on beside the program.
type machine struct {
	System string `json:"system"`
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"` // that this process may use
	Kernel string `json:"kernel,omitempty"`
	Load   string `json:"load_average_before,omitempty"`
	Go     string `json:"go"`     // that built this program, the proxy and the relay
	Binary string `json:"binary"` // how Headworks was built
}

func describe(p proc, binary string) (machine, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return machine{}, err
	}
	m := machine{
		System: runtime.GOOS + "/" + runtime.GOARCH,
		CPU:    "of an unknown model",
		Cores:  runtime.NumCPU(),
		Kernel: p.word("sys/kernel/osrelease"),
		Go:     runtime.Version(),
		Binary: strings.Join(append([]string{binary, info.GoVersion}, settings(info)...), " "),
	}
	if load := strings.Fields(p.word("loadavg")); len(load) >= 3 {
		m.Load = strings.Join(load[:3], " ")
	}
	if name := field(p.word("cpuinfo"), "model name"); name != "" {
		m.CPU = name
	}
	return m, nil
}

// settings returns those of a build that bear on speed, and where it came from.
func settings(info *buildinfo.BuildInfo) (kept []string) {
	for _, s := range info.Settings {
		if slices.Contains([]string{"-tags", "-race", "-gcflags", "-ldflags", "-pgo", "CGO_ENABLED", "GOAMD64", "GOARM64", "GOEXPERIMENT", "vcs.revision", "vcs.modified"}, s.Key) {
			kept = append(kept, s.Key+"="+s.Value)
		}
	}
	return kept
}

// word returns a small file without the white space around it, or nothing.
func (p proc) word(name string) string {
	b, err := fs.ReadFile(p.fs, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
