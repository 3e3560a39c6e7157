package eval

// ROCAUC returns the area under the receiver operating characteristic: the probability that a positive row drawn by weight
// scores above a negative one, a tie counting half (Mann-Whitney U over the product of the class weights):
//
//	sum over pairs w_i w_j ([s_i > s_j] + [s_i = s_j]/2) / (W_pos W_neg)
//
// It is the trapezoid area of scikit-learn's roc_auc_score. Scores need only be finite, so margins do as well as probabilities.
// With one class the area is undefined: ErrSingleClass.
func ROCAUC(score, label, weight []float64) (float64, error) {
	if err := check(score, label, weight); err != nil {
		return 0, err
	}
	blocks, pos, neg := rank(score, label, weight)
	if pos == 0 || neg == 0 {
		return 0, ErrSingleClass
	}
	return rocAUC(blocks, pos, neg), nil
}

func rocAUC(blocks []block, pos, neg float64) float64 {
	area, above := 0.0, 0.0 // above: the share of positives in the blocks passed so far
	for _, b := range blocks {
		share := b.pos / pos
		area += float64((above + float64(share/2)) * (b.neg / neg))
		above += share
	}
	return min(area, 1)
}

// PRAUC returns the average precision, the step-wise area under the precision-recall curve:
//
//	sum over distinct scores, from the highest, of (R_k - R_(k-1)) P_k
//
// where P_k and R_k are precision and recall with the k-th score as the threshold. Rows of equal score enter as one block, in
// whatever order they stand. It follows scikit-learn's average_precision_score and does not interpolate. Scores need only be
// finite. Without a positive row it is undefined: ErrSingleClass. Without a negative row it is 1.
func PRAUC(score, label, weight []float64) (float64, error) {
	if err := check(score, label, weight); err != nil {
		return 0, err
	}
	blocks, pos, _ := rank(score, label, weight)
	if pos == 0 {
		return 0, ErrSingleClass
	}
	return prAUC(blocks, pos), nil
}

func prAUC(blocks []block, pos float64) float64 {
	area, tp, fp := 0.0, 0.0, 0.0
	for _, b := range blocks {
		tp += b.pos
		fp += b.neg
		area += float64((b.pos / pos) * (tp / (tp + fp))) // a block has weight, so the divisor is above 0
	}
	return min(area, 1)
}

// BestF1Threshold returns the threshold with the greatest F1 on these rows, and that F1. Candidates lie half way between
// neighbouring distinct scores (at the higher one where no float lies between them),
// and at the lowest score, which predicts every row positive. Of equal F1 the highest threshold wins, that is the fewest rows
// predicted positive. The F1 is optimistic on the rows that chose the threshold: choose on validation rows, report on others.
// With one class no threshold can be chosen: ErrSingleClass.
func BestF1Threshold(score, label, weight []float64) (threshold, f1 float64, err error) {
	if err := check(score, label, weight); err != nil {
		return 0, 0, err
	}
	blocks, pos, neg := rank(score, label, weight)
	if pos == 0 || neg == 0 {
		return 0, 0, ErrSingleClass
	}
	tp, fp, best := 0.0, 0.0, -1
	for k, b := range blocks {
		tp += b.pos
		fp += b.neg
		if f := f1Of(tp, fp, max(pos-tp, 0)); best < 0 || f > f1 {
			best, f1 = k, f
		}
	}
	if best == len(blocks)-1 {
		return blocks[best].score, f1, nil
	}
	return midpoint(blocks[best+1].score, blocks[best].score), f1, nil
}

// midpoint returns a value in (lo, hi], half way where rounding allows it. lo < hi.
func midpoint(lo, hi float64) float64 {
	m := float64(lo/2) + float64(hi/2)
	if m <= lo || m > hi {
		return hi
	}
	return m
}
