//! The web console of a stack.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use rendezvous_tests::tools::{root, run};

use crate::Client;

/// A console, which ends when this is dropped.
pub struct Console {
    process: Child,
    /// The printed address, with the token.
    url: String,
}

impl Console {
    /// Starts it by a command whose first line is the address.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { process, url: url.trim().to_owned() }
    }

    /// A client of its interface.
    pub async fn client(&self) -> Client {
        let host = self.url.trim_start_matches("http://");
        let host = host.split_once('/').map_or(host, |(host, _)| host);
        Client::connect(host, "/console/api".to_owned()).await
    }

    /// Opens every view in Chromium.
    pub fn opens_in_a_browser(&self) {
        run(Command::new(root().join("tests/console/run")).args(["--open", &self.url]));
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
