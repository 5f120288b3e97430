//! The command `redrive`: brings batches that a function could not handle back to it.

use std::fmt::Write;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    failure::Failure,
    output::{Output, table},
};

#[derive(Args, Clone, Debug, Default)]
pub struct RedriveOptions {
    /// Only the batches of this function: decoy, rendezvous, monitor, a model, or the name of a function.
    pub function: Option<String>,
    /// List the batches, and bring none back.
    #[arg(long)]
    pub dry_run: bool,
}

/// Where batches are kept that a function could not handle until its retries ended, each an object.
pub trait Failures {
    /// The names of the objects, in the order in which they were stored.
    fn list(&self) -> impl Future<Output = Result<Vec<String>, Failure>>;

    /// The content of an object; none where it is not there any more.
    fn read(&self, name: &str) -> impl Future<Output = Result<Option<String>, Failure>>;

    /// Hands a batch to its function, whole, as Lambda does; returns what became of it.
    fn invoke(&self, function: &str, event: &str)
    -> impl Future<Output = Result<Handled, Failure>>;

    /// Moves an object to those that were brought back.
    fn set_aside(&self, name: &str) -> impl Future<Output = Result<(), Failure>>;

    /// What the names of this system's functions begin with.
    fn prefix(&self) -> &str;
}

/// What became of a batch that was handed to its function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handled {
    /// All of it was handled.
    All,
    /// The function failed, or some of it is to come again.
    Failed(String),
    /// There is nothing to hand it to, or nothing to gain.
    Left(String),
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Batch {
    function: String,
    condition: String,
    /// The event, as JSON.
    event: String,
    records: usize,
}

/// An object as Lambda writes it, or the local system.
#[derive(Deserialize)]
struct Object<'a> {
    #[serde(rename = "requestContext")]
    context: Option<Context>,
    function: Option<String>,
    condition: Option<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    function_arn: String,
    condition: String,
}

impl Batch {
    fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Event<'a> {
            #[serde(rename = "Records", borrow)]
            records: Vec<&'a RawValue>,
        }
        let object: Object<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let (function, condition) = match (object.context, object.function) {
            // "arn:aws:lambda:REGION:ACCOUNT:function:NAME", with or without ":VERSION".
            (Some(context), _) => {
                let name = context.function_arn.split(':').nth(6).map(str::to_owned);
                (name.ok_or("it names no function")?, context.condition)
            }
            (None, Some(function)) => (function, object.condition.unwrap_or_default()),
            (None, None) => return Err("it names no function".to_owned()),
        };
        let payload = object.payload.ok_or("it has no payload, so that the batch is not in it")?;
        // Lambda writes the event as a text.
        let event = match serde_json::from_str::<String>(payload.get()) {
            Ok(event) => event,
            Err(_) => payload.get().to_owned(),
        };
        let Event { records } =
            serde_json::from_str(&event).map_err(|error| format!("its payload: {error}"))?;
        let records = records.len();
        Ok(Self { function, condition, event, records })
    }

    fn is_of(&self, wanted: &str, prefix: &str) -> bool {
        let short = self.function.strip_prefix(prefix).unwrap_or(&self.function);
        [&self.function, short].contains(&wanted) || short == wanted.replace('@', "-")
    }
}

/// A batch, and what became of it.
#[derive(Clone, Debug, Serialize)]
struct Redriven {
    object: String,
    function: String,
    records: usize,
    /// Why it was given up: `RetryAttemptsExhausted` or `RecordAgeExceeded`.
    condition: String,
    /// `kept`, `handled`, `failed` or `left`.
    result: &'static str,
    /// Why it failed or was left.
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
}

/// What was found and done.
#[derive(Clone, Debug, Serialize)]
struct Report {
    batches: Vec<Redriven>,
}

/// Hands every batch that is kept to its function and sets those aside that it handles. Returns also
/// whether none failed again.
///
/// A run that ends between the two hands a batch over again, which the functions are made for: they are
/// invoked twice with a batch at other times, too.
pub async fn redrive(
    failures: &impl Failures,
    options: &RedriveOptions,
) -> Result<(Output, bool), Failure> {
    let mut batches = Vec::new();
    for object in failures.list().await? {
        let Some(text) = failures.read(&object).await? else { continue };
        let batch = match Batch::parse(&text) {
            Ok(batch) => batch,
            Err(why) => {
                // Whose it is cannot be told.
                let (function, condition) = <_>::default();
                let result = "left";
                batches.push(Redriven { object, function, records: 0, condition, result, why });
                continue;
            }
        };
        let wanted = options.function.as_deref();
        if wanted.is_some_and(|wanted| !batch.is_of(wanted, failures.prefix())) {
            continue;
        }
        let (result, why) = if options.dry_run {
            ("kept", String::new())
        } else {
            match failures.invoke(&batch.function, &batch.event).await? {
                Handled::All => {
                    failures.set_aside(&object).await?;
                    ("handled", String::new())
                }
                Handled::Failed(why) => ("failed", why),
                Handled::Left(why) => ("left", why),
            }
        };
        let Batch { function, condition, records, .. } = batch;
        batches.push(Redriven { object, function, records, condition, result, why });
    }
    let all_well = batches.iter().all(|batch| batch.result != "failed");
    Ok((Output::of(&Report { batches }, text)?, all_well))
}

