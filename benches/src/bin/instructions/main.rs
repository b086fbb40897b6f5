//! Counts instructions of the hot paths under valgrind, and compares them with the committed baseline.
//!
//! A clock on a shared machine cannot tell five percent from noise; instructions of the same build and inputs are the same at
//! every run. They are not time: what waits for memory or for the hash's latency does not show here. `ci/bench-gate`
//! builds this and runs it.
//!
//! `instructions` compares, `instructions --update` writes the baseline, `instructions --list` names the workloads, and
//! `instructions WORKLOAD` runs one, which is what valgrind is given. Exit codes: 0 within bounds, 1 beyond them or not to be
//! counted, 2 called wrongly.
#![forbid(unsafe_code)]

mod baseline;
mod callgrind;
mod workloads;

use baseline::{Baseline, Change, RISE_MAX};
use callgrind::Counts;
use std::path::Path;
use std::process::{Command, ExitCode};
use workloads::{WORKLOADS, Workload};

/// Beside this package's manifest, wherever it is called from.
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.baseline");

/// The C library copies and fills long stretches with `rep movsb` and `rep stosb`, of which valgrind counts each byte; so they
/// are ruled out, and the vector loops are counted.
const TUNABLES: &str = "glibc.cpu.x86_rep_movsb_threshold=0x7fffffff:glibc.cpu.x86_rep_stosb_threshold=0x7fffffff";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match arguments[..] {
        [] => compare(),
        ["--update"] => update(),
        ["--list"] => {
            WORKLOADS.iter().for_each(|workload| println!("{:<20} {}", workload.name, workload.operation));
            Ok(true)
        }
        [name] if let Some(workload) = WORKLOADS.iter().find(|workload| workload.name == name) => {
            println!("operations {}\nprocessor {}", (workload.run)(), processor());
            Ok(true)
        }
        _ => {
            eprintln!("instructions: {arguments:?}: expected nothing, --update, --list, or a workload that it names");
            return ExitCode::from(2);
        }
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints how a run compares with the baseline; says whether it is within bounds.
fn compare() -> Result<bool, String> {
    let text = std::fs::read_to_string(BASELINE).map_err(|error| format!("{BASELINE}: {error}; make it: --update"))?;
    let committed = Baseline::parse(&text).map_err(|error| format!("{BASELINE}: {error}"))?;
    let (now, hashing) = count_all()?;
    for (name, version) in &now.tools {
        let before = committed.tools.get(name).map_or("none", String::as_str);
        if before != version {
            println!("note: the baseline is of {name} {before:?}, this run of {version:?}: counts may differ for that");
        }
    }
    println!("{:<20} {:>11} {:>11} {:>8}  {:>8}  operation", "workload", "baseline", "now", "change", "(hash*)");
    let (mut rises, mut falls) = (0, 0);
    for (workload, hashing) in WORKLOADS.iter().zip(hashing) {
        let count = now.counts.get(workload.name).copied().unwrap_or_default();
        let before = committed.counts.get(workload.name).map_or("-".into(), |before| format!("{before:.2}"));
        let (change, verdict) = match committed.change(workload.name, count) {
            Change::Small(percent) => (format!("{percent:+.2} %"), ""),
            Change::Rise(percent) => (format!("{percent:+.2} %"), "  TOO MANY"),
            Change::Fall(percent) => (format!("{percent:+.2} %"), "  fewer"),
            Change::New => ("-".into(), "  NOT IN THE BASELINE"),
        };
        rises += usize::from(matches!(committed.change(workload.name, count), Change::Rise(_) | Change::New));
        falls += usize::from(matches!(committed.change(workload.name, count), Change::Fall(_)));
        let Workload { name, operation, .. } = workload;
        println!("{name:<20} {before:>11} {count:>11.2} {change:>8}  {hashing:>8.0}  {operation}{verdict}");
    }
    println!("(* not compared: the portable hash, in place of the SHA instructions that valgrind does not know)");
    let gone: Vec<&String> = committed.counts.keys().filter(|name| !now.counts.contains_key(*name)).collect();
    if !gone.is_empty() {
        println!("of the baseline, but not counted any more: {gone:?}");
    }
    if falls > 0 {
        println!(
            "{falls} workloads take at least {RISE_MAX} % fewer: `ci/bench-gate --update` holds later changes to it"
        );
    }
    if rises + gone.len() > 0 {
        println!(
            "FAILED: more than {RISE_MAX} % over the baseline, or not as it lists them; if it is meant to be so, say why"
        );
        println!("in the commit that brings it, with the baseline that `ci/bench-gate --update` writes");
    }
    Ok(rises + gone.len() == 0)
}

fn update() -> Result<bool, String> {
    let (now, _) = count_all()?;
    std::fs::write(BASELINE, now.to_text()).map_err(|error| format!("{BASELINE}: {error}"))?;
    println!("{} workloads written to {BASELINE}", now.counts.len());
    Ok(true)
}

/// Instructions an operation of every workload, and beside it those of hashing.
fn count_all() -> Result<(Baseline, Vec<f64>), String> {
    let own_path = std::env::current_exe().map_err(|error| format!("this program's own path: {error}"))?;
    let directory = tempfile::tempdir().map_err(|error| format!("a directory for profiles: {error}"))?;
    let mut now = Baseline::default();
    for (name, command) in [
        ("valgrind", &["valgrind", "--version"]),
        ("rustc", &["rustc", "--version"]),
        ("libc", &["getconf", "GNU_LIBC_VERSION"]),
    ] {
        // Only to be compared: a system without one of them is no reason not to count.
        let version = output(Command::new(command[0]).arg(command[1])).unwrap_or_else(|_| "unknown".to_owned());
        now.tools.insert(name.into(), version.trim().into());
    }
    let mut hashing = Vec::with_capacity(WORKLOADS.len());
    for workload in WORKLOADS {
        let profile = directory.path().join(workload.name);
        let Counted { counts, operations, processor } = count(&own_path, workload.name, &profile)?;
        now.tools.insert("processor".into(), processor);
        now.counts.insert(workload.name.into(), counts.own as f64 / operations);
        hashing.push(counts.hashing as f64 / operations);
    }
    Ok((now, hashing))
}

struct Counted {
    counts: Counts,
    operations: f64,
    processor: String,
}

/// Runs one workload under callgrind.
fn count(own_path: &Path, name: &str, profile: &Path) -> Result<Counted, String> {
    let said = output(
        Command::new("valgrind")
            .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*::workloads::counted"])
            .args(["--compress-strings=no", "--compress-pos=no", "--quiet"])
            .arg(format!("--callgrind-out-file={}", profile.display()))
            .arg(own_path)
            .arg(name)
            .env("GLIBC_TUNABLES", TUNABLES),
    )?;
    let field = |key| said.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let operations = field("operations ").and_then(|number| number.parse().ok());
    let (Some(operations), Some(processor)) = (operations, field("processor ")) else {
        return Err(format!("{name} under valgrind said neither operations nor processor, but {said:?}"));
    };
    let text = std::fs::read_to_string(profile).map_err(|error| format!("{}: {error}", profile.display()))?;
    let counts = callgrind::sum(&text).map_err(|error| format!("the profile of {name}: {error}"))?;
    if counts.own == 0 {
        return Err(format!(
            "the profile of {name} is empty: valgrind saw no call of the function that it was to count"
        ));
    }
    Ok(Counted { counts, operations, processor: processor.into() })
}

/// What a command prints, if it succeeds.
fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("what {program} printed: {error}"))
}

/// What this process, under valgrind or not, may use beyond the target's minimum: it decides which copies and checksums are
/// counted.
fn processor() -> String {
    #[cfg(target_arch = "x86_64")]
    let features = [
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
        ("pclmulqdq", is_x86_feature_detected!("pclmulqdq")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("sha", is_x86_feature_detected!("sha")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let features: [(&str, bool); 0] = [];
    let there = features.iter().filter(|(_, there)| *there).map(|(name, _)| *name);
    std::iter::once(std::env::consts::ARCH).chain(there).collect::<Vec<_>>().join(" ")
}
