//! The pages of the error codes: what each means, what it comes from, and what to do. One row a code, by a `match` that
//! a new code breaks.

use std::fmt::Write as _;

use postern_core::failure::{Code, Retry};

/// One page.
#[derive(Debug)]
pub struct Page {
    /// `PST-1101`.
    pub code: Code,
    /// Markdown.
    pub text: String,
}

/// What a reader of a page needs.
struct Advice {
    means: &'static str,
    causes: &'static [&'static str],
    help: &'static [&'static str],
}

/// A page a code.
#[must_use]
pub fn pages() -> Vec<Page> {
    Code::ALL
        .iter()
        .map(|code| Page {
            code: *code,
            text: page(*code),
        })
        .collect()
}

/// The list of all codes.
#[must_use]
pub fn index() -> String {
    let mut text = String::from(
        "# Error codes\n\nEvery failure has a code that does not change, and says who has to act.\n\n| code | name | who acts | meaning |\n|---|---|---|---|\n",
    );
    for code in Code::ALL {
        let _ = writeln!(
            text,
            "| [{code}]({code}.md) | {} | {} | {} |",
            code.label(),
            code.blame().as_str(),
            advice(*code).means
        );
    }
    text
}

fn page(code: Code) -> String {
    let Advice {
        means,
        causes,
        help,
    } = advice(code);
    let again = match code.retry() {
        Retry::OnChange => "Postern tries again when the object changes.",
        Retry::AtInterval => "Postern tries again at the normal interval.",
        Retry::Backoff => "Postern tries again by itself, with growing pauses.",
    };
    let mut text = format!(
        "# {code}: {}\n\n{means}\n\nWho has to act: **{}**. {again} The Secret that exists stays as it is.\n",
        code.label(),
        code.blame().as_str()
    );
    for (title, list) in [("Where it comes from", causes), ("What to do", help)] {
        let _ = write!(text, "\n## {title}\n\n");
        for line in list {
            let _ = writeln!(text, "- {line}");
        }
    }
    text
}

const fn row(
    means: &'static str,
    causes: &'static [&'static str],
    help: &'static [&'static str],
) -> Advice {
    Advice {
        means,
        causes,
        help,
    }
}

fn advice(code: Code) -> Advice {
    match code {
        Code::Absent
        | Code::MassAbsence
        | Code::NotFound
        | Code::Denied
        | Code::Unauthenticated => answered(code),
        Code::RateLimited | Code::Unavailable | Code::Timeout | Code::Conflict => disturbed(code),
        Code::InvalidConfig
        | Code::InvalidRequest
        | Code::Unsupported
        | Code::InvalidSpec
        | Code::Undecodable => written(code),
        Code::StoreMissing
        | Code::StoreNotReady
        | Code::UnknownProvider
        | Code::CredentialMissing
        | Code::CredentialKeyMissing => referred(code),
        Code::TemplateInvalid
        | Code::TemplateFailed
        | Code::TemplateSourceMissing
        | Code::TargetOwned
        | Code::WriteFailed => made(code),
        Code::AccessDenied | Code::AccessInvalid => access(code),
        Code::EgressDenied
        | Code::FilesDenied
        | Code::LimitExceeded
        | Code::Trapped
        | Code::ContractBroken
        | Code::PluginInvalid
        | Code::PluginFailed
        | Code::PluginNotActive
        | Code::DigestMismatch
        | Code::Internal => guarded(code),
        Code::NoWayBack | Code::PluginMissing | Code::ClusterUnavailable => commanded(code),
    }
}

fn access(code: Code) -> Advice {
    match code {
        Code::AccessInvalid => row(
            "A StoreAccess or ClusterStoreAccess cannot be read, and closes its store.",
            &[
                "A pattern or a namespace selector has a mistake.",
                "The object does not fit its schema, because the CRDs are of another version.",
            ],
            &[
                "Correct the field that the message names.",
                "Apply Postern's CRDs: `postern crds | kubectl apply --server-side -f -`.",
            ],
        ),
        _ => row(
            "No StoreAccess lets the namespace read this from the store. Nothing was sent to the backend.",
            &[
                "`remoteRef.key` is not among the keys that the namespace may read.",
                "A search does not confine itself to keys that may be read.",
                "The namespace reads only what a StoreAccess allows, and none names the store.",
            ],
            &[
                "Compare the key with the patterns of the store's StoreAccess or ClusterStoreAccess.",
                "Begin `find.path`, or `find.name.regexp` after `^`, with the prefix that may be read.",
                "Ask whoever owns the store to allow it.",
            ],
        ),
    }
}

