package feature

// Fold is the fold that target encoding puts an id into.
func Fold(id string, folds int) uint8 { return foldOf(id, folds) }
