//! Erasure, of a tenant or of a stream: what it destroys, what remains, and what is left to its operator.
//!
//! What must stay true: without `--yes` nothing is touched, and what is told then is what would be told afterwards.
//!
//! Deliberately absent: the erasure itself (`Client::erase_tenant`, and the key store's part of it).

use crate::engine_args::{EngineArgs, parse_name, with_client};
use crate::failure::Failure;
use crate::key_args::SourceParser;
use crate::names::{Named, Names};
use crate::output;
use crate::report::Report;
use crate::table::{count, grouped};
use diatreme::{Client, Encryption, EraseError, Erased, MasterSource, NewMaster, OldMaster, TenantId};
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;

/// What both erasures say below their options.
pub(crate) const NOTES: &str =
    "Without --yes it says what it would destroy and what would remain, changes nothing, and ends with 2.

Keys are wrapped under a master key, and whoever has that and an older copy of the key store has all
keys of then. So an erasure changes the master key, and destroys the old one where it is a file: a
new one takes its place, or --new-master-key names it. A master key from elsewhere is its owner's to
destroy, and the new one has to be named. An erasure that was interrupted is repeated by the same
command. Nothing in the log is changed: `diatreme verify` passes as before.";

/// What both erasures are told.
#[derive(clap::Args, Debug)]
pub(crate) struct EraseArgs {
    #[command(flatten)]
    engine: EngineArgs,

    /// The tenant's name.
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    tenant: String,

    /// Where the next master key comes from [default: a new random one in place of the old one, if that is a file].
    #[arg(long, value_name = "SOURCE", value_parser = SourceParser)]
    new_master_key: Option<MasterSource>,

    /// Keep the master key: then older copies of the key store still open with it, and what is erased with them.
    #[arg(long, conflicts_with = "new_master_key")]
    keep_master_key: bool,

    /// Do it. What is erased cannot be brought back.
    #[arg(long)]
    yes: bool,

    /// Write a report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Erases a tenant, or a stream of it.
pub(crate) fn run(command: &'static str, args: &EraseArgs, stream: Option<&str>) -> Result<(), Failure> {
    let master = args.engine.keys.master_key.as_ref().ok_or_else(|| {
        Failure::usage("an erasure destroys keys, and needs the key store: name its master key, --master-key SOURCE")
    })?;
    let new_master = args.new_master(master)?;
    let report = Report::open(args.json.as_deref())?;
    let found = Doomed::find(args, stream)?;
    if !args.yes {
        let foreseen = match &new_master {
            NewMaster::KeepMaster => OldMaster::Kept,
            NewMaster::From(_) if !matches!(master, MasterSource::File(_)) => OldMaster::ToDestroy(master.clone()),
            _ => OldMaster::Destroyed,
        };
        let content = Content::new(command, args, stream, &found, found.keys, &foreseen);
        let reported = report.map_or(Ok(()), |report| report.write(&content));
        let printed = output::print(|out| content.print(out));
        let undone = Failure::usage("nothing was destroyed: to do it, give the same command with --yes");
        return Failure::join([Err(undone), reported, printed]);
    }
    with_client(&args.engine, |client| {
        let erased = args.erase(client, stream, new_master).map_err(|error| {
            let failure = Failure::failed(error.to_string()).context(&args.subject(stream));
            Failure::at(&args.engine.data_dir)(failure)
        })?;
        let content = Content::new(command, args, stream, &found, erased.keys, &erased.old_master);
        let reported = report.map_or(Ok(()), |report| report.write(&content));
        Failure::join([reported, output::print(|out| content.print(out))])
    })
}

impl EraseArgs {
    fn new_master(&self, master: &MasterSource) -> Result<NewMaster, Failure> {
        match (&self.new_master_key, master) {
            (None, _) if self.keep_master_key => Ok(NewMaster::KeepMaster),
            (Some(new), _) => Ok(NewMaster::From(new.clone())),
            (None, MasterSource::File(_)) => Ok(NewMaster::InPlace),
            (None, elsewhere) => Err(Failure::usage(format!(
                "{elsewhere}: only a master key in a file can be replaced here: name a new one with --new-master-key SOURCE, or \
                 say --keep-master-key (then older copies of the key store still open what is erased)"
            ))),
        }
    }

