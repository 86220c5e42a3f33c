pub(crate) fn killed_at_points() {}
