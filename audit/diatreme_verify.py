#!/usr/bin/env python3
"""Verifies a Diatreme data directory, its signed checkpoints and its proofs, without any code of the engine.

Written from docs/format.md alone, for an auditor who would rather not believe the program that wrote the log.
It reads, it changes nothing, and it needs no encryption key: the hash chains cover ciphertext. Python 3.9 or later;
signatures need the package `cryptography` (pip install cryptography), all else the standard library.

The file reads from top to bottom:

  1  checksums and hashes
  2  the structures of the format, one function each, from bytes to values
  3  a segment: what lies in it, and what is wrong with it
  4  a log: which frames belong to it, what is a torn tail, and what is damage
  5  streams and tenants: joins over frames, segments and logs; a tree a tenant
  6  signed notes, checkpoints and proofs
  7  the commands

What the verdict "sound" means: every byte that a checksum covers fits it; every record continues its stream's hash
chain, from the stream's genesis; offsets, positions and sequences have no gaps; and everything that something intact
says was acknowledged is there. What it cannot mean without a checkpoint that you kept yourself: that nobody cut the
end off, wrote everything anew, or put an older copy in its place. For that there is --checkpoint.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import os
import re
import struct
import sys
from dataclasses import dataclass, field

BLOCK = 4096
ZERO_BLOCK = bytes(BLOCK)
FORMAT_VERSION = 1
LOGS_MAX = 1024
SEGMENT_NUMBER_MAX = 99_999_999
SEQUENCES_MAX = 1 << 55
# A file whose number is that far above those of the others belongs to no history of its log.
SEGMENTS_MISSING_MAX = 1 << 20
OVERRIDES_MAX = 65_536
MANIFESTS = ("manifest.a", "manifest.b")
# Left alone: the lock, what a file system keeps at its root, and what the notary derives from the log.
BESIDE = ("LOCK", "lost+found", "notary")


class Bad(Exception):
    """Bytes that are not what the format says."""


class Refused(Exception):
    """Something that cannot be verified, or was verified and does not hold: exit code 1."""


class Usage(Exception):
    """The command was called wrongly: exit code 2."""


def check(condition: bool, what: str) -> None:
    if not condition:
        raise Bad(what)


# ---------------------------------------------------------------------------------------------------------------------
# 1  Checksums and hashes
# ---------------------------------------------------------------------------------------------------------------------


def crc32c_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ 0x82F63B78 if value & 1 else value >> 1
        table.append(value)
    return table


CRC_TABLE = crc32c_table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), as docs/format.md has it. About 6 MB a second: the slowest part of a verification."""
    table = CRC_TABLE
    value = 0xFFFFFFFF
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def genesis(tenant: int, stream: int) -> bytes:
    """The link before a stream's first record."""
    return sha256(b"diatreme/chain/genesis/v1\0" + struct.pack("<QI", tenant, stream))


def link_after(link_before: bytes, record: bytes) -> bytes:
    """`record` is the part that is hashed: from its kind to the end of its payload, or of its tag."""
    return sha256(b"\x02" + link_before + record)


def leaf_hash(tenant: int, stream: int, link: bytes) -> bytes:
    return sha256(b"\x00" + struct.pack("<QI", tenant, stream) + link)


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right)


def tenant_id(name: bytes) -> int:
    return int.from_bytes(sha256(b"diatreme/tenant/v1\0" + name)[:8], "little")


class Tree:
    """A Merkle tree as in RFC 6962. Only the roots of its whole subtrees are kept, one for each bit of its size."""

    def __init__(self) -> None:
        self.size = 0
        self.subtrees: list[bytes] = []  # from the largest to the smallest

    def append(self, leaf: bytes) -> None:
        size = self.size
        while size & 1:  # the last subtree is as large as what was just made: they become one
            leaf = node_hash(self.subtrees.pop(), leaf)
            size >>= 1
        self.subtrees.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        if not self.subtrees:
            return sha256(b"")
        root = self.subtrees[-1]
        for left in reversed(self.subtrees[:-1]):
            root = node_hash(left, root)
        return root


# ---------------------------------------------------------------------------------------------------------------------
# 2  The structures of the format
# ---------------------------------------------------------------------------------------------------------------------

MANIFEST = struct.Struct("<8sHHIQ16sQHHI")
FRONTIER = struct.Struct("<QIIQ")
OVERRIDE = struct.Struct("<QH6s")
SEGMENT_HEADER = struct.Struct("<8sHHI16s16s32sQQQQII")
FRAME_HEADER = struct.Struct("<4sHHHHI16sQQQIIIIQII")
FRAME_HEADER_BYTES = 128
RECORD = struct.Struct("<HBBIQQQI")
TAG_BYTES = 16
TABLE_ENTRY = struct.Struct("<QIIQII32s32sQQ")
FOOTER = struct.Struct("<4sHHII16sQQQQQIIII")
FOOTER_HEADER_BYTES = 128
FOOTER_STREAM = struct.Struct("<QIIQQQQ32s")
FOOTER_INDEX = struct.Struct("<QII")
NO_INDEX_ENTRY = 0xFFFFFFFF
INDEX_STEP = 65_536
TRAILER = struct.Struct("<8sQI")

KIND_DATA, KIND_TENANT, KIND_STREAM, KIND_STREAM_DELETED = 1, 2, 3, 4
KIND_TENANT_DELETED, KIND_POLICY, KIND_KEY, KIND_ERASED = 5, 6, 7, 8


def u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def zeros(data: bytes) -> bool:
    return not any(data)


class OtherVersion(Refused):
    def __init__(self, name: str, version: int) -> None:
        reads = f"this program reads version {FORMAT_VERSION}: use the verifier of that version"
        super().__init__(f"{name}: format version {version}; {reads}")


@dataclass
class Frontier:
    """Every frame of the log below `next_sequence` was durable; the last of them ends there."""

    next_sequence: int
    segment: int
    body_crc: int
    end: int


@dataclass
class Manifest:
    generation: int
    closed_cleanly: bool
    engine: bytes
    frontiers: list[Frontier]


