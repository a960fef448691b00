//! How requests to object stores are signed: with the OpenSSL that Kafka's connections use, so that
//! the program holds one cryptographic library, and there is one to keep up to date.

use object_store::client::{
    CryptoProvider, DigestAlgorithm, DigestContext, HmacContext, Signer, SigningAlgorithm,
};
use object_store::{Error, Result};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sha::Sha256;
use openssl::sign;

/// OpenSSL, as object stores' clients ask for it.
#[derive(Debug)]
pub(super) struct OpenSsl;

impl CryptoProvider for OpenSsl {
    fn digest(&self, algorithm: DigestAlgorithm) -> Result<Box<dyn DigestContext>> {
        match algorithm {
            DigestAlgorithm::Sha256 => {
                Ok(Box::new(Digest { state: Sha256::new(), digest: [0; 32] }))
            }
            other => Err(unknown(&other)),
        }
    }

    fn hmac(&self, algorithm: DigestAlgorithm, secret: &[u8]) -> Result<Box<dyn HmacContext>> {
        match algorithm {
            DigestAlgorithm::Sha256 => {
                let key = PKey::hmac(secret).map_err(failed)?;
                Ok(Box::new(Hmac { key, message: Vec::new(), code: Vec::new() }))
            }
            other => Err(unknown(&other)),
        }
    }

    fn sign(&self, algorithm: SigningAlgorithm, pem: &[u8]) -> Result<Box<dyn Signer>> {
        match algorithm {
            SigningAlgorithm::RS256 => {
                let rsa = PKey::private_key_from_pem(pem).and_then(|key| key.rsa());
                let key = rsa.and_then(PKey::from_rsa).map_err(failed)?;
                Ok(Box::new(RsaKey(key)))
            }
            other => Err(unknown(&other)),
        }
    }
}

struct Digest {
    state: Sha256,
    digest: [u8; 32],
}

impl DigestContext for Digest {
    fn update(&mut self, data: &[u8]) {
        self.state.update(data);
    }

    fn finish(&mut self) -> Result<&[u8]> {
        self.digest = self.state.clone().finish();
        Ok(&self.digest)
    }
}

/// What is authenticated is a few lines about a request, never its payload: it can be kept.
struct Hmac {
    key: PKey<Private>,
    message: Vec<u8>,
    code: Vec<u8>,
}

impl HmacContext for Hmac {
    fn update(&mut self, data: &[u8]) {
        self.message.extend_from_slice(data);
    }

    fn finish(&mut self) -> Result<&[u8]> {
        self.code = sign_sha256(&self.key, &self.message)?;
        Ok(&self.code)
    }
}

struct RsaKey(PKey<Private>);

impl Signer for RsaKey {
    fn sign(&self, string_to_sign: &[u8]) -> Result<Vec<u8>> {
        sign_sha256(&self.0, string_to_sign)
    }
}

fn sign_sha256(key: &PKey<Private>, message: &[u8]) -> Result<Vec<u8>> {
    sign::Signer::new(MessageDigest::sha256(), key)
        .and_then(|mut signer| signer.sign_oneshot_to_vec(message))
        .map_err(failed)
}

fn failed(error: ErrorStack) -> Error {
    Error::Generic { store: "OpenSSL", source: Box::new(error) }
}

fn unknown(algorithm: &dyn std::fmt::Debug) -> Error {
    Error::NotSupported { source: format!("{algorithm:?} is not known").into() }
}

#[cfg(test)]
mod tests {
    use openssl::ec::{EcGroup, EcKey};
    use openssl::nid::Nid;
    use openssl::rsa::{Padding, Rsa};
    use openssl::sign::Verifier;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }

    /// FIPS 180-4's example.
    #[test]
    fn a_digest_is_the_standards() {
        let mut digest = OpenSsl.digest(DigestAlgorithm::Sha256).expect("SHA-256");
        digest.update(b"a");
        digest.update(b"bc");
        assert_eq!(
            hex(digest.finish().expect("a digest")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    /// RFC 4231, test case 2.
    #[test]
    fn an_authentication_code_is_the_standards() {
        let mut hmac = OpenSsl.hmac(DigestAlgorithm::Sha256, b"Jefe").expect("HMAC");
        hmac.update(b"what do ya want ");
        hmac.update(b"for nothing?");
        assert_eq!(
            hex(hmac.finish().expect("a code")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    /// RFC 7518: RSASSA-PKCS1-v1_5 with SHA-256, by a key as service accounts have it or in the
    /// older form.
    #[test]
    fn a_service_accounts_signature_can_be_verified() {
        let rsa = Rsa::generate(2_048).expect("a key");
        let key = PKey::from_rsa(rsa.clone()).expect("a key");
        let pems = [
            key.private_key_to_pem_pkcs8().expect("a PEM"),
            rsa.private_key_to_pem().expect("a PEM"),
        ];
        for pem in pems {
            let signer = OpenSsl.sign(SigningAlgorithm::RS256, &pem).expect("a signer");
            let signature = signer.sign(b"header.claims").expect("a signature");
            let mut verifier = Verifier::new(MessageDigest::sha256(), &key).expect("a verifier");
            verifier.set_rsa_padding(Padding::PKCS1).expect("a padding");
            assert!(verifier.verify_oneshot(&signature, b"header.claims").expect("a verdict"));
        }
    }

    #[test]
    fn what_is_no_rsa_key_is_refused() {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
        let key = PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key");
        let pem = key.private_key_to_pem_pkcs8().expect("a PEM");
        assert!(OpenSsl.sign(SigningAlgorithm::RS256, &pem).is_err());
        assert!(OpenSsl.sign(SigningAlgorithm::RS256, b"no key").is_err());
    }
}
