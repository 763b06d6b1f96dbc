//! What carries a survey's frames.

/// One queue of an interface, for whole frames: from the Ethernet header on, or from the IP header where the link has none.
pub trait Wire {
    /// Shows one bounded batch of frames that came to `sink`; returns how many there were. Never waits.
    fn receive(&mut self, sink: impl FnMut(&mut [u8])) -> usize;

    /// Has `write` write a frame and say how long it is; zero bytes are no frame, and nothing is sent. `false`: there is no room,
    /// `write` was not called, and nothing was written. What was written leaves at the next [`Wire::flush`], or before.
    fn transmit(&mut self, write: impl FnOnce(&mut [u8]) -> usize) -> bool;

    /// Sends what was written. What the kernel has no room for is held back and sent by a later call.
    fn flush(&mut self);
}
