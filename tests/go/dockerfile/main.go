// Lints a Dockerfile with the parser and the rules of BuildKit itself, without an engine:
//
//	dockerfile < Dockerfile
//
// One line for each fault; exit status 1 when there is one. Nothing is fetched.
package main

import (
	"fmt"
	"os"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

func main() {
	faults := 0
	fault := func(line int, words string) {
		faults++
		fmt.Printf("Dockerfile:%d: %s\n", line, words)
	}
	found, err := parser.Parse(os.Stdin)
	if err != nil {
		fault(0, err.Error())
		os.Exit(1)
	}
	for _, warning := range found.Warnings {
		line := 0
		if warning.Location != nil {
			line = warning.Location.Start.Line
		}
		fault(line, warning.Short)
	}
	rules := linter.New(&linter.Config{
		Warn: func(rule, _, _, words string, place []parser.Range) {
			line := 0
			if len(place) > 0 {
				line = place[0].Start.Line
			}
			fault(line, rule+": "+words)
		},
	})
	if _, _, err := instructions.Parse(found.AST, rules); err != nil {
		fault(0, err.Error())
	}
	if faults > 0 {
		os.Exit(1)
	}
}
