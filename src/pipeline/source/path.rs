//! The fast way for expressions: plain paths and constants, over borrowed values.
//!
//! Rests on `base::json::Value`. What is parsed here has the meaning that jq gives the same text: `//` skips null and
//! false, a path through null gives null, through anything else that has no such member it is an error unless `?`
//! follows. Invariant: nothing is cloned on the way to a member; `differential` runs every form here and through jaq and
//! compares.

use std::borrow::Cow;

use crate::base::json::Value;
use crate::base::json::canonicalize;

use super::eval::EvalError;
use super::eval::Scope;
use super::value::owned;

/// Where a path starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// `.`
    Dot,
    /// `$unit`, `$path`, `$key` or a lookup: the place in the scope's list of variables.
    Variable(usize),
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// `.name`, `."name"` or `["name"]`
    Field(String),
    /// `[n]`; negative counts from the end.
    Index(i64),
    /// `[]`, only as the last step: every element.
    Each,
}

/// A root and its steps; the flag says that `?` followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) root: Root,
    pub(super) steps: Vec<(Step, bool)>,
}

/// One alternative of a fast expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    /// A path.
    Path(Path),
    /// A constant.
    Constant(Value<'static>),
}

/// Alternatives, tried in order (`a // b // c`); the last is taken whatever it gives.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fast {
    pub(super) terms: Vec<Term>,
}

impl Fast {
    /// Parses `code`; `None` when it is anything but plain paths and constants (jaq decides then).
    pub(super) fn parse(code: &str, variables: &[String]) -> Option<Self> {
        let mut parser = Parser { rest: code, variables };
        let mut terms = vec![parser.term()?];
        while parser.operator()? {
            terms.push(parser.term()?);
        }
        let each = |t: &Term| matches!(t, Term::Path(p) if p.steps.iter().any(|(s, _)| *s == Step::Each));
        if terms.len() > 1 && terms.iter().any(each) {
            return None; // several outputs inside an alternative: jaq's business
        }
        Some(Self { terms })
    }

    /// For each path that starts at the row (`.` or `$unit`): the member names along it, elements passed over.
    pub(super) fn row_paths(&self) -> Vec<Vec<String>> {
        let of_row = |term: &Term| match term {
            Term::Path(path) if matches!(path.root, Root::Dot | Root::Variable(0)) => {
                let names = path.steps.iter().filter_map(|(step, _)| match step {
                    Step::Field(name) => Some(name.clone()),
                    Step::Index(_) | Step::Each => None,
                });
                Some(names.collect())
            }
            _ => None,
        };
        self.terms.iter().filter_map(of_row).collect()
    }

    /// Does a path take every member of the row (`.[]`)?
    pub(super) fn goes_over_members(&self) -> bool {
        self.terms.iter().any(|term| {
            matches!(term, Term::Path(Path { root: Root::Dot | Root::Variable(0), steps })
                if matches!(steps.first(), Some((Step::Each, _))))
        })
    }

    /// Does a path start at this variable?
    pub(super) fn names_variable(&self, variable: usize) -> bool {
        self.terms.iter().any(|t| matches!(t, Term::Path(p) if p.root == Root::Variable(variable)))
    }

