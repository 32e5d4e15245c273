//! Test servers: private PostgreSQL clusters, a sandbox target, conditions to wait on
