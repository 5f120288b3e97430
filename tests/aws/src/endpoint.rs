//! An emulator of AWS.

use std::{
    env, fs,
    net::TcpListener,
    process::{Child, Stdio},
    time::Duration,
};

use rendezvous_tests::tools::{Python, root};
use tokio::{net::TcpStream, time::sleep};

/// Where the calls to AWS go.
pub(crate) struct Endpoint {
    pub(crate) url: String,
    /// The emulator that was started for this stack. It ends when its standard input is closed.
    pub(crate) emulator: Option<Child>,
}

impl Endpoint {
    pub(crate) async fn find() -> Self {
        if let Ok(url) = env::var("AWS_ENDPOINT_URL") {
            assert!(url.starts_with("http://"), "AWS_ENDPOINT_URL must be an emulator's, http://…");
            return Self { url, emulator: None };
        }
        let python = Python::new("python-emulator", "tests/aws/python/emulator.txt");
        // The port is free now. That another process takes it before the emulator does is unlikely.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        let log = fs::File::create(root().join("target/emulator.log")).unwrap();
        println!("an emulator of AWS at {url}, its log in target/emulator.log");
        let emulator = python
            .command("python")
            .arg(root().join("tests/aws/python/emulator.py"))
            // The functions inherit these variables.
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
