//! What a client asks for.

use crate::durability::Durability;
use crate::ids::{StreamId, TenantId};
use crate::keys::NewKey;
use crate::records::Records;

/// One request, decoded. It borrows from the request where it lies.
#[derive(Clone, Copy, Debug)]
pub enum Command<'a> {
    /// Creates a tenant.
    CreateTenant {
        /// Its id: [`TenantId::of_name`] of the name. Whoever decodes the request derives it; the
        /// kernel takes it as given.
        tenant: TenantId,
        /// Its name.
        name: &'a str,
        /// The key that seals its data; `None`: it stays in the clear.
        key: Option<NewKey>,
    },
    /// Creates a stream; the tenant gives it an id.
    CreateStream {
        /// The tenant.
        tenant: TenantId,
        /// The stream's name, free in the tenant.
        name: &'a str,
        /// A key of the stream's own, so that it can be erased alone; `None`: the tenant's.
        key: Option<NewKey>,
    },
    /// Appends records to a stream: all of them or none.
    Append {
        /// The tenant.
        tenant: TenantId,
        /// The stream.
        stream: StreamId,
        /// The offset that the first record must get; `None`: whichever is next.
        expected: Option<u64>,
        /// The records.
        records: Records<'a>,
    },
    /// Asks where a stream ends.
    Head {
        /// The tenant.
        tenant: TenantId,
        /// The stream.
        stream: StreamId,
    },
    /// Asks for records.
    Read {
        /// The tenant.
        tenant: TenantId,
        /// The stream.
        stream: StreamId,
        /// Offset of the first record asked for.
        from: u64,
        /// Records to return at most.
        records_max: u32,
        /// Bytes to return at most.
        bytes_max: u32,
    },
    /// Asks which stream has a name.
    Resolve {
        /// The tenant.
        tenant: TenantId,
        /// The stream's name.
        name: &'a str,
    },
    /// Lists tenants in ascending order of id: a [`Listing`](crate::Listing) in the effects'
    /// scratch.
    ListTenants {
        /// The last tenant of the page before; `None` begins.
        after: Option<TenantId>,
        /// Bytes of the page at most, [`LISTING_BYTES_MIN`](crate::LISTING_BYTES_MIN) or more.
        bytes_max: u32,
    },
    /// Lists a tenant's streams in ascending order of id: a [`Listing`](crate::Listing) in the
    /// effects' scratch.
    ListStreams {
        /// The tenant.
        tenant: TenantId,
        /// The last stream of the page before; [`CATALOG`](crate::CATALOG), which is never
        /// listed, begins.
        after: StreamId,
        /// Bytes of the page at most, [`LISTING_BYTES_MIN`](crate::LISTING_BYTES_MIN) or more.
        bytes_max: u32,
    },
    /// Gives a tenant a policy of its own, from its next append on.
    SetDurability {
        /// The tenant.
        tenant: TenantId,
        /// The policy.
        durability: Durability,
    },
    /// Gives a tenant, or a stream that was created with a key of its own, a new key, from its next append on. A tenant that had
    /// none is encrypted from there on.
    IntroduceKey {
        /// The tenant.
        tenant: TenantId,
        /// The stream; `None`: the tenant's key.
        stream: Option<StreamId>,
        /// The key.
        key: NewKey,
    },
    /// Says that the key of a tenant, with those of all its streams, or of one stream is to be destroyed: the data is neither
    /// read nor added to any more. Done again it changes nothing and succeeds.
    Erase {
        /// The tenant.
        tenant: TenantId,
        /// A stream with a key of its own; `None`: the whole tenant.
        stream: Option<StreamId>,
    },
    /// Deletes a stream. Its name becomes free, its id stays taken.
    DeleteStream {
        /// The tenant.
        tenant: TenantId,
        /// The stream.
        stream: StreamId,
    },
    /// Deletes a tenant with all its streams. Its name stays taken.
    DeleteTenant {
        /// The tenant.
        tenant: TenantId,
    },
}
