//! JSON Web Tokens that a plugin signs with an RSA key of its store, and the PEM that such a key stands in. Nothing here
//! holds a key longer than one signature.

use std::convert::Infallible;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rsa::PrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::rand_core::{TryCryptoRng, TryRng};
use rsa::sha2::{Digest as _, Sha256};
use rsa::signature::{RandomizedSigner as _, SignatureEncoding as _};
use sha1::Sha1;

/// A block of a PEM text.
#[derive(Clone, PartialEq, Eq)]
pub struct Block {
    /// What stands behind `BEGIN`.
    pub label: String,
    /// Its bytes.
    pub der: Vec<u8>,
}

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
}

impl Algorithm {
    /// As the header of a token names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
        }
    }
}

/// An RSA key.
pub struct Signer(PrivateKey);

impl Signer {
    /// The first private key of a PEM text, in PKCS #8 or PKCS #1.
    ///
    /// # Errors
    /// What is wrong with the text, to be read after its name; nothing of it is quoted.
    pub fn from_pem(text: &str) -> Result<Self, &'static str> {
        let blocks = blocks(text)?;
        let key = blocks
            .iter()
            .find(|b| b.label.ends_with("PRIVATE KEY"))
            .ok_or("holds no private key")?;
        let read = match key.label.as_str() {
            "PRIVATE KEY" => PrivateKey::from_pkcs8_der(&key.der).ok(),
            "RSA PRIVATE KEY" => PrivateKey::from_pkcs1_der(&key.der).ok(),
            "ENCRYPTED PRIVATE KEY" => return Err("holds a private key that is encrypted"),
            _ => None,
        };
        read.map(Self)
            .ok_or("holds a private key that is no RSA key")
    }

    /// The token of a header and its claims, both JSON. `random` blinds the use of the key, and salts PS256.
    ///
    /// # Errors
    /// Where the key is too small for the signature.
    pub fn token(
        &self,
        algorithm: Algorithm,
        header: &str,
        claims: &str,
        random: impl FnMut() -> u64,
    ) -> Result<String, &'static str> {
        let (header, claims) = (
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims),
        );
        let input = format!("{header}.{claims}");
        let (key, mut random) = (self.0.clone(), Random(random));
        let message = input.as_bytes();
        let signature = match algorithm {
            Algorithm::Rs256 => rsa::pkcs1v15::SigningKey::<Sha256>::new(key)
                .try_sign_with_rng(&mut random, message)
                .map(|s| s.to_vec()),
            Algorithm::Ps256 => rsa::pss::SigningKey::<Sha256>::new(key)
                .try_sign_with_rng(&mut random, message)
                .map(|s| s.to_vec()),
        };
        let signature = signature.map_err(|_| "holds a private key that is too small")?;
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The blocks of a PEM text.
///
/// # Errors
/// What is wrong, to be read after the name of the text.
pub fn blocks(text: &str) -> Result<Vec<Block>, &'static str> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (label, after) = after.split_once("-----").ok_or("is no PEM")?;
        let (body, after) = after
            .split_once(&format!("-----END {label}-----"))
            .ok_or("is PEM with a block that does not end")?;
        if body.contains("ENCRYPTED") {
            return Err("holds a private key that is encrypted");
        }
        let packed: String = body.split_ascii_whitespace().collect();
        let der = STANDARD
            .decode(packed)
            .map_err(|_| "is PEM with a block that is no base64")?;
        let label = label.to_owned();
        blocks.push(Block { label, der });
        rest = after;
    }
    if blocks.is_empty() {
        return Err("is no PEM");
    }
    Ok(blocks)
}

/// The SHA-1 thumbprint of a certificate, as the header `x5t` has it.
#[must_use]
pub fn x5t(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha1::digest(der))
}

/// The SHA-256 thumbprint of a certificate, as the header `x5t#S256` has it.
#[must_use]
pub fn x5t_s256(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(der))
}

/// The host's randomness as the signature wants it.
struct Random<F>(F);

impl<F: FnMut() -> u64> TryRng for Random<F> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let [a, b, c, d, ..] = (self.0)().to_le_bytes();
        Ok(u32::from_le_bytes([a, b, c, d]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok((self.0)())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let drawn = (self.0)().to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
        Ok(())
    }
}

impl<F: FnMut() -> u64> TryCryptoRng for Random<F> {}
