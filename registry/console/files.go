package console

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/model/imported"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/tracking"
)

const (
	// previewBytes is how much of a file is read for its preview.
	previewBytes = 256 << 10
	previewRows  = 100
	previewCells = 60
	// previewFields is how many columns of a signature are shown.
	previewFields = 500
	// downloadTime bounds one download.
	downloadTime = 30 * time.Minute
)

// preview is what can be shown of a file; at most one of Text, Rows and Image is set.
type preview struct {
	Text  string
	Head  []string
	Rows  [][]string
	Image bool
	Model *modelFile
	Note  string
}

type filesView struct {
	frame
	Files    folder
	File     *tracking.File
	Raw      string // where the bytes are
	Preview  preview
	External string // where the files are, if not here
}

func (p *site) files(r *request) (view, error) {
	run, err := p.findRun(r.Context(), r.PathValue("run"))
	if err != nil {
		return view{}, err
	}
	name := strings.Trim(r.PathValue("path"), "/")
	v := filesView{frame: r.frame}
	v.Area, v.Title = "experiments", "Files of "+run.Words()
	v.Crumbs = []link{{Words: "Experiments", Href: "/experiments"}, {Words: run.Words(), Href: run.Href}}
	at, ok := filePath(run, name)
	if !ok {
		v.External = run.ArtifactURI
		return view{template: "files", data: v}, nil
	}
	file, err := p.book.File(r.Context(), at)
	if err != nil || name == "" {
		if v.Files, err = p.folder(r.Context(), run, name); err != nil {
			return view{}, err
		}
		if len(v.Files.Entries) == 0 && name != "" {
			return view{}, &missing{what: "file " + cut(name, 80) + " in this run"}
		}
		return view{template: "files", data: v}, nil
	}
	dir, base := path.Split(name)
	if v.Files, err = p.folder(r.Context(), run, dir); err != nil {
		return view{}, err
	}
	v.File, v.Files.Current, v.Raw = &file, base, run.Href+"/artifacts/"+segments(name)
	v.Title = base
	v.Preview = p.preview(r.Context(), base, artifact.Ref{Digest: file.Digest, Size: file.Size})
	return view{template: "files", data: v}, nil
}

// preview reads the beginning of a file. What can't be read is told in its note.
func (p *site) preview(ctx context.Context, name string, ref artifact.Ref) preview {
	if strings.HasPrefix(contentType(name), "image/") {
		return preview{Image: true}
	}
	ctx, cancel := context.WithTimeout(ctx, pageRefresh)
	defer cancel()
	rc, err := p.s.Store().Open(ctx, ref.Digest)
	if err != nil {
		return preview{Note: "The file can't be read: " + err.Error()}
	}
	defer rc.Close() // it was only read
	data, err := io.ReadAll(io.LimitReader(rc, previewBytes))
	if err != nil {
		return preview{Note: "The file can't be read: " + err.Error()}
	}
	return show(name, data, ref.Size)
}

// show makes a preview of the first bytes of a file of a size.
func show(name string, data []byte, whole int64) preview {
	cutOff := int64(len(data)) < whole
	for cutOff && len(data) > 0 && !utf8.Valid(data) && len(data) > previewBytes-utf8.UTFMax { // the cut may have split a letter
		data = data[:len(data)-1]
	}
	if !utf8.Valid(data) || strings.ContainsRune(string(data), 0) {
		return preview{Note: "No preview: these are no words."}
	}
	var v preview
	if cutOff {
		v.Note = fmt.Sprintf("The first %s of %s.", size(int64(len(data))), size(whole))
	}
	switch ext := path.Ext(name); {
	case ext == ".csv" || ext == ".tsv":
		if v.table(data, ext == ".tsv", cutOff) {
			return v
		}
	case ext == ".json" && !cutOff:
		v.Text = indented(data)
		return v
	case name == "MLmodel":
		v.Model = parseModelFile(data)
	}
	v.Text = string(data)
	return v
}

// table shows the first rows of a CSV, and reports false for what is none.
func (v *preview) table(data []byte, tabs, cutOff bool) bool {
	in := csv.NewReader(strings.NewReader(string(data)))
	in.FieldsPerRecord, in.LazyQuotes = -1, true
	if tabs {
		in.Comma = '\t'
	}
	for len(v.Rows) < previewRows {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return cutOff && len(v.Rows) > 0
		}
		row = row[:min(len(row), previewCells)]
		if v.Head == nil {
			v.Head = row
			continue
		}
		v.Rows = append(v.Rows, row)
	}
	if len(v.Rows) == previewRows {
		v.Note = fmt.Sprintf("The first %d rows. %s", previewRows, v.Note)
	}
	return v.Head != nil
}

// modelFile is what an MLmodel file says.
type modelFile struct {
	Flavors         []string
	Inputs, Outputs []field
	Created         string
}

type field struct{ Name, Type string }

