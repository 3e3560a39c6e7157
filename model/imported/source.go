package imported

import (
	"fmt"
	"path"
)

// The greatest sizes in bytes of what is read.
const (
	maxDescription  = 1 << 20   // MLmodel, schema.json
	maxExampleBytes = 8 << 20   // an input example
	maxModelBytes   = 256 << 20 // a model
	maxHoldoutBytes = 64 << 20  // a holdout
)

// source is a Source with its files by path.
type source struct {
	Source
	files map[string]string // by clean path, as in List
}

func newSource(s Source) *source {
	out := &source{Source: s, files: make(map[string]string, len(s.List))}
	for _, p := range s.List {
		out.files[path.Clean(p)] = p
	}
	return out
}

// has reports whether a file was logged.
func (s *source) has(p string) bool { _, ok := s.files[p]; return ok }

// read returns a file's content of at most so many bytes.
func (s *source) read(p string, most int) ([]byte, error) {
	data, err := s.Files(s.files[p])
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", clip(p), err)
	}
	if len(data) > most {
		return nil, refuse(p, "it has %d bytes, at most %d are read", len(data), most)
	}
	return data, nil
}
