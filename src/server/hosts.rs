//! Under which names a server may be asked.
//!
//! Rests on nothing. Invariant: a server that listens on this machine alone answers only to names of this machine, so that
//! a web page elsewhere whose name was made to point here reads nothing from it.

use std::net::{IpAddr, SocketAddr};

/// The names.
#[derive(Clone, Debug)]
pub struct Hosts {
    any: bool,
    more: Vec<String>,
}

impl Hosts {
    /// Those of a server that listens on `bind`, and `more`.
    pub fn new(bind: SocketAddr, more: &[String]) -> Self {
        let more = more.iter().map(|name| name.to_ascii_lowercase()).collect();
        // `::ffff:127.0.0.1` is this machine too.
        Self { any: !bind.ip().to_canonical().is_loopback(), more }
    }

    /// Whether the server may be asked as `host`, which may end with a port.
    pub fn has(&self, host: Option<&str>) -> bool {
        if self.any {
            return true;
        }
        let Some(host) = host else { return false };
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.to_ascii_lowercase();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        name == "localhost"
            || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            || self.more.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_server_answers_to_local_names() {
        let local = Hosts::new("127.0.0.1:7474".parse().expect("an address"), &["Data.Example".to_owned()]);
        for good in [
            "localhost",
            "localhost:7474",
            "127.0.0.1:1",
            "[::1]:7474",
            "[::1]",
            "data.example:80",
            "LOCALHOST",
        ] {
            assert!(local.has(Some(good)), "{good}");
        }
        for bad in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7474", "", "10.0.0.1"] {
            assert!(!local.has(Some(bad)), "{bad}");
        }
        assert!(!local.has(None));
        let mapped = Hosts::new("[::ffff:127.0.0.1]:80".parse().expect("an address"), &[]);
        assert!(mapped.has(Some("localhost")) && !mapped.has(Some("evil.example")));
        assert!(Hosts::new("0.0.0.0:80".parse().expect("an address"), &[]).has(Some("any.example")));
    }
}
