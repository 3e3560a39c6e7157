package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"

	"telco-churn-mlops/internal/artifact"
)

const (
	// readTries is how often in a row a reading that broke off is begun again where it stood.
	readTries = 6
	readPause = 200 * time.Millisecond
)

// ErrChanged is returned by reads of an object that was replaced after it was opened.
var ErrChanged = errors.New("s3 object changed")

// Object is one object of a bucket under a key of its own, as opposed to an artifact, whose key is its digest. It is read as it was when it was
// opened: if it is replaced, reads fail. It is safe for concurrent use.
type Object struct {
	core minio.Core
	cfg  Config
	ctx  context.Context // of all reads
	size int64
	etag string
}

// client makes a client for the bucket and key that the Config names by Bucket and Prefix.
func client(ctx context.Context, cfg Config) (minio.Core, Config, error) {
	if err := cfg.Validate(); err != nil {
		return minio.Core{}, cfg, err
	}
	if cfg.Prefix == "" {
		return minio.Core{}, cfg, errors.New("no key: want s3://bucket/key")
	}
	cfg = cfg.withDefaults()
	keys, err := cfg.keys(ctx)
	if err != nil {
		return minio.Core{}, cfg, err
	}
	c, err := minio.New(cfg.Endpoint, &minio.Options{Creds: keys, Secure: cfg.Secure, Region: cfg.Region, MaxRetries: maxRetries})
	return minio.Core{Client: c}, cfg, err
}

// place is how an error names an object.
func (c Config) place() string { return "s3://" + c.Bucket + "/" + c.Prefix }

// OpenObject looks the object up whose key is cfg.Prefix. An artifact.ErrNotFound says that there is none. ctx covers all reads.
func OpenObject(ctx context.Context, cfg Config) (*Object, error) {
	core, cfg, err := client(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", cfg.place(), err)
	}
	info, err := core.Client.StatObject(ctx, cfg.Bucket, cfg.Prefix, minio.StatObjectOptions{})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", cfg.place(), missing(ctx, core, cfg.Bucket, translate(err)))
	}
	return &Object{core: core, cfg: cfg, ctx: ctx, size: info.Size, etag: info.ETag}, nil
}

// missing says that it is the bucket, if it is, which the answer to a HEAD doesn't. Whoever may not ask for it gets the error that there was.
func missing(ctx context.Context, core minio.Core, bucket string, err error) error {
	if !errors.Is(err, artifact.ErrNotFound) {
		return err
	}
	if there, lookErr := core.BucketExists(ctx, bucket); lookErr == nil && !there {
		return fmt.Errorf("%w: %w", errNoBucket, artifact.ErrNotFound)
	}
	return err
}

// Size returns the size in bytes.
func (o *Object) Size() int64 { return o.size }

// Identity names the content by what the store calls it.
func (o *Object) Identity() string {
	return fmt.Sprintf("%s of %d bytes, ETag %s", o.cfg.place(), o.size, o.etag)
}

// Check returns ErrChanged if the object is another one now.
func (o *Object) Check() error {
	info, err := o.core.Client.StatObject(o.ctx, o.cfg.Bucket, o.cfg.Prefix, minio.StatObjectOptions{})
	if err != nil {
		return fmt.Errorf("look at %s: %w", o.cfg.place(), translate(err))
	}
	if info.ETag != o.etag {
		return fmt.Errorf("%w: %s", ErrChanged, o.cfg.place())
	}
	return nil
}

// get asks for bytes from an offset to the end, or to last if that is not negative.
func (o *Object) get(offset, last int64) (io.ReadCloser, error) {
	var opts minio.GetObjectOptions
	if err := opts.SetMatchETag(o.etag); err != nil {
		return nil, err
	}
	if last < 0 {
		last = o.size - 1
	}
	if err := opts.SetRange(offset, last); err != nil {
		return nil, err
	}
	body, _, _, err := o.core.GetObject(o.ctx, o.cfg.Bucket, o.cfg.Prefix, opts)
	var resp minio.ErrorResponse
	if errors.As(err, &resp) && resp.StatusCode == http.StatusPreconditionFailed {
		return nil, fmt.Errorf("%w: %s", ErrChanged, o.cfg.place())
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o.cfg.place(), translate(err))
	}
	return body, nil
}

