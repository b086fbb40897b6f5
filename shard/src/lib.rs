//! One core's event loop: drain, apply, seal, submit, reap, answer.
