package measure

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// Diary tells how a run goes, and keeps what must be known to read its tables. Make it with [NewDiary]; it is for one goroutine.
type Diary struct {
	to      io.Writer
	begin   time.Time
	remarks []string
}

// NewDiary returns a diary that begins now.
func NewDiary(to io.Writer) *Diary { return &Diary{to: to, begin: time.Now()} }

// Say writes a line, with the seconds since the beginning.
func (d *Diary) Say(format string, args ...any) {
	fmt.Fprintf(d.to, "%6.1fs  %s\n", time.Since(d.begin).Seconds(), fmt.Sprintf(format, args...))
}

// Remark keeps a sentence for the report and says it at once. A sentence that is there already is not repeated.
func (d *Diary) Remark(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if slices.Contains(d.remarks, text) {
		return
	}
	d.remarks = append(d.remarks, text)
	d.Say("%s", text)
}

// Remarks returns what is missing or must be known.
func (d *Diary) Remarks() []string { return d.remarks }
