//! The common part of jq, evaluated over borrowed values.
//!
//! Rests on `base::json::Value`. Specs compare a field with a word, pick the elements that match, put a word in front of
//! another; jaq does all of it, and first copies the row into values of its own. What is parsed here has the meaning
//! that jq gives the same text. Whatever is not plain (an error, a number of many digits, several values where one is
//! usual) is left to jaq, at every evaluation anew: [`Native::run`] then says `None`. Invariant: an answer given here
//! is the one that jaq would give; `differential` runs every form through both.

#![expect(
    clippy::ptr_arg,
    reason = "a part of what is borrowed is borrowed for as long, which a plain reference forgets"
)]

mod parse;

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::base::json::Value;

use super::eval::Scope;
use super::path::Root;
use super::path::Step;
use super::path::truthy;

/// A number of more digits may be one that binary64 does not hold, where jaq's rules for mixed kinds matter.
const DIGITS_MAX: usize = 15;

/// The longest expression that is tried: parsing and evaluating go as deep as it has operators.
const CODE_BYTES_MAX: usize = 400;

type Out<'v> = Vec<Cow<'v, Value<'v>>>;

/// A parsed expression.
#[derive(Clone, Debug)]
pub(in crate::pipeline::source) enum Native {
    /// `.`, a variable or another term, and the steps after it.
    Path(Box<Base>, Vec<(Step, bool)>),
    /// `a | b`
    Pipe(Box<Self>, Box<Self>),
    /// `a, b`
    Comma(Box<Self>, Box<Self>),
    /// `a // b`
    Alternative(Box<Self>, Box<Self>),
    /// `a == b` and its like.
    Compare(Box<Self>, Comparison, Box<Self>),
    /// `a + b`
    Sum(Box<Self>, Box<Self>),
    /// `a * b`
    Product(Box<Self>, Box<Self>),
    /// `if a then b else c end`
    If(Box<Self>, Box<Self>, Box<Self>),
}

/// What steps start from.
#[derive(Clone, Debug)]
pub(in crate::pipeline::source) enum Base {
    Root(Root),
    Constant(Value<'static>),
    /// `(a)`
    Inner(Native),
    /// `[a]`
    Array(Native),
    /// `{k: a}`, in canonical order of keys.
    Object(Vec<(String, Native)>),
    /// `select(a)`
    Select(Native),
    /// `map(a)`
    Map(Native),
    /// `join("…")`
    Join(String),
    /// `split("…")`
    Split(String),
    /// `tostring`
    ToString,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pipeline::source) enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Comparison {
    const fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::More => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

impl Native {
    /// Parses `code`; `None` where it is more than this knows.
    pub(in crate::pipeline::source) fn parse(code: &str, variables: &[String]) -> Option<Self> {
        if code.len() > CODE_BYTES_MAX {
            return None;
        }
        parse::parse(code, variables)
    }

    /// Appends every output to `out`; `None`, with `out` as it was, where jaq has to be asked.
    pub(in crate::pipeline::source) fn run<'v>(&'v self, scope: &Scope<'v>, out: &mut Out<'v>) -> Option<()> {
        let before = out.len();
        let dot = Cow::Borrowed(scope.root(&Root::Dot));
        let answer = self.eval(&dot, scope, out);
        if answer.is_none() {
            out.truncate(before);
        }
        answer
    }

    fn eval<'v>(&'v self, dot: &Cow<'v, Value<'v>>, scope: &Scope<'v>, out: &mut Out<'v>) -> Option<()> {
        match self {
            Self::Path(base, steps) => match base.as_ref() {
                Base::Root(Root::Dot) => walk(dot, steps, out),
                base => {
                    let mut starts = Vec::new();
                    base.eval(dot, scope, &mut starts)?;
                    starts.iter().try_for_each(|start| walk(start, steps, out))
                }
            },
            Self::Pipe(first, second) => {
                let mut between = Vec::new();
                first.eval(dot, scope, &mut between)?;
                between.iter().try_for_each(|value| second.eval(value, scope, out))
            }
            Self::Comma(first, second) => {
                first.eval(dot, scope, out)?;
                second.eval(dot, scope, out)
            }
            Self::Alternative(first, second) => {
                let before = out.len();
                first.eval(dot, scope, out)?;
                let found = out.split_off(before);
                out.extend(found.into_iter().filter(|value| truthy(value)));
                if out.len() == before { second.eval(dot, scope, out) } else { Some(()) }
            }
            Self::Compare(left, comparison, right) => {
                let (left, right) = (left.one(dot, scope)?, right.one(dot, scope)?);
                let holds = match comparison {
                    Comparison::Equal => equal(&left, &right)?,
                    Comparison::Unequal => !equal(&left, &right)?,
                    other => other.holds(plain_number(&left)?.partial_cmp(&plain_number(&right)?)?),
                };
                out.push(Cow::Owned(Value::Bool(holds)));
                Some(())
            }
            Self::Sum(left, right) => {
                let (left, right) = (left.one(dot, scope)?, right.one(dot, scope)?);
                out.push(match (left.as_ref(), right.as_ref()) {
                    (Value::Null, _) => right,
                    (_, Value::Null) => left,
                    (Value::String(a), Value::String(b)) => {
                        Cow::Owned(Value::String(Cow::Owned([a.as_ref(), b].concat())))
                    }
                    _ => return None,
                });
                Some(())
            }
            Self::Product(left, right) => {
                let (left, right) = (left.one(dot, scope)?, right.one(dot, scope)?);
                let product = plain_number(&left)? * plain_number(&right)?;
                // Whole numbers are multiplied as such by jq, which is the same below 10^15.
                if product.abs() >= 1e15 || !product.is_finite() {
                    return None;
                }
                let digits = ryu_js::Buffer::new().format_finite(product).to_owned();
                out.push(Cow::Owned(Value::Number(Cow::Owned(digits))));
                Some(())
            }
            Self::If(condition, then, otherwise) => {
                let branch = if truthy(condition.one(dot, scope)?.as_ref()) { then } else { otherwise };
                branch.eval(dot, scope, out)
            }
        }
    }

