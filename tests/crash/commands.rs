pub(crate) fn killed_at_every_point() {}
