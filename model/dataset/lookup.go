package dataset

// wordIndex finds, without hashing, what the text of a cell in a categorical column with a closed set stands for: the spec's word, or "" for
// a missing marker. Where a word's length, its first or its last byte tells all texts apart, that byte leads to the one candidate and a comparison
// decides; other sets get a map. The zero value knows nothing.
type wordIndex struct {
	key   indexKey
	byKey [256]uint8 // place in texts of the candidate, 0 for none
	texts []string   // from 1 on
	words []string   // what they stand for
	rest  map[string]string

	// For JSON: the texts between quotes, as far as they need no escapes, by their first byte; a chain leads to those that share it.
	quoted  []string
	byFirst [256]uint8 // place in quoted, 0 for none
	chain   []uint8
}

func newWordIndex(set map[string]string, missing map[string]bool) wordIndex {
	x := wordIndex{texts: []string{""}, words: []string{""}}
	add := func(text, word string) {
		x.texts, x.words = append(x.texts, text), append(x.words, word)
	}
	for text, word := range set {
		switch {
		case text == "":
		case missing[text]: // which the set can't make known
			add(text, "")
		default:
			add(text, word)
		}
	}
	if len(x.texts) == 1 {
		return wordIndex{}
	}
	x.quote()
	for x.key = keyLength; x.key < keyNone; x.key++ {
		if x.tellsApart() {
			return x
		}
	}
	x.rest = make(map[string]string, len(x.texts))
	for i, text := range x.texts[1:] {
		x.rest[text] = x.words[i+1]
	}
	return x
}

// indexKey says which byte tells the texts of an index apart.
type indexKey uint8

const (
	keyLength indexKey = iota // modulo 256
	keyFirst
	keyLast
	keyNone
)

// of returns the byte of a text that is not empty.
func (k indexKey) of(s string) byte {
	switch k {
	case keyLength:
		return byte(len(s))
	case keyFirst:
		return s[0]
	}
	return s[len(s)-1]
}

// tellsApart fills byKey and reports whether no two texts share a key.
func (x *wordIndex) tellsApart() bool {
	if len(x.texts) > len(x.byKey) {
		return false
	}
	x.byKey = [256]uint8{}
	for i, text := range x.texts[1:] {
		k := x.key.of(text)
		if x.byKey[k] != 0 {
			return false
		}
		x.byKey[k] = uint8(i + 1)
	}
	return true
}

// quote fills the part for JSON. A column of many words goes without it.
func (x *wordIndex) quote() {
	const most = 64
	if len(x.texts) > most {
		return
	}
	x.quoted, x.chain = make([]string, len(x.texts)), make([]uint8, len(x.texts))
	for i, text := range x.texts[1:] {
		s := scanner{data: []byte(`"` + text + `"`)}
		if t, err := s.str(); err != nil || !t.plain || t.string != text {
			continue // read the slow way
		}
		x.quoted[i+1] = string(s.data)
		x.chain[i+1] = x.byFirst[text[0]]
		x.byFirst[text[0]] = uint8(i + 1)
	}
}

// read steps over a string and returns what it stands for, and false where it does not know it.
func (x *wordIndex) read(s *scanner) (word string, ok bool) {
	if s.pos+1 >= len(s.data) {
		return "", false
	}
	for i := x.byFirst[s.data[s.pos+1]]; i != 0; i = x.chain[i] {
		if s.word(x.quoted[i]) {
			return x.words[i], true
		}
	}
	return "", false
}

// find returns what a trimmed text stands for, and false for one that it does not know.
func (x *wordIndex) find(text string) (word string, ok bool) {
	switch {
	case text == "" || len(x.texts) == 0:
		return "", false
	case x.key == keyNone:
		word, ok = x.rest[text]
		return word, ok
	}
	i := x.byKey[x.key.of(text)]
	return x.words[i], x.texts[i] == text // texts[0] is empty, which text is not
}

// keySet finds keys that are there twice. It takes no memory for up to a few keys, and holds views of the record: reset it before the next one.
type keySet struct {
	few  []string
	many map[string]bool
}

// fewKeys is how many keys are compared one by one.
const fewKeys = 16

func (k *keySet) reset() {
	clear(k.few)
	k.few, k.many = k.few[:0], nil
}

// add reports whether the key was there before.
func (k *keySet) add(key string) bool {
	if k.many != nil {
		twice := k.many[key]
		k.many[key] = true
		return twice
	}
	for _, other := range k.few {
		if other == key {
			return true
		}
	}
	if k.few = append(k.few, key); len(k.few) > fewKeys {
		k.many = make(map[string]bool, 2*fewKeys)
		for _, other := range k.few {
			k.many[other] = true
		}
	}
	return false
}

// marks are the columns that were there. The zero value is that of a schema with up to 128 columns.
type marks struct {
	few  [2]uint64
	many []uint64
}

func newMarks(columns int) marks {
	var m marks
	if columns > 64*len(m.few) {
		m.many = make([]uint64, (columns+63)/64)
	}
	return m
}

func (m *marks) reset() {
	m.few = [2]uint64{}
	clear(m.many)
}

// word returns the word of column i.
func (m *marks) word(i int) *uint64 {
	if m.many != nil {
		return &m.many[i/64]
	}
	return &m.few[i/64]
}

func (m *marks) has(i int) bool { return *m.word(i)>>(i%64)&1 == 1 }

// add reports whether column i was there before.
func (m *marks) add(i int) bool {
	w := m.word(i)
	before := *w
	*w |= 1 << (i % 64)
	return *w == before
}
