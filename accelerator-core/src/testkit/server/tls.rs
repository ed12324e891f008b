//! Certificates for one server: an authority, and what it says of 127.0.0.1.

use std::io;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

pub(super) const CA: &str = "ca.pem";
pub(super) const CERTIFICATE: &str = "certificate.pem";
pub(super) const KEY: &str = "key.pem";

/// In PEM.
pub(super) struct Made {
    pub(super) ca: String,
    certificate: String,
    key: String,
}

impl Made {
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        for (name, text) in [(CA, &self.ca), (CERTIFICATE, &self.certificate), (KEY, &self.key)] {
            std::fs::write(dir.join(name), text)?;
        }
        Ok(())
    }
}

pub(super) fn make() -> Made {
    try_make().unwrap_or_else(|error| panic!("no certificate could be made: {error}"))
}

fn try_make() -> Result<Made, rcgen::Error> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "test authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate()?;
    let ca = authority.self_signed(&key)?.pem();
    let issuer = Issuer::new(authority, key);

    let key = KeyPair::generate()?;
    let mut server = CertificateParams::new(["127.0.0.1", "localhost"].map(str::to_owned))?;
    server.distinguished_name.push(DnType::CommonName, "test server");
    let certificate = server.signed_by(&key, &issuer)?.pem();
    Ok(Made { ca, certificate, key: key.serialize_pem() })
}
