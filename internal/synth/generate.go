package synth

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
)

// Config says what to generate. Regime is required; the rest may be zero.
type Config struct {
	Rows     int    // how many customers; 0 gives a header alone
	Seed     uint64 // any value, 0 included
	Regime   Regime
	IDPrefix string // put before every id, to keep two files apart; no control characters
}

// Validate reports a negative or too great number of rows, an unknown regime, or a prefix that no id should begin with.
func (c Config) Validate() error {
	if c.Rows < 0 || int64(c.Rows) > idCount {
		return fmt.Errorf("%d rows: want 0 to %d", c.Rows, int64(idCount))
	}
	if c.Regime != Original && c.Regime != Shifted {
		return fmt.Errorf("unknown regime %q", c.Regime)
	}
	if strings.ContainsFunc(c.IDPrefix, func(r rune) bool { return r < ' ' || r == 0x7f || r == '�' }) {
		return fmt.Errorf("id prefix %q holds control or invalid characters", c.IDPrefix)
	}
	return nil
}

// Generator yields the rows of one Config, in order. It is not safe for concurrent use. New makes one; the zero value is not usable.
type Generator struct {
	config Config
	rng    *rand.Rand
	ids    idSequence
	done   int
	record []string
}

// New returns a generator at its first row. The error is Config.Validate's.
func New(c Config) (*Generator, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("synth: %w", err)
	}
	rng := rand.New(rand.NewPCG(c.Seed, 0x7e1c0))
	return &Generator{config: c, rng: rng, ids: newIDSequence(rng.Uint64N(idCount))}, nil
}

// Next returns the 21 raw values of the next customer in the order of Header, and false after the last. The slice is reused by the
// following call; the strings in it are not.
func (g *Generator) Next() ([]string, bool) {
	c, ok := g.NextCustomer()
	if !ok {
		return nil, false
	}
	g.record = c.AppendRecord(g.record[:0])
	return g.record, true
}

