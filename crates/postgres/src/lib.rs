//! The source: PostgreSQL catalog, preflight, slot, publication, snapshot and logical stream
