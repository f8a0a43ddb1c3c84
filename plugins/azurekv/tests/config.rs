//! What a store may say, and what it needs: exactly the vault, where one logs in, and the references of the method in use.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use postern_plugin_azurekv::AzureKeyVault;
use postern_plugin_azurekv::config::Config;
use postern_sdk::{Credential, Needs, Provider, Reference};
use serde_json::{Value, json};

fn with(more: Value) -> String {
    let mut config =
        json!({"vaultUrl": "https://v.vault.azure.net/", "tenantId": "contoso.onmicrosoft.com"});
    let (Some(config_members), Some(more)) = (config.as_object_mut(), more.as_object()) else {
        panic!("no objects")
    };
    config_members.extend(more.clone());
    config_members.retain(|_, value| !value.is_null());
    config.to_string()
}

fn secret() -> Value {
    json!({"authSecretRef": {"clientId": {"name": "s", "key": "i"}, "clientSecret": {"name": "s", "key": "s"}}})
}

fn and(mut one: Value, other: Value) -> Value {
    let members = other.as_object().unwrap().clone();
    one.as_object_mut().unwrap().extend(members);
    one
}

fn credential(pointer: &str, value: &str) -> Credential {
    Credential {
        pointer: pointer.to_owned(),
        value: value.as_bytes().to_vec(),
        attributes: Vec::new(),
    }
}

fn needs(more: Value) -> Needs {
    AzureKeyVault::examine(&with(more), &[], &Vec::new()).unwrap()
}

fn problems(more: Value) -> Vec<String> {
    let problems = AzureKeyVault::examine(&with(more), &[], &Vec::new()).unwrap_err();
    problems.into_iter().map(|p| p.pointer).collect()
}

fn origins(needs: &Needs) -> Vec<&str> {
    needs.endpoints.iter().map(|e| e.origin.as_str()).collect()
}

#[test]
fn an_application_needs_its_id_and_one_proof() {
    let by_secret = needs(secret());
    let pointers = ["/authSecretRef/clientId", "/authSecretRef/clientSecret"];
    assert_eq!(by_secret.references, pointers.map(Reference::at));
    assert_eq!(
        origins(&by_secret),
        [
            "https://v.vault.azure.net",
            "https://login.microsoftonline.com"
        ]
    );
    let certificate =
        json!({"authSecretRef": {"clientId": {"name": "s"}, "clientCertificate": {"name": "s"}}});
    let pointers = [
        "/authSecretRef/clientId",
        "/authSecretRef/clientCertificate",
    ];
    assert_eq!(needs(certificate).references, pointers.map(Reference::at));
    assert_eq!(
        problems(json!({})),
        ["/authSecretRef/clientId", "/authSecretRef"]
    );
    assert_eq!(
        problems(and(secret(), json!({"tenantId": null}))),
        ["/tenantId"]
    );
    assert_eq!(
        problems(and(secret(), json!({"tenantId": "../x"}))),
        ["/tenantId"]
    );
    let both =
        json!({"authSecretRef": {"clientId": {}, "clientSecret": {}, "clientCertificate": {}}});
    assert_eq!(problems(both), ["/authSecretRef"]);
}

#[test]
fn a_service_account_needs_a_token_for_the_exchange() {
    let more = json!({"authType": "WorkloadIdentity", "serviceAccountRef": {"name": "a", "audiences": ["x"]}});
    let without = needs(and(more.clone(), json!({"tenantId": null}))).references;
    assert_eq!(without[1..], [Reference::at("env:AZURE_TENANT_ID")]);
    let account = Reference {
        audiences: vec!["api://AzureADTokenExchange".to_owned(), "x".to_owned()],
        expires_in_s: Some(600),
        ..Reference::at("/serviceAccountRef")
    };
    assert_eq!(
        needs(more.clone()).references,
        std::slice::from_ref(&account)
    );
    let references =
        json!({"authSecretRef": {"clientId": {"name": "s"}, "tenantId": {"name": "s"}}});
    let more = and(more, references);
    let pointers = ["/authSecretRef/clientId", "/authSecretRef/tenantId"].map(Reference::at);
    assert_eq!(needs(more).references, [&[account], &pointers[..]].concat());
    let half = json!({"authType": "WorkloadIdentity", "serviceAccountRef": {"name": "a"}, "authSecretRef": {"tenantId": {}}});
    assert_eq!(problems(half), ["/authSecretRef/clientId"]);
}

