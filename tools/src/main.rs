//! The `diatreme` command.

fn main() {}
