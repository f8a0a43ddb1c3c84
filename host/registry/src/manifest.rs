//! Which layer of an OCI manifest is the component, and the manifest of a component. Pure.

use postern_core::failure::{Code, Failure};
use postern_core::plugin::Digest;
use serde_json::{Value, json};

use crate::{COMPONENT_BYTES, failed};

/// Media types of a component in use: the CNCF's artifact, and two older forms.
pub(crate) const LAYER_TYPES: [&str; 3] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
];

/// The type of a manifest.
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// Config of a component, as the CNCF's guidance for WebAssembly in OCI registries has it.
const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";
/// Other tools want a time in the config. A constant, so that the same component always has the same digest.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// The component's layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// Picks the one layer that is a component.
pub(crate) fn component(manifest: &[u8], reference: &str) -> Result<Layer, Failure> {
    let wrong = |what: String| {
        failed(
            Code::PluginInvalid,
            format!("{reference} is no plugin: {what}"),
        )
    };
    let manifest: Value = serde_json::from_slice(manifest)
        .map_err(|_| wrong("its manifest is not JSON".to_owned()))?;
    let Some(layers) = manifest["layers"].as_array() else {
        return Err(wrong(
            "its manifest has no layers; an index of several platforms is not a plugin".to_owned(),
        ));
    };
    let media_type = |layer: &Value| layer["mediaType"].as_str().unwrap_or_default().to_owned();
    let wasm: Vec<&Value> = layers
        .iter()
        .filter(|layer| LAYER_TYPES.contains(&media_type(layer).as_str()))
        .collect();
    let layer = match wasm[..] {
        [only] if layers.len() == 1 => only,
        [] => {
            let found: Vec<String> = layers.iter().map(media_type).collect();
            return Err(wrong(format!(
                "none of its layers is a component; it has {}, expected {}",
                if found.is_empty() {
                    "none".to_owned()
                } else {
                    found.join(", ")
                },
                LAYER_TYPES[0]
            )));
        }
        _ => {
            return Err(wrong(format!(
                "it has {} layers, expected exactly one",
                layers.len()
            )));
        }
    };
    let digest = layer["digest"].as_str().and_then(Digest::parse);
    let digest = digest.ok_or_else(|| wrong("its layer has no sha256 digest".to_owned()))?;
    let size = layer["size"].as_u64().unwrap_or_default();
    if size > COMPONENT_BYTES as u64 {
        return Err(wrong(format!(
            "its component has {size} bytes, more than {} MiB",
            COMPONENT_BYTES >> 20
        )));
    }
    Ok(Layer { digest, size })
}

/// Config and manifest of an artifact that holds this component alone.
pub(crate) fn of(component: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let layer = descriptor(LAYER_TYPES[0], component);
    let config = json!({
        "created": CREATED,
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [layer["digest"]],
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor(CONFIG_TYPE, &config),
        "layers": [layer],
    });
    (config, manifest.to_string().into_bytes())
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(bytes).as_str(), "size": bytes.len()})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(layers: &[(&str, u64)]) -> Vec<u8> {
        let digest = Digest::of(b"x");
        let layers: Vec<Value> = layers
            .iter()
            .map(|(t, size)| serde_json::json!({"mediaType": t, "digest": digest.as_str(), "size": size}))
            .collect();
        serde_json::json!({"schemaVersion": 2, "layers": layers})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn every_layer_type_in_use_is_read() {
        for media_type in LAYER_TYPES {
            let layer = component(&manifest(&[(media_type, 7)]), "r/a:1").unwrap();
            assert_eq!(
                layer,
                Layer {
                    digest: Digest::of(b"x"),
                    size: 7
                }
            );
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let (_, manifest) = of(b"x");
        assert_eq!(
            component(&manifest, "r/a:1").unwrap().digest,
            Digest::of(b"x")
        );
        assert_eq!(of(b"x"), of(b"x"));
    }

    #[test]
    fn anything_else_is_refused_by_what_it_is() {
        let tar = "application/vnd.oci.image.layer.v1.tar+gzip";
        let table = [
            (manifest(&[(tar, 1)]), tar),
            (manifest(&[]), "it has none"),
            (
                manifest(&[(LAYER_TYPES[0], 1), (LAYER_TYPES[0], 1)]),
                "2 layers",
            ),
            (manifest(&[(LAYER_TYPES[0], 1), (tar, 1)]), "2 layers"),
            (manifest(&[(LAYER_TYPES[0], 41 << 20)]), "more than 40 MiB"),
            (b"{\"manifests\":[]}".to_vec(), "index of several platforms"),
            (b"<html>".to_vec(), "not JSON"),
        ];
        for (manifest, said) in table {
            let failure = component(&manifest, "r/a:1").unwrap_err();
            assert!(failure.public.contains(said), "{}", failure.public);
        }
    }
}
