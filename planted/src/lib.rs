//! Bugs on demand. A checker that has never rejected anything proves nothing, so each mistake that the simulator should find
//! can be made on purpose.
//!
//! Where a bug sits, one line of production code asks [`is`], and does the wrong thing if so. Without the feature `planted-bugs`
//! that is a constant `false`: the line is compiled to nothing. With it, `plant` chooses a bug for the calling
//! thread, so that threads can run with different bugs side by side.
//!
//! What must stay true:
//! - a bug is one that people write: something left out, taken for done, or done in the wrong order;
//! - the site is one line, and repeats no logic of what it breaks;
//! - every bug here is found by `ci/planted-bugs`, in a bounded number of runs. One that only real threads could show belongs
//!   to `loom-tests`, and not here.
//!
//! Deliberately absent: bugs below the log (backends, crypto), which have known answers to be held against.
#![forbid(unsafe_code)]

mod bugs;

pub use bugs::Bug;

/// Whether the bug is planted in this thread.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
#[must_use]
pub const fn is(_: Bug) -> bool {
    false
}

#[cfg(feature = "planted-bugs")]
pub use thread::{is, plant, take_asked};

#[cfg(feature = "planted-bugs")]
mod thread {
    use crate::Bug;
    use std::cell::{Cell, RefCell};

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
        static ASKED: RefCell<[u64; Bug::ALL.len()]> = const { RefCell::new([0; Bug::ALL.len()]) };
    }

    /// Whether the bug is planted in this thread.
    #[inline]
    #[must_use]
    pub fn is(bug: Bug) -> bool {
        ASKED.with_borrow_mut(|asked| asked[bug as usize] += 1);
        PLANTED.get() == Some(bug)
    }

    /// Plants a bug in this thread, in place of the one that was, or none.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// How often this thread came by each bug's place since the last call, in the order of [`Bug::ALL`].
    #[must_use]
    pub fn take_asked() -> [u64; Bug::ALL.len()] {
        ASKED.replace([0; Bug::ALL.len()])
    }
}
