//! Which bounds stand at which field.

/// A bound of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// The name of an object: an RFC 1123 subdomain.
    ObjectName,
    /// The name of a namespace: an RFC 1123 label.
    NamespaceName,
    /// A key of a Secret or ConfigMap.
    SecretKey,
    /// An object with exactly one field.
    OneField,
    /// A text that is not empty.
    NotEmpty,
    /// A list that is not empty.
    OneItem,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A text of this form.
    Pattern(&'static str),
    /// An RFC 3339 time.
    Time,
    /// The same, or null.
    NullableTime,
}

pub(super) const OBJECT_NAME: &str =
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
pub(super) const NAMESPACE_NAME: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
pub(super) const SECRET_KEY: &str = "^[-._a-zA-Z0-9]+$";
/// Five fields of cron, a name such as `@hourly`, or `@every` with a duration.
const SCHEDULE: &str = r"^(@(annually|yearly|monthly|weekly|daily|midnight|hourly)|@every [^\s]+.*|[^\s]+( [^\s]+){4})$";

const GENERATORS: Bound = Bound::OneOf(&[
    "ACRAccessToken",
    "BeyondtrustWorkloadCredentialsDynamicSecret",
    "ClusterGenerator",
    "CloudsmithAccessToken",
    "ECRAuthorizationToken",
    "Fake",
    "GCRAccessToken",
    "GithubAccessToken",
    "GitlabDeployToken",
    "QuayAccessToken",
    "Password",
    "SSHKey",
    "STSSessionToken",
    "UUID",
    "VaultDynamicSecret",
    "Webhook",
    "Grafana",
    "MFA",
]);

/// Within the spec of an ExternalSecret, wherever that stands.
pub(crate) const EXTERNAL_SECRET_SPEC: &[(&str, Bound)] = &[
    ("secretStoreRef.name", Bound::ObjectName),
    ("data[].secretKey", Bound::SecretKey),
    ("data[].sourceRef", Bound::OneField),
    ("data[].sourceRef.storeRef.name", Bound::ObjectName),
    ("data[].sourceRef.generatorRef.kind", GENERATORS),
    ("data[].sourceRef.generatorRef.name", Bound::ObjectName),
    ("dataFrom[].sourceRef", Bound::OneField),
    ("dataFrom[].sourceRef.storeRef.name", Bound::ObjectName),
    ("dataFrom[].sourceRef.generatorRef.kind", GENERATORS),
    ("dataFrom[].sourceRef.generatorRef.name", Bound::ObjectName),
    ("dataFrom[].rewrite[]", Bound::OneField),
    ("syncWindows.kind", Bound::OneOf(&["allow", "deny"])),
    ("syncWindows.windows", Bound::OneItem),
    ("syncWindows.windows[].schedule", Bound::Pattern(SCHEDULE)),
    ("target.name", Bound::ObjectName),
    ("target.manifest.apiVersion", Bound::NotEmpty),
    ("target.manifest.kind", Bound::NotEmpty),
    (
        "target.template.templateFrom[].configMap.name",
        Bound::ObjectName,
    ),
    (
        "target.template.templateFrom[].configMap.items[].key",
        Bound::SecretKey,
    ),
    (
        "target.template.templateFrom[].secret.name",
        Bound::ObjectName,
    ),
    (
        "target.template.templateFrom[].secret.items[].key",
        Bound::SecretKey,
    ),
];

/// In the status of an ExternalSecret.
pub(crate) const EXTERNAL_SECRET: &[(&str, Bound)] = &[
    ("status.refreshTime", Bound::NullableTime),
    (
        "status.conditions[].type",
        Bound::OneOf(&["Ready", "Deleted"]),
    ),
    ("status.conditions[].lastTransitionTime", Bound::Time),
];

/// In a ClusterExternalSecret, beside the spec that it carries.
pub(crate) const CLUSTER_EXTERNAL_SECRET: &[(&str, Bound)] = &[
    ("spec.externalSecretName", Bound::ObjectName),
    ("spec.namespaces[]", Bound::NamespaceName),
];

/// In both kinds of stores.
pub(crate) const STORE: &[(&str, Bound)] = &[
    ("spec.conditions[].namespaces[]", Bound::NamespaceName),
    ("status.conditions[].lastTransitionTime", Bound::Time),
];
