//! Bounded lock-free single-producer single-consumer rings, and a doorbell.
//!
//! Every hand-over between cores in Diatreme goes through one of two rings:
//!
//! - [`ring()`] carries values of one type: replies, control messages.
//! - [`byte_ring()`] carries messages of any length, written and read in place: requests, read data.
//!
//! Both sides stage what they do and publish it a batch at a time, because the transfer of a cache
//! line between cores is what a hand-over costs; the copying is cheap beside it. Neither ring
//! blocks. Who has nothing to do may sleep by whatever means its host has, and [`Doorbell`] wakes
//! it: it costs the waker a fence while the sleeper is awake, and a call only when it is not.
//!
//! What must stay true:
//!
//! - One thread at a time holds each end. The types see to it: an end is `Send`, not `Clone`, and
//!   everything that moves a position takes `&mut self`.
//! - A position is written by its owner alone, with `Release`, and read by the other side with
//!   `Acquire`. Nothing else orders the memory of a ring.
//! - No call allocates, waits or enters the kernel once a ring is built.
//!
//! What is deliberately not here: several producers on one ring (give each its own ring, and drain
//! them in turn), growth, and waiting.
//!
//! Compiled with `--cfg loom` the crate runs on loom's model of memory; the models are in the
//! `loom-tests` crate.

mod byte_ring;
mod cursor;
mod doorbell;
mod memory;
mod ring;
mod sync;

pub use byte_ring::{Batch, ByteConsumer, ByteProducer, ReserveError, byte_ring, wiped_byte_ring};
pub use doorbell::Doorbell;
pub use ring::{Consumer, Drain, Producer, PushError, ring};