    /// The one output; `None` where there is none or another.
    fn one<'v>(&'v self, dot: &Cow<'v, Value<'v>>, scope: &Scope<'v>) -> Option<Cow<'v, Value<'v>>> {
        let mut out = Vec::new();
        self.eval(dot, scope, &mut out)?;
        let value = out.pop()?;
        out.is_empty().then_some(value)
    }
}

impl Base {
    fn eval<'v>(&'v self, dot: &Cow<'v, Value<'v>>, scope: &Scope<'v>, out: &mut Out<'v>) -> Option<()> {
        let text = |text: String| Cow::Owned(Value::String(Cow::Owned(text)));
        match self {
            Self::Root(Root::Dot) => out.push(dot.clone()),
            Self::Root(root) => out.push(Cow::Borrowed(scope.root(root))),
            Self::Constant(value) => out.push(Cow::Borrowed(value)),
            Self::Inner(inner) => inner.eval(dot, scope, out)?,
            Self::Array(inner) => {
                let mut items = Vec::new();
                inner.eval(dot, scope, &mut items)?;
                out.push(Cow::Owned(Value::Array(items.into_iter().map(Cow::into_owned).collect())));
            }
            Self::Object(members) => {
                let member = |(key, value): &'v (String, Native)| {
                    Some((Cow::Borrowed(key.as_str()), value.one(dot, scope)?.into_owned()))
                };
                out.push(Cow::Owned(Value::Object(members.iter().map(member).collect::<Option<_>>()?)));
            }
            Self::Select(condition) => {
                if truthy(condition.one(dot, scope)?.as_ref()) {
                    out.push(dot.clone());
                }
            }
            Self::Map(each) => {
                let Value::Array(items) = dot.as_ref() else { return None };
                let mut mapped = Vec::with_capacity(items.len());
                for place in 0..items.len() {
                    let item = match dot {
                        Cow::Borrowed(array) => Cow::Borrowed(child(array, place)),
                        Cow::Owned(array) => Cow::Owned(child(array, place).clone()),
                    };
                    each.eval(&item, scope, &mut mapped)?;
                }
                out.push(Cow::Owned(Value::Array(mapped.into_iter().map(Cow::into_owned).collect())));
            }
            Self::Join(between) => {
                let Value::Array(items) = dot.as_ref() else { return None };
                let word = |item: &'_ Value<'v>| match item {
                    Value::String(word) => Some(word.to_string()),
                    _ => None,
                };
                out.push(text(items.iter().map(word).collect::<Option<Vec<_>>>()?.join(between)));
            }
            Self::Split(at) => {
                let Value::String(whole) = dot.as_ref() else { return None };
                if whole.is_empty() || at.is_empty() {
                    return None;
                }
                let parts = whole.split(at.as_str()).map(|part| Value::String(Cow::Owned(part.to_owned())));
                out.push(Cow::Owned(Value::Array(parts.collect())));
            }
            Self::ToString => match dot.as_ref() {
                Value::String(_) => out.push(dot.clone()),
                Value::Number(digits) if is_short(digits) && !digits.contains(['.', 'e']) => {
                    out.push(text(digits.to_string()));
                }
                _ => return None,
            },
        }
        Some(())
    }
}