#[test]
fn the_platforms_identity_is_asked_for_where_the_environment_says_it() {
    let config = with(json!({"authType": "ManagedIdentity", "identityId": "i"}));
    let examine = |credentials: &[Credential]| {
        AzureKeyVault::examine(&config, credentials, &Vec::new()).unwrap()
    };
    let pod = examine(&[]);
    let variables = ["env:IDENTITY_ENDPOINT", "env:IDENTITY_HEADER"];
    assert_eq!(pod.references, variables.map(Reference::at));
    assert_eq!(
        origins(&pod),
        ["https://v.vault.azure.net", "http://169.254.169.254"]
    );
    let endpoint = credential(variables[0], "http://169.254.255.2:8081/msi/token");
    let app = examine(&[endpoint.clone(), credential(variables[1], "h")]);
    assert_eq!(
        origins(&app),
        ["https://v.vault.azure.net", "http://169.254.255.2:8081"]
    );
    // Half of it is nothing.
    assert_eq!(origins(&examine(&[endpoint])), origins(&pod));
}

#[test]
fn posterns_own_account_logs_in_where_the_environment_or_the_cloud_says() {
    let examine = |more: Value, authority: Option<&str>| {
        let config = with(and(json!({"authType": "WorkloadIdentity"}), more));
        let authority = authority.map(|a| credential("env:AZURE_AUTHORITY_HOST", a));
        AzureKeyVault::examine(&config, authority.as_slice(), &Vec::new()).unwrap()
    };
    let vault = "https://v.vault.azure.net";
    let plain = examine(json!({}), None);
    let parts = [
        "env:AZURE_CLIENT_ID",
        "env:AZURE_TENANT_ID",
        "file:AZURE_FEDERATED_TOKEN_FILE",
        "env:AZURE_AUTHORITY_HOST",
    ];
    assert_eq!(plain.references, parts.map(Reference::at));
    assert_eq!(
        origins(&plain),
        [vault, "https://login.microsoftonline.com"]
    );
    let said = examine(json!({}), Some("https://login.corp/"));
    assert_eq!(origins(&said), [vault, "https://login.corp"]);
    // No store leads Postern's token to a place of its own.
    let custom = json!({"customCloudConfig": {"activeDirectoryEndpoint": "https://login.evil"}});
    assert_eq!(origins(&examine(custom.clone(), None)), [vault]);
    assert_eq!(
        origins(&examine(custom, Some("https://login.corp"))),
        [vault]
    );
    let same = json!({"customCloudConfig": {"activeDirectoryEndpoint": "https://login.corp"}});
    assert_eq!(
        origins(&examine(same, Some("https://login.corp"))),
        [vault, "https://login.corp"]
    );
    let elsewhere =
        json!({"authType": "WorkloadIdentity", "vaultUrl": "https://vault.example.com"});
    assert_eq!(problems(elsewhere), ["/vaultUrl"]);
}

#[test]
fn a_token_of_the_node_goes_to_hosts_of_its_cloud_only() {
    let node = |url: &str| {
        let more = json!({"authType": "ManagedIdentity", "vaultUrl": url});
        AzureKeyVault::examine(&with(more), &[], &Vec::new())
    };
    assert!(node("https://v.vault.azure.net").is_ok());
    for elsewhere in [
        "https://vault.example.com",
        "https://evilvault.azure.net",
        "https://vault.azure.net.example.com",
        "https://v.vault.azure.cn",
    ] {
        let problems = node(elsewhere).unwrap_err();
        assert_eq!(problems[0].pointer, "/vaultUrl", "{elsewhere}");
    }
    // Also not where the store says itself whom a token is for.
    let more = json!({"authType": "ManagedIdentity", "vaultUrl": "https://vault.example.com",
        "customCloudConfig": {"activeDirectoryEndpoint": "https://login.example.com", "keyVaultEndpoint": "https://management.azure.com"}});
    assert_eq!(problems(more), ["/vaultUrl"]);
    // An application's secret belongs to whoever wrote the store.
    assert!(
        AzureKeyVault::examine(
            &with(and(
                secret(),
                json!({"vaultUrl": "https://vault.example.com"})
            )),
            &[],
            &Vec::new()
        )
        .is_ok()
    );
}