fn answered(code: Code) -> Advice {
    match code {
        Code::Absent => row(
            "The backend answered, and said that the object does not exist.",
            &[
                "`remoteRef.key` is mistyped.",
                "The object was deleted at the backend.",
                "The store points at another mount, project or path.",
            ],
            &[
                "Compare `remoteRef.key` with the backend, character by character.",
                "Check the path or mount in the store.",
            ],
        ),
        Code::MassAbsence => row(
            "Objects are said not to exist in a way that is not believed at once: more than half (and at least five) of those that a store had are gone together, or the plugin has never had a value of this one. Nothing was deleted.",
            &[
                "Many secrets were deleted or moved at the backend at once.",
                "The store, its credential or its plugin has changed, and now looks in another place.",
                "Postern was started again while a secret was already gone.",
            ],
            &[
                "If it is an accident: mend the backend or the store; the next sync says so.",
                "If it is meant: wait. What is still absent after another refresh interval is believed.",
                "To accept it at once, annotate the ExternalSecret with `postern.dev/accept-absence` and the digest that the message names, or `true`; see [deletion](../deletion.md).",
            ],
        ),
        Code::NotFound => row(
            "Something other than the object is not there: a property, a version, a mount, a directory.",
            &[
                "`remoteRef.property` or `remoteRef.version` is mistyped.",
                "The store names a mount or directory that does not exist.",
            ],
            &[
                "Compare the property with the members of the object.",
                "Check the store's path, mount or directory.",
            ],
        ),
        Code::Denied => row(
            "The backend knows who asks and refuses by policy.",
            &[
                "The policy of the credential does not cover this key.",
                "Some backends answer so for keys that do not exist.",
            ],
            &[
                "Let the backend's policy allow reading the key that the message names.",
                "Ask with the same credential by the backend's own tool.",
            ],
        ),
        _ => row(
            "The backend does not accept the credential.",
            &[
                "The credential has expired, was revoked or is mistyped.",
                "The role or audience is another than the backend expects.",
            ],
            &[
                "Renew the credential in the Secret that the store refers to; Postern notices the change.",
                "Check role and audience in the store.",
            ],
        ),
    }
}

fn disturbed(code: Code) -> Advice {
    match code {
        Code::RateLimited => row(
            "The backend asked us to slow down.",
            &[
                "Many ExternalSecrets are read at short intervals.",
                "Others use the same quota.",
            ],
            &[
                "Give longer values of `spec.refreshInterval`.",
                "Raise the quota at the backend.",
            ],
        ),
        Code::Unavailable => row(
            "The backend cannot be reached, is sealed, or is broken.",
            &[
                "Name or port in the store are wrong.",
                "A network policy or firewall is in the way.",
                "The backend is down; or its certificate is not trusted.",
            ],
            &[
                "Reach the address from where Postern runs.",
                "For TLS, give the store the CA of the backend.",
            ],
        ),
        Code::Timeout => row(
            "The backend took the request and did not answer in time.",
            &[
                "The backend is overloaded.",
                "A firewall drops packets instead of refusing them.",
            ],
            &[
                "Look at the backend's load and the way to it.",
                "For `postern sync`, `--timeout` gives it longer.",
            ],
        ),
        _ => row(
            "Somebody else changed the object at the same time.",
            &["Two writers have the same object."],
            &["Nothing, if it passes. If it stays, find the other writer."],
        ),
    }
}

