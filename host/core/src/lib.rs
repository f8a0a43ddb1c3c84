//! The pure core of Postern: what a sync decides, without clock, environment, file, socket or randomness.
//!
//! Values come in, decisions go out; whoever acts on them lives elsewhere. [`plugin::PluginHost`] is declared here
//! because everything above the runtime speaks to it, but nothing here calls it.

pub mod absence;
pub mod access;
pub mod audience;
pub mod conclude;
pub mod cron;
pub mod delimiters;
pub mod egress;
pub mod failure;
pub mod fan_out;
pub mod generic;
pub mod go;
pub mod grant;
pub mod offer;
pub mod plan;
pub mod plugin;
pub mod progress;
pub mod provenance;
pub mod re2;
pub mod reference;
pub mod rollback;
pub mod rollout;
pub mod schedule;
pub mod secret;
pub mod selector;
pub mod shape;
pub mod store;
pub mod target;
pub mod template;
pub mod windows;
