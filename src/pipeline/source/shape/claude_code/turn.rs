//! One turn as a value: what was asked, what was said and called, what it cost and how it ended.
//!
//! Rests on a branch of the tree. Invariants: nothing is invented: what no line says is null; the lines of one response
//! are one message; the model's thinking and the bytes of images are not part of what was said.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;

use crate::base::json::Value;
use crate::record::parse_time_text;

use super::Node;
use super::Role;
use super::arguments;
use super::object;
use super::tree::Branch;
use super::tree::Forest;
use super::word;

/// How the program says that a person stopped the model.
pub(super) const INTERRUPTED: &str = "[Request interrupted by user";

/// The model's name on lines that the program wrote in its place.
const SYNTHETIC: &str = "<synthetic>";

/// Usage counts as the format names them.
const USAGE: [&str; 4] =
    ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];

/// The turns of a session, one for each branch. Usage that two branches share is the first one's.
pub(super) fn turns<'t>(nodes: &[Node<'t>], forest: &Forest, branches: &[Branch]) -> Vec<Value<'t>> {
    let mut counted: HashSet<&str> = HashSet::new();
    branches.iter().map(|branch| turn(nodes, forest, branch, &mut counted)).collect()
}

fn turn<'n, 't>(
    nodes: &'n [Node<'t>],
    forest: &Forest,
    branch: &Branch,
    counted: &mut HashSet<&'n str>,
) -> Value<'t> {
    let head = &nodes[branch.head];
    // What hangs below the last word was not said in this turn.
    let spoken = |at: &&usize| matches!(nodes[**at].role, Role::Assistant | Role::Results);
    let end = branch.nodes.iter().copied().filter(|at| spoken(&at)).max().unwrap_or(branch.head);
    let said: Vec<usize> = branch.nodes.iter().copied().filter(|at| *at <= end).collect();
    let of = |role: Role| said.iter().map(|at| &nodes[*at]).filter(move |node| node.role == role);
    let prompt = (head.role == Role::Prompt).then(|| head.message("content").and_then(plain)).flatten();
    let above = forest.compaction[branch.head].filter(|at| *at == branch.head || !said.contains(at));
    let context = above.and_then(|at| nodes[at].message("content").and_then(plain));
    let compacted = said.iter().any(|at| *at != branch.head && nodes[*at].role == Role::Compaction);
    let interrupted = branch.nodes.iter().any(|at| {
        let node = &nodes[*at];
        let text = node.message("content").and_then(plain).unwrap_or_default();
        node.role == Role::Aside && text.starts_with(INTERRUPTED)
            || node.role == Role::Results && node.blocks().iter().any(is_interruption)
    });
    let last = of(Role::Assistant).next_back();
    let response = last.and_then(|last| last.response()).and_then(|id| {
        let parts = of(Role::Assistant).filter(|node| node.response() == Some(id));
        let calls = parts.clone().any(|node| node.ids("tool_use", "id").next().is_some());
        let text: Vec<String> = parts.filter_map(|node| node.message("content").and_then(plain)).collect();
        // A response that goes on to call a tool is not the answer.
        (!calls && !text.is_empty()).then(|| text.join("\n"))
    });
    let errors = of(Role::Results).flat_map(Node::blocks).filter(|block| is_error(block)).count();
    let last_results = nodes[end].role == Role::Results && nodes[end].blocks().iter().any(is_error);
    let called: HashSet<&str> = of(Role::Assistant).flat_map(|node| node.ids("tool_use", "id")).collect();
    let answered: HashSet<&str> =
        of(Role::Results).flat_map(|node| node.ids("tool_result", "tool_use_id")).collect();
    let model =
        of(Role::Assistant).filter_map(|node| word(node.message("model"))).rfind(|model| *model != SYNTHETIC);
    let text = |key: &str| Value::from(head.text(key).map(|text| Value::from(text.to_owned())));
    let started = head.text("timestamp").and_then(parse_time_text);
    let ended = nodes[end].text("timestamp").and_then(parse_time_text);
    let latency = started.zip(ended).map(|(from, to)| (to.instant - from.instant).num_milliseconds());
    object([
        ("abandoned", Value::from(branch.abandoned)),
        ("agent_id", text("agentId")),
        ("api_error", Value::from(of(Role::Assistant).any(|node| node.flag("isApiErrorMessage")))),
        ("branch", Value::from(branch.number)),
        ("compacted", Value::from(compacted)),
        ("context", Value::from(context)),
        ("cwd", text("cwd")),
        ("ended_on_tool_error", Value::from(last_results)),
        ("follow_up", Value::from(forest.follows[branch.head])),
        ("git_branch", text("gitBranch")),
        ("interrupted", Value::from(interrupted)),
        ("latency_ms", Value::from(latency.filter(|ms| *ms >= 0 && end != branch.head))),
        ("line", Value::from(head.line)),
        ("messages", Value::Array(messages(nodes, branch.head, &said))),
        ("model", Value::from(model.map(|model| Value::from(model.to_owned())))),
        ("orphan", Value::from(forest.orphan[branch.head] || head.role != Role::Prompt)),
        ("prompt", Value::from(prompt)),
        ("response", Value::from(response)),
        ("session_id", text("sessionId")),
        ("sidechain", Value::from(head.flag("isSidechain"))),
        ("time", text("timestamp")),
        ("tool_calls", Value::from(called.len() as u64)),
        ("tool_errors", Value::from(errors as u64)),
        ("unanswered_calls", Value::from(called.difference(&answered).count() as u64)),
        ("usage", usage(nodes, &said, counted)),
        ("uuid", text("uuid")),
        ("version", text("version")),
    ])
}

