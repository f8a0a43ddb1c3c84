//! What each failure code means and what to do about it: the text of the pages in `docs/errors`.

use crate::failure::{Code, Retry};

/// What a code means, and what to do.
#[derive(Clone, Copy, Debug)]
pub struct Help {
    /// One sentence: what happened.
    pub meaning: &'static str,
    /// What the one to blame can do.
    pub remedy: &'static str,
}

/// The help of a code.
#[must_use]
pub const fn help(code: Code) -> Help {
    let (meaning, remedy) = match code {
        Code::Absent => (
            "The backend said with authority that the object does not exist.",
            "Check `remoteRef.key` against the backend, or create the object there. The Secret stays as it is.",
        ),
        Code::NotFound => (
            "Something other than the object itself is not there: a mount, a folder, a route, or the property of an object.",
            "Check the store's path, and `remoteRef.property` against the object's members.",
        ),
        Code::Denied => (
            "The backend knows who asks and refuses by policy.",
            "Grant the store's identity the right to read this key at the backend. It is tried again within five minutes, or at once when the ExternalSecret changes.",
        ),
        Code::Unauthenticated => (
            "The backend does not accept the credential that the store names.",
            "Put a valid credential into the Secret that the store refers to; the store notices by itself.",
        ),
        Code::RateLimited => (
            "The backend asked to be left alone for a while.",
            "Nothing: all reads of this identity wait as long as the backend said. If it goes on, raise `refreshInterval`.",
        ),
        Code::Unavailable => (
            "The backend is away, sealed or broken.",
            "Check the backend and the way to it. It is tried again with backoff; the Secret stays as it is.",
        ),
        Code::Timeout => (
            "The backend did not answer in time.",
            "Check the backend and the way to it. It is tried again with backoff.",
        ),
        Code::Conflict => (
            "Somebody else changed the object at the same time.",
            "Usually nothing. If it goes on, find out which other controller writes the same object.",
        ),
        Code::InvalidConfig => (
            "The store's config cannot work; the message names the place in it.",
            "Correct the store. The field is named by its path below `spec.provider`.",
        ),
        Code::InvalidRequest => (
            "A key, version or property has a form that the provider cannot use.",
            "Correct the entry that the message names.",
        ),
        Code::Unsupported => (
            "The manifest asks for something that this provider or this version does not do.",
            "Leave the field out, or use another provider. The Secret stays as it is.",
        ),
        Code::InvalidSpec => (
            "The manifest contradicts itself or breaks a rule of the API.",
            "Correct the field that the message names.",
        ),
        Code::StoreMissing => (
            "The store that the ExternalSecret names does not exist.",
            "Create it, or correct `secretStoreRef`. A SecretStore is looked for in the ExternalSecret's own namespace.",
        ),
        Code::StoreNotReady => (
            "The store exists and is not ready; the message repeats why.",
            "Mend the store. Its ExternalSecrets are woken as soon as it is ready.",
        ),
        Code::UnknownProvider => (
            "No plugin serves the key under `spec.provider`.",
            "Correct the key; the message lists those that are served.",
        ),
        Code::CredentialMissing => (
            "The Secret, ConfigMap or ServiceAccount that the store refers to does not exist.",
            "Create it in the namespace that the message names, or correct the reference.",
        ),
        Code::CredentialKeyMissing => (
            "The object that the store refers to has no such key.",
            "Add the key, or correct `key` in the reference.",
        ),
        Code::Undecodable => (
            "A value is not what `decodingStrategy` says, or has a zero byte that `nullBytePolicy` refuses.",
            "Correct the strategy, or the value at the backend.",
        ),
        Code::TemplateInvalid => (
            "A template does not parse.",
            "Correct the template; the message names its key and line.",
        ),
        Code::TemplateFailed => (
            "A template failed while it ran, most often because a key that it uses is missing.",
            "Correct the template or read the missing key. Values are never shown in the message.",
        ),
        Code::TargetOwned => (
            "The Secret belongs to another controller, or cannot be changed in the way that is asked for.",
            "Choose another `target.name`, or delete the Secret if it is no longer needed.",
        ),
        Code::WriteFailed => (
            "The API server or the file system refused the write.",
            "The message says why: a missing right, a quota, an admission policy, a full disk.",
        ),
        Code::EgressDenied => (
            "A plugin wanted to connect to a place that is closed to it.",
            "The message names the flag or grant that would open it; open it only if the place is right.",
        ),
        Code::FilesDenied => (
            "A plugin wanted to read a directory that no grant names.",
            "Start Postern with `--grant-files NAME=DIRECTORY`.",
        ),
        Code::LimitExceeded => (
            "A plugin used more memory, time, requests or bytes than it may.",
            "Read less at once. If the plugin is at fault, report it to its author; the Secret stays as it is.",
        ),
        Code::Trapped => (
            "A plugin crashed. Its sandbox was thrown away; no other call was touched.",
            "Report it to the plugin's author with the log line.",
        ),
        Code::ContractBroken => (
            "A plugin's answer does not fit the contract.",
            "Report it to the plugin's author with the log line.",
        ),
        Code::PluginInvalid => (
            "A plugin cannot be loaded: it is no component, is damaged, or wants what the host does not give.",
            "Get the file again, or another version; the message says what is wrong.",
        ),
        Code::Internal => (
            "Postern itself is at fault, or the machine lacks something.",
            "Report it with the log line. It is tried again with backoff.",
        ),
    };
    Help { meaning, remedy }
}

/// The page of a code, as Markdown.
#[must_use]
pub fn page(code: Code) -> String {
    let Help { meaning, remedy } = help(code);
    let retry = match code.retry() {
        Retry::OnChange => "when the object changes",
        Retry::AtInterval => "at the refresh interval, within five minutes at most",
        Retry::Backoff => "with backoff and jitter",
    };
    format!(
        "# {code}: {}\n\n{meaning}\n\n**What to do.** {remedy}\n\n| | |\n|---|---|\n| to blame | {} |\n| tried again | {retry} |\n| label in metrics and JSON | `{}` |\n",
        code.label(),
        code.blame().as_str(),
        code.label(),
    )
}
