//! The native engine: provision, snapshot, catch up, stream, verify
