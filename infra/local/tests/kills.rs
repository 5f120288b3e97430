//! The server is killed under load, again and again, and started on the same data folder: what it has told its
//! clients holds, and is in the archive at the end.
//!
//! `tests/endurance/kill` runs it a hundred times with a build that is optimised.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{
    collections::{HashMap, HashSet},
    env,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use rendezvous_archive::{DecisionRow, OutcomeRow, RequestRow, Row, ScoreRow, read};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

/// A number that the environment may set.
fn set(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

struct Server {
    child: Child,
    address: String,
    sample: String,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let program = env::var("RENDEZVOUS_LOCAL");
        let program = program.as_deref().unwrap_or(env!("CARGO_BIN_EXE_rendezvous-local"));
        let mut program = Command::new(program);
        program.args(["serve", "--port", "0", "--data"]).arg(folder);
        program.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = program.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        while !text.ends_with("Ctrl-C ends it.\n") {
            assert_ne!(output.read_line(&mut text).unwrap(), 0, "{text}");
        }
        // It is read to its end, so that the server can go on to print.
        thread::spawn(move || output.read_to_string(&mut String::new()));
        let address = text.lines().next().unwrap().strip_prefix("http://").unwrap().to_owned();
        let sample = text.split_once("-d '").unwrap().1.split_once('\'').unwrap().0.to_owned();
        Self { child, address, sample }
    }

    fn end(mut self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        assert_eq!(status.success(), signal == "-TERM", "{status}");
    }
}

/// A connection that is kept.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn new(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// Status and body; `None` when the server has gone.
    fn call(&mut self, line: &str, headers: &str, body: &str) -> Option<(u16, String)> {
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}\
             Content-Length: {length}\r\n\r\n{body}"
        );
        self.stream.get_mut().write_all(request.as_bytes()).ok()?;
        let (mut status, mut length, mut head) = (0, 0, String::new());
        loop {
            head.clear();
            self.stream.read_line(&mut head).ok().filter(|bytes| *bytes > 0)?;
            if let Some(rest) = head.strip_prefix("HTTP/1.1 ") {
                status = rest.get(..3)?.parse().ok()?;
            } else if let Some(bytes) = head.strip_prefix("content-length: ") {
                length = bytes.trim_end().parse().ok()?;
            } else if head == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        Some((status, String::from_utf8(body).ok()?))
    }
}

/// What a decision says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    kind: String,
    reason: String,
    model: Option<String>,
    score: Option<String>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    request: String,
    kind: String,
    reason: String,
    model: Option<String>,
    #[serde(borrow)]
    score: Option<&'a RawValue>,
    settled: bool,
}

impl Answer<'_> {
    fn said(self) -> Said {
        let Self { kind, reason, model, score, .. } = self;
        Said { kind, reason, model, score: score.map(|score| score.get().to_owned()) }
    }
}

/// What a client was told.
#[derive(Default)]
struct Told {
    answers: Vec<(String, Said)>,
    /// The key and the answer's request.
    keyed: Vec<(String, String)>,
    accepted: Vec<String>,
    outcomes: Vec<String>,
}

const PATH: &str = "/v1/endpoints/flight-delay/requests";

/// Asks in every way until the server has gone.
fn ask(address: &str, sample: &str, name: &str, ended: &AtomicBool) -> Told {
    let (mut client, mut told) = (Client::new(address), Told::default());
    for number in 0.. {
        let key = format!("{name}-{number}");
        let (header, is_keyed) = match number % 20 {
            0..=2 => (format!("Idempotency-Key: {key}\r\n"), true),
            3 => ("Prefer: respond-async\r\n".to_owned(), false),
            _ => (String::new(), false),
        };
        let call = client.call(&format!("POST {PATH}"), &header, sample);
        let Some((status, body)) = call else { break };
        let field = || body.split_once("\"request\":\"").unwrap().1.split_once('"').unwrap().0;
        match status {
            200 => {
                let answer: Answer<'_> = serde_json::from_str(&body).unwrap();
                if answer.settled {
                    let id = answer.request.clone();
                    if is_keyed {
                        told.keyed.push((key, id.clone()));
                    }
                    told.answers.push((id, answer.said()));
                }
            }
            202 => told.accepted.push(field().to_owned()),
            503 => {}
            other => panic!("{other}: {body}"),
        }
        if number % 10 == 4
            && let Some((id, _)) = told.answers.last()
        {
            let put = client.call(&format!("PUT {PATH}/{id}/outcome"), "", "{\"late\": true}");
            match put {
                Some((204, _)) => told.outcomes.push(id.clone()),
                Some((status, body)) => assert_eq!(status, 503, "{body}"),
                None => break,
            }
        }
    }
    assert!(ended.load(Relaxed), "the server has ended a connection");
    told
}

/// All that was told, by all servers.
#[derive(Default)]
struct All {
    answers: HashMap<String, Said>,
    accepted: HashSet<String>,
    outcomes: HashSet<String>,
}

