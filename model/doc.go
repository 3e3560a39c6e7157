// Package model is what the services pass around: the bundle, one file that holds everything needed to score a record and to prove
// that it is scored as it was in training.
//
// # The parts of a bundle
//
//   - manifest.json: what the bundle is (model, run, seed, threshold, metrics, rows) and the digest of every other part
//   - spec.yaml: the rules of the model, without the place of its dataset
//   - fitted_features.json: what the feature pipeline learned from the training rows
//   - model.txt: the trees, in LightGBM's text format
//   - calibration.json: how the trees' scores become probabilities, where the spec asks for a calibration
//   - baseline.json: what columns and scores looked like, for drift; a model that was trained elsewhere and imported has none
//   - golden.json: rows of the holdout with their expected features, leaves, margin (of the trees) and probability (calibrated)
//
// They travel as one tar archive in this order with fixed headers: [Bundle.Encode] and [Decode]. There is no clock and no chance in it,
// so the same rows, spec, seed and run give the same bytes on one architecture. The manifest holds the digests of the other parts and its
// own, and the frame around them can be written in one way only: a changed byte, wherever it is, is refused.
//
// # Two steps of trust
//
// Decode shows that the bytes are what was written and that the parts belong together. It does not show that this program computes from
// them what the trainer did. [Bundle.Verify] does: it scores the golden rows again, from the raw record on. Whoever loads a bundle to
// answer with it calls both.
//
// A bundle is immutable after New or Decode and safe for concurrent use; a [Scorer] holds buffers and belongs to one goroutine.
// Nothing in this package fits anything, so a program that only serves links no training code.
package model
