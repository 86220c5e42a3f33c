//! docker-machine config.json.
