//! The system as its template deploys it: makes the tools ready, starts an emulator of AWS unless
//! `AWS_ENDPOINT_URL` names one, builds and deploys, and talks to what has been deployed.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "this is test code")]

mod client;

use std::{
    collections::HashMap,
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rendezvous_aws::{Aws, Environment};
use rendezvous_tests::tools::{Python, root, run};
use serde_json::Value;
use tokio::{net::TcpStream, time::sleep};

pub use client::{Client, Reply};

/// Holds `templates` to the rules of cfn-lint, and the first also to SAM's; panics with what is wrong.
pub fn lint(templates: &[&str]) {
    let sam = Python::new("python-sam", "tests/aws/python/sam.txt");
    run(sam.command("cfn-lint").current_dir(root()).args(templates));
    let validate = ["validate", "--lint", "--template", templates[0], "--region", REGION];
    run(sam.command("sam").current_dir(root()).args(validate).env("SAM_CLI_TELEMETRY", "0"));
}

/// Payloads of real flights.
pub fn flights() -> Vec<String> {
    let sample = fs::File::open(root().join("functions/models/flights/sample.ndjson.zst")).unwrap();
    let text = String::from_utf8(zstd::decode_all(sample).unwrap()).unwrap();
    let payload = |line: &str| {
        let (_, payload) = line.split_once("\"payload\":").unwrap();
        payload.strip_suffix('}').unwrap().to_owned()
    };
    text.lines().map(payload).collect()
}

/// A deployed stack. When it goes, so does an emulator that was started for it.
pub struct Stack {
    pub name: String,
    pub outputs: HashMap<String, String>,
    endpoint: Endpoint,
    sam: Python,
}

/// Where AWS is.
struct Endpoint {
    url: String,
    /// The emulator that was started for this stack; it ends with its standard input.
    emulator: Option<Child>,
}

impl Stack {
    /// Builds and deploys the template of this repository.
    pub async fn deploy() -> Self {
        let sam = Python::new("python-sam", "tests/aws/python/sam.txt");
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
            // The binaries are there already, as the tests' build made them.
            .envs([("CARGO_BUILD", "true"), ("BUILT", &binary("%").to_string_lossy())])
            .env("INSTALL", "install -s")
            .env("SAM_CLI_TELEMETRY", "0"));
        allow_slow_calls(&built);
        println!("sam deploy");
        // Whatever happens from here on, it goes again.
        let mut stack = Self { name, outputs: HashMap::new(), endpoint, sam };
        run(aws(&mut stack.sam.command("sam"), &stack.endpoint.url)
            .current_dir(&built)
            .args(["deploy", "--template-file", "template.yaml", "--config-file"])
            .arg(root().join("samconfig.toml"))
            .args(["--stack-name", &stack.name, "--region", REGION, "--no-progressbar"])
            // The emulator knows neither pushed streams, nor alarms on metric math, nor Athena's queries.
            .args([
                "--parameter-overrides",
                "Authorization=NONE",
                "FanOut=standard",
                "Analytics=no",
            ])
            .args(["Observability=no", "ArchiveWindowSeconds=0", "Tracing=PassThrough"])
            // On a busy machine it may take a moment.
            .arg(format!("AnswerMarginMs={MARGIN_MS}"))
            .env("SAM_CLI_TELEMETRY", "0"));
        let outputs = stack.aws(&["outputs", &stack.name]);
        stack.outputs = serde_json::from_value(outputs).unwrap();
        stack
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

    /// The ports, as a function with all of the functions' environment would have them.
    pub fn ports(&self) -> Aws {
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
            ("ARCHIVE_BUCKET", self.output("ArchiveBucket")),
        ];
        let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Aws::new(owned.into_iter().collect::<Environment>()).unwrap()
    }

    /// A client of Kinesis, to put what no function would.
    pub fn kinesis(&self) -> aws_sdk_kinesis::Client {
        aws_sdk_kinesis::Client::new(self.ports().config())
    }

    /// Makes an endpoint configuration current, as an operator would; returns what was printed.
    pub fn apply(&self, file: &Path) -> String {
        let mut command = Command::new(binary("rendezvousctl"));
        run(aws(&mut command, &self.endpoint.url).args(["--stack", &self.name, "apply"]).arg(file))
    }

    /// Switches the event source mapping of a flights model on or off.
    pub fn switch(&self, model: &str, on: bool) {
        let uuid = self.output(&format!("{model}Mapping"));
        self.aws(&["mapping", uuid, if on { "on" } else { "off" }]);
    }

    /// The names of the files in the archive that begin with `prefix`.
    pub fn archived(&self, prefix: &str) -> Vec<String> {
        serde_json::from_value(self.aws(&["keys", self.output("ArchiveBucket"), prefix])).unwrap()
    }

    /// What a function has logged, line by line.
    pub fn logs(&self, function: &str) -> Vec<String> {
        serde_json::from_value(self.aws(&["logs", self.output(function)])).unwrap()
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
            // Whether it was killed or had ended before makes no difference.
            let _ = emulator.wait();
            return;
        }
        // A panic here, while another is under way, would hide that one.
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

/// Any credentials will do for an emulator.
fn aws<'a>(command: &'a mut Command, url: &str) -> &'a mut Command {
    command
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_REGION", REGION)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env_remove("AWS_PROFILE")
}

impl Endpoint {
    async fn find() -> Self {
        if let Ok(url) = env::var("AWS_ENDPOINT_URL") {
            assert!(url.starts_with("http://"), "AWS_ENDPOINT_URL must be an emulator's, http://…");
            return Self { url, emulator: None };
        }
        let python = Python::new("python-emulator", "tests/aws/python/emulator.txt");
        // Free now; nobody else takes a random port within the next second.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        let log = fs::File::create(root().join("target/emulator.log")).unwrap();
        println!("an emulator of AWS at {url}, its log in target/emulator.log");
        let emulator = python
            .command("python")
            .arg(root().join("tests/aws/python/emulator.py"))
            // The functions inherit all of this.
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("HOME", root().join("target"))
            .env("AWS_ENDPOINT_URL", &url)
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("LOG_LEVEL", "WARNING")
            .env("IOT_MTLS_ENABLED", "0")
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let endpoint = Self { url, emulator: Some(emulator) };
        for _ in 0..300 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return endpoint;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("the emulator does not answer after 30 seconds, see target/emulator.log");
    }
}

/// Builds the binaries as the workspace's tests do, with the same features: `cargo build` has others
/// and would compile the SDKs once more. (Cargo builds the binaries of packages that have integration
/// tests.)
fn build_binaries() {
    println!("building the functions");
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root()).args(["test", "--locked", "--workspace", "--no-run"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    run(&mut command);
}

/// Lets the models' calls take seconds, in the built packages: a busy machine that runs an emulator
/// may not give a process 50 ms of its time at once, and a time-out would be a right answer.
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

/// Where cargo leaves a binary; this very test lies two folders deeper.
fn binary(name: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join(name)
}
