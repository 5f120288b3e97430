//! Every input of the corpora, those that once crashed included, through its target.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{fs, path::PathBuf};

use rendezvous_fuzz::TARGETS;

fn corpus(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "corpus", target].iter().collect()
}

/// The files of a target's corpus, in the order of their names.
fn inputs(target: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(corpus(target)).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_input_of_the_corpora_keeps_the_rules() {
    for target in TARGETS {
        for file in inputs(target.name) {
            let input = fs::read(&file).unwrap();
            // The test's output names the file on which it ends.
            println!("{}", file.display());
            (target.run)(&input);
        }
    }
}

#[test]
fn the_corpora_are_small_and_each_is_a_targets() {
    let (mut files, mut bytes) = (0, 0);
    for target in TARGETS {
        let inputs = inputs(target.name);
        assert!(!inputs.is_empty(), "{} has no inputs", target.name);
        files += inputs.len();
        bytes += inputs.iter().map(|file| fs::metadata(file).unwrap().len()).sum::<u64>();
    }
    assert!(files <= 600 && bytes <= 600_000, "{files} files, {bytes} bytes");
    for folder in fs::read_dir(corpus("")).unwrap() {
        let name = folder.unwrap().file_name();
        assert!(TARGETS.iter().any(|target| *target.name == *name), "{name:?} is no target");
    }
}
