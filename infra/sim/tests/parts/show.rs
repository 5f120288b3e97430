//! Traces for people.

use rendezvous_sim::show::Names;

#[test]
fn a_line_has_the_time_from_the_first_and_short_names() {
    let mut names = Names::default();
    let (one, two) =
        ("019aaa55-e258-70ca-8392-a4d77a081b08", "7ce13403-7c6b-8d47-a726-7a40c049a0a8");
    assert_eq!(names.line(&format!("5000us a: {one}")), "       0.000 ms  a: r1");
    let line = format!("6500us b: {two}, {one} and {}", "ä".repeat(300));
    let shown = names.line(&line);
    assert!(shown.starts_with("       1.500 ms  b: r2, r1 and ä"), "{shown}");
    assert!(shown.ends_with('…') && shown.chars().count() < 220, "{shown}");
    assert_eq!(names.shorten(&format!("{one}: broken")), "r1: broken");
}
