package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"headworks/internal/app"
)

func newDocsCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "docs [PAGE]", Short: "Print a page of the documentation, or the list of pages", Args: cobra.MaximumNArgs(1),
		Example: "  headworks docs howto/put-before-vllm\n  headworks docs HW-1003",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				pages := app.Pages()
				return t.print(map[string][]string{"pages": pages}, func(w io.Writer) { fmt.Fprintln(w, strings.Join(pages, "\n")) })
			}
			text, err := app.Page(args[0])
			if err != nil {
				return err
			}
			return t.print(map[string]string{"page": args[0], "text": text}, func(w io.Writer) { fmt.Fprint(w, text) })
		},
	}
}
