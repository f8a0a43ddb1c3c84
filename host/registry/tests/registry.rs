//! Against a real registry: what is handed out has the digest that was asked for, and what goes wrong is said with what to do.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking as tests do"
)]

use std::path::Path;

use postern_core::failure::{Code, Failure};
use postern_core::plugin::Digest;
use postern_core::rollout::{Artifact, DockerConfig, Source, Sources as _};
use postern_core::secret::SecretValue;
use postern_registry::Registry;
use postern_test_kit::kvserver::Transport;
use postern_test_kit::registry::{self as kit, Front};

const REPOSITORY: &str = "team/acme";
const COMPONENT: &[u8] = b"\0asm a component";
const NEXT: &[u8] = b"\0asm the next component";

fn source(address: &str, reference: &str) -> Source {
    let colon = if reference.starts_with("sha256:") {
        '@'
    } else {
        ':'
    };
    Source::Oci {
        reference: format!("{address}/{REPOSITORY}{colon}{reference}"),
        plain_http: true,
        ca_pem: None,
        pull_secret: None,
    }
}

fn with_tls(source: Source, ca: Option<&str>) -> Source {
    match source {
        Source::Oci {
            reference,
            pull_secret,
            ..
        } => Source::Oci {
            reference,
            plain_http: false,
            ca_pem: ca.map(|pem| pem.as_bytes().to_vec()),
            pull_secret,
        },
        file @ Source::File { .. } => file,
    }
}

fn cached(dir: &Path) -> Registry {
    Registry::new(Some(dir.to_owned()), None)
}

fn uncached() -> Registry {
    Registry::new(None, None)
}

async fn get(
    registry: &Registry,
    source: &Source,
    credentials: &DockerConfig,
) -> Result<Artifact, Failure> {
    let resolved = registry.resolve(source, credentials).await?;
    registry.fetch(source, credentials, &resolved).await
}

async fn failure(registry: &Registry, source: &Source) -> Failure {
    match get(registry, source, &None).await {
        Ok(_) => panic!("it was accepted"),
        Err(failure) => failure,
    }
}

fn config(address: &str, user: &str, password: &str) -> DockerConfig {
    let text = serde_json::json!({"auths": {address: {"username": user, "password": password}}});
    Some(SecretValue::from(text.to_string()))
}

fn files_in(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                names.push(entry.path().display().to_string());
            }
        }
    }
    names
}

fn fronted(transport: Transport) -> (kit::Registry, Front, String) {
    let server = kit::Registry::start().unwrap();
    let front = server.front(transport).unwrap();
    let manifest = server.put(REPOSITORY, "v1", COMPONENT).unwrap();
    (server, front, manifest)
}

#[tokio::test]
async fn a_tag_and_a_digest_lead_to_the_same_bytes() {
    let server = kit::Registry::start().unwrap();
    let manifest = server.put(REPOSITORY, "v1", COMPONENT).unwrap();
    for reference in ["v1", manifest.as_str()] {
        let artifact = get(&uncached(), &source(&server.address, reference), &None)
            .await
            .unwrap();
        assert_eq!(&artifact.bytes[..], COMPONENT);
        assert_eq!(artifact.component, Digest::of(COMPONENT));
        assert_eq!(
            artifact.manifest.as_ref().map(Digest::as_str),
            Some(manifest.as_str())
        );
    }
}

#[tokio::test]
async fn a_digest_resolves_to_itself_without_a_registry() {
    let digest = Digest::of(b"some manifest");
    let nowhere = source("127.0.0.1:1", digest.as_str());
    assert_eq!(uncached().resolve(&nowhere, &None).await.unwrap(), digest);
}

#[tokio::test]
async fn a_moved_tag_resolves_anew_and_the_old_digest_still_leads_to_the_old_bytes() {
    let server = kit::Registry::start().unwrap();
    let registry = uncached();
    let tag = source(&server.address, "stable");
    server.put(REPOSITORY, "stable", COMPONENT).unwrap();
    let old = registry.resolve(&tag, &None).await.unwrap();
    let next = server.put(REPOSITORY, "v2", NEXT).unwrap();
    server.move_tag(REPOSITORY, "stable", &next).unwrap();
    let new = registry.resolve(&tag, &None).await.unwrap();
    assert_eq!(new.as_str(), next);
    let bytes = |artifact: Artifact| artifact.bytes.to_vec();
    assert_eq!(
        registry.fetch(&tag, &None, &new).await.map(bytes).unwrap(),
        NEXT
    );
    assert_eq!(
        registry.fetch(&tag, &None, &old).await.map(bytes).unwrap(),
        COMPONENT
    );
}