fn is_error(block: &Value<'_>) -> bool {
    block.get("is_error").and_then(Value::as_bool).unwrap_or(false)
}

/// A person who refuses a tool stops the model in the result of the call.
fn is_interruption(block: &Value<'_>) -> bool {
    block.get("content").and_then(plain).is_some_and(|text| text.starts_with(INTERRUPTED))
}

/// The text of content: a string, or the text blocks of an array.
pub(super) fn plain(content: &Value<'_>) -> Option<String> {
    let text = match content {
        Value::String(text) => text.as_ref().to_owned(),
        Value::Array(blocks) => {
            let texts: Vec<&str> = blocks
                .iter()
                .filter_map(|block| block.as_str().or_else(|| block.get("text").and_then(Value::as_str)))
                .collect();
            texts.join("\n")
        }
        _ => return None,
    };
    (!text.trim().is_empty()).then_some(text)
}

/// The tokens of the responses that are not counted yet. The lines of one response repeat its usage, the earlier ones
/// sometimes with what was known when they were written: the largest figure is the last.
fn usage<'n, 't>(nodes: &'n [Node<'t>], said: &[usize], counted: &mut HashSet<&'n str>) -> Value<'t> {
    let mut responses: BTreeMap<&'n str, [Option<u64>; 4]> = BTreeMap::new();
    for node in said.iter().map(|at| &nodes[*at]).filter(|node| node.role == Role::Assistant) {
        let (Some(id), Some(usage)) = (node.response(), node.message("usage")) else { continue };
        if !counted.contains(id) {
            let most = responses.entry(id).or_default();
            for (most, name) in most.iter_mut().zip(USAGE) {
                *most = (*most).max(usage.get(name).and_then(Value::as_u64));
            }
        }
    }
    counted.extend(responses.keys());
    let sum = |at: usize| -> Value<'t> {
        let figures = responses.values().filter_map(|figures| figures[at]);
        Value::from(figures.reduce(u64::saturating_add))
    };
    object([(USAGE[0], sum(0)), (USAGE[1], sum(1)), (USAGE[2], sum(2)), (USAGE[3], sum(3))])
}

/// The conversation of a turn, in order of lines; the lines of one response are one message.
fn messages<'t>(nodes: &[Node<'t>], head: usize, said: &[usize]) -> Vec<Value<'t>> {
    let mut messages: Vec<Draft<'t>> = Vec::new();
    let mut responses: HashMap<&str, usize> = HashMap::new();
    for at in said {
        let node = &nodes[*at];
        match node.role {
            Role::Link => {}
            // The summary above a turn is its context, not a part of it.
            Role::Compaction if *at == head => {}
            Role::Prompt | Role::Aside | Role::Compaction => {
                let mut message = Draft::of("user");
                message.add(node);
                messages.push(message);
            }
            Role::Assistant => {
                let place = match node.response().and_then(|id| responses.get(id)) {
                    Some(place) => *place,
                    None => {
                        messages.push(Draft::of("assistant"));
                        responses.extend(node.response().map(|id| (id, messages.len() - 1)));
                        messages.len() - 1
                    }
                };
                messages[place].add(node);
            }
            Role::Results => {
                let mut beside = Draft::of("user");
                for block in node.blocks() {
                    if block.get("type").and_then(Value::as_str) == Some("tool_result") {
                        let mut message = Draft::of("tool");
                        message.call = word(block.get("tool_use_id")).map(str::to_owned);
                        message.content(block.get("content").unwrap_or(&Value::Null));
                        messages.push(message);
                    } else {
                        beside.block(block);
                    }
                }
                messages.push(beside);
            }
        }
    }
    messages.into_iter().filter(Draft::says_something).map(Draft::finish).collect()
}

/// A message being put together.
struct Draft<'t> {
    role: &'static str,
    call: Option<String>,
    parts: Vec<Value<'t>>,
    calls: Vec<Value<'t>>,
}

impl<'t> Draft<'t> {
    const fn of(role: &'static str) -> Self {
        Self { role, call: None, parts: Vec::new(), calls: Vec::new() }
    }

    fn says_something(&self) -> bool {
        self.call.is_some() || !self.parts.is_empty() || !self.calls.is_empty()
    }

    fn add(&mut self, node: &Node<'t>) {
        if let Some(content) = node.value.get("message").and_then(|message| message.get("content")) {
            self.content(content);
        }
    }

    fn content(&mut self, content: &Value<'t>) {
        match content {
            Value::Array(blocks) => blocks.iter().for_each(|block| self.block(block)),
            Value::String(_) => self.parts.push(content.clone()),
            _ => {}
        }
    }

    fn block(&mut self, block: &Value<'t>) {
        match block.get("type").and_then(Value::as_str) {
            Some("thinking" | "redacted_thinking") => {}
            Some("text") => self.parts.extend(block.get("text").cloned()),
            Some("tool_use") if word(block.get("name")).is_some() => self.calls.push(object([
                ("id", block.get("id").filter(|id| id.as_str().is_some()).cloned().unwrap_or(Value::Null)),
                ("name", block.get("name").cloned().unwrap_or(Value::Null)),
                ("arguments", arguments(block.get("input"))),
            ])),
            Some(kind @ ("image" | "document")) => {
                self.parts.push(object([("type", Value::from(kind.to_owned()))]));
            }
            _ => self.parts.push(block.clone()),
        }
    }

    fn finish(self) -> Value<'t> {
        let parts = self.parts;
        object([
            ("role", Value::from(self.role)),
            ("content", if parts.is_empty() { Value::Null } else { Value::Array(parts) }),
            ("tool_call_id", Value::from(self.call)),
            ("tool_calls", Value::Array(self.calls)),
        ])
    }
}
