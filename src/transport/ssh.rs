//! SSH by russh: host keys pinned, one connection per host, commands multiplexed on it.
