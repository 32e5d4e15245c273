//! The crate against real servers.

#[cfg(test)]
mod authority;
#[cfg(test)]
mod catalog;
#[cfg(test)]
mod connection;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod hosts;
#[cfg(test)]
mod money;
#[cfg(test)]
mod pooler;
#[cfg(test)]
mod preflight_server;
#[cfg(test)]
mod preflight_tables;
#[cfg(test)]
mod profile;
#[cfg(test)]
mod protection;
#[cfg(test)]
mod snapshot;
#[cfg(test)]
mod snapshot_values;
#[cfg(test)]
mod spill;
#[cfg(test)]
mod stream_changes;
#[cfg(test)]
mod stream_life;
