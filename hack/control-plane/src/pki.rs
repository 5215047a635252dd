//! The instance's certificate authority and its certificates, all ECDSA P-256.
//!
//! The authority's key is in the instance's directory, so that any process that may read it can issue a user's
//! certificate without the supervisor. It must never sign for anything but this instance.

use std::time::{Duration, SystemTime};

use p256::ecdsa::{DerSignature, SigningKey};
use p256::elliptic_curve::Generate;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use sha2::{Digest, Sha256};
use x509_cert::TbsCertificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::der::asn1::{Any, Ia5String, OctetString};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::oid::db::{rfc4519, rfc5280};
use x509_cert::der::{Decode, DecodePem, Encode, EncodePem, Tag};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfo, SubjectPublicKeyInfoRef};
use x509_cert::time::Validity;

use crate::Error;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A private key and the certificate over it, in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// The names of a certificate's holder: Kubernetes takes the user name from CN and the groups from every O
/// (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates>).
pub(crate) struct Subject<'a> {
    pub(crate) user: &'a str,
    pub(crate) groups: &'a [&'a str],
}

/// The purpose of a certificate.
enum Usage {
    Authority,
    Client,
    /// A server on loopback, including the names that pods would use.
    Server,
}

/// A certificate authority with its key.
pub(crate) struct Authority {
    key: SigningKey,
    name: Name,
    certificate: String,
}

/// Converts the certificate libraries' error types.
fn fault<E: ToString>(subject: &str) -> impl Fn(E) -> Error {
    move |error| Error::Certificate { subject: subject.to_owned(), reason: error.to_string() }
}

impl Authority {
    /// A new authority with a new key.
    pub(crate) fn create(name: &str) -> Result<Self, Error> {
        let key = new_key(name)?;
        let subject = distinguished_name(&Subject { user: name, groups: &[] })?;
        let certificate = sign(&key, &subject, &key, &subject, name, Usage::Authority)?;
        Ok(Self { key, name: subject, certificate })
    }

    /// The authority with an existing certificate and key.
    pub(crate) fn load(identity: &Identity) -> Result<Self, Error> {
        let key = SigningKey::from_pkcs8_pem(&identity.key).map_err(fault("the authority"))?;
        let certificate = x509_cert::Certificate::from_pem(&identity.certificate).map_err(fault("the authority"))?;
        let name = certificate.tbs_certificate().subject().clone();
        Ok(Self { key, name, certificate: identity.certificate.clone() })
    }

    pub(crate) fn identity(&self) -> Result<Identity, Error> {
        Ok(Identity { certificate: self.certificate.clone(), key: key_pem(&self.key)? })
    }

    /// A new key with a client certificate.
    pub(crate) fn issue_client(&self, subject: &Subject<'_>) -> Result<Identity, Error> {
        self.issue(subject, Usage::Client)
    }

    /// A new key with a certificate for a server on loopback.
    pub(crate) fn issue_server(&self, name: &str) -> Result<Identity, Error> {
        self.issue(&Subject { user: name, groups: &[] }, Usage::Server)
    }

    fn issue(&self, subject: &Subject<'_>, usage: Usage) -> Result<Identity, Error> {
        let key = new_key(subject.user)?;
        let name = distinguished_name(subject)?;
        let certificate = sign(&self.key, &self.name, &key, &name, subject.user, usage)?;
        Ok(Identity { certificate, key: key_pem(&key)? })
    }
}

/// A key pair that signs ServiceAccount tokens: the private and the public key in PEM.
pub(crate) fn token_signing_keys() -> Result<(String, String), Error> {
    let key = new_key("the ServiceAccount issuer")?;
    let public = key.verifying_key().to_public_key_pem(LineEnding::LF).map_err(fault("the ServiceAccount issuer"))?;
    Ok((key_pem(&key)?, public))
}

fn new_key(subject: &str) -> Result<SigningKey, Error> {
    SigningKey::try_generate().map_err(fault(subject))
}

fn key_pem(key: &SigningKey) -> Result<String, Error> {
    Ok(key.to_pkcs8_pem(LineEnding::LF).map_err(fault("a private key"))?.to_string())
}

