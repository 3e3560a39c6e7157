package dataset

// AppendString appends a text as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte { return appendString(dst, s) }

// AppendNumber appends a number in its shortest exact form as JSON, null for one that is not finite.
func AppendNumber(dst []byte, v float64) []byte { return appendNumber(dst, v) }