    fn erase(&self, client: &mut Client, stream: Option<&str>, new_master: NewMaster) -> Result<Erased, EraseError> {
        match stream {
            None => client.erase_tenant(&self.tenant, new_master),
            Some(stream) => client.erase_stream(&self.tenant, stream, new_master),
        }
    }

    fn subject(&self, stream: Option<&str>) -> String {
        match stream {
            None => format!("tenant {:?}", self.tenant),
            Some(stream) => format!("stream {stream:?} of tenant {:?}", self.tenant),
        }
    }
}

/// What is to be erased, by the log's account.
struct Doomed {
    /// Data keys that the log names, be they destroyed already.
    keys: usize,
    /// The log says that it is erased.
    erased: bool,
    /// Records with positions below this one were written before the tenant had a key.
    clear_below: Option<u64>,
}

impl Doomed {
    /// Looks it up in the log, without an engine.
    fn find(args: &EraseArgs, stream: Option<&str>) -> Result<Doomed, Failure> {
        let names = Names::of_directory(&args.engine.data_dir)?;
        let id = TenantId::of_name(&args.tenant).0;
        let none = |what: String| Failure::failed(format!("{what} in {}", args.engine.data_dir.display()));
        let tenant = names.tenants().find(|tenant| tenant.id == id);
        let tenant = tenant.ok_or_else(|| none(format!("no tenant {:?}", args.tenant)))?;
        let Some(stream) = stream else {
            if tenant.keys == 0 {
                return Err(none(format!(
                    "{} is not encrypted, so no key's destruction erases it,",
                    args.subject(None)
                )));
            }
            let keys = tenant.keys + names.streams(id).map(|stream| stream.keys).sum::<usize>();
            // Its creation is the first record, its key the second, if it was made with one.
            let clear_below = names.sealed_from(id).filter(|&position| position > 1);
            return Ok(Doomed { keys, erased: tenant.encryption == Encryption::Erased, clear_below });
        };
        // The live one, or else the last that was not erased before, as the engine takes them.
        let order = |named: &Named<'_>| (!named.deleted, named.encryption != Encryption::Erased, named.id);
        let named = names.streams(id).filter(|named| named.name == Some(stream)).max_by_key(order);
        match named {
            None => Err(none(format!("no {}", args.subject(Some(stream))))),
            Some(Named { keys: 0, .. }) => Err(Failure::failed(format!(
                "{} has no key of its own (`diatreme ingest --erasable` makes streams with one): erase its tenant",
                args.subject(Some(stream))
            ))),
            Some(Named { keys, encryption, .. }) => {
                Ok(Doomed { keys, erased: encryption == Encryption::Erased, clear_below: None })
            }
        }
    }
}

/// What was done, or would be, for people and programs.
#[derive(Serialize)]
struct Content<'a> {
    command: &'static str,
    tenant: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    /// Whether it was done; otherwise all of this would be so.
    done: bool,
    /// The log said before that it is erased.
    erased_before: bool,
    /// Data keys that were destroyed. None if that was done before.
    keys: usize,
    /// Of before: destroyed | to destroy | kept.
    old_master_key: &'static str,
    /// Where the master key comes from that opens the store now.
    master_key: String,
    destroyed: Vec<String>,
    remains: Vec<String>,
    to_do: Vec<String>,
    #[serde(skip)]
    subject: String,
    #[serde(skip)]
    verify: String,
}

