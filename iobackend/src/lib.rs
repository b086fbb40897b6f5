//! The small I/O trait of Diatreme, with an io_uring and a synchronous backend.
