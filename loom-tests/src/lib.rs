//! Models of every lock-free part, run under loom.