    /// The single output where there is at most one; `None` for a path that ends in `[]`.
    pub(super) fn single<'v>(
        &'v self,
        scope: &Scope<'v>,
    ) -> Option<Result<Option<Cow<'v, Value<'v>>>, EvalError>> {
        let [Term::Path(path)] = self.terms.as_slice() else { return None };
        if matches!(path.steps.last(), Some((Step::Each, _))) {
            return None;
        }
        Some(path.get(scope).map(|value| value.map(Cow::Borrowed)))
    }

    /// Appends every output to `out`.
    pub(super) fn run<'v>(
        &'v self,
        scope: &Scope<'v>,
        out: &mut Vec<Cow<'v, Value<'v>>>,
    ) -> Result<(), EvalError> {
        let last = self.terms.len() - 1;
        for (at, term) in self.terms.iter().enumerate() {
            match term {
                Term::Constant(value) if at == last || truthy(value) => {
                    out.push(Cow::Borrowed(value));
                    return Ok(());
                }
                Term::Constant(_) => {}
                Term::Path(path) if at == last => return path.run(scope, out),
                Term::Path(path) => {
                    if let Some(value) = path.get(scope)?
                        && truthy(value)
                    {
                        out.push(Cow::Borrowed(value));
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Neither null nor false.
pub(super) fn truthy(value: &Value<'_>) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

const NULL: &Value<'static> = &Value::Null;

impl Path {
    /// The value at the end of the path; `None` when a `?` swallowed an error. Not for paths that end in `[]`.
    fn get<'v>(&self, scope: &Scope<'v>) -> Result<Option<&'v Value<'v>>, EvalError> {
        let mut at = scope.root(&self.root);
        for (step, optional) in &self.steps {
            let next = match (step, at) {
                (Step::Field(_) | Step::Index(_), Value::Null) | (Step::Index(_), Value::Object(_)) => {
                    Some(NULL)
                }
                (Step::Field(name), Value::Object(_)) => Some(at.get(name).unwrap_or(NULL)),
                (Step::Index(n), Value::Array(items)) => Some(element(items, *n).unwrap_or(NULL)),
                _ => None,
            };
            match next {
                Some(value) => at = value,
                None if *optional => return Ok(None),
                None => return Err(EvalError::new(step.refusal(at))),
            }
        }
        Ok(Some(at))
    }

    fn run<'v>(&self, scope: &Scope<'v>, out: &mut Vec<Cow<'v, Value<'v>>>) -> Result<(), EvalError> {
        let Some(((Step::Each, optional), before)) = self.steps.split_last() else {
            out.extend(self.get(scope)?.map(Cow::Borrowed));
            return Ok(());
        };
        let holder = Self { root: self.root.clone(), steps: before.to_vec() };
        match holder.get(scope)? {
            None => {}
            Some(Value::Array(items)) => out.extend(items.iter().map(Cow::Borrowed)),
            Some(Value::Object(members)) => out.extend(members.iter().map(|(_, v)| Cow::Borrowed(v))),
            Some(_) if *optional => {}
            Some(other) => return Err(EvalError::new(Step::Each.refusal(other))),
        }
        Ok(())
    }
}

fn element<'v>(items: &'v [Value<'v>], n: i64) -> Option<&'v Value<'v>> {
    let at = if n < 0 {
        items.len().checked_sub(usize::try_from(n.unsigned_abs()).ok()?)?
    } else {
        usize::try_from(n).ok()?
    };
    items.get(at)
}

impl Step {
    fn refusal(&self, found: &Value<'_>) -> String {
        let found = super::value::kind_name(found);
        match self {
            Self::Field(name) => format!("cannot take member {name:?} of {found}"),
            Self::Index(n) => format!("cannot take element {n} of {found}"),
            Self::Each => format!("cannot iterate over {found}"),
        }
    }
}

/// What is left to parse, and the variables that may be named.
pub(super) struct Parser<'c, 's> {
    pub(super) rest: &'c str,
    pub(super) variables: &'s [String],
}

impl Parser<'_, '_> {
    /// `//` (true), the end (false) or something else (`None`).
    fn operator(&mut self) -> Option<bool> {
        self.rest = self.rest.trim_start();
        if self.rest.is_empty() {
            return Some(false);
        }
        let after = self.rest.strip_prefix("//")?;
        if after.starts_with('=') {
            return None;
        }
        self.rest = after;
        Some(true)
    }

    fn term(&mut self) -> Option<Term> {
        self.rest = self.rest.trim_start();
        match self.rest.as_bytes().first()? {
            b'.' | b'$' => self.path().map(Term::Path),
            _ => self.constant().map(Term::Constant),
        }
    }

    fn path(&mut self) -> Option<Path> {
        let root = if self.rest.starts_with('$') { self.variable()? } else { self.dot()? };
        let mut steps: Vec<(Step, bool)> = Vec::new();
        while let Some(step) = self.step() {
            let step = step?;
            if steps.last().is_some_and(|(s, _)| *s == Step::Each) {
                return None;
            }
            let optional = self.questions()?;
            steps.push((step, optional));
        }
        Some(Path { root, steps })
    }

    /// Takes the `?` after a step; `None` before `?//`, which is another operator.
    pub(super) fn questions(&mut self) -> Option<bool> {
        let mut found = false;
        while let Some(after) = self.rest.strip_prefix('?') {
            if after.starts_with("//") {
                return None;
            }
            found = true;
            self.rest = after;
        }
        Some(found)
    }

    /// `$name`
    pub(super) fn variable(&mut self) -> Option<Root> {
        let name = identifier(self.rest.strip_prefix('$')?)?;
        let place = self.variables.iter().position(|v| v == name)?;
        self.rest = &self.rest[1 + name.len()..];
        Some(Root::Variable(place))
    }

    /// The `.` of `.` alone, of `.[0]` and of `."a"`; that of `.a` belongs to its step and stays.
    pub(super) fn dot(&mut self) -> Option<Root> {
        let after = self.rest.strip_prefix('.')?;
        let step_follows =
            after.starts_with('"') || after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !step_follows {
            self.rest = after;
        }
        Some(Root::Dot)
    }

    /// The next step: the end of the path is `None`, what is no plain path is `Some(None)`.
    #[expect(
        clippy::option_option,
        reason = "an iterator of steps that may fail, as `Iterator::next` would say it"
    )]
    fn step(&mut self) -> Option<Option<Step>> {
        if self.rest.is_empty() || self.rest.starts_with(|c: char| c.is_whitespace() || c == '/') {
            return None;
        }
        if self.rest.starts_with('.') { Some(self.dot_step()) } else { Some(self.bracket_step()) }
    }

    /// `.name` or `."name"`
    pub(super) fn dot_step(&mut self) -> Option<Step> {
        let after = self.rest.strip_prefix('.')?;
        if after.starts_with('"') {
            self.rest = after;
            return self.string().map(Step::Field);
        }
        let name = identifier(after)?;
        self.rest = &after[name.len()..];
        Some(Step::Field(name.to_owned()))
    }

    /// `["name"]`, `[n]` or `[]`
    pub(super) fn bracket_step(&mut self) -> Option<Step> {
        let after = self.rest.strip_prefix('[')?;
        self.rest = after;
        let step = if after.starts_with('"') {
            Step::Field(self.string()?)
        } else if after.starts_with(']') {
            Step::Each
        } else {
            let digits = after.find(']').map(|end| &after[..end])?;
            let plain = digits.strip_prefix('-').unwrap_or(digits);
            if plain.is_empty() || !plain.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            self.rest = &after[digits.len()..];
            Step::Index(digits.parse().ok()?)
        };
        self.rest = self.rest.strip_prefix(']')?;
        Some(step)
    }

    pub(super) fn string(&mut self) -> Option<String> {
        match self.constant()? {
            Value::String(text) => Some(text.into_owned()),
            _ => None,
        }
    }

    pub(super) fn constant(&mut self) -> Option<Value<'static>> {
        let end = constant_end(self.rest)?;
        let mut canonical = Vec::new();
        canonicalize(&self.rest.as_bytes()[..end], &mut canonical).ok()?;
        let value = owned(&Value::parse(&canonical).ok()?);
        self.rest = &self.rest[end..];
        Some(value)
    }
}

pub(super) fn identifier(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let name = &text[..end];
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_').then_some(name)
}

/// Where the JSON text at the start of `text` ends; it need not be valid.
fn constant_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut in_string, mut at) = (0_usize, false, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_string => at += 1,
            b'"' => {
                in_string = !in_string;
                if !in_string && depth == 0 {
                    return Some(at + 1);
                }
            }
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            // The bracket of what the constant stands in.
            b']' | b'}' if depth == 0 => return (at > 0).then_some(at),
            b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b if depth == 0 && !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.')) => {
                return (at > 0).then_some(at);
            }
            _ => {}
        }
        at += 1;
    }
    (depth == 0 && !in_string && at > 0 && at == bytes.len()).then_some(at)
}

/// The names of a path that takes members only, such as `.data."the items"`; empty for `.`.
pub(super) fn member_names(code: &str) -> Option<Vec<String>> {
    let Fast { terms } = Fast::parse(code, &[])?;
    match terms.as_slice() {
        [Term::Path(Path { root: Root::Dot, steps })] => steps
            .iter()
            .map(|step| match step {
                (Step::Field(name), false) => Some(name.clone()),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}