fn written(code: Code) -> Advice {
    match code {
        Code::InvalidConfig => row(
            "The provider's part of the store cannot work.",
            &[
                "A field is missing, mistyped or of another type.",
                "Fields contradict each other.",
            ],
            &["Correct the field that the message names."],
        ),
        Code::InvalidRequest => row(
            "What an entry asks for has a form that the provider cannot take.",
            &["`remoteRef` has a key, version or property of the wrong form."],
            &["Correct the entry that the message names."],
        ),
        Code::Unsupported => row(
            "The manifest asks for something that this provider or this version of Postern does not do.",
            &[
                "A field of the API that is not served yet.",
                "A provider without this ability.",
            ],
            &["Take the field out, or keep the object with a controller that serves it."],
        ),
        Code::InvalidSpec => row(
            "The manifest contradicts itself or the rules of the API.",
            &[
                "A document is no valid YAML, or does not fit the schema.",
                "Fields exclude each other, or the namespace may not use the store.",
            ],
            &["Correct the field or the line that the message names."],
        ),
        _ => row(
            "A value cannot be decoded as the manifest says.",
            &[
                "`decodingStrategy` says Base64 and the value is none.",
                "A rendered text is no base64 where the template says so.",
            ],
            &[
                "Take `decodingStrategy` out, or use `Auto`.",
                "Look at the value at the backend; Postern never shows it.",
            ],
        ),
    }
}

fn referred(code: Code) -> Advice {
    match code {
        Code::StoreMissing => row(
            "The store that the ExternalSecret names does not exist.",
            &[
                "Name or kind of `secretStoreRef` are mistyped.",
                "A SecretStore lives in another namespace.",
            ],
            &[
                "Create the store, or correct the reference; `kind: ClusterSecretStore` must be said.",
            ],
        ),
        Code::StoreNotReady => row(
            "The store exists and cannot be used now.",
            &["Its own condition says why."],
            &["Mend what the store's condition says; its ExternalSecrets follow at once."],
        ),
        Code::UnknownProvider => row(
            "No plugin serves the provider key of the store.",
            &[
                "The key under `spec.provider` is mistyped.",
                "The plugin is not loaded.",
            ],
            &[
                "Compare the key with those that the message lists.",
                "Give the plugin by `--plugin`.",
            ],
        ),
        Code::CredentialMissing => row(
            "A Secret, ConfigMap or ServiceAccount that holds a credential does not exist, or may not be used.",
            &[
                "Its name or namespace in the store is mistyped.",
                "It has not been created yet.",
                "It has not the label that the provider wants of a Secret whose keys a store may send.",
            ],
            &["Create or label the object that the message names, or correct the reference."],
        ),
        _ => row(
            "The object with the credential is there, the key in it is not.",
            &["`key` in the store's reference is mistyped."],
            &["Add the key that the message names, or correct the reference."],
        ),
    }
}

fn made(code: Code) -> Advice {
    match code {
        Code::TemplateInvalid => row(
            "A template cannot be read.",
            &["A brace, a quote or an `end` is missing; or a function does not exist."],
            &["Correct the template at the line and column of the message."],
        ),
        Code::TemplateFailed => row(
            "A template was read and failed while it ran.",
            &[
                "It uses a key that the data do not have.",
                "A function got a value that it cannot take.",
                "It runs for longer, or makes more text, than the engine may; the message names the limit.",
            ],
            &["Compare the names in the template with `secretKey` and the members of `dataFrom`."],
        ),
        Code::TemplateSourceMissing => row(
            "An object that `templateFrom` names is not there, or has no such key.",
            &[
                "The ConfigMap or Secret is in another namespace than the ExternalSecret, or is made later.",
                "The key is misspelt.",
            ],
            &[
                "Make the object in the namespace of the ExternalSecret, or correct the name or the key.",
            ],
        ),
        Code::TargetOwned => row(
            "The target belongs to somebody else, or cannot be changed.",
            &[
                "Two ExternalSecrets name the same target.",
                "The Secret has another type, another owner, or is immutable.",
            ],
            &[
                "Give one of them another `spec.target.name`.",
                "Delete the Secret if it may be made anew.",
            ],
        ),
        _ => row(
            "The API server or the file system refused the write.",
            &[
                "Postern's role does not allow it.",
                "An admission rule or a quota refuses it.",
                "The disk is full, or the folder is not ours.",
            ],
            &["Look at the reason in the message; allow the write or choose another place."],
        ),
    }
}

