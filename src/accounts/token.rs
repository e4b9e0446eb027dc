//! Session tokens: JWTs (RFC 7519) signed with HS256, and random secrets for API tokens.

use std::{io::Write, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use anyhow::Context;
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, Header, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    decode, encode,
    errors::{ErrorKind, new_error},
    signature,
};
use rand::RngExt;
use ring::hmac;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

/// What a token may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Use {
    /// Calls routes.
    Access,
    /// Buys the next pair of tokens, once.
    Refresh,
}

/// What a session token says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The user's id.
    pub sub: String,
    /// The session, i.e. the family of tokens.
    pub sid: Uuid,
    /// This token; of a family's refresh tokens only the last is alive.
    pub jti: Uuid,
    /// What it may be used for.
    #[serde(rename = "use")]
    pub usage: Use,
    /// Issued at, in seconds since 1970.
    pub iat: i64,
    /// Expires at, in seconds since 1970.
    pub exp: i64,
}

/// Signs and checks session tokens.
pub struct Signer {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl Signer {
    /// A signer over a secret.
    pub fn new(secret: &[u8]) -> Self {
        // The second and later signers of a process find it installed.
        PROVIDER.install_default().ok();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.set_required_spec_claims(&["exp", "sub"]);
        Self { encoding: EncodingKey::from_secret(secret), decoding: DecodingKey::from_secret(secret), validation }
    }

    /// Signs a token of a session that lives for `life`.
    ///
    /// # Errors
    /// Signing fails only without memory or a back end.
    pub fn sign(&self, user: i64, session: Uuid, id: Uuid, usage: Use, life: Duration) -> anyhow::Result<String> {
        let iat = OffsetDateTime::now_utc().unix_timestamp();
        let exp = iat.saturating_add(i64::try_from(life.as_secs())?);
        let claims = Claims { sub: user.to_string(), sid: session, jti: id, usage, iat, exp };
        Ok(encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)?)
    }

    /// A keyed hash of a text that is no token: the same for all servers that share the secret, and of no use without it.
    ///
    /// # Errors
    /// Signing fails only without memory or a back end.
    pub fn hash(&self, text: &str) -> anyhow::Result<String> {
        // No token begins like this, so no hash is a token's signature.
        let text = format!("hash of {text}");
        Ok(jsonwebtoken::crypto::sign(text.as_bytes(), &self.encoding, Algorithm::HS256)?)
    }

    /// Whether a token has our signature, be it expired or meant for anything.
    pub fn is_signed(&self, token: &str) -> bool {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        decode::<serde_json::Value>(token, &self.decoding, &validation).is_ok()
    }

    /// The claims of a token that is ours, unexpired and meant for this use.
    pub fn verify(&self, token: &str, usage: Use) -> Option<Claims> {
        let claims = decode::<Claims>(token, &self.decoding, &self.validation).ok()?.claims;
        (claims.usage == usage).then_some(claims)
    }
}

/// What signs and checks for `jsonwebtoken`: HS256 with ring, which TLS uses already. The crate's own back ends would link
/// RSA and elliptic curves, which nothing here needs.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(Hs256::new(algorithm, key.family(), key.as_bytes())?)),
    verifier_factory: |algorithm, key| Ok(Box::new(Hs256::new(algorithm, key.family(), key.try_get_as_bytes()?)?)),
    key_utils: KeyUtils::new_unimplemented(),
};

/// HMAC with SHA-256 (RFC 7518, 3.2).
struct Hs256(hmac::Key);

impl Hs256 {
    fn new(algorithm: &Algorithm, family: AlgorithmFamily, secret: &[u8]) -> jsonwebtoken::errors::Result<Self> {
        if *algorithm != Algorithm::HS256 || family != AlgorithmFamily::Hmac {
            return Err(new_error(ErrorKind::UnsupportedAlgorithm));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }
}

impl signature::Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl signature::Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        hmac::verify(&self.0, message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

/// So many random bytes from the system's generator, as hex.
pub fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    rand::rng().fill(random.as_mut_slice());
    hex::encode(random)
}

/// The secret kept in `file`, made at the first call and readable by its owner alone.
///
/// # Errors
/// When the file cannot be read or written.
pub fn load_or_create_secret(file: &Path) -> anyhow::Result<String> {
    if let Ok(secret) = std::fs::read_to_string(file)
        && secret.trim().len() >= 32
    {
        return Ok(secret.trim().to_owned());
    }
    let secret = random_hex(48);
    // Written aside and renamed, so that a crash never leaves half a secret.
    let aside = file.with_extension(format!("{}.tmp", std::process::id()));
    let _ = std::fs::remove_file(&aside);
    let mut opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    opened.write_all(secret.as_bytes()).and_then(|()| opened.sync_all()).context("cannot keep the secret")?;
    std::fs::rename(&aside, file)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_token_is_no_access_token() {
        let signer = Signer::new(b"0123456789abcdef0123456789abcdef");
        let token =
            signer.sign(1, Uuid::now_v7(), Uuid::now_v7(), Use::Refresh, Duration::from_secs(9)).expect("signed");
        assert!(signer.verify(&token, Use::Refresh).is_some());
        assert!(signer.verify(&token, Use::Access).is_none());
        assert!(Signer::new(b"another secret another secret 123").verify(&token, Use::Refresh).is_none());
    }

    #[test]
    fn tokens_are_what_other_programs_sign_and_read() {
        // HMAC-SHA-256 of the example in RFC 7515, A.1.
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let key = DecodingKey::from_base64_secret(&format!("{}==", key.replace('-', "+").replace('_', "/")));
        PROVIDER.install_default().ok();
        let message = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
            eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let key = key.expect("the example's key");
        let verify = |signature, message: &str| {
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, Algorithm::HS256).expect("HS256")
        };
        assert!(verify(signature, message));
        assert!(!verify(signature, &format!("{message}x")));
        assert!(jsonwebtoken::crypto::verify(signature, b"", &key, Algorithm::HS512).is_err());
    }

    #[test]
    fn a_kept_secret_stays_the_same_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("jwt_secret");
        let secret = load_or_create_secret(&file).expect("made");
        assert_eq!(load_or_create_secret(&file).expect("kept"), secret);
        assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    }
}
