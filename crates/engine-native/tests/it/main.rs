//! The engine between a real PostgreSQL and the sandbox.

#[cfg(test)]
mod beside;
#[cfg(test)]
mod chunked;
#[cfg(test)]
mod dropped;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod follow;
#[cfg(test)]
mod identities;
#[cfg(test)]
mod large;
#[cfg(test)]
mod pick_up;
mod policies;
#[cfg(test)]
mod random_ddl;
#[cfg(test)]
mod resync;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod schema_changes;
#[cfg(test)]
mod schema_kinds;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod start_up;
#[cfg(test)]
mod unseen;
#[cfg(test)]
mod wal;
#[cfg(test)]
mod workload;
