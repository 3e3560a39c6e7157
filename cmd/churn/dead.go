package main

import (
	"context"
	"fmt"
	"time"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

type deadCmd struct {
	List  deadListCmd  `cmd:"" default:"withargs" help:"List dead letters (the default)."`
	Show  deadShowCmd  `cmd:"" help:"Show one dead letter whole."`
	Retry deadRetryCmd `cmd:"" help:"Publish the original of a dead letter again."`
}

type deadListCmd struct{ remote }

type deadLetter struct {
	Sequence uint64 `json:"dead_sequence"`
	events.DeadLetter
}

func deadLetters(ctx context.Context, b *bus.Bus) ([]deadLetter, error) {
	out := []deadLetter{}
	err := b.DeadLetters(ctx, func(seq uint64, d events.DeadLetter) error {
		out = append(out, deadLetter{seq, d})
		return nil
	})
	return out, err
}

// Run lists, oldest first.
func (c deadListCmd) Run(r *run) error {
	return c.join(r, "cli", func(ctx context.Context, b *bus.Bus) error {
		letters, err := deadLetters(ctx, b)
		if err != nil {
			return err
		}
		if r.JSON {
			return r.json(letters)
		}
		return table(r, "LETTER\tWHEN\tSUBJECT\tSTREAM\tSEQUENCE\tCONSUMER\tREASON", func(row func(...any)) {
			for _, d := range letters {
				row(d.Sequence, d.At.Local().Format(time.DateTime), d.Subject, d.Stream, d.DeadLetter.Sequence, d.Consumer, d.Reason)
			}
		})
	})
}

type deadShowCmd struct {
	remote
	Letter uint64 `arg:"" help:"Number of the letter, from the list."`
}

// Run shows one.
func (c deadShowCmd) Run(r *run) error {
	return c.join(r, "cli", func(ctx context.Context, b *bus.Bus) error {
		letters, err := deadLetters(ctx, b)
		if err != nil {
			return err
		}
		for _, d := range letters {
			if d.Sequence != c.Letter {
				continue
			}
			if r.JSON {
				return r.json(d)
			}
			fmt.Fprintf(r.out, "letter    %d, stored %s\nsubject   %s (%s, sequence %d)\nconsumer  %s, %d deliveries\nreason    %s\n",
				d.Sequence, d.At.Local().Format(time.DateTime), d.Subject, d.Stream, d.DeadLetter.Sequence, d.Consumer, d.Deliveries, d.Reason)
			for k, v := range d.Header {
				fmt.Fprintf(r.out, "header    %s: %s\n", k, v)
			}
			_, err := fmt.Fprintf(r.out, "\n%s\n", d.Data)
			return err
		}
		return fmt.Errorf("there is no letter %d", c.Letter)
	})
}

type deadRetryCmd struct {
	remote
	Letter uint64 `arg:"" help:"Number of the letter, from the list."`
}

// Run publishes the original again and takes the letter away.
func (c deadRetryCmd) Run(r *run) error {
	return c.join(r, "cli", func(ctx context.Context, b *bus.Bus) error {
		if err := b.RetryDeadLetter(ctx, c.Letter); err != nil {
			return err
		}
		if r.JSON {
			return r.json(map[string]uint64{"published_again": c.Letter})
		}
		_, err := fmt.Fprintf(r.out, "letter %d published again\n", c.Letter)
		return err
	})
}
