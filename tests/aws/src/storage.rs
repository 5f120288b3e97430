use std::{collections::HashMap, fs, process};

use rendezvous_tests::tools::root;

use crate::{Stack, endpoint::Endpoint, sam, templates};

impl Stack {
    /// Deploys nothing but the streams, tables and buckets of the template, which takes seconds.
    pub async fn deploy_storage() -> Self {
        let (sam, endpoint) = (sam(), Endpoint::find().await);
        let name = format!("rendezvous-storage-{}", process::id());
        let mut stack = Self { name, outputs: HashMap::new(), endpoint, sam };
        let template = root().join("target/storage.json");
        fs::write(&template, templates(&["storage", "template.yaml"]).to_string()).unwrap();
        let outputs = stack.aws(&["create", &stack.name, template.to_str().unwrap()]);
        stack.outputs = serde_json::from_value(outputs).unwrap();
        stack
    }
}
