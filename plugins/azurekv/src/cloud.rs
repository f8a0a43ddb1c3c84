//! The clouds that Microsoft and its partners run: where one logs in, and whom a token of the vaults there is for.

use serde::Deserialize;

/// `environmentType` of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Environment {
    /// The worldwide cloud.
    #[default]
    PublicCloud,
    /// Of the government of the United States.
    USGovernmentCloud,
    /// Run by 21Vianet.
    ChinaCloud,
    /// Switched off on 29 October 2021.
    GermanCloud,
    /// Somebody's own: everything stands in `customCloudConfig`.
    AzureStackCloud,
}

impl Environment {
    /// Where one logs in; none where the config has to say it.
    #[must_use]
    pub fn login(self) -> Option<&'static str> {
        match self {
            Self::PublicCloud => Some("https://login.microsoftonline.com"),
            Self::USGovernmentCloud => Some("https://login.microsoftonline.us"),
            Self::ChinaCloud => Some("https://login.chinacloudapi.cn"),
            Self::GermanCloud | Self::AzureStackCloud => None,
        }
    }

    /// Whom a token of its vaults is for; none where the config has to say it.
    #[must_use]
    pub fn resource(self) -> Option<&'static str> {
        match self {
            Self::PublicCloud => Some("https://vault.azure.net"),
            Self::USGovernmentCloud => Some("https://vault.usgovcloudapi.net"),
            Self::ChinaCloud => Some("https://vault.azure.cn"),
            Self::GermanCloud | Self::AzureStackCloud => None,
        }
    }
}
