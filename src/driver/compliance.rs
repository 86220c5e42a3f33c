//! What every driver must do. Runs on each entry of the table.
