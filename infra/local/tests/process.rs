//! The program as its users run it: what it prints, and how it ends.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::json;
use tempfile::TempDir;

/// A server in a process of its own, on a data folder of its own.
struct Server {
    child: Child,
    output: BufReader<ChildStdout>,
    address: String,
    /// What it printed up to "Ctrl-C ends it.".
    introduction: String,
    folder: TempDir,
}

fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_rendezvous-local"));
    program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    program
}

fn serve(arguments: &[&str]) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let endpoints = folder.path().join("endpoints");
    fs::create_dir(&endpoints).unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("endpoints/flight-delay.json");
    fs::copy(example, endpoints.join("flight-delay.json")).unwrap();
    let mut program = program();
    program.args(["serve", "--port", "0", "--data"]).arg(folder.path().join("data"));
    program.arg("--endpoints").arg(endpoints).args(arguments);
    let mut child = program.spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut introduction = String::new();
    while !introduction.ends_with("Ctrl-C ends it.\n") {
        assert_ne!(output.read_line(&mut introduction).unwrap(), 0, "{introduction}");
    }
    let address = introduction.lines().next().unwrap().strip_prefix("http://").unwrap().to_owned();
    Server { child, output, address, introduction, folder }
}

impl Server {
    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    /// Saves the endpoint with a part of its text replaced.
    fn save(&self, from: &str, to: &str) {
        let file = self.folder.path().join("endpoints/flight-delay.json");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from));
        fs::write(file, text.replace(from, to)).unwrap();
    }

    /// The payload that the introduction recommends.
    fn sample(&self) -> &str {
        let (_, rest) = self.introduction.split_once("-d '").unwrap();
        rest.split_once('\'').unwrap().0
    }

    /// Sends a request; the answer can be read from the stream.
    fn ask(&self, payload: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = payload.len();
        let request = format!(
            "POST /v1/endpoints/flight-delay/requests HTTP/1.1\r\nHost: localhost\r\n\
             Connection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{payload}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// Asks whether the server runs, on a connection of its own.
    fn health(&self) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Waits for its end: the exit code, and what else it printed.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.output.read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code(), out, err)
    }
}

#[test]
fn a_data_folder_may_be_named_from_where_the_program_runs() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["demo", "--count", "5", "--data", "new"];
    let done = program().current_dir(folder.path()).args(arguments).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(folder.path().join("new/archive/requests").exists());
}

#[test]
fn the_printed_request_is_answered_by_the_champion_and_a_sigterm_archives_it() {
    let server = serve(&[]);
    let mut answer = String::new();
    server.ask(server.sample()).read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"failures\":[]") || !answer.contains("\"failures\""), "{answer}");
    assert!(answer.contains("\"model\":\"logistic@1\""), "{answer}");
    server.signal("-TERM");
    let (code, out, err) = server.end();
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("1 answers (1 champion)"), "{out}");
    assert!(out.contains("All requests in flight are answered and archived."), "{out}");
}

#[test]
fn a_saved_file_is_published_with_a_time_and_its_warnings() {
    let mut server = serve(&[]);
    server.save("200", "300");
    let line = server.line();
    assert!(line.ends_with("Z flight-delay is now at version 2\n"), "{line}");
    server.save("mlp@1", "nobody@1");
    assert!(server.line().ends_with("flight-delay is now at version 3\n"));
    server.signal("-INT");
    let (code, _, err) = server.end();
    assert_eq!(code, Some(0));
    assert!(err.contains("warning: nobody@1 of flight-delay is not up"), "{err}");
}

