//! Where a benchmark's figures go: a table, and the files that were asked for, each opened before the work begins.

use super::document::Document;
use super::files::{self, Recorded};
use super::{page, table};
use crate::failure::Failure;
use crate::output;
use crate::report::Report;
use clap::Args as ClapArgs;
use std::path::PathBuf;

/// The files that any benchmark can write.
#[derive(ClapArgs, Clone, Debug)]
pub(crate) struct OutputArgs {
    /// Write everything that was found as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Draw it as a page with charts, in one file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Files that are open and wait for their content.
pub(crate) struct Outputs {
    json: Option<Report>,
    html: Option<Report>,
    ecdf: Option<Report>,
}

impl Outputs {
    pub(crate) fn open(args: &OutputArgs) -> Result<Outputs, Failure> {
        let json = Report::open(args.json.as_deref())?;
        Ok(Outputs { json, html: Report::open(args.html.as_deref())?, ecdf: None })
    }

    pub(crate) fn with_ecdf(self, ecdf: Option<Report>) -> Outputs {
        Outputs { ecdf, ..self }
    }

    /// Writes the files, then the table for whoever looks on.
    pub(crate) fn write(self, document: &Document, recorded: &[Recorded]) -> Result<(), Failure> {
        let Outputs { json, html, ecdf } = self;
        let written = [
            json.map_or(Ok(()), |json| json.write(document)),
            html.map_or(Ok(()), |html| html.write_text(&page::render(document))),
            ecdf.map_or(Ok(()), |ecdf| ecdf.write_text(&files::ecdf_csv(recorded))),
            output::print(|out| std::io::Write::write_all(out, table::table(document).as_bytes())),
        ];
        Failure::join(written)
    }
}
