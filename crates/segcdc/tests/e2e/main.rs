//! The whole system: the binary between a real PostgreSQL and a target.

#![expect(clippy::indexing_slicing, clippy::print_stderr, reason = "a test may panic, and tells what it did")]

mod append_only;
mod bags;
mod big_tables;
mod choice;
mod chosen_key;
mod connect_verbs;
mod connecting;
mod edges;
mod failover;
#[cfg(feature = "failpoints")]
mod failpoints;
mod faults;
mod honest;
mod independent;
mod inserts;
mod invariants;
mod kafka_connect;
mod kafka_handover;
mod keys;
mod kill_loop;
mod large;
mod large_status;
mod life;
mod load;
mod masks;
mod matrix;
mod names;
mod observer;
mod partitions;
mod pipeline_file;
mod policies;
mod prepared;
mod product;
mod recover;
mod refusals;
mod refused;
mod repair;
mod replay;
mod row_filters;
mod schema_changes;
mod served;
mod skips;
mod soft_delete;
mod stage;
mod table_kinds;
mod tables_online;
mod values;
mod verify_load;
mod verify_ranges;
mod versions;
mod workload;
