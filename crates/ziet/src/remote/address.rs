//! The URL of a server: what of a URL is taken, and how it is written so that the same server is the same text.

use std::net::IpAddr;

use ureq::http::Uri;

use crate::error::CliError;

/// The beginning of every URL of a server: `https://shop.example.com`, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) url: String,
    /// `shop.example.com`, with the port where it is not the usual one.
    pub(crate) authority: String,
    host: String,
    pub(crate) encrypted: bool,
}

impl Address {
    /// # Errors
    /// When it is not the URL of a server; `said` tells where it came from.
    pub(crate) fn parse(text: &str, said: &str) -> Result<Self, CliError> {
        let wrong = |what: &str| {
            Err(CliError::usage(format!("{said} {text}: {what}"))
                .hint("give a URL such as https://shop.example.com or http://127.0.0.1:7878"))
        };
        let Ok(uri) = text.parse::<Uri>() else {
            return wrong("it is not a URL");
        };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return wrong("it is not a whole URL");
        };
        let usual = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return wrong("its scheme is neither http nor https"),
        };
        if authority.as_str().contains('@') {
            return wrong("a key does not stand in the URL: `ziet login` asks for it");
        }
        if uri.query().is_some() {
            return wrong("it has a query");
        }
        let host = authority.host().to_lowercase();
        let authority = match authority.port_u16() {
            Some(port) if port != usual => format!("{host}:{port}"),
            Some(_) | None => host.clone(),
        };
        let path = uri.path().trim_end_matches('/');
        Ok(Self {
            url: format!("{scheme}://{authority}{path}"),
            host: host.trim_matches(['[', ']']).to_owned(),
            authority,
            encrypted: scheme == "https",
        })
    }

    /// The name by which it is called, without the port.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Whether it is this machine.
    pub(crate) fn is_here(&self) -> bool {
        let is_loopback = |ip: IpAddr| ip.is_loopback();
        self.host == "localhost" || self.host.parse().is_ok_and(is_loopback)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_has_one_url() {
        let url = |text: &str| Address::parse(text, "--server").map(|address| address.url);
        for (text, same) in [
            ("https://Shop.Example.com:443/", "https://shop.example.com"),
            ("http://127.0.0.1:7878", "http://127.0.0.1:7878"),
            ("http://[::1]:7878/", "http://[::1]:7878"),
            ("https://example.com/ziet/", "https://example.com/ziet"),
        ] {
            assert_eq!(url(text).unwrap(), same);
        }
        for wrong in [
            "shop.example.com",
            "localhost:7878",
            "ftp://a",
            "https://sk_1@shop.example.com",
            "https://shop.example.com/?a=1",
            "https://",
            "",
        ] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn this_machine_is_known_by_its_names() {
        let is_here = |text: &str| Address::parse(text, "--server").unwrap().is_here();
        assert!(
            ["http://localhost", "http://127.0.0.2:1", "http://[::1]:1"].map(is_here) == [true; 3]
        );
        assert!(!is_here("http://localhost.example.com"));
    }
}
