//! The `diatreme` command.
#![forbid(unsafe_code)]
#![expect(dead_code, reason = "the commands that use these rooms follow")]

mod engine_args;
mod failure;

fn main() {}
