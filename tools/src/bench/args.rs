//! What may be asked of a benchmark, and what is taken for granted where it is not.

use super::document::{Arrivals, Config};
use super::payload::Payloads;
use crate::durability::DurabilityArg;
use crate::engine_args::{BackendArg, CoresArg, DurableWriteArg, WaitingArg};
use crate::failure::Failure;
use crate::key_args::beside;
use clap::{Args as ClapArgs, ValueEnum};
use diatreme::{Builder, Checkpoints, Cores, Engine, FRAME_CAP_DEFAULT, MasterSource};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Records of a closed loop for which nothing else says when it ends.
const RECORDS_DEFAULT: u64 = 1_000_000;
/// Records that are written before what is measured: reads, recovery, verification.
const PRELOAD_DEFAULT: u64 = 2_000_000;
/// Seconds of an open loop, and of each phase of scenarios that have several.
const OPEN_SEC_DEFAULT: f64 = 10.0;
const PHASE_SEC_DEFAULT: f64 = 3.0;
/// What the others of a noisy neighbour offer together, unless it is said: far from any limit.
const QUIET_PER_SEC: f64 = 5_000.0;
/// Streams over all tenants: each is a chain, and each has a place in the kernel and the log.
const STREAMS_MAX: u64 = 1 << 20;
/// Requests in flight over all clients: each has a place in a ring and in the shard.
const IN_FLIGHT_MAX: u64 = 1 << 22;
/// Clients over all shards: each takes some 3.7 MB in the generator, mostly histograms.
const CLIENTS_MAX: u64 = 1024;
/// Requests in flight of each client while records are written that are to be read later, whatever --window says.
pub(crate) const PRELOAD_WINDOW: u32 = 8192;

/// What is done to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Appends, as event sourcing does.
    Append,
    /// Reads of old records: at random and from start to end, cold and again.
    Audit,
    /// Reads and appends, 70 to 30 in a hundred.
    Mixed,
    /// Appends to hundreds of tenants, to some far more often than to others.
    Tenants,
    /// One tenant floods in a closed loop; the others, which offer 5,000 requests a second or --rate, are shown apart, without
    /// it and beside it.
    Noisy,
    /// Opening a directory: after a crash, and after a clean end.
    Recovery,
    /// Verification of everything, on one core and on all.
    Verify,
}

impl Scenario {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Scenario::Append => "append",
            Scenario::Audit => "audit",
            Scenario::Mixed => "mixed",
            Scenario::Tenants => "tenants",
            Scenario::Noisy => "noisy",
            Scenario::Recovery => "recovery",
            Scenario::Verify => "verify",
        }
    }

    /// Writes first, and then measures something else.
    fn preloads(self) -> bool {
        matches!(self, Scenario::Audit | Scenario::Recovery | Scenario::Verify)
    }
}

/// The value of `--encryption`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EncryptionArg {
    /// AES-256-GCM, a record at a time.
    #[value(name = "aes-256-gcm")]
    Aes256Gcm,
    /// In the clear.
    None,
}

impl EncryptionArg {
    /// As reports name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            EncryptionArg::Aes256Gcm => "aes-256-gcm",
            EncryptionArg::None => "none",
        }
    }
}

/// The load and the engine under it.
#[derive(ClapArgs, Clone, Debug)]
pub(crate) struct LoadArgs {
    /// Records to count, over all clients; or to write first, for scenarios that read [default: 1,000,000 in a closed loop
    /// without --duration; 2,000,000 to be read, recovered or verified].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) records: Option<u64>,

