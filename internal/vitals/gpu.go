package vitals

import (
	"errors"
	"math"
	"slices"
	"strconv"
)

// GPU is what an exporter says of one GPU.
type GPU struct {
	Index       int     // as the exporter numbers it
	Utilization float64 // share of time that kernels ran, 0 to 1; -1: not told
	MemoryUsed  int64   // bytes; -1: not told
	MemoryTotal int64   // bytes; -1: not told
	Power       float64 // watts; -1: not told
	Clock       float64 // MHz of its cores; -1: not told
	MaxClock    float64 // the most they are made for; -1: not told
	Throttled   bool    // slowed down by heat, or by a power supply that cannot keep up
	XID         int     // number of the driver's last error; 0: none
	ECC         float64 // memory errors that could not be corrected, so far; -1: not told
	Heat        float64 // time it was slowed down by heat, so far, in a unit of the driver's; -1: not told
	Failed      bool    // a row of its memory could not be replaced

	free int64
}

// Fault says what went wrong with the GPU since before, and is empty where nothing
// did. Without a before, it is whatever is wrong.
func (g *GPU) Fault(before *GPU) string {
	if before == nil {
		before = &GPU{Index: g.Index, ECC: g.ECC} // of an old count nobody knows when it rose
	}
	switch {
	case g.XID != 0 && g.XID != before.XID:
		return "XID " + strconv.Itoa(g.XID) + " on GPU " + strconv.Itoa(g.Index)
	case before.ECC >= 0 && g.ECC > before.ECC:
		return "an uncorrectable memory error on GPU " + strconv.Itoa(g.Index)
	case g.Failed && !before.Failed:
		return "a failed row of memory on GPU " + strconv.Itoa(g.Index)
	}
	return ""
}

// slowest is the least share of its speed that a GPU is thought to have left, and
// halved what one has that is throttled and does not tell its clock: a slowdown by
// hardware takes a factor of 2 or more (NVML, nvmlClocksEventReasonHwSlowdown).
const (
	slowest = 0.2
	halved  = 0.5
)

// Speed is the share of its usual speed that the GPU has now: less than 1 where it is
// throttled. Highest is the highest clock it was seen to have.
func (g *GPU) Speed(before *GPU, highest float64) float64 {
	hot := before != nil && before.Heat >= 0 && g.Heat > before.Heat
	switch highest = max(highest, g.MaxClock); {
	case !g.Throttled && !hot:
		return 1
	case g.Clock > 0 && highest > 0:
		return min(max(g.Clock/highest, slowest), 1)
	}
	return halved
}

// The reasons for a lower clock that mean that the hardware cannot keep up (nvml.h):
// HwSlowdown, SwThermalSlowdown, HwThermalSlowdown, HwPowerBrakeSlowdown. A power cap
// set by software is not among them: at full load it is the usual state.
const slowed = 0x8 | 0x20 | 0x40 | 0x80

// mostGPUs bounds the GPUs of one exporter.
const mostGPUs = 64

// ReadGPUs reads the page of NVIDIA's DCGM exporter or of AMD's device metrics
// exporter, for the GPUs of those numbers; all, where none is given. GPUs come in the
// order of their numbers. The error says that the page tells of none.
func ReadGPUs(page []byte, only []int) ([]GPU, error) {
	var found [mostGPUs]*GPU
	var room [longest]byte
	p := Page(page)
	for {
		s, ok := p.Next()
		if !ok {
			break
		}
		key, _ := plain(&room, s.Name)
		if len(key) > 4 && string(key[:4]) == "amd_" { // a prefix that is often set
			key = key[4:]
		}
		what, known := gpuNames[string(key)]
		if !known {
			continue
		}
		label := s.Label("gpu")
		if len(label) == 0 {
			label = s.Label("gpu_id")
		}
		i, err := strconv.Atoi(string(label))
		v, ok := s.Value()
		if err != nil || i < 0 || i >= mostGPUs || !ok || !told(v) || !among(only, i) {
			continue
		}
		if found[i] == nil {
			found[i] = &GPU{Index: i, Utilization: -1, MemoryUsed: -1, MemoryTotal: -1, Power: -1, Clock: -1, MaxClock: -1, ECC: -1, Heat: -1, free: -1}
		}
		found[i].note(what, v, &s)
	}
	var gpus []GPU
	for _, g := range found {
		if g != nil {
			if g.MemoryTotal < 0 && g.MemoryUsed >= 0 && g.free >= 0 {
				g.MemoryTotal = g.MemoryUsed + g.free
			}
			gpus = append(gpus, *g)
		}
	}
	if len(gpus) == 0 {
		return nil, errNoGPU
	}
	return gpus, nil
}

