package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// bench measures, and fills its report.
type bench struct {
	plan
	headworks string // the program
	report    *report
	proc      proc
	progress  io.Writer
	dir       string // for what is written while it runs

	self     string // this program
	upstream *child
}

// subject is what a load may go to: one of the three that are compared, or the
// upstream itself.
type subject struct {
	name    string
	process command // none for the upstream
	child   *child  // while it runs
	addr    string
}

const (
	ours   = "headworks"
	bare   = "ReverseProxy"
	raw    = "raw relay"
	direct = "direct"
)

func newBench(headworks string, p plan, progress io.Writer) (*bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	binary, err := filepath.Abs(headworks)
	if err != nil {
		return nil, err
	}
	b := &bench{plan: p, headworks: binary, self: self, progress: progress, proc: proc{os.DirFS("/proc")}}
	b.report = &report{Rounds: p.rounds, Wrong: []*wrong{}, Notes: []string{}}
	b.report.Machine, err = describe(b.proc, headworks)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there; make build makes it", headworks)
	}
	return b, err
}

// run measures everything that there is a way to measure here.
func (b *bench) run(ctx context.Context) (err error) {
	if b.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if runtime.GOOS == "linux" {
		tell, err := b.watchOthers()
		if err != nil {
			return err
		}
		defer tell()
	} else {
		b.report.note("CPU and memory are not measured: they are read from /proc, which only Linux has")
	}
	b.upstream, err = command{path: b.self, args: []string{"upstream"}}.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.upstream.stop()) }()

	for _, phase := range []struct {
		name    string
		measure func(context.Context) error
	}{
		{"small requests, closed loop", b.small},
		{"small requests, open loop", b.steady},
		{"streams", b.streaming},
		{"memory of open streams", b.memory},
		{"cold starts", b.starting},
		{"failover", b.failover},
		{"watching engines", b.watching},
		{"one core and two", b.scaling},
		{"simulator", b.simulating},
	} {
		began := time.Now()
		fmt.Fprintf(b.progress, "%s ...", phase.name)
		err := phase.measure(ctx)
		fmt.Fprintf(b.progress, " %.1f s\n", time.Since(began).Seconds())
		if err != nil {
			return fmt.Errorf("%s: %w", phase.name, err)
		}
	}
	return nil
}

// watchOthers returns what notes, when all that was started has ended, how much of
// the machine others took meanwhile.
func (b *bench) watchOthers() (tell func(), err error) {
	began := time.Now()
	all, own, err := b.proc.spent()
	return func() {
		allThen, ownThen, err := b.proc.spent()
		if err != nil {
			b.report.note("what others took of the machine is not known: %v", err)
			return
		}
		others := max((allThen-all)-(ownThen-own), 0) // the two are not read at once
		b.report.note("others took %.2f of %d cores while this ran", others.Seconds()/time.Since(began).Seconds(), runtime.NumCPU())
	}, err
}

// key is the caller's. It is pinned in the file, so that no command has to make it.
const key = "bench-key-0123456789abcdef"

// configure writes a file with everything on, and returns the command that serves
// it. Models are chat and slow; and chat-CAUSE-N, whose first upstream fails so and
// whose second is well. N distinguishes upstreams that are as yet unknown to fail.
func (b *bench) configure(name string) (command, error) {
	var f strings.Builder
	dir := filepath.Join(b.dir, name)
	fmt.Fprintf(&f, "listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\ndata: %q\ndrain_delay: 0s\n", filepath.Join(dir, "data"))
	fmt.Fprintf(&f, "upstreams:\n  good: {kind: openai, key: sk-upstream, urls: [%q]}\n", b.upstream.BaseURL)
	for _, cause := range causes() {
		for n := range b.failovers {
			fmt.Fprintf(&f, "  %s-%d: {kind: openai, key: sk-upstream, urls: [%q]}\n", cause, n, b.upstream.Faults[cause])
		}
	}
	const price = "price: {input: 0.25, output: 2.00}"
	fmt.Fprintf(&f, "models:\n  chat: {targets: [{upstream: good, model: chat, %s}]}\n  slow: {targets: [{upstream: good, model: slow, %s}]}\n", price, price)
	for _, cause := range causes() {
		for n := range b.failovers {
			fmt.Fprintf(&f, "  chat-%s-%d: {targets: [{upstream: %s-%d, model: chat}, {upstream: good, model: chat}]}\n", cause, n, cause, n)
		}
	}
	fmt.Fprintf(&f, "keys:\n  - {name: bench, secret: %s}\n", key)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return command{}, err
	}
	file := filepath.Join(dir, "headworks.yaml")
	err := os.WriteFile(file, []byte(f.String()), 0o600)
	return command{path: b.headworks, args: []string{"serve", "--json", "--config", file}}, err
}

