//! An expression of a spec, compiled, and the values that it sees.
//!
//! Rests on the fast ways (`path`, `native`) and on jaq (`jq`). Invariant: evaluation reads nothing but its scope; the same scope
//! gives the same outputs.

use std::borrow::Cow;
use std::cell::OnceCell;

use jaq_json::Val;

use crate::base::json::Value;

use super::jq::Program;
use super::native::Native;
use super::path::Fast;
use super::path::Root;
use super::value::to_jaq;

/// Longest message kept of a failed evaluation, in bytes: jq quotes the value, which may be megabytes.
const DETAIL_MAX: usize = 300;

/// Why an expression gave no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct EvalError {
    detail: String,
}

impl EvalError {
    pub(super) fn new(detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if detail.len() > DETAIL_MAX {
            detail.truncate(detail.floor_char_boundary(DETAIL_MAX));
            detail.push('…');
        }
        Self { detail }
    }
}

/// A value under a name, converted for jaq at most once.
pub(super) struct Variable<'v> {
    value: &'v Value<'v>,
    jaq: OnceCell<Val>,
}

impl<'v> Variable<'v> {
    pub(super) const fn new(value: &'v Value<'v>) -> Self {
        Self { value, jaq: OnceCell::new() }
    }

    fn jaq(&self) -> Val {
        self.jaq.get_or_init(|| to_jaq(self.value)).clone()
    }
}

/// What an expression can name: `.`, the variables of the unit, which its records share, and the joined rows, in the
/// order in which the expression was compiled.
pub(super) struct Scope<'v> {
    dot: Variable<'v>,
    unit: &'v [Variable<'v>],
    rows: Vec<Variable<'v>>,
}

impl<'v> Scope<'v> {
    /// A scope without joined rows. The first variable is the unit itself.
    pub(super) const fn new(dot: &'v Value<'v>, unit: &'v [Variable<'v>]) -> Self {
        Self { dot: Variable::new(dot), unit, rows: Vec::new() }
    }

    /// The same scope with joined rows.
    pub(super) fn with<'s>(self, rows: &'s [Value<'s>]) -> Scope<'s>
    where
        'v: 's,
    {
        Scope { dot: self.dot, unit: self.unit, rows: rows.iter().map(Variable::new).collect() }
    }

    fn variable(&self, at: usize) -> &Variable<'v> {
        self.unit.get(at).unwrap_or_else(|| &self.rows[at - self.unit.len()])
    }

    pub(super) fn root(&self, root: &Root) -> &'v Value<'v> {
        match root {
            Root::Dot => self.dot.value,
            Root::Variable(at) => self.variable(*at).value,
        }
    }

    fn jaq_dot(&self) -> Val {
        match self.unit.first() {
            Some(unit) if std::ptr::eq(unit.value, self.dot.value) => unit.jaq(),
            _ => self.dot.jaq(),
        }
    }

    /// The wanted variables for jaq; null stands for the others.
    fn jaq_variables(&self, wanted: &[bool]) -> Vec<Val> {
        let one = |(at, want): (usize, &bool)| if *want { self.variable(at).jaq() } else { Val::Null };
        wanted.iter().enumerate().map(one).collect()
    }
}

/// A compiled expression.
pub(super) enum Expr {
    /// Plain paths and constants.
    Fast(Fast),
    /// Anything else, with a flag for each variable: does the code name it? What is common is first tried natively.
    Jaq { program: Box<Program>, wanted: Vec<bool>, native: Option<Box<Native>> },
}

impl Expr {
    /// Appends every output to `out`, at most `limit` and one more.
    pub(super) fn run<'v>(
        &'v self,
        scope: &Scope<'v>,
        limit: usize,
        out: &mut Vec<Cow<'v, Value<'v>>>,
    ) -> Result<(), EvalError> {
        match self {
            Self::Fast(fast) => fast.run(scope, out),
            Self::Jaq { program, wanted, native } => {
                if native.as_ref().is_some_and(|native| native.run(scope, out).is_some()) {
                    return Ok(());
                }
                let variables = scope.jaq_variables(wanted);
                out.extend(program.run(scope.jaq_dot(), variables, limit)?.into_iter().map(Cow::Owned));
                Ok(())
            }
        }
    }

    /// For each of the first `count` variables: does the expression name it?
    pub(super) fn variables(&self, count: usize) -> Vec<bool> {
        match self {
            Self::Fast(fast) => (0..count).map(|at| fast.names_variable(at)).collect(),
            Self::Jaq { wanted, .. } => wanted.clone(),
        }
    }

    /// The single output; `None` when there is none.
    pub(super) fn one<'v>(&'v self, scope: &Scope<'v>) -> Result<Option<Cow<'v, Value<'v>>>, EvalError> {
        if let Self::Fast(fast) = self
            && let Some(result) = fast.single(scope)
        {
            return result;
        }
        let mut out = Vec::new();
        self.run(scope, 1, &mut out)?;
        if out.len() > 1 {
            return Err(EvalError::new(
                "the expression gives more than one value; wrap it in [ ] or first( )",
            ));
        }
        Ok(out.pop())
    }
}
