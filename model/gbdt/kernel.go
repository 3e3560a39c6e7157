package gbdt

// The loops below are the innermost of training. They are written out for each even number of lanes, for a loop over the lanes would cost as
// much as the additions. sumRows adds rows given by number, sumAll rows beside one another, and sumRecords records.

func sumRows2(cells *hotWord, words []uint64, pairs []pair, rows []int32) {
	for _, r := range rows {
		w, d := words[r], pairs[r]
		g, hc := int64(int32(d)), d>>32|1<<countShift
		c0 := &cells[0][uint8(w)]
		c0.g += g
		c0.hc += hc
		c1 := &cells[1][uint8(w>>8)]
		c1.g += g
		c1.hc += hc
	}
}

func sumAll2(cells *hotWord, words []uint64, pairs []pair) {
	pairs = pairs[:len(words)]
	for r, w := range words {
		d := pairs[r]
		g, hc := int64(int32(d)), d>>32|1<<countShift
		c0 := &cells[0][uint8(w)]
		c0.g += g
		c0.hc += hc
		c1 := &cells[1][uint8(w>>8)]
		c1.g += g
		c1.hc += hc
	}
}

func sumRecords2(cells *hotWord, values []uint64, stride, word int) {
	for last := stride - 1; last < len(values); last += stride {
		w, d := values[last-stride+1+word], values[last]
		g, hc := int64(int32(d)), d>>32|1<<countShift
		c0 := &cells[0][uint8(w)]
		c0.g += g
		c0.hc += hc
		c1 := &cells[1][uint8(w>>8)]
		c1.g += g
		c1.hc += hc
	}
}

func sumRows4(cells *hotWord, words []uint64, pairs []pair, rows []int32) {
	for _, r := range rows {
		w, d := words[r], pairs[r]
		g, hc := int64(int32(d)), d>>32|1<<countShift
		c0 := &cells[0][uint8(w)]
		c0.g += g
		c0.hc += hc
		c1 := &cells[1][uint8(w>>8)]
		c1.g += g
		c1.hc += hc
		c2 := &cells[2][uint8(w>>16)]
		c2.g += g
		c2.hc += hc
		c3 := &cells[3][uint8(w>>24)]
		c3.g += g
		c3.hc += hc
	}
}

func sumAll4(cells *hotWord, words []uint64, pairs []pair) {
	pairs = pairs[:len(words)]
	for r, w := range words {
		d := pairs[r]
		g, hc := int64(int32(d)), d>>32|1<<countShift
		c0 := &cells[0][uint8(w)]
		c0.g += g
		c0.hc += hc
		c1 := &cells[1][uint8(w>>8)]
		c1.g += g
		c1.hc += hc
		c2 := &cells[2][uint8(w>>16)]
		c2.g += g
		c2.hc += hc
		c3 := &cells[3][uint8(w>>24)]
		c3.g += g
		c3.hc += hc
	}
}

func sumRecords4(cells *hotWord, values []uint64, stride, word int) {
	for last := stride - 1; last < len(values); last += stride {
		w, d := values[last-stride+1+word], values[last]
		g, hc := int64(int32(d)), d>>32|1<<countShift
		c0 := &cells[0][uint8(w)]
		c0.g += g
		c0.hc += hc
		c1 := &cells[1][uint8(w>>8)]
		c1.g += g
		c1.hc += hc
		c2 := &cells[2][uint8(w>>16)]
		c2.g += g
		c2.hc += hc
		c3 := &cells[3][uint8(w>>24)]
		c3.g += g
		c3.hc += hc
	}
}

func sumRows6(cells *hotWord, words []uint64, pairs []pair, rows []int32) {
	for _, r := range rows {
		w, d := words[r], pairs[r]
		g, hc := int64(int32(d)), d>>32|1<<countShift
		c0 := &cells[0][uint8(w)]
		c0.g += g
		c0.hc += hc
		c1 := &cells[1][uint8(w>>8)]
		c1.g += g
		c1.hc += hc
		c2 := &cells[2][uint8(w>>16)]
		c2.g += g
		c2.hc += hc
		c3 := &cells[3][uint8(w>>24)]
		c3.g += g
		c3.hc += hc
		c4 := &cells[4][uint8(w>>32)]
		c4.g += g
		c4.hc += hc
		c5 := &cells[5][uint8(w>>40)]
		c5.g += g
		c5.hc += hc
	}
}

