package synth

import (
	"math"
	"strconv"
)

// Customer is one row. The texts are those of the file, "No internet service" and "No phone service" among them.
type Customer struct {
	ID               string
	Gender           string
	SeniorCitizen    bool
	Partner          bool
	Dependents       bool
	Tenure           int // months, 0 to 72
	PhoneService     bool
	MultipleLines    string // Yes, No, No phone service
	InternetService  string // DSL, Fiber optic, No
	OnlineSecurity   string // this and the next five: Yes, No, No internet service
	OnlineBackup     string
	DeviceProtection string
	TechSupport      string
	StreamingTV      string
	StreamingMovies  string
	Contract         string // Month-to-month, One year, Two year
	PaperlessBilling bool
	PaymentMethod    string
	MonthlyCharges   float64 // dollars, a multiple of 0.05
	TotalCharges     float64 // dollars, a multiple of 0.05; NaN, written as a blank, where Tenure is 0
	Churn            bool
}

// The values of the columns that have more than Yes and No.
const (
	noInternetService = "No internet service"
	noPhoneService    = "No phone service"

	dsl        = "DSL"
	fiber      = "Fiber optic"
	noInternet = "No"

	monthToMonth = "Month-to-month"
	oneYear      = "One year"
	twoYear      = "Two year"

	electronicCheck = "Electronic check"
	mailedCheck     = "Mailed check"
	bankTransfer    = "Bank transfer (automatic)"
	creditCard      = "Credit card (automatic)"
)

// Header returns the names of the 21 columns in the order of the public file, in a new slice.
func Header() []string {
	return []string{
		"customerID", "gender", "SeniorCitizen", "Partner", "Dependents", "tenure", "PhoneService", "MultipleLines",
		"InternetService", "OnlineSecurity", "OnlineBackup", "DeviceProtection", "TechSupport", "StreamingTV",
		"StreamingMovies", "Contract", "PaperlessBilling", "PaymentMethod", "MonthlyCharges", "TotalCharges", "Churn",
	}
}

// AppendRecord appends the 21 raw values to dst, in the order of Header and spelled as in the public file: SeniorCitizen is 0 or 1, a
// missing TotalCharges is a single blank.
func (c *Customer) AppendRecord(dst []string) []string {
	senior, total := "0", " "
	if c.SeniorCitizen {
		senior = "1"
	}
	if !math.IsNaN(c.TotalCharges) {
		total = number(c.TotalCharges)
	}
	return append(dst,
		c.ID, c.Gender, senior, yesNo(c.Partner), yesNo(c.Dependents), strconv.Itoa(c.Tenure), yesNo(c.PhoneService), c.MultipleLines,
		c.InternetService, c.OnlineSecurity, c.OnlineBackup, c.DeviceProtection, c.TechSupport, c.StreamingTV,
		c.StreamingMovies, c.Contract, yesNo(c.PaperlessBilling), c.PaymentMethod, number(c.MonthlyCharges), total, yesNo(c.Churn),
	)
}

func yesNo(b bool) string {
	if b {
		return "Yes"
	}
	return "No"
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
