package mlflow

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"time"

	"telco-churn-mlops/internal/artifact"
	"telco-churn-mlops/registry/tracking"
)

const (
	// maxFile bounds an uploaded file, in bytes.
	maxFile = 64 << 30
	// stall is how long a transfer may stand still before it is cut.
	stall = time.Minute
	// transferTime bounds one transfer in all.
	transferTime = 6 * time.Hour
	// presignTime is how long a presigned link works: as long as a large download may take to begin.
	presignTime = 15 * time.Minute
	// chunk is what a download holds back until it is known whether the content is right, in bytes.
	chunk = 64 << 10
)

// uploadFile stores a file. The store reads it to its end before it keeps anything, without holding more than a few megabytes in memory, and only a
// stored file gets its event: an upload that breaks off leaves nothing, and one that is repeated leaves what the last of them said.
func uploadFile(c *call) (any, error) {
	name, err := cleanPath(c.path("path"), false)
	if err != nil {
		return nil, err
	}
	if c.r.ContentLength > maxFile {
		return nil, &http.MaxBytesError{Limit: maxFile}
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), transferTime)
	defer cancel()
	body := &upload{r: http.MaxBytesReader(c.w, c.r.Body, maxFile), control: http.NewResponseController(c.w)}
	_ = body.control.SetWriteDeadline(time.Now().Add(transferTime)) // a server without deadlines has none in the way
	ref, err := c.s.Store().Put(ctx, body)
	switch {
	case body.err != nil:
		return nil, bodyFault(body.err)
	case err != nil:
		return nil, storeFault(err, name)
	}
	ctx, cancel = context.WithTimeout(c.r.Context(), c.callTime)
	defer cancel()
	return nil, c.book.PutFile(ctx, name, ref, c.actor())
}

// upload is the body of a request that may take as long as it moves. err keeps why it ended early, to be told from an error of the store.
type upload struct {
	r        io.Reader
	control  *http.ResponseController
	extended time.Time
	err      error
}

// Read implements [io.Reader].
func (u *upload) Read(p []byte) (int, error) {
	if now := time.Now(); now.Sub(u.extended) > time.Second {
		u.extended = now
		_ = u.control.SetReadDeadline(now.Add(stall)) // as above
	}
	n, err := u.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		u.err = err
	}
	return n, err
}

// send answers with a file. A client that asks for it (presigned=true) is sent to a store that can hand out links, and gets the bytes from here
// if the store can't.
func (c *call) send(f tracking.File) (any, error) {
	h := c.w.Header()
	h.Set("ETag", `"`+f.Digest.Hex()+`"`)
	if c.r.Header.Get("If-None-Match") == h.Get("ETag") {
		c.w.WriteHeader(http.StatusNotModified)
		return sent, nil
	}
	name := path.Base(f.Path)
	if link, ok := c.s.Store().(artifact.Presigner); ok && c.r.URL.Query().Get("presigned") == "true" {
		ctx, cancel := context.WithTimeout(c.r.Context(), c.callTime)
		defer cancel()
		url, err := link.Presign(ctx, f.Digest, name, presignTime)
		if err != nil {
			return nil, storeFault(err, f.Path)
		}
		h.Set("Cache-Control", "no-store")
		http.Redirect(c.w, c.r, url, http.StatusTemporaryRedirect)
		return sent, nil
	}
	h.Set("Content-Length", strconv.FormatInt(f.Size, 10))
	h.Set("Content-Type", contentType(name))
	h.Set("Content-Disposition", disposition(name))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Cache-Control", "no-cache")
	if c.r.Method == http.MethodHead {
		c.w.WriteHeader(http.StatusOK)
		return sent, nil
	}
	return c.stream(f)
}

// stream copies a file to the client. The last bytes go out once the digest of all is known to be right: a client that got as many bytes as
// it was promised has the file, and any other sees that the transfer broke off.
func (c *call) stream(f tracking.File) (any, error) {
	ctx, cancel := context.WithTimeout(c.r.Context(), transferTime)
	defer cancel()
	in, err := c.s.Store().Open(ctx, f.Digest)
	if err != nil {
		c.forget()
		return nil, storeFault(err, f.Path)
	}
	defer in.Close()
	control := http.NewResponseController(c.w)
	held, next := make([]byte, 0, chunk), make([]byte, chunk)
	for {
		n, err := readFull(in, next)
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			c.forget()
			return nil, storeFault(err, f.Path)
		}
		_ = control.SetWriteDeadline(time.Now().Add(stall)) // a server without deadlines has none in the way
		if len(held) > 0 {
			if _, err := c.w.Write(held); err != nil {
				return sent, nil // the client has gone: nobody is left to tell
			}
		}
		held, next = next[:n], held[:chunk]
		if last {
			_, _ = c.w.Write(held) // as above
			return sent, nil
		}
	}
}

// readFull fills p unless the reader ends first, and returns its error as it is: a source that broke off must not look like one that ended.
func readFull(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

// forget takes back the headers of a file that an error is answered with instead.
func (c *call) forget() {
	if c.w.status != 0 {
		return
	}
	for _, name := range []string{"Content-Length", "Content-Type", "Content-Disposition", "ETag"} {
		c.w.Header().Del(name)
	}
}

// contentTypes are those of files that pages preview; everything else is bytes.
var contentTypes = map[string]string{
	".json": "application/json", ".csv": "text/csv; charset=utf-8", ".html": "text/html; charset=utf-8", ".pdf": "application/pdf",
	".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp", ".svg": "image/svg+xml",
}

// textTypes are files of text without a type of their own.
var textTypes = map[string]bool{
	"": true, ".txt": true, ".log": true, ".md": true, ".py": true, ".yaml": true, ".yml": true, ".toml": true, ".cfg": true, ".ini": true, ".tsv": true,
}

func contentType(name string) string {
	ext := path.Ext(name)
	switch t := contentTypes[ext]; {
	case t != "":
		return t
	case ext == "" && name != "MLmodel":
		return "application/octet-stream"
	case textTypes[ext]:
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

// disposition makes browsers save the file under its name, whatever the script, rather than show it as a page of the registry.
func disposition(name string) string {
	if d := mime.FormatMediaType("attachment", map[string]string{"filename": name}); d != "" {
		return d
	}
	return "attachment"
}
