package main

import "github.com/spf13/cobra"

func newConfigCommand(t *terminal) *cobra.Command { return group("config", "Write, check and explain a configuration") }
