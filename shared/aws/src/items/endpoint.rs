//! The table of endpoints: one item for each published version, written once, and for each endpoint
//! one pointer item that names the current version. Written by the publisher.

use rendezvous_core::{Configuration, EndpointName, Invalid, Provenance, Publication, Timestamp};

use super::{Attribute, Attributes, json, text, time, unsigned};

/// The `version` of the pointer item.
pub const POINTER: u64 = 0;

/// The endpoint's name: the partition key.
pub const NAME: Attribute<EndpointName> = text("name");
/// The version, 1, 2, …, or [`POINTER`]: the sort key.
pub const VERSION: Attribute<u64> = unsigned("version");
/// Pointer: the current version.
pub const CURRENT: Attribute<u64> = unsigned("current");
/// Version: the configuration.
pub const CONFIGURATION: Attribute<Configuration> = json("configuration");
/// Version: when it was published.
pub const PUBLISHED: Attribute<Timestamp> = time("published_us");
/// Version: who published it and why. Absent in items written before version 0.2.
pub const PROVENANCE: Attribute<Provenance> = json("provenance");
/// Version: the version that it replaced. Absent for the first, and in items written before
/// version 0.2.
pub const REPLACED: Attribute<u64> = unsigned("replaced");

/// The key of an item.
pub fn key(name: &EndpointName, version: u64) -> Attributes {
    let mut key = Attributes::new();
    NAME.put(name, &mut key);
    VERSION.put(&version, &mut key);
    key
}

/// The item of a version.
pub fn version(
    name: &EndpointName,
    configuration: &Configuration,
    publication: &Publication,
) -> Attributes {
    let Publication { version, provenance, published, replaced } = publication;
    let mut item = key(name, *version);
    CONFIGURATION.put(configuration, &mut item);
    PUBLISHED.put(published, &mut item);
    if let Some(provenance) = provenance {
        PROVENANCE.put(provenance, &mut item);
    }
    if let Some(replaced) = replaced {
        REPLACED.put(replaced, &mut item);
    }
    item
}

/// The publication that the item of a version records.
pub fn publication(item: &Attributes) -> Result<Publication, Invalid> {
    let version = VERSION.get(item)?;
    // Before version 0.2 every version replaced the one before it.
    let before = version.checked_sub(1).filter(|before| *before > 0);
    Ok(Publication {
        version,
        provenance: PROVENANCE.find(item)?,
        published: PUBLISHED.get(item)?,
        replaced: REPLACED.find(item)?.or(before),
    })
}
