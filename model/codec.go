package model

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"telco-churn-mlops/model/calibrate"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/feature"
	"telco-churn-mlops/model/gbdt"
	"telco-churn-mlops/model/spec"
)

// The names of a bundle's parts.
const (
	ManifestFile = "manifest.json"
	SpecFile     = "spec.yaml"
	FeaturesFile = "fitted_features.json"
	TreesFile    = "model.txt"
	// CalibrationFile is there only if the bundle calibrates.
	CalibrationFile = "calibration.json"
	// BaselineFile is there but for an imported model.
	BaselineFile = "baseline.json"
	GoldenFile   = "golden.json"
)

// MaxSize is the greatest size in bytes of an encoded bundle that Decode takes.
const MaxSize = 512 << 20

// fileNames are the parts in their order.
var fileNames = []string{ManifestFile, SpecFile, FeaturesFile, TreesFile, CalibrationFile, BaselineFile, GoldenFile}

// File is a part of a bundle under its name.
type File struct {
	Name string
	Data []byte
}

// Files returns the parts in their fixed order, manifest.json first. They are the bytes that New made or Decode read, and are only to
// be read. It fails for a bundle that neither made.
func (b *Bundle) Files() ([]File, error) {
	if len(b.files) == 0 {
		return nil, errors.New("encode bundle: it was made by neither New nor Decode")
	}
	return slices.Clone(b.files), nil
}

// Encode returns the bundle as a tar archive. The same bundle gives the same bytes, and a decoded one those that it came from.
func (b *Bundle) Encode() ([]byte, error) {
	files, err := b.Files()
	if err != nil {
		return nil, err
	}
	data, err := writeArchive(files)
	if err != nil {
		return nil, fmt.Errorf("encode bundle: %w", err)
	}
	return data, nil
}

// writeArchive returns a tar archive of the files with fixed headers.
func writeArchive(files []File) ([]byte, error) {
	var out bytes.Buffer
	size := 2 * 512 // the end
	for _, f := range files {
		size += 2*512 + len(f.Data)
	}
	out.Grow(size)
	w := tar.NewWriter(&out)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Size: int64(len(f.Data)), Mode: 0o644, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		if _, err := w.Write(f.Data); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Decode reads what Encode wrote. It refuses an archive above MaxSize, parts that are missing, doubled, unknown or out of order, a
// part whose digest is not the manifest's, a part that its own package refuses, parts that do not belong together, and headers or
// padding other than Encode's. It never panics. It does not score the golden rows: call Verify before the bundle answers anyone.
func Decode(data []byte) (*Bundle, error) {
	b, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("decode bundle: %w", err)
	}
	return b, nil
}

func decode(data []byte) (*Bundle, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%d bytes, at most %d are read", len(data), MaxSize)
	}
	files, err := readArchive(data)
	if err != nil {
		return nil, err
	}
	b := &Bundle{}
	if err := b.Manifest.decode(files[0].Data); err != nil {
		return nil, fmt.Errorf("%s: %w", ManifestFile, err)
	}
	if want, got := b.Manifest.Files, digests(files[1:]); !maps.Equal(want, got) {
		for _, name := range fileNames[1:] {
			if want[name] != got[name] {
				return nil, fmt.Errorf("%s: digest is %s, the manifest says %q", name, got[name], want[name])
			}
		}
		return nil, fmt.Errorf("%s: digests of parts that do not exist", ManifestFile)
	}
	if has := slices.ContainsFunc(files, func(f File) bool { return f.Name == BaselineFile }); has != b.HasBaselines() {
		return nil, fmt.Errorf("%s: an imported model has none, every other one", BaselineFile)
	}
	if err := b.decodeParts(files); err != nil {
		return nil, err
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	again, err := writeArchive(files)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, data) {
		return nil, errors.New("the archive has headers or padding that bundles are not written with")
	}
	b.files = files
	return b, nil
}

// decodeParts reads every part but the manifest: the pipeline after the spec that it needs, the others at the same time.
func (b *Bundle) decodeParts(files []File) error {
	errs := make([]error, len(files))
	decode := func(i int, part func([]byte) error) {
		if err := part(files[i].Data); err != nil {
			errs[i] = fmt.Errorf("%s: %w", files[i].Name, err)
		}
	}
	parts := map[string]func([]byte) error{
		TreesFile: b.decodeTrees, CalibrationFile: b.decodeCalibration, BaselineFile: b.decodeBaselines, GoldenFile: b.decodeGolden,
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		if decode(1, b.decodeSpec); errs[1] == nil {
			decode(2, b.decodePipeline)
		}
	})
	for i := 3; i < len(files); i++ {
		wait.Go(func() { decode(i, parts[files[i].Name]) })
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// mayLack reports whether there are bundles without a part.
func mayLack(name string) bool { return name == CalibrationFile || name == BaselineFile }

// readArchive returns the files of a tar archive that holds exactly a bundle's parts in their order, those that some bundles lack or not.
func readArchive(data []byte) ([]File, error) {
	r := tar.NewReader(bytes.NewReader(data))
	files := make([]File, 0, len(fileNames))
	next := fileNames // what may still come
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read archive: %w", err)
		}
		if len(next) == 0 {
			return nil, fmt.Errorf("part %q after the last one", h.Name)
		}
		for h.Name != next[0] && mayLack(next[0]) {
			next = next[1:] // the last part is none of these
		}
		if h.Name != next[0] || h.Typeflag != tar.TypeReg {
			return nil, fmt.Errorf("part %d is %q, want the file %q", len(files), h.Name, next[0])
		}
		if h.Size > int64(len(data)) {
			return nil, fmt.Errorf("%s: %d bytes in an archive of %d", h.Name, h.Size, len(data))
		}
		content := make([]byte, h.Size)
		if _, err := io.ReadFull(r, content); err != nil {
			return nil, fmt.Errorf("read archive: %s: %w", h.Name, err)
		}
		files, next = append(files, File{h.Name, content}), next[1:]
	}
	for _, name := range next {
		if !mayLack(name) {
			return nil, fmt.Errorf("%s is missing", name)
		}
	}
	return files, nil
}