// parseModelFile reads an MLmodel file that a stranger wrote; nil if it can't be read. No more flavors and columns are shown than a page has use for.
func parseModelFile(data []byte) *modelFile {
	card, err := imported.ReadCard(data)
	if err != nil {
		return nil
	}
	return &modelFile{
		Flavors: card.Flavors[:min(len(card.Flavors), previewCells)], Created: card.Created,
		Inputs: fields(card.Inputs), Outputs: fields(card.Outputs),
	}
}

// fields reads a schema: a list of columns or of one tensor.
func fields(text string) []field {
	var raw []struct {
		Name, Type string
		Tensor     *struct {
			Type string `json:"dtype"`
		} `json:"tensor-spec"`
	}
	if json.Unmarshal([]byte(text), &raw) != nil {
		return nil
	}
	var out []field
	for i, f := range raw[:min(len(raw), previewFields)] {
		if f.Tensor != nil {
			f.Type = f.Tensor.Type + " tensor"
		}
		if f.Name == "" {
			f.Name = strconv.Itoa(i)
		}
		out = append(out, field{f.Name, f.Type})
	}
	return out
}

// download streams a file of a run.
func (p *site) download(w http.ResponseWriter, r *http.Request) {
	p.frame(r)
	r = r.WithContext(tracking.AsFolded(r.Context()))
	run, err := p.findRun(r.Context(), r.PathValue("run"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	name := strings.Trim(r.PathValue("path"), "/")
	at, _ := filePath(run, name)
	file, err := p.book.File(r.Context(), at)
	if err != nil {
		http.Error(w, "there is no such file in this run", http.StatusNotFound)
		return
	}
	p.send(w, r, path.Base(name), file.Digest)
}

// downloadVersion streams a file that was fixed when a version was registered.
func (p *site) downloadVersion(w http.ResponseWriter, r *http.Request) {
	p.frame(r)
	v, err := p.findVersion(r.PathValue("model"), r.PathValue("version"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	for _, a := range filesOf(v) {
		if a.Name == r.PathValue("path") {
			p.send(w, r, path.Base(a.Name), artifact.Digest(a.Digest))
			return
		}
	}
	http.Error(w, "there is no such file in this version", http.StatusNotFound)
}

// send streams an object. The store verifies what it gives: a damaged object ends the transfer before its end, so that the client sees a broken
// download and never a whole one that is wrong. Nothing in it runs in a browser, whatever it is.
func (p *site) send(w http.ResponseWriter, r *http.Request, name string, digest artifact.Digest) {
	ref, err := p.s.Store().Stat(r.Context(), digest)
	var rc io.ReadCloser
	if err == nil {
		rc, err = p.s.Store().Open(r.Context(), digest)
	}
	if err != nil {
		p.s.Log().Warn("artifact not served", "digest", digest, "err", err)
		if artifact.Transient(err) {
			http.Error(w, "the artifact store is away, try again", http.StatusServiceUnavailable)
			return
		}
		http.Error(w, "the artifact is not in the store", http.StatusNotFound)
		return
	}
	defer rc.Close() // the transfer is over by then
	h := w.Header()
	h.Set("Content-Type", contentType(name))
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	h.Set("Content-Length", strconv.FormatInt(ref.Size, 10))
	h.Set("ETag", strconv.Quote(string(digest)))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(downloadTime)) // without one the server's own holds
	if err := transfer(w, rc); err != nil {
		p.s.Log().Warn("download ended early", "digest", digest, "err", err)
		panic(http.ErrAbortHandler)
	}
}

// transfer copies r to w but keeps back the last bytes until the end of r has proven the rest.
func transfer(w io.Writer, r io.Reader) error {
	const keep = 4 << 10
	buf := make([]byte, 64<<10)
	n := 0
	for {
		m, err := r.Read(buf[n:])
		n += m
		if errors.Is(err, io.EOF) {
			_, err = w.Write(buf[:n])
			return err
		}
		if err != nil {
			return err
		}
		if n == len(buf) {
			if _, err := w.Write(buf[:n-keep]); err != nil {
				return err
			}
			n = copy(buf, buf[n-keep:n])
		}
	}
}

// contentType returns what a browser should take a file for; anything it might run is only bytes.
func contentType(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".json":
		return "application/json"
	case ".csv":
		return "text/csv; charset=utf-8"
	case ".txt", ".yaml", ".yml", ".md", ".log":
		return "text/plain; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".png":
		return "image/png"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".gif":
		return "image/gif"
	case ".webp":
		return "image/webp"
	case ".tar":
		return "application/x-tar"
	}
	if name == "MLmodel" {
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

// filesOf are the files of a version; those of its run where it has none of its own.
func filesOf(v registry.Version) []versionFile {
	var out []versionFile
	for _, a := range v.Artifacts {
		out = append(out, versionFile{a, versionPath(v.ModelName, v.Version) + "/artifacts/" + segments(a.Name)})
	}
	return out
}
