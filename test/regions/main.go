// Command regions runs three cells in network namespaces of their own, 80 ms apart,
// and takes from them what regions lose: the engines of one, and then the whole other
// one, while callers in each ask their own cell and some ask by the one name. It prints
// what became of every request.
//
//	go build -o bin/headworks ./cmd/headworks
//	go run ./test/regions -headworks bin/headworks
//
// It needs Linux, root, ip of iproute2 and /dev/net/tun. The network between the
// namespaces is this program: each has a TUN device, and packets wait here for half of
// the round trip. A region that is cut off is one whose packets are dropped, so nobody
// hears of it: no connection is refused and none is reset.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

// options are what a run is made of.
type options struct {
	Headworks string
	Trip      time.Duration // between two regions and back
	Rate      float64       // requests a second, of the callers of each region
	Calm      time.Duration // before anything happens, and between what happens
	Cut       time.Duration // for which a region is cut off
}

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
		return
	}
	var o options
	asJSON := flag.Bool("json", false, "print one line of JSON")
	flag.StringVar(&o.Headworks, "headworks", "bin/headworks", "the program")
	flag.DurationVar(&o.Trip, "trip", 80*time.Millisecond, "a round trip between regions")
	flag.Float64Var(&o.Rate, "rate", 20, "requests a second of each region's callers")
	flag.DurationVar(&o.Calm, "calm", 10*time.Second, "time between two events")
	flag.DurationVar(&o.Cut, "cut", 40*time.Second, "how long a region is cut off")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r, err := run(ctx, &o, os.Stderr)
	switch {
	case errors.Is(err, errSkipped):
		fmt.Println("SKIPPED test/regions:", err)
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
	if *asJSON {
		err = json.NewEncoder(os.Stdout).Encode(r)
	} else {
		err = r.print(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// errSkipped is why nothing was measured here.
var errSkipped = errors.New("nothing was measured")

// roleVariable says what part a process plays that this program started: of itself, in
// a namespace.
const roleVariable = "REGIONS_ROLE"

// play plays a part until its standard input ends.
func play(role string) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with whoever started this
		stop()
	}()
	switch role {
	case "engine":
		return engine(ctx, os.Getenv("REGIONS_LISTEN"))
	case "callers":
		return callers(ctx, os.Stdout)
	default:
		return errors.New("no such part")
	}
}
