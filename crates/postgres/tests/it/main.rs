//! The crate against real servers.

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod snapshot;
#[cfg(test)]
mod snapshot_values;
