//! What the operator reads when a file is wrong: nothing is written then, AWS is not even asked.

use std::{fs, path::Path, process::Command};

/// What `rendezvousctl apply` says about a file of this name and text.
fn refusal(name: &str, text: &str) -> String {
    let folder = std::env::temp_dir().join(format!("rendezvousctl-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(name);
    fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rendezvousctl"));
    let output = command.env_clear().args(["apply", "-m", "test"]).arg(&file).output().unwrap();
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(output.status.code(), Some(3), "refused by a rule");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains(name), "it names the file: {message}");
    message
}

#[test]
fn a_wrong_file_is_refused_with_its_reason() {
    let good = r#"{"schedule":{"choices":[{"model":"a@1"}],"deadline_ms":100}}"#;
    assert!(refusal("e.json", &good.replace("a@1", "a")).contains("name@version"));
    assert!(refusal("e.json", "{").contains("line 1"));
    assert!(refusal("No Name.json", good).contains("a-z, 0-9 and '-'"));
}

#[test]
fn every_example_is_a_configuration() {
    for example in ["examples", "examples/slow"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(example);
        let text = fs::read_to_string(folder.join("flight-delay.json")).unwrap();
        rendezvous_core::Configuration::parse(&text).unwrap();
    }
}
