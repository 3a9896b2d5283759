//! Who is asked: the configuration, and what the command line puts in its place.
//!
//! Rests on `[replay]` of `config.toml`. Invariants: a key goes to the address that it is configured for, so that an address given on
//! the command line gets none unless its host is the same or a variable is named with it; a model is never guessed.

use std::time::Duration;

use crate::model::{Endpoint, Key, ModelError};
use crate::ops::error::{ErrorKind, OpError};
use crate::repo::Replay;

/// Who is asked, and how.
#[derive(Clone, Debug)]
pub struct Asking {
    /// Who is asked first.
    pub first: Endpoint,
    /// Who is asked when the first answer does not pass; nobody unless that was allowed.
    pub escalation: Option<Endpoint>,
    /// Most tokens of an answer.
    pub max_tokens: u32,
    /// 0 for the likeliest answer.
    pub temperature: f64,
    /// Bytes that the records of a prompt may take together.
    pub context_bytes: usize,
}

/// What the command line puts in place of the configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides<'a> {
    /// The address of the model that is asked first.
    pub endpoint: Option<&'a str>,
    /// Its model.
    pub model: Option<&'a str>,
    /// The variable that holds its key.
    pub api_key_env: Option<&'a str>,
    /// Whether the second model may be asked.
    pub allow_escalation: bool,
    /// Whether keys are needed: a cassette needs none.
    pub is_live: bool,
}

/// Puts both together. `variable` reads the environment.
///
/// # Errors
/// No model, an address that cannot be used, a variable that is not set, an escalation that is allowed and not configured.
pub fn endpoints(
    config: &Replay,
    overrides: &Overrides<'_>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Asking, OpError> {
    let key = |name: &str| -> Result<Option<Key>, OpError> {
        if name.is_empty() || !overrides.is_live {
            return Ok(None);
        }
        let text = variable(name).ok_or_else(|| {
            let message = format!("the key of the model is in the variable {name}, which is not set");
            OpError::new(
                ErrorKind::Usage,
                message,
                format!("set {name}, or correct api_key_env in .distill/config.toml"),
            )
        })?;
        let unusable = |why| {
            let message = format!("the key in the variable {name} cannot be sent: it {why}");
            OpError::new(ErrorKind::Usage, message, format!("set {name} to the key alone"))
        };
        Key::new(&text).map(Some).map_err(unusable)
    };
    let endpoint = |address: &str, model: &str, name: &str| -> Result<Endpoint, OpError> {
        let mut endpoint = Endpoint::new(address, model, key(name)?)?;
        endpoint.timeout = Duration::from_secs(config.timeout_s);
        endpoint.retries = config.retries;
        Ok(endpoint)
    };
    let address = overrides.endpoint.unwrap_or(&config.endpoint);
    let model = overrides.model.unwrap_or(&config.model);
    if model.trim().is_empty() {
        return Err(OpError::new(
            ErrorKind::Usage,
            format!("no model is named for {address}"),
            "name one with --model, or set `model` under [replay] in .distill/config.toml",
        ));
    }
    let name = match overrides.api_key_env {
        Some(name) => name,
        None if overrides.endpoint.is_none() || same_host(address, &config.endpoint)? => &config.api_key_env,
        None => "",
    };
    let first = endpoint(address, model, name)?;
    let escalation = if overrides.allow_escalation {
        let second = &config.escalation;
        if second.endpoint.is_empty() || second.model.is_empty() {
            return Err(OpError::new(
                ErrorKind::Usage,
                "escalation is allowed, and nobody is configured to be asked",
                "set `endpoint` and `model` under [replay.escalation] in .distill/config.toml",
            ));
        }
        Some(endpoint(&second.endpoint, &second.model, &second.api_key_env)?)
    } else {
        None
    };
    let Replay { max_tokens, temperature, context_bytes, .. } = *config;
    Ok(Asking { first, escalation, max_tokens, temperature, context_bytes })
}

fn same_host(a: &str, b: &str) -> Result<bool, ModelError> {
    let a = Endpoint::new(a, "", None)?;
    let b = Endpoint::new(b, "", None)?;
    let is_secure = |endpoint: &Endpoint| endpoint.url().starts_with("https:");
    Ok(a.provider() == b.provider() && is_secure(&a) == is_secure(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::Escalation;

    fn config() -> Replay {
        Replay {
            model: "small".to_owned(),
            api_key_env: "FIRST".to_owned(),
            escalation: Escalation {
                endpoint: "https://big.example/v1".to_owned(),
                model: "large".to_owned(),
                api_key_env: "SECOND".to_owned(),
            },
            ..Replay::default()
        }
    }

    fn variable(name: &str) -> Option<String> {
        ["FIRST", "SECOND", "OTHER"].contains(&name).then(|| format!("key-of-{name}"))
    }

    #[test]
    fn a_key_goes_where_it_is_configured_for() {
        let live = Overrides { is_live: true, ..Overrides::default() };
        let key = |overrides: &Overrides<'_>| {
            endpoints(&config(), overrides, &variable).expect("endpoints").first.key.is_some()
        };
        assert!(key(&live));
        assert!(key(&Overrides { endpoint: Some("http://localhost:11434/other"), ..live }));
        assert!(!key(&Overrides { endpoint: Some("http://elsewhere/v1"), ..live }));
        assert!(!key(&Overrides { endpoint: Some("https://localhost:11434/v1"), ..live }));
        assert!(key(&Overrides {
            endpoint: Some("http://elsewhere/v1"),
            api_key_env: Some("OTHER"),
            ..live
        }));
        assert!(!key(&Overrides::default()), "a cassette needs none");
    }

    #[test]
    fn what_is_missing_is_named() {
        let live = Overrides { is_live: true, ..Overrides::default() };
        let refusal = |config: &Replay, overrides: &Overrides<'_>, set: bool| {
            let variable = |name: &str| if set { variable(name) } else { None };
            endpoints(config, overrides, &variable).expect_err("must be refused").to_string()
        };
        assert!(refusal(&Replay::default(), &live, true).contains("no model is named"));
        assert!(refusal(&config(), &live, false).contains("FIRST"));
        let alone = Replay { escalation: Escalation::default(), ..config() };
        let allowed = Overrides { allow_escalation: true, ..live };
        assert!(refusal(&alone, &allowed, true).contains("nobody is configured"));
        let asking = endpoints(&config(), &allowed, &variable).expect("both");
        assert_eq!(asking.escalation.map(|second| second.model).as_deref(), Some("large"));
    }
}
