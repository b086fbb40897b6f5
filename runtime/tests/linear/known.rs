//! The checker's own histories: their files, and models of what they were made with. `known/README.md` says where they are from.

use porcupine_rs::{Model, Operation};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

fn lines(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/linear/known").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn operation<M: Model>(client: u32, call: usize, back: Option<usize>, op: M::Op) -> Operation<M> {
    let return_time = back.map_or(i64::MAX, |line| line as i64);
    Operation { client_id: Some(client), call_time: call as i64, return_time, op, metadata: None }
}

/// Strings under keys.
#[derive(Clone, Debug)]
pub struct Strings;

#[derive(Clone, Debug)]
pub enum StringsOp {
    Get(String),
    Put(String),
    Append(String),
}

impl Model for Strings {
    type State = String;
    type Op = (String, StringsOp);
    type Metadata = ();

    fn partition_operations(history: &[Operation<Self>]) -> Vec<Vec<Operation<Self>>> {
        let mut parts: BTreeMap<&str, Vec<Operation<Self>>> = BTreeMap::new();
        for op in history {
            parts.entry(&op.op.0).or_default().push(op.clone());
        }
        parts.into_values().collect()
    }

    fn init() -> String {
        String::new()
    }

    fn step(state: &String, (_, op): &(String, StringsOp)) -> (bool, String) {
        match op {
            StringsOp::Get(value) => (value == state, state.clone()),
            StringsOp::Put(value) => (true, value.clone()),
            StringsOp::Append(value) => (true, format!("{state}{value}")),
        }
    }
}

/// Lines as `{:process 0, :type :ok, :f :append, :key "3", :value "x 0 2 y"}`; every call in these files is answered.
pub fn strings(name: &str) -> Vec<Operation<Strings>> {
    let text = lines(name);
    let mut called: HashMap<u32, usize> = HashMap::new();
    let mut history = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let fields: HashMap<&str, &str> =
            line.trim_matches(['{', '}']).split(", ").map(|field| field.split_once(' ').unwrap()).collect();
        let client: u32 = fields[":process"].parse().unwrap();
        if fields[":type"] == ":invoke" {
            called.insert(client, at);
            continue;
        }
        let [key, value] = [":key", ":value"].map(|field| fields[field].trim_matches('"').to_owned());
        let op = match fields[":f"] {
            ":get" => StringsOp::Get(value),
            ":put" => StringsOp::Put(value),
            ":append" => StringsOp::Append(value),
            other => panic!("{name}: {other}"),
        };
        history.push(operation(client, called.remove(&client).unwrap(), Some(at), (key, op)));
    }
    assert!(called.is_empty() && !history.is_empty(), "{name}");
    history
}

/// One register.
#[derive(Clone, Debug)]
pub struct Register;

#[derive(Clone, Debug)]
pub enum RegisterOp {
    Read(Option<u32>),
    Write(u32),
    /// Compare and set; whether it was set, if that was answered.
    Cas {
        from: u32,
        to: u32,
        set: Option<bool>,
    },
}

impl Model for Register {
    type State = Option<u32>;
    type Op = RegisterOp;
    type Metadata = ();

    fn init() -> Option<u32> {
        None
    }

    fn step(state: &Option<u32>, op: &RegisterOp) -> (bool, Option<u32>) {
        match *op {
            RegisterOp::Read(value) => (value == *state, *state),
            RegisterOp::Write(value) => (true, Some(value)),
            RegisterOp::Cas { from, to, set } => {
                let sets = *state == Some(from);
                (set.is_none_or(|set| set == sets), if sets { Some(to) } else { *state })
            }
        }
    }
}

/// Lines as `INFO  jepsen.util - 4 :ok :cas [1 2]`. What timed out is pending for ever: it may take effect at any time, or at the end
/// of all, where nobody sees it. A read that timed out is no part of the history.
pub fn register(name: &str) -> Vec<Operation<Register>> {
    let text = lines(name);
    let mut called: HashMap<u32, (usize, RegisterOp)> = HashMap::new();
    let mut history = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split([' ', '\t', '[', ']']).filter(|word| !word.is_empty()).collect();
        let ["INFO", "jepsen.util", "-", client, kind, function, ref values @ ..] = words[..] else { continue };
        let client: u32 = client.parse().unwrap();
        let number = |at: usize| values[at].parse::<u32>().ok();
        match (kind, function) {
            (":invoke", ":read") => drop(called.insert(client, (at, RegisterOp::Read(None)))),
            (":invoke", ":write") => drop(called.insert(client, (at, RegisterOp::Write(number(0).unwrap())))),
            (":invoke", ":cas") => {
                let (from, to) = (number(0).unwrap(), number(1).unwrap());
                called.insert(client, (at, RegisterOp::Cas { from, to, set: None }));
            }
            (":info", _) | (":fail", ":read") => {}
            (":ok" | ":fail", _) => {
                let (call, op) = called.remove(&client).unwrap();
                let op = match op {
                    RegisterOp::Read(_) => RegisterOp::Read(number(0)),
                    RegisterOp::Cas { from, to, .. } => RegisterOp::Cas { from, to, set: Some(kind == ":ok") },
                    write @ RegisterOp::Write(_) => write,
                };
                history.push(operation(client, call, Some(at), op));
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    let pending = called.into_iter().filter(|(_, (_, op))| !matches!(op, RegisterOp::Read(_)));
    history.extend(pending.map(|(client, (call, op))| operation(client, call, None, op)));
    history
}
