package dataset

const (
	// fullWords is how many different words, or cells that stand for them, a vocabulary holds before it begins anew.
	fullWords = 1 << 16
	// fullText is how many bytes the longer ones of them take together.
	fullText = 1 << 20
)

// vocabulary is what one goroutine knows of a categorical column, from part to part. A column of free text would fill it for as long as
// the file lasts, so it is made anew between parts once it is full; codes then start again, with another translation.
type vocabulary struct {
	words words    // their codes are those of the parts
	cells interner // text of a cell -> code
	known *translation
}

// translation says by code of a part which code a word has in the table that parts are joined to. It belongs to who joins them.
type translation struct{ codes []uint32 }

func newVocabularies(h *Schema) []vocabulary {
	out := make([]vocabulary, len(h.categorical))
	for i := range out {
		out[i] = newVocabulary()
	}
	return out
}

func newVocabulary() vocabulary { return vocabulary{words: newWords(), known: new(translation)} }

// translations begins a part: it makes full vocabularies anew and returns the translations of all.
func translations(v []vocabulary) []*translation {
	out := make([]*translation, len(v))
	for i := range v {
		if v[i].words.index.full() || v[i].cells.full() {
			v[i] = newVocabulary()
		}
		out[i] = v[i].known
	}
	return out
}

// full reports whether the interner is at the limit of a vocabulary.
func (n *interner) full() bool { return n.used >= fullWords || len(n.text) >= fullText }