/// A new server says the same as the one that was killed.
fn says_the_same(server: &Server, told: &[Told], all: &All) {
    let mut client = Client::new(&server.address);
    for Told { answers, keyed, accepted, .. } in told {
        for (key, id) in keyed.iter().rev().take(3) {
            let header = format!("Idempotency-Key: {key}\r\n");
            let call = client.call(&format!("POST {PATH}"), &header, &server.sample);
            let (status, body) = call.unwrap();
            assert_eq!(status, 200, "{body}");
            let answer: Answer<'_> = serde_json::from_str(&body).unwrap();
            assert_eq!((&answer.request, answer.settled), (id, true));
            assert_eq!(answer.said(), all.answers[id]);
        }
        for (id, said) in answers.iter().rev().take(3) {
            let (status, body) = client.call(&format!("GET {PATH}/{id}"), "", "").unwrap();
            assert_eq!(status, 200, "{body}");
            assert_eq!(serde_json::from_str::<Answer<'_>>(&body).unwrap().said(), *said);
        }
        for id in accepted.iter().rev().take(1) {
            let (status, body) = client.call(&format!("GET {PATH}/{id}"), "", "").unwrap();
            assert!([200, 202, 504].contains(&status), "{status} {body}");
        }
    }
}

/// Every row of a table.
fn rows<R: Row>(archive: &Path, mut each: impl FnMut(R)) {
    let mut folders = vec![archive.join(R::TABLE)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let rows = read::<R>(File::open(path).unwrap()).unwrap();
                rows.into_iter().for_each(&mut each);
            }
        }
    }
}

fn is_archived(archive: &Path, all: &All) {
    let (mut requests, mut scores, mut outcomes) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut decisions: HashMap<String, (i64, Said)> = HashMap::new();
    let mut twice = 0;
    rows(archive, |row: RequestRow<'_>| {
        twice += usize::from(!requests.insert(row.request_id.to_string()));
    });
    rows(archive, |row: ScoreRow<'_>| {
        scores.insert((row.request_id.to_string(), row.model.to_string()));
    });
    rows(archive, |row: OutcomeRow<'_>| {
        outcomes.insert(row.request_id.to_string());
    });
    rows(archive, |row: DecisionRow<'_>| {
        let said = Said {
            kind: row.kind.as_str().to_owned(),
            reason: row.reason.as_str().to_owned(),
            model: row.model.map(|model| model.to_string()),
            score: row.score.map(|score| score.as_str().to_owned()),
        };
        let decision = (row.decided_us.as_micros(), said);
        let former = decisions.insert(row.request_id.to_string(), decision.clone());
        assert!(former.is_none_or(|former| former == decision), "decided twice: {decision:?}");
    });
    for (id, said) in &all.answers {
        assert!(requests.contains(id), "request {id} is missing");
        let decision = decisions.get(id).map(|(_, said)| said);
        assert_eq!(decision, Some(said), "the decision of {id}");
        let Some(model) = &said.model else { continue };
        assert!(scores.contains(&(id.clone(), model.clone())), "the score of {id} is missing");
    }
    assert_eq!(all.accepted.difference(&requests).next(), None, "an accepted request is missing");
    assert_eq!(all.outcomes.difference(&outcomes).next(), None, "an outcome is missing");
    println!("{} requests in the archive, {twice} rows twice", requests.len());
}

#[test]
fn what_clients_were_told_outlives_every_kill() {
    let (kills, clients) = (set("KILLS", 3), set("CLIENTS", 8));
    let folder = tempfile::tempdir().unwrap();
    let mut all = All::default();
    let mut last = Vec::new();
    let (_sender, never) = mpsc::channel::<()>();
    let pause = |ms: usize| {
        let _ = never.recv_timeout(Duration::from_millis(ms as u64));
    };
    let (mut asked, mut seconds) = (0, 0.0);
    for kill in 0..kills {
        let server = Server::start(folder.path());
        says_the_same(&server, &last, &all);
        let (begin, ended) = (Instant::now(), AtomicBool::new(false));
        last = thread::scope(|scope| {
            let client = |number| {
                let (server, ended) = (&server, &ended);
                let name = format!("{kill}-{number}");
                scope.spawn(move || ask(&server.address, &server.sample, &name, ended))
            };
            let clients: Vec<_> = (0..clients).map(client).collect();
            // At another moment of the batches each time.
            pause(700 + kill * 377 % 900);
            seconds += begin.elapsed().as_secs_f64();
            ended.store(true, Relaxed);
            let pid = server.child.id().to_string();
            assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
            clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
        });
        let mut child = server.child;
        child.wait().unwrap();
        for told in &last {
            asked += told.answers.len() + told.accepted.len();
            all.answers.extend(told.answers.iter().cloned());
            all.accepted.extend(told.accepted.iter().cloned());
            all.outcomes.extend(told.outcomes.iter().cloned());
        }
    }
    let server = Server::start(folder.path());
    says_the_same(&server, &last, &all);
    server.end("-TERM");
    is_archived(&folder.path().join("archive"), &all);
    let (answers, accepted, outcomes) = (all.answers.len(), all.accepted.len(), all.outcomes.len());
    assert!(answers > 0 && accepted > 0 && outcomes > 0);
    println!(
        "{kills} kills, {:.0} requests a second: {answers} answers, {accepted} accepted requests \
         and {outcomes} outcomes; none is missing, none differs",
        f64::from(u32::try_from(asked).unwrap()) / seconds
    );
}
