//! The webhook's certificates: a root that signs one certificate and is forgotten, and when they are renewed. Pure but
//! for random numbers.
//!
//! A renewal makes both anew. The roots that the API server trusts are then the new one and the one before, so that a
//! replica that still serves the old certificate is believed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate is good for this long.
const VALID: Duration = Duration::from_secs(90 * 86_400);
/// It is renewed when less than this is left of it.
const RENEW: Duration = Duration::from_secs(30 * 86_400);
/// Clocks of two machines may differ by this much.
const SKEW: Duration = Duration::from_secs(3_600);
/// Keys of the Secret: those that the type kubernetes.io/tls has.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const ROOTS: &str = "ca.crt";
/// When the certificate ends.
const NOT_AFTER: &str = "atomicnf.dev/not-after";
/// A bundle has at most the root and the one before.
const BOUNDARY: &str = "-----END CERTIFICATE-----";

/// Why certificates cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// They cannot be made.
    #[error("cannot make a certificate for the webhook: {0}")]
    Make(#[from] rcgen::Error),
    /// What the Secret holds is none.
    #[error("the webhook's certificate cannot be used: {0}")]
    Use(String),
}

/// A certificate with its key and the roots to trust, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The newest root, then the one before.
    pub roots: String,
    certificate: String,
    key: String,
    not_after: Timestamp,
}

impl Bundle {
    /// Makes one for these DNS names. `before` is the bundle that it replaces.
    ///
    /// # Errors
    /// If a name is none, or there are no random numbers.
    pub fn make(names: &[String], before: Option<&Self>, now: SystemTime) -> Result<Self, CertificateError> {
        let moment = |at: SystemTime| {
            rcgen::date_time_ymd(1970, 1, 1) + at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
        };
        let (from, to) = (moment(now - SKEW), moment(now + VALID));
        let mut root = CertificateParams::default();
        (root.not_before, root.not_after) = (from, to);
        root.distinguished_name = name("AtomicNF webhook root");
        root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root_key = KeyPair::generate()?;
        let root_certificate = root.self_signed(&root_key)?;
        let mut leaf = CertificateParams::new(names.to_vec())?;
        (leaf.not_before, leaf.not_after) = (from, to);
        leaf.distinguished_name = name("AtomicNF webhook");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &Issuer::new(root, root_key))?;
        let last_root = before.map(Self::newest_root).unwrap_or_default();
        Ok(Self {
            roots: root_certificate.pem() + last_root,
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            not_after: Timestamp::try_from(now + VALID)
                .map_err(|error| CertificateError::Use(error.to_string()))?,
        })
    }

    fn newest_root(&self) -> &str {
        let end = self.roots.find(BOUNDARY).map_or(self.roots.len(), |at| at + BOUNDARY.len());
        &self.roots[..end]
    }

    /// It ends soon.
    pub fn is_due(&self, now: SystemTime) -> bool {
        Timestamp::try_from(now + RENEW).map_or(true, |soon| soon >= self.not_after)
    }

    /// From a Secret, whoever wrote it; nothing if it lacks a part or its end is not told.
    pub fn from_secret(secret: &Secret) -> Option<Self> {
        let text = |key: &str| String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok();
        let not_after = secret.metadata.annotations.as_ref()?.get(NOT_AFTER)?.parse().ok()?;
        Some(Self { roots: text(ROOTS)?, certificate: text(CERTIFICATE)?, key: text(KEY)?, not_after })
    }

    /// As a Secret. With a resource version it replaces that one and no other.
    pub fn to_secret(&self, name: &str, resource_version: Option<String>) -> Secret {
        let data = [(CERTIFICATE, &self.certificate), (KEY, &self.key), (ROOTS, &self.roots)];
        let data = data.map(|(key, text)| (key.to_owned(), ByteString(text.clone().into_bytes())));
        Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                annotations: Some(BTreeMap::from([(NOT_AFTER.to_owned(), self.not_after.to_string())])),
                resource_version,
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".into()),
            data: Some(BTreeMap::from(data)),
            ..Secret::default()
        }
    }

    /// For the server.
    ///
    /// # Errors
    /// If the PEM is none, or the key does not go with the certificate.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, CertificateError> {
        let unusable = |error: &dyn std::fmt::Display| CertificateError::Use(error.to_string());
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unusable(&error))?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|error| unusable(&error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
        config.map(Arc::new).map_err(|error| unusable(&error))
    }
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["atomicnf-webhook.atomicnf-system.svc".into()]
    }

    fn bundle(before: Option<&Bundle>) -> Bundle {
        Bundle::make(&names(), before, SystemTime::now()).expect("a bundle")
    }

    #[test]
    fn a_bundle_survives_its_secret_and_can_be_served() {
        let bundle = bundle(None);
        let secret = bundle.to_secret("s", None);
        let read = Bundle::from_secret(&secret).expect("a bundle");
        assert!(read == bundle);
        read.server_config().expect("a configuration");
    }

    #[test]
    fn what_is_not_a_bundle_is_made_anew_and_never_served() {
        assert!(Bundle::from_secret(&Secret::default()).is_none());
        let mut secret = bundle(None).to_secret("s", None);
        secret.data.as_mut().expect("data").insert(KEY.into(), ByteString(b"no key".to_vec()));
        let broken = Bundle::from_secret(&secret).expect("all parts are there");
        assert!(broken.server_config().is_err());
        let (one, two) = (bundle(None), bundle(None));
        let mixed = Bundle { key: two.key, ..one };
        assert!(mixed.server_config().is_err(), "a key of another certificate");
    }

    #[test]
    fn it_is_renewed_while_a_third_of_its_time_is_left() {
        let now = SystemTime::now();
        let bundle = bundle(None);
        assert!(!bundle.is_due(now));
        assert!(!bundle.is_due(now + VALID - RENEW - Duration::from_secs(60)));
        assert!(bundle.is_due(now + VALID - RENEW + Duration::from_secs(60)));
        assert!(bundle.is_due(now + VALID + VALID));
    }

    #[test]
    fn two_roots_are_trusted_after_a_renewal_and_never_more() {
        let roots = |bundle: &Bundle| bundle.roots.matches(BOUNDARY).count();
        let first = bundle(None);
        let second = bundle(Some(&first));
        let third = bundle(Some(&second));
        assert_eq!([roots(&first), roots(&second), roots(&third)], [1, 2, 2]);
        assert!(second.roots.contains(first.newest_root()) && !third.roots.contains(first.newest_root()));
    }
}
