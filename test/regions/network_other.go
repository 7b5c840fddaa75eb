//go:build !linux

package main

import (
	"context"
	"fmt"
	"io"
)

func run(context.Context, *options, io.Writer) (*report, error) {
	return nil, fmt.Errorf("%w: network namespaces are Linux's", errSkipped)
}
