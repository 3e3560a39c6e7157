// Package e2e tests the programs as they are delivered: built binaries, each service a process of its own, real servers, kill -9.
//
// What a package's own tests hold for its code, these tests hold for the whole: whatever is killed whenever, the loop ends every run once, numbers
// versions without a gap, has one Production, and answers. They read the streams, as anyone may, and import no service.
//
// Tests that need the nats-server program or the nats tool have the build tag "processes"; both are looked for in .tools and then in $PATH,
// and "make tools" installs them. The others need the go command alone.
package e2e
