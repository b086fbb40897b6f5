//! Placement of tenants on shards, and attachment of clients.
