//! A plan as text: JSON in an envelope with a version, to be kept, handed on, and replayed.
//!
//! A file made by another version is refused: the same plan would be another run. Faults and scenarios go by their names.

use crate::level::Policy;
use crate::payload::PAYLOAD_MIN;
use crate::plan::{Action, Plan};
use serde::{Deserialize, Serialize};
use shard::limits::{REQUEST_PAYLOAD_MAX, REQUEST_RECORDS_MAX};
use std::fmt;

const FORMAT: &str = "diatreme-sim-plan";
/// To be raised when a plan gets another meaning.
const VERSION: u32 = 2;
/// The most of anything: what a plan is for, and no run goes on for ever or past the end of its numbers.
const SHARDS_MAX: u16 = 64;
const CLIENTS_MAX: u8 = 64;
const WINDOW_MAX: u16 = 1024;
const TENANTS_MAX: u8 = crate::model::TENANTS as u8;
const OPENINGS_MAX: usize = 1000;
const STEPS_MAX: usize = 10_000;
const OPERATION_MAX: u64 = 1 << 40;
const RECORD_BYTES_MAX: u32 = 1 << 20;
/// An hour.
const PAUSE_MAX_NS: u64 = 3_600_000_000_000;
/// A year.
const CLOCK_JUMP_MAX_NS: u64 = 31_536_000_000_000_000;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Envelope<P> {
    format: String,
    version: u32,
    plan: P,
}

/// Why a text is no plan.
#[derive(Debug)]
pub enum PlanError {
    /// It is not the JSON that a plan is written as.
    Syntax(serde_json::Error),
    /// It is something else than a plan.
    Format(String),
    /// It is of another version.
    Version(u32),
    /// It says what cannot be done.
    Impossible(String),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanError::Syntax(error) => write!(f, "no plan: {error}"),
            PlanError::Format(format) => write!(f, "no plan: its format is {format:?}, and not {FORMAT:?}"),
            PlanError::Version(version) => write!(
                f,
                "a plan of version {version}, and this is {VERSION}: it would be another run; replay it with the version that wrote it"
            ),
            PlanError::Impossible(what) => write!(f, "an impossible plan: {what}"),
        }
    }
}

impl std::error::Error for PlanError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PlanError::Syntax(error) => Some(error),
            _ => None,
        }
    }
}

impl Plan {
    /// The plan as text.
    ///
    /// # Errors
    /// None that a plan can cause: it has no part that JSON has not.
    pub fn to_json(&self) -> Result<String, PlanError> {
        let envelope = Envelope { format: FORMAT.into(), version: VERSION, plan: self };
        serde_json::to_string_pretty(&envelope).map(|text| text + "\n").map_err(PlanError::Syntax)
    }

    /// A plan from its text.
    ///
    /// # Errors
    /// If it is none, is of another version, or asks for what cannot be done.
    pub fn from_json(text: &str) -> Result<Plan, PlanError> {
        // First the envelope alone: the plan of another version may have other parts.
        let envelope: Envelope<serde_json::Value> = serde_json::from_str(text).map_err(PlanError::Syntax)?;
        match envelope {
            Envelope { format, .. } if format != FORMAT => Err(PlanError::Format(format)),
            Envelope { version, .. } if version != VERSION => Err(PlanError::Version(version)),
            Envelope { .. } => {
                let Envelope { plan, .. } = serde_json::from_str::<Envelope<Plan>>(text).map_err(PlanError::Syntax)?;
                plan.check().map(|()| plan).map_err(PlanError::Impossible)
            }
        }
    }

    /// What the run takes for granted of a plan that was drawn.
    fn check(&self) -> Result<(), String> {
        within("clients", self.clients.into(), 1, CLIENTS_MAX.into())?;
        within("requests in flight", self.window.into(), 1, WINDOW_MAX.into())?;
        self.policy.check()?;
        within("openings", self.epochs.len() as u64, 0, OPENINGS_MAX as u64)?;
        within("steps", self.steps() as u64, 0, STEPS_MAX as u64)?;
        for script in &self.scripts {
            within("is the operation of a fault", script.at, 0, OPERATION_MAX)?;
        }
        for (number, epoch) in self.epochs.iter().enumerate() {
            let of = |text: String| format!("opening {}: {text}", number + 1);
            within("shards", epoch.shards.into(), 1, SHARDS_MAX.into()).map_err(of)?;
            let jump = epoch.clock_jump_ns.unsigned_abs();
            within("nanoseconds of a jump of the clock", jump, 0, CLOCK_JUMP_MAX_NS).map_err(of)?;
            let crash = epoch.crash.map_or(0, |(at, _)| at);
            within("is the operation of a crash", crash, 0, OPERATION_MAX).map_err(of)?;
            for (at, step) in epoch.steps.iter().enumerate() {
                step.action.check().map_err(|text| of(format!("step {}: {text}", at + 1)))?;
            }
        }
        Ok(())
    }
}