// Open returns a reader of the object from an offset, in one request. One that breaks off is begun again where it stood.
func (o *Object) Open(offset int64) (io.ReadCloser, error) {
	r := &objectReader{o: o, at: offset}
	if offset >= o.size {
		return r, nil
	}
	var err error
	if r.body, err = o.get(offset, -1); err != nil {
		return nil, err
	}
	return r, nil
}

// ReadAt reads at any place, in a request of its own.
func (o *Object) ReadAt(p []byte, off int64) (int, error) {
	n := int64(len(p))
	if off >= o.size {
		return 0, io.EOF
	}
	n = min(n, o.size-off)
	if n == 0 {
		return 0, nil
	}
	r := &objectReader{o: o, at: off, end: off + n}
	defer r.Close()
	got, err := io.ReadFull(r, p[:n])
	if err == nil && n < int64(len(p)) {
		err = io.EOF
	}
	return got, err
}

// objectReader reads on after a broken connection.
type objectReader struct {
	o     *Object
	body  io.ReadCloser
	at    int64
	end   int64 // 0: of the object
	tries int
}

func (r *objectReader) Read(p []byte) (int, error) {
	end := r.end
	if end == 0 {
		end = r.o.size
	}
	for {
		if r.at >= end {
			return 0, io.EOF
		}
		var err error
		if r.body == nil {
			r.body, err = r.o.get(r.at, end-1)
		}
		n := 0
		if err == nil {
			n, err = r.body.Read(p)
		}
		r.at += int64(n)
		if n > 0 {
			r.tries = 0
			return n, nil
		}
		if err == nil {
			continue
		}
		r.drop()
		if r.tries++; r.tries >= readTries || !artifact.Transient(err) || errors.Is(err, ErrChanged) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
		select {
		case <-time.After(readPause << (r.tries - 1)):
		case <-r.o.ctx.Done():
			return 0, context.Cause(r.o.ctx)
		}
	}
}

func (r *objectReader) drop() {
	if r.body != nil {
		_ = r.body.Close() // nothing more is read from it
		r.body = nil
	}
}

// Close ends the request.
func (r *objectReader) Close() error {
	r.drop()
	return nil
}

// ObjectExists reports whether there is an object whose key is cfg.Prefix. A bucket that is not there is an error, an artifact.ErrNotFound.
func ObjectExists(ctx context.Context, cfg Config) (bool, error) {
	_, err := OpenObject(ctx, cfg)
	if errors.Is(err, artifact.ErrNotFound) && !errors.Is(err, errNoBucket) {
		return false, nil
	}
	return err == nil, err
}

// PutObject stores size bytes of r under the key cfg.Prefix, in parts where there are many, and replaces what is there. The object appears
// with its last byte: an upload that breaks off leaves the former one.
func PutObject(ctx context.Context, cfg Config, r io.Reader, size int64) error {
	core, cfg, err := client(ctx, cfg)
	if err != nil {
		return fmt.Errorf("put %s: %w", cfg.place(), err)
	}
	_, err = core.Client.PutObject(ctx, cfg.Bucket, cfg.Prefix, r, size, minio.PutObjectOptions{
		ContentType: "application/octet-stream", PartSize: partSize(cfg.PartSize, size), NumThreads: partThreads})
	if err != nil {
		return fmt.Errorf("put %s: %w", cfg.place(), translate(err))
	}
	return nil
}

// maxParts is how many parts an upload can have.
const maxParts = 10_000

// partSize is the configured size, or a greater one where that would make too many parts.
func partSize(configured, size int64) uint64 {
	return uint64(max(configured, (size+maxParts-1)/maxParts))
}
