//! The certificate: what was erased, and what expires later.

use std::fmt::Write;

use rendezvous_core::{
    Timestamp,
    ports::{Archive, ArchiveFiles, Erase},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Places, Tables, journal::Journal};
use crate::{
    failure::Failure,
    output::{Output, instant},
};

/// The folder of the certificates of erasures that have ended.
const FOLDER: &str = "certificates/";

/// What cannot be deleted, because the service that keeps it has no such call, or because it names nobody.
#[derive(Clone, Debug, Serialize)]
pub struct Expires {
    pub what: &'static str,
    /// How many days after the erasure has begun it is gone at the latest; none where somebody must end it.
    pub days: Option<u32>,
    pub why: &'static str,
}

const DAY_US: i64 = 86_400_000_000;

impl Expires {
    /// When it is gone.
    fn when(&self, begun: Timestamp) -> Option<Timestamp> {
        let days = i64::from(self.days?);
        Some(Timestamp::from_micros(begun.as_micros().saturating_add(days * DAY_US)))
    }
}

impl<A: Archive + ArchiveFiles + Erase, P: Erase, T: Tables> Places<A, P, T> {
    /// The certificate, for people and as JSON. It names neither the key nor the requests.
    pub(super) fn certificate(&self, journal: &Journal, is_complete: bool) -> Output {
        let Journal { name, begun, requests, rewritten, unclear, swept, items, payloads, .. } =
            journal;
        let expires: Vec<Value> = self
            .expires
            .iter()
            .map(|each| {
                json!({ "what": each.what, "until_us": each.when(begun.at_us), "why": each.why })
            })
            .collect();
        let due = self.due(journal);
        let json = json!({
            "erasure": name,
            "endpoint": begun.endpoint,
            "by": if begun.key.is_some() { "key" } else { "request" },
            "begun_us": begun.at_us,
            "swept_us": swept,
            "complete": is_complete,
            "due_us": (!is_complete).then_some(due),
            "requests": requests.len(),
            "files": rewritten,
            "items": items,
            "payloads": payloads,
            "unclear": unclear,
            "expires": expires,
        });
        Output { text: self.text(journal, is_complete), json }
    }

    fn text(&self, journal: &Journal, is_complete: bool) -> String {
        let Journal { name, begun, requests, rewritten, unclear, items, payloads, .. } = journal;
        let mut text = String::new();
        // Writing to a string cannot fail.
        let mut line = |line: String| _ = writeln!(text, "{line}");
        let by = if begun.key.is_some() { "a key" } else { "one request" };
        line(format!("Erasure {name} of {by} of {}", begun.endpoint));
        line(format!("begun {}", instant(begun.at_us)));
        line(String::new());
        let deleted = rewritten.values().filter(|file| file.new.is_none()).count();
        let erased: u64 = rewritten.values().map(|file| file.erased).sum();
        line(format!("{:>10} requests", requests.len()));
        line(format!("{erased:>10} rows and records erased from files"));
        line(format!("{:>10} files rewritten", rewritten.len() - deleted));
        line(format!("{deleted:>10} files deleted, of which nothing was left"));
        line(format!("{items:>10} items of ledger and outcomes deleted"));
        line(format!("{payloads:>10} stored payloads deleted"));
        if !unclear.is_empty() {
            line(
                "\nFiles that cannot be read and may hold records of it. Look at each:".to_owned(),
            );
            for file in unclear {
                line(format!("  {file}"));
            }
        }
        line("\nWhat expires later:".to_owned());
        for each in &self.expires {
            let when = each.when(begun.at_us).map_or_else(|| "not by itself".to_owned(), instant);
            line(format!("  {when:<23}  {}: {}", each.what, each.why));
        }
        line(if is_complete {
            "\nThe erasure is complete.".to_owned()
        } else {
            format!(
                "\nTo complete it, run `rendezvousctl erase --continue` after {}: until then the streams can deliver \
                 records again.",
                instant(self.due(journal))
            )
        });
        text
    }

    /// Keeps the certificate of an erasure that ends.
    pub(super) async fn keep(&self, journal: &Journal, certificate: &Value) -> Result<(), Failure> {
        let day = instant(journal.begun.at_us);
        let day = day.split(' ').next().unwrap_or_default();
        let file = format!("{FOLDER}{day}-{}.json", journal.name);
        self.archive.put(&file, certificate.to_string().into()).await?;
        Ok(())
    }
}
