//! The sizes that bound a kernel's memory and the work of one command.

/// Bytes of a tenant's or a stream's name, at most. The format fixes it (`docs/format.md`,
/// "Names"), so it is no setting.
pub const NAME_BYTES_MAX: usize = 255;

/// What a kernel accepts. Replay is not held to it: what the log holds was accepted once, maybe
/// under other limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Payload bytes of one record.
    pub record_bytes_max: u32,
    /// Payload bytes of one append, over all its records.
    pub batch_bytes_max: u32,
    /// Records of one append. Empty records have no payload bytes, so bytes alone bound nothing.
    pub batch_records_max: u32,
    /// Tenants that were ever created: deleted ones keep their name and their history.
    pub tenants_max: u32,
    /// Streams that a tenant ever created: ids run from 1 to this, and none is given twice.
    pub streams_per_tenant_max: u32,
    /// Streams over all tenants, catalogs and deleted ones included. It bounds the kernel's
    /// memory, which the product of the two limits above would not do usefully.
    pub streams_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            record_bytes_max: 1 << 20,
            batch_bytes_max: 4 << 20,
            batch_records_max: 4096,
            tenants_max: 1 << 18,
            streams_per_tenant_max: 1 << 18,
            streams_max: 1 << 20,
        }
    }
}
