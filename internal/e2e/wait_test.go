//go:build processes

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
)

// awaitStreams returns once the services have made every stream.
func awaitStreams(t *testing.T, b *bus.Bus) {
	t.Helper()
	await(t, patience, "the services make the streams", func() error {
		for _, s := range events.Streams() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			_, err := b.JetStream().Stream(ctx, string(s))
			cancel()
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// address waits for an instance's sign of life and returns where it serves HTTP.
func address(t *testing.T, b *bus.Bus, instance string) string {
	t.Helper()
	var addr string
	await(t, patience, instance+" says where it serves", func() error {
		read(t, b, events.Fleet, func(m bus.Message) {
			if p, ok := m.Event.Payload.(*events.InstanceAlive); ok && p.Instance == instance {
				addr = p.Address
			}
		})
		if addr == "" {
			return errors.New("no sign of life")
		}
		return nil
	})
	return addr
}

// get returns the body of a page that must answer 200.
func get(url string) (string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}
