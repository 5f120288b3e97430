//! What the functions' own tests share.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::mpsc::{self, Sender},
    thread,
    time::Duration,
};

/// The environment variables that a function's binary asks for beside those that Lambda sets, in
/// its order: starts it again and again, each time with what it has missed.
#[expect(clippy::missing_panics_doc, clippy::expect_used, reason = "a test that cannot run fails")]
pub fn missing_variables(binary: &str) -> Vec<String> {
    let mut missing: Vec<String> = Vec::new();
    loop {
        let mut function = Command::new(binary);
        function.env_clear();
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"] {
            function.env(name, "x");
        }
        // A number is as good a name as any.
        function.envs(missing.iter().map(|name| (name, "1")));
        let output = function.output().expect("the binary runs");
        assert!(!output.status.success(), "{binary} serves nobody");
        let log = String::from_utf8_lossy(&output.stdout);
        let name = log.split_once("the environment variable ").and_then(|(_, rest)| {
            let (name, _) = rest.split_once(" is not set")?;
            Some(name.to_owned())
        });
        match name {
            Some(name) => missing.push(name),
            // Whatever it misses now is no variable of ours.
            None => return missing,
        }
    }
}

/// Starts a function's binary, with Lambda's Runtime API and Extensions API played by this process, lets
/// it handle `events` one after the other, and ends it with SIGTERM. Returns the lines that it has
/// printed. `environment` is added to what Lambda sets.
#[expect(clippy::missing_panics_doc, clippy::expect_used, reason = "a test that cannot run fails")]
pub fn printed(binary: &str, environment: &[(&str, &str)], events: &[&str]) -> Vec<String> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let mut function = Command::new(binary);
    function.env_clear().stdout(Stdio::piped()).env("AWS_LAMBDA_RUNTIME_API", address);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"] {
        function.env(name, "x");
    }
    for name in ["NAME", "MEMORY_SIZE", "VERSION"] {
        function.env(format!("AWS_LAMBDA_FUNCTION_{name}"), "1");
    }
    let function = function.envs(environment.iter().copied()).spawn().expect("the binary starts");
    let (asked, asks) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let asked = asked.clone();
            thread::spawn(move || answer(&stream, &asked));
        }
    });
    for event in events {
        let next = asks.recv_timeout(PATIENCE).expect("the function asks for an event");
        next.send((*event).to_owned()).expect("the function listens");
    }
    // It asks again when it has handled the last event.
    let last = asks.recv_timeout(PATIENCE).expect("the function asks for a further event");
    let id = function.id().to_string();
    let ended = Command::new("kill").args(["-TERM", &id]).status().expect("the command kill");
    assert!(ended.success(), "the function is told to end");
    let output = function.wait_with_output().expect("its output");
    assert!(output.status.success(), "{output:?}");
    drop(last);
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// How long a function may take to ask.
const PATIENCE: Duration = Duration::from_mins(1);

/// Answers the calls on one connection. The call for the next event is handed to `asked`, with a channel
/// for the event.
fn answer(mut stream: &TcpStream, asked: &Sender<Sender<String>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut path, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).is_err() || line.is_empty() {
                return;
            }
            let line = line.trim_end();
            if path.is_empty() {
                line.split(' ').nth(1).unwrap_or_default().clone_into(&mut path);
            } else if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.is_empty() {
                break;
            }
        }
        if io::copy(&mut reader.by_ref().take(length), &mut io::sink()).is_err() {
            return;
        }
        let body = match path.as_str() {
            "/2018-06-01/runtime/invocation/next" => {
                let (event, events) = mpsc::channel();
                let event = asked.send(event).ok().and_then(|()| events.recv().ok());
                let Some(event) = event else { return };
                event
            }
            "/2020-01-01/extension/event/next" => loop {
                thread::park();
            },
            _ => r#"{"functionName":"f","functionVersion":"1","handler":"h"}"#.to_owned(),
        };
        let head = "HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: e\r\nLambda-Runtime-Aws-Request-Id: r\r\n\
                    Lambda-Runtime-Deadline-Ms: 9999999999999\r\nContent-Type: application/json\r\n";
        let reply = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}
