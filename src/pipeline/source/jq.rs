//! jq by the jaq crates, without what would make a result depend on anything but its input.
//!
//! Rests on `jaq_core`, `jaq_std`, `jaq_json`. Invariant: no program reads a clock, the environment, a file or further
//! input, and none ends the process; such names are refused when the spec is read. jaq has no step limit: named loops
//! without an end (`repeat`, `while`, `until`, `recurse(f)`) and definitions that call themselves are refused too, so
//! that what remains walks over its input. A panic inside jaq becomes an error of the evaluation.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use jaq_core::Compiler;
use jaq_core::Ctx;
use jaq_core::Filter;
use jaq_core::Vars;
use jaq_core::compile::Undefined;
use jaq_core::data::JustLut;
use jaq_core::load;
use jaq_core::load::Arena;
use jaq_core::load::File;
use jaq_core::load::Loader;
use jaq_core::load::lex::Lexer;
use jaq_core::load::lex::StrPart;
use jaq_core::load::lex::Tok;
use jaq_core::load::lex::Token;
use jaq_core::unwrap_valr;
use jaq_json::Val;

use crate::base::json::Value;

use super::eval::EvalError;
use super::value::from_jaq;

type Data = JustLut<Val>;

/// Names that are refused, and why.
const REFUSED: &[(&str, &str)] = &[
    ("now", "it reads the clock"),
    ("localtime", "it reads the time zone of the machine"),
    ("strflocaltime", "it reads the time zone of the machine"),
    ("env", "it reads the environment"),
    ("$ENV", "it reads the environment"),
    ("input", "an expression sees one unit only"),
    ("inputs", "an expression sees one unit only"),
    ("input_filename", "use $path.file"),
    ("input_line_number", "the place of a unit is in its provenance"),
    ("debug", "it prints"),
    ("stderr", "it prints"),
    ("halt", "it ends the process"),
    ("halt_error", "it ends the process"),
    ("repeat", "it has no end"),
    ("while", "it may have no end"),
    ("until", "it may have no end"),
];

/// Natives and definitions of the library that the refused names rest on.
const LEFT_OUT: &[&str] = &[
    "now",
    "localtime",
    "strflocaltime",
    "env",
    "debug",
    "debug_empty",
    "stderr",
    "stderr_empty",
    "halt",
    "halt_error",
    "repeat",
    "while",
    "until",
    "combinations",
];

/// Why an expression does not compile: where, in bytes from its start, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CompileError {
    pub(super) offset: usize,
    pub(super) message: String,
}

/// A compiled jq program.
pub(super) struct Program {
    filter: Filter<Data>,
}

impl Program {
    /// Compiles `code`, in which the names in `variables` (without `$`) may be used.
    pub(super) fn compile(code: &str, variables: &[String]) -> Result<Self, CompileError> {
        let globals: Vec<String> = variables.iter().map(|name| format!("${name}")).collect();
        // Both the parser and the compiler are other people's recursion over other people's text.
        catch_unwind(AssertUnwindSafe(|| compile(code, &globals))).unwrap_or_else(|_| {
            Err(CompileError { offset: 0, message: "the jq compiler gave up on this expression".to_owned() })
        })
    }

    /// The outputs, at most `limit` and one more, so that the caller sees that there were too many.
    pub(super) fn run(
        &self,
        input: Val,
        variables: Vec<Val>,
        limit: usize,
    ) -> Result<Vec<Value<'static>>, EvalError> {
        let evaluate = || {
            let ctx = Ctx::<Data>::new(&self.filter.lut, Vars::new(variables));
            self.filter
                .id
                .run((ctx, input))
                .map(unwrap_valr)
                .take(limit.saturating_add(1))
                .map(|result| {
                    let value = result.map_err(|e| EvalError::new(message(e.into_val())))?;
                    from_jaq(&value).map_err(EvalError::new)
                })
                .collect()
        };
        catch_unwind(AssertUnwindSafe(evaluate))
            .unwrap_or_else(|_| Err(EvalError::new("the jq evaluator gave up on this value")))
    }
}

/// The text of an error: a string as it is, anything else as JSON.
fn message(error: Val) -> String {
    match error {
        Val::TStr(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => other.to_string(),
    }
}

/// The longest expression in bytes, in words and symbols, and the deepest nesting of its brackets: parser, compiler and
/// evaluator recurse over them, and a stack that runs out ends the process.
const CODE_BYTES_MAX: usize = 16 << 10;
const CODE_TOKENS_MAX: usize = 400;
const CODE_DEPTH_MAX: usize = 50;

/// Refuses code that could exhaust the stack of the parser; to be asked before anything else reads it.
pub(super) fn check_size(code: &str) -> Result<(), CompileError> {
    if code.len() > CODE_BYTES_MAX {
        return Err(CompileError { offset: 0, message: format!("longer than {CODE_BYTES_MAX} bytes") });
    }
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > CODE_DEPTH_MAX {
            let message = format!("brackets nest deeper than {CODE_DEPTH_MAX}");
            return Err(CompileError { offset, message });
        }
    }
    Ok(())
}