#[test]
fn a_value_that_is_in_no_score_is_warned_of_once() {
    let mut server = serve(&[]);
    server.save("\"/delay_probability\"", "\"/nowhere\"");
    server.line();
    let mut errors = BufReader::new(server.child.stderr.take().unwrap());
    let warned = std::thread::spawn(move || {
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        (line, errors)
    });
    // Each is scored by five models; the warning comes after twenty scores, at a moment of its own.
    while !warned.is_finished() {
        server.ask(server.sample()).read_to_string(&mut String::new()).unwrap();
    }
    let (line, mut errors) = warned.join().unwrap();
    assert!(line.contains("value /nowhere of flight-delay, version 2, is"), "{line}");
    server.signal("-TERM");
    let mut rest = String::new();
    errors.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

#[test]
fn check_scores_a_request_by_each_model_and_fails_where_something_cannot_work() {
    let checked = |arguments: &[&str]| {
        let output = program().arg("check").args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, out, err) = checked(&[]);
    assert_eq!((code, &*err), (Some(0), ""));
    assert!(out.contains("flight-delay, a request: {"), "{out}");
    assert_eq!(out.matches("@1: {\"delay_probability\":").count(), 5, "{out}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flight-delay.json");
    fs::write(file, r#"{"schedule":{"choices":[{"model":"nobody@1"}],"deadline_ms":100}}"#)
        .unwrap();
    let (code, _, err) = checked(&["--endpoints", folder.path().to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(err.contains("warning: nobody@1 of flight-delay is not up"), "{err}");
    let payload = folder.path().join("payload.json.txt");
    fs::write(&payload, "{}").unwrap();
    let (code, _, err) = checked(&["--payload", payload.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(err.contains("logistic@1 fails: /weekday is missing"), "{err}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = serve(&["--slow", "logistic@1=25000"]);
    // The answer is due after 25 s at the latest: without the second signal the end would wait for it.
    server.save("200", "25000");
    server.line();
    let _open = server.ask("{}");
    // Later requests are answered, so that the server has the one before.
    for _ in 0..3 {
        server.health();
    }
    server.signal("-INT");
    assert!(server.line().contains("A second Ctrl-C ends at once."));
    server.signal("-INT");
    let (code, out, err) = server.end();
    assert_eq!(code, Some(130), "{out}{err}");
}

#[test]
fn a_closed_pipe_ends_it_without_a_panic() {
    let server = serve(&[]);
    let Server { mut child, output, folder, .. } = server;
    drop(output);
    let file = folder.path().join("endpoints/flight-delay.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("200", "300")).unwrap();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(err, "");
}

#[test]
fn a_second_server_on_one_data_folder_is_refused() {
    let server = serve(&[]);
    let data = server.folder.path().join("data");
    let second = program().args(["serve", "--port", "0", "--data"]).arg(data).output().unwrap();
    let error = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(error.contains("is in use by another server"), "{error}");
    server.signal("-TERM");
    server.end();
}

#[test]
fn bench_exits_with_1_when_requests_have_no_answer() {
    let bench = |arguments: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let mut bench = program();
        bench.args(["bench", "--connections", "2", "--rate", "20", "--seconds", "1"]);
        bench.args(arguments).args(["--", "--data"]).arg(folder.path());
        bench.output().unwrap()
    };
    let good = bench(&[]);
    assert_eq!(good.status.code(), Some(0), "{}", String::from_utf8_lossy(&good.stderr));
    let figures: serde_json::Value = serde_json::from_slice(&good.stdout).unwrap();
    assert_eq!(figures["errors"], 0);
    let none = bench(&["--endpoint", "nobody"]);
    let error = String::from_utf8_lossy(&none.stderr).into_owned();
    assert_eq!(none.status.code(), Some(1));
    assert!(error.contains("requests had no answer"), "{error}");
}

/// Answers every request of one connection in the same way; what it was asked comes out at the end.
fn other_server(answer: &str) -> (String, std::thread::JoinHandle<String>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
    let serve = move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut asked, mut buffer) = (String::new(), [0; 4096]);
        // A request is small and comes alone: one read has it whole.
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            asked.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
            stream.write_all(answer.as_bytes()).unwrap();
        }
        asked
    };
    (address, std::thread::spawn(serve))
}

fn bench_other(answer: &str, arguments: &[&str]) -> (Option<i32>, serde_json::Value, String) {
    let (address, server) = other_server(answer);
    let folder = tempfile::tempdir().unwrap();
    let payloads = folder.path().join("payloads.ndjson");
    fs::write(&payloads, "{\"n\":1}\n{\"n\":2}\n").unwrap();
    let mut bench = program();
    bench.args(["bench", "--connections", "1", "--rate", "20", "--seconds", "1", "--payload"]);
    bench.arg(payloads).args(["--address", &address]).args(arguments);
    let output = bench.output().unwrap();
    let figures = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code(), figures, server.join().unwrap())
}

#[test]
fn bench_measures_any_server_with_the_payloads_of_a_file_in_turn() {
    let pid = std::process::id().to_string();
    let (code, figures, asked) = bench_other("[0.3]", &["--path", "/predict", "--pid", &pid]);
    assert_eq!(code, Some(0), "{figures}");
    assert_eq!(figures["requests"], 20);
    assert_eq!((&figures["kinds"], &figures["models"]), (&json!({}), &json!({})));
    assert!(asked.starts_with("POST /predict HTTP/1.1\r\n"), "{asked}");
    let bodies: Vec<&str> = asked.matches("{\"n\":1}").chain(asked.matches("{\"n\":2}")).collect();
    assert_eq!(bodies.len(), asked.matches("POST").count());
    assert_eq!(asked.matches("{\"n\":2}").count(), bodies.len() / 2);
    #[cfg(target_os = "linux")]
    assert!(figures["processor_seconds"].is_f64() && figures["resident_mb"][0].is_f64());

    let (_, figures, _) = bench_other(r#"{"kind":"stand_in","model":7}"#, &["--path", "/"]);
    assert_eq!(figures["errors"], 0);
    let (_, figures, _) = bench_other(r#"{"kind":"stand_in","model":"a"}"#, &["--path", "/"]);
    assert_eq!((&figures["kinds"]["stand_in"], &figures["models"]["a"]), (&json!(20), &json!(20)));
    let (code, figures, _) = bench_other("no JSON", &["--path", "/"]);
    assert_eq!((code, &figures["errors"]), (Some(1), &json!(20)));
}

#[test]
fn an_answer_of_the_system_itself_has_a_kind() {
    let (code, figures, asked) = bench_other("[0.3]", &[]);
    assert_eq!((code, &figures["errors"]), (Some(1), &json!(20)));
    assert!(asked.starts_with("POST /v1/endpoints/flight-delay/requests "), "{asked}");
}

#[test]
fn bench_refuses_a_process_that_is_not_there() {
    let mut bench = program();
    let output = bench.args(["bench", "--address", "127.0.0.1:1", "--pid", "4294967295"]).output();
    let output = output.unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("processor time of process 4294967295 cannot be read"), "{error}");
}
