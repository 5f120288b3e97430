//! Trees made by hand.

use super::*;

/// One tree: a test of column 0 against 1.5, with leaves of weights 10 (passed) and 20.
fn lists(mode: &str) -> Lists<'_> {
    Lists {
        trees: &[0, 0, 0],
        nodes: &[0, 1, 2],
        columns: &[0, 0, 0],
        modes: vec![mode, "LEAF", "LEAF"],
        thresholds: vec![1.5, 0.0, 0.0],
        passed: &[1, 0, 0],
        failed: &[2, 0, 0],
        missing: &[],
        weight_trees: &[0, 0],
        weight_nodes: &[1, 2],
        weight_targets: &[0, 0],
        weights: vec![10.0, 20.0],
    }
}

fn sums(lists: &Lists<'_>, x: &[f32]) -> Vec<f64> {
    Forest::new(lists, 1, false).unwrap().sums(x.len(), 1, x).unwrap()
}

#[test]
fn every_comparison_is_as_the_standard_says_also_with_a_missing_value() {
    let x = [1.0, 1.5, 2.0, f32::NAN];
    for (mode, passes) in [
        ("BRANCH_LEQ", [true, true, false, false]),
        ("BRANCH_LT", [true, false, false, false]),
        ("BRANCH_GT", [false, false, true, false]),
        ("BRANCH_GTE", [false, true, true, false]),
        ("BRANCH_EQ", [false, true, false, false]),
        ("BRANCH_NEQ", [true, false, true, true]),
    ] {
        let expected = passes.map(|passes| if passes { 10.0 } else { 20.0 });
        assert_eq!(sums(&lists(mode), &x), expected, "{mode}");
        let tracks = Lists { missing: &[1, 0, 0], ..lists(mode) };
        let expected = [expected[0], expected[1], expected[2], 10.0];
        assert_eq!(sums(&tracks, &x), expected, "{mode}");
    }
}

#[test]
fn a_threshold_of_more_digits_than_the_value_separates_the_same_values() {
    let threshold = 0.1_f64;
    let near = [0.1_f32.next_down(), 0.1, 0.1_f32.next_up()];
    for (mode, passes) in [
        ("BRANCH_LEQ", near.map(|x| f64::from(x) <= threshold)),
        ("BRANCH_LT", near.map(|x| f64::from(x) < threshold)),
    ] {
        let lists = Lists { thresholds: vec![threshold, 0.0, 0.0], ..lists(mode) };
        assert_eq!(sums(&lists, &near), passes.map(|passes| if passes { 10.0 } else { 20.0 }));
    }
}

#[test]
fn a_mean_is_that_of_the_trees() {
    let (trees, nodes, zeros, leaf) = ([3, 8], [0, 0], [0, 0], vec!["LEAF", "LEAF"]);
    let two = Lists {
        trees: &trees,
        nodes: &nodes,
        columns: &zeros,
        modes: leaf,
        thresholds: vec![0.0; 2],
        passed: &zeros,
        failed: &zeros,
        missing: &[],
        weight_trees: &trees,
        weight_nodes: &nodes,
        weight_targets: &zeros,
        weights: vec![1.0, 4.0],
    };
    assert_eq!(Forest::new(&two, 1, true).unwrap().sums(1, 1, &[0.0]).unwrap(), [2.5]);
}

#[test]
fn lists_that_are_no_trees_are_errors() {
    let of = || lists("BRANCH_LEQ");
    for (lists, message) in [
        (Lists { passed: &[0, 0, 0], ..of() }, "node 0 of tree 0 is reached on two paths"),
        (Lists { passed: &[2, 0, 0], ..of() }, "node 2 of tree 0 is reached on two paths"),
        (Lists { passed: &[7, 0, 0], ..of() }, "tree 0 has no node 7"),
        (Lists { passed: &[-1, 0, 0], ..of() }, "tree 0 has no node -1"),
        (Lists { nodes: &[0, 1, 1], ..of() }, "tree 0 has two nodes 1"),
        (
            Lists { trees: &[0, 1, 0], modes: vec!["LEAF"; 3], weight_nodes: &[0, 2], ..of() },
            "the nodes of tree 0 do not follow one another",
        ),
        (Lists { columns: &[-1, 0, 0], ..of() }, "nodes_featureids: -1 is no column"),
        (Lists { columns: &[1 << 40, 0, 0], ..of() }, "is no column"),
        (Lists { modes: vec!["LEAF"], ..of() }, "nodes_modes has 1 entries"),
        (Lists { modes: vec!["BRANCH_?"; 3], ..of() }, "BRANCH_? is not supported"),
        (Lists { missing: &[1], ..of() }, "tracks_true has 1 entries"),
        (Lists { weight_targets: &[0], ..of() }, "has 2 weights for 1 targets"),
        (Lists { weight_targets: &[0, 1], ..of() }, "a weight is of target 1, of 1"),
        (Lists { weight_targets: &[0, -1], ..of() }, "a weight is of target -1, of 1"),
        (Lists { weight_nodes: &[1, 9], ..of() }, "a weight is of node 9 of tree 0"),
    ] {
        let error = Forest::new(&lists, 1, false).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
    let error = Forest::new(&of(), 1_000_000_000, false).unwrap_err();
    assert!(error.contains("has 1000000000 targets"), "{error}");
    let wide = Forest::new(&Lists { columns: &[5, 0, 0], ..of() }, 1, false).unwrap();
    assert!(wide.sums(1, 5, &[0.0; 5]).unwrap_err().contains("tests column 6 of rows that have 5"));
}
