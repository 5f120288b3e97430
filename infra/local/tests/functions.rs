//! Models that are functions in processes of their own. Whatever such a function does, it harms only itself.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// `serve` with `prior@1` and the function `f@1`, which is the champion.
struct Server {
    child: Option<Child>,
    address: String,
    folder: TempDir,
}

/// Starts it with more members of the function's card.
fn serve(card: &Value) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let (models, endpoints) = (folder.path().join("models"), folder.path().join("endpoints"));
    fs::create_dir(&models).unwrap();
    fs::create_dir(&endpoints).unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let flights = here.join("../../functions/models/flights");
    for file in ["prior.json", "prior.onnx"] {
        fs::copy(flights.join(file), models.join(file)).unwrap();
    }
    fs::copy(here.join("tests/functions/bootstrap.py"), models.join("bootstrap.py")).unwrap();
    let mut function = json!({
        "model": "f@1", "about": "A function.", "engine": "function",
        "endpoints": ["flight-delay"], "command": ["python3", "bootstrap.py"],
    });
    function.as_object_mut().unwrap().extend(card.as_object().unwrap().clone());
    fs::write(models.join("f.json"), function.to_string()).unwrap();
    let endpoint = json!({
        "schedule": {
            "choices": [{ "model": "f@1" }, { "model": "prior@1", "after_ms": 8_000 }],
            "deadline_ms": 15_000,
        },
        "value": "/delay_probability",
    });
    fs::write(endpoints.join("flight-delay.json"), endpoint.to_string()).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_rendezvous-local"))
        .args(["serve", "--port", "0", "--shards", "1", "--data"])
        .arg(folder.path().join("data"))
        .arg("--models")
        .arg(models)
        .arg("--endpoints")
        .arg(endpoints)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("http://").unwrap().to_owned();
    Server { child: Some(child), address, folder }
}

impl Server {
    /// Who answers a request in which the function does this, and why.
    fn ask(&self, what: &str) -> (String, String) {
        let payload = json!({
            "carrier": "UA", "origin": "EWR", "dest": "IAH", "weekday": 1, "hour": 5, "do": what,
        });
        let payload = payload.to_string();
        let length = payload.len();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!(
            "POST /v1/endpoints/flight-delay/requests HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{payload}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (_, body) = reply.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{reply}"));
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        (text("model"), text("reason"))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("data/logs/f@1.log")).unwrap()
    }

    /// Ends the server; what it has printed to standard error.
    fn end(&mut self) -> String {
        let child = self.child.take().unwrap();
        let ended = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        assert!(ended.unwrap().success());
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{error}");
        error
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
        }
    }
}

const CHAMPION: (&str, &str) = ("f@1", "preferred");
const STAND_IN: (&str, &str) = ("prior@1", "opened");

fn is((model, reason): (String, String), expected: (&str, &str)) {
    assert_eq!((model, reason), (expected.0.to_owned(), expected.1.to_owned()));
}

#[test]
fn a_function_scores_every_request_and_is_archived_like_any_model() {
    let mut server = serve(&json!({}));
    for _ in 0..3 {
        is(server.ask(""), CHAMPION);
    }
    assert!(server.log().lines().all(|line| line == "started"), "{}", server.log());
    let data = server.folder.path().join("data");
    let models = fs::read_to_string(data.join("models.json")).unwrap();
    assert!(models.contains("f@1"), "{models}");
    assert_eq!(server.end(), "");
    assert!(!walk(&data.join("archive/scores")).is_empty());
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn a_function_that_exits_or_raises_an_error_is_tried_again_and_the_next_request_is_scored() {
    let mut server = serve(&json!({}));
    is(server.ask(""), CHAMPION);
    // Each batch is tried until it is too old; the stand-in has answered by then.
    is(server.ask("exit"), STAND_IN);
    let error = server.end();
    assert!(error.contains("f@1") && error.contains("it ended: exit status: 3"), "{error}");
    let mut server = serve(&json!({}));
    is(server.ask("raise"), STAND_IN);
    let error = server.end();
    assert!(error.contains("it failed with KeyError"), "{error}");
    assert!(!error.contains("a payload that no log may hold"), "{error}");
}

#[test]
fn a_function_that_hangs_is_ended_at_its_time_out_and_one_that_prints_much_goes_on() {
    let mut server = serve(&json!({ "timeout_seconds": 1 }));
    is(server.ask("print"), CHAMPION);
    // A log that is too long becomes the former one.
    is(server.ask("hang"), STAND_IN);
    assert!(server.log().len() < 10_000_000);
    let error = server.end();
    assert!(error.contains("it timed out after 1 s"), "{error}");
}

#[test]
fn a_function_that_uses_too_much_memory_is_ended() {
    let mut server = serve(&json!({ "memory_mb": 200 }));
    is(server.ask("eat"), STAND_IN);
    let error = server.end();
    assert!(error.contains("of 200 MB of memory"), "{error}");
}

#[test]
fn a_command_that_cannot_be_started_is_said_at_once() {
    let mut server = serve(&json!({ "command": ["./no-such-program"] }));
    is(server.ask(""), STAND_IN);
    let error = server.end();
    assert!(error.contains("warning: f@1: ./no-such-program cannot be started"), "{error}");
}
