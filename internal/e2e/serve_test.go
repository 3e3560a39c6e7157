package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// answer is what an instance says of a record.
type answer struct {
	PredictionID string      `json:"prediction_id"`
	Version      int         `json:"version"`
	Probability  json.Number `json:"churn_probability"`
	Label        string      `json:"label"`
}

var client = &http.Client{Timeout: 10 * time.Second}

// post asks an instance for one record, with the content type that curl -d sends.
func post(addr string, record []byte) (answer, error) {
	resp, err := client.Post("http://"+addr+"/predict", "application/x-www-form-urlencoded", bytes.NewReader(record))
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return answer{}, fmt.Errorf("%s: %s", resp.Status, body)
	}
	return decode(body)
}

func decode(body []byte) (answer, error) {
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return answer{}, fmt.Errorf("%w: %s", err, body)
	}
	if a.PredictionID == "" || a.Version == 0 || a.Probability == "" {
		return answer{}, fmt.Errorf("not an answer: %s", body)
	}
	return a, nil
}

// serves waits until an instance answers with a version, and returns the answer.
func serves(t *testing.T, addr string, version int, record []byte) answer {
	t.Helper()
	var a answer
	await(t, patience, fmt.Sprintf("%s answers with version %d", addr, version), func() (err error) {
		if a, err = post(addr, record); err == nil && a.Version != version {
			err = fmt.Errorf("it answers with version %d", a.Version)
		}
		return err
	})
	return a
}
