// Package filter is the grammar in which MLflow clients search: a filter is a conjunction of comparisons, an order a list of fields, and a page
// token says where the next page of the same query begins.
//
//	metrics.`val auc` > 0.8 AND params.model = 'tree' AND attributes.status IN ('FINISHED', 'KILLED') AND tags."mlflow.user" ILIKE 'a%'
//
// There is no OR, no NOT and no bracket but the list of IN, as in MLflow. Keywords and prefixes are read in any case of letters; LIKE knows % (any
// text) and _ (one character) and no escape. A comparison with a key that the entity does not have is false, != too. NaN equals nothing and is
// neither less nor greater; != is true of it.
//
// In an order, what lacks the key comes last, in both directions, and NaN right before it. Every order ends in what is unique, so that it is total.
//
// The package is pure. Filters, orders and keys are immutable and safe for concurrent use.
package filter
