package dataset

import (
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
)

// part is what a block of a file holds: its good rows, and what is wrong or odd about others. Rows and lines count from the block's
// start until the part is joined to those before it.
type part struct {
	table  *Table
	hashes []uint64 // of the ids, where the schema has an id column and the row an id
	rows   int64    // records, the faulty ones included
	lines  int64
	events []event
	fatal  *fatalSyntax
	known  []*translation // by categorical column
	kept   []texts        // the text of each column in parser.keep, by row of the table
}

// event is a row with faults, which is not in the table, or with warnings, which is.
type event struct {
	row              int64 // from 1
	faults, warnings []Fault
}

// fatalSyntax is a quote that takes in the rows below it. To go on would lose them without a trace, so reading ends there.
type fatalSyntax struct {
	line, until int64 // from 0
	err         error
}

func (f *fatalSyntax) dataError(row, lines int64) *DataError {
	return &DataError{Message: "the file is not valid CSV", Faults: []Fault{{
		Row: row, Line: lines + f.line + 1, Rule: RuleQuote,
		Message: fmt.Sprintf("a quote is opened that is not closed properly up to line %d: %s", lines+f.until+1, f.err),
	}}}
}

// parser turns blocks into parts. Values that need no judgement (plain decimals within their bounds, words and labels that were judged
// before, ids of plain text) are read straight into columns; a row with any other value is read again by the decoder that all sources
// share, whose word is final. A parser belongs to one goroutine and keeps its vocabularies from block to block.
type parser struct {
	h       *Schema
	o       ReaderOptions
	columns []slot // of the file
	split   splitter
	words   []vocabulary // by categorical column
	labels  interner     // text of a cell -> label
	row     *Row
	numbers bool  // a missing marker may look like a number
	narrow  bool  // the file leaves optional columns out
	keep    []int // columns of the file whose text is kept
	plain   bool  // ids are not hashed
	buf     []byte
}

func newParser(h *Schema, o ReaderOptions, columns []slot, comma string) *parser {
	p := &parser{h: h, o: o, columns: columns, split: newSplitter(comma), row: h.NewRow(), words: newVocabularies(h)}
	for m := range h.missing {
		p.numbers = p.numbers || m != "" && (m[0] >= '0' && m[0] <= '9' || m[0] == '-' || m[0] == '+' || m[0] == '.')
	}
	features := 0
	for _, c := range columns {
		if c.kind == slotNumeric || c.kind == slotCategorical {
			features++
		}
	}
	p.narrow = features < len(h.numeric)+len(h.categorical)
	return p
}

// parse reads a block.
func (p *parser) parse(b block) *part {
	t := NewTable(p.h)
	rows := len(b.data)/(4*len(p.columns)+1) + 1 // a guess: four bytes to a value
	t.reserve(rows)
	out := &part{table: t, known: translations(p.words), kept: make([]texts, len(p.keep))}
	if p.labels.full() {
		p.labels = interner{}
	}
	s := &p.split
	s.reset(b.data, b.eof)
	for {
		found, syntax := s.next()
		if !found {
			break
		}
		if syntax != nil && syntax.line > syntax.start {
			out.fatal = &fatalSyntax{int64(syntax.start), int64(syntax.line), syntax.err}
			break
		}
		out.rows++
		if syntax != nil || len(s.fields) != len(p.columns) || p.narrow || !p.fast(t) {
			t.truncate()
			p.slow(out, syntax)
		}
		for i := range p.keep {
			if len(out.kept[i].ends) < t.Len() {
				out.kept[i].append(s.field(p.keep[i]))
			}
		}
	}
	out.lines = int64(s.line)
	for i := range t.cat {
		t.cat[i].names = p.words[i].words.names // only appended to, so this view does not change
	}
	if !p.plain {
		out.hashIDs()
	}
	return out
}

// hashIDs hashes the ids of the part's rows, to find those that are there twice. Where the schema has no id column there are none.
func (p *part) hashIDs() {
	if p.table.h.id != "" {
		p.hashes = p.table.ids.hashes()
	}
}

// fast reads the record's values into the table's columns. It reports false, and may leave columns of unequal length, where one needs
// judgement.
func (p *parser) fast(t *Table) bool {
	label, id := uint8(labelNone), []byte(nil)
	for i := range p.split.fields {
		c, raw := &p.columns[i], p.split.field(i)
		switch c.kind {
		case slotNumeric:
			v, ok := p.number(c.index, raw)
			if !ok {
				return false
			}
			t.num[c.index] = append(t.num[c.index], v)
		case slotCategorical:
			code := uint32(0)
			if len(raw) > 0 {
				var ok bool
				if code, ok = p.words[c.index].cells.find(raw); !ok {
					if code, ok = p.learnWord(*c, raw); !ok {
						return false
					}
				}
			}
			t.cat[c.index].codes.append(code)
		case slotID:
			if id = plainText(raw); id == nil {
				return false
			}
		case slotTarget:
			if len(raw) == 0 {
				if p.o.RequireLabel {
					return false
				}
				continue
			}
			code, ok := p.labels.find(raw)
			if !ok {
				if code, ok = p.learnLabel(*c, raw); !ok {
					return false
				}
			}
			label = uint8(code)
		}
	}
	t.labels = append(t.labels, label)
	if p.h.id == "" {
		id = p.digest(t)
	}
	t.ids.append(id)
	return true
}

