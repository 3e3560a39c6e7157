package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strings"
	"syscall"
	"unsafe"
)

// The files that both sides read are in numpy's format, version 1.0: a magic number, the header's length, a header in Python's syntax,
// and the values, little-endian, row after row.
const npyMagic = "\x93NUMPY\x01\x00"

// npyHeader returns the header of a matrix of float32 ("<f4") or float64 ("<f8") values; columns of 0 makes a vector.
func npyHeader(kind string, rows, columns int) []byte {
	shape := fmt.Sprintf("(%d,)", rows)
	if columns > 0 {
		shape = fmt.Sprintf("(%d, %d)", rows, columns)
	}
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", kind, shape)
	// The values begin at a multiple of 64 bytes.
	pad := 64 - (len(npyMagic)+2+len(text)+1)%64
	text += strings.Repeat(" ", pad%64) + "\n"
	head := binary.LittleEndian.AppendUint16([]byte(npyMagic), uint16(len(text)))
	return append(head, text...)
}

// npyWriter writes values of float32 to a file of its own.
type npyWriter struct {
	file *os.File
	out  *bufio.Writer
}

func newNPY(path string, rows, columns int) (*npyWriter, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	w := &npyWriter{f, bufio.NewWriterSize(f, 1<<16)}
	_, err = w.out.Write(npyHeader("<f4", rows, columns))
	return w, err
}

func (w *npyWriter) append(v float32) error {
	_, err := w.out.Write(binary.LittleEndian.AppendUint32(w.out.AvailableBuffer(), math.Float32bits(v)))
	return err
}

func (w *npyWriter) close() error {
	if err := w.out.Flush(); err != nil {
		return err
	}
	return w.file.Close()
}

// writeFloats writes a matrix of float64 values.
func writeFloats(path string, rows [][]float64) error {
	var out []byte
	out = append(out, npyHeader("<f8", len(rows), len(rows[0]))...)
	for _, row := range rows {
		for _, v := range row {
			out = binary.LittleEndian.AppendUint64(out, math.Float64bits(v))
		}
	}
	return os.WriteFile(path, out, 0o644)
}

// mapFloats maps a file of float32 values into memory, every page of it read, and returns the values with the length of a row (1 for a
// vector). The mapping lasts as long as the process, so that the garbage collector does not count the data.
func mapFloats(path string) (values []float32, width int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	var head [10]byte
	if _, err := io.ReadFull(f, head[:]); err != nil || string(head[:8]) != npyMagic {
		return nil, 0, fmt.Errorf("%s: not a file of numpy's format 1.0", path)
	}
	text := make([]byte, binary.LittleEndian.Uint16(head[8:]))
	if _, err := io.ReadFull(f, text); err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", path, err)
	}
	rows, width, err := parseShape(string(text))
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", path, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	start := len(head) + len(text)
	if info.Size() != int64(start)+4*int64(rows)*int64(width) || start%4 != 0 || rows == 0 {
		return nil, 0, fmt.Errorf("%s: %d bytes do not hold %d x %d values", path, info.Size(), rows, width)
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		return nil, 0, fmt.Errorf("map %s: %w", path, err)
	}
	values = unsafe.Slice((*float32)(unsafe.Pointer(&data[start])), rows*width)
	var sum float32
	for i := 0; i < len(values); i += 1024 {
		sum += values[i]
	}
	runtime.KeepAlive(sum) // or the reading could be left out
	return values, width, nil
}

// parseShape reads the shape out of a header that npyHeader wrote or numpy.save did for float32.
func parseShape(header string) (rows, columns int, err error) {
	if !strings.Contains(header, "'<f4'") || strings.Contains(header, "'fortran_order': True") {
		return 0, 0, fmt.Errorf("header %q is not of float32 values row after row", header)
	}
	_, shape, _ := strings.Cut(header, "(")
	shape, _, _ = strings.Cut(shape, ")")
	if _, err := fmt.Sscanf(shape, "%d, %d", &rows, &columns); err == nil {
		return rows, columns, nil
	}
	if _, err := fmt.Sscanf(shape, "%d", &rows); err != nil {
		return 0, 0, fmt.Errorf("shape %q: %w", shape, err)
	}
	return rows, 1, nil
}
