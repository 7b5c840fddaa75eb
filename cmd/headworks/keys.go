package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"headworks/internal/api/admin"
)

func newKeysCommand(t *terminal) *cobra.Command {
	return group("keys", "Create, list and revoke keys", newKeysCreateCommand(t), newKeysListCommand(t), newKeysRevokeCommand(t))
}

func newKeysCreateCommand(t *terminal) *cobra.Command {
	var k admin.NewKey
	var ttl time.Duration
	c := &cobra.Command{
		Use: "create NAME", Short: "Create a key; its secret is shown this once", Args: cobra.MaximumNArgs(1),
		Example: "  headworks keys create app --tenant acme --tier pro --models 'demo-*'",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				k.Name = args[0]
			}
			if k.Name == "" {
				return &exit{exitUsage, fmt.Errorf("a key needs a name: headworks keys create NAME")}
			}
			if ttl < 0 {
				return &exit{exitUsage, fmt.Errorf("--expires %v is over already; say how long the key works, as 720h", ttl)}
			}
			if ttl > 0 {
				k.Expires = time.Now().Add(ttl).UTC()
			}
			a, err := t.instance()
			if err != nil {
				return err
			}
			made, err := a.CreateKey(c.Context(), k)
			if err != nil {
				return err
			}
			return t.print(made, func(w io.Writer) {
				fmt.Fprintln(w, made.Secret)
				fmt.Fprintf(t.err, "key %s (%s) of tenant %s; the secret is not shown again\n", made.Name, made.ID, made.Tenant)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&k.Name, "name", "", "what it is called in logs and records")
	f.StringVar(&k.Tenant, "tenant", "", "the organisation")
	f.StringVar(&k.Project, "project", "", "the project inside it")
	f.StringVar(&k.Tier, "tier", "", "a tier of the configuration")
	f.StringSliceVar(&k.Models, "models", nil, "what it may ask for: names, or beginnings with a trailing *")
	f.DurationVar(&ttl, "expires", 0, "how long it works, as 720h; 0 is for ever")
	return c
}

func newKeysListCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List keys and what they used", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := t.instance()
			if err != nil {
				return err
			}
			keys, err := a.Keys(c.Context())
			if err != nil {
				return err
			}
			return t.print(map[string][]admin.Key{"keys": keys}, func(w io.Writer) {
				var rows [][]string
				for _, k := range keys {
					models := "all"
					if len(k.Models) > 0 {
						models = strings.Join(k.Models, ",")
					}
					rows = append(rows, []string{
						k.ID, k.Name, k.Tenant, k.Tier, models, fmt.Sprint(k.Requests), fmt.Sprint(k.Input + k.Output),
						fmt.Sprintf("%.4f", float64(k.Cost)/1e6), keyState(k),
					})
				}
				list(w, []string{"ID", "NAME", "TENANT", "TIER", "MODELS", "REQUESTS", "TOKENS", "USD", "STATE"}, rows)
			})
		},
	}
}

func keyState(k admin.Key) string {
	switch {
	case !k.Revoked.IsZero():
		return "revoked " + k.Revoked.Format(time.DateTime)
	case !k.Expires.IsZero() && k.Expires.Before(time.Now()):
		return "expired " + k.Expires.Format(time.DateTime)
	case k.Pinned:
		return "pinned"
	default:
		return "live"
	}
}

func newKeysRevokeCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID-OR-NAME", Short: "End a key at once", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			a, err := t.instance()
			if err != nil {
				return err
			}
			k, err := a.RevokeKey(c.Context(), args[0])
			if err != nil {
				return err
			}
			return t.print(k, func(w io.Writer) { fmt.Fprintf(w, "revoked %s (%s)\n", k.Name, k.ID) })
		},
	}
}