fn within(what: &str, number: u64, least: u64, most: u64) -> Result<(), String> {
    let fits = (least..=most).contains(&number);
    if fits { Ok(()) } else { Err(format!("{number} {what}: at least {least}, at most {most}")) }
}

impl Action {
    fn check(self) -> Result<(), String> {
        match self {
            Action::Append { count, bytes, .. } => {
                within("records in an append", count.into(), 1, u64::from(REQUEST_RECORDS_MAX))?;
                within("bytes of a record", bytes.into(), PAYLOAD_MIN as u64, RECORD_BYTES_MAX.into())?;
                let bytes = u64::from(count) * u64::from(bytes);
                within("bytes in an append", bytes, 0, u64::from(REQUEST_PAYLOAD_MAX))?;
            }
            Action::SetPolicy(_, policy) => policy.check()?,
            Action::Read { max, .. } => within("records of a read", max.into(), 1, u16::MAX.into())?,
            Action::Pause(ns) => within("nanoseconds of a pause", ns, 0, PAUSE_MAX_NS)?,
            _ => {}
        }
        let tenant = self.tenant().unwrap_or_default();
        within("is a tenant's number", tenant.into(), 0, u64::from(TENANTS_MAX) - 1)
    }
}

impl Policy {
    fn check(self) -> Result<(), String> {
        match self {
            Policy::Buffered { interval_ns, records } => {
                within("nanoseconds of buffering", interval_ns, 1, PAUSE_MAX_NS)?;
                within("records in a buffer", records.into(), 1, u32::MAX.into())
            }
            Policy::Group { max_delay_ns } => within("nanoseconds of a group's delay", max_delay_ns, 0, PAUSE_MAX_NS),
            Policy::Memory | Policy::EveryRecord | Policy::EveryBatch => Ok(()),
        }
    }
}

fn by_name<T: Copy>(all: &[T], name: &str, name_of: impl Fn(T) -> &'static str) -> Result<T, String> {
    let found = all.iter().copied().find(|one| name_of(*one) == name);
    found.ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|one| name_of(*one)).collect();
        format!("{name:?} is none of {}", names.join(", "))
    })
}

pub(crate) mod scenario {
    //! By its name.

    use crate::scenario::Scenario;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(scenario: &Scenario, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(scenario.name())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Scenario, D::Error> {
        let name = String::deserialize(from)?;
        super::by_name(&Scenario::ALL, &name, Scenario::name).map_err(de::Error::custom)
    }
}

/// A script, the fault by its name.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Scripted {
    at: u64,
    fault: String,
}

pub(crate) mod scripts {
    //! A list of operations, each with a fault.

    use super::{Scripted, by_name};
    use iobackend::sim::{FaultKind, Script};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(scripts: &[Script], to: S) -> Result<S::Ok, S::Error> {
        let named = |script: &Script| Scripted { at: script.at, fault: script.fault.name().into() };
        scripts.iter().map(named).collect::<Vec<_>>().serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Script>, D::Error> {
        let script = |Scripted { at, fault }| {
            let fault = by_name(&FaultKind::ALL, &fault, FaultKind::name);
            fault.map(|fault| Script { at, fault }).map_err(de::Error::custom)
        };
        Vec::<Scripted>::deserialize(from)?.into_iter().map(script).collect()
    }
}

/// How often a fault strikes, and where it does not.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Rate {
    per_million: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    spared: Vec<String>,
}

pub(crate) mod rates {
    //! Those that are not zero, by the fault's name.

    use super::{Rate, by_name};
    use iobackend::sim::{FaultKind, FaultRates, Zone, ZoneSet};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
    use std::collections::BTreeMap;

