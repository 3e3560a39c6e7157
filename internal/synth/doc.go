// Package synth generates customers like those of the public Telco churn file, any number of them, for demos, tests and benchmarks
// where the file is not at hand or a change of the world is wanted.
//
// Each row is drawn column by column: tenure, then the contract given tenure, the internet service given both, the household, the
// services, the price as the sum of the services' list prices, and last whether the customer churns, by a logistic relation that a
// Regime states in full (see Customer.ChurnProbability). The tables behind it are rounded shares of the public file.
//
// What a configuration generates depends on nothing else: no clock, no files. The first k rows do not depend on Rows. The same seed
// and prefix under another regime give the same customers, id by id, with other monthly charges and another outcome. Memory does not grow
// with the number of rows.
package synth