#[tokio::test]
async fn each_layer_type_in_use_is_read() {
    let server = kit::Registry::start().unwrap();
    for (tag, media_type) in [
        ("a", "application/wasm"),
        ("b", "application/vnd.wasm.content.layer.v1+wasm"),
        ("c", "application/vnd.module.wasm.content.layer.v1+wasm"),
    ] {
        server
            .put_layers(REPOSITORY, tag, &[(media_type, COMPONENT)])
            .unwrap();
        let artifact = get(&uncached(), &source(&server.address, tag), &None)
            .await
            .unwrap();
        assert_eq!(&artifact.bytes[..], COMPONENT, "{media_type}");
    }
}

#[tokio::test]
async fn an_artifact_of_another_form_is_refused_by_what_it_is() {
    let server = kit::Registry::start().unwrap();
    let tar = "application/vnd.oci.image.layer.v1.tar+gzip";
    server
        .put_layers(REPOSITORY, "tar", &[(tar, b"x")])
        .unwrap();
    server
        .put_layers(
            REPOSITORY,
            "two",
            &[(kit::WASM, COMPONENT), (kit::WASM, NEXT)],
        )
        .unwrap();
    let index = "application/vnd.oci.image.index.v1+json";
    let body = serde_json::json!({"schemaVersion": 2, "mediaType": index, "manifests": []});
    server
        .put_manifest(REPOSITORY, "index", index, body.to_string().as_bytes())
        .unwrap();
    for (tag, said) in [("tar", tar), ("two", "2 layers"), ("index", "index")] {
        let failure = failure(&uncached(), &source(&server.address, tag)).await;
        assert_eq!(failure.code, Code::PluginInvalid, "{}", failure.public);
        assert!(failure.public.contains(said), "{}", failure.public);
        assert!(failure.public.contains(REPOSITORY), "{}", failure.public);
    }
}

#[tokio::test]
async fn a_layer_that_says_it_is_too_large_is_not_read() {
    let (server, front, _) = fronted(Transport::Http);
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": kit::MANIFEST,
        "config": {"mediaType": kit::CONFIG, "digest": kit::digest(b"{}"), "size": 2},
        "layers": [{"mediaType": kit::WASM, "digest": kit::digest(COMPONENT), "size": 41 << 20}],
    });
    server.put_blob(REPOSITORY, b"{}").unwrap();
    server
        .put_manifest(
            REPOSITORY,
            "large",
            kit::MANIFEST,
            manifest.to_string().as_bytes(),
        )
        .unwrap();
    let failure = failure(&uncached(), &source(&front.address, "large")).await;
    assert!(failure.public.contains("40 MiB"), "{}", failure.public);
    assert!(
        front.asked().iter().all(|line| !line.contains("/blobs/")),
        "{:?}",
        front.asked()
    );
}

#[tokio::test]
async fn a_layer_that_is_larger_than_it_says_is_cut_off() {
    let (_server, front, _) = fronted(Transport::Http);
    front.tamper(&kit::digest(COMPONENT), &vec![0; (40 << 20) + 1]);
    let failure = failure(&uncached(), &source(&front.address, "v1")).await;
    assert!(
        failure.public.contains("40 MiB") || failure.code == Code::DigestMismatch,
        "{}",
        failure.public
    );
}

