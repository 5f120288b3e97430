use super::*;

/// Field 100, which nobody knows, of this type.
fn unknown(wire: u8, value: &[u8]) -> Vec<u8> {
    [&[wire, 0xc8, 0x01], value].concat()
}

/// The header of a page without bytes, with another field.
fn page(field: &[u8]) -> Vec<u8> {
    [&[0x15, 0x00, 0x15, 0x00, 0x15, 0x00], field, &[0x00]].concat()
}

fn error(bytes: &[u8]) -> String {
    check_pages(bytes, bytes.len()).unwrap_err().to_string()
}

#[test]
fn lists_and_maps_of_booleans_are_no_longer_than_what_they_are_in() {
    const MUCH: [u8; 5] = [0xff, 0xff, 0xff, 0xff, 0x07];
    let list = [&[0xf1][..], &MUCH].concat();
    let map = [&MUCH[..], &[0x12]].concat();
    let within = [&[0x29][..], &list, &list].concat();
    for (wire, value) in [(9, &list), (10, &list), (11, &map), (9, &within)] {
        let bytes = page(&unknown(wire, value));
        assert!(error(&bytes).contains("a list is longer than its structure"), "{value:x?}");
    }
    // As many as there are bytes, together.
    let few = page(&unknown(9, &[0x21, 0x41]));
    check_pages(&few, few.len()).unwrap();
    let many = page(&unknown(9, &[0x29, 0xe1, 0xe1]));
    assert!(error(&many).contains("a list is longer than its structure"));
    // Also those of all pages.
    let some = page(&unknown(9, &[0xe1]));
    let several = |count| [some.repeat(count), page(&[])].concat();
    check_pages(&several(1), several(1).len()).unwrap();
    assert!(error(&several(4)).contains("a list is longer than its structure"));
}

#[test]
fn what_is_known_has_its_type() {
    // Whether a dictionary is sorted is a boolean.
    let dictionary = |sorted: u8| [&[0x4c, 0x15, 0x00, 0x15, 0x00, sorted][..], &[0x00]].concat();
    let sorted = page(&dictionary(0x11));
    check_pages(&sorted, sorted.len()).unwrap();
    assert!(error(&page(&dictionary(0x18))).contains("a field has another type"));
    assert!(error(&[0x15, 0x00, 0x19, 0x00]).contains("a field has another type"));
}

#[test]
fn pages_follow_each_other() {
    let first = [0x15, 0x00, 0x15, 0x00, 0x15, 0x04, 0x00, 7, 7];
    let both = [&first[..], &page(&[])].concat();
    check_pages(&both, both.len()).unwrap();
    assert!(error(&first[..4]).contains("a structure is cut off"));
    assert!(error(&[&first[..], &[0x15]].concat()).contains("a structure is cut off"));
    assert!(error(&[0x00]).contains("a page has no size"));
    assert!(error(&page(&unknown(14, &[]))).contains("unknown type"));
    assert!(error(&page(&unknown(9, &[0x19; 40]))).contains("too deep"));
}