impl<'a> Content<'a> {
    fn new(
        command: &'static str,
        args: &'a EraseArgs,
        stream: Option<&'a str>,
        found: &Doomed,
        keys: usize,
        old_master: &OldMaster,
    ) -> Content<'a> {
        let master = |source: Option<&MasterSource>| source.map(ToString::to_string).unwrap_or_default();
        let old = master(args.engine.keys.master_key.as_ref());
        let new = args.new_master_key.as_ref().map(|new| master(Some(new)));
        let data = args.engine.data_dir.display();
        Content {
            command,
            tenant: &args.tenant,
            stream,
            done: args.yes,
            erased_before: found.erased,
            keys,
            old_master_key: match old_master {
                OldMaster::Destroyed => "destroyed",
                OldMaster::ToDestroy(_) => "to destroy",
                OldMaster::Kept => "kept",
            },
            destroyed: destroyed(keys, old_master, &old, new.as_deref()),
            remains: remains(found, old_master, &old),
            to_do: to_do(old_master, &args.engine.keys.store(&args.engine.data_dir).display().to_string()),
            master_key: new.unwrap_or(old),
            subject: args.subject(stream),
            verify: format!("no record in the log is changed: `diatreme verify --data-dir {data}` passes as before"),
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let Content { subject, done, .. } = self;
        writeln!(out, "{subject} {}", if *done { "is erased" } else { "would be erased" })?;
        let headings = match done {
            true => ["destroyed", "remains", "to do"],
            false => ["would be destroyed", "would remain", "would be left to do"],
        };
        for (heading, lines) in headings.into_iter().zip([&self.destroyed, &self.remains, &self.to_do]) {
            writeln!(out, "{heading}:")?;
            lines.iter().try_for_each(|line| writeln!(out, "  - {line}"))?;
        }
        writeln!(out, "{}", self.verify)
    }
}

fn destroyed(keys: usize, old_master: &OldMaster, old: &str, new: Option<&str>) -> Vec<String> {
    let keys = match keys {
        0 => "no data key: that was done before".into(),
        1 => "1 data key: in the key store, and in memory with the ciphers made from it".into(),
        _ => format!(
            "{}: in the key store, and in memory with the ciphers made from them",
            count(keys as u64, "data key")
        ),
    };
    let master = match (old_master, new) {
        (OldMaster::Destroyed, None) => Some(format!("the old master key in {old}: a new one takes its place")),
        (OldMaster::Destroyed, Some(_)) => Some(format!("the old master key in {old}: overwritten, and removed")),
        _ => None,
    };
    [keys].into_iter().chain(master).collect()
}

fn remains(found: &Doomed, old_master: &OldMaster, old: &str) -> Vec<String> {
    let mut remains = vec![
        "the records as ciphertext, until their segments are removed".to_owned(),
        "names, times, sizes, offsets, positions and chain links, none of which tells of a payload".to_owned(),
        "what clients, other systems and their backups copied out before".to_owned(),
    ];
    if let Some(position) = found.clear_below {
        remains.push(format!(
            "IN THE CLEAR: records with positions below {}, written before the tenant had a key",
            grouped(position)
        ));
    }
    if *old_master == OldMaster::Kept {
        remains
            .push(format!("the master key {old}, with which an older copy of the key store gives the data keys back"));
    }
    remains
}

fn to_do(old_master: &OldMaster, store: &str) -> Vec<String> {
    let mut to_do = Vec::new();
    match old_master {
        OldMaster::Destroyed => {
            to_do.push("destroy other copies of the old master key: backups, other machines, printed ones".to_owned());
        }
        OldMaster::ToDestroy(source) => to_do.push(format!(
            "destroy the old master key wherever {source} has it from: until then older copies of the key store open with it"
        )),
        OldMaster::Kept => {}
    }
    to_do.push(format!("destroy copies of the key store {store} from before"));
    if *old_master != OldMaster::Kept {
        to_do.push("back up the key store and the new master key, apart from each other and from the data".to_owned());
    }
    to_do.push("have whoever copied records out delete them".to_owned());
    to_do
}