// WriteCSV writes a header and c.Rows rows as CSV, streaming, in constant memory. The bytes depend on c alone.
func WriteCSV(w io.Writer, c Config) error {
	g, err := New(c)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(w, 1<<16)
	out := csv.NewWriter(buffered)
	if err := out.Write(Header()); err != nil {
		return fmt.Errorf("write header: %w", err)
	}
	for record, ok := g.Next(); ok; record, ok = g.Next() {
		if err := out.Write(record); err != nil {
			return fmt.Errorf("write row %d: %w", g.done-1, err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	return nil
}

// NextCustomer is Next before the values are written as text.
func (g *Generator) NextCustomer() (Customer, bool) {
	if g.done >= g.config.Rows {
		return Customer{}, false
	}
	g.done++
	c := Customer{ID: g.config.IDPrefix + g.ids.next(), Tenure: g.tenure()}
	contract, internet := g.household(&c)
	cents := g.services(&c, contract, internet)
	g.bill(&c, cents)
	c.PaperlessBilling = g.yes(paperlessShare[internet] + paperlessLift[contract])
	c.PaymentMethod = payments[g.pick(paymentShare[internet][contract][:])]
	c.Churn = g.yes(c.ChurnProbability(g.config.Regime)) // the last draw of a row, so that regimes share their customers
	return c, true
}

// tenure draws months from tenureShare.
func (g *Generator) tenure() int {
	u := g.rng.Float64()
	previous := 0.0
	first := 0
	for _, step := range tenureShare {
		if u < step.share {
			width := float64(step.months - first + 1)
			return first + min(int((u-previous)/(step.share-previous)*width), step.months-first)
		}
		previous, first = step.share, step.months+1
	}
	return tenureShare[len(tenureShare)-1].months
}

// household draws who the customer is, and the contract and internet service as indices.
func (g *Generator) household(c *Customer) (contract, internet int) {
	year := min(max(c.Tenure-1, 0)/12, 5)
	contract = g.pick(contractShare[year][:])
	if c.Tenure == 0 {
		contract = 2 // who has not been billed yet has signed for two years
	}
	internet = g.pick(internetShare[contract][year][:])
	c.Contract, c.InternetService = contracts[contract], internets[internet]
	c.Gender = "Female"
	if g.yes(0.505) {
		c.Gender = "Male"
	}
	c.SeniorCitizen = g.yes(seniorShare[internet])
	c.Partner = g.yes(partnerShare.at(c.Tenure))
	dependents := 0.115
	if c.Partner {
		dependents = 0.58
	}
	if c.SeniorCitizen {
		dependents *= 0.22
	}
	c.Dependents = g.yes(dependents * dependentsFactor[internet])
	return contract, internet
}

// services draws the services and returns their list price in cents.
func (g *Generator) services(c *Customer, contract, internet int) int {
	cents := 0
	c.PhoneService = g.yes(phoneGivenDSL) || internet != 0
	lines := g.yes(multipleLines[internet].at(c.Tenure))
	c.MultipleLines = noPhoneService
	if c.PhoneService {
		c.MultipleLines = yesNo(lines)
		cents += phoneCents
		if lines {
			cents += linesCents
		}
	}
	switch internet {
	case 0:
		cents += dslCents
	case 1:
		cents += fiberCents
	}
	add := func(target *string, a addOn, given, correlation float64) float64 {
		share := a.dsl
		if internet == 1 {
			share = a.fiber
		}
		p := min(max(share.at(c.Tenure)+contractLift[contract], 0), 1)
		has := g.yes(p + times(correlation, given-p))
		*target = noInternetService
		if internet != 2 {
			*target = yesNo(has)
			if has {
				cents += a.cents
			}
		}
		return is(has)
	}
	add(&c.OnlineSecurity, security, 0, 0)
	add(&c.OnlineBackup, backup, 0, 0)
	add(&c.DeviceProtection, device, 0, 0)
	add(&c.TechSupport, tech, 0, 0)
	tv := add(&c.StreamingTV, streaming, 0, 0)
	add(&c.StreamingMovies, streaming, tv, moviesGivenTV)
	return cents
}

// bill sets both charges, in multiples of 5 cents. TotalCharges is what tenure months cost at the price before any rise, give or take
// the changes of the past: a standard deviation of 0.2 sqrt(tenure) months' charges.
func (g *Generator) bill(c *Customer, list int) {
	cents := max(5*int(math.Round((float64(list)+times(priceSD, g.normal()))/5)), leastCents)
	months := float64(c.Tenure)
	past := times(0.2*math.Sqrt(months), g.normal())
	switch {
	case c.Tenure == 0:
		c.TotalCharges = math.NaN()
	case c.Tenure == 1:
		c.TotalCharges = float64(cents) / 100
	default:
		c.TotalCharges = 5 * math.Round(times(float64(cents), months+past)/5) / 100
	}
	if g.config.Regime == Shifted {
		cents = 5 * int(math.Round(float64(cents*(100+priceRise))/500))
	}
	c.MonthlyCharges = float64(cents) / 100
}

// normal draws from the standard normal distribution, kept within three standard deviations.
func (g *Generator) normal() float64 { return min(max(g.rng.NormFloat64(), -3), 3) }

func (g *Generator) yes(p float64) bool { return g.rng.Float64() < p }

// pick draws an index by its share; the shares add up to 1, and rounding falls to the last.
func (g *Generator) pick(shares []float64) int {
	u := g.rng.Float64()
	for i, s := range shares[:len(shares)-1] {
		if u < s {
			return i
		}
		u -= s
	}
	return len(shares) - 1
}

func (l line) at(months int) float64 { return l.at0 + times(l.slope, float64(months)) }

// idCount is how many ids of the form 7590-VHVEG there are.
const idCount = 10_000 * 26 * 26 * 26 * 26 * 26

// idStep has no factor in common with idCount, so a walk by it meets every id once before it returns.
const idStep = 73_431_998_507

// idSequence walks over all ids.
type idSequence struct{ at uint64 }

func newIDSequence(start uint64) idSequence { return idSequence{at: start % idCount} }

func (s *idSequence) next() string {
	s.at = (s.at + idStep) % idCount
	digits, letters := s.at%10_000, s.at/10_000
	var text [10]byte
	for i := 3; i >= 0; i-- {
		text[i] = byte('0' + digits%10)
		digits /= 10
	}
	text[4] = '-'
	for i := 9; i >= 5; i-- {
		text[i] = byte('A' + letters%26)
		letters /= 26
	}
	return string(text[:])
}
