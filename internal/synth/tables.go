package synth

// The tables are shares of the public file, rounded.

// tenureShare is the share of customers with a tenure of at most months; between two entries months are equally likely.
var tenureShare = []struct {
	months int
	share  float64
}{
	{0, 0.0016}, {1, 0.0886}, {2, 0.1224}, {3, 0.1508}, {4, 0.1758}, {6, 0.2103}, {9, 0.2632}, {12, 0.3104}, {18, 0.3882},
	{24, 0.4558}, {30, 0.517}, {36, 0.5739}, {42, 0.6277}, {48, 0.6821}, {54, 0.7417}, {60, 0.8002}, {66, 0.866}, {69, 0.9076},
	{70, 0.9245}, {71, 0.9486}, {72, 1},
}

var contracts = [3]string{monthToMonth, oneYear, twoYear}

// contractShare is indexed by the year of tenure (0 to 5) and the contract, in the order of contracts.
var contractShare = [6][3]float64{
	{0.927, 0.049, 0.024},
	{0.731, 0.190, 0.079},
	{0.596, 0.287, 0.117},
	{0.432, 0.346, 0.222},
	{0.280, 0.397, 0.323},
	{0.086, 0.227, 0.687},
}

var internets = [3]string{dsl, fiber, noInternet}

// internetShare is indexed by contract, year of tenure and service, in the order of internets.
var internetShare = [3][6][3]float64{
	{{0.346, 0.459, 0.195}, {0.312, 0.563, 0.125}, {0.301, 0.622, 0.077}, {0.276, 0.678, 0.046}, {0.257, 0.738, 0.005}, {0.150, 0.842, 0.008}},
	{{0.314, 0.039, 0.647}, {0.402, 0.126, 0.472}, {0.458, 0.247, 0.295}, {0.459, 0.333, 0.208}, {0.393, 0.462, 0.145}, {0.285, 0.629, 0.086}},
	{{0.288, 0.000, 0.712}, {0.265, 0.000, 0.735}, {0.243, 0.097, 0.660}, {0.319, 0.127, 0.554}, {0.362, 0.196, 0.442}, {0.407, 0.340, 0.253}},
}

var payments = [4]string{electronicCheck, mailedCheck, bankTransfer, creditCard}

// paymentShare is indexed by service, contract and payment method, in the order of payments.
var paymentShare = [3][3][4]float64{
	{{0.388, 0.300, 0.161, 0.151}, {0.204, 0.240, 0.254, 0.302}, {0.092, 0.174, 0.357, 0.377}},
	{{0.614, 0.094, 0.154, 0.138}, {0.364, 0.067, 0.291, 0.278}, {0.214, 0.049, 0.378, 0.359}},
	{{0.132, 0.620, 0.124, 0.124}, {0.096, 0.451, 0.245, 0.208}, {0.028, 0.395, 0.279, 0.298}},
}

// line is a share that grows with tenure: at0 + slope * months.
type line struct{ at0, slope float64 }

// addOn is one of the six internet services: its share with DSL and with fiber, and its price in cents.
type addOn struct {
	dsl, fiber line
	cents      int
}

var (
	security  = addOn{line{0.23, 0.0080}, line{0.06, 0.0068}, 500}
	backup    = addOn{line{0.21, 0.0078}, line{0.15, 0.0089}, 500}
	device    = addOn{line{0.15, 0.0090}, line{0.17, 0.0081}, 500}
	tech      = addOn{line{0.22, 0.0081}, line{0.05, 0.0070}, 500}
	streaming = addOn{line{0.19, 0.0065}, line{0.36, 0.0065}, 1000} // TV and movies alike

	// contractLift is added to the share of every add-on, in the order of contracts.
	contractLift = [3]float64{-0.03, 0.02, 0.08}

	// moviesGivenTV is the correlation of the two streaming services within a service and tenure.
	moviesGivenTV = 0.30

	// multipleLines is the share among phone customers, in the order of internets.
	multipleLines = [3]line{{0.14, 0.0080}, {0.40, 0.0070}, {0.05, 0.0060}}

	partnerShare = line{0.26, 0.0069}

	// seniorShare, paperlessShare and dependentsFactor are in the order of internets.
	seniorShare      = [3]float64{0.107, 0.2685, 0.034}
	paperlessShare   = [3]float64{0.549, 0.774, 0.292}
	paperlessLift    = [3]float64{0.03, -0.025, -0.045} // by contract
	dependentsFactor = [3]float64{1.00, 0.84, 1.16}
)

// List prices in cents.
const (
	phoneCents    = 2000
	linesCents    = 500
	dslCents      = 2500
	fiberCents    = 5000
	leastCents    = 1825
	priceSD       = 100.0 // of one customer's price around the list price
	phoneGivenDSL = 0.718
)
