//! The disk of the data folder is full, is taken away, or hangs: what is said, what clients are answered, and what is lost.
//!
//! The disk is a tmpfs, or one that can be frozen: an ext4 in a file. Whoever may not mount them sees nothing of this.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use rendezvous_archive::{DecisionRow, OutcomeRow, Row, read};
use tokio::time::Instant;

/// How long anything may take here. It ends a test in which something hangs.
const PATIENCE: Duration = Duration::from_mins(1);

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

/// A file system that is mounted.
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

    /// One that can be [frozen](Self::freeze).
    fn that_hangs() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (file, path) = (folder.path().join("image"), folder.path().join("mounted"));
        fs::create_dir(&path).unwrap();
        File::create(&file).unwrap().set_len(64 * 1024 * 1024).unwrap();
        let [image, place] = [&file, &path].map(|path| path.to_str().unwrap());
        if !run("mkfs.ext4", &["-q", image]) || !run("mount", &["-o", "loop", image, place]) {
            eprintln!("skipped: an ext4 in a file cannot be mounted here");
            return None;
        }
        Some(Self { path, _folder: folder })
    }

    /// Makes every write wait until it is thawed.
    fn freeze(&self) {
        assert!(run("fsfreeze", &["--freeze", self.path.to_str().unwrap()]));
    }

    fn thaw(&self) -> bool {
        run("fsfreeze", &["--unfreeze", self.path.to_str().unwrap()])
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
        self.thaw();
        // One may be mounted over the other.
        while run("umount", &["-l", self.path.to_str().unwrap()]) {}
    }
}

struct Server {
    child: Child,
    address: String,
    sample: String,
    said: Said,
}

/// What a server says on its standard error.
struct Said {
    text: Arc<Mutex<String>>,
    reads: JoinHandle<()>,
}

impl Said {
    fn on(errors: ChildStderr) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let said = text.clone();
        let reads = std::thread::spawn(move || {
            for line in BufReader::new(errors).lines() {
                let line = line.unwrap();
                said.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Self { text, reads }
    }

    fn has(&self, text: &str) -> bool {
        self.text.lock().unwrap().contains(text)
    }

    fn all(self) -> String {
        self.reads.join().unwrap();
        self.text.lock().unwrap().clone()
    }
}

impl Server {
    fn start(data: &Path) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_rendezvous-local"));
        program.args(["serve", "--port", "0", "--data"]).arg(data);
        program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let said = Said::on(child.stderr.take().unwrap());
        let mut text = String::new();
        while !text.ends_with("Ctrl-C ends it.\n") {
            assert_ne!(output.read_line(&mut text).unwrap(), 0, "{text}");
        }
        std::thread::spawn(move || output.read_to_string(&mut String::new()));
        let address = text.lines().next().unwrap().strip_prefix("http://").unwrap().to_owned();
        let sample = text.split_once("-d '").unwrap().1.split_once('\'').unwrap().0.to_owned();
        Self { child, address, sample, said }
    }

    fn call(&self, line: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
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

    /// Waits until it has said this.
    fn says(&self, text: &str) {
        wait_until(text, || self.said.has(text));
    }

    fn terminate(&self) {
        assert!(run("kill", &["-TERM", &self.child.id().to_string()]));
    }

    /// Whether nothing is left of it but threads whose writes have not ended: the kernel keeps these.
    fn has_ended(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        status.lines().any(|line| line.starts_with("State:\tZ"))
    }

    /// Asks it to end while its writes wait.
    fn ends_without_its_disk(&self) {
        self.terminate();
        let begin = Instant::now();
        wait_until("it has not ended", || self.has_ended());
        assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
    }

    /// Asks it to end: what it has said.
    fn end(mut self) -> String {
        self.terminate();
        let begin = Instant::now();
        assert!(self.child.wait().unwrap().success());
        assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
        self.said.all()
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
    wait_until("it is not ready", || server.ready().starts_with("HTTP/1.1 200"));
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
    wait_until("it is not ready", || server.ready().starts_with("HTTP/1.1 200"));
    told.push(server.ask().unwrap());
    server.end();
    is_archived(&disk.path, &told);
}

#[test]
fn a_disk_that_hangs_is_told_and_keeps_nobody_waiting() {
    let Some(disk) = Disk::that_hangs() else { return };
    let server = Server::start(&disk.path.join("data"));
    let mut told: Vec<String> = (0..20).map(|_| server.ask().unwrap()).collect();
    disk.freeze();
    let refusal = server.ask().unwrap_err();
    assert!(refusal.starts_with("HTTP/1.1 503"), "{refusal}");
    assert!(refusal.to_lowercase().contains("retry-after: 1\r\n"), "{refusal}");
    let ready = server.ready();
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    assert!(ready.contains("archive did not answer in time"), "{ready}");
    assert!(ready.contains("log did not answer in time (the disk is too slow)"), "{ready}");
    let before = server.resident_kb();
    for _ in 0..500 {
        assert!(server.ask().is_err());
    }
    let after = server.resident_kb();
    assert!(after < before + 20_000, "{before} kB, then {after} kB");
    server
        .says("the disk is too slow: the log cannot be written; requests are refused until it can");
    assert!(disk.thaw());
    wait_until("it is not ready", || server.ready().starts_with("HTTP/1.1 200"));
    told.push(server.ask().unwrap());
    let said = server.end();
    is_archived(&disk.path.join("data"), &told);
    assert_eq!(said.matches("the log cannot be written").count(), 1, "{said}");
    assert!(said.contains("The log is written again."), "{said}");
    assert!(said.lines().count() < 60, "{said}");
}

#[test]
fn a_server_that_ends_on_a_disk_that_hangs_says_what_the_next_one_archives() {
    let Some(disk) = Disk::that_hangs() else { return };
    let data = disk.path.join("data");
    let mut server = Server::start(&data);
    let told: Vec<String> = (0..20).map(|_| server.ask().unwrap()).collect();
    disk.freeze();
    // The log waits for the disk, too.
    server.ask().unwrap_err();
    server.ends_without_its_disk();
    server.says("Not archived within 3 s: ");
    server.says("The next start archives what is in the log; the disk is too slow for the log.");
    assert!(disk.thaw());
    server.child.wait().unwrap();
    Server::start(&data).end();
    is_archived(&data, &told);
}

#[test]
fn a_server_that_has_archived_all_ends_on_a_disk_that_hangs() {
    let Some(disk) = Disk::that_hangs() else { return };
    let data = disk.path.join("data");
    let mut server = Server::start(&data);
    // A payload, which is deleted at the end.
    fs::create_dir_all(data.join("payloads")).unwrap();
    File::create(data.join("payloads/payload")).unwrap();
    disk.freeze();
    server.ends_without_its_disk();
    server.says("what is not needed any more is not deleted within 2 s");
    assert!(disk.thaw());
    server.child.wait().unwrap();
}