#[test]
fn each_cloud_has_its_own_login_and_resource() {
    let of = |environment: &str, custom: Value| {
        let more = and(
            secret(),
            json!({"environmentType": environment, "customCloudConfig": custom,
            "vaultUrl": "https://v.vault.local.azurestack.external"}),
        );
        let config = Config::parse(&with(more)).unwrap();
        let login = config.needs(&[]).endpoints[1].origin.clone();
        (login, config.resource)
    };
    let pair = |login: &str, resource: &str| (login.to_owned(), resource.to_owned());
    assert_eq!(
        of("PublicCloud", Value::Null),
        pair(
            "https://login.microsoftonline.com",
            "https://vault.azure.net"
        )
    );
    assert_eq!(
        of("USGovernmentCloud", Value::Null),
        pair(
            "https://login.microsoftonline.us",
            "https://vault.usgovcloudapi.net"
        )
    );
    assert_eq!(
        of("ChinaCloud", Value::Null),
        pair("https://login.chinacloudapi.cn", "https://vault.azure.cn")
    );
    let directory = json!({"activeDirectoryEndpoint": "https://login.partner.microsoftonline.cn/"});
    assert_eq!(
        of("ChinaCloud", directory),
        pair(
            "https://login.partner.microsoftonline.cn",
            "https://vault.azure.cn"
        )
    );
    let stack = |more: Value| {
        of(
            "AzureStackCloud",
            and(
                json!({"activeDirectoryEndpoint": "https://login.local"}),
                more,
            ),
        )
    };
    assert_eq!(
        stack(json!({})),
        pair(
            "https://login.local",
            "https://vault.local.azurestack.external"
        )
    );
    let suffix = json!({"keyVaultDNSSuffix": ".vault.stack"});
    assert_eq!(
        stack(suffix),
        pair("https://login.local", "https://vault.stack")
    );
    let endpoint = json!({"keyVaultEndpoint": "https://vault.contoso.com/0f1e/"});
    assert_eq!(
        stack(endpoint),
        pair("https://login.local", "https://vault.contoso.com/0f1e")
    );
}

#[test]
fn points_at_what_is_wrong() {
    let bad = |more: Value| problems(and(secret(), more));
    assert_eq!(
        bad(json!({"vaultUrl": "http://v.vault.azure.net"})),
        ["/vaultUrl"]
    );
    assert_eq!(
        bad(json!({"vaultUrl": "https://v.vault.azure.net/secrets"})),
        ["/vaultUrl"]
    );
    assert_eq!(
        bad(json!({"environmentType": "GermanCloud"})),
        ["/environmentType"]
    );
    assert_eq!(
        bad(json!({"environmentType": "AzureStackCloud"})),
        ["/environmentType"]
    );
    let directory = json!({"customCloudConfig": {"activeDirectoryEndpoint": "http://login"}});
    assert_eq!(
        bad(directory),
        ["/customCloudConfig/activeDirectoryEndpoint"]
    );
    let endpoint = json!({"customCloudConfig": {"activeDirectoryEndpoint": "https://l", "keyVaultEndpoint": "vault"}});
    assert_eq!(bad(endpoint), ["/customCloudConfig/keyVaultEndpoint"]);
    assert_eq!(bad(json!({"environmentType": "Mars"})), [""]);
}

#[test]
fn every_part_of_the_environment_that_a_config_uses_is_asked_for() {
    let asks = AzureKeyVault::describe().asks;
    let mut used = 0;
    for more in [
        json!({"authType": "ManagedIdentity"}),
        json!({"authType": "WorkloadIdentity"}),
        json!({"authType": "WorkloadIdentity", "tenantId": null, "serviceAccountRef": {"name": "a"}}),
    ] {
        let references = needs(more).references.into_iter();
        for pointer in references
            .map(|r| r.pointer)
            .filter(|p| !p.starts_with('/'))
        {
            let of = asks.iter().filter(|a| a.what == pointer);
            assert_eq!(of.count(), 1, "{pointer}");
            used += 1;
        }
    }
    assert_eq!(used, 7);
}
