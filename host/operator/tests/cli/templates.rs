//! Delimiters of templates: flags of the process, and the annotation of one ExternalSecret.

use crate::common::{Place, Ran};

const SOURCE: &str = "<% .password %> [[ .password ]] {{ .password }}";

fn manifests(annotation: &str) -> String {
    format!(
        "apiVersion: external-secrets.io/v1\nkind: SecretStore\nmetadata: {{name: s}}\nspec: {{provider: {{fake: {{data: [{{key: k, value: one}}]}}}}}}\n---\n\
         apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {{name: app, annotations: {{{annotation}}}}}\n\
         spec:\n  secretStoreRef: {{name: s}}\n  data: [{{secretKey: password, remoteRef: {{key: k}}}}]\n  target: {{template: {{data: {{text: '{SOURCE}'}}}}}}\n"
    )
}

fn synced(annotation: &str, arguments: &[&str], variables: &[(&str, &str)]) -> (Ran, String) {
    let place = Place::with(&[("all.yaml", &manifests(annotation))]);
    let mut command = place.command(&["--to", "out", "--as", "files"]);
    command.args(arguments).envs(variables.iter().copied());
    let ran = Ran::from(command.output().unwrap());
    let text = std::fs::read_to_string(place.path("out/default/app/text")).unwrap_or_default();
    (ran, text)
}

#[test]
fn delimiters_come_from_the_object_or_a_flag_or_a_variable() {
    let (ran, text) = synced("", &[], &[]);
    assert_eq!(text, "<% .password %> [[ .password ]] one", "{ran:?}");
    let flags = [
        "--template-left-delimiter",
        "<%",
        "--template-right-delimiter",
        "%>",
    ];
    let (ran, text) = synced("", &flags, &[]);
    assert_eq!(text, "one [[ .password ]] {{ .password }}", "{ran:?}");
    let variables = [
        ("POSTERN_TEMPLATE_LEFT_DELIMITER", "<%"),
        ("POSTERN_TEMPLATE_RIGHT_DELIMITER", "%>"),
    ];
    let (ran, text) = synced("", &[], &variables);
    assert_eq!(text, "one [[ .password ]] {{ .password }}", "{ran:?}");
    let annotation = "postern.dev/template-delimiters: '[[ ]]'";
    let (ran, text) = synced(annotation, &flags, &[]);
    assert_eq!(text, "<% .password %> one {{ .password }}", "{ran:?}");
}

#[test]
fn delimiters_that_cannot_be_read_write_nothing() {
    let (ran, text) = synced("postern.dev/template-delimiters: '[['", &[], &[]);
    assert_eq!((ran.code, text.as_str()), (Some(1), ""), "{ran:?}");
    assert!(
        ran.err.contains("postern.dev/template-delimiters must be"),
        "{}",
        ran.err
    );
}
