//! The simulator: the core under virtual time.
