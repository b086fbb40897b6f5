//! The pure state machine of Diatreme: tenants and streams.