fn compile(code: &str, globals: &[String]) -> Result<Program, CompileError> {
    let tokens = Lexer::new(code).lex().map_err(|errors| {
        let (expected, found) =
            errors.into_iter().next().map_or(("token", ""), |(e, found)| (e.as_str(), found));
        CompileError {
            offset: place(code, found),
            message: format!("expected {expected}{}", found_text(found)),
        }
    })?;
    refuse(code, &tokens)?;
    let allowed = |name: &&str| !LEFT_OUT.contains(name);
    let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs()).filter(|d| allowed(&d.name));
    let funs = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs()).filter(|f| allowed(&f.0));
    let arena = Arena::default();
    let modules = Loader::new(defs)
        .load(&arena, File { code, path: () })
        .map_err(|errors| load_error(code, errors.into_iter().map(|(_, e)| e).next()))?;
    let filter = Compiler::default()
        .with_funs(funs)
        .with_global_vars(globals.iter().map(String::as_str))
        .compile(modules)
        .map_err(|errors| {
            let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
            let (name, kind) = first.unwrap_or(("", Undefined::Mod));
            let arity = match kind {
                Undefined::Filter(n) if n > 0 => format!("/{n}"),
                _ => String::new(),
            };
            let known: Vec<&str> = globals.iter().map(String::as_str).collect();
            let hint = if name.starts_with('$') {
                format!("; the variables here are {}", known.join(", "))
            } else {
                String::new()
            };
            CompileError {
                offset: place(code, name),
                message: format!("undefined {} `{name}{arity}`{hint}", kind.as_str()),
            }
        })?;
    Ok(Program { filter })
}

fn load_error(code: &str, error: Option<load::Error<&str>>) -> CompileError {
    match error {
        Some(load::Error::Parse(errors)) => {
            let (expected, found) =
                errors.into_iter().next().map_or(("term", ""), |(e, found)| (e.as_str(), found));
            CompileError {
                offset: place(code, found),
                message: format!("expected {expected}{}", found_text(found)),
            }
        }
        Some(load::Error::Lex(_) | load::Error::Io(_)) | None => {
            CompileError { offset: 0, message: "modules cannot be imported here".to_owned() }
        }
    }
}

fn found_text(found: &str) -> String {
    match found.chars().next() {
        None => ", found the end".to_owned(),
        Some(_) => format!(", found `{}`", found.chars().take(20).collect::<String>()),
    }
}

/// The offset of `part` in `code`, of which it is a slice; the end where it is not.
fn place(code: &str, part: &str) -> usize {
    let offset = (part.as_ptr() as usize).wrapping_sub(code.as_ptr() as usize);
    offset.min(code.len())
}

/// Refuses names and recursive definitions anywhere in the tokens.
fn refuse(code: &str, tokens: &[Token<&str>]) -> Result<(), CompileError> {
    let mut found = None;
    let mut count = 0;
    walk(tokens, &mut |tokens, at| {
        count += 1;
        if count > CODE_TOKENS_MAX && found.is_none() {
            let message = format!("longer than {CODE_TOKENS_MAX} words and symbols");
            found = Some(CompileError { offset: place(code, tokens[at].0), message });
        }
        if found.is_none() {
            found = refusal(code, tokens, at);
        }
    });
    found.map_or(Ok(()), Err)
}

/// Why the token at `at` is refused.
fn refusal(code: &str, tokens: &[Token<&str>], at: usize) -> Option<CompileError> {
    let (Token(text, Tok::Word | Tok::Var), next) = (&tokens[at], tokens.get(at + 1)) else { return None };
    let error = |message: String| Some(CompileError { offset: place(code, text), message });
    if matches!(next, Some(Token(":", _))) {
        return None; // `{now: 1}` is only a key
    }
    if let Some((name, why)) = REFUSED.iter().find(|(name, _)| name == text) {
        return error(format!("`{name}` is not allowed: {why}"));
    }
    match *text {
        "import" | "include" => error("modules cannot be imported here".to_owned()),
        "recurse" if matches!(next, Some(Token(_, Tok::Block(_)))) => {
            error("`recurse(f)` is not allowed: it may have no end; use `..`".to_owned())
        }
        "def" => refuse_recursion(code, &tokens[at + 1..]).err(),
        _ => None,
    }
}

/// `tokens` begin after a `def`: its body, up to the `;` that ends it, must not name it.
fn refuse_recursion(code: &str, tokens: &[Token<&str>]) -> Result<(), CompileError> {
    let Some(Token(name, _)) = tokens.first() else { return Ok(()) };
    let mut depth = 0_usize;
    let mut end = tokens.len();
    for (at, Token(text, tok)) in tokens.iter().enumerate() {
        match tok {
            Tok::Word if *text == "def" => depth += 1,
            Tok::Sym if *text == ";" && depth == 0 => {
                end = at;
                break;
            }
            Tok::Sym if *text == ";" => depth -= 1,
            _ => {}
        }
    }
    match words(&tokens[1..end]).into_iter().find(|word| word == name) {
        None => Ok(()),
        Some(word) => Err(CompileError {
            offset: place(code, word),
            message: format!("`{name}` calls itself: definitions that may have no end are not allowed"),
        }),
    }
}

