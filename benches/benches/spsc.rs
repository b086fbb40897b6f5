//! Rings side by side.

fn main() {}
