//! Deploys the system by its template and talks to it: installs the tools, starts an emulator of
//! AWS unless `AWS_ENDPOINT_URL` names one, builds, and deploys.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "this is test code")]

mod client;
mod console;
mod endpoint;
mod storage;

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use rendezvous_aws::{Aws, Environment, S3Archive};
use rendezvous_tests::tools::{Python, root, run};
use serde_json::Value;

use crate::endpoint::Endpoint;

pub use client::{Client, Reply};
pub use console::Console;

/// Checks the templates by the rules of cfn-lint, and the first also by SAM's. Panics with the
/// messages if there are any.
pub fn lint(templates: &[&str]) {
    let sam = sam();
    run(sam.command("cfn-lint").current_dir(root()).args(templates));
    let validate = ["validate", "--lint", "--template", templates[0], "--region", REGION];
    run(sam.command("sam").current_dir(root()).args(validate).env("SAM_CLI_TELEMETRY", "0"));
}

/// A template, with the short forms (`!Ref`, `!Sub`, …) written as functions.
pub fn template(file: &str) -> Value {
    templates(&["parse", file])
}

/// By file and logical id, what an update must leave as it is, because a change replaces the
/// resource.
pub fn immutable(files: &[&str]) -> Value {
    templates(&[&["immutable"], files].concat())
}

fn templates(arguments: &[&str]) -> Value {
    let script = "tests/aws/python/templates.py";
    let printed = run(sam().command("python").current_dir(root()).arg(script).args(arguments));
    serde_json::from_str(&printed).unwrap()
}

/// The SAM CLI, cfn-lint and boto3.
fn sam() -> Python {
    Python::new("python-sam", "tests/aws/python/sam.txt")
}

/// A flight that really took place.
pub struct Flight {
    pub payload: String,
    /// Whether it arrived late.
    pub late: bool,
}

/// The flights of the sample, in the order of their departure.
pub fn flights() -> Vec<Flight> {
    let sample = fs::File::open(root().join("functions/models/flights/sample.ndjson.zst")).unwrap();
    let text = String::from_utf8(zstd::decode_all(sample).unwrap()).unwrap();
    let flight = |line: &str| {
        let (head, payload) = line.split_once("\"payload\":").unwrap();
        let payload = payload.strip_suffix('}').unwrap().to_owned();
        Flight { payload, late: head.contains("\"late\":true") }
    };
    text.lines().map(flight).collect()
}

/// A deployed stack. Dropping it ends the emulator that was started for it, or deletes the stack on
/// another one.
pub struct Stack {
    pub name: String,
    pub outputs: HashMap<String, String>,
    endpoint: Endpoint,
    sam: Python,
}

impl Stack {
    /// Builds and deploys the template of this repository.
    pub async fn deploy() -> Self {
        let sam = sam();
        let endpoint = Endpoint::find().await;
        build_binaries();
        let name = format!("rendezvous-{}", std::process::id());
        let built = root().join("target/sam");
        println!("sam build");
        run(sam
            .command("sam")
            .current_dir(root())
            .arg("build")
            .arg("--build-dir")
            .arg(&built)
            // `build_binaries` has built the binaries already.
            .envs([("CARGO_BUILD", "true"), ("BUILT", &binary("%").to_string_lossy())])
            .env("INSTALL", "install -s")
            .env("SAM_CLI_TELEMETRY", "0"));
        allow_slow_calls(&built);
        println!("sam deploy");
        // From here on, a panic drops the stack, which deletes it.
        let mut stack = Self { name, outputs: HashMap::new(), endpoint, sam };
        run(aws(&mut stack.sam.command("sam"), &stack.endpoint.url)
            .current_dir(&built)
            .args(["deploy", "--template-file", "template.yaml", "--config-file"])
            .arg(root().join("samconfig.toml"))
            .args(["--stack-name", &stack.name, "--region", REGION, "--no-progressbar"])
            // The emulator has no enhanced fan-out, no alarms on metric math, and no queries of Athena.
            .args([
                "--parameter-overrides",
                "Authorization=NONE",
                "FanOut=standard",
                "Analytics=no",
            ])
            .args([
                "Observability=no",
                "ArchiveWindowSeconds=0",
                "Tracing=PassThrough",
                "Replay=yes",
            ])
            // On a busy machine the last read and write before a deadline take longer.
            .arg(format!("AnswerMarginMs={MARGIN_MS}"))
            .env("SAM_CLI_TELEMETRY", "0"));
        let outputs = stack.aws(&["outputs", &stack.name]);
        stack.outputs = serde_json::from_value(outputs).unwrap();
        stack
    }