    /// Seconds to measure, or those of each phase [default: 10 in an open loop, 3 for each phase].
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) duration: Option<f64>,

    /// Seconds of load before anything is counted.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5, value_parser = parse_seconds_or_none)]
    pub(crate) warm_up: f64,

    /// Bytes of each record.
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1 << 20), conflicts_with = "input")]
    pub(crate) payload: u32,

    /// Replay the lines of this file, a record each, over and over.
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    /// Records of each request.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) batch: u32,

    /// Tenants [default: as many as shards; 500 for `tenants`, 8 for `noisy`].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) tenants: Option<u32>,

    /// Streams in each tenant; records go to all streams in turn.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) streams: u32,

    /// Choose streams by a zipfian law with this exponent and not in turn [default for `tenants`: 0.99].
    #[arg(long, value_name = "EXPONENT", value_parser = parse_exponent)]
    pub(crate) zipf: Option<f64>,

    /// Percent of the requests that read a record at random [default for `mixed`: 70].
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) read_percent: Option<u32>,

    /// Clients; those that share a CPU are stepped by one thread in turn.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) clients: u32,

    /// Requests in flight of each client, at most [default: 8192; 64 for `mixed`, 8 for reads of `audit`].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) window: Option<u32>,

    /// An open loop: so many requests a second over all clients, due whether or not earlier ones are answered. Without it
    /// a client sends the next one when one is answered.
    #[arg(long, value_name = "REQUESTS", value_parser = parse_rate)]
    pub(crate) rate: Option<f64>,

    /// The gaps between requests are random, as those of many independent users (an exponential law).
    #[arg(long, requires = "rate")]
    pub(crate) poisson: bool,

    /// So many requests are due at once, with longer gaps between.
    #[arg(long, value_name = "N", requires = "rate", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) burst: u32,

    /// Run the clients inside the shards' own threads, as a front-end that hosts its shard does; each shard has --clients.
    #[arg(long)]
    pub(crate) inside: bool,

    /// Shards.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) shards: u16,

    /// What an acknowledgement promises: memory, buffered[:INTERVAL,RECORDS], or
    /// strict[:every-record|:every-batch|:group:DELAY].
    #[arg(long, value_name = "POLICY", default_value = "strict")]
    pub(crate) durability: DurabilityArg,

    /// How records are kept: sealed with a key of their tenant's, drawn for the run and thrown away, or in the clear.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = EncryptionArg::Aes256Gcm)]
    pub(crate) encryption: EncryptionArg,

    /// Have checkpoints signed this often beside the load, by a thread that reads back all that is written [default: none are].
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) checkpoints: Option<f64>,

    /// How io_uring makes a write durable.
    #[arg(long, value_name = "KIND", value_enum, default_value_t = DurableWriteArg::Dsync)]
    pub(crate) durable_write: DurableWriteArg,

    /// How shards do I/O; `auto` takes the best that the system allows.
    #[arg(long, value_name = "KIND", value_enum, default_value_t = BackendArg::Auto)]
    pub(crate) backend: BackendArg,

    /// The CPUs that shards are pinned to: a list such as 0,2-3, `auto` to let the engine choose, `none` not to pin.
    /// Clients are pinned to the CPUs that are left, if any are.
    #[arg(long, value_name = "LIST", default_value = "auto")]
    pub(crate) cores: CoresArg,

    /// What a shard does while its device writes and it has nothing else to do.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = WaitingArg::Awake)]
    pub(crate) waiting: WaitingArg,

    /// A frame closes at so many bytes.
    #[arg(long, value_name = "BYTES", default_value_t = FRAME_CAP_DEFAULT)]
    pub(crate) frame_cap: usize,

    /// Seconds of each point of the timeline, and of each line of the interval log.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.1, value_parser = parse_seconds)]
    pub(crate) interval: f64,

    /// The data directory; it must be empty or not exist, and is kept. Several runs have directories of their own in it.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

fn number(text: &str, what: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| format!("`{text}` is no {what}"))
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match number(text, "number of seconds")? {
        seconds if (0.001..=1e6).contains(&seconds) => Ok(seconds),
        _ => Err("choose 0.001 to 1000000 seconds".into()),
    }
}

fn parse_seconds_or_none(text: &str) -> Result<f64, String> {
    if number(text, "number of seconds")? == 0.0 { Ok(0.0) } else { parse_seconds(text) }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match number(text, "number of requests a second")? {
        rate if (0.001..=1e9).contains(&rate) => Ok(rate),
        _ => Err("choose 0.001 to 1000000000 requests a second; leave --rate out for a closed loop".into()),
    }
}

fn parse_exponent(text: &str) -> Result<f64, String> {
    match number(text, "exponent")? {
        exponent if (0.0..=10.0).contains(&exponent) => Ok(exponent),
        _ => Err("choose an exponent of 0 (all alike) to 10".into()),
    }
}

