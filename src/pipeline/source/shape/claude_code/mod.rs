//! Sessions of Claude Code: lines of JSON that form a tree, from prompts to the turns that answered them.
//!
//! Rests on nothing but the lines. The format is undocumented and changes often, so everything is optional: a line of an
//! unknown kind still carries the chain of `parentUuid` on, and is counted. The row is `{session, turns}`; one turn is one
//! answer to one prompt: the chain of lines from it to the next prompt or to the end of its branch. `tree` finds the
//! branches, `turn` says what was spoken on one.
//!
//! Invariants: the order of the turns is that of the lines in which they part from earlier ones, so that a line that is
//! appended moves no turn; a message's usage counts once, however many lines and branches repeat it; any input ends.

mod tree;
mod turn;

use std::collections::HashMap;

use crate::base::json::Value;

use super::Notes;
use super::Refusal;
use super::Shaped;
use super::Text;
use super::arguments;
use super::object;
use super::word;

/// See [`super::Shape::version`].
pub(super) const VERSION: u32 = 1;

/// What a line is in the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Something was asked.
    Prompt,
    /// The model speaks.
    Assistant,
    /// Results of tools and nothing else.
    Results,
    /// Said to the model by the program: an expanded command, a reminder, an interruption.
    Aside,
    /// The summary that stands for what was said before it.
    Compaction,
    /// Part of the chain, not of the conversation.
    Link,
}

/// One line that has a `uuid`.
struct Node<'t> {
    line: u64,
    role: Role,
    value: Value<'t>,
}

impl<'t> Node<'t> {
    fn text(&self, key: &str) -> Option<&str> {
        word(self.value.get(key))
    }

    fn flag(&self, key: &str) -> bool {
        self.value.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    fn message(&self, key: &str) -> Option<&Value<'t>> {
        self.value.get("message").and_then(|message| message.get(key))
    }

    /// What names the response of the model that this line is a part of.
    fn response(&self) -> Option<&str> {
        word(self.message("id")).or_else(|| self.text("requestId")).or_else(|| self.text("uuid"))
    }

    /// The blocks of an array of content.
    fn blocks(&self) -> &[Value<'t>] {
        self.message("content").and_then(Value::as_array).unwrap_or_default()
    }

    /// The ids in the blocks of one type.
    fn ids<'n>(&'n self, block: &'n str, key: &'n str) -> impl Iterator<Item = &'n str> {
        let of_type = move |b: &&Value<'_>| b.get("type").and_then(Value::as_str) == Some(block);
        self.blocks().iter().filter(of_type).filter_map(move |b| word(b.get(key)))
    }
}

/// The normal form of a session file.
pub(super) fn shape<'t>(canonical: &'t [u8], texts: &[Text]) -> Result<Shaped<'t>, Refusal> {
    let mut notes = Notes::default();
    let mut summaries = Vec::new();
    let nodes = nodes(canonical, texts, &mut notes, &mut summaries)?;
    let forest = tree::Forest::of(&nodes, &mut notes);
    let branches = tree::branches(&nodes, &forest, &mut notes)?;
    let id = nodes.iter().find_map(|node| node.text("sessionId")).map(|id| Value::from(id.to_owned()));
    let turns: Vec<Value<'t>> = turn::turns(&nodes, &forest, &branches);
    let unreadable: Vec<Value<'t>> =
        texts.iter().filter(|text| text.error.is_some()).map(|text| Value::from(text.line)).collect();
    let session = object([
        ("id", Value::from(id)),
        ("lines", Value::from(texts.len() as u64)),
        ("summaries", Value::Array(summaries)),
        ("unreadable_lines", Value::Array(unreadable)),
    ]);
    Ok(Shaped { value: object([("session", session), ("turns", Value::Array(turns))]), noted: notes })
}

/// The lines that are part of the tree, in order. Of lines with one `uuid` the first that can be made sense of counts:
/// a session that was compacted twice repeats what was summarised.
fn nodes<'t>(
    canonical: &'t [u8],
    texts: &[Text],
    notes: &mut Notes,
    summaries: &mut Vec<Value<'t>>,
) -> Result<Vec<Node<'t>>, Refusal> {
    let mut nodes: Vec<Node<'t>> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for text in texts {
        if let Some(error) = text.error {
            notes.add(format!("unreadable line: {}", error.as_str()));
            continue;
        }
        let value =
            Value::parse(&canonical[text.place.clone()]).map_err(|e| (e.code.as_str(), e.to_string()))?;
        if !matches!(value, Value::Object(_)) {
            notes.add("line that is no object");
            continue;
        }
        let kind = word(value.get("type")).unwrap_or("").to_owned();
        if kind == "summary" {
            notes.add("summary line");
            summaries.push(object([
                ("summary", value.get("summary").cloned().unwrap_or(Value::Null)),
                ("leaf", value.get("leafUuid").cloned().unwrap_or(Value::Null)),
            ]));
            continue;
        }
        match kind.as_str() {
            "user" | "assistant" | "system" => notes.add(format!("{kind} line")),
            "" => notes.add("line without a type"),
            unknown => notes.add_word("unknown line type", unknown),
        }
        let Some(uuid) = word(value.get("uuid")).map(str::to_owned) else { continue };
        let role = role(&kind, &value);
        if role.is_none() {
            notes.add(format!("{kind} line without content"));
        }
        let node = Node { line: text.line, role: role.unwrap_or(Role::Link), value };
        match known.get(&uuid).copied() {
            None => {
                known.insert(uuid, nodes.len());
                nodes.push(node);
            }
            // Of a broken line only the link was taken; the whole one says more.
            Some(at) if nodes[at].role == Role::Link && role.is_some_and(|role| role != Role::Link) => {
                notes.add("repeated uuid");
                nodes[at] = node;
            }
            Some(_) => notes.add("repeated uuid"),
        }
    }
    nodes.sort_by_key(|node| node.line);
    Ok(nodes)
}

/// What a line is; `None` for one that should speak and has nothing to say it with.
fn role(kind: &str, value: &Value<'_>) -> Option<Role> {
    let flag = |key: &str| value.get(key).and_then(Value::as_bool).unwrap_or(false);
    if !matches!(kind, "user" | "assistant") {
        return Some(Role::Link);
    }
    let content = value.get("message").and_then(|message| message.get("content"))?;
    let blocks = match content {
        Value::String(_) => &[],
        Value::Array(blocks) => blocks.as_slice(),
        _ => return None,
    };
    if kind == "assistant" {
        return Some(Role::Assistant);
    }
    let result = |block: &Value<'_>| block.get("type").and_then(Value::as_str) == Some("tool_result");
    if blocks.iter().any(result) {
        return Some(Role::Results);
    }
    if flag("isCompactSummary") {
        return Some(Role::Compaction);
    }
    let interrupted = turn::plain(content).is_some_and(|text| text.starts_with(turn::INTERRUPTED));
    Some(if flag("isMeta") || interrupted { Role::Aside } else { Role::Prompt })
}
