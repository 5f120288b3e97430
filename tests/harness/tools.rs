//! Programs in Python, each in a virtual environment under `target/`, and running programs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// A virtual environment.
pub struct Python {
    folder: PathBuf,
}

impl Python {
    /// The environment `target/{name}`, with exactly the files that `requirements` pins by their hashes.
    pub fn new(name: &str, requirements: &str) -> Self {
        let requirements = root().join(requirements);
        let folder = root().join("target").join(name);
        let wanted = fs::read_to_string(&requirements).unwrap();
        let installed = folder.join("installed.txt");
        let environment = Self { folder };
        if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
            return environment;
        }
        println!("installing {} into {}", requirements.display(), environment.folder.display());
        let python = python3();
        run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&environment.folder));
        run(environment
            .command("pip")
            .args(["install", "--quiet", "--disable-pip-version-check"])
            // The file is complete: it names every dependency.
            .args(["--require-hashes", "--no-deps", "--requirement"])
            .arg(requirements));
        fs::write(installed, wanted).unwrap();
        environment
    }

    /// A program of the environment.
    pub fn command(&self, program: &str) -> Command {
        Command::new(self.folder.join("bin").join(program))
    }
}

fn python3() -> &'static str {
    let works = |python: &&str| {
        Command::new(python)
            .args(["-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    ["python3", "python"].into_iter().find(works).unwrap_or_else(|| {
        panic!(
            "these tests need Python 3.11 or newer with its module venv, as python3 on the PATH \
             (Debian: apt install python3-venv), for the emulator of AWS and the SAM CLI"
        )
    })
}

/// Runs a program to its end and returns what it has printed; panics with all of that if it fails.
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?} failed, {}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}
