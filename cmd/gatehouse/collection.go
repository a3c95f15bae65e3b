package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse"
	"gatehouse/internal/config"
)

// listPage is how many rows are read at once.
const listPage = 500

// collection is what the commands that list, show, stop and remove have to
// know of one kind of thing: clients or users.
type collection[T any] struct {
	// noun names the kind, and argument one of them in a usage line.
	noun, argument string
	// find reads one by any of its names.
	find func(ctx context.Context, db database, name string) (T, bool, error)
	// page reads some that come after a key, "" being before the first.
	page func(ctx context.Context, db database, after string) ([]T, error)
	// key is for page, id what the command line calls it, name what people do.
	key, id, name func(T) string
	document      func(T) any
	heading       []string
	row           func(T) []string
	facts         func(T) [][2]string

	disabledAt func(T) time.Time
	// changed is the event of a change, into which about writes what of.
	changed gatehouse.EventKind
	about   func(T, *gatehouse.Event)
	disable func(ctx context.Context, db database, one T, disabled bool, event gatehouse.Event) (bool, error)
	remove  func(ctx context.Context, db database, one T, event gatehouse.Event) (bool, error)
}

func (c collection[T]) all(ctx context.Context, db database) ([]T, error) {
	var all []T
	after := ""
	for {
		page, err := c.page(ctx, db, after)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all = append(all, page...)
		after = c.key(page[len(page)-1])
	}
}

// known reads one, or fails with the one that was meant.
func (c collection[T]) known(ctx context.Context, db database, name string) (T, error) {
	one, found, err := c.find(ctx, db, name)
	if err != nil || found {
		return one, err
	}
	all, err := c.all(ctx, db)
	if err != nil {
		return one, err
	}
	ids := make([]string, len(all))
	for i, other := range all {
		ids[i] = c.id(other)
	}
	try := "gatehouse " + c.noun + " list"
	if hint := config.DidYouMean(name, ids); hint != "" {
		try = meant(hint) + ", or " + try
	}
	return one, failed(try, "there is no %s %q", c.noun, name)
}

func (c collection[T]) listCommand(term terminal, where *place, long, example string) *cobra.Command {
	asJSON := false
	command := &cobra.Command{
		Use: "list", Short: "List the " + c.noun + "s", Long: long, Example: example,
		Args: takes(),
		RunE: func(command *cobra.Command, _ []string) error {
			return where.with(command, func(ctx context.Context, db database, _ located) error {
				all, err := c.all(ctx, db)
				if err != nil {
					return err
				}
				if asJSON {
					documents := make([]any, len(all))
					for i, one := range all {
						documents[i] = c.document(one)
					}
					return printJSON(term.out, documents)
				}
				rows := [][]string{c.heading}
				for _, one := range all {
					rows = append(rows, c.row(one))
				}
				return table(term.out, rows)
			})
		},
	}
	jsonFlag(command, &asJSON, "print a JSON list")
	return command
}

// with reads the one that the command line names and acts on it.
func (c collection[T]) with(command *cobra.Command, where *place, name string, act func(ctx context.Context, db database, one T) error) error {
	return where.with(command, func(ctx context.Context, db database, _ located) error {
		one, err := c.known(ctx, db, name)
		if err != nil {
			return err
		}
		return act(ctx, db, one)
	})
}

func (c collection[T]) showCommand(term terminal, where *place, long, example string) *cobra.Command {
	asJSON := false
	command := &cobra.Command{
		Use: "show " + c.argument, Short: "Show a " + c.noun, Long: long, Example: example,
		Args: takes(c.argument),
		RunE: func(command *cobra.Command, args []string) error {
			return c.with(command, where, args[0], func(_ context.Context, _ database, one T) error {
				if asJSON {
					return printJSON(term.out, c.document(one))
				}
				return facts(term.out, c.facts(one))
			})
		},
	}
	jsonFlag(command, &asJSON, "print one JSON document")
	return command
}

// event is that of an act on one of the collection.
func (c collection[T]) event(change string, one T) gatehouse.Event {
	event := byCommand(c.changed, change)
	c.about(one, &event)
	return event
}

func (c collection[T]) disableCommand(term terminal, where *place, disable bool, long, example string) *cobra.Command {
	word := "enable"
	if disable {
		word = "disable"
	}
	return &cobra.Command{
		Use: word + " " + c.argument, Short: strings.ToUpper(word[:1]) + word[1:] + " a " + c.noun, Long: long,
		Example: "  gatehouse " + c.noun + " " + word + " " + example + " --data ./data",
		Args:    takes(c.argument),
		RunE: func(command *cobra.Command, args []string) error {
			return c.with(command, where, args[0], func(ctx context.Context, db database, one T) error {
				if !c.disabledAt(one).IsZero() == disable {
					fmt.Fprintf(term.out, "%s %s is %sd already\n", c.noun, oneLine(c.id(one)), word)
					return nil
				}
				if _, err := c.disable(ctx, db, one, disable, c.event(word+"d", one)); err != nil {
					return err
				}
				fmt.Fprintf(term.out, "%s %s is %sd\n", c.noun, oneLine(c.id(one)), word)
				return nil
			})
		},
	}
}

// removeCommand asks the question, which has a place for the name, unless
// --yes is given.
func (c collection[T]) removeCommand(term terminal, where *place, short, long, question, example string) *cobra.Command {
	yes := false
	typed := "  gatehouse " + c.noun + " rm " + example
	command := &cobra.Command{
		Use: "rm " + c.argument, Short: short, Long: long,
		Example: typed + " --data ./data\n" + typed + " --yes --data ./data",
		Args:    takes(c.argument),
		RunE: func(command *cobra.Command, args []string) error {
			return c.with(command, where, args[0], func(ctx context.Context, db database, one T) error {
				if !yes {
					if err := term.confirm(fmt.Sprintf(question, oneLine(c.name(one))), command.CommandPath()+" "+args[0]+" --yes"); err != nil {
						return err
					}
				}
				if _, err := c.remove(ctx, db, one, c.event("removed", one)); err != nil {
					return err
				}
				fmt.Fprintf(term.out, "%s %s is removed\n", c.noun, oneLine(c.id(one)))
				return nil
			})
		},
	}
	command.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return command
}
