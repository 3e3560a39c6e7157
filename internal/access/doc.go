// Package access says who may do what on the registry's HTTP endpoints: users with roles from a file, HTTP Basic and bearer tokens, and
// the protection of browsers against other sites.
//
// The file is YAML and holds no secret in the clear:
//
//	open_metrics: false       # true: /metrics without a login
//	users:
//	  - name: ann
//	    role: admin
//	    password_bcrypt: $2a$10$...
//	  - name: ci
//	    role: log
//	    token_sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//
// A user has a password, a token, or both. A token is sent as "Authorization: Bearer TOKEN", or as the password of HTTP Basic, which is how a
// browser sends it. The file is read again when it changes and on demand ([Policy.Reload]); one that can't be used leaves the users
// that were, and is an error in the log.
//
// What bcrypt costs can't be used against the server: each address has one comparison at a time, the process has few, whoever waits too long
// is answered 503, and a credential that was compared once is remembered for a while by a keyed hash, right ones and wrong ones
// apart, each up to a bound. An unknown name costs as much as a known one.
//
// Without a file (a nil *Policy) everybody is an administrator called "anonymous". That is for a server that listens on the loopback: it
// answers to "localhost" and to addresses, and to no other name, as a web page could have its own name point at the loopback. [Open] is the
// same for a server that may be reached by any name.
//
// Requests that change something and that a browser sends from another site's page are refused whatever they carry, since a browser adds
// the credentials that it remembers.
package access