#[tokio::test]
async fn other_bytes_than_the_digest_says_are_refused_and_nothing_is_kept() {
    let (_server, front, manifest) = fronted(Transport::Http);
    let dir = tempfile::tempdir().unwrap();
    let registry = cached(dir.path());
    let tag = source(&front.address, "v1");
    let longer = [COMPONENT, b"more"].concat();
    for bytes in [b"\0asm b component".as_slice(), b"short", &longer] {
        front.tamper(&kit::digest(COMPONENT), bytes);
        let failure = failure(&registry, &tag).await;
        assert_eq!(failure.code, Code::DigestMismatch, "{}", failure.public);
        assert_eq!(files_in(dir.path()), Vec::<String>::new());
    }
    front.heal();
    front.tamper(&manifest, b"{\"schemaVersion\":2,\"layers\":[]}");
    let failure = failure(&registry, &tag).await;
    assert_eq!(failure.code, Code::DigestMismatch, "{}", failure.public);
    front.heal();
    let artifact = get(&registry, &tag, &None).await.unwrap();
    assert_eq!(&artifact.bytes[..], COMPONENT);
}

#[tokio::test]
async fn what_was_fetched_is_kept_and_a_damaged_file_is_fetched_again() {
    let (_server, front, _) = fronted(Transport::Http);
    let dir = tempfile::tempdir().unwrap();
    let tag = source(&front.address, "v1");
    let blobs = || {
        front
            .asked()
            .iter()
            .filter(|line| line.contains("/blobs/"))
            .count()
    };
    get(&cached(dir.path()), &tag, &None).await.unwrap();
    assert_eq!(blobs(), 1);

    let registry = cached(dir.path());
    get(&registry, &tag, &None).await.unwrap();
    assert_eq!(blobs(), 1, "the second start reads what the first kept");
    let digest = Digest::of(COMPONENT);
    let kept = registry.recall(&digest).await.unwrap();
    assert_eq!(kept.bytes.as_deref(), Some(COMPONENT));
    assert_eq!(kept.damage, None);

    let files = files_in(dir.path());
    let wasm = files.iter().find(|name| name.ends_with(".wasm")).unwrap();
    std::fs::write(wasm, b"\0asm damaged").unwrap();
    let kept = registry.recall(&digest).await.unwrap();
    assert_eq!(kept.bytes, None);
    assert_eq!(kept.damage.unwrap().code, Code::DigestMismatch);
    std::fs::write(wasm, b"\0asm damaged").unwrap();
    let artifact = get(&registry, &tag, &None).await.unwrap();
    assert_eq!(&artifact.bytes[..], COMPONENT);
    assert_eq!(artifact.damage.unwrap().code, Code::DigestMismatch);
    assert_eq!(blobs(), 2);
    let kept = registry.recall(&digest).await.unwrap();
    assert_eq!(kept.bytes.as_deref(), Some(COMPONENT));
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_given_and_missed_where_not() {
    let (_server, front, _) = fronted(Transport::Https);
    let tag = source(&front.address, "v1");
    let trusting = with_tls(tag.clone(), front.ca_pem());
    let artifact = get(&uncached(), &trusting, &None).await.unwrap();
    assert_eq!(&artifact.bytes[..], COMPONENT);

    let failure = failure(&uncached(), &with_tls(tag, None)).await;
    assert!(failure.public.contains("certificate"), "{}", failure.public);
    assert!(failure.public.contains("caBundle"), "{}", failure.public);
}

#[tokio::test]
async fn plain_http_is_spoken_only_where_it_is_said() {
    let (_server, front, _) = fronted(Transport::Http);
    let failure = failure(&uncached(), &with_tls(source(&front.address, "v1"), None)).await;
    assert!(failure.public.contains("plainHTTP"), "{}", failure.public);
    assert_eq!(front.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn the_pull_secret_opens_the_registry_and_is_never_told() {
    let (_server, front, _) = fronted(Transport::Http);
    front.require_basic("puller", "hunter2");
    let tag = source(&front.address, "v1");
    let good = config(&front.address, "puller", "hunter2");
    let artifact = get(&uncached(), &tag, &good).await.unwrap();
    assert_eq!(&artifact.bytes[..], COMPONENT);

    let wrong = config(&front.address, "puller", "hunter3");
    for credentials in [wrong, config("other.corp", "puller", "hunter2"), None] {
        let failure = match get(&uncached(), &tag, &credentials).await {
            Ok(_) => panic!("it was let in"),
            Err(failure) => failure,
        };
        assert_eq!(failure.code, Code::Denied, "{}", failure.public);
        assert!(
            failure.public.contains("pullSecretRef"),
            "{}",
            failure.public
        );
        assert!(!format!("{failure:?}").contains("hunter"), "{failure:?}");
    }
}

#[tokio::test]
async fn what_does_not_exist_is_told_at_once() {
    let (_server, front, _) = fronted(Transport::Http);
    let failure = failure(&uncached(), &source(&front.address, "v9")).await;
    assert_eq!(failure.code, Code::NotFound, "{}", failure.public);
    assert!(failure.public.contains("v9"), "{}", failure.public);
    let manifests = front
        .asked()
        .into_iter()
        .filter(|l| l.contains("/manifests/"))
        .count();
    assert!(manifests <= 2, "{:?}", front.asked());
}

#[tokio::test]
async fn a_registry_that_is_away_for_a_moment_is_asked_again() {
    for (status, retry_after) in [(503, None), (429, Some("0"))] {
        let (_server, front, manifest) = fronted(Transport::Http);
        // One for the question who we are, one for the manifest.
        front.fail_next(status, retry_after);
        front.fail_next(status, retry_after);
        let digest = source(&front.address, &manifest);
        let artifact = get(&uncached(), &digest, &None).await.unwrap();
        assert_eq!(&artifact.bytes[..], COMPONENT);
    }
}

#[tokio::test]
async fn a_registry_that_stays_away_is_given_up() {
    let (_server, front, _) = fronted(Transport::Http);
    for _ in 0..100 {
        front.fail_next(503, None);
    }
    let failure = failure(&uncached(), &source(&front.address, "v1")).await;
    assert_eq!(failure.code, Code::Unavailable, "{}", failure.public);
    assert!(failure.public.contains("503"), "{}", failure.public);
    assert!(front.asked().len() < 20, "{:?}", front.asked());
}

#[tokio::test]
async fn what_is_pushed_can_be_fetched() {
    let server = kit::Registry::start().unwrap();
    let tag = source(&server.address, "mine");
    let manifest = uncached().push(&tag, &None, COMPONENT).await.unwrap();
    let artifact = get(&uncached(), &tag, &None).await.unwrap();
    assert_eq!(artifact.manifest, Some(manifest));
    assert_eq!(&artifact.bytes[..], COMPONENT);
    let bytes = server.manifest(REPOSITORY, "mine").unwrap();
    let stored: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(stored["config"]["mediaType"], kit::CONFIG);
    assert_eq!(stored["layers"][0]["mediaType"], kit::WASM);
}

#[tokio::test]
async fn a_file_is_read_inside_its_directory_only() {
    let dir = tempfile::tempdir().unwrap();
    let files = dir.path().join("files");
    std::fs::create_dir(&files).unwrap();
    std::fs::write(dir.path().join("outside.wasm"), NEXT).unwrap();
    std::fs::write(files.join("acme.wasm"), COMPONENT).unwrap();
    std::os::unix::fs::symlink("../outside.wasm", files.join("out.wasm")).unwrap();
    std::os::unix::fs::symlink("acme.wasm", files.join("in.wasm")).unwrap();
    let registry = Registry::new(None, Some(files));
    let file = |path: &str, pinned: Option<&[u8]>| Source::File {
        path: path.to_owned(),
        pinned: pinned.map(Digest::of),
    };
    for path in ["acme.wasm", "in.wasm"] {
        let artifact = get(&registry, &file(path, Some(COMPONENT)), &None)
            .await
            .unwrap();
        assert_eq!(artifact.component, Digest::of(COMPONENT));
    }
    let absolute = dir.path().join("outside.wasm").display().to_string();
    for path in [
        "../outside.wasm",
        "out.wasm",
        "a/../../outside.wasm",
        &absolute,
        "",
    ] {
        let failure = failure(&registry, &file(path, None)).await;
        assert!(
            failure.public.contains("directory of plugin files"),
            "{}",
            failure.public
        );
    }
    let failure = failure(&registry, &file("acme.wasm", Some(NEXT))).await;
    assert_eq!(failure.code, Code::DigestMismatch, "{}", failure.public);
}
