//! The ways by name.

/// Which way is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The fastest that works here.
    #[default]
    Auto,
    /// io_uring.
    Uring,
    /// Ordinary calls on threads of their own.
    Sync,
}

impl Choice {
    /// All of them by the name that the command line has for them.
    pub const ALL: [(&'static str, Self); 3] = [("auto", Self::Auto), ("uring", Self::Uring), ("sync", Self::Sync)];
}
