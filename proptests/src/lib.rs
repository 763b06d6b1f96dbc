//! Property tests over the public API of `wirehaul-core`, one oracle per file in `tests/`.
