// Package tracking keeps what MLflow clients log.
package tracking
