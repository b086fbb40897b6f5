//! A plan as text: JSON in an envelope with a version, to be kept, handed on, and replayed.
//!
//! A file made by another version is refused: the same plan would be another run. Faults and scenarios go by their names.

use crate::payload::PAYLOAD_MIN;
use crate::plan::{Action, Plan};
use serde::{Deserialize, Serialize};
use std::fmt;

const FORMAT: &str = "diatreme-sim-plan";
/// To be raised when a plan gets another meaning.
const VERSION: u32 = 1;
/// The most of anything: a plan is for a machine with one disk and a few cores.
const SHARDS_MAX: u16 = 64;
const CLIENTS_MAX: u8 = 64;
const TENANTS_MAX: u8 = crate::model::TENANTS as u8;
const RECORD_BYTES_MAX: u32 = 1 << 20;
const RECORDS_MAX: u16 = 64;

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
        let within = |what: &str, number: u64, most: u64| {
            if (1..=most).contains(&number) {
                Ok(())
            } else {
                Err(format!("{number} {what}, and there may be 1 to {most}"))
            }
        };
        within("clients", self.clients.into(), CLIENTS_MAX.into())?;
        within("requests in flight", self.window.into(), 1024)?;
        for (number, epoch) in self.epochs.iter().enumerate() {
            let of = |text: String| format!("opening {number}: {text}");
            within("shards", epoch.shards.into(), SHARDS_MAX.into()).map_err(of)?;
            for (at, step) in epoch.steps.iter().enumerate() {
                step.action.check().map_err(|text| of(format!("step {at}: {text}")))?;
            }
        }
        Ok(())
    }
}

impl Action {
    fn check(self) -> Result<(), String> {
        if let Action::Append { count, bytes, .. } = self {
            if !(1..=RECORDS_MAX).contains(&count) {
                return Err(format!("an append of {count} records, and it may have 1 to {RECORDS_MAX}"));
            }
            if !(PAYLOAD_MIN as u32..=RECORD_BYTES_MAX).contains(&bytes) {
                return Err(format!("a record of {bytes} bytes, and it may have {PAYLOAD_MIN} to {RECORD_BYTES_MAX}"));
            }
        }
        match self.tenant() {
            Some(tenant) if tenant >= TENANTS_MAX => {
                Err(format!("tenant {tenant}, and there are {TENANTS_MAX}, from 0 on"))
            }
            _ => Ok(()),
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
        refused("\"version\": 1", "\"version\": 2", "a plan of version 2");
        refused(FORMAT, "something-else", "its format is \"something-else\"");
        refused("\"errors\"", "\"error\"", "\"error\" is none of calm");
        refused("\"window\": ", "\"windows\": ", "unknown field `windows`");
        refused("\"clients\": ", "\"clients\": 9", "clients, and there may be 1 to");
        refused("\"shards\": ", "\"shards\": 6666", "");
        refused("\"count\": ", "\"count\": 99", "step");
        assert!(Plan::from_json("{").unwrap_err().to_string().starts_with("no plan: "));
    }
}
