pub(crate) fn fails_at_any_write() {}
pub(crate) fn small_and_full() {}
pub(crate) fn becomes_read_only() {}
