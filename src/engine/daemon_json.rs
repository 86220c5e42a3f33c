//! Merging what we want into a daemon.json that may hold other people's keys.