/// Calls `visit` with every list of tokens, however deep, and every place in it.
fn walk<'t, 'c>(tokens: &'t [Token<&'c str>], visit: &mut dyn FnMut(&'t [Token<&'c str>], usize)) {
    for (at, Token(_, tok)) in tokens.iter().enumerate() {
        visit(tokens, at);
        match tok {
            Tok::Block(inner) => walk(inner, visit),
            Tok::Str(parts) => {
                for part in parts {
                    if let StrPart::Term(Token(_, Tok::Block(inner))) = part {
                        walk(inner, visit);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Every word or variable in the tokens, however deep.
fn words<'c>(tokens: &[Token<&'c str>]) -> Vec<&'c str> {
    let mut out = Vec::new();
    walk(tokens, &mut |tokens, at| {
        if let Token(text, Tok::Word | Tok::Var) = &tokens[at] {
            out.push(*text);
        }
    });
    out
}

/// The variables that `code` names, without `$`.
pub(super) fn variables(code: &str) -> Vec<&str> {
    let tokens = Lexer::new(code).lex().unwrap_or_default();
    words(&tokens).into_iter().filter_map(|word| word.strip_prefix('$')).collect()
}

/// The members of `$path` that `code` names, and where.
pub(super) fn path_members(code: &str) -> Vec<(&str, usize)> {
    let mut out = Vec::new();
    if let Ok(tokens) = Lexer::new(code).lex() {
        walk(&tokens, &mut |tokens, at| {
            if let (Token("$path", _), Some(Token(next, Tok::Sym))) = (&tokens[at], tokens.get(at + 1))
                && let Some(member) = next.strip_prefix('.')
                && !member.is_empty()
                && member != "."
            {
                out.push((member, place(code, next)));
            }
        });
    }
    out
}

/// Does `code` use the row as a whole: `.` or `$unit` at its start, with no member taken (`tojson`, `. | tostring`)?
pub(super) fn takes_whole(code: &str) -> bool {
    let tokens = Lexer::new(code).lex().unwrap_or_default();
    match tokens.as_slice() {
        [Token("." | "$unit", _) | Token(_, Tok::Word)] => true,
        [Token("." | "$unit", _), Token("|", _), rest @ ..] => matches!(rest, [Token(_, Tok::Word)]),
        _ => false,
    }
}

/// Does `code` begin by going over the members of the row, whatever their names (`to_entries[] | …`)?
pub(super) fn goes_over_members(code: &str) -> bool {
    let tokens = Lexer::new(code).lex().unwrap_or_default();
    let ([Token("." | "$unit", _), Token("|", _), first, ..] | [first, ..]) = tokens.as_slice() else {
        return false;
    };
    matches!(first.0, "to_entries" | "with_entries" | "map_values" | "keys" | "keys_unsorted")
}

/// The whole strings that stand in `code`.
pub(super) fn literals(code: &str) -> Vec<String> {
    let mut out = Vec::new();
    if let Ok(tokens) = Lexer::new(code).lex() {
        walk(&tokens, &mut |tokens, at| {
            if let Token(_, Tok::Str(parts)) = &tokens[at]
                && let [StrPart::Str(text)] = parts.as_slice()
            {
                out.push((*text).to_owned());
            }
        });
    }
    out
}

/// The member names that `code` mentions: what follows a dot, words and whole strings. A name that is followed by no
/// further step is read with all that is under it.
pub(super) fn mentions(code: &str) -> Vec<(String, bool)> {
    let mut out = Vec::new();
    if let Ok(tokens) = Lexer::new(code).lex() {
        walk(&tokens, &mut |tokens, at| {
            let steps_follow = match tokens.get(at + 1) {
                Some(Token(next, Tok::Sym)) => next.len() > 1 && next.starts_with('.') && *next != "..",
                Some(Token(next, Tok::Block(_))) => next.starts_with('['),
                _ => false,
            };
            match &tokens[at] {
                Token(text, Tok::Sym) if text.len() > 1 && text.starts_with('.') && *text != ".." => {
                    out.push((text[1..].to_owned(), !steps_follow));
                }
                // `{id, name}` takes members by bare words; other words cost nothing here.
                Token(text, Tok::Word) => out.push(((*text).to_owned(), true)),
                Token(_, Tok::Str(parts)) => {
                    if let [StrPart::Str(name)] = parts.as_slice() {
                        out.push(((*name).to_owned(), !steps_follow));
                    }
                }
                _ => {}
            }
        });
    }
    out
}
