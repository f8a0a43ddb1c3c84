//! The target as it shall be: ownership, labels, hash and data held against the object that exists.
//!
//! The way of writing is the peer's: create, or read, compute, compare and replace with the resource version. Our keys
//! are what managedFields give to our field manager. Creation policies Owner and Orphan clear all other data, Merge and
//! CreateOrMerge keep it; the data hash covers all data that the object then has.

pub(crate) mod apply;
pub(crate) mod owner;
#[cfg(test)]
mod tests;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_core::ResourceExt as _;
use postern_api::external_secret::CreationPolicy;

use crate::failure::{Code, Failure, Stage};
use crate::plan::SyncPlan;
use crate::template::Desired;

/// The ExternalSecret that a target belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its namespace, which is the target's.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// By which rules a target is written, whatever its values are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whose it is.
    pub owner: Owner,
    /// Its name.
    pub name: String,
    /// Who makes it, and what is kept of what others wrote.
    pub creation: CreationPolicy,
    /// It is made immutable, and once it exists its data stay as they are.
    pub immutable: bool,
    /// What it is, for messages: `secret`, or the kind of another object.
    pub what: String,
}

impl Rule {
    /// The rule of a plan; `uid` is the ExternalSecret's.
    #[must_use]
    pub fn of(plan: &SyncPlan, uid: Option<&str>) -> Self {
        Self {
            owner: Owner {
                namespace: plan.namespace.clone(),
                name: plan.name.clone(),
                uid: uid.unwrap_or_default().to_owned(),
            },
            name: plan.target_name.clone(),
            creation: plan.creation,
            immutable: plan.immutable,
            what: plan
                .manifest
                .as_ref()
                .map_or_else(|| "secret".to_owned(), ToString::to_string),
        }
    }

    /// Whether data that others wrote stay.
    #[must_use]
    pub const fn keeps_foreign_data(&self) -> bool {
        match self.creation {
            CreationPolicy::Merge | CreationPolicy::CreateOrMerge => true,
            CreationPolicy::Owner | CreationPolicy::Orphan | CreationPolicy::None => false,
        }
    }
}

/// What to do with the target.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// It does not exist.
    Create(Box<Secret>),
    /// It differs; carries the resource version that was read.
    Update(Box<Secret>),
    /// Its data cannot be changed, its metadata can: to be written, and then the failure told.
    Metadata(Box<Secret>, Box<Failure>),
    /// It is as it shall be.
    Unchanged,
    /// It does not exist, and is not ours to make.
    Missing,
    /// Nothing is ever written.
    Skip,
}

/// Decides how the target becomes what it shall be.
pub fn write(existing: Option<&Secret>, desired: &Desired, rule: &Rule) -> Result<Write, Failure> {
    if rule.creation == CreationPolicy::None {
        return Ok(Write::Skip);
    }
    let Some(existing) = existing else {
        return Ok(match rule.creation {
            CreationPolicy::Merge => Write::Missing,
            _ => Write::Create(Box::new(new(desired, rule))),
        });
    };
    owner::check(&existing.metadata, rule)?;
    let mut secret = existing.clone();
    if !rule.immutable {
        check_type(existing, desired, &rule.name)?;
        apply::contents(&mut secret, desired, rule);
    }
    seal(&mut secret, rule);
    if same(existing, &secret) {
        return Ok(Write::Unchanged);
    }
    if existing.immutable == Some(true) && existing.data != secret.data {
        return unchangeable(existing, secret, rule);
    }
    Ok(Write::Update(Box::new(secret)))
}

fn new(desired: &Desired, rule: &Rule) -> Secret {
    let mut secret = Secret {
        metadata: ObjectMeta {
            name: Some(rule.name.clone()),
            namespace: Some(rule.owner.namespace.clone()),
            ..ObjectMeta::default()
        },
        ..Secret::default()
    };
    apply::contents(&mut secret, desired, rule);
    secret.type_ = Some(desired.type_.clone().unwrap_or_else(|| "Opaque".to_owned()));
    seal(&mut secret, rule);
    secret
}

/// What every target gets, whether its data were touched or not.
fn seal(secret: &mut Secret, rule: &Rule) {
    if rule.immutable {
        secret.immutable = Some(true);
    }
    owner::apply(&mut secret.metadata, rule);
    apply::marks(secret);
}