// number reads a cell of a numeric column. It reports false for a fault or warning.
func (p *parser) number(column int, raw []byte) (float64, bool) {
	raw = trim(raw)
	v, ok := decimal(raw)
	if !ok || p.numbers {
		text := view(raw)
		if !utf8.ValidString(text) {
			return 0, false
		}
		if p.h.isMissing(text) {
			return math.NaN(), true
		}
		var rule string
		if v, rule = parseNumber(text); rule != "" {
			return 0, false
		}
	}
	b := &p.h.bounds[column]
	return v, v >= b.min && v <= b.max && b.takes(v)
}

// learnWord judges a cell of a categorical column that was not seen before. It reports false, and keeps nothing, for one that every row
// must report.
func (p *parser) learnWord(c slot, raw []byte) (uint32, bool) {
	if !p.judge(c, raw) {
		return 0, false
	}
	v := &p.words[c.index]
	code := v.words.code(p.row.Cat[c.index])
	v.cells.add(raw, code)
	return code, true
}

// learnLabel does the same for a label.
func (p *parser) learnLabel(c slot, raw []byte) (uint32, bool) {
	if !p.judge(c, raw) {
		return 0, false
	}
	code := uint32(labelOf(p.row.Label))
	p.labels.add(raw, code)
	return code, true
}

// judge decodes one cell into the parser's row and reports whether there is nothing to say about it.
func (p *parser) judge(c slot, raw []byte) bool {
	text := string(raw)
	if !utf8.ValidString(text) {
		return false
	}
	p.row.reset()
	d := p.decoder()
	d.text(c, text, true)
	return len(d.faults)+len(d.warnings) == 0
}

func (p *parser) decoder() decoder {
	return decoder{h: p.h, row: p.row, need: p.o.RequireLabel, severity: severity{rangeFault: !p.o.TakeRange}}
}

// slow reads a record by the rules of all sources.
func (p *parser) slow(out *part, syntax *syntaxError) {
	p.row.reset()
	d := p.decoder()
	p.row.Number, p.row.Line = out.rows, int64(p.split.start)
	if syntax != nil {
		d.fault("", RuleQuote, "", "column %d of the line: %s", syntax.column, syntax.err)
	} else {
		d.fields(p.columns, &p.split)
	}
	if err := d.finish(); err != nil {
		out.events = append(out.events, event{row: out.rows, faults: d.faults})
		return
	}
	if len(d.warnings) > 0 {
		out.events = append(out.events, event{row: out.rows, warnings: d.warnings})
	}
	out.appendRow(p.row, p.words)
}

// appendRow appends a decoded row.
func (out *part) appendRow(row *Row, vocab []vocabulary) {
	t := out.table
	for i, v := range row.Num {
		t.num[i] = append(t.num[i], v)
	}
	for i, s := range row.Cat {
		w := &t.cat[i]
		w.codes.append(vocab[i].words.code(s))
		w.names = vocab[i].words.names // only appended to, so this view does not change
	}
	t.labels = append(t.labels, labelOf(row.Label))
	t.ids.append(bytesOf(row.ID))
}

// fields decodes the values of a CSV record.
func (d *decoder) fields(columns []slot, s *splitter) {
	if len(s.fields) != len(columns) {
		d.fault("", RuleColumnsCount, "", "the row has %d values, the header %d", len(s.fields), len(columns))
		return
	}
	for i, c := range columns {
		if c.kind == slotIgnored {
			continue
		}
		text := view(s.field(i))
		if !utf8.ValidString(text) {
			d.warn(c.name, RuleEncoding, text, "the text is not UTF-8; what can't be read becomes U+FFFD")
		}
		d.text(c, text, true)
	}
}

// digest returns the id of the row that fast has just read, as RowDigest gives it.
func (p *parser) digest(t *Table) []byte {
	p.buf = p.buf[:0]
	for _, column := range t.num {
		p.buf = appendDigestNumber(p.buf, column[len(column)-1])
	}
	for i := range t.cat {
		codes := &t.cat[i].codes
		p.buf = appendDigestWord(p.buf, p.words[i].words.names[codes.At(codes.Len()-1)])
	}
	sum := xxhash.Sum64(p.buf)
	p.buf = appendDigest(p.buf[:0], sum)
	return p.buf
}

// plainText returns a cell without the space around it, nil where it is empty or needs more than that.
func plainText(raw []byte) []byte {
	raw = trim(raw)
	for _, c := range raw {
		if c >= utf8.RuneSelf || c == '\r' {
			return nil
		}
	}
	if len(raw) == 0 {
		return nil
	}
	return raw
}

// trim cuts ASCII space off both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && asciiSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && asciiSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func asciiSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// powers of ten that a float64 holds exactly.
var powers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// decimal reads a number of a sign, at most 15 digits and a point among them. Both its digits as a whole number and the power of ten
// are then exact float64 values, so that one division rounds once, as ParseFloat does. It reports false for everything else.
func decimal(b []byte) (float64, bool) {
	negative := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 16 {
		return 0, false
	}
	var m uint64
	point := -1
	for i, c := range b {
		if d := c - '0'; d <= 9 {
			m = m*10 + uint64(d)
			continue
		}
		if c != '.' || point >= 0 {
			return 0, false
		}
		point = i
	}
	v, n := float64(m), len(b)
	if point >= 0 {
		n--
		v /= powers[n-point]
	}
	if n == 0 || n > 15 {
		return 0, false
	}
	if negative {
		v = -v
	}
	return v, true
}
