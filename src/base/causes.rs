//! Why something failed, with what lies below it: libraries of the network keep the reason to the causes of their errors.
//!
//! Rests on nothing. Invariant: what an error has said already is not said again.

use std::error::Error;

/// An error with its causes, outermost first, joined by colons.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn each_cause_is_said_once() {
        let bottom = Layer("refused", None);
        let middle = Layer("cannot connect", Some(Box::new(bottom)));
        let again = Layer("cannot connect", Some(Box::new(middle)));
        assert_eq!(causes(&Layer("no answer", Some(Box::new(again)))), "no answer: cannot connect: refused");
        assert_eq!(causes(&Layer("alone", None)), "alone");
    }
}