/// Follows `steps` from `at`.
fn walk<'v>(at: &Cow<'v, Value<'v>>, steps: &'v [(Step, bool)], out: &mut Out<'v>) -> Option<()> {
    let Some(((step, optional), rest)) = steps.split_first() else {
        out.push(at.clone());
        return Some(());
    };
    // What is owned was made by the expression itself, and is small.
    let part = |find: &dyn Fn(&Value<'v>) -> Option<usize>| match at {
        Cow::Borrowed(value) => find(value).map(|n| Cow::Borrowed(child(value, n))),
        Cow::Owned(value) => find(value).map(|n| Cow::Owned(child(value, n).clone())),
    };
    let null = || Cow::Owned(Value::Null);
    let next = match (step, at.as_ref()) {
        (Step::Field(_) | Step::Index(_), Value::Null) => null(),
        (Step::Field(name), Value::Object(_)) => part(&|v| place_of(v, name)).unwrap_or_else(null),
        (Step::Index(n), Value::Array(_)) => part(&|v| element_at(v, *n)).unwrap_or_else(null),
        (Step::Each, Value::Array(_) | Value::Object(_)) => {
            let count = match at.as_ref() {
                Value::Array(items) => items.len(),
                Value::Object(members) => members.len(),
                _ => 0,
            };
            return (0..count).try_for_each(|n| walk(&part(&|_| Some(n))?, rest, out));
        }
        (Step::Field(_) | Step::Each, _) if *optional => return Some(()),
        _ => return None,
    };
    walk(&next, rest, out)
}

/// Element or member number `n`, which is there.
fn child<'a, 'v>(value: &'a Value<'v>, n: usize) -> &'a Value<'v> {
    match value {
        Value::Array(items) => &items[n],
        Value::Object(members) => &members[n].1,
        other => other,
    }
}

fn place_of(value: &Value<'_>, name: &str) -> Option<usize> {
    let Value::Object(members) = value else { return None };
    members.iter().position(|(key, _)| key == name)
}

fn element_at(value: &Value<'_>, n: i64) -> Option<usize> {
    let Value::Array(items) = value else { return None };
    let at = match usize::try_from(n) {
        Ok(at) => at,
        Err(_) => items.len().checked_sub(usize::try_from(n.unsigned_abs()).ok()?)?,
    };
    (at < items.len()).then_some(at)
}

/// Whether two plain values are the same; `None` for values that nest and for numbers of many digits.
fn equal(a: &Value<'_>, b: &Value<'_>) -> Option<bool> {
    Some(match (a, b) {
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => return None,
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Number(a), Value::Number(b)) if is_short(a) && is_short(b) => a == b,
        (Value::Number(_), Value::Number(_)) => return None,
        _ => false,
    })
}

fn is_short(digits: &str) -> bool {
    digits.len() <= DIGITS_MAX
}

fn plain_number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Number(digits) if is_short(digits) => digits.parse().ok(),
        _ => None,
    }
}