impl LoadArgs {
    /// The settings, all of them.
    pub(crate) fn config(&self, scenario: Scenario) -> Result<Config, Failure> {
        self.check(scenario)?;
        let open = self.rate.is_some();
        let phases = matches!(scenario, Scenario::Audit | Scenario::Noisy);
        let by_default = if phases { PHASE_SEC_DEFAULT } else { OPEN_SEC_DEFAULT };
        let timed = phases || open && self.records.is_none();
        let records = match (self.records, self.duration) {
            (None, None) if scenario.preloads() => Some(PRELOAD_DEFAULT),
            (None, _) if scenario.preloads() => Some(PRELOAD_DEFAULT),
            (None, None) if !timed => Some(RECORDS_DEFAULT),
            (records, _) => records,
        };
        let config = Config {
            scenario: scenario.name().into(),
            arrivals: self.arrivals(scenario),
            records,
            duration_sec: self.duration.or(timed.then_some(by_default)),
            warm_up_sec: self.warm_up,
            payload_bytes: self.input.is_none().then_some(self.payload),
            input: self.input.as_ref().map(|path| path.display().to_string()),
            batch: self.batch,
            tenants: self.tenants.unwrap_or(match scenario {
                Scenario::Tenants => 500,
                Scenario::Noisy => 8,
                _ => u32::from(self.shards),
            }),
            streams_per_tenant: self.streams,
            zipf: self.zipf.or((scenario == Scenario::Tenants).then_some(0.99)),
            read_percent: self.read_percent.unwrap_or(match scenario {
                Scenario::Mixed => 70,
                Scenario::Audit => 100,
                _ => 0,
            }),
            shards: self.shards,
            clients: self.clients,
            window: self.window.unwrap_or(match scenario {
                Scenario::Mixed => 64,
                Scenario::Audit => 8,
                _ => 8192,
            }),
            inside: self.inside,
            durability: self.durability.name(),
            encryption: self.encryption.name().into(),
            checkpoints_sec: self.checkpoints,
            durable_write: self.durable_write.name().into(),
            waiting: self.waiting.name().into(),
            frame_cap_bytes: self.frame_cap,
        };
        check_sizes(&config, scenario)?;
        if self.checkpoints.is_some() && self.encryption == EncryptionArg::None {
            return Err(Failure::usage("checkpoints are signed with a key: leave --encryption none away"));
        }
        Ok(config)
    }

    fn arrivals(&self, scenario: Scenario) -> Arrivals {
        match self.rate {
            Some(requests_per_sec) => Arrivals::Open { requests_per_sec, poisson: self.poisson, burst: self.burst },
            None if scenario == Scenario::Noisy => {
                Arrivals::Open { requests_per_sec: QUIET_PER_SEC, poisson: true, burst: 1 }
            }
            None => Arrivals::Closed,
        }
    }

    /// Flags that a scenario has no use for are a mistake, not a detail.
    fn check(&self, scenario: Scenario) -> Result<(), Failure> {
        let name = scenario.name();
        let refuse = |flag: &str, why: &str| Err(Failure::usage(format!("scenario {name} takes no {flag}: {why}")));
        let whole = matches!(scenario, Scenario::Recovery | Scenario::Verify);
        if whole && self.rate.is_some() {
            return refuse("--rate", "it writes first, and then measures one long operation");
        }
        if whole && self.duration.is_some() {
            return refuse("--duration", "it takes as long as it takes; choose --records");
        }
        if self.read_percent.is_some() && !matches!(scenario, Scenario::Append | Scenario::Mixed | Scenario::Tenants) {
            return refuse("--read-percent", "choose the scenario `mixed`");
        }
        if scenario == Scenario::Noisy && (self.records.is_some() || self.inside) {
            return refuse("--records or --inside", "it runs for a time, with clients beside the shards");
        }
        if scenario == Scenario::Audit && self.inside {
            return refuse("--inside", "each of its phases opens the directory anew");
        }
        if !scenario.preloads() && self.records.is_some() && self.duration.is_some() {
            return Err(Failure::usage("choose --records or --duration: what ends the run is one of them"));
        }
        Ok(())
    }