def decode_manifest(name: str, data: bytes) -> Manifest:
    check(len(data) >= BLOCK, "the file ends here")
    magic, version, flags, length, generation, engine, _, shards, logs, overrides = MANIFEST.unpack_from(data)
    check(magic == b"DIATMANI", "does not begin as a manifest")
    check(MANIFEST.size + 4 <= length <= len(data), "its length is not that of its file")
    check(crc32c(data[: length - 4]) == u32(data, length - 4), "checksum mismatch")
    if version != FORMAT_VERSION:
        raise OtherVersion(name, version)
    check(flags < 4, f"has flags {flags:#x} that the format does not know")
    identity = 16 if flags & 2 else 0
    check(overrides <= OVERRIDES_MAX and logs <= LOGS_MAX, "names more logs or overrides than there may be")
    parts = MANIFEST.size + FRONTIER.size * logs + OVERRIDE.size * overrides + identity + 4
    check(length == parts, "its length is not that of its parts")
    check(shards >= 1, "names no shards")
    check(zeros(data[length : -(-length // BLOCK) * BLOCK]), "is not zero behind its end")
    frontiers = [Frontier(*FRONTIER.unpack_from(data, MANIFEST.size + FRONTIER.size * log)) for log in range(logs)]
    bounded = all(one.next_sequence < SEQUENCES_MAX and one.segment <= SEGMENT_NUMBER_MAX for one in frontiers)
    check(bounded, "a frontier is out of bounds")
    for number in range(overrides):
        _, _, reserved = OVERRIDE.unpack_from(data, MANIFEST.size + FRONTIER.size * logs + OVERRIDE.size * number)
        check(zeros(reserved), "an override is not as the format has it")
    return Manifest(generation, bool(flags & 1), engine, frontiers)


@dataclass
class SegmentHeader:
    engine: bytes
    incarnation: bytes
    capacity: int
    base: int  # the sequence of the incarnation's first frame
    base_end: int  # where frame base - 1 ends, in which segment, and its checksum
    base_segment: int
    base_crc: int


def decode_segment_header(name: str, block: bytes, log: int, number: int) -> SegmentHeader:
    values = SEGMENT_HEADER.unpack_from(block)
    magic, version, its_log, its_number, engine, incarnation, _, capacity, _ = values[:9]
    base, base_end, base_segment, base_crc = values[9:]
    check(magic == b"DIATSEGM", "does not begin as a segment")
    check(crc32c(block[:4092]) == u32(block, 4092), "checksum mismatch")
    if version != FORMAT_VERSION:
        raise OtherVersion(name, version)
    check((its_log, its_number) == (log, number), f"it is that of segment {its_number} of log {its_log}")
    check(zeros(block[SEGMENT_HEADER.size : 4092]), "is not zero where it should be")
    check(capacity % BLOCK == 0, "its capacity is not whole blocks")
    check(base < SEQUENCES_MAX and (base > 0 or base_segment == 0), "its base is out of bounds")
    return SegmentHeader(engine, incarnation, capacity, base, base_end, base_segment, base_crc)


@dataclass
class FrameHeader:
    log: int
    segment: int
    mark: bool
    table_entries: int
    incarnation: bytes
    sequence: int
    durable_mark: int
    position: int
    length: int
    record_bytes: int
    records: int
    previous_crc: int
    table_crc: int
    body_crc: int


def decode_frame_header(data: bytes, log: int, segment: int, at: int) -> FrameHeader:
    """What begins at byte `at` of the segment, if it is a frame of that place."""
    values = FRAME_HEADER.unpack_from(data)
    magic, version, flags, its_log, entries, its_segment, incarnation, sequence, durable_mark = values[:9]
    position, length, record_bytes, records, previous_crc, _, table_crc, body_crc = values[9:]
    check(magic == b"DtFr", "no frame begins here")
    check(crc32c(data[:124]) == u32(data, 124), "header checksum mismatch")
    check(version == FORMAT_VERSION, f"format version {version}; this program reads version {FORMAT_VERSION}")
    place = (its_log, its_segment, position)
    check(place == (log, segment, at), f"it is a frame of log {its_log}, segment {its_segment}, byte {position}")
    check(flags < 2, f"has flags {flags:#x} that the format does not know")
    check(zeros(data[FRAME_HEADER.size : 124]), "is not zero where it should be")
    check(length >= BLOCK and length % BLOCK == 0, "its length is not whole blocks")
    used = FRAME_HEADER_BYTES + record_bytes + TABLE_ENTRY.size * entries
    check(record_bytes % 8 == 0 and used <= length, "its parts are longer than it is")
    check(sequence < SEQUENCES_MAX and durable_mark <= sequence, "its sequence or its durable mark is out of bounds")
    return FrameHeader(its_log, its_segment, bool(flags & 1), entries, incarnation, sequence, durable_mark, position,
                       length, record_bytes, records, previous_crc, table_crc, body_crc)


@dataclass
class TableEntry:
    """What a frame's table says of one stream."""

    tenant: int
    stream: int
    records: int
    first_offset: int
    first_at: int
    link_before: bytes
    link_after: bytes
    last_timestamp: int
    last_position: int


def decode_table(header: FrameHeader, frame: bytes) -> list[TableEntry]:
    """The stream table, which has a checksum of its own: it may be intact where a record is not."""
    begin = FRAME_HEADER_BYTES + header.record_bytes
    data = frame[begin : begin + TABLE_ENTRY.size * header.table_entries]
    check(crc32c(data) == header.table_crc, "stream table checksum mismatch")
    entries = []
    for values in TABLE_ENTRY.iter_unpack(data):
        check(values[5] == 0, "an entry of the stream table is not zero where it should be")
        entries.append(TableEntry(*values[:5], *values[6:]))
    return entries


@dataclass
class Record:
    at: int  # in bytes from the start of the frame
    slot: int
    kind: int
    payload_bytes: int
    offset: int
    position: int
    timestamp: int
    hashed: bytes  # what the chain covers
    payload: bytes


def decode_record(data: bytes, at: int, end: int) -> tuple[Record, int]:
    """The record at byte `at`, and where the next one begins."""
    check(at + RECORD.size <= end, "a record is cut")
    slot, kind, flags, payload_bytes, offset, position, timestamp, key_id = RECORD.unpack_from(data, at)
    check(KIND_DATA <= kind <= KIND_ERASED, f"a record of kind {kind}, which the format does not know")
    check(flags in (0, 1), f"a record with flags {flags:#x} that the format does not know")
    check(bool(flags) == (key_id != 0), "a record that is sealed has a key id, and no other")
    check(not flags or kind == KIND_DATA, "a record of the catalog is sealed")
    stop = at + RECORD.size + payload_bytes + (TAG_BYTES if flags else 0)
    following = at + -(-(stop - at) // 8) * 8
    check(following <= end, "a record is cut")
    check(zeros(data[stop:following]), "a record's padding is not zero")
    payload = data[at + RECORD.size : at + RECORD.size + payload_bytes]
    return Record(at, slot, kind, payload_bytes, offset, position, timestamp, data[at + 2 : stop], payload), following


@dataclass
class FooterStream:
    tenant: int
    stream: int
    newest_index: int
    first_offset: int
    end_offset: int
    last_timestamp: int
    last_position: int
    link_after: bytes


@dataclass
class Footer:
    length: int
    incarnation: bytes
    first_sequence: int
    end_sequence: int
    position: int
    records: int
    payload_bytes: int
    last_body_crc: int
    header_crc: int
    streams: list[FooterStream]
    index: list[tuple[int, int, int]]


def decode_footer(data: bytes, log: int, number: int, at: int) -> Footer:
    """`data` is all that lies from the footer's place on, up to the trailer."""
    check(len(data) >= BLOCK, "the file ends here")
    values = FOOTER.unpack_from(data)
    magic, version, its_log, its_number, length, incarnation, first, end, position, records, payload = values[:11]
    streams, entries, last_body_crc, body_crc = values[11:]
    header_crc = u32(data, 124)
    check(magic == b"DtFt", "no footer begins here")
    check(crc32c(data[:124]) == header_crc, "header checksum mismatch")
    check(version == FORMAT_VERSION, f"format version {version}; this program reads version {FORMAT_VERSION}")
    check((its_log, its_number, position) == (log, number, at), f"it is that of segment {its_number} of log {its_log}")
    check(zeros(data[FOOTER.size : 124]), "is not zero where it should be")
    entries_at = FOOTER_HEADER_BYTES + FOOTER_STREAM.size * streams
    used = entries_at + FOOTER_INDEX.size * entries
    check(length == -(-used // BLOCK) * BLOCK, "its length is not that of its parts")
    check(length <= len(data), "the file ends here")
    check(crc32c(data[FOOTER_HEADER_BYTES:length]) == body_crc, "body checksum mismatch")
    check(zeros(data[used:length]), "is not zero behind its entries")
    stream_list = [FooterStream(*one) for one in FOOTER_STREAM.iter_unpack(data[FOOTER_HEADER_BYTES:entries_at])]
    index = list(FOOTER_INDEX.iter_unpack(data[entries_at:used]))
    return Footer(length, incarnation, first, end, position, records, payload, last_body_crc, header_crc,
                  stream_list, index)


# ---------------------------------------------------------------------------------------------------------------------
# 3  A segment
# ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """The records of one stream in one frame."""

    entry: TableEntry
    frame: Frame = field(repr=False)

    @property
    def end_offset(self) -> int:
        return self.entry.first_offset + self.entry.records


@dataclass
class Span:
    """The records of one tenant in one frame: their positions follow each other."""

    tenant: int
    first_position: int
    first_timestamp: int
    last_timestamp: int
    frame: Frame = field(repr=False)
    leaves: bytearray = field(default_factory=bytearray, repr=False)
    catalog: list[tuple[int, bytes]] = field(default_factory=list)

    @property
    def end_position(self) -> int:
        return self.first_position + len(self.leaves) // 32


@dataclass
class Frame:
    """A frame whose checksums fit. `contradiction` is what is wrong with it all the same."""

    segment: Segment = field(repr=False)
    header: FrameHeader
    runs: list[Run] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    payload_bytes: int = 0
    contradiction: str = ""

    @property
    def begin(self) -> int:
        return self.header.position

    @property
    def end(self) -> int:
        return self.header.position + self.header.length


@dataclass
class Hole:
    """Bytes that are neither zero nor an intact frame."""

    begin: int
    end: int
    what: str
    header: FrameHeader | None = None
    table: list[TableEntry] = field(default_factory=list)
    cut: bool = False  # the end of the file cuts it


@dataclass
class Segment:
    log: int
    number: int
    name: str
    size: int = 0
    missing: bool = False
    header: SegmentHeader | None = None
    header_problem: str = ""
    footer: Footer | None = None
    footer_problem: str = ""
    footer_at: int = 0
    parts: list[Frame | Hole] = field(default_factory=list)
    blank: bool = False  # nothing but zeros behind the header
    adopted: list[Frame] = field(default_factory=list)

    @property
    def frames(self) -> list[Frame]:
        return [part for part in self.parts if isinstance(part, Frame)]

    @property
    def incarnation(self) -> bytes | None:
        if self.header:
            return self.header.incarnation
        if self.footer:
            return self.footer.incarnation
        return next((frame.header.incarnation for frame in self.frames), None)


class File:
    """A file that is read in parts. A part that the device does not give back, or that is not there, is short."""

    def __init__(self, path: str) -> None:
        self.handle = open(path, "rb", buffering=0)
        self.size = os.fstat(self.handle.fileno()).st_size

    def read(self, at: int, length: int) -> bytes:
        parts = []
        try:
            self.handle.seek(at)
            while length > 0:
                part = self.handle.read(length)
                if not part:
                    break
                parts.append(part)
                length -= len(part)
        except OSError:
            pass
        return b"".join(parts)

    def close(self) -> None:
        self.handle.close()


def read_segment(file: File, log: int, number: int, name: str, engine: bytes | None) -> Segment:
    segment = Segment(log, number, name, size=file.size)
    if file.size == 0:
        segment.header_problem, segment.blank = "the file is empty", True
        return segment
    block = file.read(0, BLOCK)
    try:
        check(len(block) == BLOCK, "the file ends here")
        segment.header = decode_segment_header(name, block, log, number)
        if engine not in (None, segment.header.engine):
            raise Refused(f"{name} was made in another data directory: put back the segment that belongs here")
    except Bad as bad:
        segment.header, segment.header_problem = None, str(bad)
    end = read_footer(file, segment)
    read_frames(file, segment, end)
    segment.blank = not segment.parts and segment.footer is None
    return segment


def read_footer(file: File, segment: Segment) -> int:
    """Reads trailer and footer, if they are there; gives the byte where frames end."""
    last = file.size - BLOCK
    if file.size % BLOCK or last < BLOCK:
        return file.size
    block = file.read(last, BLOCK)
    if len(block) < BLOCK or block[:8] != b"DIATTAIL" or crc32c(block[:4092]) != u32(block, 4092):
        return file.size
    _, footer_at, header_crc = TRAILER.unpack_from(block)
    # From here on the segment was sealed, and what does not fit is damage.
    segment.footer_at = footer_at
    try:
        check(BLOCK <= footer_at < last and footer_at % BLOCK == 0, "the trailer names no place for it")
        check(zeros(block[TRAILER.size : 4092]), "the trailer is not zero where it should be")
        data = file.read(footer_at, last - footer_at)
        footer = decode_footer(data, segment.log, segment.number, footer_at)
        check(footer.header_crc == header_crc, "the trailer names another one")
        check(zeros(data[footer.length :]), "the bytes between it and the trailer are not zero")
        if segment.header:
            check(footer.incarnation == segment.header.incarnation, "it is of another incarnation than the header")
        segment.footer = footer
    except Bad as bad:
        segment.footer_problem = str(bad)
    return footer_at if BLOCK <= footer_at <= last and footer_at % BLOCK == 0 else last


def read_frames(file: File, segment: Segment, end: int) -> None:
    """Reads what lies in [4096, end): frames one after the other, and where there is none, block by block."""
    at = BLOCK
    while at < end:
        head = file.read(at, BLOCK)
        if head == ZERO_BLOCK:
            at += BLOCK
            continue
        if head[:4] == b"DtFt" and is_unfinished_footer(file, segment, at, end):
            return
        part = read_part(file, segment, head, at, end)
        last = segment.parts[-1] if segment.parts else None
        if isinstance(part, Hole) and isinstance(last, Hole) and part.header is None and last.end == part.begin:
            last.end = part.end  # one hole of many blocks
        else:
            segment.parts.append(part)
        at = part.end


def is_unfinished_footer(file: File, segment: Segment, at: int, end: int) -> bool:
    """A footer without a trailer, as a crash at the sealing leaves it: it vouches for nothing, and no frame follows."""
    length = u32(file.read(at, BLOCK).ljust(BLOCK), 12)
    try:
        footer = decode_footer(file.read(at, min(length, end - at)), segment.log, segment.number, at)
        return segment.incarnation in (None, footer.incarnation)
    except Bad:
        return False


def read_part(file: File, segment: Segment, head: bytes, at: int, end: int) -> Frame | Hole:
    header = None
    try:
        check(len(head) >= FRAME_HEADER_BYTES, "the file ends here, or cannot be read")
        header = decode_frame_header(head, segment.log, segment.number, at)
        if segment.incarnation is not None:
            check(header.incarnation == segment.incarnation, "it is of another incarnation than its segment")
    except Bad as bad:
        return Hole(at, min(at + BLOCK, end), str(bad))
    if at + header.length > end:
        return Hole(at, end, "the file ends here", header, cut=True)
    data = head + file.read(at + BLOCK, header.length - BLOCK)
    table: list[TableEntry] = []
    try:
        table = decode_table(header, data)
    except Bad:
        pass
    try:
        check(len(data) == header.length, "it cannot be read")
        check(crc32c(data[FRAME_HEADER_BYTES:]) == header.body_crc, "body checksum mismatch")
        table = decode_table(header, data)
    except Bad as bad:
        return Hole(at, at + header.length, str(bad), header, table)
    frame = Frame(segment, header)
    try:
        check_frame(frame, table, data)
    except Bad as bad:
        frame.contradiction = str(bad)
    return frame


def check_frame(frame: Frame, table: list[TableEntry], data: bytes) -> None:
    """Every record, every link, and all that the stream table says of them. What is found is kept in the frame."""
    header = frame.header
    frame.runs = [Run(entry, frame) for entry in table]
    end = FRAME_HEADER_BYTES + header.record_bytes
    behind = end + TABLE_ENTRY.size * len(table)
    if header.mark:
        check(header.records == 0 and header.record_bytes == 0 and not table, "a mark has records")
        check(data[128:144] in (header.incarnation, bytes(16)), "a mark does not repeat its incarnation")
        behind = 144
    else:
        check(header.records > 0, "it has no records, and is no mark")
    check(zeros(data[behind:]), "it is not zero behind its stream table")
    check(len({(entry.tenant, entry.stream) for entry in table}) == len(table), "its stream table names a stream twice")

    seen = [0] * len(table)  # records of each stream so far
    links = [entry.link_before for entry in table]
    positions = [-1] * len(table)
    spans: dict[int, Span] = {}
    named = 0  # entries of the table whose first record has come
    at = FRAME_HEADER_BYTES
    for _ in range(header.records):
        record, following = decode_record(data, at, end)
        check(record.slot < len(table), "a record names no entry of the stream table")
        entry = table[record.slot]
        if seen[record.slot] == 0:
            check(record.slot == named and entry.first_at == at, "the stream table is not in the order of its records")
            named += 1
        check(record.offset == entry.first_offset + seen[record.slot], f"offset {record.offset} does not follow")
        check((record.kind == KIND_DATA) == (entry.stream != 0), "a record is not of a kind for its stream")
        check_catalog_record(record, entry.tenant)
        seen[record.slot] += 1
        links[record.slot] = link_after(links[record.slot], record.hashed)
        positions[record.slot] = record.position
        span = spans.get(entry.tenant)
        if span is None:
            span = Span(entry.tenant, record.position, record.timestamp, record.timestamp, frame)
            spans[entry.tenant] = span
        check(record.position == span.end_position, f"position {record.position} of a tenant does not follow")
        check(record.timestamp >= span.last_timestamp, "a tenant's timestamp goes back")
        span.last_timestamp = record.timestamp
        span.leaves += leaf_hash(entry.tenant, entry.stream, links[record.slot])
        if record.kind != KIND_DATA:
            span.catalog.append((record.kind, record.payload))
        if seen[record.slot] == entry.records:
            check(record.timestamp == entry.last_timestamp, "the stream table has another timestamp than the record")
        frame.payload_bytes += record.payload_bytes
        at = following
    check(at == end, "its records are shorter than its header says")
    for number, entry in enumerate(table):
        check(entry.records == seen[number] > 0, "the stream table counts other records than there are")
        check(entry.last_position == positions[number], "the stream table has another position than the record")
        name = stream_name(entry.tenant, entry.stream)
        check(entry.link_after == links[number], f"the chain of {name} is broken in it")
    frame.spans = list(spans.values())


def check_catalog_record(record: Record, tenant: int) -> None:
    payload = record.payload
    if record.kind == KIND_TENANT:
        check((record.offset, record.position) == (0, 0), "a tenant's creation is not its first record")
        check(1 <= len(payload) <= 255 and tenant_id(payload) == tenant, "a tenant's name is not that of its id")
    elif record.kind == KIND_STREAM:
        check(5 <= len(payload) <= 259 and u32(payload, 0) != 0, "a stream's creation names no stream")
    elif record.kind != KIND_DATA:
        lengths = {KIND_STREAM_DELETED: 4, KIND_TENANT_DELETED: 0, KIND_POLICY: 16, KIND_KEY: 40, KIND_ERASED: 8}
        check(len(payload) == lengths[record.kind], f"a catalog record of kind {record.kind} has the wrong length")


def check_footer(segment: Segment, previous_crc: int | None) -> None:
    """What a footer says of its segment's frames, computed again from them."""
    footer, frames = segment.footer, segment.frames
    check(footer is not None, "there is none")
    check(footer.end_sequence - footer.first_sequence == len(frames), "it counts other frames than there are")
    follow = all(frame.header.sequence == number for number, frame in enumerate(frames, footer.first_sequence))
    check(follow, "it counts other frames than there are")
    ends = frames[-1].end if frames else BLOCK
    check(footer.position == ends, "it does not follow the last frame")
    check(footer.records == sum(frame.header.records for frame in frames), "it counts other records than there are")
    check(footer.payload_bytes == sum(frame.payload_bytes for frame in frames), "it counts other payload than there is")
    last_crc = frames[-1].header.body_crc if frames else previous_crc
    check(last_crc in (None, footer.last_body_crc), "it names another last frame")

    streams: dict[tuple[int, int], FooterStream] = {}
    index: list[tuple[int, int, int]] = []
    for frame in frames:
        for run in frame.runs:
            entry = run.entry
            key = (entry.tenant, entry.stream)
            one = streams.get(key)
            if one is None:
                one = FooterStream(*key, NO_INDEX_ENTRY, entry.first_offset, 0, 0, 0, b"")
                streams[key] = one
            newest = one.newest_index
            if newest == NO_INDEX_ENTRY or frame.begin - index[newest][1] * BLOCK >= INDEX_STEP:
                one.newest_index = len(index)
                index.append((entry.first_offset, frame.begin // BLOCK, newest))
            one.end_offset = run.end_offset
            one.last_timestamp, one.last_position = entry.last_timestamp, entry.last_position
            one.link_after = entry.link_after
    named = {(one.tenant, one.stream): one for one in footer.streams}
    check(len(named) == len(footer.streams) and named == streams, "its streams are not those of the frames")
    check(footer.index == index, "its index is not that of the frames")


# ---------------------------------------------------------------------------------------------------------------------
# 4  A log
# ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Loss:
    """Records that something intact tells of, and that are not there."""

    tenant: int
    stream: int
    first_offset: int
    last_offset: int


@dataclass
class Damage:
    file: str
    begin: int
    end: int
    what: str
    losses: list[Loss] = field(default_factory=list)


@dataclass
class Log:
    number: int
    segments: list[Segment]
    damage: list[Damage] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)  # those that belong to it, in order
    told: list[tuple[int, int, int]] = field(default_factory=list)  # tenant, stream, the offset after its last
    torn: bool = False


@dataclass
class Pin:
    """What a base or a frontier says of the newest frame before it."""

    sequence: int
    segment: int
    end: int
    body_crc: int | None  # None: it is not known


def pins_of(log: Log, frontier: Frontier | None) -> list[Pin]:
    pins = []
    for segment in log.segments:
        header = segment.header
        if header and header.base_segment:
            pins.append(Pin(header.base - 1, header.base_segment, header.base_end, header.base_crc or None))
    if frontier and frontier.segment:
        pins.append(Pin(frontier.next_sequence - 1, frontier.segment, frontier.end, frontier.body_crc))
    return pins


def drop_other_histories(log: Log, pins: list[Pin]) -> None:
    """A segment that does not hold the frame which was pinned in it is of another history: none of it is adopted."""
    for pin in pins:
        segment = next((one for one in log.segments if one.number == pin.segment), None)
        if segment is None or segment.missing:
            continue
        found = next((frame for frame in segment.frames if frame.header.sequence == pin.sequence), None)
        footer = segment.footer
        if found:
            other = found.end != pin.end or pin.body_crc not in (None, found.header.body_crc)
        elif footer and footer.end_sequence == pin.sequence + 1:
            # The frame itself may be damaged; the footer has its checksum too.
            other = footer.position != pin.end or pin.body_crc not in (None, footer.last_body_crc)
        else:
            other = footer is not None and not footer.first_sequence <= pin.sequence < footer.end_sequence
        if other:
            what = f"another history: it does not hold frame {pin.sequence} as a later opening or closing pinned it"
            log.damage.append(Damage(segment.name, BLOCK, segment.size, what))
            segment.parts, segment.footer, segment.header = [], None, None


def claim_of(log: Log, frontier: Frontier | None) -> int:
    """Every frame with a lower sequence was acknowledged, as something intact says."""
    claim = frontier.next_sequence if frontier else 0
    for segment in log.segments:
        if segment.header:
            claim = max(claim, segment.header.base)
        if segment.footer:
            claim = max(claim, segment.footer.end_sequence)
        for frame in segment.frames:
            claim = max(claim, frame.header.durable_mark)
    return claim


def limits_of(log: Log) -> dict[int, int]:
    """For each segment, from which sequence on its frames are torn and could not be cut: a later incarnation's base."""
    limits: dict[int, int] = {}
    limit = 1 << 64
    later = None
    for segment in reversed(log.segments):
        if later is not None and later.header and segment.incarnation != later.incarnation:
            limit = min(limit, later.header.base)
        limits[segment.number] = limit
        if segment.header:
            later = segment
    return limits


def verify_log(log: Log, frontier: Frontier | None, closed_cleanly: bool, engine: bytes | None) -> None:
    for segment in log.segments:
        check_header(log, segment)
    drop_other_histories(log, pins_of(log, frontier))
    adopt_frames(log, claim_of(log, frontier), frontier)
    check_links_of_frames(log)
    crcs = {frame.header.sequence: frame.header.body_crc for frame in log.frames}
    newest = next((segment.incarnation for segment in reversed(log.segments) if segment.header), None)
    for segment in log.segments:
        check_sealing(log, segment, closed_cleanly or segment.incarnation != newest, crcs)


def check_header(log: Log, segment: Segment) -> None:
    if segment.missing:
        log.damage.append(Damage(segment.name, 0, 0, "the file is missing"))
    elif segment.header_problem and not segment.blank:
        # Without a header and with nothing else it was prepared and never used.
        log.damage.append(Damage(segment.name, 0, BLOCK, "segment header: " + segment.header_problem))


def adopt_frames(log: Log, claim: int, frontier: Frontier | None) -> None:
    """Takes frames in order of sequence. One that is missing or bad is damage, or a torn tail if nothing claims it."""
    limits = limits_of(log)
    missing = [segment.number for segment in log.segments if segment.missing]
    missing_max = max(missing, default=0)
    expected = 0
    doubts: list[tuple[Segment, Hole]] = []  # holes since the last frame that was adopted
    place: tuple[Segment, int] | None = None  # where the next frame should begin
    for segment in log.segments:
        for part in segment.parts:
            if isinstance(part, Hole):
                doubts.append((segment, part))
                continue
            sequence = part.header.sequence
            if sequence >= limits[segment.number]:
                continue
            if sequence < expected:
                what = f"frame {sequence} is there a second time"
                log.damage.append(Damage(segment.name, part.begin, part.end, what))
                continue
            if sequence > expected:
                if expected >= claim and segment.number >= missing_max:
                    log.torn = True  # nothing vouches for the frame before this one, nor for this one
                    return
                name_missing_frames(log, expected, sequence, doubts, place)
            elif doubts:
                name_strange_bytes(log, doubts, segment)
            adopt(log, part)
            doubts = []
            expected = sequence + 1
            place = (segment, part.end)
    judge_the_end(log, expected, claim, doubts, place, missing_max)


def adopt(log: Log, frame: Frame) -> None:
    log.frames.append(frame)
    frame.segment.adopted.append(frame)
    if frame.contradiction:
        what = f"frame {frame.header.sequence}: its checksums fit, and yet: {frame.contradiction}"
        log.damage.append(Damage(frame.segment.name, frame.begin, frame.end, what))


def name_holes(log: Log, doubts: list[tuple[Segment, Hole]], expected: int, place: tuple[Segment, int] | None) -> None:
    segment, begin = doubts[0][0], BLOCK
    if place and place[0] is segment:
        begin = place[1]  # of a frame whose beginning is zero now, the hole is only the rest
    for number, (where, hole) in enumerate(doubts):
        name_hole(log, where, hole, expected, begin if number == 0 else hole.begin)


def name_hole(log: Log, segment: Segment, hole: Hole, sequence: int, begin: int) -> None:
    losses = []
    for entry in hole.table:
        losses.append(Loss(entry.tenant, entry.stream, entry.first_offset, entry.first_offset + entry.records - 1))
        log.told.append((entry.tenant, entry.stream, entry.first_offset + entry.records))
    number = hole.header.sequence if hole.header else sequence
    log.damage.append(Damage(segment.name, begin, hole.end, f"frame {number}: {hole.what}", losses))


def name_missing_frames(log: Log, expected: int, sequence: int, doubts: list[tuple[Segment, Hole]],
                        place: tuple[Segment, int] | None) -> None:
    if doubts:
        name_holes(log, doubts, expected, place)
    elif not any(one.missing for one in log.segments):
        name_absent_frames(log, expected, sequence, place)


def name_absent_frames(log: Log, expected: int, sequence: int, place: tuple[Segment, int] | None) -> None:
    """Nothing is left of them: they are named where they should have begun."""
    what = f"frames {expected} to {sequence - 1} are not there"
    if sequence == expected + 1:
        what = f"frame {expected} is not there"
    segment, begin = place if place else (None, 0)
    if segment is None or segment.footer and begin >= segment.footer.position:
        # Not in that segment, which is whole, but in the one after it.
        number = segment.number + 1 if segment else 1
        segment = next((one for one in log.segments if one.number == number), None)
        begin = BLOCK if segment and segment.parts else 0
        if segment is None:
            log.damage.append(Damage(segment_name(log.number, number), 0, 0, "the file is missing"))
            return
    log.damage.append(Damage(segment.name, begin, max(begin, segment.size), what))


def name_strange_bytes(log: Log, doubts: list[tuple[Segment, Hole]], segment: Segment) -> None:
    """Nothing lies between two frames that follow each other, unless a segment ends there and its footer was torn."""
    for where, hole in doubts:
        if where is segment or where.footer is not None:
            what = "there are bytes where nothing should be: " + hole.what
            log.damage.append(Damage(where.name, hole.begin, hole.end, what))


def judge_the_end(log: Log, expected: int, claim: int, doubts: list[tuple[Segment, Hole]],
                  place: tuple[Segment, int] | None, missing_max: int) -> None:
    named = [one for one in doubts if one[1].cut or expected < claim or one[0].number < missing_max]
    if named:
        name_holes(log, named, expected, place)
    for segment, hole in doubts:
        if (segment, hole) in named:
            continue
        if segment.footer is not None or segment.footer_problem:
            what = "there are bytes where nothing should be: " + hole.what
            log.damage.append(Damage(segment.name, hole.begin, hole.end, what))
        else:
            log.torn = True
    if expected < claim and not doubts and not any(segment.missing for segment in log.segments):
        name_absent_frames(log, expected, claim, place)


def check_links_of_frames(log: Log) -> None:
    """Each frame names the checksum of the one before it, and a segment's first frames what its header's base says."""
    for before, frame in zip([None] + log.frames[:-1], log.frames):
        header, base = frame.header, frame.segment.header
        if header.sequence == 0:
            fits = header.previous_crc == 0
        elif before is None or before.header.sequence != header.sequence - 1:
            continue
        elif base and header.sequence == base.base and base.base_crc == 0:
            fits = header.previous_crc == 0
        else:
            fits = header.previous_crc == before.header.body_crc
        if not fits:
            what = f"frame {header.sequence}: it does not follow the frame before it"
            log.damage.append(Damage(frame.segment.name, frame.begin, frame.end, what))


def check_sealing(log: Log, segment: Segment, must_be_sealed: bool, crcs: dict[int, int]) -> None:
    """A footer says what its frames say. It is there once the engine has closed, or was opened again."""
    if segment.missing:
        return
    footer, problem = segment.footer, segment.footer_problem
    damaged = any(damage.file == segment.name for damage in log.damage)
    if footer and not damaged:
        try:
            check_footer(segment, crcs.get(footer.first_sequence - 1))
        except Bad as bad:
            problem = str(bad)
    elif not footer and not problem and must_be_sealed and segment.adopted:
        problem = "there is none, though the directory was closed, or opened again, since"
    if footer and not problem:
        log.told += [(one.tenant, one.stream, one.end_offset) for one in footer.streams]
    if problem and not damaged:
        begin = segment.footer_at or (segment.adopted[-1].end if segment.adopted else BLOCK)
        log.damage.append(Damage(segment.name, begin, segment.size, f"footer: {problem}; no record is touched"))


# ---------------------------------------------------------------------------------------------------------------------
# 5  Streams, tenants, and the whole directory
# ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Stream:
    name: str | None = None
    runs: list[Run] = field(default_factory=list)


@dataclass
class Tenant:
    id: int
    name: str | None = None
    streams: dict[int, Stream] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    stream_names: dict[int, str] = field(default_factory=dict)
    states: list[str] = field(default_factory=list)  # deleted, erased
    size: int = 0  # of its tree, which goes up to the first position that is missing, or there twice
    broken: bool = False  # there are records behind that, or records are lost there

    def root(self, size: int) -> bytes:
        tree = Tree()
        for span in self.spans:
            for at in range(0, len(span.leaves), 32):
                if tree.size == size:
                    return tree.root()
                # Positions below the tree's size have no gaps: the spans up to there follow each other.
                tree.append(bytes(span.leaves[at : at + 32]))
        return tree.root()


@dataclass
class Report:
    engine: bytes | None = None
    segments: int = 0
    bytes_read: int = 0
    logs: list[Log] = field(default_factory=list)
    tenants: dict[int, Tenant] = field(default_factory=dict)
    notes: list[tuple[str, str]] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)

    @property
    def frames(self) -> list[Frame]:
        return [frame for log in self.logs for frame in log.frames]

    @property
    def streams(self) -> int:
        return sum(len(tenant.streams) for tenant in self.tenants.values())


def hex_id(tenant: int) -> str:
    return f"{tenant:016x}"


def stream_name(tenant: int, stream: int) -> str:
    return f"tenant {hex_id(tenant)} stream {stream}"


def segment_name(log: int, number: int) -> str:
    return f"shard-{log:04}/{number:08}.seg"


def list_directory(directory: str) -> dict[int, list[int]]:
    """The logs of a data directory and the numbers of their segments. Anything foreign is refused."""
    foreign = "is not a file of this data directory: move it elsewhere, or name another directory"
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        raise Usage(f"cannot read {directory}: {error.strerror}") from None
    logs: dict[int, list[int]] = {}
    for name in names:
        path = os.path.join(directory, name)
        if name in BESIDE:
            continue
        if name in MANIFESTS and os.path.isfile(path):
            continue
        number = re.fullmatch(r"shard-([0-9]{4})", name)
        if not number or int(number[1]) >= LOGS_MAX or not os.path.isdir(path):
            raise Refused(f"{directory}: {name} {foreign}")
        segments = []
        for inner in sorted(os.listdir(path)):
            segment = re.fullmatch(r"([0-9]{8})\.seg", inner)
            if not segment or int(segment[1]) == 0 or not os.path.isfile(os.path.join(path, inner)):
                raise Refused(f"{directory}: {name}/{inner} {foreign}")
            segments.append(int(segment[1]))
        logs[int(number[1])] = segments
    if not logs and not any(name in MANIFESTS for name in names):
        raise Usage(f"{directory}: holds no data")
    return logs


def read_manifests(directory: str, report: Report) -> Manifest | None:
    """The intact copy with the higher generation. One bad copy is a note, two are damage."""
    intact: list[Manifest] = []
    problems: list[tuple[str, str]] = []
    for name in MANIFESTS:
        try:
            with open(os.path.join(directory, name), "rb") as file:
                intact.append(decode_manifest(name, file.read()))
        except FileNotFoundError:
            problems.append((name, "missing"))
        except OSError as error:
            problems.append((name, f"cannot be read: {error.strerror}"))
        except Bad as bad:
            problems.append((name, str(bad)))
    for name, problem in problems:
        if intact:
            report.notes.append((name, f"{problem}; the other copy serves, and the next opening writes it anew"))
        else:
            report.damage.append(Damage(name, 0, 0, f"{problem}; neither copy serves"))
    # Of two with one generation it is the first: both say the same.
    return max(intact, key=lambda manifest: manifest.generation) if intact else None


def read_log(directory: str, number: int, found: list[int], frontier: Frontier | None, report: Report) -> Log:
    for far in found + ([frontier.segment] if frontier else []):
        others = [one for one in found if one < far]
        if far - max(others, default=0) > SEGMENTS_MISSING_MAX:
            raise Refused(f"{segment_name(number, far)}: a number so far above the others is of no history of this log")
    log = Log(number, [])
    present = set(found)
    for one in range(1, max(found, default=0) + 1):
        name = segment_name(number, one)
        if one not in present:
            log.segments.append(Segment(number, one, name, missing=True))
            continue
        try:
            file = File(os.path.join(directory, name))
        except OSError as error:
            raise Refused(f"{directory}: cannot read {name}: {error.strerror}") from None
        try:
            log.segments.append(read_segment(file, number, one, name, report.engine))
        finally:
            file.close()
        report.segments += 1
        report.bytes_read += file.size
    return log


def verify_directory(directory: str) -> Report:
    found = list_directory(directory)
    report = Report()
    manifest = read_manifests(directory, report)
    if manifest:
        report.engine = manifest.engine
    frontiers = manifest.frontiers if manifest else []
    # A log of whose directory nothing is left is known from the manifest.
    numbers = sorted(set(found) | set(range(len(frontiers))))
    for number in numbers:
        frontier = frontiers[number] if number < len(frontiers) else None
        log = read_log(directory, number, found.get(number, []), frontier, report)
        verify_log(log, frontier, bool(manifest and manifest.closed_cleanly), report.engine)
        report.logs.append(log)
        report.damage += log.damage
    if not manifest:
        headers = [segment.header for log in report.logs for segment in log.segments if segment.header]
        report.engine = headers[0].engine if headers else None
    gather_tenants(report)
    for tenant in report.tenants.values():
        for number in sorted(tenant.streams):
            join_stream(report, tenant, number)
        join_tenant(report, tenant)
    find_what_was_told_of(report)
    return report


def gather_tenants(report: Report) -> None:
    for frame in report.frames:
        for run in frame.runs:
            tenant = report.tenants.setdefault(run.entry.tenant, Tenant(run.entry.tenant))
            tenant.streams.setdefault(run.entry.stream, Stream()).runs.append(run)
        for span in frame.spans:
            report.tenants[span.tenant].spans.append(span)
    for tenant in report.tenants.values():
        tenant.spans.sort(key=lambda span: span.first_position)
        for span in tenant.spans:
            for kind, payload in span.catalog:
                if kind == KIND_TENANT:
                    tenant.name = payload.decode("utf-8", "replace")
                elif kind == KIND_STREAM:
                    tenant.stream_names[u32(payload, 0)] = payload[4:].decode("utf-8", "replace")
                elif kind == KIND_TENANT_DELETED:
                    tenant.states.append("deleted")
                elif kind == KIND_ERASED and u32(payload, 0) == 0:
                    tenant.states.append("erased")


def join_stream(report: Report, tenant: Tenant, number: int) -> None:
    """The stream's records follow each other over frames, segments and logs: by offset, and by chain link."""
    runs = sorted(tenant.streams[number].runs, key=lambda run: run.entry.first_offset)
    offset, link = 0, genesis(tenant.id, number)
    position = -1
    for run in runs:
        entry, frame = run.entry, run.frame
        place = (frame.segment.name, frame.begin, frame.end)
        if entry.first_offset < offset:
            what = f"offset {entry.first_offset} of {stream_name(tenant.id, number)} is there a second time"
            report.damage.append(Damage(*place, what))
            continue
        if entry.first_offset > offset:
            lose(report, tenant.id, number, offset, entry.first_offset - 1, place)
        elif entry.link_before != link:
            what = f"the chain of {stream_name(tenant.id, number)} is broken before offset {offset}"
            report.damage.append(Damage(*place, what))
        if entry.last_position <= position:
            report.damage.append(Damage(*place, f"positions of {stream_name(tenant.id, number)} do not ascend"))
        offset, link, position = run.end_offset, entry.link_after, entry.last_position


def lose(report: Report, tenant: int, stream: int, first: int, last: int, place: tuple[str, int, int] | None) -> None:
    """Names offsets that are not there: at damage that was found in the same log, else as a gap before `place`."""
    loss = Loss(tenant, stream, first, last)
    if any(covers(known, loss) for damage in report.damage for known in damage.losses):
        return
    for damage in report.damage:
        same_log = place is None or os.path.dirname(damage.file) == os.path.dirname(place[0])
        if same_log and damage.file not in MANIFESTS and "footer" not in damage.what:
            damage.losses.append(loss)
            return
    begin = place or (segment_name(0, 1), 0, 0)
    report.damage.append(Damage(*begin, f"{stream_name(tenant, stream)}: offsets are missing", [loss]))


def covers(known: Loss, loss: Loss) -> bool:
    same = (known.tenant, known.stream) == (loss.tenant, loss.stream)
    return same and known.first_offset <= loss.first_offset and loss.last_offset <= known.last_offset


def find_what_was_told_of(report: Report) -> None:
    """Footers, and tables of damaged frames, tell of records at the end of a stream that are not there."""
    ends: dict[tuple[int, int], int] = {}
    for log in report.logs:
        for tenant, stream, end in log.told:
            ends[tenant, stream] = max(end, ends.get((tenant, stream), 0))
    for (tenant, stream), end in sorted(ends.items()):
        known = report.tenants.setdefault(tenant, Tenant(tenant))
        runs = known.streams.setdefault(stream, Stream()).runs
        have = max((run.end_offset for run in runs), default=0)
        if have < end:
            known.broken = True
            lose(report, tenant, stream, have, end - 1, None)


def join_tenant(report: Report, tenant: Tenant) -> None:
    """The tenant's records, over all streams and logs: positions from 0 on without gaps, timestamps never back."""
    position, timestamp = 0, 0
    for span in tenant.spans:
        place = (span.frame.segment.name, span.frame.begin, span.frame.end)
        if span.first_position != position:
            tenant.broken = True
            if not report.damage:
                what = f"tenant {hex_id(tenant.id)}: position {span.first_position} stands where {position} should"
                report.damage.append(Damage(*place, what))
        elif span.first_timestamp < timestamp:
            report.damage.append(Damage(*place, f"tenant {hex_id(tenant.id)}: its timestamps go back"))
        if not tenant.broken:
            tenant.size = span.end_position
        position, timestamp = span.end_position, span.last_timestamp


# ---------------------------------------------------------------------------------------------------------------------
# 6  Signed notes, checkpoints and proofs: c2sp.org/signed-note, /tlog-checkpoint, /tlog-proof, /tlog-witness
# ---------------------------------------------------------------------------------------------------------------------

ED25519 = 1  # the signature type of c2sp.org/signed-note
NOTE_BYTES_MAX = 256 << 10
PROOF_BYTES_MAX = 4 << 20
SIGNATURES_MAX = 64
HASHES_MAX = 63
PROOF_HEAD = "c2sp.org/tlog-proof@v1"
ORIGIN = re.compile(r"diatreme/([0-9a-f]{32})/([0-9a-f]{16})")


def ed25519_verifies(public_key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise Usage("signatures need the package cryptography: pip install cryptography") from None
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def base64_bytes(text: str, what: str) -> bytes:
    """Standard base64 in its one canonical form: what decodes to the same bytes in another spelling is refused."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        data = None
    if data is None or base64.b64encode(data).decode() != text:
        raise Refused(f"{what} is not base64")
    return data


def hash_line(text: str, what: str) -> bytes:
    data = base64_bytes(text, what)
    if len(data) != 32:
        raise Refused(f"{what} has {len(data)} bytes; a hash has 32")
    return data


def decimal(text: str, what: str) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]{0,19}", text, re.ASCII) or int(text) >= 1 << 64:
        raise Refused(f"{what} is not a decimal number")
    return int(text)


@dataclass
class Key:
    """A public key that you trust, as you pinned it: NAME+HASH+BASE64."""

    name: str
    hash: bytes
    public: bytes


def parse_key(text: str) -> Key:
    parts = text.strip().split("+", 2)
    if len(parts) != 3 or not parts[0] or not re.fullmatch(r"[0-9a-f]{8}", parts[1]) or re.search(r"\s", parts[0]):
        raise Usage(f"{text!r} is not a verification key: NAME+HASH+BASE64")
    try:
        data = base64_bytes(parts[2], "the key")
    except Refused as refused:
        raise Usage(f"the verification key {parts[0]!r}: {refused}") from None
    if len(data) != 33 or data[0] != ED25519:
        raise Usage(f"the verification key {parts[0]!r} is not one for Ed25519")
    key = Key(parts[0], bytes.fromhex(parts[1]), data[1:])
    if sha256(key.name.encode() + b"\n" + data)[:4] != key.hash:
        raise Usage(f"the verification key {parts[0]!r} does not have the hash that it names")
    return key


def open_note(data: bytes, keys: list[Key]) -> tuple[str, Key]:
    """The text of a signed note, and whose signature was verified. Those of keys that are not pinned are ignored."""
    if len(data) > NOTE_BYTES_MAX:
        raise Refused("it is too long for a signed note")
    try:
        note = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("it is not UTF-8, as a signed note is") from None
    if any(ord(letter) < 0x20 and letter != "\n" for letter in note):
        raise Refused("it has control characters, which a signed note has not")
    text, blank, signatures = note.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise Refused("it is not a signed note: a text, an empty line, and signature lines")
    text += "\n"
    lines = signatures[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise Refused("it has too many signatures")
    signer = None
    for line in lines:
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "\u2014" or not parts[1] or "+" in parts[1] or re.search(r"\s", parts[1]):
            raise Refused("a signature line is not as a signed note has it")
        signature = base64_bytes(parts[2], "a signature")
        if len(signature) < 5:
            raise Refused("a signature is too short")
        key = next((key for key in keys if (key.name, key.hash) == (parts[1], signature[:4])), None)
        if key is None:
            continue
        if not ed25519_verifies(key.public, signature[4:], text.encode()):
            raise Refused(f"the signature of {key.name} does not fit the text")
        signer = signer or key
    if signer is None:
        names = ", ".join(f"{key.name}+{key.hash.hex()}" for key in keys)
        raise Refused(f"no signature is by a key that was given: {names}")
    return text, signer


@dataclass
class Checkpoint:
    origin: str
    engine: bytes
    tenant: int
    size: int
    root: bytes
    time: int  # when it was signed, as the signer says; nanoseconds since 1970


def open_checkpoint(data: bytes, keys: list[Key]) -> Checkpoint:
    """A checkpoint whose signature was verified, by the key that its origin names."""
    text, signer = open_note(data, keys)
    lines = text[:-1].split("\n")
    if len(lines) < 4 or not lines[3].startswith("time ") or any(not line for line in lines):
        raise Refused("it is not a checkpoint: origin, size, root and time, a line each")
    if lines[0] != signer.name:
        raise Refused(f"its origin is {lines[0]}, and the key's {signer.name}")
    origin = ORIGIN.fullmatch(lines[0])
    if not origin:
        raise Refused(f"its origin {lines[0]} is not that of a Diatreme tenant")
    size, root = decimal(lines[1], "its size"), hash_line(lines[2], "its root")
    if size == 0 and root != sha256(b""):
        raise Refused("its root is not that of an empty tree")
    time = decimal(lines[3][5:], "its time")
    return Checkpoint(lines[0], bytes.fromhex(origin[1]), int(origin[2], 16), size, root, time)


def root_of_inclusion(leaf: bytes, index: int, size: int, hashes: list[bytes]) -> bytes:
    """RFC 9162, 2.1.3.2: the root that a leaf has if it is number `index` of `size`, and these are its path."""
    if index >= size:
        raise Refused(f"index {index} is not in a tree of size {size}")
    node, last, value = index, size - 1, leaf
    for one in hashes:
        if last == 0:
            raise Refused("the proof has more hashes than the tree has levels")
        if node & 1 or node == last:
            value = node_hash(one, value)
            while not node & 1 and node != 0:
                node, last = node >> 1, last >> 1
        else:
            value = node_hash(value, one)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise Refused("the proof has fewer hashes than the tree has levels")
    return value


def check_consistency(old_size: int, old_root: bytes, size: int, root: bytes, hashes: list[bytes]) -> None:
    """RFC 9162, 2.1.4.2: the tree of `old_size` with `old_root` is the beginning of the tree of `size` with `root`."""
    if old_size > size:
        raise Refused(f"the old size {old_size} is above the new one {size}")
    if old_size == 0 or old_size == size:
        if hashes:
            raise Refused("the proof has hashes where it should have none")
        if old_root != (sha256(b"") if old_size == 0 else root):
            raise Refused("two trees of one size have two roots: the log shows different histories")
        return
    hashes = ([old_root] if old_size & (old_size - 1) == 0 else []) + hashes
    if not hashes:
        raise Refused("the proof has fewer hashes than the trees have levels")
    node, last = old_size - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_value = value = hashes[0]
    for one in hashes[1:]:
        if last == 0:
            raise Refused("the proof has more hashes than the trees have levels")
        if node & 1 or node == last:
            old_value, value = node_hash(one, old_value), node_hash(one, value)
            while not node & 1 and node != 0:
                node, last = node >> 1, last >> 1
        else:
            value = node_hash(value, one)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise Refused("the proof has fewer hashes than the trees have levels")
    if old_value != old_root:
        raise Refused("the proof does not begin at the old root: the old tree is not part of the new one")
    if value != root:
        raise Refused("the proof does not end at the new root: the old tree is not part of the new one")


def proof_lines(data: bytes) -> tuple[list[str], bytes]:
    """The lines of a proof before its empty line, and the checkpoint behind it."""
    head, blank, note = data.partition(b"\n\n")
    if len(data) > PROOF_BYTES_MAX or not blank:
        raise Refused("it is not a proof: lines, an empty line, and a checkpoint")
    try:
        return head.decode("ascii").split("\n"), note
    except UnicodeDecodeError:
        raise Refused("it is not a proof: its lines are not ASCII") from None


def proof_hashes(lines: list[str]) -> list[bytes]:
    if len(lines) > HASHES_MAX:
        raise Refused(f"it has more than {HASHES_MAX} hashes")
    return [hash_line(line, f"hash {number} of the proof") for number, line in enumerate(lines, 1)]


def verify_inclusion(data: bytes, keys: list[Key]) -> dict:
    """The record that the proof carries is leaf `index` of the tree that the checkpoint has signed."""
    lines, note = proof_lines(data)
    if len(lines) < 3 or not lines[1].startswith("extra ") or not lines[2].startswith("index "):
        raise Refused("it is not a proof of a record: it has no lines `extra` and `index`")
    extra = base64_bytes(lines[1][6:], "its extra line")
    index = decimal(lines[2][6:], "its index")
    hashes = proof_hashes(lines[3:])
    checkpoint = open_checkpoint(note, keys)
    if len(extra) < 4 + 32 + RECORD.size - 2:
        raise Refused("its extra line is too short for a record")
    stream, link_before, hashed = u32(extra, 0), extra[4:36], extra[36:]
    try:
        padding = bytes(-(len(hashed) + 2) % 8)
        padded = bytes(2) + hashed + padding
        record, _ = decode_record(padded, 0, len(padded))
        check(record.hashed == hashed, "it is longer than it says")
    except Bad as bad:
        raise Refused(f"its record is not as the format has it: {bad}") from None
    if record.position != index:
        raise Refused(f"its record has position {record.position}, and its index is {index}")
    leaf = leaf_hash(checkpoint.tenant, stream, link_after(link_before, hashed))
    if root_of_inclusion(leaf, index, checkpoint.size, hashes) != checkpoint.root:
        what = "the record is not in that tree, or not as it is here"
        raise Refused(f"its path does not end at the checkpoint's root: {what}")
    sealed = bool(hashed[1])
    return {
        "proof": "inclusion", "origin": checkpoint.origin, "tenant": hex_id(checkpoint.tenant), "stream": stream,
        "offset": record.offset, "position": record.position, "timestamp": record.timestamp, "sealed": sealed,
        "payload_bytes": record.payload_bytes, "payload_sha256": sha256(record.payload).hex(), "size": checkpoint.size,
        "root": base64.b64encode(checkpoint.root).decode(),
    }


def verify_consistency(data: bytes, keys: list[Key], old: Checkpoint | None) -> dict:
    """The tree of the old checkpoint is the beginning of the tree of the one in the proof."""
    lines, note = proof_lines(data)
    if not lines[0].startswith("old "):
        raise Refused("it is neither a proof of a record nor one of consistency")
    old_size = decimal(lines[0][4:], "its old size")
    hashes = proof_hashes(lines[1:])
    checkpoint = open_checkpoint(note, keys)
    if old is None:
        raise Usage("a proof of consistency needs --old: the checkpoint that you kept")
    if old.origin != checkpoint.origin:
        raise Refused(f"the old checkpoint is of {old.origin}, and the new one of {checkpoint.origin}")
    if old.size != old_size:
        raise Refused(f"it begins at size {old_size}, and the old checkpoint has size {old.size}")
    check_consistency(old.size, old.root, checkpoint.size, checkpoint.root, hashes)
    return {
        "proof": "consistency", "origin": checkpoint.origin, "tenant": hex_id(checkpoint.tenant), "old_size": old.size,
        "size": checkpoint.size, "root": base64.b64encode(checkpoint.root).decode(),
    }


def verify_proof(data: bytes, keys: list[Key], old: Checkpoint | None) -> dict:
    """What a proof of either kind proves."""
    if not data.startswith(PROOF_HEAD.encode() + b"\n"):
        return verify_consistency(data, keys, old)
    if old:
        raise Usage("--old is for a proof of consistency, and this one is of a record")
    return verify_inclusion(data, keys)


def judge_checkpoint(report: Report, checkpoint: Checkpoint) -> tuple[str, str]:
    """Whether the log extends the tree that the checkpoint has signed; in a word, and in more."""
    if report.engine != checkpoint.engine:
        return "elsewhere", "the directory is of another engine"
    tenant = report.tenants.get(checkpoint.tenant) or Tenant(checkpoint.tenant)
    if tenant.root(min(checkpoint.size, tenant.size)) == checkpoint.root and checkpoint.size <= tenant.size:
        return "extended", f"the log begins with the {checkpoint.size} records that were signed"
    if checkpoint.size <= tenant.size:
        return "rewritten", f"its first {checkpoint.size} records are others than those that were signed"
    if tenant.broken:
        return "damaged", f"the tree ends at {tenant.size}, at damage, and {checkpoint.size} records were signed"
    return "truncated", f"it has {tenant.size} records, and {checkpoint.size} were signed"


# ---------------------------------------------------------------------------------------------------------------------
# 7  The commands
# ---------------------------------------------------------------------------------------------------------------------


def read_file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise Usage(f"cannot read {path}: {error.strerror}") from None


def loss_text(report: Report, loss: Loss) -> str:
    tenant = report.tenants.get(loss.tenant)
    tenant_name = f" ({tenant.name})" if tenant and tenant.name else ""
    name = "catalog" if loss.stream == 0 else tenant.stream_names.get(loss.stream) if tenant else None
    offsets = f"offsets {loss.first_offset} to {loss.last_offset}"
    if loss.first_offset == loss.last_offset:
        offsets = f"offset {loss.first_offset}"
    return f"tenant {hex_id(loss.tenant)}{tenant_name} stream {loss.stream}{f' ({name})' if name else ''} {offsets}"


def report_json(report: Report, checkpoints: list[dict]) -> dict:
    damage = []
    for one in report.damage:
        losses = []
        for loss in one.losses:
            tenant = report.tenants.get(loss.tenant)
            losses.append({
                "tenant": hex_id(loss.tenant), "tenant_name": tenant.name if tenant else None, "stream": loss.stream,
                "stream_name": tenant.stream_names.get(loss.stream) if tenant else None,
                "first_offset": loss.first_offset, "last_offset": loss.last_offset,
            })
        damage.append({"file": one.file, "byte": one.begin, "byte_end": one.end, "what": one.what, "losses": losses})
    trees = []
    for tenant in sorted(report.tenants.values(), key=lambda tenant: tenant.id):
        root = base64.b64encode(tenant.root(tenant.size)).decode()
        trees.append({"tenant": hex_id(tenant.id), "tenant_name": tenant.name, "size": tenant.size, "root": root,
                      "broken": tenant.broken, "states": tenant.states})
    frames = report.frames
    return {
        "command": "verify",
        "sound": not report.damage,
        "engine": report.engine.hex() if report.engine else None,
        "logs": sum(not all(segment.missing for segment in log.segments) for log in report.logs),
        "segments": report.segments,
        "frames": len(frames),
        "records": sum(frame.header.records for frame in frames),
        "payload_bytes": sum(frame.payload_bytes for frame in frames),
        "streams": report.streams,
        "bytes_read": report.bytes_read,
        "torn_tails": sum(log.torn for log in report.logs),
        "notes": [{"file": file, "what": what} for file, what in report.notes],
        "damage": damage,
        "trees": trees,
        "checkpoints": checkpoints,
    }


def print_report(report: Report, document: dict) -> None:
    lines = [("logs", "logs"), ("segments", "segments"), ("frames", "frames"), ("records", "records"),
             ("payload bytes", "payload_bytes"), ("streams, catalogs included", "streams"),
             ("bytes read", "bytes_read")]
    values = [f"{document[key]:,}" for _, key in lines]
    width = max(map(len, values))
    for (name, _), value in zip(lines, values):
        print(f"{name:<26} {value:>{width}}")
    for tree in document["trees"]:
        name = f" ({tree['tenant_name']})" if tree["tenant_name"] else ""
        states = "".join(f", {state}" for state in tree["states"])
        ends = "; what follows is damaged" if tree["broken"] else ""
        print(f"tree of tenant {tree['tenant']}{name}{states}: size {tree['size']}, root {tree['root']}{ends}")
    for note in document["notes"]:
        print(f"note: {note['file']}: {note['what']}")
    torn = document["torn_tails"]
    if torn:
        logs = "1 log" if torn == 1 else f"{torn} logs"
        print(f"torn: {logs} with a tail that was never acknowledged; the next opening cuts it")
    for damage in report.damage:
        losses = "; lost: " + ", ".join(loss_text(report, loss) for loss in damage.losses) if damage.losses else ""
        print(f"damaged: {damage.file} at byte {damage.begin}: {damage.what}{losses}")
    for one in document["checkpoints"]:
        print(f"{one['verdict']}: {one['file']}: {one['what']}")
    if document["sound"]:
        print("sound: every checksum and every chain link fits")


def command_verify(arguments: argparse.Namespace) -> int:
    keys = [parse_key(text) for text in arguments.key]
    if arguments.checkpoint and not keys:
        raise Usage("--checkpoint needs --key: the verification key that you pinned")
    # What is refused is refused before the log is read.
    opened = []
    for path in arguments.checkpoint:
        try:
            opened.append((path, open_checkpoint(read_file(path), keys)))
        except Refused as refused:
            raise Refused(f"{path}: {refused}") from None
    report = verify_directory(arguments.directory)
    checkpoints = []
    for path, checkpoint in opened:
        verdict, what = judge_checkpoint(report, checkpoint)
        checkpoints.append({"file": path, "tenant": hex_id(checkpoint.tenant), "size": checkpoint.size,
                            "verdict": verdict, "what": what})
    document = report_json(report, checkpoints)
    print_report(report, document)
    write_json(arguments.json, document)
    return 1 if report.damage or any(one["verdict"] != "extended" for one in checkpoints) else 0


def command_proof(arguments: argparse.Namespace) -> int:
    keys = [parse_key(text) for text in arguments.key]
    old = None
    if arguments.old:
        try:
            old = open_checkpoint(read_file(arguments.old), keys)
        except Refused as refused:
            raise Refused(f"{arguments.old}: {refused}") from None
    facts = verify_proof(read_file(arguments.file), keys, old)
    for name, value in facts.items():
        print(f"{name:<14} {value}")
    print("verified")
    write_json(arguments.json, facts)
    return 0


def write_json(path: str | None, document: dict) -> None:
    if path:
        try:
            with open(path, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=2)
                file.write("\n")
        except OSError as error:
            raise Usage(f"cannot write {path}: {error.strerror}") from None


def command_self_test(_: argparse.Namespace) -> int:
    """Answers that are known from elsewhere: the CRC catalogue, RFC 6962's tests, Go's and C2SP's signed notes."""
    answers: list[tuple[str, bool]] = []
    answers.append(("CRC-32C of 123456789", crc32c(b"123456789") == 0xE3069283))
    answers.append(("tenant id of acme", tenant_id(b"acme") == 0xC164DCD00B430377))
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    roots = ["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
             "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
             "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
             "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
             "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
             "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
             "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
             "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
             "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"]
    leaves = [sha256(b"\0" + bytes.fromhex(text)) for text in inputs]
    for size, root in enumerate(roots):
        tree = Tree()
        for leaf in leaves[:size]:
            tree.append(leaf)
        answers.append((f"RFC 6962 root of size {size}", tree.root().hex() == root))
    path = [leaves[4], node_hash(node_hash(leaves[0], leaves[1]), node_hash(leaves[2], leaves[3]))]
    path.insert(1, node_hash(leaves[6], leaves[7]))
    root = root_of_inclusion(leaves[5], 5, 8, path)
    answers.append(("RFC 6962 path of leaf 5 of 8", root.hex() == roots[8]))
    # The consistency of sizes 6 and 8, PROOF(6, D[8]) of RFC 6962.
    four = node_hash(node_hash(leaves[0], leaves[1]), node_hash(leaves[2], leaves[3]))
    proof = [node_hash(leaves[4], leaves[5]), node_hash(leaves[6], leaves[7]), four]
    for name, old, holds in (("RFC 6962 consistency of 6 and 8", roots[6], True),
                             ("the same with another old root is refused", roots[5], False)):
        try:
            check_consistency(6, bytes.fromhex(old), 8, bytes.fromhex(roots[8]), proof)
            answers.append((name, holds))
        except Refused:
            answers.append((name, not holds))
    key = parse_key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    line = ("\u2014 PeterNeumann "
            "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n")
    other = ("\u2014 quasimodo.example/salvatore "
             "NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n")
    notes = (("a signed note of Go's package note", text + "\n" + line, True),
             ("the same, and a signature of an unknown key", text + "\n" + other + line, True),
             ("the same with another text is refused", text[1:] + "\n" + line, False),
             ("a note of an unknown key, C2SP's example, is refused", text + "\n" + other, False))
    for name, note, holds in notes:
        try:
            open_note(note.encode(), [key])
            answers.append((name, holds))
        except Refused:
            answers.append((name, not holds))
    for name, fits in answers:
        print(f"{'ok' if fits else 'WRONG':<6} {name}")
    return 0 if all(fits for _, fits in answers) else 1


EXAMPLES = """examples:
  diatreme_verify.py verify /srv/diatreme
  diatreme_verify.py verify /srv/diatreme --checkpoint kept.checkpoint --key "$(cat auditor.vkey)" --json verified.json
  diatreme_verify.py proof record.tlog-proof --key "$(cat auditor.vkey)"
  diatreme_verify.py proof extends.proof --old kept.checkpoint --key "$(cat auditor.vkey)"
  diatreme_verify.py self-test

exit codes: 0 verified; 1 damage was found, or a checkpoint or proof was refused; 2 called wrongly.
A directory that an engine is writing changes while it is read: verify a copy, or one that is closed."""


def parse_arguments(words: list[str]) -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    first = __doc__.split("\n\n")[0]
    parser = argparse.ArgumentParser(prog="diatreme_verify.py", description=first, epilog=EXAMPLES, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    vkey = "a verification key, NAME+HASH+BASE64, from its owner and not from beside the log; may be given repeatedly"

    verify = commands.add_parser("verify", help="verify a data directory, and that it extends what you kept of it",
                                 epilog=EXAMPLES, formatter_class=raw)
    verify.add_argument("directory", metavar="DIR", help="the data directory")
    verify.add_argument("--checkpoint", metavar="FILE", action="append", default=[],
                        help="a checkpoint that the log must extend")
    verify.add_argument("--key", metavar="VKEY", action="append", default=[], help=vkey)
    verify.add_argument("--json", metavar="FILE", help="write a report to this file, as JSON")
    verify.set_defaults(run=command_verify)

    proof = commands.add_parser("proof", help="verify a proof of a record, or of the consistency of two checkpoints",
                                epilog=EXAMPLES, formatter_class=raw)
    proof.add_argument("file", metavar="FILE", help="the proof")
    proof.add_argument("--key", metavar="VKEY", action="append", required=True, help=vkey)
    proof.add_argument("--old", metavar="CHECKPOINT", help="for a proof of consistency: the checkpoint that you kept")
    proof.add_argument("--json", metavar="FILE", help="write what was proven to this file, as JSON")
    proof.set_defaults(run=command_proof)

    self_test = commands.add_parser("self-test", help="check this program against known answers")
    self_test.set_defaults(run=command_self_test)
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    arguments = parse_arguments(words)
    try:
        return arguments.run(arguments)
    except Refused as refused:
        print(f"diatreme_verify: refused: {refused}", file=sys.stderr)
        return 1
    except Usage as usage:
        print(f"diatreme_verify: {usage}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
