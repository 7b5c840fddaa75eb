package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"headworks/internal/app"
	"headworks/internal/complexity"
)

// mostLabel bounds a line of labels.
const mostLabel = 16 << 20

func newWorthCommand(t *terminal) *cobra.Command {
	var labels, file, model string
	c := &cobra.Command{
		Use: "complexity", Short: "Measure how well the complexity score finds the prompts that need a strong model", Args: cobra.NoArgs,
		Long: "Reads prompts with what a weak and a strong model made of them, a JSON object a line:\n" +
			`{"prompt": "...", "weak": false, "strong": true}; a number from 0 to 1 will do too.` + "\n" +
			"Prints how much of the gap between the two models the score recovers, beside the length\n" +
			"of prompts. Nothing is sent anywhere.",
		Example: "  headworks eval complexity --labels mmlu.jsonl\n" +
			"  headworks eval complexity --labels ours.jsonl --config headworks.yaml --model assistant --json",
		RunE: func(*cobra.Command, []string) error {
			if labels == "" {
				return &exit{exitUsage, errors.New("which prompts? name a file with --labels")}
			}
			w, err := weights(file, model)
			if err != nil {
				return err
			}
			all, err := readLabels(labels)
			if err != nil {
				return err
			}
			r := complexity.Compare(all, &w)
			return t.print(r, func(out io.Writer) {
				fmt.Fprintf(out, "%s; the weak model gets %.1f %% of them, the strong one %.1f %%\n\n", count(r.Prompts, "prompt"), 100*r.Weak, 100*r.Strong)
				table(out,
					[]string{"BY", "GAP RECOVERED (APGR)", "STRONG CALLS FOR HALF OF IT (CPT50)"},
					[]string{"complexity", fmt.Sprintf("%.3f", r.Complexity.APGR), fmt.Sprintf("%.1f %%", 100*r.Complexity.CPT50)},
					[]string{"length", fmt.Sprintf("%.3f", r.Length.APGR), fmt.Sprintf("%.1f %%", 100*r.Length.CPT50)},
					[]string{"a coin", "0.500", "50.0 %"},
				)
				fmt.Fprintf(out, "\ncomplexity - length: %+.3f, 95 %% from %+.3f to %+.3f\n", r.More, r.Low, r.High)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&labels, "labels", "", "the prompts: a JSON object a line")
	f.StringVar(&file, "config", "", "take the weights of a model of this file")
	f.StringVar(&model, "model", "", "the model of --config")
	return c
}

// weights returns those of a model of a file, or those that hold where nothing is said.
func weights(file, model string) (complexity.Weights, error) {
	if file == "" {
		if model != "" {
			return complexity.Weights{}, &exit{exitUsage, errors.New("--model is of a file: name it with --config")}
		}
		return complexity.Default(), nil
	}
	w, err := app.ComplexityWeights(file, model)
	switch {
	case errors.Is(err, app.ErrConfig):
		err = &exit{exitConfig, err}
	case errors.Is(err, app.ErrNoModel):
		err = &exit{exitUsage, err}
	}
	return w, err
}

// outcome is a number from 0 to 1, or a truth.
type outcome float64

func (o *outcome) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "true":
		*o = 1
		return nil
	case "false":
		*o = 0
		return nil
	}
	var f float64
	if err := json.Unmarshal(b, &f); err != nil || f < 0 || f > 1 {
		return errors.New("is no number from 0 to 1, true or false")
	}
	*o = outcome(f)
	return nil
}

func readLabels(file string) (all []complexity.Label, err error) {
	from := os.Stdin
	if file != "-" {
		if from, err = os.Open(file); err != nil {
			return nil, err
		}
		defer from.Close()
	}
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, mostLabel)
	for n := 1; lines.Scan(); n++ {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		var l struct {
			Prompt string   `json:"prompt"`
			Weak   *outcome `json:"weak"`
			Strong *outcome `json:"strong"`
		}
		switch err := json.Unmarshal(lines.Bytes(), &l); {
		case err != nil:
			return nil, &exit{exitUsage, fmt.Errorf("%s:%d: %w", file, n, err)}
		case l.Prompt == "" || l.Weak == nil || l.Strong == nil:
			return nil, &exit{exitUsage, fmt.Errorf(`%s:%d: needs "prompt", "weak" and "strong"`, file, n)}
		}
		all = append(all, complexity.Label{Prompt: l.Prompt, Weak: float64(*l.Weak), Strong: float64(*l.Strong)})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(all) == 0 {
		return nil, &exit{exitUsage, fmt.Errorf("%s has no prompts", file)}
	}
	return all, nil
}