// compared returns the three that are compared; the data folder is new.
func (b *bench) compared(name string) ([]*subject, error) {
	serve, err := b.configure(name)
	return []*subject{
		{name: ours, process: serve},
		{name: bare, process: command{path: b.self, args: []string{"proxy", b.upstream.BaseURL}}},
		{name: raw, process: command{path: b.self, args: []string{"raw", b.upstream.BaseURL}}},
	}, err
}

func (s *subject) start(ctx context.Context) (err error) {
	if s.child, err = s.process.start(ctx); err != nil {
		return err
	}
	s.addr = s.child.addr()
	return nil
}

// during starts the subjects, measures, and stops them.
func during(ctx context.Context, subjects []*subject, measure func() error) (err error) {
	for _, s := range subjects {
		if err := s.start(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.child.stop()) }()
	}
	return measure()
}

// inRounds measures each subject in each round, in reverse order in every other
// one, so that a machine that grows busier favours none.
func (b *bench) inRounds(ctx context.Context, subjects []*subject, measure func(*subject) error) error {
	order := slices.Clone(subjects)
	for range b.rounds {
		for _, s := range order {
			if err := measure(s); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		slices.Reverse(order)
	}
	return nil
}

// cpuOf returns how to read a subject's CPU time, or nil where there is none to
// read.
func (b *bench) cpuOf(s *subject) func() (time.Duration, error) {
	if s.child == nil || runtime.GOOS != "linux" {
		return nil
	}
	return func() (time.Duration, error) { return b.proc.cpu(s.child.pid()) }
}

// small measures requests of 1 KB, each connection asking anew when it has its
// answer.
func (b *bench) small(ctx context.Context) error {
	subjects, err := b.compared("small")
	if err != nil {
		return err
	}
	return during(ctx, subjects, func() error {
		err := b.inRounds(ctx, subjects, func(s *subject) error {
			l := load{
				addr: s.addr, request: request("chat", key, false), conns: b.conns,
				warm: b.warm, window: b.window, cpu: b.cpuOf(s),
			}
			o, err := l.closed(ctx)
			b.report.blame("closed loop", s.name, o.wrong)
			if err != nil || o.answers == 0 {
				return cmp.Or(err, errNothing)
			}
			if l.cpu != nil {
				b.report.add(smallCPU, s.name, micros(o.cpu)/float64(o.answers))
			}
			b.report.add(smallRate, s.name, float64(o.answers)/o.took.Seconds())
			b.report.add(smallP99, s.name, micros(percentile(o.latencies, 0.99)))
			return nil
		})
		return errors.Join(err, b.evidence(ctx, subjects[0]))
	})
}

var errNothing = errors.New("not one answer")

// evidence notes what shows that keys, records, ledger and metrics were on.
func (b *bench) evidence(ctx context.Context, s *subject) error {
	page, err := get(ctx, s.child.Admin, "/metrics")
	if err != nil {
		return err
	}
	finished, dropped := sumMetric(page, "headworks_requests_total"), sumMetric(page, "headworks_records_dropped_total")
	var bytes int64
	err = filepath.WalkDir(filepath.Join(b.dir, "small", "data"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	b.report.note("the closed loop left %.0f requests in headworks' metrics and %.1f MB in its data folder; %.0f records were dropped", finished, float64(bytes)/1e6, dropped)
	return err
}

// steady measures the latency that a subject adds at a rate that it holds easily.
func (b *bench) steady(ctx context.Context) error {
	subjects, err := b.compared("steady")
	if err != nil {
		return err
	}
	return during(ctx, subjects, func() error {
		subjects := append(subjects, &subject{name: direct, addr: b.upstream.addr()})
		err := b.inRounds(ctx, subjects, func(s *subject) error {
			l := load{
				addr: s.addr, request: request("chat", key, false), conns: b.conns,
				warm: b.rateWarm, window: b.rateWindow, cpu: b.cpuOf(s),
			}
			o, err := l.open(ctx, b.rate)
			b.report.blame("open loop", s.name, o.wrong)
			if err != nil || len(o.latencies) == 0 {
				return cmp.Or(err, errNothing)
			}
			b.report.add(steadyP50, s.name, micros(percentile(o.latencies, 0.5)))
			b.report.add(steadyP99, s.name, micros(percentile(o.latencies, 0.99)))
			return nil
		})
		b.report.subtract(steadyAdded, steadyP50, direct)
		return err
	})
}

// streaming measures streams with time between their tokens.
func (b *bench) streaming(ctx context.Context) error {
	subjects, err := b.compared("streaming")
	if err != nil {
		return err
	}
	return during(ctx, subjects, func() error {
		subjects := append(subjects, &subject{name: direct, addr: b.upstream.addr()})
		err := b.inRounds(ctx, subjects, func(s *subject) error {
			l := load{
				addr: s.addr, request: request("chat", key, true), conns: b.streams,
				ramp: b.streamRamp, warm: b.streamWarm, window: b.streamWindow, cpu: b.cpuOf(s),
			}
			o, err := l.closed(ctx)
			b.report.blame("streams", s.name, o.wrong)
			if err != nil || o.events == 0 || len(o.firsts) == 0 {
				return cmp.Or(err, errNothing)
			}
			if l.cpu != nil {
				b.report.add(eventCPU, s.name, micros(o.cpu)/float64(o.events))
			}
			b.report.add(eventRate, s.name, float64(o.events)/o.took.Seconds())
			b.report.add(firstP50, s.name, millis(percentile(o.firsts, 0.5)))
			return nil
		})
		b.report.subtract(firstAdded, firstP50, direct)
		return err
	})
}

// memory measures what an open stream holds.
func (b *bench) memory(ctx context.Context) error {
	if runtime.GOOS != "linux" {
		return nil
	}
	subjects, err := b.compared("memory")
	if err != nil {
		return err
	}
	for _, s := range subjects {
		err := during(ctx, []*subject{s}, func() error { return b.memoryOf(ctx, s) })
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func (b *bench) memoryOf(ctx context.Context, s *subject) error {
	if err := b.once(ctx, "memory", s); err != nil {
		return err
	}
	time.Sleep(300 * time.Millisecond)
	idle, err := b.proc.pss(s.child.pid())
	if err != nil {
		return err
	}
	l := load{addr: s.addr, request: request("slow", key, true), conns: b.held, ramp: b.heldRamp}
	release := l.hold(ctx)
	sleepUntil(ctx, time.Now().Add(b.heldSettle))
	full, err := b.proc.pss(s.child.pid())
	open, wrong := release()
	b.report.blame("open streams", s.name, wrong)
	if err != nil || open == 0 {
		return cmp.Or(err, errNothing)
	}
	b.report.add(idleMemory, s.name, float64(idle)/1e6)
	b.report.add(streamMemory, s.name, float64(full-idle)/float64(open)/1e3)
	return nil
}

// once asks a subject for one small answer.
func (b *bench) once(ctx context.Context, phase string, s *subject) error {
	c := newClient(s.addr)
	defer c.close()
	_, err := c.ask(ctx, request("chat", key, false))
	wrong := tally{}
	wrong.add(err)
	b.report.blame(phase, s.name, wrong)
	return err
}

// starting measures the time from exec to the first answer, with a data folder that
// is new and with one that is there. The program's file is in the system's cache.
func (b *bench) starting(ctx context.Context) error {
	for n := range b.starts {
		subjects, err := b.compared("start-" + strconv.Itoa(n))
		if err != nil {
			return err
		}
		for _, s := range subjects {
			for _, name := range []string{startFresh, startKept} {
				began := time.Now()
				err := during(ctx, []*subject{s}, func() error {
					if err := b.once(ctx, "cold start", s); err != nil {
						return err
					}
					b.report.add(name, s.name, millis(time.Since(began)))
					return nil
				})
				if err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
				if s.name != ours {
					break // it keeps nothing
				}
			}
		}
	}
	return nil
}

// engines is how many are watched.
const engines = 100

// watching measures what an idle Headworks takes that reads the metrics of 100 engines:
// of such as rest, each once a second, and of such as work, four times.
func (b *bench) watching(ctx context.Context) error {
	if runtime.GOOS != "linux" {
		return nil
	}
	for _, state := range []string{resting, working} {
		dir := filepath.Join(b.dir, state)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		var urls []string
		for n := range engines {
			urls = append(urls, fmt.Sprintf("%s/%d", b.upstream.Pages[state], n))
		}
		file := filepath.Join(dir, "headworks.yaml")
		text := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\ndata: %q\ndrain_delay: 0s\nupstreams: {pool: {kind: vllm, urls: [%s]}}\nmodels: {chat: {targets: [{upstream: pool, model: chat}]}}\nkeys: [{name: bench, secret: %s}]\n",
			filepath.Join(dir, "data"), strings.Join(urls, ", "), key)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
		s := &subject{name: ours, process: command{path: b.headworks, args: []string{"serve", "--json", "--config", file}}}
		err := during(ctx, []*subject{s}, func() error {
			sleepUntil(ctx, time.Now().Add(b.watchWarm))
			return b.watched(ctx, s, state)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", state, err)
		}
	}
	return nil
}

func (b *bench) watched(ctx context.Context, s *subject, state string) error {
	look := func() (pages float64, cpu time.Duration, err error) {
		page, err := get(ctx, s.child.Admin, "/metrics")
		if err != nil {
			return 0, 0, err
		}
		cpu, err = b.proc.cpu(s.child.pid())
		return sumMetric(page, "headworks_engine_scrapes_total"), cpu, err
	}
	began := time.Now()
	pages, cpu, err := look()
	if err != nil {
		return err
	}
	sleepUntil(ctx, began.Add(b.watchWindow))
	pagesThen, cpuThen, err := look()
	if err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	b.report.add(watchCores+state, s.name, (cpuThen-cpu).Seconds()/took)
	b.report.add(watchRate+state, s.name, (pagesThen-pages)/took)
	return nil
}

// causes are the ways in which a first upstream fails.
func causes() []string { return []string{"refused", "reset", "500", "429"} }

// failover measures how much later an answer comes whose first upstream fails. Each
// failing upstream is asked once: after that Headworks would know.
func (b *bench) failover(ctx context.Context) error {
	serve, err := b.configure("failover")
	if err != nil {
		return err
	}
	s := &subject{name: ours, process: serve}
	return during(ctx, []*subject{s}, func() error {
		c := newClient(s.addr)
		defer c.close()
		wrong := tally{}
		defer func() { b.report.blame("failover", ours, wrong) }()
		ask := func(model string) (time.Duration, bool) {
			began := time.Now()
			_, err := c.ask(ctx, request(model, key, false))
			took := time.Since(began)
			wrong.add(err)
			if err == nil && !bytes.Equal(c.head.upstream, []byte("good")) {
				wrong["answered by "+string(c.head.upstream)]++
				return took, false
			}
			return took, err == nil
		}
		var well []time.Duration
		for range 200 {
			if took, ok := ask("chat"); ok {
				well = append(well, took)
			}
		}
		usual := millis(percentile(well, 0.5))
		for _, cause := range causes() {
			for n := range b.failovers {
				if took, ok := ask(fmt.Sprintf("chat-%s-%d", cause, n)); ok {
					b.report.add(failoverAdded+cause, ours, millis(took)-usual)
				}
			}
		}
		return nil
	})
}

// scaling measures what a second core brings. Where there are four, the load has
// cores of its own; on fewer it shares them, and the note says so.
func (b *bench) scaling(ctx context.Context) error {
	cores, err := b.proc.cpus()
	_, tasksetErr := exec.LookPath("taskset")
	switch {
	case runtime.NumCPU() < 2:
		b.report.note("one core and two: not measured, there is one core")
		return nil
	case err != nil || tasksetErr != nil:
		b.report.note("one core and two: by GOMAXPROCS=1 and 2 alone, since nothing here pins processes (taskset); the load runs where it likes")
		cores = nil
	case len(cores) >= 4:
		b.report.note("one core and two: headworks alone on CPU %s, then on %s; load and upstream on %s", listCPUs(cores[:1]), listCPUs(cores[:2]), listCPUs(cores[2:]))
	default:
		b.report.note("one core and two: headworks on CPU %s, load and upstream on %s; then all on %s together, so the second figure is held down by the load beside it: compare the CPU time of a request", listCPUs(cores[:1]), listCPUs(cores[1:]), listCPUs(cores))
	}
	var subjects []*subject
	for n := 1; n <= 2; n++ {
		s := &subject{name: strconv.Itoa(n)}
		if s.process, err = b.configure("cores-" + s.name); err != nil {
			return err
		}
		s.process.env = []string{"GOMAXPROCS=" + s.name}
		if cores != nil {
			s.process.cpus = cores[:n]
		}
		subjects = append(subjects, s)
	}
	return during(ctx, subjects, func() (err error) {
		if cores != nil {
			defer func() { err = errors.Join(err, b.pinLoad(context.WithoutCancel(ctx), cores)) }()
		}
		return b.inRounds(ctx, subjects, func(s *subject) error {
			if cores != nil {
				rest := cores
				switch {
				case len(cores) >= 4:
					rest = cores[2:]
				case s.name == "1":
					rest = cores[1:]
				}
				if err := b.pinLoad(ctx, rest); err != nil {
					return err
				}
			}
			l := load{
				addr: s.addr, request: request("chat", key, false), conns: b.conns,
				warm: b.warm, window: b.window, cpu: b.cpuOf(s),
			}
			o, err := l.closed(ctx)
			b.report.blame("on "+s.name+" of the cores", ours, o.wrong)
			if err != nil || o.answers == 0 {
				return cmp.Or(err, errNothing)
			}
			b.report.add(coresRate+s.name, ours, float64(o.answers)/o.took.Seconds())
			if l.cpu != nil {
				b.report.add(coresCPU+s.name, ours, micros(o.cpu)/float64(o.answers))
				b.report.add(coresUsed+s.name, ours, o.cpu.Seconds()/o.took.Seconds())
			}
			return nil
		})
	})
}

// pinLoad moves this process and the upstream, with all their threads.
func (b *bench) pinLoad(ctx context.Context, cpus []int) error {
	for _, pid := range []int{os.Getpid(), b.upstream.pid()} {
		_, err := command{path: "taskset", args: []string{"-a", "-cp", listCPUs(cpus), strconv.Itoa(pid)}}.run(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}

// simulating measures the simulator on one core, and that it repeats itself.
func (b *bench) simulating(ctx context.Context) error {
	var hash string
	for range b.rounds {
		out, err := command{
			path: b.headworks, env: []string{"GOMAXPROCS=1"},
			args: []string{"sim", "run", "--requests", strconv.Itoa(b.simRequests), "--seed", "1", "--json"},
		}.run(ctx)
		if err != nil {
			return err
		}
		var got struct {
			Hash string  `json:"hash"`
			Rate float64 `json:"steps_per_second"`
		}
		if err := json.Unmarshal(out, &got); err != nil {
			return fmt.Errorf("sim run --json: %w", err)
		}
		if hash != "" && hash != got.Hash {
			b.report.blame("simulator", ours, tally{"the same seed gave another hash": 1})
		}
		hash = got.Hash
		b.report.add(simSteps, ours, got.Rate/1e6)
	}
	return nil
}

// get returns a page of text.
func get(ctx context.Context, baseURL, path string) (string, error) {
	c := newClient(hostOf(baseURL))
	defer c.close()
	if err := c.open(ctx); err != nil {
		return "", err
	}
	if err := c.nc.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(c.nc, "GET %s HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n", path); err != nil {
		return "", err
	}
	if err := c.head.read(c.br); err != nil {
		return "", err
	}
	var page strings.Builder
	err := c.head.readBody(c.br, c.buf, func(p []byte) { page.Write(p) })
	if c.head.status != 200 {
		err = statusError(c.head.status)
	}
	return page.String(), err
}

// sumMetric adds up what a metric says under all its labels, in Prometheus' text
// format.
func sumMetric(page, name string) (sum float64) {
	for line := range strings.Lines(page) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		words := strings.Fields(rest[strings.LastIndexByte(rest, '}')+1:])
		if len(words) == 0 {
			continue
		}
		if v, err := strconv.ParseFloat(words[0], 64); err == nil {
			sum += v
		}
	}
	return sum
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
