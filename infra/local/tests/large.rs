//! A hundred payloads of 4 MB through the five models of the example, over HTTP: what is archived, what is left
//! behind, and how much memory it takes. It takes a minute or two; `.ci/wide large` runs it.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use bytes::Bytes;
use rendezvous_archive::{RequestRow, Row, ScoreRow, read};
use tokio::time::Instant;

/// Payloads, how many bytes each has at least, and how many clients send them.
const COUNT: usize = 100;
const BYTES: usize = 4_000_000;
const CLIENTS: usize = 4;

/// The most memory that the server may have held, in MB.
const MOST_MB: usize = 500;

/// A flight with a text of quotes, backslashes and characters of two to four bytes. With them escaped it takes
/// less than 6 MB in an event.
fn payload(sample: &str, number: usize) -> String {
    let part = "\\\"é世🛫 and so on and so forth\\\\";
    let note = part.repeat(BYTES / part.len() + 1);
    sample.replacen('{', &format!("{{ \"number\": {number}, \"note\": \"{note}\","), 1)
}

fn start(folder: &Path) -> (Child, String, String) {
    let endpoints = folder.join("endpoints");
    fs::create_dir(&endpoints).unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("endpoints/flight-delay.json");
    let text = fs::read_to_string(example).unwrap().replace(": 200", ": 20000");
    fs::write(endpoints.join("flight-delay.json"), text).unwrap();
    // The example's models have 50 ms for a call, which is for payloads of 300 bytes.
    let models = folder.join("models");
    fs::create_dir(&models).unwrap();
    let cards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../functions/models/flights");
    for entry in fs::read_dir(cards).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => {
                let card = fs::read_to_string(path).unwrap();
                let card = card.replace("\"timeout_ms\": 50", "\"timeout_ms\": 10000");
                fs::write(models.join(name), card).unwrap();
            }
            Some("onnx") => drop(fs::copy(path, models.join(name)).unwrap()),
            _ => {}
        }
    }
    let mut program = Command::new(env!("CARGO_BIN_EXE_rendezvous-local"));
    program.args(["serve", "--port", "0", "--data"]).arg(folder.join("data"));
    let mut child = program
        .arg("--models")
        .arg(models)
        .arg("--endpoints")
        .arg(endpoints)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut introduction = String::new();
    while !introduction.ends_with("Ctrl-C ends it.\n") {
        assert_ne!(output.read_line(&mut introduction).unwrap(), 0, "{introduction}");
    }
    thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    let address = introduction.lines().next().unwrap().strip_prefix("http://").unwrap().to_owned();
    let (_, rest) = introduction.split_once("-d '").unwrap();
    (child, address, rest.split_once('\'').unwrap().0.to_owned())
}

fn ask(address: &str, payload: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = payload.len();
    let head = format!(
        "POST /v1/endpoints/flight-delay/requests HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(payload.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A line of `/proc/PID/status`, in MB.
fn memory(pid: u32, name: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1_000
}

/// Calls `look` with each file of a table and its rows' text.
fn each_row<R: Row>(folder: &Path, look: &mut impl FnMut(R)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_row(&path, look);
        } else {
            let body = Bytes::from(fs::read(path).unwrap());
            read::<R>(body).unwrap().into_iter().for_each(&mut *look);
        }
    }
}

#[test]
#[ignore = "takes a minute or two"]
fn a_hundred_payloads_of_4_mb_are_scored_by_five_models_and_archived_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, address, sample) = start(folder.path());
    let before = memory(child.id(), "VmRSS:");
    let begin = Instant::now();
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (address, sample) = (&address, &sample);
            scope.spawn(move || {
                for number in (client..COUNT).step_by(CLIENTS) {
                    let answer = ask(address, &payload(sample, number));
                    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                }
            });
        }
    });
    let took = begin.elapsed().as_secs_f64();
    let data = folder.path().join("data");
    let stored = fs::read_dir(data.join("payloads/flight-delay")).unwrap().count();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    // The peak is read while it archives what is left; the process is still there.
    let mut peak = memory(child.id(), "VmHWM:");
    while child.try_wait().unwrap().is_none() {
        if let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status"))
            && status.contains("VmHWM:")
        {
            peak = peak.max(memory(child.id(), "VmHWM:"));
        }
        thread::yield_now();
    }
    println!(
        "{COUNT} payloads of {BYTES} bytes, {CLIENTS} clients: {took:.1} s until the last answer"
    );
    println!("memory: {before} MB before, {peak} MB at most");
    assert_eq!(stored, COUNT);
    let left = data.join("payloads").exists();
    assert!(!left, "payloads are left behind");

    let mut archived = 0;
    each_row(&data.join("archive/requests"), &mut |row: RequestRow<'_>| {
        let (_, rest) = row.payload.split_once("\"number\": ").unwrap();
        let number = rest.split_once(',').unwrap().0.parse().unwrap();
        assert!(row.payload == payload(&sample, number), "payload {number} is another one");
        archived += 1;
    });
    let mut models: BTreeMap<String, usize> = BTreeMap::new();
    each_row(&data.join("archive/scores"), &mut |row: ScoreRow<'_>| {
        assert_eq!(row.failure_message, None);
        *models.entry(row.model.to_string()).or_default() += 1;
    });
    assert_eq!((archived, models.len()), (COUNT, 5));
    assert!(models.values().all(|count| *count == COUNT), "{models:?}");
    assert!(peak < MOST_MB, "{peak} MB");
}