/// CN=user and one O for each group.
///
/// The values are set directly, not parsed from `CN=…,O=…`: a user name may contain any of RFC 4514's separators.
fn distinguished_name(subject: &Subject<'_>) -> Result<Name, Error> {
    let attribute = |oid: ObjectIdentifier, value: &str| {
        let value = Any::new(Tag::Utf8String, value.as_bytes())?;
        RelativeDistinguishedName::try_from(vec![AttributeTypeAndValue { oid, value }])
    };
    let groups = subject.groups.iter().map(|group| attribute(rfc4519::ORGANIZATION_NAME, group));
    let names: Result<Vec<_>, _> = groups.chain([attribute(rfc4519::COMMON_NAME, subject.user)]).collect();
    // Through DER, because the direct constructor requires the library's `hazmat` feature.
    let encoded = names.and_then(|names| RdnSequence::from(names).to_der()).map_err(fault(subject.user))?;
    Name::from_der(&encoded).map_err(fault(subject.user))
}

fn sign(
    issuer_key: &SigningKey,
    issuer: &Name,
    key: &SigningKey,
    name: &Name,
    label: &str,
    usage: Usage,
) -> Result<String, Error> {
    let public = SubjectPublicKeyInfo::from_key(key.verifying_key()).map_err(fault(label))?;
    // As unique as the key. The first bit is cleared because serial numbers are positive.
    let mut serial: [u8; 32] = Sha256::digest(public.to_der().map_err(fault(label))?).into();
    serial[0] = serial[0] & 0x3f | 0x40;
    let serial = SerialNumber::new(&serial[..16]).map_err(fault(label))?;
    // An instance lives for a test or an afternoon. The certificate is valid from the day before, in case a clock is
    // set back.
    let now = SystemTime::now();
    let time = |at: SystemTime| x509_cert::time::Time::try_from(at).map_err(fault(label));
    let validity = Validity::new(time(now - DAY)?, time(now + 3650 * DAY)?);
    let profile = Profile { issuer: issuer.clone(), subject: name.clone(), usage };
    CertificateBuilder::new(profile, serial, validity, public)
        .and_then(|builder| builder.build::<_, DerSignature>(issuer_key))
        .map_err(fault(label))?
        .to_pem(LineEnding::LF)
        .map_err(fault(label))
}

/// The extensions for each usage. The library's own profiles are for public web servers and forbid most of ours.
struct Profile {
    issuer: Name,
    subject: Name,
    usage: Usage,
}

impl BuilderProfile for Profile {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _key: SubjectPublicKeyInfoRef<'_>,
        _issuer_key: SubjectPublicKeyInfoRef<'_>,
        certificate: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let name = certificate.subject();
        let extended = match self.usage {
            Usage::Authority => {
                let constraints = BasicConstraints { ca: true, path_len_constraint: Some(0) };
                let usage = KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign);
                return Ok(vec![constraints.to_extension(name, &[])?, usage.to_extension(name, &[])?]);
            }
            Usage::Client => rfc5280::ID_KP_CLIENT_AUTH,
            Usage::Server => rfc5280::ID_KP_SERVER_AUTH,
        };
        let mut extensions = vec![
            KeyUsage(KeyUsages::DigitalSignature.into()).to_extension(name, &[])?,
            ExtendedKeyUsage(vec![extended]).to_extension(name, &[])?,
        ];
        if matches!(self.usage, Usage::Server) {
            let mut names = vec![
                GeneralName::IpAddress(OctetString::new([127, 0, 0, 1])?),
                // The first address of the API server's default service range.
                GeneralName::IpAddress(OctetString::new([10, 0, 0, 1])?),
            ];
            for dns in ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"] {
                names.push(GeneralName::DnsName(Ia5String::new(dns)?));
            }
            extensions.push(SubjectAltName(names).to_extension(name, &[])?);
        }
        Ok(extensions)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_user_keeps_awkward_names_and_all_groups() {
        let subject = Subject { user: "o'neil, \"x\"=y+z@example.com", groups: &["a,b", "system:masters", "ü"] };
        let authority = Authority::load(&Authority::create("ca").unwrap().identity().unwrap()).unwrap();
        let issued = authority.issue_client(&subject).unwrap();
        let certificate = x509_cert::Certificate::from_pem(&issued.certificate).unwrap();
        let values = |oid| -> Vec<String> {
            let name = certificate.tbs_certificate().subject();
            name.iter()
                .filter(|attribute| attribute.oid == oid)
                .map(|attribute| String::from_utf8(attribute.value.value().to_vec()).unwrap())
                .collect()
        };
        assert_eq!(values(rfc4519::COMMON_NAME), [subject.user]);
        assert_eq!(values(rfc4519::ORGANIZATION_NAME), subject.groups);
        assert_eq!(certificate.tbs_certificate().issuer(), &authority.name);
    }
}