func sumAll6(cells *hotWord, words []uint64, pairs []pair) {
	pairs = pairs[:len(words)]
	for r, w := range words {
		d := pairs[r]
		g, hc := int64(int32(d)), d>>32|1<<countShift
		c0 := &cells[0][uint8(w)]
		c0.g += g
		c0.hc += hc
		c1 := &cells[1][uint8(w>>8)]
		c1.g += g
		c1.hc += hc
		c2 := &cells[2][uint8(w>>16)]
		c2.g += g
		c2.hc += hc
		c3 := &cells[3][uint8(w>>24)]
		c3.g += g
		c3.hc += hc
		c4 := &cells[4][uint8(w>>32)]
		c4.g += g
		c4.hc += hc
		c5 := &cells[5][uint8(w>>40)]
		c5.g += g
		c5.hc += hc
	}
}

func sumRecords6(cells *hotWord, values []uint64, stride, word int) {
	for last := stride - 1; last < len(values); last += stride {
		w, d := values[last-stride+1+word], values[last]
		g, hc := int64(int32(d)), d>>32|1<<countShift
		c0 := &cells[0][uint8(w)]
		c0.g += g
		c0.hc += hc
		c1 := &cells[1][uint8(w>>8)]
		c1.g += g
		c1.hc += hc
		c2 := &cells[2][uint8(w>>16)]
		c2.g += g
		c2.hc += hc
		c3 := &cells[3][uint8(w>>24)]
		c3.g += g
		c3.hc += hc
		c4 := &cells[4][uint8(w>>32)]
		c4.g += g
		c4.hc += hc
		c5 := &cells[5][uint8(w>>40)]
		c5.g += g
		c5.hc += hc
	}
}

func sumRows8(cells *hotWord, words []uint64, pairs []pair, rows []int32) {
	for _, r := range rows {
		w, d := words[r], pairs[r]
		g, hc := int64(int32(d)), d>>32|1<<countShift
		c0 := &cells[0][uint8(w)]
		c0.g += g
		c0.hc += hc
		c1 := &cells[1][uint8(w>>8)]
		c1.g += g
		c1.hc += hc
		c2 := &cells[2][uint8(w>>16)]
		c2.g += g
		c2.hc += hc
		c3 := &cells[3][uint8(w>>24)]
		c3.g += g
		c3.hc += hc
		c4 := &cells[4][uint8(w>>32)]
		c4.g += g
		c4.hc += hc
		c5 := &cells[5][uint8(w>>40)]
		c5.g += g
		c5.hc += hc
		c6 := &cells[6][uint8(w>>48)]
		c6.g += g
		c6.hc += hc
		c7 := &cells[7][uint8(w>>56)]
		c7.g += g
		c7.hc += hc
	}
}

func sumAll8(cells *hotWord, words []uint64, pairs []pair) {
	pairs = pairs[:len(words)]
	for r, w := range words {
		d := pairs[r]
		g, hc := int64(int32(d)), d>>32|1<<countShift
		c0 := &cells[0][uint8(w)]
		c0.g += g
		c0.hc += hc
		c1 := &cells[1][uint8(w>>8)]
		c1.g += g
		c1.hc += hc
		c2 := &cells[2][uint8(w>>16)]
		c2.g += g
		c2.hc += hc
		c3 := &cells[3][uint8(w>>24)]
		c3.g += g
		c3.hc += hc
		c4 := &cells[4][uint8(w>>32)]
		c4.g += g
		c4.hc += hc
		c5 := &cells[5][uint8(w>>40)]
		c5.g += g
		c5.hc += hc
		c6 := &cells[6][uint8(w>>48)]
		c6.g += g
		c6.hc += hc
		c7 := &cells[7][uint8(w>>56)]
		c7.g += g
		c7.hc += hc
	}
}

func sumRecords8(cells *hotWord, values []uint64, stride, word int) {
	for last := stride - 1; last < len(values); last += stride {
		w, d := values[last-stride+1+word], values[last]
		g, hc := int64(int32(d)), d>>32|1<<countShift
		c0 := &cells[0][uint8(w)]
		c0.g += g
		c0.hc += hc
		c1 := &cells[1][uint8(w>>8)]
		c1.g += g
		c1.hc += hc
		c2 := &cells[2][uint8(w>>16)]
		c2.g += g
		c2.hc += hc
		c3 := &cells[3][uint8(w>>24)]
		c3.g += g
		c3.hc += hc
		c4 := &cells[4][uint8(w>>32)]
		c4.g += g
		c4.hc += hc
		c5 := &cells[5][uint8(w>>40)]
		c5.g += g
		c5.hc += hc
		c6 := &cells[6][uint8(w>>48)]
		c6.g += g
		c6.hc += hc
		c7 := &cells[7][uint8(w>>56)]
		c7.g += g
		c7.hc += hc
	}
}
