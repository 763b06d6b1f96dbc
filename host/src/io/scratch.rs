//! Buffers for what is read to be looked at and not kept. Each file thread has its own, as many as it has jobs that read at once.

use std::cell::RefCell;

use super::buffer::Buffer;

thread_local! {
    static SPARE: RefCell<Vec<Buffer>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of `len` bytes, whatever they are.
#[must_use]
pub fn take(len: usize) -> Buffer {
    let mut buffer = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
    buffer.resize(len);
    buffer
}

/// Keeps `buffer` for the next who asks on this thread.
pub fn put(buffer: Buffer) {
    SPARE.with_borrow_mut(|spare| spare.push(buffer));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_back_is_used_again_and_two_at_once_are_different() {
        let (first, second) = (take(5000), take(5000));
        let (one, two) = (first.as_ptr(), second.as_ptr());
        assert_ne!(one, two);
        put(first);
        let again = take(100);
        assert_eq!((again.as_ptr(), again.len()), (one, 100));
    }
}