    /// The records to be written.
    pub(crate) fn payloads(&self) -> Result<Arc<Payloads>, Failure> {
        Ok(Arc::new(match &self.input {
            None => Payloads::noise(self.payload as usize),
            Some(path) => Payloads::read(path, kernel::Limits::default().record_bytes_max as usize)?,
        }))
    }

    /// Settings for an engine; tenants are spread evenly over its shards.
    pub(crate) fn builder(&self, directory: &Path, config: &Config) -> Result<Builder, Failure> {
        let builder = self.keyed(Engine::builder(directory), directory)?;
        let builder = match self.checkpoints {
            Some(sec) => {
                builder.checkpoints(Checkpoints { interval: Duration::from_secs_f64(sec), ..Checkpoints::default() })
            }
            None => builder.without_checkpoints(),
        };
        let builder = builder
            .shards(self.shards)
            .cores(self.cores.0.clone())
            .backend(self.backend.into())
            .durability(self.durability.0)
            .durable_write(self.durable_write.into())
            .waiting(self.waiting.into())
            .frame_cap(self.frame_cap);
        if self.shards == 1 {
            return Ok(builder);
        }
        Ok((0..config.tenants).fold(builder, |builder, tenant| {
            builder.place(&tenant_name(tenant), (tenant % u32::from(self.shards)) as u16)
        }))
    }

    /// Gives an engine the keys of its run, which lie beside its directory and go with it.
    fn keyed(&self, builder: Builder, directory: &Path) -> Result<Builder, Failure> {
        if self.encryption == EncryptionArg::None {
            return Ok(builder.unencrypted());
        }
        let [store, master] = ["keys", "master"].map(|extension| beside(directory, extension));
        if !master.exists() {
            let made = directory.parent().map_or(Ok(()), std::fs::create_dir_all);
            let made = made.and_then(|()| diatreme::generate_master_file(&master));
            made.map_err(|error| Failure::output(&master.display().to_string(), &error))?;
        }
        Ok(builder.keys(store, MasterSource::File(master)))
    }

    /// Whether nothing is to be pinned.
    pub(crate) fn is_unpinned(&self) -> bool {
        self.cores.0 == Cores::Unpinned
    }

    pub(crate) fn every(&self) -> Duration {
        Duration::from_secs_f64(self.interval)
    }
}

pub(crate) fn tenant_name(tenant: u32) -> String {
    format!("bench-{tenant}")
}

pub(crate) fn stream_name(number: u32) -> String {
    format!("stream-{number}")
}

fn check_sizes(config: &Config, scenario: Scenario) -> Result<(), Failure> {
    let streams = u64::from(config.tenants) * u64::from(config.streams_per_tenant);
    // A crash is made of shards that host their clients.
    let inside = config.inside || scenario == Scenario::Recovery;
    let groups = if scenario == Scenario::Noisy { 2 } else { 1 };
    let clients = groups * u64::from(config.clients) * if inside { u64::from(config.shards) } else { 1 };
    let window = if scenario.preloads() { config.window.max(PRELOAD_WINDOW) } else { config.window };
    let in_flight = clients * u64::from(window);
    if streams > STREAMS_MAX {
        return Err(Failure::usage(format!(
            "--tenants times --streams is {streams}: at most {STREAMS_MAX} are measured"
        )));
    }
    if clients > CLIENTS_MAX {
        return Err(Failure::usage(format!(
            "these are {clients} clients over all shards and groups: each takes some 3.7 MB, and at most {CLIENTS_MAX} are \
             measured; choose fewer --clients or --shards"
        )));
    }
    if in_flight > IN_FLIGHT_MAX {
        return Err(Failure::usage(format!(
            "{clients} clients with {window} requests each have {in_flight} in flight: at most {IN_FLIGHT_MAX} are measured; \
             choose fewer --clients or a smaller --window"
        )));
    }
    if config.tenants < u32::from(config.shards) {
        return Err(Failure::usage(format!(
            "{} tenants on {} shards: a tenant lives on one shard, so some would be idle; choose --tenants {} or more",
            config.tenants, config.shards, config.shards
        )));
    }
    if scenario == Scenario::Noisy && config.tenants < 2 {
        return Err(Failure::usage("scenario noisy needs a tenant that floods and others: choose --tenants 2 or more"));
    }
    Ok(())
}
