//! Reading an expression that is evaluated natively.
//!
//! Rests on the parser of plain paths, to which this adds operators and words. Invariant: what is parsed groups as jq
//! groups it: `|` binds least, then `,`, `//`, comparisons, `+`, `*`.

use crate::base::json::Value;

use super::Base;
use super::Comparison;
use super::Native;
use crate::pipeline::source::path::Parser;
use crate::pipeline::source::path::Root;
use crate::pipeline::source::path::Step;
use crate::pipeline::source::path::identifier;

/// Parses `code`; `None` where it is more than this knows.
pub(super) fn parse(code: &str, variables: &[String]) -> Option<Native> {
    let mut parser = Parser { rest: code, variables };
    let whole = parser.pipe()?;
    parser.space();
    parser.rest.is_empty().then_some(whole)
}

impl Parser<'_, '_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes `symbol` if it is next and no longer operator begins with it.
    fn takes(&mut self, symbol: &str) -> bool {
        self.space();
        let Some(after) = self.rest.strip_prefix(symbol) else { return false };
        let longer = match symbol {
            "|" | "+" | "*" | "//" => after.starts_with('='),
            "<" | ">" => after.starts_with('='),
            _ => false,
        };
        if !longer {
            self.rest = after;
        }
        !longer
    }

    /// Takes the word `word` if it is next.
    fn takes_word(&mut self, word: &str) -> bool {
        self.space();
        let found = identifier(self.rest) == Some(word);
        if found {
            self.rest = &self.rest[word.len()..];
        }
        found
    }

    fn pipe(&mut self) -> Option<Native> {
        let first = self.comma()?;
        if !self.takes("|") {
            return Some(first);
        }
        Some(Native::Pipe(Box::new(first), Box::new(self.pipe()?)))
    }

    fn comma(&mut self) -> Option<Native> {
        let mut all = self.alternative()?;
        while self.takes(",") {
            all = Native::Comma(Box::new(all), Box::new(self.alternative()?));
        }
        Some(all)
    }

    fn alternative(&mut self) -> Option<Native> {
        let first = self.comparison()?;
        if !self.takes("//") {
            return Some(first);
        }
        Some(Native::Alternative(Box::new(first), Box::new(self.alternative()?)))
    }

    fn comparison(&mut self) -> Option<Native> {
        const SYMBOLS: [(&str, Comparison); 6] = [
            ("==", Comparison::Equal),
            ("!=", Comparison::Unequal),
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("<", Comparison::Less),
            (">", Comparison::More),
        ];
        let left = self.sum()?;
        for (symbol, comparison) in SYMBOLS {
            if self.takes(symbol) {
                return Some(Native::Compare(Box::new(left), comparison, Box::new(self.sum()?)));
            }
        }
        Some(left)
    }

    fn sum(&mut self) -> Option<Native> {
        let mut sum = self.product()?;
        while self.takes("+") {
            sum = Native::Sum(Box::new(sum), Box::new(self.product()?));
        }
        Some(sum)
    }

    fn product(&mut self) -> Option<Native> {
        let mut product = self.operand()?;
        while self.takes("*") {
            product = Native::Product(Box::new(product), Box::new(self.operand()?));
        }
        Some(product)
    }

    fn operand(&mut self) -> Option<Native> {
        self.space();
        let base = match self.rest.as_bytes().first()? {
            b'.' => {
                let after = &self.rest[1..];
                let named = after.starts_with('"')
                    || after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
                if !named {
                    self.rest = after;
                }
                Base::Root(Root::Dot)
            }
            b'$' => {
                let name = identifier(&self.rest[1..])?;
                let place = self.variables.iter().position(|v| v == name)?;
                self.rest = &self.rest[1 + name.len()..];
                Base::Root(Root::Variable(place))
            }
            b'(' => Base::Inner(self.within("(", ")")?),
            b'[' => match self.constant() {
                Some(constant) => Base::Constant(constant),
                None => Base::Array(self.within("[", "]")?),
            },
            b'{' => match self.constant() {
                Some(constant) => Base::Constant(constant),
                None => self.object()?,
            },
            b'"' | b'0'..=b'9' | b'-' => Base::Constant(self.constant()?),
            _ => return self.word(),
        };
        let steps = self.steps()?;
        // `-1`, `1.5` and such are no path's beginning; jq reads `1[0]` and the like its own way.
        match base {
            Base::Constant(Value::Number(_)) if !steps.is_empty() => None,
            base => Some(Native::Path(Box::new(base), steps)),
        }
    }

    fn within(&mut self, open: &str, close: &str) -> Option<Native> {
        let inner = if self.takes(open) { self.pipe()? } else { return None };
        self.takes(close).then_some(inner)
    }

    fn word(&mut self) -> Option<Native> {
        let word = identifier(self.rest)?;
        self.rest = &self.rest[word.len()..];
        let base = match word {
            "null" => Base::Constant(Value::Null),
            "true" => Base::Constant(Value::Bool(true)),
            "false" => Base::Constant(Value::Bool(false)),
            "tostring" => Base::ToString,
            "select" => Base::Select(self.within("(", ")")?),
            "map" => Base::Map(self.within("(", ")")?),
            "join" => Base::Join(self.argument()?),
            "split" => Base::Split(self.argument()?),
            "if" => {
                let condition = self.pipe()?;
                let then = if self.takes_word("then") { self.pipe()? } else { return None };
                let otherwise = if self.takes_word("else") { self.pipe()? } else { return None };
                let whole = Native::If(Box::new(condition), Box::new(then), Box::new(otherwise));
                return self.takes_word("end").then_some(whole);
            }
            _ => return None,
        };
        Some(Native::Path(Box::new(base), self.steps()?))
    }

    /// A string constant in parentheses.
    fn argument(&mut self) -> Option<String> {
        if !self.takes("(") {
            return None;
        }
        self.space();
        let Value::String(text) = self.constant()? else { return None };
        self.takes(")").then(|| text.into_owned())
    }

    fn object(&mut self) -> Option<Base> {
        self.takes("{");
        let mut members: Vec<(String, Native)> = Vec::new();
        loop {
            self.space();
            let (key, short) = if self.rest.starts_with('"') {
                let Value::String(key) = self.constant()? else { return None };
                (key.into_owned(), false)
            } else {
                let key = identifier(self.rest)?;
                self.rest = &self.rest[key.len()..];
                (key.to_owned(), true)
            };
            let value = if self.takes(":") {
                self.operand()?
            } else if short {
                let field = vec![(Step::Field(key.clone()), false)];
                Native::Path(Box::new(Base::Root(Root::Dot)), field)
            } else {
                return None;
            };
            if members.iter().any(|(known, _)| *known == key) {
                return None;
            }
            members.push((key, value));
            if self.takes("}") {
                break;
            }
            if !self.takes(",") {
                return None;
            }
        }
        members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
        Some(Base::Object(members))
    }

    /// The steps that follow at once.
    fn steps(&mut self) -> Option<Vec<(Step, bool)>> {
        let mut steps = Vec::new();
        while self.rest.starts_with(['.', '[']) {
            let step = if self.rest.starts_with('.') { self.dot_step()? } else { self.bracket_step()? };
            steps.push((step, self.questions()?));
        }
        Some(steps)
    }
}
