//! What the functions' own tests share.

use std::process::Command;

/// The environment variables that a function's binary asks for beside those that Lambda sets, in
/// its order: starts it again and again, each time with what it has missed.
#[expect(clippy::missing_panics_doc, clippy::expect_used, reason = "a test that cannot run fails")]
pub fn missing_variables(binary: &str) -> Vec<String> {
    let mut missing: Vec<String> = Vec::new();
    loop {
        let mut function = Command::new(binary);
        function.env_clear();
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"] {
            function.env(name, "x");
        }
        // A number is as good a name as any.
        function.envs(missing.iter().map(|name| (name, "1")));
        let output = function.output().expect("the binary runs");
        assert!(!output.status.success(), "{binary} serves nobody");
        let log = String::from_utf8_lossy(&output.stdout);
        let name = log.split_once("the environment variable ").and_then(|(_, rest)| {
            let (name, _) = rest.split_once(" is not set")?;
            Some(name.to_owned())
        });
        match name {
            Some(name) => missing.push(name),
            // Whatever it misses now is no variable of ours.
            None => return missing,
        }
    }
}
