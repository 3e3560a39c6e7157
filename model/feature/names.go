package feature

import (
	"strconv"
	"strings"
	"unicode"

	"telco-churn-mlops/model/spec"
)

// featureNames returns the features' names in order, made fit for LightGBM's text format and unique: a name that is taken already gets
// _2, _3, ... after it.
func (p *Pipeline) featureNames() []string {
	var names []string
	taken := make(map[string]bool)
	add := func(name string) {
		name = clean(name)
		unique := name
		for n := 2; taken[unique]; n++ {
			unique = name + "_" + strconv.Itoa(n)
		}
		taken[unique] = true
		names = append(names, unique)
	}
	for i := range p.numeric {
		add(p.numeric[i].name)
	}
	for i := range p.categorical {
		c := &p.categorical[i]
		if c.encoding != spec.EncodingOneHot {
			add(c.name)
			continue
		}
		for _, level := range c.levels {
			add(c.name + "." + level)
		}
		add(c.name + ".<unseen>")
		add(c.name + ".<missing>")
	}
	for i := range p.derived {
		add(p.derived[i].name)
	}
	return names
}

// clean replaces by an underscore what a reader of LightGBM's text format could stumble over: white space, which separates names, the
// equals sign, which separates keys from values, the characters LightGBM refuses because its JSON reserves them, and what does not print.
func clean(name string) string {
	if name == "" {
		return "_"
	}
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || unicode.IsSpace(r) || !unicode.IsPrint(r) || strings.ContainsRune(`"\,:[]{}=`, r) {
			return '_'
		}
		return r
	}, name)
}
