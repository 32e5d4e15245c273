//! SEG CDC command line.
#![allow(dead_code, reason = "wip")]
mod arguments;
mod error;
mod exit;
mod findings;
mod logs;
mod paint;
mod secret_url;
mod settings;
mod text;

fn main() {}
