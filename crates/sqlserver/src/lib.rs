//! The target: T-SQL, bulk load, atomic apply with checkpoint and fence