fn guarded(code: Code) -> Advice {
    match code {
        Code::EgressDenied => row(
            "The network door is closed to this destination.",
            &[
                "The address is not an endpoint of the store.",
                "It is a loopback, metadata or denied address.",
            ],
            &[
                "Name the endpoint in the store.",
                "Give the flag that the message names, if the destination is meant.",
            ],
        ),
        Code::FilesDenied => row(
            "A plugin asked for a directory that no grant names.",
            &[
                "The store names a directory without a grant.",
                "A path leads out of its directory.",
            ],
            &["Give `--grant-files NAME=DIR`."],
        ),
        Code::LimitExceeded => row(
            "The plugin broke a limit of memory, time, size or number.",
            &[
                "The object is far larger than a Secret may be.",
                "The plugin has a defect.",
            ],
            &[
                "Look at the limit that the message names.",
                "Report it to who made the plugin.",
            ],
        ),
        Code::Trapped => row(
            "The plugin crashed.",
            &["The plugin has a defect."],
            &["Report it to who made the plugin, with the detail from the log."],
        ),
        Code::ContractBroken => row(
            "The plugin's answer does not fit the contract.",
            &["The plugin has a defect, or was made for another version of the contract."],
            &["Report it to who made the plugin."],
        ),
        Code::PluginInvalid => row(
            "The plugin cannot be loaded.",
            &["The file is no component, is damaged, or imports what no plugin may."],
            &["Build it for the world `provider` or `template-engine` of `postern:plugin`."],
        ),
        Code::PluginFailed => row(
            "The plugin says that it failed itself, not its backend.",
            &[
                "The plugin has a defect.",
                "The backend answered in a form that the plugin does not know.",
            ],
            &[
                "Look at the text that the plugin gave.",
                "Report it to who made the plugin, with the detail from the log.",
            ],
        ),
        Code::DigestMismatch => row(
            "The bytes of a plugin do not have the digest that they should.",
            &[
                "The registry, or something on the way to it, changed them.",
                "The file is another than the Plugin allows.",
                "Somebody, or a bad disk, changed what is kept in the cache folder; the Plugin has an event `CacheDamaged`.",
            ],
            &[
                "Nothing of them is used, and what served before serves on. Find out who changed them before you change the digest.",
                "What was changed in the cache folder is fetched or compiled anew by itself. Nobody but Postern should be able to write there.",
            ],
        ),
        Code::PluginNotActive => row(
            "A Plugin serves this key, and no revision of it is active.",
            &[
                "It asks for something that no PluginGrant allows.",
                "Its registry cannot be reached, or the component cannot be loaded.",
                "It was asked for before it was ready.",
            ],
            &["Look at the conditions of the Plugin: `kubectl describe plugin NAME`."],
        ),
        _ => row(
            "A defect of Postern, or a lack of resources where it runs.",
            &["Memory or file handles have run out.", "A defect."],
            &["Look at the log around that time, and report it with that part."],
        ),
    }
}

/// What commands say that need a cluster.
fn commanded(code: Code) -> Advice {
    match code {
        Code::NoWayBack => row(
            "`postern plugin rollback` found no revision to go back to, or with `--undo` no refusal to take back. Nothing was written.",
            &[
                "The Plugin has served one revision only, or none.",
                "Everything that served before has failed, or is refused by hand already.",
            ],
            &[
                "Look at what serves and what is refused: `postern plugin ls -o wide`.",
                "Push a good revision under the tag of `spec.source`, or let it name one.",
            ],
        ),
        Code::PluginMissing => row(
            "A command named a Plugin that the cluster does not have.",
            &[
                "The name is mistyped.",
                "It is another cluster than you think.",
                "A bundled plugin was named, which has no Plugin.",
            ],
            &["`postern plugin ls` names all Plugins of the cluster."],
        ),
        _ => row(
            "A command needs a cluster, and there is none, it does not answer, or it does not allow what the command does.",
            &[
                "`KUBECONFIG` is not set, or names another cluster.",
                "The API server is away, or its certificate is not trusted.",
                "Postern's CRDs are not applied.",
                "Your role may not do what the message names.",
            ],
            &[
                "Try the same with kubectl: `kubectl get plugins`.",
                "Apply the CRDs: `postern crds | kubectl apply --server-side -f -`.",
            ],
        ),
    }
}
