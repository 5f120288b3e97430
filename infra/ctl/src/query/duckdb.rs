//! A saved query over the archive of a data folder, by DuckDB, in a Python environment that is made
//! at the first use.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{rows::Rows, saved::TEMPLATE};
use crate::failure::Failure;

/// Translates and runs a query; the tests of the queries use it, too.
const PROGRAM: &str = include_str!("../../query/saved_queries.py");
/// What the program needs, each file with its hash.
const REQUIREMENTS: &str = include_str!("../../query/requirements.txt");

/// Runs a query over an archive. `progress` is told what takes long.
pub fn answer(archive: &Path, sql: &str, progress: impl FnOnce(&str)) -> Result<Rows, Failure> {
    if !holds_files(archive) {
        return Err(Failure::Failed(format!(
            "the archive is empty: no file is in {}. Rows arrive some seconds after requests",
            archive.display()
        )));
    }
    let python = environment(&cache_folder()?, progress)?;
    // Seen from the archive, so that its path, whatever is in it, is no part of any SQL.
    let asked = json!({ "template": TEMPLATE, "archive": ".", "sql": sql }).to_string();
    let mut program = Command::new(python);
    program.args(["-I", "-c", PROGRAM]).current_dir(archive);
    let output = run(&mut program, &asked)?;
    if !output.status.success() {
        return Err(Failure::Failed(format!("DuckDB: {}", last_words(&output))));
    }
    let answered = serde_json::from_slice::<Rows>(&output.stdout);
    answered.map_err(|error| Failure::Failed(format!("the answer of DuckDB: {error}")))
}

fn holds_files(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| {
        path.extension().is_some_and(|extension| extension == "parquet") || holds_files(&path)
    })
}

/// The folder below which the environment lies.
fn cache_folder() -> Result<PathBuf, Failure> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = variable("XDG_CACHE_HOME")
        .or_else(|| variable("LOCALAPPDATA"))
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")));
    let cache = cache.filter(|folder| folder.is_absolute()).ok_or_else(|| {
        Failure::Failed(
            "there is no place for a Python environment: set XDG_CACHE_HOME to a folder, whose path \
             begins at the root, or HOME"
                .to_owned(),
        )
    })?;
    Ok(cache.join("rendezvousctl"))
}

/// The Python of the environment, which is made where it is missing. Its folder is named after
/// what is in it, so another version of the requirements, or of Python, gets another one.
fn environment(cache: &Path, progress: impl FnOnce(&str)) -> Result<PathBuf, Failure> {
    let (python, version) = python3()?;
    let digest = Sha256::new().chain_update(&version).chain_update(REQUIREMENTS).finalize();
    let digest = digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
    let name = format!("query-{digest:016x}");
    let folder = cache.join(&name);
    if !folder.is_dir() {
        progress(&format!(
            "making a Python environment with DuckDB, once, in {}",
            folder.display()
        ));
        // Complete or not there at all: a run that is killed leaves nothing that the next one takes.
        let begun = cache.join(format!("{name}.{}", std::process::id()));
        let made = make(python, &begun).and_then(|()| match fs::rename(&begun, &folder) {
            // Another run was first.
            Err(_) if folder.is_dir() => Ok(()),
            renamed => renamed.map_err(|error| failed(&folder, &error)),
        });
        // After a success there is nothing to remove.
        let _ = fs::remove_dir_all(&begun);
        made?;
    }
    Ok(python_in(&folder))
}

fn make(python: &str, folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let mut venv = Command::new(python);
    venv.args(["-I", "-m", "venv"]).arg(folder);
    let output = run(&mut venv, "")?;
    if !output.status.success() {
        let what = format!("no Python environment could be made: {}", last_words(&output));
        return Err(Failure::Failed(what));
    }
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(|error| failed(&requirements, &error))?;
    let mut pip = Command::new(python_in(folder));
    pip.args(["-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["--retries", "2", "--only-binary", ":all:"])
        // The file is complete: it names every dependency.
        .args(["--require-hashes", "--no-deps", "--requirement"])
        .arg(&requirements);
    let output = run(&mut pip, "")?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "DuckDB could not be installed: {}. The first use needs a package index: the network, or a \
         mirror that PIP_INDEX_URL names",
        last_words(&output).trim_end_matches('.')
    )))
}

/// A Python that can make environments, and its version.
fn python3() -> Result<(&'static str, String), Failure> {
    let script = "import sys, venv, ensurepip\n\
        if sys.version_info < (3, 11): sys.exit(1)\n\
        print(sys.version, sys.executable)";
    let version = |python| {
        let output = run(Command::new(python).args(["-I", "-c", script]), "").ok()?;
        let version = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some((python, version))
    };
    ["python3", "python"].into_iter().find_map(version).ok_or_else(|| {
        Failure::Failed(
            "a query on a data folder needs Python 3.11 or newer with its module venv, as python3 on \
             the PATH (Debian: apt install python3-venv)"
                .to_owned(),
        )
    })
}

fn python_in(environment: &Path) -> PathBuf {
    environment.join(if cfg!(windows) { r"Scripts\python.exe" } else { "bin/python" })
}

/// Runs a program to its end, with this text as its input.
fn run(command: &mut Command, input: &str) -> Result<Output, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut done = || -> io::Result<Output> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that ends early says why, in its output.
            let _ = stdin.write_all(input.as_bytes());
        }
        child.wait_with_output()
    };
    done().map_err(|error| Failure::Failed(format!("{name}: {error}")))
}

/// What a program said at last: the lines from `ERROR:` on, where there is one.
fn last_words(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let text = text.trim();
    text.rfind("ERROR: ").map_or(text, |at| &text[at + "ERROR: ".len()..]).to_owned()
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!("{}: {error}", path.display()))
}
