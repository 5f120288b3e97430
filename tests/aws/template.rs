//! The templates, by the rules of cfn-lint and of SAM.

use rendezvous_tests_aws::lint;

#[test]
fn every_template_is_clean() {
    lint(&[
        "template.yaml",
        "functions/models/template.yaml",
        "infra/observability.yaml",
        "infra/analytics.yaml",
    ]);
}
