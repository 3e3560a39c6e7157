package e2e

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/embedded"
)

// A program downstream hears of every promotion, those included that happened while it was down: the server keeps the position of a durable
// consumer by its name. A message can come twice, and here the first one does, so what was done is remembered by ce-id; a real program stores
// that together with its effect.
func Example_durableConsumer() {
	url, stop := serverWithPromotions()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	nc, err := nats.Connect(url, nats.MaxReconnects(-1))
	check(err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	check(err)
	consumer, err := js.CreateOrUpdateConsumer(ctx, "LIFECYCLE", jetstream.ConsumerConfig{Durable: "crm", FilterSubject: "model.promoted.>"})
	check(err)
	done := map[string]bool{}
	for range 3 { // a program of yours goes on for ever
		msg, err := consumer.Next(jetstream.FetchContext(ctx))
		check(err)
		if id := msg.Headers().Get("ce-id"); !done[id] {
			fmt.Println(msg.Subject(), id) // here is the effect; msg.Data() is the JSON
			done[id] = true
			if len(done) == 1 {
				check(msg.Nak()) // as if the program had been killed now: the message comes again
				continue
			}
		}
		check(msg.DoubleAck(ctx))
	}

	// Output:
	// model.promoted.telco-churn model.promoted.v1/telco-churn/v1@0
	// model.promoted.telco-churn model.promoted.v1/telco-churn/v2@1
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// serverWithPromotions starts a server in which two promotions are stored.
func serverWithPromotions() (url string, stop func()) {
	dir, err := os.MkdirTemp("", "example-")
	check(err)
	server, err := embedded.Start(embedded.Config{Port: -1, StoreDir: dir, StoreBytes: storeBytes})
	check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	b, err := bus.Connect(ctx, bus.Config{URL: server.URL(), Name: "registry", StoreBytes: server.StoreBytes()})
	check(err)
	check(b.Provision(ctx))
	bundle := events.Artifact{Name: events.ArtifactBundle, Digest: string(artifact.DigestOf([]byte("bundle"))), SizeBytes: 6}
	var last uint64
	for version, cause := range []events.PromotionCause{events.PromotedByGate, events.PromotedManually} {
		last, err = b.Append(ctx, events.New(model, "registry/local", fmt.Sprintf("v%d@%d", version+1, last), time.Now(), &events.ModelPromoted{
			Version: version + 1, RunID: "run", Bundle: bundle, PreviousVersion: version, PreviousSequence: last, Cause: cause}), last)
		check(err)
	}
	check(b.Close(ctx))
	return server.URL(), func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		check(server.Stop(ctx))
		check(os.RemoveAll(dir))
	}
}
