//! The whole engine on one thread: recovery, router, shards, kernel and log, in production code, over a simulated disk and
//! a virtual clock, with clients beside it, and a model that knows what must come out.
//!
//! A [`Plan`] is drawn from a seed; [`run`] carries it out and holds every answer, and everything that is read back after each opening, against
//! the model. The same plan gives the same run, to the bit.
//!
//! What must stay true:
//! - nothing here decides by a clock, a thread, or an order of memory: only by the seed;
//! - the model knows no rule of the log or the kernel, only what was asked and answered;
//! - what the model lets pass because of a fault, that fault must have caused: see `world.rs` and `survey.rs`.
//!
//! Deliberately absent: the runtime's threads, pinning, and [`Client`](https://docs.rs/diatreme), which waits; the rings and the
//! requests in them are the same.
#![forbid(unsafe_code)]

mod client;
mod coverage;
mod engine;
pub mod exhaust;
mod forge;
mod keys;
mod level;
mod meanwhile;
mod memory;
mod model;
mod payload;
mod plan;
mod plan_file;
mod plan_text;
mod registry;
mod scenario;
mod secrecy;
mod sent;
pub mod shrink;
mod survey;
mod trace;
mod world;

pub use coverage::{BRANCHES, Coverage};
pub use level::{Asked, Policy};
pub use payload::PAYLOAD_MIN;
pub use plan::{Action, End, Epoch, Expected, Meanwhile, Place, Plan, Step};
pub use plan_file::PlanError;
pub use scenario::Scenario;
pub use trace::{Event, Lane};
pub use world::{Run, run};
