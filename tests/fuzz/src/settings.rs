//! Configurations of endpoints.

use rendezvous_core::{Configuration, EndpointName, Key};

/// A configuration that is taken is the same after it was written and read, and every rule that depends on
/// one can be applied to it.
pub(crate) fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // Stored configurations may have fields of a later version.
    let stored = serde_json::from_str::<Configuration>(text);
    let Ok(read) = Configuration::parse(text) else { return };
    assert_eq!(stored.unwrap(), read);
    let written = serde_json::to_string(&read).unwrap();
    assert_eq!(Configuration::parse(&written).unwrap(), read);
    let endpoint: EndpointName = "e".parse().unwrap();
    for key in ["k", "tenant-7", "ä"] {
        let key: Key = key.parse().unwrap();
        let arm = read.assign(&endpoint, &key);
        let schedule = read.schedule(&arm);
        assert!(schedule.lists(schedule.champion()));
        let skips = read.skips(&endpoint, &key);
        assert!(skips.iter().all(|model| read.observers().iter().any(|o| o.model == *model)));
    }
    assert!(read.movements(&read).is_empty(), "a configuration moves no key to itself");
    assert!(read.arms().all(|(_, schedule)| schedule.choices().iter().all(|choice| {
        choice.after < schedule.deadline() && read.models().any(|model| *model == choice.model)
    })));
}
