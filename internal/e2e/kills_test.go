//go:build processes

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/synth"
)

const (
	// seedVariable sets the seed of the random moments, to see a failure again.
	seedVariable = "E2E_SEED"
	// rounds is how often each of the five processes is killed.
	rounds = 5
	// killing bounds the time in which they are, after which no more are.
	killing = 75 * time.Second
)

// ordinal is a place in what one boot of an instance answered.
type ordinal struct {
	instance, boot string
	n              uint64
}

// killing is a test in which processes are killed while others are used.
type killingTest struct {
	*loop
	t    *testing.T
	b    *bus.Bus
	rng  *rand.Rand
	addr string // of the instance that lives

	stop chan struct{}
	wg   sync.WaitGroup

	mu        sync.Mutex
	answered  map[string]int // prediction id to version
	bad       []string
	lastCause uint64
	labels    int
	manual    map[string]int // commands of an operator: those that succeeded
}

// wait pauses and reports whether there is still something to do.
func (k *killingTest) wait(d time.Duration) bool {
	select {
	case <-k.stop:
		return false
	case <-time.After(d):
		return true
	}
}

// ask sends requests to the instance that lives, and the outcome of every third customer once it is answered.
func (k *killingTest) ask(all []customer) {
	for i := 0; k.wait(20 * time.Millisecond); i++ {
		c := all[i%len(all)]
		a, err := post(k.addr, c.record)
		k.mu.Lock()
		if err != nil {
			k.bad = append(k.bad, err.Error())
		} else {
			k.answered[a.PredictionID] = a.Version
		}
		k.mu.Unlock()
		if err == nil && i%3 == 0 {
			k.wg.Go(func() { k.label(a.PredictionID, c) })
		}
	}
}

// label says what became of a customer, as a system of record does: until it is stored.
func (k *killingTest) label(prediction string, c customer) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := k.b.Publish(ctx, events.New(model, k.b.Source(), prediction, time.Now(), &events.LabelObserved{
		PredictionID: prediction, Outcome: events.Outcome(c.outcome)}))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.labels++
	if err != nil {
		k.bad = append(k.bad, "label: "+err.Error())
	}
}

// cause asks for runs all along: each time on other customers, with the relation turned over, so that the newest model is the better one. In
// between an operator promotes and rolls back.
func (k *killingTest) cause() {
	regimes := []synth.Regime{synth.Shifted, synth.Original}
	for i := 0; ; i++ {
		writeData(k.t, k.data, synth.Config{Rows: 2000, Seed: uint64(100 + i), Regime: regimes[i%2], IDPrefix: fmt.Sprintf("r%d-", i)})
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		r, err := k.b.Publish(ctx, events.New(model, k.b.Source(), strconv.Itoa(i), time.Now(), &events.RetrainRequested{Reason: "test"}))
		cancel()
		k.mu.Lock()
		if err == nil {
			k.lastCause = r.Sequence
		} else {
			k.bad = append(k.bad, "cause: "+err.Error())
		}
		k.mu.Unlock()
		for f := lifecycle(k.t, k.b); f.unfinished(r.Sequence) != nil; f = lifecycle(k.t, k.b) {
			if !k.wait(100 * time.Millisecond) {
				return
			}
		}
		if i%2 == 1 {
			k.operate(i)
		}
		if !k.wait(50 * time.Millisecond) {
			return
		}
	}
}

// operate runs a command that may fail, as something is always down, but may not do harm.
func (k *killingTest) operate(i int) {
	args := []string{"rollback"}
	if i%4 == 3 {
		args = []string{"promote", strconv.Itoa(len(lifecycle(k.t, k.b).versions) - 1)}
	}
	_, err := try(k.t, k.dir, "", append(append([]string{churn(k.t)}, args...), "--nats", k.url)...)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.manual[args[0]]++
	} else {
		k.t.Logf("%s: %v", strings.Join(args, " "), err)
	}
}

// killAll kills each process as often as the others, in a random order at random moments, and starts it again a random moment later. In each
// round at least one run comes through.
func (k *killingTest) killAll() (killed map[string]int) {
	killed = map[string]int{}
	began := time.Now()
	for range rounds {
		before := len(lifecycle(k.t, k.b).versions)
		victims := []*process{k.trainer, k.registry, k.drift, k.other, k.server}
		k.rng.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
		for _, v := range victims {
			k.wait(time.Duration(100+k.rng.IntN(1600)) * time.Millisecond)
			if time.Since(began) > killing {
				return killed
			}
			v.kill(k.t)
			k.wait(time.Duration(k.rng.IntN(800)) * time.Millisecond)
			v.start(k.t)
			killed[v.name]++
		}
		// A killed trainer's run rests until its lease is over: without a pause as long as that now and then, no run would ever end.
		await(k.t, patience, "a run comes through between the kills", func() error {
			if n := len(lifecycle(k.t, k.b).versions); n <= before {
				return fmt.Errorf("%d versions", n)
			}
			return nil
		})
	}
	return killed
}

// settle waits until nothing is unfinished: no run, no verdict, no label, no answer on its way to the stream.
func (k *killingTest) settle() facts {
	k.t.Helper()
	var f facts
	await(k.t, 90*time.Second, "the loop finishes what was begun", func() error {
		f = lifecycle(k.t, k.b)
		return f.unfinished(k.lastCause)
	})
	return f
}

