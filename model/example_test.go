package model_test

import (
	"fmt"
	"log"
	"testing"

	"telco-churn-mlops/model"
	"telco-churn-mlops/model/dataset"
	"telco-churn-mlops/model/modeltest"
)

// A service that answers with a bundle decodes it, verifies it, and scores records with a Scorer per goroutine.
func ExampleDecode() {
	data := modeltest.Encoded(&testing.T{}, tiny()) // from the artifact store, say

	bundle, err := model.Decode(data)
	if err != nil {
		log.Fatal(err)
	}
	if err := bundle.Verify(); err != nil {
		log.Fatal(err)
	}
	scorer, row := bundle.NewScorer(), bundle.Schema.NewRow()
	record := []byte(`{"id": "7", "age of <account>": 3, "charge": 99.5, "plan": "gold"}`)
	if _, err := bundle.Schema.DecodeJSON(record, row, dataset.DecodeOptions{}); err != nil {
		log.Fatal(err)
	}
	p := scorer.Score(row)
	fmt.Println(p.Label, p.Positive == (p.Probability >= bundle.Manifest.Threshold), bundle.Pipeline.Unseen(row))
	// Output: Yes true [plan]
}
