package embedded

import (
	"fmt"
	"log/slog"
	"sync"
)

// logger hands the server's lines to slog and remembers the last complaint, for the error of a start that failed. Unlike the server's own, its Fatalf does not
// exit.
type logger struct {
	log   *slog.Logger
	fatal chan struct{} // of capacity one, filled when the server cannot run

	mu        sync.Mutex
	complaint string
}

func (l *logger) remember(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.complaint = line
}

func (l *logger) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.complaint == "" {
		return "no reason given"
	}
	return l.complaint
}

// Noticef implements server.Logger. The server is talkative; its notices are debug lines for us.
func (l *logger) Noticef(format string, v ...any) {
	l.log.Debug("server notice", "text", fmt.Sprintf(format, v...))
}

// Warnf implements server.Logger.
func (l *logger) Warnf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	l.remember(line)
	l.log.Warn("server warning", "text", line)
}

// Errorf implements server.Logger.
func (l *logger) Errorf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	l.remember(line)
	l.log.Error("server error", "text", line)
}

// Fatalf implements server.Logger.
func (l *logger) Fatalf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	l.remember(line)
	l.log.Error("server cannot run", "text", line)
	select {
	case l.fatal <- struct{}{}:
	default:
	}
}

// Debugf implements server.Logger.
func (l *logger) Debugf(string, ...any) {}

// Tracef implements server.Logger.
func (l *logger) Tracef(string, ...any) {}
