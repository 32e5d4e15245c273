//! Tests of the target, without a server: what is sent.

#[cfg(test)]
#[path = "../../src/fixture.rs"]
mod fixture;
#[cfg(test)]
mod golden;
