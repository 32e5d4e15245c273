//! SEG CDC command line.

fn main() {}
