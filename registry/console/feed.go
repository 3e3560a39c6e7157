package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/access"
	"telco-churn-mlops/internal/app"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/registry"
)

const (
	feedShown = 60 // lines of a page
	// feedBeat is the pause between signs of life, for proxies on the way, and how long a user who was taken away goes on reading.
	feedBeat   = 5 * time.Second
	feedWrite  = 10 * time.Second
	feedBehind = 5000 // messages of one stream that a resumed feed goes back at most
)

// feedStreams are what the feed tells of, in the order of the parts of a position.
var feedStreams = []events.Stream{events.Lifecycle, events.Fleet, events.Causes, events.Drift}

// feedKinds are the events of a stream that are worth a line: signs of life and counts are not.
func feedKinds(s events.Stream) []string {
	var out []string
	for _, k := range events.KindsOn(s) {
		if k.Type != events.TypeInstanceAlive && k.Type != events.TypeServingMeasured && k.Type != events.TypeScheduleRetrain {
			out = append(out, k.Wildcard())
		}
	}
	return out
}

// position is the last sequence seen of each of the feed's streams. Its text, "12-7-0-93", is the id of a server-sent event.
type position [4]uint64

func (p position) String() string {
	parts := make([]string, len(p))
	for i, n := range p {
		parts[i] = strconv.FormatUint(n, 10)
	}
	return strings.Join(parts, "-")
}

func parsePosition(text string) (position, bool) {
	var p position
	parts := strings.Split(text, "-")
	if len(parts) != len(p) {
		return p, false
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			return position{}, false
		}
		p[i] = n
	}
	return p, true
}

// line is one event in words.
type line struct {
	ID    string // of the element, unique in the page
	Type  string
	Model string
	At    time.Time
	Words string
	Class string // good, warn, bad or empty
	Href  string
	Of    string // what the link is called
}

// ends returns the present end of every stream of the feed.
func (p *site) ends(ctx context.Context) (position, error) {
	var at position
	var all errgroup.Group
	for i, s := range feedStreams {
		all.Go(func() (err error) {
			at[i], err = p.s.Bus().LastSequence(ctx, s)
			return err
		})
	}
	return at, all.Wait()
}

// live notes where the feed of a page begins whose parts are asked for anew by events. It is called before the page's data is read, so that nothing
// falls between the two.
func (p *site) live(r *request) {
	if r.frame.Stale != "" {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pageRefresh)
	defer cancel()
	if at, err := p.ends(ctx); err == nil {
		r.frame.Position = at.String()
	}
}

// recent returns the newest lines, newest first, those of the kind skip left out, and the position after them.
func (p *site) recent(ctx context.Context, most int, skip string) ([]line, position, error) {
	ctx, cancel := context.WithTimeout(ctx, pageRefresh)
	defer cancel()
	at, err := p.ends(ctx)
	if err != nil {
		return nil, at, err
	}
	found := make([][]line, len(feedStreams))
	var all errgroup.Group
	for i, s := range feedStreams {
		if at[i] == 0 {
			continue
		}
		all.Go(func() error {
			// Signs of life stand between the facts of FLEET, so its tail is read further back.
			for back := uint64(4 * most); ; back *= 8 {
				from := uint64(1)
				if at[i] > back {
					from = at[i] - back
				}
				found[i] = found[i][:0]
				err := p.s.Bus().Read(ctx, bus.ReadConfig{Stream: s, Filters: feedKinds(s), From: from, Through: at[i]}, func(m bus.Message) error {
					if l, ok := lineOf(m); ok && l.Type != skip {
						found[i] = append(found[i], l)
					}
					return nil
				})
				if err != nil || len(found[i]) >= most || from == 1 || back >= feedBehind {
					return err
				}
			}
		})
	}
	err = all.Wait()
	lines := slices.Concat(found...)
	slices.SortStableFunc(lines, func(a, b line) int { return b.At.Compare(a.At) })
	return lines[:min(len(lines), most)], at, err
}

type eventsView struct {
	frame
	Lines []line
}

func (p *site) events(r *request) (view, error) {
	v := eventsView{frame: r.frame}
	v.Title, v.Area = "Events", "events"
	v.load(r.Context(), p, feedShown, "")
	return view{template: "events", data: v}, nil
}

func (v *eventsView) load(ctx context.Context, p *site, most int, skip string) {
	if v.Stale != "" {
		return
	}
	lines, at, err := p.recent(ctx, most, skip)
	v.Lines, v.Position = lines, at.String()
	if err != nil {
		v.Stale = err.Error()
	}
}

