//! The store's certificate authority and what it vouches for. Pure functions over PEM texts: time is an
//! argument, keys are made by [`new_key`] and passed in. Files, and who may read them, are the store's business.