var errNoGPU = errors.New("the page tells nothing of a GPU that was asked for, by the names of DCGM's or ROCm's exporter")

func among(only []int, i int) bool { return len(only) == 0 || slices.Contains(only, i) }

// told reports whether a value is one: DCGM writes numbers at the end of their range
// where it knows none (dcgm_fields.h: DCGM_INT64_BLANK, DCGM_FP64_BLANK).
func told(v float64) bool {
	return v >= 0 && v < 1<<47 && !math.IsNaN(v)
}

// gpuFact is what a name tells of a GPU.
type gpuFact uint8

const (
	busyPercent gpuFact = iota
	busyShare
	usedMiB
	freeMiB
	totalMiB
	watts
	clock
	maxClock
	xid
	xids
	uncorrected
	remapFailed
	reasons
	heat
	hotPercent
)

// gpuNames are those of NVIDIA's dcgm-exporter (etc/default-counters.csv and
// dcgm_fields.h) and of AMD's device metrics exporter
// (docs/configuration/metricslist.md), in their plain spelling.
var gpuNames = map[string]gpuFact{
	"dcgm_fi_dev_gpu_util":               busyPercent,
	"dcgm_fi_prof_gr_engine_active":      busyShare,
	"dcgm_fi_dev_fb_used":                usedMiB,
	"dcgm_fi_dev_fb_free":                freeMiB,
	"dcgm_fi_dev_fb":                     totalMiB, // DCGM_FI_DEV_FB_TOTAL
	"dcgm_fi_dev_power_usage":            watts,
	"dcgm_fi_dev_sm_clock":               clock,
	"dcgm_fi_dev_max_sm_clock":           maxClock,
	"dcgm_fi_dev_xid_errors":             xid,
	"dcgm_exp_xid_errors_count":          xids,
	"dcgm_fi_dev_ecc_dbe_vol":            uncorrected,
	"dcgm_fi_dev_row_remap_failure":      remapFailed,
	"dcgm_fi_dev_clock_throttle_reasons": reasons,
	"dcgm_fi_dev_clocks_event_reasons":   reasons,
	"dcgm_fi_dev_thermal_violation":      heat,

	"gpu_gfx_activity":          busyPercent,
	"gpu_used_vram":             usedMiB,
	"gpu_free_vram":             freeMiB,
	"gpu_total_vram":            totalMiB,
	"gpu_package_power":         watts,
	"gpu_average_package_power": watts,
	"gpu_power_usage":           watts,
	"gpu_clock":                 clock,
	"gpu_max_clock":             maxClock,
	"gpu_ecc_uncorrect":         uncorrected,
	"gpu_violation_processor_hot_residency_percentage":  hotPercent,
	"gpu_violation_socket_thermal_residency_percentage": hotPercent,
	"gpu_violation_vr_thermal_residency_percentage":     hotPercent,
	"gpu_violation_hbm_thermal_residency_percentage":    hotPercent,
}

const mib = 1 << 20

// note notes a value. A GPU that is cut into instances, or shared by several pods, has
// a series for each: the highest counts.
func (g *GPU) note(what gpuFact, v float64, s *Sample) {
	highest := func(to *float64, v float64) { *to = max(*to, v) }
	size := func(to *int64) { *to = max(*to, int64(v)*mib) }
	switch what {
	case busyPercent:
		highest(&g.Utilization, min(v/100, 1))
	case busyShare:
		highest(&g.Utilization, min(v, 1))
	case usedMiB:
		size(&g.MemoryUsed)
	case freeMiB:
		size(&g.free)
	case totalMiB:
		size(&g.MemoryTotal)
	case watts:
		highest(&g.Power, v)
	case clock, maxClock:
		if kind := s.Label("clock_type"); len(kind) > 0 && string(kind) != "GPU_CLOCK_TYPE_SYSTEM" {
			return
		}
		if what == clock {
			highest(&g.Clock, v)
		} else {
			highest(&g.MaxClock, v)
		}
	case xid:
		g.XID = max(g.XID, int(v))
	case xids: // how often each came within the exporter's window
		if n, err := strconv.Atoi(string(s.Label("xid"))); err == nil && v > 0 {
			g.XID = max(g.XID, n)
		}
	case uncorrected:
		highest(&g.ECC, v)
	case remapFailed:
		g.Failed = g.Failed || v > 0
	case reasons:
		g.Throttled = g.Throttled || int64(v)&slowed != 0
	case heat:
		highest(&g.Heat, v)
	case hotPercent:
		g.Throttled = g.Throttled || v > 0
	}
}