// contents encodes every part but the manifest, in order.
func (b *Bundle) contents() ([]File, error) {
	var trees bytes.Buffer
	files := make([]File, 0, len(fileNames)-1)
	for _, name := range fileNames[1:] {
		var data []byte
		var err error
		switch name {
		case SpecFile:
			data, err = b.Spec.Marshal()
		case FeaturesFile:
			data, err = plainJSON(b.Pipeline, "  ")
		case TreesFile:
			err = b.Trees.WriteText(&trees)
			data = trees.Bytes()
		case CalibrationFile:
			if b.Calibrator.Method() == calibrate.None {
				continue
			}
			data, err = plainJSON(b.Calibrator, "  ")
		case BaselineFile:
			if !b.HasBaselines() {
				continue
			}
			data, err = plainJSON(b.Baselines, "  ")
		case GoldenFile:
			data, err = encodeGolden(b.Golden)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files = append(files, File{name, data})
	}
	return files, nil
}

// encodeGolden writes one golden row per line.
func encodeGolden(golden []Golden) ([]byte, error) {
	out := []byte("[\n")
	for i := range golden {
		line, err := plainJSON(golden[i], "")
		if err != nil {
			return nil, err
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		if i < len(golden)-1 {
			line = append(line, ',')
		}
		out = append(append(out, line...), '\n')
	}
	return append(out, "]\n"...), nil
}

func (b *Bundle) decodeSpec(data []byte) error {
	s, err := spec.Parse(data)
	if err != nil {
		return err
	}
	b.Spec = s
	b.Schema, err = dataset.NewSchema(s)
	return err
}

func (b *Bundle) decodePipeline(data []byte) (err error) {
	if b.Manifest.Imported != "" {
		b.Pipeline, err = feature.ParsePassthrough(data, b.Schema)
		return err
	}
	b.Pipeline, err = feature.Parse(data, b.Spec, b.Schema)
	return err
}

func (b *Bundle) decodeTrees(data []byte) (err error) {
	b.Trees, err = gbdt.ParseText(bytes.NewReader(data))
	return err
}

// decodeCalibration refuses the identity too: a bundle that does not calibrate has no such part.
func (b *Bundle) decodeCalibration(data []byte) error {
	if err := strictJSON(data, &b.Calibrator); err != nil {
		return err
	}
	if b.Calibrator.Method() == calibrate.None {
		return errors.New("method none is written by leaving the part out")
	}
	return nil
}

func (b *Bundle) decodeBaselines(data []byte) error { return strictJSON(data, &b.Baselines) }

func (b *Bundle) decodeGolden(data []byte) error {
	var docs []goldenDoc // and not []Golden, whose UnmarshalJSON would scan every row twice more
	if err := strictJSON(data, &docs); err != nil {
		return err
	}
	for i := range docs {
		g, err := docs[i].golden()
		if err != nil {
			return fmt.Errorf("row %d: %w", i, err)
		}
		b.Golden = append(b.Golden, g)
	}
	return nil
}

// encode writes the manifest as it is.
func (m *Manifest) encode() ([]byte, error) { return plainJSON(m, "  ") }

// digest returns the digest of the manifest without its own.
func (m *Manifest) digest() (string, error) {
	c := *m
	c.Digest = ""
	data, err := c.encode()
	if err != nil {
		return "", err
	}
	return digest(data), nil
}

// decode reads a manifest and checks its format and its own digest.
func (m *Manifest) decode(data []byte) error {
	var format struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &format); err != nil {
		return err
	}
	if format.Format != FormatVersion { // said before fields of another format are found unknown
		return fmt.Errorf("format %d, want %d", format.Format, FormatVersion)
	}
	if err := strictJSON(data, m); err != nil {
		return err
	}
	got, err := m.digest()
	if err != nil {
		return err
	}
	if got != m.Digest {
		return fmt.Errorf("its digest is %s, it says %q", got, m.Digest)
	}
	// The digest is of what was understood. The text may still differ, as in the case of a key.
	again, err := m.encode()
	if err != nil {
		return err
	}
	if !bytes.Equal(again, data) {
		return errors.New("it is not written as manifests are")
	}
	return nil
}

// digests returns the SHA-256 of each file in hex, by name.
func digests(files []File) map[string]string {
	out := make(map[string]string, len(files))
	for _, f := range files {
		out[f.Name] = digest(f.Data)
	}
	return out
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// plainJSON encodes without escaping for HTML, one value per line if indent is not empty, and ends in a newline.
func plainJSON(v any, indent string) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// strictJSON decodes one value that is all of data and has no unknown fields.
func strictJSON(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("data after the value")
	}
	return nil
}
