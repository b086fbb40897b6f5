//! `diatreme tenant`: tenants made and listed, another data key for one, and its erasure.

use crate::engine_args::{EngineArgs, parse_name, with_client};
use crate::erase::{self, EraseArgs};
use crate::failure::Failure;
use crate::names::{Names, shown};
use crate::output;
use crate::report::Report;
use crate::table::{Table, count};
use clap::Subcommand;
use diatreme::{CallError, Client, TenantId};
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;

const EXAMPLE: &str = "Example:
  diatreme tenant create --data-dir data --tenant acme --master-key file:/etc/diatreme/master.key
  diatreme tenant list --data-dir data
  diatreme tenant rotate-key --data-dir data --tenant acme --master-key file:/etc/diatreme/master.key
  diatreme tenant erase --data-dir data --tenant acme --master-key file:/etc/diatreme/master.key";

/// Makes and lists tenants, gives one another key, and erases one.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Create(Box<CreateArgs>),
    List(ListArgs),
    RotateKey(Box<RotateKeyArgs>),
    Erase(Box<EraseTenantArgs>),
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Create(args) => create(args),
        Command::List(args) => list(args),
        Command::RotateKey(args) => rotate_key(args),
        Command::Erase(args) => erase::run("tenant erase", &args.erase, None),
    }
}

/// Makes a tenant. Its records are sealed with a key of its own, unless that is not wanted.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  diatreme tenant create --data-dir data --tenant acme --master-key file:/etc/diatreme/master.key

A name is not encrypted: put nothing personal into it.")]
struct CreateArgs {
    #[command(flatten)]
    engine: EngineArgs,

    /// The tenant's name.
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    tenant: String,

    /// Leave this tenant's records in the clear, though the engine has keys.
    #[arg(long, requires = "master_key")]
    unencrypted_tenant: bool,

    /// Write a report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn create(args: &CreateArgs) -> Result<(), Failure> {
    let report = Report::open(args.json.as_deref())?;
    let make = |client: &mut Client| match args.unencrypted_tenant {
        true => client.create_tenant_unencrypted(&args.tenant),
        false => client.create_tenant(&args.tenant),
    };
    change("tenant create", &args.engine, &args.tenant, report, |client| make(client).map(|_| ()))
}

/// Seals a tenant's records with a new data key from here on. What was written before is read with the older ones.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  diatreme tenant rotate-key --data-dir data --tenant acme --master-key file:/etc/diatreme/master.key

A tenant without encryption gets its first key, and what it has already stays in the clear. Streams
with a key of their own keep that. An erasure destroys all keys of a tenant.")]
struct RotateKeyArgs {
    #[command(flatten)]
    engine: EngineArgs,

    /// The tenant's name.
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    tenant: String,

    /// Write a report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn rotate_key(args: &RotateKeyArgs) -> Result<(), Failure> {
    crate::directory::survey(&args.engine.data_dir)?;
    let report = Report::open(args.json.as_deref())?;
    change("tenant rotate-key", &args.engine, &args.tenant, report, |client| client.rotate_key(&args.tenant))
}

/// Destroys all data keys of a tenant, those of its streams too: nobody can read its records any more.
#[derive(clap::Args, Debug)]
#[command(after_help = format!("Example:
  diatreme tenant erase --data-dir data --tenant acme \\
      --master-key file:/etc/diatreme/master.key --yes

{}", erase::NOTES))]
struct EraseTenantArgs {
    #[command(flatten)]
    erase: EraseArgs,
}

