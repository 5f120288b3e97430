//! The disk of the data folder is full, or is taken away: what is said, what clients are answered, and what is lost.
//!
//! The disk is a tmpfs. Whoever may not mount one sees nothing of this.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
    thread::JoinHandle,
};

use rendezvous_archive::{DecisionRow, OutcomeRow, Row, read};

/// A mounted tmpfs.
struct Disk {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    let command = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn mount(path: &Path, options: &str) -> bool {
    run("mount", &["-t", "tmpfs", "-o", options, "rendezvous", path.to_str().unwrap()])
}

impl Disk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        fs::create_dir(&path).unwrap();
        if !mount(&path, "size=24m") {
            eprintln!("skipped: a tmpfs cannot be mounted here");
            return None;
        }
        Some(Self { path, _folder: folder })
    }

    fn filling(&self) -> PathBuf {
        self.path.join("filling")
    }

    fn fill(&self) {
        let mut file = File::create(self.filling()).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.filling()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // One may be mounted over the other.
        while run("umount", &["-l", self.path.to_str().unwrap()]) {}
    }
}

struct Server {
    child: Child,
    address: String,
    sample: String,
    errors: JoinHandle<String>,
}

fn all(mut errors: ChildStderr) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        errors.read_to_string(&mut text).unwrap();
        text
    })
}

impl Server {
    fn start(data: &Path) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_rendezvous-local"));
        program.args(["serve", "--port", "0", "--data"]).arg(data);
        program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let errors = all(child.stderr.take().unwrap());
        let mut text = String::new();
        while !text.ends_with("Ctrl-C ends it.\n") {
            assert_ne!(output.read_line(&mut text).unwrap(), 0, "{text}");
        }
        std::thread::spawn(move || output.read_to_string(&mut String::new()));
        let address = text.lines().next().unwrap().strip_prefix("http://").unwrap().to_owned();
        let sample = text.split_once("-d '").unwrap().1.split_once('\'').unwrap().0.to_owned();
        Self { child, address, sample, errors }
    }

    fn call(&self, line: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The id of a request that has a settled answer, for which an outcome is reported; or what is wrong.
    fn ask(&self) -> Result<String, String> {
        const PATH: &str = "/v1/endpoints/flight-delay/requests";
        let answer = self.call(&format!("POST {PATH}"), &self.sample);
        let Some((_, rest)) = answer.split_once("\"request\":\"") else { return Err(answer) };
        let id = rest.split_once('"').unwrap().0.to_owned();
        if !answer.contains("\"settled\":true") {
            return Err(answer);
        }
        let put = self.call(&format!("PUT {PATH}/{id}/outcome"), "{\"late\": true}");
        if put.starts_with("HTTP/1.1 204") { Ok(id) } else { Err(put) }
    }

    fn ready(&self) -> String {
        self.call("GET /ready", "")
    }

    fn resident_kb(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Asks it to end: what it has said.
    fn end(mut self) -> String {
        assert!(run("kill", &["-TERM", &self.child.id().to_string()]));
        let begin = tokio::time::Instant::now();
        assert!(self.child.wait().unwrap().success());
        assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
        self.errors.join().unwrap()
    }
}

fn ids<R: Row>(data: &Path) -> HashSet<String> {
    let (mut ids, mut folders) = (HashSet::new(), vec![data.join("archive").join(R::TABLE)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let rows = read::<R>(File::open(path).unwrap()).unwrap();
                ids.extend(rows.iter().map(|row| row.request_id().to_string()));
            }
        }
    }
    ids
}

fn is_archived(data: &Path, told: &[String]) {
    let (decisions, outcomes) = (ids::<DecisionRow<'_>>(data), ids::<OutcomeRow<'_>>(data));
    for id in told {
        assert!(decisions.contains(id) && outcomes.contains(id), "{id} is missing");
    }
}

#[test]
fn a_full_disk_is_told_and_what_was_acknowledged_is_archived_when_there_is_space() {
    let Some(disk) = Disk::mount() else { return };
    let server = Server::start(&disk.path);
    let mut told: Vec<String> = (0..20).map(|_| server.ask().unwrap()).collect();
    disk.fill();
    // There may be space for some more in the last page.
    let refusal = loop {
        match server.ask() {
            Ok(id) => told.push(id),
            Err(answer) => break answer,
        }
    };
    assert!(refusal.starts_with("HTTP/1.1 503"), "{refusal}");
    assert!(refusal.to_lowercase().contains("retry-after: 1\r\n"), "{refusal}");
    let ready = server.ready();
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    assert!(ready.contains("log is unavailable") && ready.contains("No space left"), "{ready}");
    let before = server.resident_kb();
    for _ in 0..500 {
        assert!(server.ask().is_err());
    }
    let after = server.resident_kb();
    assert!(after < before + 20_000, "{before} kB, then {after} kB");
    disk.free();
    while !server.ready().starts_with("HTTP/1.1 200") {}
    told.push(server.ask().unwrap());
    let said = server.end();
    is_archived(&disk.path, &told);
    let count =
        said.matches("the log cannot be written; requests are refused until it can").count();
    assert_eq!(count, 1, "{said}");
    assert!(said.contains("The log is written again."), "{said}");
    assert!(said.lines().count() < 60, "{said}");
}

#[test]
fn a_server_that_ends_on_a_full_disk_says_what_the_next_one_archives() {
    let Some(disk) = Disk::mount() else { return };
    let server = Server::start(&disk.path);
    let told: Vec<String> = (0..20).map(|_| server.ask().unwrap()).collect();
    // Before the decoy's batching window has passed.
    disk.fill();
    let said = server.end();
    assert!(said.contains("Not archived within 3 s: "), "{said}");
    assert!(said.contains("kB of requests") && said.contains("kB of outcomes"), "{said}");
    assert!(said.contains("/log, and the next start archives them."), "{said}");
    disk.free();
    let said = Server::start(&disk.path).end();
    assert_eq!(said, "");
    is_archived(&disk.path, &told);
    let left = fs::read_dir(disk.path.join("log")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_str().unwrap().ends_with(".ledger")), "{left:?}");
}

#[test]
fn a_disk_in_whose_place_is_one_that_cannot_be_written_is_told() {
    let Some(disk) = Disk::mount() else { return };
    let server = Server::start(&disk.path);
    let mut told: Vec<String> = (0..20).map(|_| server.ask().unwrap()).collect();
    assert!(mount(&disk.path, "ro"));
    let refusal = loop {
        match server.ask() {
            Ok(id) => told.push(id),
            Err(answer) => break answer,
        }
    };
    assert!(refusal.starts_with("HTTP/1.1 503"), "{refusal}");
    let ready = server.ready();
    assert!(ready.contains("Read-only file system"), "{ready}");
    assert!(run("umount", &[disk.path.to_str().unwrap()]));
    while !server.ready().starts_with("HTTP/1.1 200") {}
    told.push(server.ask().unwrap());
    server.end();
    is_archived(&disk.path, &told);
}
