//! A thread-per-core, shared-nothing storage engine for many tenants.