    /// Deploys a model of the flights once more, in a stack of its own on the streams of replays; returns its name.
    /// `built` is the folder of the nested stack.
    pub fn deploy_replay(&self, built: &str, model: &str, card: &str) -> String {
        println!("sam deploy of {model} on the streams of replays");
        let name = format!("{}-replay", self.name);
        let parameters = [
            ("System", name.as_str()),
            ("Model", model),
            ("Card", card),
            ("Endpoints", "flight-delay"),
            ("InputStream", self.output("ReplayInputStream")),
            ("ScoresStream", self.output("ReplayScoresStream")),
            ("FailureBucket", self.output("FailureBucket")),
            ("PayloadBucket", self.output("PayloadBucket")),
            ("StartingPosition", "TRIM_HORIZON"),
            ("FanOut", "standard"),
            ("Alarms", "no"),
        ];
        run(aws(&mut self.sam.command("sam"), &self.endpoint.url)
            .current_dir(root().join("target/sam").join(built))
            .args(["deploy", "--template-file", "template.yaml", "--config-file"])
            .arg(root().join("samconfig.toml"))
            .args(["--stack-name", &name, "--region", REGION, "--no-progressbar"])
            .arg("--parameter-overrides")
            .args(parameters.map(|(key, value)| format!("{key}={value}")))
            .env("SAM_CLI_TELEMETRY", "0"));
        name
    }

    /// Deletes a stack.
    pub fn delete(&self, name: &str) {
        self.aws(&["delete", name]);
    }

    /// An output of the stack.
    pub fn output(&self, key: &str) -> &str {
        self.outputs.get(key).unwrap_or_else(|| panic!("the stack has no output {key}"))
    }

    /// A client of the deployed API.
    pub async fn client(&self) -> Client {
        let host = self.endpoint.url.trim_start_matches("http://");
        let api = self.output("ApiId");
        Client::connect(host, format!("/_aws/execute-api/{api}/$default")).await
    }

    /// The ports, as a function with the environment variables of all functions has them.
    pub fn ports(&self) -> Aws {
        self.ports_on("ArchiveBucket")
    }

    /// The failure bucket.
    pub fn failures(&self) -> S3Archive {
        self.ports_on("FailureBucket").archive().unwrap()
    }

    /// The ports, with the archive in the bucket that an output names.
    fn ports_on(&self, bucket: &str) -> Aws {
        let variables = [
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_ENDPOINT_URL", &self.endpoint.url),
            ("INPUT_STREAM", self.output("InputStream")),
            ("SCORES_STREAM", self.output("ScoresStream")),
            ("LEDGER_TABLE", self.output("LedgerTable")),
            ("LEDGER_HOURS", "48"),
            ("ENDPOINTS_TABLE", self.output("EndpointsTable")),
            ("OUTCOMES_TABLE", self.output("OutcomesTable")),
            ("WINDOWS_TABLE", self.output("WindowsTable")),
            ("ARCHIVE_BUCKET", self.output(bucket)),
            ("PAYLOAD_BUCKET", self.output("PayloadBucket")),
        ];
        let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Aws::new(owned.into_iter().collect::<Environment>()).unwrap()
    }

    /// A client of Kinesis, for records that ingress and the models do not send.
    pub fn kinesis(&self) -> aws_sdk_kinesis::Client {
        aws_sdk_kinesis::Client::new(self.ports().config())
    }

    /// Publishes an endpoint's configuration by rendezvousctl; returns what it printed.
    pub fn apply(&self, file: &Path) -> String {
        let mut command = Command::new(binary("rendezvousctl"));
        let command = aws(&mut command, &self.endpoint.url).args(["--stack", &self.name, "apply"]);
        run(command.arg(file).args(["--yes", "--message", "deployed test"]))
    }

    /// Runs a command of rendezvousctl, beside other tasks; returns what it printed.
    pub async fn ctl(&self, arguments: &[&str]) -> String {
        let (url, name) = (self.endpoint.url.clone(), self.name.clone());
        let arguments: Vec<String> = arguments.iter().map(|each| (*each).to_owned()).collect();
        let done = tokio::task::spawn_blocking(move || {
            let mut command = Command::new(binary("rendezvousctl"));
            run(aws(&mut command, &url).args(["--stack", &name]).args(arguments))
        });
        done.await.unwrap()
    }

    /// Starts the web console.
    pub fn console(&self) -> Console {
        let mut command = Command::new(binary("rendezvousctl"));
        let command = aws(&mut command, &self.endpoint.url);
        Console::start(command.args(["--stack", &self.name, "console", "--port", "0"]))
    }