// feed streams events as they are stored, from the one after Last-Event-ID or the parameter from, else from now. It ends when the server stops.
func (p *site) feed(w http.ResponseWriter, r *http.Request) {
	leave, ok := p.feeds.take(sitter(r))
	if !ok {
		w.Header().Set("Retry-After", "30")
		http.Error(w, "too many live feeds are open", http.StatusServiceUnavailable)
		return
	}
	defer leave()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(app.Draining(ctx), cancel)()
	known, stop := context.WithTimeout(ctx, pageRefresh)
	ends, err := p.ends(known)
	stop()
	if err != nil {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "the streams can't be read at the moment", http.StatusServiceUnavailable)
		return
	}
	at := resume(ends, r.Header.Get("Last-Event-ID"), r.URL.Query().Get("from"))
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodHead {
		return
	}
	out := &feedWriter{w: w, control: http.NewResponseController(w), render: p.lineHTML, at: at}
	if err := out.send("retry: 3000\n\n"); err != nil {
		return
	}
	still := func() error { return p.s.Access().Again(r, access.Read) }
	if err := p.follow(ctx, at, out, still); err != nil && ctx.Err() == nil {
		p.s.Log().Warn("feed ended", "user", access.From(ctx).Name, "err", err)
	}
}

// resume returns the position to begin at: the first text that is one, and the present ends for the rest. A stream that was re-created is
// followed from its end, and one that is far ahead not from further back than is worth showing.
func resume(ends position, texts ...string) position {
	for _, text := range texts {
		if at, ok := parsePosition(text); ok {
			for i := range at {
				if at[i] > ends[i] {
					at[i] = ends[i]
				} else if ends[i]-at[i] > feedBehind {
					at[i] = ends[i] - feedBehind
				}
			}
			return at
		}
	}
	return ends
}

// follow writes what the streams hold after a position, until ctx ends, the client has gone, or still says that the client may not read any more.
func (p *site) follow(ctx context.Context, at position, out *feedWriter, still func() error) error {
	all, ctx := errgroup.WithContext(ctx)
	for i, s := range feedStreams {
		all.Go(func() error {
			gone, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			err := p.s.Bus().Follow(gone, bus.FollowConfig{Name: "feed", Stream: s, Filters: feedKinds(s), From: at[i] + 1},
				func(_ context.Context, m bus.Message) error {
					if err := out.fact(i, m); err != nil {
						cancel(err) // Follow would try again
					}
					return nil
				})
			if cause := context.Cause(gone); cause != nil && ctx.Err() == nil {
				return cause
			}
			return err
		})
	}
	all.Go(func() error {
		tick := time.NewTicker(p.beat)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
				if err := still(); err != nil {
					return err
				}
				if err := out.send(": alive\n\n"); err != nil {
					return err
				}
			}
		}
	})
	return all.Wait()
}

// feedWriter writes server-sent events of several followers.
type feedWriter struct {
	render  func(line) (string, error)
	control *http.ResponseController

	mu sync.Mutex
	w  http.ResponseWriter
	at position
}

func (f *feedWriter) fact(stream int, m bus.Message) error {
	l, ok := lineOf(m)
	var data []byte
	if ok {
		html, err := f.render(l)
		if err != nil {
			return err
		}
		if data, err = json.Marshal(map[string]string{"html": html, "model": l.Model, "type": l.Type}); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at[stream] = max(f.at[stream], m.Sequence)
	if !ok {
		return nil
	}
	return f.write(fmt.Sprintf("event: fact\nid: %s\ndata: %s\n\n", f.at, data))
}

func (f *feedWriter) send(text string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.write(text)
}

func (f *feedWriter) write(text string) error {
	if err := f.control.SetWriteDeadline(time.Now().Add(feedWrite)); err != nil {
		return err
	}
	if _, err := f.w.Write([]byte(text)); err != nil {
		return err
	}
	return f.control.Flush()
}

func (p *site) lineHTML(l line) (string, error) {
	var out bytes.Buffer
	err := p.templates.ExecuteTemplate(&out, "line", l)
	return out.String(), err
}

// deadCount remembers how many dead letters there are, so that not every page asks.
type deadCount struct {
	mu    sync.Mutex
	asked time.Time
	n     uint64
}

func (d *deadCount) count(ctx context.Context, s *registry.Service) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := s.Now(); now.Sub(d.asked) > 5*time.Second {
		stream, err := s.Bus().JetStream().Stream(ctx, string(events.Dead))
		if err == nil {
			d.asked, d.n = now, stream.CachedInfo().State.Msgs
		}
	}
	return d.n
}
