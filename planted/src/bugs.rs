//! The bugs, by where they sit.

macro_rules! bugs {
    ($($(#[$doc:meta])* $bug:ident = $name:literal, breaks $breaks:literal, found by $scenario:literal;)*) => {
        /// A mistake that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug {
            $($(#[$doc])* $bug,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: [Bug; [$(Bug::$bug),*].len()] = [$(Bug::$bug),*];

            /// Its name, as in `--bug`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Bug::$bug => $name,)*
                }
            }

            /// The law that it breaks (docs/architecture.md, "Invariants"), or the fault that it cannot stand.
            #[must_use]
            pub const fn breaks(self) -> &'static str {
                match self {
                    $(Bug::$bug => $breaks,)*
                }
            }

            /// The simulator's scenario that is expected to find it.
            #[must_use]
            pub const fn scenario(self) -> &'static str {
                match self {
                    $(Bug::$bug => $scenario,)*
                }
            }
        }
    };
}

bugs! {
    // Sealing.

    /// The segment's salt is left out of the key: where a frame's number comes again, so do key and nonce.
    SealedWithoutSalt = "sealed-without-salt", breaks "no nonce twice; crash and truncate", found by "crashes";
    /// The salt is made of what a copy of the directory has too.
    SaltOfEngineAndNumber = "salt-of-engine-and-number", breaks "no nonce twice; older copy, clone", found by "copies";
    /// The nonce is the record's number in its stream.
    NonceOfOffset = "nonce-of-offset", breaks "no nonce twice; an index written over", found by "calm";
    /// A frame is sealed under the number of the one before it, as a tail block is that is sealed again with what came since.
    TailSealedAgain = "tail-sealed-again", breaks "no nonce twice; tail sealed again", found by "calm";
    /// The nonce is the place in the frame alone.
    NonceOfPlaceAlone = "nonce-of-place-alone", breaks "no nonce twice; a place sealed again", found by "calm";
    /// The nonce counts frames from the beginning again after some, and no salt changes the key.
    CounterStartsOver = "counter-starts-over", breaks "no nonce twice; counter lost", found by "calm";
    /// The nonce is the frame's sequence alone.
    NonceOfFrameAlone = "nonce-of-frame-alone", breaks "no nonce twice; a batch", found by "calm";
    /// The cipher of the first segment is kept for all others.
    CipherKeptOverSegments = "cipher-kept-over-segments", breaks "sealed as documented", found by "large";
    /// Whose a record is, and what it says of itself, is not authenticated with it.
    IdentityNotSealed = "identity-not-sealed", breaks "sealed as documented; swapped tenants", found by "calm";
    /// A record in the clear is given where only sealed ones can be.
    ClearTakenForSealed = "clear-taken-for-sealed", breaks "nobody writes without the key; forged", found by "rot";
    /// After its key was changed, a tenant's records are not sealed.
    ClearAfterRotation = "clear-after-rotation", breaks "nothing in the clear; another key", found by "calm";
    /// A stream is sealed with the key that it was first sealed with.
    OldKeyKept = "old-key-kept", breaks "sealed as documented; another key", found by "calm";
    /// An opening does not see that something is erased.
    ErasureNotReplayed = "erasure-not-replayed", breaks "erased for good", found by "crashes";
    /// What is erased is not refused to readers.
    ErasedStillRead = "erased-still-read", breaks "erased for good", found by "calm";

    // Writing frames.

    /// Answers leave when their frame is submitted.
    AcknowledgedBeforeFlush = "acknowledged-before-flush", breaks "durable answers; kill", found by "crashes";
    /// Frames are written without being flushed.
    FrameNotFlushed = "frame-not-flushed", breaks "durable answers; power cut", found by "crashes";
    /// A frame that could not be written counts as written.
    WriteErrorIgnored = "write-error-ignored", breaks "write error", found by "errors";
    /// A frame of which a part was written counts as written.
    ShortWriteIgnored = "short-write-ignored", breaks "short write", found by "errors";
    /// A frame for which there was no space counts as written.
    NoSpaceIgnored = "no-space-ignored", breaks "no space", found by "errors";
    /// The settled mark follows completions as they come.
    SettledOutOfOrder = "settled-out-of-order", breaks "durable answers; reordered", found by "large";
    /// A frame says that all before it are durable, also those in flight.
    DurableMarkAhead = "durable-mark-ahead", breaks "damage apart from torn tails; reordered", found by "large";
    /// A quiet log gets no mark: nothing vouches for its newest frame.
    MarkNeverWritten = "mark-never-written", breaks "damage apart from torn tails; bit flip", found by "rot";
    /// The frame after a mark is written over it.
    MarkWrittenOver = "mark-written-over", breaks "bytes written once; duplicated write", found by "crashes";
    /// Two records of one stream are hashed side by side, from the same link.
    LinkForked = "link-forked", breaks "chains verify", found by "calm";

    // Levels of durability.

    /// Buffered records are flushed when somebody asks for it, and not when their time is over.
    BufferedNeverFlushed = "buffered-never-flushed", breaks "the window of Buffered; power cut", found by "levels";
    /// A buffered append is answered before it is written.
    BufferedNotWritten = "buffered-not-written", breaks "Buffered outlives the process; kill", found by "levels";
    /// `sync` is answered when the flush was asked for.
    SyncNotWaitedFor = "sync-not-waited-for", breaks "sync; power cut", found by "levels";
    /// A durable write vouches for frames before it that were not flushed.
    PlainFramesForgotten = "plain-frames-forgotten", breaks "durable answers after others; reordered", found by "levels";
    /// An answer that was only written says that it is flushed.
    LevelToldTooHigh = "level-told-too-high", breaks "the level that an answer tells; power cut", found by "levels";
    /// An operation may ask for less than its tenant's level.
    BelowDefaultTaken = "below-default-taken", breaks "levels are only raised", found by "levels";

    // Making and leaving segments.

    /// A segment's header is not durable when its first frame is.
    HeaderNotFlushed = "header-not-flushed", breaks "torn at a sector; power cut", found by "crashes";
    /// The name of a new segment is not made durable.
    DirectoryNotFlushed = "directory-not-flushed", breaks "entry lost", found by "crashes";
    /// All segments of an opening have one salt.
    SaltUsedAgain = "salt-used-again", breaks "no key and nonce twice", found by "calm";
    /// What a footer says of a stream is what is true when it is written, not when the segment was left.
    FooterLineLate = "footer-line-late", breaks "the index of a sealed segment", found by "large";
    /// A footer's checksum is not looked at.
    FooterNotChecked = "footer-not-checked", breaks "bit flip in a footer", found by "rot";

    // Recovery.

    /// The first bad frame ends the log, whatever says that it was durable.
    CutAtFirstBadFrame = "cut-at-first-bad-frame", breaks "damage apart from torn tails; latent sector", found by "rot";
    /// The manifest's frontier vouches for nothing.
    FrontierIgnored = "frontier-ignored", breaks "damage apart from torn tails; lost write", found by "rot";
    /// A frame is adopted without a look at its checksum.
    TornFrameAdopted = "torn-frame-adopted", breaks "torn in a sector", found by "crashes";
    /// A stream table's checksum is not looked at.
    TableNotChecked = "table-not-checked", breaks "bit flip in a table", found by "rot";
    /// A segment that is sealed late keeps its torn tail under the footer.
    TailNotCut = "tail-not-cut", breaks "bytes written once; torn at a sector", found by "crashes";
    /// Unused segments are removed from the first to the last.
    RemovedFromTheFirst = "removed-from-the-first", breaks "crash during recovery", found by "openings";
    /// A segment that cannot be read just now counts as missing.
    UnreadTakenForMissing = "unread-taken-for-missing", breaks "open error, short read", found by "errors";
    /// A short read counts as a whole one.
    ShortReadIgnored = "short-read-ignored", breaks "short read", found by "errors";
    /// One bad sector keeps the directory from being opened.
    BadSectorStopsOpening = "bad-sector-stops-opening", breaks "latent sector", found by "rot";
    /// Streams that may have lost their newest records take more.
    BlindLossNotFrozen = "blind-loss-not-frozen", breaks "offsets given once; file lost", found by "rot";

    // The manifest, and what an opening makes of the logs.

    /// The names of a new manifest's copies are not made durable.
    ManifestNotPublished = "manifest-not-published", breaks "entry lost", found by "crashes";
    /// Neither copy of the manifest is flushed before the other is written.
    ManifestCopiesTogether = "manifest-copies-together", breaks "torn manifest; power cut", found by "crashes";
    /// The manifest's good copy is written before the bad one.
    ManifestGoodCopyFirst = "manifest-good-copy-first", breaks "crash during recovery; torn manifest", found by "openings";
    /// An open directory's manifest says that it was closed.
    CleanWhileOpen = "clean-while-open", breaks "kill", found by "crashes";
    /// An opening's identity is a count, and two copies of a directory count alike.
    IncarnationCounted = "incarnation-counted", breaks "no key and nonce twice; older copy, clone", found by "copies";
    /// Of a stream with records in two logs, the first log's end counts.
    FirstLogWins = "first-log-wins", breaks "offsets given once; other number of shards", found by "shards";
    /// Catalog records are replayed log by log, not in their order.
    CatalogOutOfOrder = "catalog-out-of-order", breaks "same log, same state; other number of shards", found by "shards";
    /// A tenant's state goes to another shard than its requests.
    TenantOnWrongShard = "tenant-on-wrong-shard", breaks "one owner a tenant", found by "shards";

    // The state machine.

    /// The expected offset is not compared.
    ExpectedNotCompared = "expected-not-compared", breaks "linearizable answers", found by "calm";
    /// A deleted stream takes appends.
    DeletedTakesAppends = "deleted-takes-appends", breaks "linearizable answers; deletions", found by "calm";
    /// A timestamp is what the clock says, also when that went back.
    TimeGoesBack = "time-goes-back", breaks "timestamps; clock jump", found by "crashes";
    /// After replay the last position is given again.
    PositionGivenAgain = "position-given-again", breaks "positions ascend", found by "crashes";

    // The loop, and its clients.

    /// A read shows what is not settled.
    ReadSeesUnsettled = "read-sees-unsettled", breaks "durable answers; reads", found by "crashes";
    /// A read hands out frames that it has not verified.
    ReadNotVerified = "read-not-verified", breaks "bit flip, stale and misdirected read", found by "rot";
    /// A client's place is given away while answers are owed to it.
    PlaceGivenAway = "place-given-away", breaks "tokens answered once", found by "calm";
    /// Of two clients that attach in one turn, one is dropped.
    HandoverDropped = "handover-dropped", breaks "tokens answered once", found by "calm";
    /// Rings are not looked at once more before a shard sleeps.
    NoSecondLook = "no-second-look", breaks "everything is answered", found by "calm";
    /// A doorbell does not ring.
    DoorbellLost = "doorbell-lost", breaks "everything is answered", found by "calm";
    /// A shard sleeps while it holds a frame open.
    HeldFrameForgotten = "held-frame-forgotten", breaks "everything is answered", found by "calm";
}