    /// Verifies the deployed system by rendezvousctl; returns what it printed, and whether it
    /// reported success.
    pub fn verify(&self, options: &[&str]) -> (String, bool) {
        let api = self.output("ApiId");
        let address = format!("{}/_aws/execute-api/{api}/$default", self.endpoint.url);
        let mut command = Command::new(binary("rendezvousctl"));
        let command = aws(&mut command, &self.endpoint.url).current_dir(root());
        let command = command.args(["verify", "--stack", &self.name, "--address", &address]);
        let output = command.args(options).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout) + &text(&output.stderr), output.status.success())
    }

    /// Enables or disables the event source mapping of a flights model.
    pub fn switch(&self, model: &str, on: bool) {
        let uuid = self.output(&format!("{model}Mapping"));
        self.aws(&["mapping", uuid, if on { "on" } else { "off" }]);
    }

    /// The names of the files in the archive that begin with `prefix`.
    pub fn archived(&self, prefix: &str) -> Vec<String> {
        serde_json::from_value(self.aws(&["keys", self.output("ArchiveBucket"), prefix])).unwrap()
    }

    /// Ends the processes of a function, by an update that changes nothing.
    pub fn end(&self, function: &str) {
        self.aws(&["end", self.output(function)]);
    }

    /// The lines that a function has logged.
    pub fn logs(&self, function: &str) -> Vec<String> {
        serde_json::from_value(self.aws(&["logs", self.output(function)])).unwrap()
    }

    /// How often the function of each of these models has been invoked.
    pub fn invocations(&self, models: &[&str]) -> Vec<usize> {
        let functions: Vec<String> = models
            .iter()
            .map(|model| format!("{}-{}", self.name, model.replace('@', "-")))
            .collect();
        let functions = functions.iter().map(String::as_str);
        let arguments: Vec<&str> = ["invocations"].into_iter().chain(functions).collect();
        serde_json::from_value(self.aws(&arguments)).unwrap()
    }

    /// Invokes a function with an event, and waits until it has handled it.
    pub fn invoke(&self, function: &str, event: &Value) {
        self.aws(&["invoke", self.output(function), &event.to_string()]);
    }

    /// The secret that an environment variable of ingress names.
    pub fn secret(&self, variable: &str) -> String {
        let ingress = self.output("IngressFunction");
        serde_json::from_value(self.aws(&["secret", ingress, variable])).unwrap()
    }

    fn aws(&self, arguments: &[&str]) -> Value {
        let mut command = self.sam.command("python");
        let script = root().join("tests/aws/python/aws.py");
        let printed = run(aws(&mut command, &self.endpoint.url).arg(script).args(arguments));
        serde_json::from_str(&printed).unwrap()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if let Some(emulator) = &mut self.endpoint.emulator {
            drop(emulator.stdin.take());
            // Its exit status says nothing: it kills its own process group.
            let _ = emulator.wait();
            return;
        }
        // No panic here: during another panic it would abort the process and hide the first one.
        let mut command = self.sam.command("python");
        let script = root().join("tests/aws/python/aws.py");
        let deleting =
            aws(&mut command, &self.endpoint.url).arg(script).args(["delete", &self.name]);
        match deleting.output() {
            Ok(output) if output.status.success() => {}
            other => eprintln!("the stack {} is not deleted: {other:?}", self.name),
        }
    }
}

const REGION: &str = "us-east-1";

/// How long before its deadline the deployed ingress settles a request.
pub const MARGIN_MS: u64 = 400;

/// Sets the environment variables of an AWS client. The emulator accepts any credentials.
fn aws<'a>(command: &'a mut Command, url: &str) -> &'a mut Command {
    command
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_REGION", REGION)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env_remove("AWS_PROFILE")
}

/// Builds the binaries by the command that builds the workspace's tests, so that crates have the same
/// features and the SDKs are not compiled once more. (Cargo builds the binaries of packages that have
/// integration tests.)
fn build_binaries() {
    println!("building the functions");
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root()).args(["test", "--locked", "--workspace", "--no-run"]);
    // What cargo has set for this test would make it compile again what depends on it: `ring`, and all above that.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    run(&mut command);
}

/// Raises the time-outs in the cards of the built packages to seconds. On a busy machine a model may
/// need more than the 50 ms of its card, and the tests expect scores, not time-outs.
fn allow_slow_calls(built: &Path) {
    for stack in fs::read_dir(built).unwrap() {
        let Ok(cards) = fs::read_dir(stack.unwrap().path().join("ModelFunction/flights")) else {
            continue;
        };
        for file in cards {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let card = fs::read_to_string(&path).unwrap();
                assert!(card.contains(TIMEOUT), "{} has another time-out", path.display());
                fs::write(path, card.replace(TIMEOUT, "\"timeout_ms\": 5000,")).unwrap();
            }
        }
    }
}

const TIMEOUT: &str = "\"timeout_ms\": 50,";

/// The path of a binary, in cargo's target folder: this test's own binary is in `deps` beside it.
fn binary(name: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join(name)
}

/// The sum of a metric in a line: one value, or values with how often each occurred.
pub fn metric(metric: &Value) -> f64 {
    let list = |name: &str| metric[name].as_array().into_iter().flatten().filter_map(Value::as_f64);
    let sum: f64 = list("Values").zip(list("Counts")).map(|(value, count)| value * count).sum();
    metric.as_f64().unwrap_or(sum)
}
