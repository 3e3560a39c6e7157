// Package deploy holds what the loop is deployed with: the logins and permissions of NATS (nats/). Dockerfile, Dockerfile.serve and
// docker-compose.yaml are in the repository's root, where their tools look for them.
//
// Its tests take these files for what they say. Without a container engine they check that the compose file is sound, that the programs
// understand every command and setting in it, and that an image's build finds what it needs in its context. With the build tag "processes" they
// start the stack of the compose file as plain processes, its NATS configuration, its logins and its commands, and play a turn on it.
package deploy
