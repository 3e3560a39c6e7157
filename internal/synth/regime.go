package synth

import "math"

// Regime names the relation between columns and churn.
type Regime string

const (
	// Original is like the public file: newcomers on monthly contracts leave, above all with fiber, an electronic check and no tech
	// support; long contracts stay.
	Original Regime = "original"

	// Shifted is the world after a price rise. MonthlyCharges are 30 % higher for everybody; TotalCharges were billed at the old price
	// and stay. Now those leave who are bound to high charges, the more the longer they have been customers; newcomers on a monthly
	// contract came by a promotion and stay. How somebody pays no longer matters.
	Shifted Regime = "shifted"
)

// priceRise is the change of MonthlyCharges under Shifted, in per cent.
const priceRise = 30

// ChurnProbability returns the probability with which a customer of these columns churns under a regime, 1/(1+exp(-z)). It reads the
// columns of the regime: under Shifted, MonthlyCharges is the risen price. No model can rank better than this on that regime's rows.
// An unknown regime panics. With the indicators [..] and
//
//	young   = exp(-tenure/10)
//	years   = tenure/72
//	charge  = (MonthlyCharges - 65)/30 under Original
//	burden  = (MonthlyCharges - 85)/30 under Shifted, kept within [-1.5, 1.5]
//	streams = [StreamingTV] + [StreamingMovies]
//
// the relations are, under Original,
//
//	z = -2.24 + 0.60 [fiber] - 0.50 [no internet] + 0.45 [month-to-month] - 0.95 [two year] - 0.92 years
//	    + 0.30 [fiber and month-to-month] + 1.75 [month-to-month] young + 0.40 [electronic check] + 0.36 [paperless]
//	    - 0.37 [tech support] - 0.39 [online security] + 0.20 streams + 0.36 charge + 0.25 [senior] - 0.12 [dependents]
//	    + 0.65 [no phone]
//
// and under Shifted
//
//	z = -0.85 + 0.60 [one year] + 0.90 [two year] + (0.35 [month-to-month] + 1.60 [one year] + 2.00 [two year]) burden
//	    + 0.90 years - 2.20 [month-to-month] young - 0.45 [fiber and month-to-month] - 0.35 [tech support] + 0.30 [senior]
func (c *Customer) ChurnProbability(r Regime) float64 {
	switch r {
	case Original:
		return 1 / (1 + math.Exp(-c.originalLogit()))
	case Shifted:
		return 1 / (1 + math.Exp(-c.shiftedLogit()))
	default:
		panic("synth: unknown regime " + string(r))
	}
}

func (c *Customer) originalLogit() float64 {
	monthly := is(c.Contract == monthToMonth)
	isFiber := is(c.InternetService == fiber)
	young := math.Exp(-float64(c.Tenure) / 10)
	return -2.24 +
		times(0.60, isFiber) +
		times(-0.50, is(c.InternetService == noInternet)) +
		times(0.45, monthly) +
		times(-0.95, is(c.Contract == twoYear)) +
		times(-0.92, float64(c.Tenure)/72) +
		times(0.30, isFiber*monthly) +
		times(1.75, monthly*young) +
		times(0.40, is(c.PaymentMethod == electronicCheck)) +
		times(0.36, is(c.PaperlessBilling)) +
		times(-0.37, is(c.TechSupport == "Yes")) +
		times(-0.39, is(c.OnlineSecurity == "Yes")) +
		times(0.20, is(c.StreamingTV == "Yes")+is(c.StreamingMovies == "Yes")) +
		times(0.36, (c.MonthlyCharges-65)/30) +
		times(0.25, is(c.SeniorCitizen)) +
		times(-0.12, is(c.Dependents)) +
		times(0.65, is(!c.PhoneService))
}

func (c *Customer) shiftedLogit() float64 {
	monthly, one, two := is(c.Contract == monthToMonth), is(c.Contract == oneYear), is(c.Contract == twoYear)
	burden := min(max((c.MonthlyCharges-85)/30, -1.5), 1.5)
	young := math.Exp(-float64(c.Tenure) / 10)
	return -0.85 +
		times(0.60, one) +
		times(0.90, two) +
		times(times(0.35, monthly)+times(1.60, one)+times(2.00, two), burden) +
		times(0.90, float64(c.Tenure)/72) +
		times(-2.20, monthly*young) +
		times(-0.45, is(c.InternetService == fiber)*monthly) +
		times(-0.35, is(c.TechSupport == "Yes")) +
		times(0.30, is(c.SeniorCitizen))
}

func is(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// times rounds the product, so that no platform fuses it with the addition that follows.
func times(a, b float64) float64 { return float64(a * b) }
