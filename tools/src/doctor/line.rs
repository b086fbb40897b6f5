//! One line of the report: a judgement with its reason and its remedy.

use serde::Serialize;

/// How good something is for tail latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Good,
    /// It costs something now and then.
    Fair,
    /// It costs much, or breaks a promise.
    Bad,
    /// It could not be read, or what was read does not tell.
    Unknown,
}

impl Verdict {
    pub(super) fn name(self) -> &'static str {
        match self {
            Verdict::Good => "good",
            Verdict::Fair => "fair",
            Verdict::Bad => "bad",
            Verdict::Unknown => "unknown",
        }
    }
}

/// Under which heading a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Heading {
    Processor,
    Memory,
    Kernel,
    Disk,
    Limits,
}

impl Heading {
    pub(super) fn name(self) -> &'static str {
        match self {
            Heading::Processor => "processor",
            Heading::Memory => "memory",
            Heading::Kernel => "kernel",
            Heading::Disk => "disk",
            Heading::Limits => "limits",
        }
    }
}

/// A line; in the JSON report as it stands here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) heading: Heading,
    /// Stable: what programs go by.
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) found: String,
    pub(super) verdict: Verdict,
    pub(super) why: String,
    /// The command for a shell; empty if there is nothing to change, or no command that does.
    pub(super) change: String,
}

/// What a line is about, before it is judged.
#[derive(Clone, Copy)]
pub(super) struct Subject {
    pub(super) heading: Heading,
    pub(super) id: &'static str,
    pub(super) name: &'static str,
}

impl Subject {
    pub(super) fn good(self, found: impl Into<String>, why: impl Into<String>) -> Line {
        self.judged(Verdict::Good, found, why)
    }

    pub(super) fn fair(self, found: impl Into<String>, why: impl Into<String>) -> Line {
        self.judged(Verdict::Fair, found, why)
    }

    pub(super) fn bad(self, found: impl Into<String>, why: impl Into<String>) -> Line {
        self.judged(Verdict::Bad, found, why)
    }

    pub(super) fn unknown(self, found: impl Into<String>, why: impl Into<String>) -> Line {
        self.judged(Verdict::Unknown, found, why)
    }

    /// What the system does not tell.
    pub(super) fn unread(self) -> Line {
        self.unknown("-", "cannot be read here")
    }

    fn judged(self, verdict: Verdict, found: impl Into<String>, why: impl Into<String>) -> Line {
        let Subject { heading, id, name } = self;
        Line { heading, id, name, found: found.into(), verdict, why: why.into(), change: String::new() }
    }
}

impl Line {
    /// With the command that makes it better.
    pub(super) fn change(mut self, command: impl Into<String>) -> Line {
        self.change = command.into();
        self
    }
}
