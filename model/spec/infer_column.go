package spec

import (
	"math"
	"math/bits"
	"regexp"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

const (
	// trackedWords is how many different values of a column are kept by name. Beyond it they are only counted.
	trackedWords = 128
	// trackedBytes bounds a value that is kept by name.
	trackedBytes = 256
	// numericShare is how many of a column's values must be numbers for the others to count as typing errors.
	numericShare = 0.98
	// uniqueShare is how many of a column's values must differ for it to count as unique.
	uniqueShare = 0.95
)

// column is what is known of one column after a pass, in bounded memory.
type column struct {
	name     string
	twice    bool // there are several of this name
	present  int64
	missing  int64
	numbers  int64
	coded    int64 // digits with leading zeros: a code like a postal one, no quantity
	dates    int64
	commas   int64            // numbers but for a comma: 12,50 or 1,234
	words    map[string]int64 // canonical words, up to trackedWords
	spelling map[string]string
	over     bool // more words than tracked
	distinct counter
	oddValue string // the first value that is no number, after numbers were seen
	oddRow   int64
}

func newColumn(name string) *column {
	return &column{name: name, words: map[string]int64{}, spelling: map[string]string{}}
}

var (
	leadingZero = regexp.MustCompile(`^0[0-9]+$`)
	commaForm   = regexp.MustCompile(`^[-+]?[0-9][0-9.]*(,[0-9]+)+(\.[0-9]+)?$`)
	dateForm    = regexp.MustCompile(`^(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([T ]\d{1,2}:\d{2}.*)?$`)
)

func (c *column) observe(text string, row int64) {
	if text == "" || isMissing(text) {
		c.missing++
		return
	}
	c.present++
	if isNumber(text) {
		c.numbers++
		if leadingZero.MatchString(text) {
			c.coded++
		}
	} else {
		if c.oddRow == 0 {
			c.oddValue, c.oddRow = text, row
		}
		if len(text) <= 40 && text[0] >= '0' && text[0] <= '9' && dateForm.MatchString(text) {
			c.dates++
		}
		if len(text) <= 40 && commaForm.MatchString(text) {
			c.commas++
		}
	}
	word := CanonicalWord(text)
	c.distinct.add(xxhash.Sum64String(word))
	if c.over {
		return
	}
	if _, known := c.words[word]; !known && (len(c.words) == trackedWords || len(word) > trackedBytes) {
		c.over = true
		return
	}
	if c.words[word]++; c.words[word] == 1 {
		c.spelling[word] = text
	}
}

func isMissing(text string) bool {
	for _, m := range defaultMissing {
		if text == m {
			return true
		}
	}
	return false
}

// isNumber reports whether a reader of the data takes text as a finite number.
func isNumber(text string) bool {
	switch c := text[0]; {
	case c >= '0' && c <= '9', c == '-', c == '+', c == '.':
	default:
		return false
	}
	if strings.ContainsAny(text, "xX_pP") {
		return false
	}
	v, err := strconv.ParseFloat(text, 64)
	return err == nil && !math.IsInf(v, 0) && !math.IsNaN(v)
}

// levels returns how many different values there are: exactly up to trackedWords, an estimate beyond.
func (c *column) levels() int64 {
	if !c.over {
		return int64(len(c.words))
	}
	return max(int64(len(c.words))+1, min(c.distinct.estimate(), c.present))
}

func (c *column) unique() bool {
	return c.present > 1 && float64(c.levels()) >= uniqueShare*float64(c.present)
}

// numeric reports whether the column is one of numbers, a few typing errors aside.
func (c *column) numeric() bool {
	return c.present > 0 && float64(c.numbers) >= numericShare*float64(c.present) && c.coded == 0
}

// dated reports whether the column holds dates.
func (c *column) dated() bool {
	return c.present > 0 && float64(c.dates) >= numericShare*float64(c.present)
}

// commaed reports whether the column holds numbers of which some are written with a comma, which no reader of the data takes as numbers.
func (c *column) commaed() bool {
	return c.commas > 0 && float64(c.numbers+c.commas) >= numericShare*float64(c.present) && c.coded == 0
}

var idForm = regexp.MustCompile(`^(?i:(row|customer|client|user|account|member|subscriber|employee|order|record|person|policy|contract|device)?(id|uuid|guid)|row_?(number|num|no)|index|unnamed: ?0|.*[ _.-](id|uuid|guid))$|[a-z](ID|Id)$`)

// namedLikeID reports whether a name says that it is an id.
func namedLikeID(name string) bool { return idForm.MatchString(name) }

// counter estimates the number of different hashes with 2^12 registers (HyperLogLog, Flajolet et al. 2007, with linear
// counting for small numbers): a standard error of 1.6 % in 4 KiB.
type counter struct{ registers []uint8 }

const counterBits = 12

func (c *counter) add(hash uint64) {
	if c.registers == nil {
		c.registers = make([]uint8, 1<<counterBits)
	}
	i := hash >> (64 - counterBits)
	rank := uint8(bits.LeadingZeros64(hash<<counterBits|1<<(counterBits-1)) + 1)
	c.registers[i] = max(c.registers[i], rank)
}

func (c *counter) estimate() int64 {
	m := float64(len(c.registers))
	if m == 0 {
		return 0
	}
	sum, empty := 0.0, 0
	for _, r := range c.registers {
		sum += math.Ldexp(1, -int(r))
		if r == 0 {
			empty++
		}
	}
	e := 0.7213 / (1 + 1.079/m) * m * m / sum
	if e <= 2.5*m && empty > 0 {
		e = m * math.Log(m/float64(empty))
	}
	return int64(math.Round(e))
}