/// The metadata of an immutable Secret may still change, and the hash says what is really in it.
fn unchangeable(existing: &Secret, mut secret: Secret, rule: &Rule) -> Result<Write, Failure> {
    let failure = Failure::new(
        Stage::Commit,
        Code::TargetOwned,
        format!(
            "could not update secret \"{}\", target is immutable; delete it to have it made again",
            rule.name
        ),
    );
    secret.data = existing.data.clone();
    apply::marks(&mut secret);
    if same(existing, &secret) {
        return Err(failure);
    }
    Ok(Write::Metadata(Box::new(secret), Box::new(failure)))
}

/// One object in one version, to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exactly {
    /// Its UID.
    pub uid: String,
    /// The version that was read.
    pub resource_version: String,
}

impl Exactly {
    fn of(meta: &ObjectMeta) -> Option<Self> {
        Some(Self {
            uid: meta.uid.clone()?,
            resource_version: meta.resource_version.clone()?,
        })
    }
}

/// What to do with a target that shall not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remove {
    /// It is not there, or going already.
    Nothing,
    /// This one object in this one version.
    Delete(Exactly),
}

/// Decides how the target ceases to be. Only an object that this very ExternalSecret controls is deleted, and only where
/// `at_stake` says that its absence was confirmed for it.
pub fn remove(existing: Option<&Secret>, rule: &Rule, at_stake: bool) -> Result<Remove, Failure> {
    remove_object(existing.map(|secret| &secret.metadata), rule, at_stake)
}

pub(crate) fn remove_object(
    existing: Option<&ObjectMeta>,
    rule: &Rule,
    at_stake: bool,
) -> Result<Remove, Failure> {
    let Some(existing) = existing.filter(|meta| meta.deletion_timestamp.is_none()) else {
        return Ok(Remove::Nothing);
    };
    let ours = owner::controls(existing, &rule.owner);
    match Exactly::of(existing) {
        Some(exactly) if ours && at_stake => Ok(Remove::Delete(exactly)),
        _ => Err(Failure::new(
            Stage::Commit,
            Code::TargetOwned,
            format!(
                "could not delete {} \"{}\": the backend has nothing for it, but this ExternalSecret does not own it; delete it by hand, or choose another spec.target.name",
                rule.what, rule.name
            ),
        )),
    }
}

/// Whether a Secret is left over from an earlier `spec.target.name`: this very ExternalSecret controls it, its label says
/// so too, and the target is another by now. None where it is not, and then it is left alone.
#[must_use]
pub fn left_over(meta: &ObjectMeta, rule: &Rule) -> Option<Exactly> {
    let is_target = meta.name.as_ref() == Some(&rule.name);
    let going = meta.deletion_timestamp.is_some();
    let ours = rule.creation == CreationPolicy::Owner
        && owner::controls(meta, &rule.owner)
        && owner::is_labelled(meta, &rule.owner);
    if is_target || going || !ours {
        return None;
    }
    Exactly::of(meta)
}

/// Whether a Secret is left of an ExternalSecret that is gone: that very one controls it, and nobody deletes it yet.
#[must_use]
pub fn bereft(meta: &ObjectMeta, owner: &Owner) -> Option<Exactly> {
    let ours = owner::controls(meta, owner) && meta.deletion_timestamp.is_none();
    ours.then(|| Exactly::of(meta)).flatten()
}

fn check_type(existing: &Secret, desired: &Desired, name: &str) -> Result<(), Failure> {
    match (&existing.type_, &desired.type_) {
        (Some(is), Some(shall)) if is != shall => Err(Failure::new(
            Stage::Commit,
            Code::TargetOwned,
            format!(
                "secret \"{name}\" has the type {is} and the template says {shall}; a type cannot be changed, delete the Secret to have it made again"
            ),
        )),
        _ => Ok(()),
    }
}

fn same(a: &Secret, b: &Secret) -> bool {
    let data = |s: &Secret| s.data.clone().filter(|d| !d.is_empty());
    let owners = |s: &Secret| s.metadata.owner_references.clone().unwrap_or_default();
    data(a) == data(b)
        && a.labels() == b.labels()
        && a.annotations() == b.annotations()
        && a.finalizers() == b.finalizers()
        && owners(a) == owners(b)
        && a.type_ == b.type_
        && a.immutable.unwrap_or(false) == b.immutable.unwrap_or(false)
}
