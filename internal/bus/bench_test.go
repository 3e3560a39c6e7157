package bus_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/internal/bus"
	"telco-churn-mlops/internal/bus/bustest"
)

// BenchmarkRead reads 20,000 predictions per turn, with a record as the Telco file has it.
func BenchmarkRead(b *testing.B) {
	c := bustest.Start(b).Connect(b)
	ctx := b.Context()
	record := json.RawMessage(`{"customerID":"7590-VHVEG","gender":"Female","SeniorCitizen":0,"Partner":"Yes","Dependents":"No","tenure":1,"PhoneService":"No","MultipleLines":"No phone service","InternetService":"DSL","OnlineSecurity":"No","OnlineBackup":"Yes","DeviceProtection":"No","TechSupport":"No","StreamingTV":"No","StreamingMovies":"No","Contract":"Month-to-month","PaperlessBilling":"Yes","PaymentMethod":"Electronic check","MonthlyCharges":29.85,"TotalCharges":29.85}`)
	const n = 20_000
	for i := range n {
		msg, err := c.Msg(events.New("telco", "bench", fmt.Sprint(i), time.Now(),
			&events.PredictionMade{PredictionID: fmt.Sprint(i), Version: 1, Record: record, Score: 0.5, Threshold: 0.5}))
		require.NoError(b, err)
		_, err = c.JetStream().PublishMsgAsync(msg)
		require.NoError(b, err)
	}
	<-c.JetStream().PublishAsyncComplete()
	b.ResetTimer()
	for b.Loop() {
		seen := 0
		require.NoError(b, c.Read(ctx, bus.ReadConfig{Stream: events.Predictions}, func(m bus.Message) error {
			seen++
			return m.Err
		}))
		require.Equal(b, n, seen)
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
