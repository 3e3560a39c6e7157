package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
)

// maxProbeBody is how much of a refusal an error quotes.
const maxProbeBody = 1 << 10

// Probe asks a health endpoint, such as http://127.0.0.1:8080/readyz, once and returns nil if it answers 200. The error quotes what it answered
// instead. It is the health check of images that have neither a shell nor a client. No proxy is used and no redirect followed.
// Over https the certificate of a loopback address is not checked: it is made out to the name that others know the service by. ctx bounds the wait.
func Probe(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	if ip := net.ParseIP(req.URL.Hostname()); req.URL.Hostname() == "localhost" || ip.IsLoopback() {
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // nothing is sent that could be overheard
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProbeBody))
	if err != nil {
		return fmt.Errorf("probe %s: %s: %w", url, resp.Status, err)
	}
	return fmt.Errorf("probe %s: %s: %s", url, resp.Status, bytes.TrimSpace(body))
}