/// Changes a tenant, and tells how its records are kept then.
fn change(
    command: &'static str,
    engine: &EngineArgs,
    tenant: &str,
    report: Option<Report>,
    call: impl FnOnce(&mut Client) -> Result<(), CallError>,
) -> Result<(), Failure> {
    with_client(engine, |client| {
        let changed = || {
            call(client)?;
            client.tenants()
        };
        let at = |error| Failure::at(&engine.data_dir)(Failure::from(error).context(&format!("tenant {tenant:?}")));
        let id = TenantId::of_name(tenant).0;
        let encryption = changed().map_err(at)?.into_iter().find(|named| named.id == id).map(|named| named.encryption);
        let encryption = encryption.map_or_else(|| "?".into(), |encryption| encryption.to_string());
        let reported = report.map_or(Ok(()), |report| {
            report.write(&Changed { command, tenant, id: format!("{id:016x}"), encryption: &encryption })
        });
        let printed = output::print(|out| writeln!(out, "tenant {tenant:?}: encryption {encryption}"));
        Failure::join([reported, printed])
    })
}

/// A tenant that was made or changed, for programs.
#[derive(Serialize)]
struct Changed<'a> {
    command: &'static str,
    tenant: &'a str,
    id: String,
    encryption: &'a str,
}

/// Lists the tenants and their streams: names, and how their records are kept.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  diatreme tenant list --data-dir data --json tenants.json

No key is needed, and nothing is changed: the log is read for its catalogs, as far as it is intact.
No engine may be open in another process.")]
struct ListArgs {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,

    /// Write a report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let report = Report::open(args.json.as_deref())?;
    let names = Names::of_directory(&args.data_dir)?;
    let content = Content { command: "tenant list", tenants: lines(&names) };
    let reported = report.map_or(Ok(()), |report| report.write(&content));
    Failure::join([reported, output::print(|out| content.print(out))])
}

/// What tenants there are, for people and programs.
#[derive(Serialize)]
struct Content {
    command: &'static str,
    tenants: Vec<TenantLine>,
}

#[derive(Serialize)]
struct TenantLine {
    id: String,
    /// None if the record of its creation is lost.
    name: Option<String>,
    deleted: bool,
    /// How new records of its streams without keys are kept: none | aes-256-gcm, key N | erased.
    encryption: String,
    streams: Vec<StreamLine>,
}

#[derive(Serialize)]
struct StreamLine {
    stream: u64,
    name: Option<String>,
    deleted: bool,
    encryption: String,
    /// Whether it has a key of its own, with which it can be erased alone.
    own_key: bool,
}

fn lines(names: &Names) -> Vec<TenantLine> {
    let tenant = |tenant: crate::names::Named<'_>| TenantLine {
        id: format!("{:016x}", tenant.id),
        name: tenant.name.map(str::to_owned),
        deleted: tenant.deleted,
        encryption: tenant.encryption.to_string(),
        streams: names.streams(tenant.id).map(StreamLine::of).collect(),
    };
    names.tenants().map(tenant).collect()
}

impl StreamLine {
    fn of(stream: crate::names::Named<'_>) -> StreamLine {
        StreamLine {
            stream: stream.id,
            name: stream.name.map(str::to_owned),
            deleted: stream.deleted,
            encryption: stream.encryption.to_string(),
            own_key: stream.keys > 0,
        }
    }
}

impl Content {
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let name = |name: &Option<String>, deleted| {
            let name = name.as_deref().map_or_else(|| "?".into(), shown);
            if deleted { format!("{name} (deleted)") } else { name }
        };
        let mut table = Table::new(&["tenant", "name", "encryption", ">streams", ">own key", ">erased"]);
        for tenant in &self.tenants {
            let count =
                |of: fn(&StreamLine) -> bool| tenant.streams.iter().filter(|stream| of(stream)).count().to_string();
            let (own, erased) = (count(|stream| stream.own_key), count(|stream| stream.encryption == "erased"));
            let (id, named) = (tenant.id.clone(), name(&tenant.name, tenant.deleted));
            table.row(vec![id, named, tenant.encryption.clone(), tenant.streams.len().to_string(), own, erased]);
        }
        table.write(out)?;
        writeln!(out, "\n{}", count(self.tenants.len() as u64, "tenant"))
    }
}
