//! The client's side of TLS: the roots that it trusts, its checks, and its errors in words.

use std::{path::Path, sync::Arc};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        CertificateError, ClientConfig, Error, RootCertStore,
        client::Resumption,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

/// Opens TLS 1.2 and 1.3 over TCP connections. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Tls(TlsConnector);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Trusts the authorities in this PEM file, or without one those of this system.
    ///
    /// # Errors
    /// Why there is no root to trust, in one sentence.
    pub(crate) fn trusting(file: Option<&Path>) -> Result<Self, String> {
        let roots = match file {
            Some(path) => roots_in(path)?,
            None => roots_of_this_system()?,
        };
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS: {error}"))?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Each connection is another viewer's, and so begins without a session of before.
        config.resumption = Resumption::disabled();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Shakes hands over a connection, as a client of the server with this name.
    ///
    /// # Errors
    /// Why the server is not trusted, or does not speak TLS.
    pub(crate) async fn connect(
        &self,
        name: ServerName<'static>,
        socket: TcpStream,
    ) -> Result<TlsStream<TcpStream>, std::io::Error> {
        self.0.connect(name, socket).await
    }
}

/// The name that the certificate of a `host:port` must have.
pub(crate) fn server_name(authority: &str) -> Option<ServerName<'static>> {
    let (host, _) = authority.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(host.to_owned()).ok()
}

fn roots_in(path: &Path) -> Result<RootCertStore, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("--ca {}: {error}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() { Err(wrong(&"expected a certificate in PEM")) } else { Ok(roots) }
}

fn roots_of_this_system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let reasons: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
    Err(format!(
        "this system has no certificate of an authority ({}): give one with --ca FILE",
        reasons.join("; ")
    ))
}

/// Says why there is no TLS, for a person.
pub(crate) fn reason(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(fault)) => of_certificate(fault),
        Some(Error::InvalidMessage(_)) => "the server does not speak TLS: is its URL ws://?".to_owned(),
        Some(other) => format!("TLS: {other}"),
        None => format!("cut in the TLS handshake: {}", error.kind()),
    }
}

fn of_certificate(fault: &CertificateError) -> String {
    match fault {
        CertificateError::UnknownIssuer => {
            "the server's certificate is not trusted: give its authority's with --ca FILE".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate is for another name than the URL's host".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet".to_owned()
        }
        // The library passes this one on without a name of its own.
        CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
            "the server's certificate is an authority's own: give the server one with CA:FALSE".to_owned()
        }
        other => format!("the server's certificate: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_to_check_is_the_host_without_port_and_brackets() {
        let name = |authority| server_name(authority).map(|name| name.to_str().into_owned());
        assert_eq!(name("live.example:443").as_deref(), Some("live.example"));
        assert_eq!(name("127.0.0.1:8443").as_deref(), Some("127.0.0.1"));
        assert_eq!(name("[::1]:8443").as_deref(), Some("::1"));
        assert_eq!(name("a b:443"), None);
        assert_eq!(name("live.example"), None);
    }
}