fn text(Report { batches }: &Report) -> String {
    if batches.is_empty() {
        return "no batch is kept".to_owned();
    }
    let head = ["function", "records", "given up", "result", "object"].map(str::to_owned).to_vec();
    let mut lines = vec![head];
    lines.extend(batches.iter().map(|batch| {
        let Redriven { object, function, records, condition, result, .. } = batch;
        let records = records.to_string();
        vec![function.clone(), records, condition.clone(), (*result).to_owned(), object.clone()]
    }));
    let mut text = table(&lines, &[1]);
    for Redriven { object, why, .. } in batches.iter().filter(|batch| !batch.why.is_empty()) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{object}:\n  {why}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const LAMBDA: &str = r#"{"requestContext":{"requestId":"r","functionArn":"arn:aws:lambda:eu-west-1:1:function:s-gbt-2:live","condition":"RetryAttemptsExhausted","approximateInvokeCount":6},"version":"1.0","KinesisBatchInfo":{"shardId":"x"},"payload":"{\"Records\":[{\"a\":\"\\u00e4\"},{}]}"}"#;
    const LOCAL: &str = r#"{"approximate_invoke_count":6,"condition":"RecordAgeExceeded","function":"decoy","payload":{"Records":[{"a": 1.0}]}}"#;

    #[test]
    fn the_event_is_read_byte_for_byte_from_an_object_of_lambda_and_of_the_local_system() {
        let lambda = Batch::parse(LAMBDA).unwrap();
        assert_eq!((lambda.function.as_str(), lambda.records), ("s-gbt-2", 2));
        assert_eq!(lambda.event, r#"{"Records":[{"a":"\u00e4"},{}]}"#);
        for name in ["s-gbt-2", "gbt-2", "gbt@2"] {
            assert!(lambda.is_of(name, "s-"), "{name}");
        }
        assert!(!lambda.is_of("gbt@1", "s-") && !lambda.is_of("2", "s-"));
        let local = Batch::parse(LOCAL).unwrap();
        assert_eq!((local.event.as_str(), local.records), (r#"{"Records":[{"a": 1.0}]}"#, 1));
        // An object of before payloads were in it.
        let old = LAMBDA.split_once(",\"payload\"").unwrap().0.to_owned() + "}";
        assert!(Batch::parse(&old).unwrap_err().contains("no payload"));
        assert!(Batch::parse("{}").unwrap_err().contains("no function"));
    }

    /// Objects in memory, of which a function handles those of the decoy.
    struct Memory {
        kept: RefCell<Vec<(String, String)>>,
        invoked: RefCell<Vec<String>>,
    }

    impl Failures for Memory {
        async fn list(&self) -> Result<Vec<String>, Failure> {
            Ok(self.kept.borrow().iter().map(|(name, _)| name.clone()).collect())
        }

        async fn read(&self, name: &str) -> Result<Option<String>, Failure> {
            let kept = self.kept.borrow();
            Ok(kept.iter().find(|(kept, _)| kept == name).map(|(_, text)| text.clone()))
        }

        async fn invoke(&self, function: &str, event: &str) -> Result<Handled, Failure> {
            self.invoked.borrow_mut().push(event.to_owned());
            Ok(match function {
                "decoy" => Handled::All,
                _ => Handled::Failed("on purpose".to_owned()),
            })
        }

        async fn set_aside(&self, name: &str) -> Result<(), Failure> {
            self.kept.borrow_mut().retain(|(kept, _)| kept != name);
            Ok(())
        }

        fn prefix(&self) -> &'static str {
            "s-"
        }
    }

    #[tokio::test]
    async fn what_is_handled_is_brought_back_once_and_what_fails_again_stays() {
        let objects = [("1", LOCAL), ("2", LAMBDA), ("3", "garbage")];
        let objects = objects.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let memory = Memory { kept: RefCell::new(objects.into()), invoked: RefCell::default() };
        let names = || memory.kept.borrow().iter().map(|(n, _)| n.clone()).collect::<Vec<_>>();
        let run = async |function: Option<&str>, dry_run| {
            let options = RedriveOptions { function: function.map(str::to_owned), dry_run };
            let (output, well) = redrive(&memory, &options).await.unwrap();
            let results = output.json["batches"].as_array().unwrap().iter();
            (results.map(|b| b["result"].as_str().unwrap().to_owned()).collect::<Vec<_>>(), well)
        };
        let of = |results: &[&str], well| {
            (results.iter().map(|result| (*result).to_owned()).collect::<Vec<_>>(), well)
        };
        assert_eq!(run(None, true).await, of(&["kept", "kept", "left"], true));
        assert!(memory.invoked.borrow().is_empty());
        assert_eq!(run(Some("decoy"), false).await, of(&["handled", "left"], true));
        assert_eq!(names(), ["2", "3"]);
        assert_eq!(run(None, false).await, of(&["failed", "left"], false));
        assert_eq!(names(), ["2", "3"]);
        assert_eq!(memory.invoked.borrow().len(), 2);
    }
}
