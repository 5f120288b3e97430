//! The commands that rewrite the archive: connects them to a stack or to a data folder.

use std::time::Duration;

use aws_sdk_dynamodb::{Client, types::ReturnValue};
use aws_smithy_types::error::display::DisplayErrorContext;
use futures_util::{StreamExt, TryStreamExt, stream};
use rendezvous_aws::items::{ledger, outcome};
use rendezvous_core::{
    EndpointName, RequestId, Unavailable,
    ports::{Archive, ArchiveFiles, Erase},
};
use rendezvous_folder::{DataFolder, FolderArchive, FolderPayloads};
use rendezvousctl::{
    compact::{self, CompactOptions},
    erase::{EraseOptions, Expires, NoTables, Places, Tables, Who},
    failure::Failure,
    output::Output,
};

use crate::{
    say::agreed,
    stack::Stack,
    target::{System, Target},
};

pub(crate) async fn compact(target: &Target, options: &CompactOptions) -> Result<Output, Failure> {
    match target.open().await? {
        System::Folder(folder) => compact::compact(&FolderArchive::new(&folder), options).await,
        System::Stack(stack) => {
            compact::compact(&stack.archive().map_err(Failure::Failed)?, options).await
        }
    }
}

pub(crate) async fn erase(target: &Target, options: EraseOptions) -> Result<Output, Failure> {
    match target.open().await? {
        System::Folder(folder) => run(&of_folder(&folder), target, options).await,
        System::Stack(stack) => {
            run(&of_stack(&stack).map_err(Failure::Failed)?, target, options).await
        }
    }
}

async fn run<A: Archive + ArchiveFiles + Erase, P: Erase, T: Tables>(
    places: &Places<A, P, T>,
    target: &Target,
    options: EraseOptions,
) -> Result<Output, Failure> {
    let EraseOptions { endpoint, key, request, grace, yes, dry_run, .. } = options;
    let grace = Duration::from_secs(grace);
    let (Some(endpoint), Some(who)) = (endpoint, key.map(Who::Key).or(request.map(Who::Request)))
    else {
        return places.resume(grace).await;
    };
    if !yes {
        let found = places.count(&endpoint, &who).await?;
        let what = format!("{found} requests of {endpoint} in {}", target.name());
        if dry_run {
            let json = serde_json::json!({ "endpoint": endpoint, "requests": found });
            return Ok(Output { text: what, json });
        }
        agreed(&format!("{what}. Erase them for good?"), "erase", "nothing was erased")?;
    }
    places.erase(&endpoint, &who, grace).await
}

/// The archive and the payloads of a data folder.
fn of_folder(folder: &DataFolder) -> Places<FolderArchive, FolderPayloads, NoTables> {
    let streams = Expires {
        what: "streams and outcomes",
        days: None,
        why: "the server has them in memory until it ends, and in log/ until they are archived: some seconds, or at the \
              next start. Start it before the erasure is completed",
    };
    let ledger = Expires {
        what: "ledger",
        days: None,
        why: "the server has mailboxes, with keys and scores, in memory and in log/ until some 4,096 newer requests have \
              replaced them and a segment of 8 MB is full and deleted; or delete log/ when it has ended",
    };
    let windows = Expires { what: "windows", days: None, why: WINDOWS };
    Places {
        archive: FolderArchive::new(folder),
        failures: None,
        payloads: FolderPayloads::new(folder, Duration::ZERO),
        tables: NoTables,
        retention: CHANGES,
        expires: vec![streams, ledger, windows],
    }
}

/// For how long a table's change stream, and a local system's streams at least, keep a record.
const CHANGES: Duration = Duration::from_hours(24);

const WINDOWS: &str = "they hold frequent texts of payloads, without keys and ids";

fn of_stack(
    stack: &Stack,
) -> Result<Places<rendezvous_aws::S3Archive, rendezvous_aws::S3Archive, StackTables>, String> {
    let number = |name: &str, default| {
        stack.parameter(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let hours: u32 = number("StreamRetentionHours", 24);
    let expires = |what, days, why| Expires { what, days: Some(days), why };
    let tables = StackTables {
        client: Client::new(stack.config()),
        ledger: stack.output("LedgerTable")?.to_owned(),
        outcomes: stack.output("OutcomesTable")?.to_owned(),
    };
    Ok(Places {
        archive: stack.archive()?,
        failures: Some(stack.bucket("FailureBucket")?),
        payloads: stack.bucket("PayloadBucket")?,
        tables,
        retention: CHANGES.max(Duration::from_secs(u64::from(hours) * 3_600)),
        expires: vec![
            expires(
                "streams input and scores",
                hours.div_ceil(24),
                "Kinesis deletes no single record",
            ),
            expires(
                "change streams of ledger and outcomes",
                1,
                "DynamoDB deletes no single change",
            ),
            expires(
                "backups of ledger and outcomes",
                35,
                "point-in-time recovery; backups of your own are yours to delete",
            ),
            expires(
                "results of queries in Athena",
                30,
                "their bucket deletes them after ResultsDays of infra/analytics.yaml; what was copied elsewhere is yours to delete",
            ),
            expires("windows of minutes", number("WindowDays", 35), WINDOWS),
            Expires { what: "windows of days", days: None, why: WINDOWS },
            expires(
                "logs",
                number("LogDays", 30),
                "they hold ids of requests, without keys and payloads",
            ),
        ],
    })
}

/// The tables of a stack.
struct StackTables {
    client: Client,
    ledger: String,
    outcomes: String,
}

/// How many items are deleted at a time.
const AT_A_TIME: usize = 16;

impl Tables for StackTables {
    async fn delete(
        &self,
        endpoint: &EndpointName,
        requests: &[RequestId],
    ) -> Result<u64, Unavailable> {
        let keys = requests.iter().flat_map(|id| {
            let (mailbox, reported) = (ledger::key(*id), outcome::key(*id, endpoint));
            [(&self.ledger, mailbox), (&self.outcomes, reported)]
        });
        let deletions = keys.map(|(table, key)| async move {
            let delete = self.client.delete_item().table_name(table).set_key(Some(key.into()));
            let deleted = delete.return_values(ReturnValue::AllOld).send().await;
            let failed =
                |error| Unavailable::down("tables", DisplayErrorContext(error).to_string());
            Ok(u64::from(deleted.map_err(failed)?.attributes.is_some()))
        });
        let deleted = stream::iter(deletions).buffer_unordered(AT_A_TIME);
        deleted.try_fold(0, |sum, one| async move { Ok(sum + one) }).await
    }
}
