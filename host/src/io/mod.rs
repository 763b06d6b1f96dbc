//! File I/O off the packet threads.
