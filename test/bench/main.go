// Command bench measures what Headworks costs beside a bare httputil.ReverseProxy:
// one run, one load, one table.
//
//	go run ./test/bench -headworks bin/headworks [-quick] [-json]
//
// It starts all that it needs, on loopback: an upstream that plays an engine, the
// reverse proxy, a relay of bytes as the floor under both, and Headworks with keys,
// records, ledger, metrics and health on. The load comes from this process; what is
// measured is always another one. It exits 1 if any request went wrong, whoever was
// to blame. docs/explanation/measured.md says how each figure is taken.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program: it returns the exit code. The first argument may name a part
// to play, as the processes that it starts do.
func run(args []string, in io.Reader, out, errs io.Writer) int {
	if len(args) > 0 {
		if play, ok := parts()[args[0]]; ok {
			return exit(errs, play(args[1:], in, out))
		}
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(errs)
	headworks := flags.String("headworks", "bin/headworks", "the program to measure")
	quick := flags.Bool("quick", false, "one short round: does it work, not how fast is it")
	asJSON := flags.Bool("json", false, "write one line of JSON to stdout, in place of the table")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(errs, "bench: %q is neither a flag nor a part\n", flags.Arg(0))
		return 2
	}
	debug.SetGCPercent(400) // the load shares the cores with what it measures

	p := whole()
	if *quick {
		p = short()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	b, err := newBench(*headworks, p, errs)
	if err != nil {
		return exit(errs, err)
	}
	b.report.Command = strings.TrimSpace("go run ./test/bench " + strings.Join(args, " "))
	err = b.run(ctx)
	if ctx.Err() != nil {
		err = fmt.Errorf("not all was measured: %w", context.Cause(ctx))
	}
	if *asJSON {
		err = errors.Join(err, b.report.writeJSON(out))
	} else {
		err = errors.Join(err, b.report.writeTable(out))
	}
	return exit(errs, errors.Join(err, b.report.verdict()))
}

func exit(errs io.Writer, err error) int {
	if err != nil {
		fmt.Fprintln(errs, "bench:", err)
		return 1
	}
	return 0
}

// parts are what this program plays in processes of their own: each listens, says
// where in one line of JSON, and ends with its standard input.
func parts() map[string]func(args []string, in io.Reader, out io.Writer) error {
	return map[string]func([]string, io.Reader, io.Writer) error{
		"upstream": playUpstream,
		"proxy":    playProxy,
		"raw":      playRaw,
	}
}
