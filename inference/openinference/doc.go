// Package openinference speaks the REST form of the Open Inference Protocol, version 2, which KServe, MLServer, Triton and their clients share.
// It turns the tensors of a request into records of the model's columns, one JSON object each, and hands them to an [Engine], which decodes, scores,
// counts and logs them as it does those of /predict. So a value means the same at every endpoint, to the bit: the digits of a number in a tensor
// are the digits that the decoder reads, whatever the tensor's type.
//
// # The forms of a request
//
//   - One input per column, named as the column, of shape [n] or [n, 1], of any datatype. Strings may hold numbers where a column is numeric, and
//     numbers may stand for words, on the terms of a record's JSON. This is what the "pd" content type of MLServer sends.
//   - One BYTES input that is not named as a column, of shape [n] or [n, 1], each element of which is a record as a JSON object.
//   - Inputs of shape [n, k] whose parameter "columns" names the k columns: a list, or a text with commas. Without it the order of the columns would
//     be a guess, and the request is refused.
//
// Data is flat in row-major order, or nested as the shape says. null is a missing value in every datatype. Inputs that name no column of the model
// are left out and reported; a column that is missing is named. BYTES with the content type "base64" are decoded first.
//
// # The answer
//
// Outputs are churn_probability FP64 [n], label BYTES [n] and prediction_id BYTES [n], or those that the request asks for. With "explain": true among
// the request's parameters, or ?explain=true, there are contributions FP64 [n, k+1] (the last is the bias), contribution_columns BYTES [k+1],
// raw_score FP64 [n] and reasons BYTES [n], a JSON list each. Where a split between two versions is in force the rows of a request may be answered by both: model_version is then an output
// INT64 [n] and the field is left out. Warnings are in the answer's parameter "warnings".
//
// # Errors
//
// {"error": text} with 400 for a request that can't be understood or a row with faults, all of which are named; 404 for a model that is not the one
// served, a version that is not held and a path that is none; 405; 413 for too large a body; 429 with Retry-After; 503 where no version is loaded;
// 504 where the deadline has passed. The binary tensor extension is not spoken.
package openinference
