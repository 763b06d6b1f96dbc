//! The ways by name.

/// Which way is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The fastest that works here.
    #[default]
    Auto,
    /// AF_XDP, and nothing is copied.
    Xdp,
    /// AF_XDP, and the kernel copies.
    XdpCopy,
    /// AF_XDP behind any driver.
    XdpSkb,
    /// Packet sockets.
    Packet,
}

impl Choice {
    /// All of them by the name that the command line has for them.
    pub const ALL: [(&'static str, Self); 5] = [
        ("auto", Self::Auto),
        ("xdp", Self::Xdp),
        ("xdp-copy", Self::XdpCopy),
        ("xdp-skb", Self::XdpSkb),
        ("packet", Self::Packet),
    ];

    /// What the command line calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Xdp => "xdp",
            Self::XdpCopy => "xdp-copy",
            Self::XdpSkb => "xdp-skb",
            Self::Packet => "packet",
        }
    }
}