    const ZONES: [Zone; 7] =
        [Zone::ManifestA, Zone::ManifestB, Zone::SegmentHeader, Zone::Frames, Zone::Tail, Zone::Directory, Zone::Other];

    fn name(zone: Zone) -> &'static str {
        match zone {
            Zone::ManifestA => "manifest-a",
            Zone::ManifestB => "manifest-b",
            Zone::SegmentHeader => "segment-header",
            Zone::Frames => "frames",
            Zone::Tail => "tail",
            Zone::Directory => "directory",
            Zone::Other => "other",
        }
    }

    pub(crate) fn serialize<S: Serializer>(rates: &FaultRates, to: S) -> Result<S::Ok, S::Error> {
        let mut named = BTreeMap::new();
        for kind in FaultKind::ALL {
            let zones = rates.zones(kind);
            let spared: Vec<_> = ZONES.into_iter().filter(|zone| !zones.contains(*zone)).map(name).collect();
            let spared = spared.into_iter().map(str::to_owned).collect();
            if rates.rate(kind) > 0 {
                named.insert(kind.name(), Rate { per_million: rates.rate(kind), spared });
            }
        }
        named.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<FaultRates, D::Error> {
        let mut rates = FaultRates::none();
        for (fault, Rate { per_million, spared }) in BTreeMap::<String, Rate>::deserialize(from)? {
            let kind = by_name(&FaultKind::ALL, &fault, FaultKind::name).map_err(de::Error::custom)?;
            let spared: Result<Vec<_>, _> = spared.iter().map(|zone| by_name(&ZONES, zone, name)).collect();
            let zones = ZoneSet::except(&spared.map_err(de::Error::custom)?);
            rates = rates.with(kind, per_million).only_in(kind, zones);
        }
        Ok(rates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Asked;
    use crate::plan::{Expected, Place};
    use crate::scenario::Scenario;

    #[test]
    fn a_plan_is_the_same_after_it_was_written_and_read() {
        for scenario in Scenario::ALL {
            let mut plan = Plan::draw(11, scenario);
            plan.scripts = vec![iobackend::sim::Script { at: 7, fault: iobackend::sim::FaultKind::PowerCut }];
            let text = plan.to_json().unwrap();
            let read = Plan::from_json(&text).unwrap();
            assert_eq!(read.to_json().unwrap(), text);
            assert_eq!(crate::run(&read, false).hash, crate::run(&plan, false).hash, "{}", scenario.name());
        }
    }

    #[test]
    fn what_is_no_plan_is_refused_with_the_reason() {
        let text = Plan::draw(3, Scenario::Errors).to_json().unwrap();
        let refused = |from: &str, to: &str, says: &str| {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from:?} is not there");
            let error = Plan::from_json(&changed).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        };
        refused("\"version\": 2", "\"version\": 1", "a plan of version 1");
        refused(FORMAT, "something-else", "its format is \"something-else\"");
        refused("\"errors\"", "\"error\"", "\"error\" is none of calm");
        refused("\"window\": ", "\"windows\": ", "unknown field `windows`");
        refused("\"clients\": ", "\"clients\": 9", "clients: at least 1, at most 64");
        refused("\"shards\": ", "\"shards\": 66", "opening 1: 66");
        refused("\"count\": ", "\"count\": 4000", "records in an append: ");
        refused("\"bytes\": ", "\"bytes\": 4000000", "bytes of a record: ");
        // A run goes to its end, whatever the numbers of the plan.
        let mut plan = Plan::draw(3, Scenario::Calm);
        let place = Place { tenant: 0, stream: 0 };
        plan.epochs[0].steps[0].action =
            Action::Append { place, count: 64, bytes: 1 << 20, expected: Expected::Any, level: Asked::Tenants };
        let error = Plan::from_json(&plan.to_json().unwrap()).unwrap_err().to_string();
        assert!(error.contains("opening 1: step 1: 67108864 bytes in an append"), "{error}");
        plan.epochs[0].steps[0].action = Action::SetPolicy(0, Policy::Buffered { interval_ns: 0, records: 1 });
        assert!(Plan::from_json(&plan.to_json().unwrap()).is_err());
        plan.epochs[0].steps[0].action = Action::Pause(u64::MAX);
        assert!(Plan::from_json(&plan.to_json().unwrap()).is_err());
        assert!(Plan::from_json("{").unwrap_err().to_string().starts_with("no plan: "));
    }
}
