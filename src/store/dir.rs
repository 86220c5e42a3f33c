//! docker-machine's directory.
