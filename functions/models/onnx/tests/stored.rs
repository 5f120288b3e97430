//! The function with its ONNX file in S3: it is read once, and every mistake says what to do.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use rendezvous_aws::testing::printed;

const BINARY: &str = env!("CARGO_BIN_EXE_onnx-model");

/// S3 with one answer for every object: the head of an HTTP response, and its body. It is asked over
/// connections of their own.
struct S3 {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl S3 {
    fn answering(head: String, body: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let paths = asked.clone();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                paths.lock().unwrap().push(path(&stream));
                let answer = [head.as_bytes(), b"Connection: close\r\n\r\n", &body].concat();
                // The function need not read all of it.
                let _ = stream.write_all(&answer);
            }
        });
        Self { url, asked }
    }

    fn with(object: &[u8]) -> Self {
        Self::answering(head("200 OK", object.len()), object.to_vec())
    }

    fn refusing(status: &str, code: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>M</Message></Error>").into_bytes();
        Self::answering(head(status, body.len()), body)
    }
}

fn head(status: &str, length: usize) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n")
}

/// The path of the request on a connection.
fn path(stream: &TcpStream) -> String {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    lines.find(String::is_empty);
    let path = first.split(' ').nth(1).unwrap_or_default();
    path.split('?').next().unwrap_or_default().to_owned()
}

fn flights() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../flights")
}

fn onnx() -> Vec<u8> {
    fs::read(flights().join("prior.onnx")).unwrap()
}

/// A package with a card alone, as the function of a stack with `OnnxFile` has it.
fn package() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(flights().join("prior.json"), folder.path().join("prior.json")).unwrap();
    folder
}

fn environment<'a>(s3: &'a S3, package: &'a tempfile::TempDir) -> Vec<(&'a str, &'a str)> {
    vec![
        ("AWS_ENDPOINT_URL", &s3.url),
        ("LAMBDA_TASK_ROOT", package.path().to_str().unwrap()),
        ("CARD", "prior.json"),
        ("ONNX_FILE", "s3://models/flights/prior.onnx"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
        ("FUNCTION_TIMEOUT_SECONDS", "30"),
        ("STACK", "s"),
        ("SCORES_STREAM", "scores"),
        ("MODEL", "prior@1"),
    ]
}

/// The error with which the function ends, and how often it asked S3.
fn error(s3: &S3, changed: &[(&str, &str)]) -> (String, usize) {
    let package = package();
    let mut function = Command::new(BINARY);
    function.env_clear().envs(environment(s3, &package)).envs(changed.iter().copied());
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"] {
        function.env(name, "x");
    }
    let output = function.output().unwrap();
    assert!(!output.status.success(), "it started");
    let log = String::from_utf8(output.stdout).unwrap();
    let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    let error = last["error"].as_str().unwrap_or_else(|| panic!("{log}"));
    (error.to_owned(), s3.asked.lock().unwrap().len())
}

#[test]
fn the_file_is_read_once_when_the_function_starts() {
    let (s3, package) = (S3::with(&onnx()), package());
    // It asks for events when its models are loaded.
    printed(BINARY, &environment(&s3, &package), &[]);
    assert_eq!(*s3.asked.lock().unwrap(), ["/models/flights/prior.onnx"]);
}

#[test]
fn an_object_that_cannot_be_read_is_named_with_what_to_do() {
    for (status, code, expected) in [
        ("404 Not Found", "NoSuchKey", "there is no such object: upload the file, or correct"),
        ("404 Not Found", "NoSuchBucket", "there is no such bucket: upload the file, or correct"),
        (
            "403 Forbidden",
            "AccessDenied",
            "S3 refuses access: either nothing is there, or a policy",
        ),
        (
            "301 Moved Permanently",
            "PermanentRedirect",
            "the bucket is in another region than the function: copy the file",
        ),
    ] {
        let (error, calls) = error(&S3::refusing(status, code), &[]);
        let begin = "the parameter OnnxFile, s3://models/flights/prior.onnx: ";
        let what = error.strip_prefix(begin).unwrap_or_else(|| panic!("{error}"));
        assert!(what.starts_with(expected), "{error}");
        assert_eq!(calls, 1, "{code} is final");
    }
}

#[test]
fn a_file_with_another_hash_than_the_cards_does_not_start() {
    let mut other = onnx();
    *other.last_mut().unwrap() ^= 1;
    let (error, _) = error(&S3::with(&other), &[]);
    assert!(
        error.starts_with("the parameter OnnxFile, s3://models/flights/prior.onnx: sha256 is ")
    );
    assert!(error.contains(", but the card says "), "{error}");
}

#[test]
fn a_file_that_does_not_fit_into_the_memory_is_not_read() {
    let bytes = 200 << 20;
    let (error, _) = error(&S3::answering(head("200 OK", bytes), Vec::new()), &[]);
    let expected = "it has 209715200 bytes, and at most 67108864 may be read into the function's memory: set the parameter \
                    MemoryMB to 1600 or more";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn a_wrong_address_and_a_panel_are_refused_before_s3_is_asked() {
    let s3 = S3::with(&onnx());
    for (changed, expected) in [
        (("ONNX_FILE", "https://models/prior.onnx"), "must be s3://BUCKET/KEY, not https://"),
        (("CARD", "prior.json,prior.json"), "OnnxFile is the file of one model, but Card names 2"),
    ] {
        let (error, calls) = error(&s3, &[changed]);
        assert!(error.contains(expected), "{error}");
        assert_eq!(calls, 0);
    }
}
