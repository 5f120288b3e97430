//! Ids that are derived stay the same from release to release.

use rendezvous_core::{IdempotencySecret, RequestId};

#[test]
fn an_id_and_an_owner_are_the_documented_authentication_codes() {
    let secret = IdempotencySecret::new(&[1; 32]).unwrap();
    // python3 -c 'import hashlib as h, hmac; key = h.sha256(b"\1" * 32).digest()
    //             for text in b"owner:ann", b"request id:3:ann1:ek":
    //                 print(hmac.digest(key, text, "sha256")[:16].hex())'
    let owner = secret.owner("ann").map(|byte| format!("{byte:02x}")).concat();
    assert_eq!(owner, "0eb13200e9cd4e78f22393e5dbadd173");
    let id = RequestId::from_idempotency_key(&secret, "ann", &"e".parse().unwrap(), "k");
    // With the bits of version 8 and of the variant (RFC 9562).
    assert_eq!(id.to_string(), "23d0524e-58bf-815b-b5b7-6e7e33556dd3");
}
