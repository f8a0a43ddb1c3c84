//! The provider `file`: files below a directory that a grant names. A key is a file, whose bytes are taken
//! as they are, or a folder, whose members are its files. Properties are looked up in JSON and YAML files.
//! It writes nothing, and gives no tags: a hash of a secret must not leave the plugin.

mod document;

use postern_sdk::{
    Answer, Ask, Context, Credential, Descriptor, Failure, Host, Needs, Options, Outcome, Part,
    Pick, Problem, Provider, Request, each, export_provider, parse_config, problems_as_failure,
    value,
};
use serde::Deserialize;

/// The provider.
pub struct File;

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    directory: String,
    #[serde(default)]
    path: String,
}

impl Provider for File {
    fn describe() -> Descriptor {
        Descriptor {
            name: "file".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            serves: vec!["file".to_owned()],
            config_schema: include_str!("schema.json").to_owned(),
            asks: vec![Ask {
                kind: "files".to_owned(),
                what: "*".to_owned(),
                why: "the directory that a store names".to_owned(),
                options: Vec::new(),
            }],
            batch_size: 0,
            summary: "files below a directory that a grant names".to_owned(),
            options: Vec::new(),
        }
    }

    fn examine(
        config: &str,
        _credentials: &[Credential],
        _options: &Options,
    ) -> Result<Needs, Vec<Problem>> {
        parse(config).map(|config| Needs {
            options: vec![("directory".to_owned(), config.directory)],
            ..Needs::default()
        })
    }

    fn probe(host: &dyn Host, context: &Context) -> Result<(), Failure> {
        let config = parse(&context.config).map_err(|p| problems_as_failure(&p))?;
        host.list_dir(&config.directory, &config.path)
            .map(|_| ())
            .map_err(|f| place_is_missing(&config, f))
    }

    fn get_batch(host: &dyn Host, context: &Context, requests: &[Request]) -> Vec<Outcome> {
        match parse(&context.config) {
            Ok(config) => get_all(host, &config, requests),
            Err(p) => requests
                .iter()
                .map(|_| Outcome::failed(problems_as_failure(&p)))
                .collect(),
        }
    }
}

fn parse(config: &str) -> Result<Config, Vec<Problem>> {
    let mut config: Config = parse_config(config)?;
    if config.directory.is_empty() {
        return Err(vec![Problem::new(
            "/directory",
            "must name a granted directory",
        )]);
    }
    config.path = config.path.trim_end_matches('/').to_owned();
    if !config.path.is_empty() && !stays_below(&config.path) {
        return Err(vec![Problem::new(
            "/path",
            "must be a relative path without `..`",
        )]);
    }
    Ok(config)
}

/// Whether a path has only names in it. The host refuses the rest too; saying so here names the key.
fn stays_below(path: &str) -> bool {
    path.split('/').all(|s| !matches!(s, "" | "." | ".."))
}

/// The host says `not-found` of any path. A file is absent only where the folder of the store is there: a
/// volume that is not mounted is no deletion.
fn get_all(host: &dyn Host, config: &Config, requests: &[Request]) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = requests.iter().map(|r| get(host, config, r)).collect();
    let missing = |o: &Outcome| matches!(&o.answer, Answer::Failed(f) if matches!(f.code.as_str(), "not-found" | "absent"));
    if !outcomes.iter().any(missing) {
        return outcomes;
    }
    let place = host
        .list_dir(&config.directory, &config.path)
        .map_err(|f| place_is_missing(config, f));
    for (outcome, request) in outcomes
        .iter_mut()
        .zip(requests)
        .filter(|(o, _)| missing(o))
    {
        *outcome = Outcome::failed(match &place {
            Ok(_) => Failure::absent(format!(
                "there is no file {:?} in the store's folder",
                request.key
            )),
            Err(failure) => failure.clone(),
        });
    }
    outcomes
}

fn place_is_missing(config: &Config, mut failure: Failure) -> Failure {
    if failure.code == "absent" {
        failure = Failure::not_found(format!(
            "there is no folder {:?} in {:?}",
            config.path, config.directory
        ));
    }
    failure
}

fn get(host: &dyn Host, config: &Config, request: &Request) -> Outcome {
    let key = request.key.trim_end_matches('/');
    let folder = key != request.key;
    let refused = if request.metadata {
        Some(Failure::unsupported("the provider file has no metadata"))
    } else if request.version.as_deref().is_some_and(|v| !v.is_empty()) {
        Some(Failure::invalid_request("files have no versions"))
    } else if !stays_below(key) {
        Some(Failure::invalid_request(format!(
            "the key {:?} is no path below the store's folder",
            request.key
        )))
    } else {
        None
    };
    if let Some(failure) = refused {
        return Outcome::failed(failure);
    }
    let path = if config.path.is_empty() {
        key.to_owned()
    } else {
        format!("{}/{key}", config.path)
    };
    let parts = if folder {
        Err(None)
    } else {
        host.read(&config.directory, &path).map_err(Some)
    };
    match parts {
        Ok(bytes) => Outcome::parts(each(&request.picks, |p| take(key, &bytes, p)), None),
        Err(failure) => match files_in(host, &config.directory, &path) {
            Ok(files) => Outcome::parts(each(&request.picks, |p| take_file(key, &files, p)), None),
            Err(of_folder) => Outcome::failed(failure.unwrap_or(of_folder)),
        },
    }
}

type NamedBytes = Vec<(String, Vec<u8>)>;

/// The files of a folder by name, without its folders and without hidden entries, such as the links of a
/// mounted volume.
fn files_in(host: &dyn Host, root: &str, path: &str) -> Result<NamedBytes, Failure> {
    let mut names = host.list_dir(root, path)?;
    names.retain(|n| !n.ends_with('/') && !n.starts_with('.'));
    names.sort();
    names
        .into_iter()
        .map(|n| {
            host.read(root, &format!("{path}/{n}"))
                .map(|bytes| (n, bytes))
        })
        .collect()
}

fn take_file(key: &str, files: &NamedBytes, pick: &Pick) -> Result<Part, Failure> {
    match (&pick.property, pick.members) {
        (None, true) => Ok(Part::Members(files.clone())),
        (None, false) => Err(Failure::invalid_request(format!(
            "{key:?} is a folder: name a file, or extract it"
        ))),
        (Some(name), members) => {
            let file = files.iter().find(|(n, _)| n == name);
            let (_, bytes) = file.ok_or_else(|| {
                Failure::not_found(format!("there is no file {name:?} in {key:?}"))
            })?;
            take(
                name,
                bytes,
                &Pick {
                    property: None,
                    members,
                },
            )
        }
    }
}

fn take(key: &str, bytes: &[u8], pick: &Pick) -> Result<Part, Failure> {
    if pick.property.is_none() && !pick.members {
        return Ok(Part::Value(bytes.to_vec()));
    }
    let object = document::object(key, bytes)?;
    let Some(property) = &pick.property else {
        return Ok(Part::Members(value::members(&object)));
    };
    let found = value::exact_or_path(&object, property);
    let bytes = found.ok_or_else(|| {
        Failure::not_found(format!("cannot find secret data for key: {property:?}"))
    })?;
    if !pick.members {
        return Ok(Part::Value(bytes));
    }
    document::object("value.json", &bytes).map(|o| Part::Members(value::members(&o)))
}

export_provider!(File);
