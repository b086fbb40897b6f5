//! Diatreme in another program: open, append, read back, close.
//!
//! `cargo run --example embed [DIRECTORY]`

use diatreme::Engine;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args_os().nth(1).unwrap_or_else(|| "diatreme-data".into());
    embed(directory.as_ref())
}

pub(crate) fn embed(directory: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::builder(directory).unencrypted().shards(1).open()?;
    let mut client = engine.client();
    let stream = client.ensure_stream("acme", "audit")?;
    let appended = client.append(&stream, b"user 7 logged in")?;
    println!("offset {}, level {}", appended.first, appended.level);
    let mut next = 0;
    while next <= appended.first {
        for record in client.read(&stream, next, 100)? {
            println!("{}: {}", record.offset, String::from_utf8_lossy(&record.payload));
            next = record.offset + 1;
        }
    }
    drop(client);
    engine.close()?;
    Ok(())
}
