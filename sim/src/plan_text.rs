//! A plan for people: what happens in which order.

use crate::level::Asked;
use crate::plan::{Action, End, Epoch, Expected, Meanwhile, Place, Plan};
use iobackend::sim::FaultKind;
use std::fmt::{self, Display, Formatter};

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Plan { seed, clients, window, .. } = self;
        let scenario = self.scenario.name();
        writeln!(f, "seed {seed}, scenario {scenario}; clients: {clients}, with {window} in flight at a shard")?;
        writeln!(f, "tenants without a policy: {:?}", self.policy)?;
        for tenant in &self.clear {
            writeln!(f, "made without a key: tenant-{tenant}")?;
        }
        for stream in &self.own_keys {
            writeln!(f, "made with a key of its own: stream-{stream} of each tenant")?;
        }
        for (number, epoch) in self.epochs.iter().enumerate() {
            write!(f, "opening {}: {epoch}", number + 1)?;
        }
        writeln!(f, "at last: opened without faults, read back, closed")?;
        for script in &self.scripts {
            writeln!(f, "fault at operation {}: {}", script.at, script.fault)?;
        }
        for kind in FaultKind::ALL.into_iter().filter(|kind| self.rates.rate(*kind) > 0) {
            writeln!(f, "fault with a chance of {:.4} %: {kind}", f64::from(self.rates.rate(kind)) / 1e4)?;
        }
        Ok(())
    }
}

impl Display for Epoch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Epoch { shards, clock_jump_ns, crash, .. } = self;
        write!(f, "{shards} shard{}", if *shards == 1 { "" } else { "s" })?;
        if *clock_jump_ns != 0 {
            write!(f, ", the clock jumps by {:+.0} s", *clock_jump_ns as f64 / 1e9)?;
        }
        if let Some((at, end)) = crash {
            write!(f, ", {end} at its operation {at}")?;
        }
        writeln!(f)?;
        for step in &self.steps {
            writeln!(f, "  client {}: {}", step.client, step.action)?;
        }
        writeln!(f, "  end: {}", self.end)?;
        self.meanwhile.iter().try_for_each(|meanwhile| writeln!(f, "  then {meanwhile}"))
    }
}

impl Display for End {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            End::Close => "closed",
            End::Kill => "killed",
            End::PowerCut => "the power goes",
        })
    }
}

impl Display for Meanwhile {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Meanwhile::BitRots(_) => "a bit of a segment rots",
            Meanwhile::SegmentLost(_) => "a segment's file is lost",
            Meanwhile::ManifestCopyLost(_) => "a copy of the manifest is lost",
            Meanwhile::SegmentsSwapped(_) => "two segments change places",
            Meanwhile::Forged(_) => "a forger has two streams' sealed records change places",
            Meanwhile::Copied => "a copy of the directory is put aside",
            Meanwhile::OlderCopyPutBack => "the copy is put back",
            Meanwhile::CloneWritesTo => "another process writes to the copy",
        })
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "tenant-{}/stream-{}", self.tenant, self.stream)
    }
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Action::Append { place, count, bytes, expected, level } => {
                let records = if count == 1 { "record" } else { "records" };
                write!(f, "append {count} {records} of up to {bytes} bytes to {place}")?;
                f.write_str(match expected {
                    Expected::Any => "",
                    Expected::Next => " at the next offset",
                    Expected::Wrong => " at an offset that cannot be",
                })?;
                f.write_str(match level {
                    Asked::Tenants => "",
                    Asked::Memory => ", in memory",
                    Asked::Buffered => ", buffered",
                    Asked::Strict => ", strict",
                })
            }
            Action::Read { place, back, max } => write!(f, "read {place} from {back} before its end, {max} at most"),
            Action::Head(place) => write!(f, "ask for the end of {place}"),
            Action::Resolve(place) => write!(f, "resolve {place}"),
            Action::ListTenants(shard) => write!(f, "list the tenants of shard {shard}"),
            Action::ListStreams(tenant) => write!(f, "list the streams of tenant-{tenant}"),
            Action::DeleteStream(place) => write!(f, "delete {place}"),
            Action::AppendToDeleted(place) => write!(f, "append to {place}, where it was deleted"),
            Action::DeleteTenant(tenant) => write!(f, "delete tenant-{tenant}"),
            Action::CreateTenant(tenant) => write!(f, "create tenant-{tenant}"),
            Action::CreateStream(place) => write!(f, "create {place}"),
            Action::SetPolicy(tenant, policy) => write!(f, "give tenant-{tenant} the policy {policy:?}"),
            Action::ChangeKey(tenant) => write!(f, "change the key of tenant-{tenant}"),
            Action::ChangeStreamKey(place) => write!(f, "change the key of {place}"),
            Action::Erase(tenant) => write!(f, "erase tenant-{tenant}"),
            Action::EraseStream(place) => write!(f, "erase {place}"),
            Action::Sync(shard) => write!(f, "have shard {shard} flush everything"),
            Action::Detach => f.write_str("detach"),
            Action::Pause(ns) => write!(f, "pause for {:.3} ms", ns as f64 / 1e6),
        }
    }
}