func seed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv(seedVariable)
	if text == "" {
		return uint64(time.Now().UnixNano())
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, seedVariable)
	return n
}

func TestKillsAtRandomMoments(t *testing.T) {
	t.Parallel()
	n := seed(t)
	t.Logf("%s=%d makes the same choices", seedVariable, n)
	l := newLoop(t)
	writeData(t, l.data, synth.Config{Rows: 2000, Seed: 1, Regime: synth.Original})
	l.startTrainer(t, "127.0.0.1:0")
	l.startRegistry(t, "127.0.0.1:0")
	l.startDrift(t, "127.0.0.1:0")
	l.startInference(t)
	k := &killingTest{loop: l, t: t, b: connect(t, l.url), rng: rand.New(rand.NewPCG(n, 1)), stop: make(chan struct{}),
		answered: map[string]int{}, manual: map[string]int{}}
	awaitStreams(t, k.b)
	k.addr = address(t, k.b, "one")
	all := customers(t, 500)
	serves(t, k.addr, 1, all[0].record)

	ended := sync.OnceFunc(func() { close(k.stop); k.wg.Wait() })
	defer ended()
	k.wg.Go(func() { k.ask(all) })
	k.wg.Go(k.cause)
	killed := k.killAll()
	ended()

	f := k.settle()
	total := 0
	for _, n := range killed {
		total += n
	}
	t.Logf("killed %v; %d runs, %d versions, %d promotions, %d answers, %d labels, by hand %v",
		killed, len(f.started), len(f.versions), len(f.promotions), len(k.answered), k.labels, k.manual)
	require.GreaterOrEqual(t, total, 20, "kills")
	require.Empty(t, k.bad, "requests to the instance that lived")
	require.Empty(t, f.failed, "runs failed")
	require.Zero(t, f.junk)
	f.check(t)
	require.GreaterOrEqual(t, len(f.versions), 1+total/len(killed), "too little happened for this to say anything")
	require.GreaterOrEqual(t, len(f.promotions), 3, "too little happened for this to say anything")
	k.checkPredictions()
	k.checkExamples()
	require.Empty(t, deadLetters(t, k.b))
	require.Zero(t, messages(t, k.b, string(events.Dead)), "advisories of messages that were given up")

	// and it goes on: both instances serve what is Production, and a next run comes through
	production := f.production()
	first, second := serves(t, k.addr, production.Version, all[0].record), serves(t, address(t, k.b, "other"), production.Version, all[0].record)
	require.Equal(t, first.Probability, second.Probability)
	l.cli(t, "train", "--target", "production")
	f = k.settle()
	f.check(t)
	for _, p := range []*process{l.one, l.other, l.trainer, l.registry, l.drift} {
		p.stop(t)
	}
}

// checkPredictions holds that each answer is in PREDICTIONS once, but for those that the instance itself counts as dropped.
func (k *killingTest) checkPredictions() {
	t := k.t
	t.Helper()
	stored := map[string]int{}
	places := map[ordinal]bool{}
	await(t, patience, "the answers are in PREDICTIONS", func() error {
		clear(stored)
		clear(places)
		read(t, k.b, events.Predictions, func(m bus.Message) {
			p, ok := m.Event.Payload.(*events.PredictionMade)
			require.True(t, ok, "junk at %d: %v", m.Sequence, m.Err)
			stored[p.PredictionID]++
			places[ordinal{p.Instance, p.Boot, p.Ordinal}] = true
		})
		missing := 0
		for id := range k.answered {
			if stored[id] == 0 {
				missing++
			}
		}
		if dropped := k.dropped(); missing > dropped {
			return fmt.Errorf("%d of %d answers are missing, the instance counts %d as dropped", missing, len(k.answered), dropped)
		}
		return nil
	})
	for id, n := range stored {
		require.Equal(t, 1, n, "prediction %s stands more than once", id)
	}
	require.Len(t, places, len(stored), "two predictions have one ordinal")
}

// dropped returns how many answers the living instance says that it could not log.
func (k *killingTest) dropped() int {
	page, err := get("http://" + k.addr + "/metrics")
	require.NoError(k.t, err)
	total := 0
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "churn_prediction_log_dropped_total{") {
			fields := strings.Fields(line)
			n, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			require.NoError(k.t, err, line)
			total += int(n)
		}
	}
	return total
}

// checkExamples holds that each label has joined its prediction, once.
func (k *killingTest) checkExamples() {
	t := k.t
	t.Helper()
	joined := map[string]int{}
	await(t, patience, "every label joins its prediction", func() error {
		clear(joined)
		read(t, k.b, events.Training, func(m bus.Message) {
			p, ok := m.Event.Payload.(*events.ExampleJoined)
			require.True(t, ok, "junk at %d: %v", m.Sequence, m.Err)
			joined[p.PredictionID]++
		})
		if len(joined) < k.labels {
			return fmt.Errorf("%d of %d", len(joined), k.labels)
		}
		return nil
	})
	for id, n := range joined {
		require.Equal(t, 1, n, "prediction %s was joined more than once", id)
	}
}
