//! The deliberate defects are in no program that is deployed.

use std::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Which features of `rendezvous-core` a build has, with these options of cargo.
fn features_of_core(options: &[&str]) -> Vec<String> {
    let mut tree = Command::new(env!("CARGO"));
    tree.current_dir(ROOT).args(["tree", "--locked", "--prefix", "none", "--no-dedupe"]);
    tree.args(["--format", "{p}|{f}"]).args(options);
    let output = tree.output().expect("cargo tree");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let core = text.lines().filter(|line| line.starts_with("rendezvous-core "));
    core.filter_map(|line| line.split_once('|')).map(|(_, features)| features.to_owned()).collect()
}

/// The packages and features that `sam build` names, from the Makefile of the functions.
fn deployed() -> Vec<String> {
    let makefile = format!("{ROOT}/functions/Makefile");
    let text = std::fs::read_to_string(makefile).expect("the Makefile");
    let (_, options) = text.split_once("\nFUNCTIONS = ").expect("what is built");
    let (options, _) = options.split_once("\n\n").expect("its end");
    let words: Vec<_> = options.split_whitespace().filter(|word| *word != "\\").collect();
    let pairs = words.chunks(2).filter(|pair| pair[0] != "--bin");
    pairs.flatten().map(|word| (*word).to_owned()).collect()
}

#[test]
fn nothing_that_is_deployed_has_the_deliberate_defects() {
    let deployed = deployed();
    let options = ["--edges", "normal,build"].into_iter();
    let options: Vec<_> = options.chain(deployed.iter().map(String::as_str)).collect();
    let features = features_of_core(&options);
    assert!(!features.is_empty(), "cargo tree names rendezvous-core");
    assert!(features.iter().all(|features| !features.contains("mutations")), "{features:?}");
    let here = features_of_core(&["--package", "rendezvous-tests"]);
    assert!(here.iter().all(|features| features.contains("mutations")), "{here:?}");
}
